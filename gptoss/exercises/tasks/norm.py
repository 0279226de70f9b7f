"""Exercise: RMSNorm."""

import torch
from torch import Tensor

from gptoss.exercises.exercise import EASY, Case, Exercise, Mistake
from gptoss.model import RMSNorm


def rmsnorm(x: Tensor, scale: Tensor, eps: float) -> Tensor:
    """Divide each vector by its root mean square, then multiply by a learned scale.

    Shapes: x (..., features), any dtype; scale (features,), float32. Returns (..., features) in the dtype of x.
    The computation is in float32. eps is added to the mean of the squares, so that zeros are not divided by zero.
    """
    t = x.float()
    mean_square = t.square().mean(dim=-1, keepdim=True)  # (..., 1)
    t = t * torch.rsqrt(mean_square + eps)
    return (t * scale).to(x.dtype)


def _ours(x: Tensor, scale: Tensor, eps: float) -> Tensor:
    norm = RMSNorm(len(scale), eps).requires_grad_(False)
    norm.scale.copy_(scale)
    return norm(x)


def _cases() -> list[Case]:
    draw = torch.Generator().manual_seed(1)
    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    return [
        Case("2 texts of 3 tokens, 5 features", (normal(2, 3, 5), normal(5), 1e-5)),
        Case("1 token, 7 features of size 30 around 20", (20 + 30 * normal(1, 7), normal(7), 1e-5)),
        Case("features near 0.001, where eps counts", (1e-3 * normal(4, 6), normal(6), 1e-5)),
        Case("a token of zeros", (torch.zeros(2, 3), torch.ones(3), 1e-5)),
        Case("bfloat16", (normal(3, 33).bfloat16(), normal(33), 1e-5)),
        Case("float16 with features near 300, whose squares float16 cannot "
        "hold", (300 * normal(2, 9).half(), normal(9), 1e-5)),
    ]


def _eps_outside(x: Tensor, scale: Tensor, eps: float) -> Tensor:
    t = x.float()
    return (t / (t.square().mean(dim=-1, keepdim=True).sqrt() + eps) * scale).to(x.dtype)


def _no_eps(x: Tensor, scale: Tensor, eps: float) -> Tensor:
    return rmsnorm(x, scale, 0.0)


def _mean_removed(x: Tensor, scale: Tensor, eps: float) -> Tensor:
    t = x.float()
    return rmsnorm(t - t.mean(dim=-1, keepdim=True), scale, eps).to(x.dtype)


def _sum(x: Tensor, scale: Tensor, eps: float) -> Tensor:
    t = x.float()
    return (t * torch.rsqrt(t.square().sum(dim=-1, keepdim=True) + eps) * scale).to(x.dtype)


def _over_everything(x: Tensor, scale: Tensor, eps: float) -> Tensor:
    t = x.float()
    return (t * torch.rsqrt(t.square().mean() + eps) * scale).to(x.dtype)


def _own_format(x: Tensor, scale: Tensor, eps: float) -> Tensor:
    return (x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + eps) * scale).to(x.dtype)


def _stays_float32(x: Tensor, scale: Tensor, eps: float) -> Tensor:
    return rmsnorm(x.float(), scale, eps)


def _no_scale(x: Tensor, scale: Tensor, eps: float) -> Tensor:
    return rmsnorm(x, torch.ones_like(scale), eps)


RMSNORM = Exercise(
    name="rmsnorm", title="RMSNorm", pages=("rmsnorm", "block"), difficulty=EASY, minutes=8,
    story="""\
Every block of GPT-OSS adds to the residual stream, so the stream's vectors grow from layer to layer. What reads them
should not care how long they have become. RMSNorm brings each vector to one size before it is read: it divides by the
root of the mean of the squared features, and a learned scale then says how loud each feature is. Unlike LayerNorm, it
takes no mean away and adds no bias.""",
    hints=(
        "Three steps: the mean of the squared features of each token, the division by its root, and the learned scale.",
        "Convert to float32 first and go back to the dtype of x at the very end. `mean(dim=-1, keepdim=True)` keeps a "
        "dimension of 1, so that the division works for every shape.",
        "`t = x.float()`, then `t * torch.rsqrt(t.square().mean(dim=-1, keepdim=True) + eps)`. What is left is the scale "
        "and `.to(x.dtype)`."),
    solution=rmsnorm, ours=_ours, cases=_cases,
    mistakes=(
        Mistake("eps outside the root", "You add eps to the root. It belongs under it, to the mean of the squares: there "
                "1e-5 counts as much as features of size 0.003, after the root only as much as features of 0.00001.",
                _eps_outside),
        Mistake("eps left out", "A vector of zeros is divided by zero. Add eps to the mean of the squares.", _no_eps),
        Mistake("mean removed", "You subtract the mean first. That is LayerNorm; RMSNorm leaves the mean where it is.",
                _mean_removed),
        Mistake("sum instead of mean", "You divide by the root of the sum of squares, so the output gets the length 1. With "
                "the mean it gets a root mean square of 1, whatever the number of features is.", _sum),
        Mistake("mean over everything", "One mean square is taken over all tokens. Each token has its own: "
                "`mean(dim=-1, keepdim=True)`.", _over_everything),
        Mistake("squares in the input's own format", "You square before you convert to float32. Half precision cannot hold "
                "the squares of large features; call `x.float()` first.", _own_format),
        Mistake("stays in float32", "The result is float32. It has to come back in the dtype of x, because the stream's "
                "other parts have that.", _stays_float32),
        Mistake("scale left out", "The learned scale is missing: multiply by it after the division.", _no_scale),
    ))
