"""torch's own counter of FLOPs, which knows every product of matrices but oneDNN's until it is told of it."""

import math

import torch
from torch.utils.flop_counter import FlopCounterMode, register_flop_formula

__all__ = ["FlopCounterMode"]


@register_flop_formula(torch.ops.mkldnn._linear_pointwise)
def linear_flops(x_shape, weight_shape, *_, **__) -> int:
    """Of x (..., inputs) times weight (outputs, inputs)."""
    return 2 * math.prod(x_shape) * weight_shape[0]
