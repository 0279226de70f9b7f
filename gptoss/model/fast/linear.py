"""A matrix product by the library that is quicker at it: the numbers of `torch.nn.functional.linear`, from oneDNN.

On a CPU torch multiplies float32 by MKL, which on an AMD EPYC reaches half of the rate that oneDNN reaches there. oneDNN
takes 10 microseconds longer to begin, and 150 more for a shape that it meets for the first time. Each such shape also keeps
memory: after a thousand numbers of rows a process holds 400 MB more. So only multiples of 64 rows go there.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import handle_torch_function, has_torch_function

SMALL = 2**21  # multiplications up to which the longer beginning costs more than the higher rate saves
EVEN = 64  # rows: only multiples of it are multiplied by oneDNN, so that it meets few shapes

_multiply = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.t() + bias: x (..., inputs), weight (outputs, inputs), bias (outputs,) or None -> (..., outputs)."""
    if has_torch_function((x, weight)):  # whoever counts operations counts this as one
        return handle_torch_function(linear, (x, weight), x, weight, bias)
    if not _is_worth_it(x, weight):
        return F.linear(x, weight, bias)
    bias = None if bias is None else bias.contiguous()  # oneDNN reads it as if it were
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad or bias is not None and bias.requires_grad):
        return _Linear.apply(x, weight, bias)
    return _multiply(x, weight, bias, "none", [], "")


def _is_worth_it(x: Tensor, weight: Tensor) -> bool:
    return (_multiply is not None and x.numel() * len(weight) > SMALL and x.shape[:-1].numel() % EVEN == 0
            and x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu"))


class _Linear(torch.autograd.Function):
    """The product with its gradients, which are two more products."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _multiply(x, weight, bias, "none", [], "")

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        rows, answers = x.flatten(0, -2), gradient.flatten(0, -2)            # (rows, inputs), (rows, outputs)
        return (linear(gradient, weight.t()) if of_x else None,
                _transposed_product(answers, rows) if of_weight else None,
                answers.sum(dim=0) if of_bias else None)


def _transposed_product(a: Tensor, b: Tensor) -> Tensor:
    """a.t() @ b for (rows, n) and (rows, k) -> (n, k), with the wider of the two where oneDNN takes it with less copying."""
    if a.shape[1] < b.shape[1]:
        return linear(a.t(), b.t())
    return linear(b.t(), a.t()).t()
