"""What rounding its experts does to a model: two readings of one text, token by token beside each other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptoss.lessons.mxfp4.measure.quantisation import Format
from gptoss.model import Transformer

EXPERT_WEIGHTS = ("mlp1_weight", "mlp2_weight")


@dataclass(frozen=True)
class Reading:
    """One pass over a text of n tokens.

    Attributes:
        logits: of the next token at every position (n, vocab), float32.
        losses: of every token but the first, in nats (n - 1,).
        chosen: the experts that each token went through (layers, n, k).
    """

    logits: Tensor
    losses: Tensor
    chosen: Tensor


@dataclass(frozen=True)
class Effect:
    """A reading beside that of the same text before rounding. Means over the tokens, differences paired.

    Attributes:
        divergence: KL divergence of the next-token distributions, original first, in nats a token.
        loss: of the rounded model, in nats a token; NaN where the text has no token to predict.
        change: of the loss, in nats a token: rounded less original.
        spread: standard error of that change over the tokens.
        worst: the largest change of one token's loss, with its sign.
        logits: root mean square of what changed in the logits, as a share of their own, both less their mean over the
            vocabulary, which softmax does not see.
        same_token: share of the positions at which the most probable token is the same.
        same_experts: share of the routers' choices that are the same.
    """

    divergence: float
    loss: float
    change: float
    spread: float
    worst: float
    logits: float
    same_token: float
    same_experts: float


def with_rounded_experts(model: Transformer, number_format: Format, layers: Collection[int]) -> Transformer:
    """A model with the experts' two weights of some layers rounded and every other tensor shared, not copied.

    `model` stays as it is. Raises `ValueError` as the format does for a shape that it cannot hold.
    """
    rounded = model.sharing_weights()
    for layer in layers:
        own = rounded.block[layer].mlp
        for name in EXPERT_WEIGHTS:
            setattr(own, name, nn.Parameter(number_format.rounded(getattr(own, name).detach()), requires_grad=False))
    return rounded.eval()


@torch.no_grad()
def read(model: Transformer, tokens: Sequence[int]) -> Reading:
    """Run `model` over the ids of one text."""
    ids = torch.tensor([tokens])
    with _choices(model) as chosen:
        logits = model(ids)[0].float()
    return Reading(logits, F.cross_entropy(logits[:-1], ids[0, 1:], reduction="none"), torch.stack(chosen))


@contextmanager
def _choices(model: Transformer) -> Iterator[list[Tensor]]:
    """The experts (n, k) that each layer chooses in a pass inside, first layer first."""
    chosen: list[Tensor] = []

    def note(gate: nn.Module, inputs: tuple, logits: Tensor) -> None:
        chosen.append(logits[0].topk(model.config.experts_per_token, dim=-1).indices)

    handles = [block.mlp.gate.register_forward_hook(note) for block in model.block]
    try:
        yield chosen
    finally:
        for handle in handles:
            handle.remove()


def effect(original: Reading, rounded: Reading) -> Effect:
    """Two readings of one text, the second with other weights."""
    before, after = (reading.logits.double().log_softmax(dim=-1) for reading in (original, rounded))
    change = (rounded.losses - original.losses).double()
    count = len(change)
    return Effect(
        divergence=(before.exp() * (before - after)).sum(dim=-1).mean().item(),
        loss=rounded.losses.double().mean().item(), change=change.mean().item(),
        spread=(change.std() / count**0.5).item() if count > 1 else float("nan"),
        worst=change[change.abs().argmax()].item() if count else float("nan"),
        logits=_moved(original.logits, rounded.logits),
        same_token=(original.logits.argmax(dim=-1) == rounded.logits.argmax(dim=-1)).double().mean().item(),
        same_experts=_overlap(original.chosen, rounded.chosen))


def _moved(before: Tensor, after: Tensor) -> float:
    before, after = (logits.double() - logits.double().mean(dim=-1, keepdim=True) for logits in (before, after))
    size = before.square().mean().sqrt().item()
    return (after - before).square().mean().sqrt().item() / size if size else 0.0


def _overlap(before: Tensor, after: Tensor) -> float:
    """The share of the choices (layers, n, k) that are in both, whatever their order."""
    return (before[..., :, None] == after[..., None, :]).any(dim=-1).double().mean().item()


def effect_of_rounding(model: Transformer, tokens: Sequence[int], number_format: Format, layers: Collection[int],
                       original: Reading) -> Effect:
    """The effect of rounding the experts of some layers, beside the `original` reading of the same tokens."""
    return effect(original, read(with_rounded_experts(model, number_format, layers), tokens))


def spread_out(layers: int, most: int) -> list[int]:
    """At most so many of the layers 0 to `layers` - 1, evenly apart, the first and the last among them."""
    if layers <= most:
        return [*range(layers)]
    return sorted({round(place * (layers - 1) / (most - 1)) for place in range(most)})
