"""A mixture of experts, quickly: tokens are sorted by expert, so that each expert multiplies all its tokens in one matmul.

Shapes throughout: n tokens, of which each has chosen k experts; so there are n * k rows to multiply, one a choice.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gptoss.model.fast.linear import EVEN, linear
from gptoss.model.fast.packed import PackedExperts

SMALL = 2**26  # multiplications by the experts' second matrices, up to which one batched matmul is faster than many
WASTED = 2**18  # of them on padding, for each expert: on a CPU more than that takes longer than the calls that it saves

Activate = Callable[[Tensor], Tensor]  # (..., 2 * intermediate) -> (..., intermediate)


class Matrices(NamedTuple):
    """Both matrices of every expert and their biases, in each of which the experts come first."""

    mlp1_weight: Tensor | PackedExperts  # (experts, 2 * intermediate, hidden)
    mlp1_bias: Tensor                    # (experts, 2 * intermediate)
    mlp2_weight: Tensor | PackedExperts  # (experts, hidden, intermediate)
    mlp2_bias: Tensor                    # (experts, hidden)


def fast_mixture(x: Tensor, experts: Tensor, weights: Tensor, matrices: Matrices, activate: Activate) -> Tensor:
    """The weighted sum of each token's experts: x (n, hidden), experts and weights (n, k) -> (n, hidden)."""
    if len(x) == 1:  # a decoded token: there is nothing to sort
        return mixture_for_one_token(x, experts[0], weights[0], matrices, activate)
    choices, order = experts.flatten().sort(stable=True)                # (n * k,) each; rows of an expert lie together
    tokens = order // experts.shape[1]                                  # (n * k,): the token of each row
    counts = torch.bincount(choices, minlength=len(matrices.mlp1_bias)) # (experts,): how many rows each has
    answer = answer_at_once if worth_padding(counts.tolist(), matrices) else answer_in_turn
    answers = answer(x.index_select(0, tokens), choices, counts, matrices, activate)  # (n * k, hidden)
    shares = (answers * weights.flatten()[order, None]).to(x.dtype)  # autocast multiplies in another format
    return torch.zeros_like(x).index_add_(0, tokens, shares)            # (n, hidden)


def mixture_for_one_token(x: Tensor, experts: Tensor, weights: Tensor, matrices: Matrices, activate: Activate) -> Tensor:
    """The same for a single token: x (1, hidden), experts and weights (k,) -> (1, hidden)."""
    return sum(one_expert(x, expert, matrices, activate)[0] * weight
               for expert, weight in zip(experts.tolist(), weights, strict=True))


def worth_padding(counts: Sequence[int], matrices: Matrices) -> bool:
    """Whether multiplying padding costs less than a call for each expert, which has so many rows. Packed ones have none."""
    second = matrices.mlp2_weight
    return isinstance(second, Tensor) and padding_pays(counts, second.shape[1:].numel(), second.device.type)


def padding_pays(counts: Sequence[int], size: int, device: str = "cpu") -> bool:
    """The same by the numbers alone: rows of each expert, and the values of an expert's second matrix."""
    padded = len(counts) * max(counts)  # rows, if every expert got as many as the busiest
    little = device != "cpu" or (padded - sum(counts)) * size <= WASTED * len(counts)  # one call is dearer on a GPU
    return padded * size <= SMALL and little


def answer_at_once(rows: Tensor, choices: Tensor, counts: Tensor, matrices: Matrices, activate: Activate) -> Tensor:
    """All experts answer in one batched matmul: rows (n * k, hidden), sorted by expert -> the same shape.

    An expert with fewer rows than the busiest gets rows of zeros, whose answers nobody reads.
    """
    mlp1_weight, mlp1_bias, mlp2_weight, mlp2_bias = matrices
    first = counts.cumsum(0) - counts                                    # (experts,): where the rows of each begin
    slot = torch.arange(len(rows), device=rows.device) - first[choices]  # (n * k,): the place of each within its expert
    padded = rows.new_zeros(len(counts), counts.max(), rows.shape[-1]).index_put((choices, slot), rows)
    hidden = torch.baddbmm(mlp1_bias[:, None], padded, mlp1_weight.transpose(1, 2))  # (experts, slots, 2 * intermediate)
    out = torch.baddbmm(mlp2_bias[:, None], activate(hidden), mlp2_weight.transpose(1, 2))  # (experts, slots, hidden)
    return out[choices, slot]


def answer_in_turn(rows: Tensor, choices: Tensor, counts: Tensor, matrices: Matrices, activate: Activate) -> Tensor:
    """One expert in use answers after another: rows (n * k, hidden), sorted by expert -> the same shape.

    All are unbound at once: the gradient of each taken by itself would be as large as that of all together. Packed
    ones are unpacked one after another, and only those in use.
    """
    unbound = Matrices(*(part.unbind() for part in matrices))
    return torch.cat([answer for expert, own in enumerate(rows.split(counts.tolist())) if len(own)
                      for answer in one_expert(own, expert, unbound, activate)])


def one_expert(x: Tensor, expert: int, matrices: Matrices, activate: Activate) -> list[Tensor]:
    """One expert on the rows that were sent to it: (rows, hidden) -> the same in pieces, one after another."""
    mlp1_weight, mlp1_bias, mlp2_weight, mlp2_bias = (part[expert] for part in matrices)
    return [linear(activate(linear(piece, mlp1_weight, mlp1_bias)), mlp2_weight, mlp2_bias) for piece in even_pieces(x)]


def even_pieces(rows: Tensor) -> list[Tensor]:
    """Rows as a multiple of `EVEN`, which oneDNN multiplies, and the rest: a text sends each expert some other number."""
    if rows.device.type != "cpu" or len(rows) < EVEN:
        return [rows]
    rest = len(rows) % EVEN
    return [piece for piece in rows.split((len(rows) - rest, rest)) if len(piece)]
