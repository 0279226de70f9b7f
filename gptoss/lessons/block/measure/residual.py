"""One token's way through the residual stream: what every half block adds, and what that does to the answer's logit.

Direct logit attribution and the view of the stream as a sum: Elhage et al., "A Mathematical Framework for Transformer
Circuits" (2021). Logit lens: nostalgebraist, "interpreting GPT: the logit lens" (2020).

A stage is one addition to the stream: stage 0 is the embedding, then come each layer's attention and its experts, in
turn. A model of L layers has 1 + 2 L stages.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gptoss.model import Transformer

EMBEDDING = "embedding"
HALVES = ATTENTION, EXPERTS = ("attention", "experts")


def stage_names(layers: int) -> list[str]:
    """The stages of a model in order: `embedding`, `0 attention`, `0 experts`, `1 attention`, …"""
    return [EMBEDDING, *(f"{layer} {half}" for layer in range(layers) for half in HALVES)]


def residual_stream(trace: Mapping[str, Tensor]) -> Tensor:
    """The stream of one text after every stage: (stages, tokens, hidden), from a trace of any layers or of none.

    Raises `ValueError` for a batch of more than one text.
    """
    after = [value for name, value in trace.items() if name.endswith(("embedding", "after_attn", "after_mlp"))]
    if after[0].shape[0] != 1:
        raise ValueError(f"the trace holds {after[0].shape[0]} texts; allowed: 1")
    return torch.cat(after)


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
