"""What people say about MXFP4 and quantisation, decided on exact sizes and on weights that were never rounded."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gptoss import units
from gptoss.app.computed import computed
from gptoss.app.live import Built
from gptoss.app.study import Study
from gptoss.app.text import example_tokens
from gptoss.app.verdicts import Verdict
from gptoss.checkpoint.mxfp4 import BLOCK_SIZE
from gptoss.cost import count_parameters
from gptoss.lessons.mxfp4.measure import (
    BF16,
    FORMATS,
    MXFP4,
    Effect,
    effect_of_rounding,
    int8,
    model_bytes,
    read,
    share_in_mxfp4,
)
from gptoss.model import Transformer
from gptoss.training.unrounded import load_unrounded

PUSHED_TIMES = 32  # by how much the largest value of a block grows
NEAR = 0.02  # shares so near to a quarter count as one
UNROUNDED = Built(load_unrounded, (torch.float32,))
INT8 = "int8, scale per row"


def quarter_of_bf16(study: Study) -> Verdict:
    """The share of bf16's size that MXFP4 takes: of the experts' weights, and of a whole checkpoint."""
    bits = FORMATS[MXFP4].bits(study.config.hidden_size)
    experts = bits / FORMATS[BF16].bits(study.config.hidden_size)
    packed, plain = (model_bytes(study.config, FORMATS[name]) for name in (MXFP4, BF16))
    near = [abs(share - 1 / 4) <= NEAR for share in (experts, packed / plain)]
    return Verdict.of(all(near), partly=any(near), sentence=(
        f"A block of 32 has 32 · 4 + 8 bits, {units.number(bits)} a weight: {experts:.1%} of bf16's 16. Of all {study.name} "
        f"it is {packed / plain:.1%}, {units.size(packed)} instead of {units.size(plain)}: attention, embedding and "
        "unembedding stay in bf16."))


def everything_is_mxfp4(study: Study) -> Verdict:
    """The share of the parameters that is in MXFP4, and what is not."""
    counts, share = count_parameters(study.config), share_in_mxfp4(study.config)
    parts = counts.by_part
    others = {"embedding and unembedding": parts["embedding"] + parts["unembedding"], "attention": counts.attention,
              "experts' biases": parts["expert biases"]}
    listed = ", ".join(f"{name} {units.count(number)}" for name, number in others.items())
    return Verdict.of(share == 1, (
        f"{share:.1%} of {study.name}'s {units.count(counts.total)} parameters are: the two weights of its experts. "
        f"In bf16 stay {listed}, and norms, sinks and routers."))


def costs_nothing(study: Study) -> Verdict:
    """Every expert of the shipped model that was trained without rounding, rounded: what it says of the first example."""
    tokens = example_tokens(study).ids
    mxfp4, rows = effects_of_rounding(UNROUNDED, tokens, (MXFP4, INT8))
    return Verdict.of(mxfp4.divergence == 0, (
        f"In {study.name}, trained without rounding, the next-token distribution of {len(tokens)} tokens moves by "
        f"{units.number(mxfp4.divergence, 2)} nats a token, and {mxfp4.same_token:.1%} of the most probable tokens stay. In "
        f"int8 with a scale a row it moves by {units.number(rows.divergence, 2)}."))


def outlier_ruins_the_matrix(study: Study) -> Verdict:
    """One weight of a real matrix made an outlier: how many of the others come back changed, by format."""
    weights, mxfp4, row, matrix = changed_by_an_outlier(UNROUNDED)
    return Verdict.of(mxfp4 > row, (
        f"In mlp1 of expert 0, layer 0, of {study.name}, trained without rounding, the largest weight of one block was made "
        f"{PUSHED_TIMES} times as large. In MXFP4 {mxfp4} other weights of {weights:,} come back changed, all of them in "
        f"its block; in int8 with a scale a row {row}, in int8 with one scale for the matrix "
        f"{matrix:,}."))


def _effects_of_rounding(model: Transformer, tokens: tuple[int, ...], formats: Sequence[str]) -> list[Effect]:
    original, layers = read(model, tokens), range(model.config.num_hidden_layers)
    return [effect_of_rounding(model, tokens, FORMATS[name], layers, original) for name in formats]


def _changed_by_an_outlier(model: Transformer) -> tuple[int, int, int, int]:
    """Weights of one matrix, and how many others an outlier changes in MXFP4, and in int8 with a scale a row or for all."""
    weights = model.block[0].mlp.mlp1_weight[0].detach()
    pushed = weights.clone()
    place = int(pushed[0, :BLOCK_SIZE].abs().argmax())
    pushed[0, place] *= PUSHED_TIMES
    rounded = (FORMATS[MXFP4].rounded, int8, lambda matrix: int8(matrix.flatten()).view_as(matrix))
    changed = [form(pushed) != form(weights) for form in rounded]
    for others in changed:
        others[0, place] = False
    return weights.numel(), *(int(others.sum()) for others in changed)


effects_of_rounding = computed(_effects_of_rounding, entries=2)
changed_by_an_outlier = computed(_changed_by_an_outlier, entries=1)
