"""A matrix and, mostly, a bias."""

from torch import nn


class Linear(nn.Linear):
    """`torch.nn.Linear` without an initialisation of its own: weights come from a seed or a checkpoint."""

    def reset_parameters(self) -> None:
        """Do nothing: `gptoss.model.initialisation` fills the weights, or a checkpoint does."""
