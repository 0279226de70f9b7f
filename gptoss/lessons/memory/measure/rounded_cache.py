"""A KV cache in FP8, judged by what a trained model still finds: real keys and values, cast by torch and read back.

e4m3 has a sign, four bits of exponent and three of mantissa, and ends at 448 (Micikevicius et al., arXiv 2209.05433). Here
every token reads keys and values as they come back from the cache, as a decoding step would; all sums are float32's unless
a way of storing says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gptoss.config import ModelConfig
from gptoss.cost import cache_film
from gptoss.model import Transformer
from gptoss.model.attention import AttentionBlock, explicit_attention
from gptoss.model.mask import visible
from gptoss.tokenizer import CompactVocabulary
from gptoss.training.domains import RECALL, REPETITION, Documents, draw
from gptoss.training.stories.possession import POSSESSION, Grammar
from gptoss.training.storyteller import storyteller_vocabulary

E4M3 = torch.float8_e4m3fn
LARGEST = torch.finfo(E4M3).max  # 448
DOCUMENTS, LENGTH, SEED = 40, 64, 11  # of each kind of text
STORIES, STORY = 16, 128  # stories, and tokens of each

NO_SCALE, A_TENSOR, A_HEAD = SCALES = "no scale", "a scale for each tensor", "a scale for each head"
ALL, FULL = "all layers", "full layers"


@dataclass(frozen=True)
class Way:
    """A way of keeping keys and values.

    Attributes:
        layers: which layers are in FP8, `ALL` or `FULL`; the others stay in bf16. Empty: none is.
        scale: one of `SCALES`.
        sums: whether the values are also added up in FP8, key by key.
    """

    name: str
    layers: str = ""
    scale: str = A_HEAD
    sums: bool = False


BF16 = Way("bf16")
SKIPPED = Way("FP8, sliding layers in bf16", FULL)
EVERYWHERE = Way("FP8 in all layers", ALL)
WAYS = (BF16, SKIPPED, EVERYWHERE, Way("one scale a tensor", ALL, A_TENSOR), Way("no scale at all", ALL, NO_SCALE),
        Way("sums in FP8 as well", ALL, A_HEAD, sums=True))


@dataclass(frozen=True)
class Kept:
    """What a model still does with its cache kept in some way.

    Attributes:
        right: kind of text -> how often what stood earlier was found, 0 to 1.
        loss: kind of text -> nats of those tokens.
        same: share of all next tokens at which the most probable one is that of the cache in bf16.
        error: of keys and values, root mean square as a share of their own; in the layers that are in FP8.
        asked: kind of text -> how many tokens come again.
    """

    right: Mapping[str, float]
    loss: Mapping[str, float]
    same: float
    error: float
    asked: Mapping[str, int]


def scale_of(values: Tensor, scale: str) -> Tensor | float:
    """What (batch, keys, kv_heads, head_dim) is divided by before the cast, so that its largest is e4m3's largest."""
    if scale == NO_SCALE:
        return 1.0
    largest = values.float().abs().amax(dim=None if scale == A_TENSOR else (0, 1, 3), keepdim=scale == A_HEAD)
    return largest.clamp(min=torch.finfo(torch.float32).tiny) / LARGEST


def through_fp8(values: Tensor, scale: Tensor | float) -> Tensor:
    """Values as they come back from e4m3: divided by the scale, cast, cast back and multiplied. What is beyond is cut."""
    return ((values.float() / scale).clamp(-LARGEST, LARGEST).to(E4M3).float() * scale).to(values.dtype)


def through_bf16(values: Tensor) -> Tensor:
    """Values as they come back from bfloat16."""
    return values.bfloat16().to(values.dtype)


def with_cache(model: Transformer, way: Way) -> tuple[Transformer, list[float]]:
    """A model of the same weights that reads keys and values as they come back; and, once it runs, their errors."""
    model, errors = model.sharing_weights().eval().requires_grad_(False), []
    for block in model.block:
        block.attn._attend = partial(_attend, block.attn, way, errors)
    return model, errors


def _attend(attn: AttentionBlock, way: Way, errors: list[float], q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    if not (way.layers == ALL or way.layers == FULL and not attn.window):
        return AttentionBlock._attend(attn, q, through_bf16(keys), through_bf16(values))
    scale = scale_of(values, way.scale)
    kept = through_fp8(keys, scale_of(keys, way.scale)), through_fp8(values, scale)
    errors += [((back - own).float().square().mean() / own.float().square().mean()).sqrt().item()
               for back, own in zip(kept, (keys, values), strict=True)]
    return _added_in_fp8(attn, q, *kept, scale) if way.sums else AttentionBlock._attend(attn, q, *kept)


def _added_in_fp8(attn: AttentionBlock, q: Tensor, keys: Tensor, values: Tensor, scale: Tensor) -> Tensor:
    """Attention whose sum over the values is kept in e4m3, and rounded again with every key that comes on top."""
    seen: dict[str, Tensor] = {}
    explicit_attention(q, keys, values, attn.sinks, visible(q.shape[1], keys.shape[1], attn.window, q.device),
                       seen.__setitem__)
    weights = seen["weights"].float().unflatten(1, (keys.shape[2], -1))  # (batch, kv_heads, group, queries, keys)
    scale = scale.transpose(1, 2)[:, :, None]                            # (1, kv_heads, 1, 1, 1)
    total = torch.zeros(*weights.shape[:-1], values.shape[-1])
    for key in range(keys.shape[1]):
        total = through_fp8(total + weights[..., key, None] * values[:, key, :, None, None], scale)
    return total.flatten(1, 2).transpose(1, 2).to(q.dtype)               # (batch, queries, heads, head_dim)


def texts(vocabulary: CompactVocabulary, documents: int = DOCUMENTS, length: int = LENGTH) -> dict[str, Documents]:
    """Texts in which something comes again: facts that are asked for, and lines of random words that are written twice.

    In the vocabulary of `storyteller`, which was trained on neither, stories that ask who has what, and where somebody is.
    """
    if vocabulary == storyteller_vocabulary():
        told, age = Grammar(vocabulary).documents(np.random.default_rng(SEED), STORIES, STORY + 1, entropies=False)
        return {POSSESSION: replace(told, distance=age)}
    return {kind: draw(kind, vocabulary, np.random.default_rng(SEED), documents, length + 1)
            for kind in (RECALL, REPETITION)}


def cache_bytes(config: ModelConfig, context: int) -> dict[str, int]:
    """Bytes of one sequence's cache in `BF16`, `SKIPPED` and `EVERYWHERE`, by their names; scales are too few to count."""
    film = cache_film(config, context, bytes_per_value=2)
    full = sum(layer.bytes for layer in film if not config.window_of(layer.layer))
    whole = sum(layer.bytes for layer in film)
    return {BF16.name: whole, SKIPPED.name: whole - full // 2, EVERYWHERE.name: whole // 2}


@torch.inference_mode()
def judged(model: Transformer, vocabulary: CompactVocabulary) -> dict[str, Kept]:
    """What `model` finds with its cache kept in each of `WAYS`, by the way's name."""
    drawn = texts(vocabulary)
    in_bf16, best = _judged(model, drawn, BF16)
    return {BF16.name: in_bf16} | {way.name: _judged(model, drawn, way, best)[0] for way in WAYS if way != BF16}


def _judged(model: Transformer, drawn: Mapping[str, Documents], way: Way,
            in_bf16: Mapping[str, Tensor] | None = None) -> tuple[Kept, dict[str, Tensor]]:
    """What `model` finds, and which token it takes to be next: kind of text -> (documents, tokens) ids.

    `in_bf16` are the tokens that it takes with its cache in bf16; None where that is the way itself.
    """
    rounded, errors = with_cache(model, way)
    right, loss, best, asked = {}, {}, {}, {}
    for kind, documents in drawn.items():
        logits = rounded(torch.as_tensor(documents.tokens[:, :-1])).float()  # (documents, tokens, vocabulary)
        comes = torch.as_tensor(documents.tokens[:, 1:])
        again = torch.as_tensor(documents.distance[:, 1:] > 0)
        best[kind] = logits.argmax(dim=-1)
        right[kind] = (best[kind] == comes)[again].float().mean().item()
        loss[kind] = F.cross_entropy(logits[again], comes[again]).item()
        asked[kind] = int(again.sum())
    same = torch.stack([(best[kind] == tokens).float().mean() for kind, tokens in (in_bf16 or best).items()]).mean().item()
    return Kept(right, loss, same, float(np.mean(errors)) if errors else 0.0, asked), best
