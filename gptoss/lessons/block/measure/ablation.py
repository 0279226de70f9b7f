"""Take one part out of a model and run what is left: a half block, an attention head, or an expert.

Zero ablation: the part's addition to the stream is left out at every position, and all blocks behind it run again on
what they then read. The model's weights are never touched, since others use them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gptoss.config import ModelConfig
from gptoss.lessons.block.measure.residual import ATTENTION, EXPERTS
from gptoss.model import AttentionBlock, MLPBlock, Transformer

_NAME = re.compile(r"layer ([0-9]{1,6}) (?:(attention|experts)|(head|expert) ([0-9]{1,6}))")
ROWS_AT_ONCE = 16  # variants of a text that run side by side; bounds their attention weights


@dataclass(frozen=True)
class Part:
    """A removable part of a model: a half block of one layer, or one `head` or `expert` (its number) in it."""

    layer: int
    half: str  # one of `residual.HALVES`
    head: int | None = None
    expert: int | None = None

    @property
    def name(self) -> str:
        """The part in words: `layer 3 attention`, `layer 3 experts`, `layer 3 head 2` or `layer 3 expert 5`."""
        if self.head is not None:
            return f"layer {self.layer} head {self.head}"
        return f"layer {self.layer} {self.half if self.expert is None else f'expert {self.expert}'}"

    @property
    def stage(self) -> int:
        """The stage (see `gptoss.lessons.block.measure.residual`) whose addition this part makes, or is a piece of."""
        return 1 + 2 * self.layer + (self.half == EXPERTS)

    @classmethod
    def from_name(cls, name: str, config: ModelConfig) -> Part:
        """The part of this model called `name`. Raises `ValueError` for anything else."""
        match = _NAME.fullmatch(name)
        if not match:
            raise ValueError(f"part {name!r} is unknown; allowed: layer 0 attention, layer 0 experts, layer 0 head 0, "
                             "layer 0 expert 0, and so on")
        layer, half, piece, number = match.groups()
        _require_below("layer", int(layer), config.num_hidden_layers)
        if half:
            return cls(int(layer), half)
        if piece == "head":
            return cls(int(layer), ATTENTION, head=_require_below("head", int(number), config.num_attention_heads))
        return cls(int(layer), EXPERTS, expert=_require_below("expert", int(number), config.num_experts))


def half_block_parts(layers: int) -> list[Part]:
    """Every half block of a model in the order in which it runs; part n makes the addition of stage n + 1."""
    return [Part(layer, half) for layer in range(layers) for half in (ATTENTION, EXPERTS)]


@torch.no_grad()
def stream_without(model: Transformer, stream: Tensor, part: Part) -> Tensor:
    """The stream of the same text in the model without `part`: (stages, tokens, hidden) -> the same shape.

    `stream` is that of the whole model. Stages before the part are as they were; from it on, every half block is run
    again.
    """
    half_blocks = _half_blocks(model)
    before = stream[part.stage - 1][None]
    stages = [*stream[:part.stage, None], _run_without(half_blocks[part.stage - 1], before, part)]
    for half_block in half_blocks[part.stage:]:
        stages.append(half_block(stages[-1]))
    return torch.cat(stages)


@torch.no_grad()
def final_streams_without_each(model: Transformer, tokens: Tensor) -> Tensor:
    """The last stream of a text without each half block in turn: (tokens,) ids -> (half blocks, tokens, hidden)."""
    rows = model.embedding(tokens)[None]  # the whole model's stream, and below it one for every part left out so far
    for half_block in _half_blocks(model):
        rows = torch.cat((*(half_block(some) for some in rows.split(ROWS_AT_ONCE)), rows[:1]))  # the newest skips it
    return rows[1:]


@torch.no_grad()
def head_additions(model: Transformer, trace: Mapping[str, Tensor], layer: int, position: int) -> Tensor:
    """What each head of `layer` adds to the stream at one position: (heads, hidden), float64.

    With the output projection's bias they sum to `attn.out`. The trace must hold that layer's inside.
    """
    mixed = trace[f"block.{layer}.attn.mixed"][0, position].double()
    slices = model.block[layer].attn.out.weight.double().unflatten(1, mixed.shape)  # a head's own columns
    return torch.einsum("hd,ohd->ho", mixed, slices)


def expert_additions(trace: Mapping[str, Tensor], layer: int, position: int) -> tuple[Tensor, Tensor]:
    """The experts that one position chose, best first, and what each adds: (k,) and (k, hidden), float64.

    They sum to `mlp.out`. The trace must hold that layer's inside.
    """
    inside = f"block.{layer}.mlp"
    weights = trace[f"{inside}.expert_weights"][0, position].double()
    answers = trace[f"{inside}.expert_outputs"][position].double()
    return trace[f"{inside}.experts"][0, position], weights[:, None] * answers


def _half_blocks(model: Transformer) -> list[AttentionBlock | MLPBlock]:
    return [half for block in model.block for half in (block.attn, block.mlp)]


def _run_without(half_block: AttentionBlock | MLPBlock, x: Tensor, part: Part) -> Tensor:
    """The half block's own forward pass on (1, tokens, hidden), less what the part would have added."""
    if part.head is None and part.expert is None:
        return x
    inside: dict[str, Tensor] = {}
    half_block(x, record=inside.__setitem__)
    if part.head is not None:
        mixed = inside["mixed"].clone()
        mixed[:, :, part.head] = 0
        return x + half_block.out(mixed.flatten(2))
    # The router still picks the expert and weighs the others as before: its answer is missing, nothing else.
    weights = inside["expert_weights"].masked_fill(inside["experts"] == part.expert, 0)
    return x + (inside["expert_outputs"] * weights[0, :, :, None]).sum(dim=1)


def _require_below(name: str, number: int, count: int) -> int:
    if number >= count:
        raise ValueError(f"{name}={number} is not in this model; allowed: 0 to {count - 1}")
    return number
