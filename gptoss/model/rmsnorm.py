"""RMSNorm (Zhang and Sennrich, arXiv 1910.07467), as in `RMSNorm` of OpenAI's `gpt_oss/torch/model.py`."""

import torch
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Divide each vector by its root mean square, then multiply by a learned `scale`: no mean, no shift.

    Shapes: (..., features) -> (..., features), in the dtype of the input. The computation and `scale` are float32.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, device: torch.device | str | None = None):
        super().__init__()
        self.num_features = num_features
        self.eps = eps  # keeps a vector of zeros from being divided by zero
        self.scale = nn.Parameter(torch.ones(num_features, device=device, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        t = x.float()  # a mean of squares needs more digits than bfloat16 has
        t = t * torch.rsqrt(t.square().mean(dim=-1, keepdim=True) + self.eps)
        return (t * self.scale).to(x.dtype)  # scaled first, so that it is rounded only once
