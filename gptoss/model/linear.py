"""A matrix and, mostly, a bias."""

from torch import Tensor, nn

from gptoss.model.fast.linear import linear


class Linear(nn.Linear):
    """`torch.nn.Linear` without an initialisation of its own: weights come from a seed or a checkpoint."""

    def reset_parameters(self) -> None:
        """Do nothing: `gptoss.model.initialisation` fills the weights, or a checkpoint does."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features): x @ weight.t() + bias."""
        return linear(x, self.weight, self.bias)
