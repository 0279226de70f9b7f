"""LayerNorm (Ba et al., arXiv 1607.06450), as GPT-2 uses it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LayerNorm(nn.Module):
    """Subtract each vector's mean, divide by its standard deviation, then multiply by `scale` and add `bias`.

    Shapes: (..., features) -> (..., features), in the dtype of the input. The computation and both parameters are
    float32, as in `RMSNorm`.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, device: torch.device | str | None = None):
        super().__init__()
        self.eps = eps  # keeps a vector of equal values from being divided by zero
        self.scale = nn.Parameter(torch.ones(num_features, device=device, dtype=torch.float32))
        self.bias = nn.Parameter(torch.zeros(num_features, device=device, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.float(), self.scale.shape, self.scale, self.bias, self.eps).to(x.dtype)
