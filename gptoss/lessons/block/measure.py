"""One token's way through the residual stream: what every part adds, and what is left when one is taken out.

A stage is one addition to the stream: stage 0 is the embedding, then come each layer's attention and its experts, in
turn. A model of L layers has 1 + 2 L stages. Direct logit attribution and the view of the stream as a sum: Elhage et al.,
"A Mathematical Framework for Transformer Circuits" (2021). Logit lens: nostalgebraist, "interpreting GPT: the logit lens"
(2020).

A part is taken out by zero ablation: its addition to the stream is left out at every position, and all blocks behind it
run again on what they then read. The model's weights are never touched, since others use them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gptoss.config import ModelConfig
from gptoss.model import AttentionBlock, MLPBlock, Transformer
from gptoss.trace import trace

HALVES = ATTENTION, EXPERTS = ("attention", "experts")
LIKELIEST, OWN_NEXT = ANSWERS = ("most probable answer", "text's own next")
NOTHING = "nothing"  # removed
ROWS_AT_ONCE = 16  # variants of a text that run side by side; bounds their attention weights
_NAME = re.compile(r"layer ([0-9]{1,6}) (?:(attention|experts)|(head|expert) ([0-9]{1,6}))")


def stage_names(layers: int) -> list[str]:
    """The stages of a model in order: `embedding`, `0 attention`, `0 experts`, `1 attention`, …"""
    return ["embedding", *(f"{layer} {half}" for layer in range(layers) for half in HALVES)]


def residual_stream(trace: Mapping[str, Tensor]) -> Tensor:
    """The stream of one text after every stage: (stages, tokens, hidden), from a trace of any layers or of none.

    Raises `ValueError` for a batch of more than one text.
    """
    after = [value for name, value in trace.items() if name.endswith(("embedding", "after_attn", "after_mlp"))]
    if after[0].shape[0] != 1:
        raise ValueError(f"the trace holds {after[0].shape[0]} texts; allowed: 1")
    return torch.cat(after)


@dataclass(frozen=True)
class Visits:
    """What every layer's attention and experts do at each token of one text."""

    looks: Tensor  # (layers, queries, keys), weights, a mean over the heads
    sinks: Tensor  # (layers, queries), what the sinks take, a mean over the heads
    experts: Tensor  # (layers, tokens, k), the chosen ones, best first
    shares: Tensor  # (layers, tokens, k), their weights


def visits(trace: Mapping[str, Tensor], model: Transformer) -> Visits:
    """From a trace that has the insides of all layers: their `attn.weights`, `attn.sink_mass`, `mlp.experts` and weights."""
    def of_layers(name: str) -> list[Tensor]:
        return [trace[f"block.{layer}.{name}"][0].float() for layer in range(len(model.block))]

    return Visits(torch.stack([of.mean(dim=0) for of in of_layers("attn.weights")]),
                  torch.stack([of.mean(dim=0) for of in of_layers("attn.sink_mass")]),
                  torch.stack(of_layers("mlp.experts")).long(), torch.stack(of_layers("mlp.expert_weights")))


def right_angle(one: float, other: float) -> float:
    """The length of the sum of two vectors of these lengths at a right angle."""
    return torch.tensor([[one, 0.0], [0.0, other]], dtype=torch.float64).sum(dim=0).norm().item()


def additions(stream: Tensor) -> Tensor:
    """What each stage added: (stages, …, hidden) -> the same shape, float64. The embedding was added to nothing.

    Differences, not the half blocks' own outputs: they add up to the stream whatever was rounded on the way.
    """
    stream = stream.double()
    return torch.cat((stream[:1], stream.diff(dim=0)))


def journey(stream: Tensor) -> dict[str, Tensor]:
    """The lengths and angles of one token's way: (stages, hidden) -> four tensors (stages,), float64.

    `before` and `after` are the norms of the stream around each stage, `added` is the norm of what the stage adds, and
    `cosine` that of the angle between the two: 1 strengthens what is there, 0 adds a new direction, -1 erases. It is
    NaN where one of the two is zero, as it is before the embedding.
    """
    stream, added = stream.double(), additions(stream)
    before = torch.cat((torch.zeros_like(stream[:1]), stream[:-1]))
    lengths = {"before": before.norm(dim=-1), "added": added.norm(dim=-1), "after": stream.norm(dim=-1)}
    cosine = (before * added).sum(dim=-1) / (lengths["before"] * lengths["added"])
    return lengths | {"cosine": cosine.clamp(-1, 1)}


@torch.no_grad()
def answer_direction(model: Transformer, final: Tensor, token: int) -> Tensor:
    """The direction of the stream that spells `token`: (hidden,) last stream of a position -> (hidden,), float64.

    The final RMSNorm divides the stream by its root mean square. With that number frozen at the run's own value the
    logit is linear in the stream, and this is its gradient: the dot product with any addition is what it adds.
    """
    return model.unembedding.weight[token].double() * _frozen_norm(model, final)


def contributions(model: Transformer, stream: Tensor, token: int) -> Tensor:
    """What each stage adds to the logit of `token`: (stages, hidden) -> (stages,), float64. They sum to the logit."""
    return additions(stream) @ answer_direction(model, stream[-1], token)


@torch.no_grad()
def logits_without_bar(model: Transformer, stream: Tensor) -> Tensor:
    """What the waterfall foresees: all logits less one stage's own contribution, the rest unmoved.

    Shapes: (stages, hidden) -> (stages, vocab), float64, a row for the loss of each stage.
    """
    left = (stream[-1].double() - additions(stream)) * _frozen_norm(model, stream[-1])
    return left @ model.unembedding.weight.double().T


@torch.no_grad()
def logit_lens(model: Transformer, stream: Tensor) -> Tensor:
    """The logits if the model stopped after each stage: (stages, hidden) -> (stages, vocab), float32.

    Every stream goes through the final norm, with a scale of its own, and through the unembedding. The last row is the
    model's answer.
    """
    return model.unembedding(model.norm(stream)).float()


def settled_stage(lens: Tensor, token: int) -> int:
    """The first stage from which `token` stays on top of the (stages, vocab) `lens` to the end.

    The number of stages where it is not on top even then.
    """
    on_top = (lens.argmax(dim=-1) == token).tolist()
    elsewhere = [stage for stage, top in enumerate(on_top) if not top]
    return elsewhere[-1] + 1 if elsewhere else 0


def ranks(lens: Tensor, token: int) -> Tensor:
    """The place of `token` at every stage of a (stages, vocab) `lens`, 1 for the most probable: (stages,)."""
    return (lens > lens[:, token, None]).sum(dim=-1) + 1


def _frozen_norm(model: Transformer, final: Tensor) -> Tensor:
    """What the final RMSNorm multiplies each feature by at this position: (hidden,), float64."""
    root_mean_square = (final.double().square().mean() + model.norm.eps).sqrt()
    return model.norm.scale.double() / root_mean_square


@dataclass(frozen=True)
class Part:
    """A removable part of a model: a half block of one layer, or one `head` or `expert` (its number) in it."""

    layer: int
    half: str  # one of `HALVES`
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
        """The stage whose addition this part makes, or is a piece of."""
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


def part_called(name: object, config: ModelConfig) -> Part | None:
    """The part of a model that a name means; None for `NOTHING`, and where it has none of that name."""
    try:
        return Part.from_name(name, config) if isinstance(name, str) else None
    except ValueError:
        return None


def answer_of(probabilities: Tensor, tokens: Sequence[int], position: int, wanted: str) -> int:
    """The token in question after a position: the most probable one of (vocab,), or the text's own next where it has one."""
    if wanted == OWN_NEXT and position + 1 < len(tokens):
        return tokens[position + 1]
    return int(probabilities.argmax())


def half_block_parts(layers: int) -> list[Part]:
    """Every half block of a model in the order in which it runs; part n makes the addition of stage n + 1."""
    return [Part(layer, half) for layer in range(layers) for half in HALVES]


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


@dataclass(frozen=True)
class StreamCheck:
    """A token's logit two ways, and the largest differences between two ways to the same numbers."""

    total: float  # of the bars
    logit: float  # the model's own
    lens: float  # last row of the logit lens, from the model's output
    explicit: float  # attention step by step, from the fused kernel: logits
    one_by_one: float  # half blocks removed one by one, from all side by side: the token's probability


@torch.no_grad()
def check_stream(model: Transformer, tokens: tuple[int, ...], position: int, answer: int) -> StreamCheck:
    """Check contributions, lens and removals of one text at one position, for the token `answer`."""
    ids = torch.tensor([tokens])
    fused, explicit = trace(model, ids, layers=[]), trace(model, ids)["logits"][0, position].float()
    stream, logits = residual_stream(fused), fused["logits"][0, position].float()
    final = [stream_without(model, stream, part)[-1, position] for part in half_block_parts(len(model.block))]
    one_by_one, at_once = (logit_lens(model, streams).softmax(dim=-1)[:, answer] for streams in (
        torch.stack(final), final_streams_without_each(model, ids[0])[:, position]))
    here = stream[:, position]
    return StreamCheck(contributions(model, here, answer).sum().item(), logits[answer].item(),
                       *((ours - theirs).abs().max().item() for ours, theirs in (
                           (logit_lens(model, here)[-1], logits), (explicit, logits), (one_by_one, at_once))))


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
