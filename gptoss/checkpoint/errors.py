"""The one error that unusable checkpoints raise, and how it quotes what a file says."""

import reprlib

_QUOTE = reprlib.Repr()
_QUOTE.maxstring = _QUOTE.maxother = _QUOTE.maxlong = 80
_QUOTE.maxlist = _QUOTE.maxdict = 4


class CheckpointError(ValueError):
    """A checkpoint cannot be read or written as asked; the message names the file and the tensor or setting."""


def quoted(value: object) -> str:
    """A value from a file as Python writes it, cut where it is long or deep: a hostile file fills no log."""
    return _QUOTE.repr(value)
