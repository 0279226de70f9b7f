"""The one error that unusable checkpoints raise."""


class CheckpointError(ValueError):
    """A checkpoint cannot be read or written as asked; the message names the file and the tensor or setting."""
