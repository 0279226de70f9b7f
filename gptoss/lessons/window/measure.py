"""How far a stack of windows sees, and what it saves: masks, reach, scores and cache.

Sliding-window attention: Beltagy et al. (Longformer), arXiv 2004.05150; alternated with full layers in GPT-3 (Brown et
al., arXiv 2005.14165) and in gpt-oss. The reach of stacked windows: Jiang et al. (Mistral 7B), arXiv 2310.06825.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from gptoss.config import ModelConfig
from gptoss.cost import kv_cache_bytes_per_layer, visible_pairs
from gptoss.model import KVCache, Transformer, next_token_probabilities
from gptoss.model.attention import explicit_attention
from gptoss.model.fast.attention import fused_attention_in_parts
from gptoss.model.mask import visible

LAYERS_DRAWN = 4  # of a ladder, at first
EVERY_LAYER_FULL, ALTERNATING, EVERY_LAYER_SLIDING = PATTERNS = (
    "every layer full", "alternating", "every layer sliding")


def first_token(tokens: int) -> int:
    """The query that is shown at first, in a text of so many tokens: much of it stands before the query, some after."""
    return 2 * tokens // 3


def windows_of(pattern: str, layers: int, window: int) -> tuple[int, ...]:
    """The window of each of `layers` layers in tokens, 0 for full attention.

    `pattern` is one of `PATTERNS`; "alternating" asks `ModelConfig.window_of`, the rule that the model itself is
    built by. Raises `ValueError` for any other pattern.
    """
    if pattern not in PATTERNS:
        raise ValueError(f"pattern={pattern!r} is unknown; allowed: {', '.join(PATTERNS)}")
    if pattern == ALTERNATING:
        rule = ModelConfig(num_hidden_layers=layers, sliding_window=window)
        return tuple(rule.window_of(layer) for layer in range(layers))
    return (window if pattern == EVERY_LAYER_SLIDING else 0,) * layers


@lru_cache(maxsize=32)
def mask(tokens: int, window: int) -> Tensor:
    """The model's own mask of a whole text, (queries, keys), True where a query may look. Shared: never change it."""
    return visible(tokens, tokens, window)


@lru_cache(maxsize=16)
def reach(windows: tuple[int, ...], tokens: int) -> Tensor:
    """Which embeddings each token's stream depends on, layer by layer: (layers + 1, tokens, tokens), boolean.

    Entry [d, i, j] says whether token j has reached token i's stream after the first d layers. After none, a token
    knows itself. A layer adds what the tokens in its window know, itself among them: the boolean product of its mask
    with all that was known before. The experts work on each token alone and carry nothing across. Shared between
    callers: never change it.
    """
    known = [torch.eye(tokens, dtype=torch.bool)]
    for window in windows:
        known.append(mask(tokens, window).float() @ known[-1].float() > 0)
    return torch.stack(known)


def known_by_layer(layers: int, window: int, tokens: int, token: int) -> dict[str, tuple[tuple[int, ...], np.ndarray]]:
    """What one token knows after each layer, if every layer slides and if every other one does.

    Pattern -> (the windows of its layers, boolean (layers + 1, tokens): the token's row of `reach`).
    """
    patterns = {pattern: windows_of(pattern, layers, window) for pattern in (EVERY_LAYER_SLIDING, ALTERNATING)}
    return {pattern: (windows, reach(windows, tokens)[:, token].numpy()) for pattern, windows in patterns.items()}


def sliding_reach(layers: int, window: int) -> int:
    """How many tokens back `layers` sliding layers carry: L * (W - 1), since a window counts its own query."""
    return layers * (window - 1)


def with_windows(model: Transformer, windows: Sequence[int]) -> Transformer:
    """A model with the very weights of `model`, in which layer n looks back over `windows[n]` tokens, 0 for all.

    Raises `ValueError` where there are not as many windows as layers.
    """
    twin = model.sharing_weights()
    for block, window in zip(twin.block, windows, strict=True):
        block.attn.window = window
    return twin.eval().requires_grad_(model.embedding.weight.requires_grad)


def windows_in(model: Transformer) -> tuple[int, ...]:
    """The window with which each layer of a model was built, 0 for full attention."""
    return tuple(block.attn.window for block in model.block)


@torch.enable_grad()
def gradient_reach(model: Transformer, ids: Sequence[int], token: int) -> Tensor:
    """The same as `reach` for one token, measured: (layers + 1, tokens), boolean.

    True where the gradient of the token's stream after d layers with respect to an embedding is not exactly zero. The
    stream is projected on one random direction, so that one backward pass a layer covers all its features.
    """
    start = model.embedding(torch.tensor([list(ids)])).detach().requires_grad_()
    direction = torch.randn(start.shape[-1], generator=torch.Generator().manual_seed(0)).to(start.dtype)
    streams = [start]
    for block in model.block:
        streams.append(block(streams[-1]))
    gradients = [torch.autograd.grad(stream[0, token] @ direction, start, retain_graph=True)[0] for stream in streams]
    return torch.stack([(gradient[0] != 0).any(dim=-1) for gradient in gradients])


def mask_disagreements(tokens: int, window: int) -> int:
    """In how many of the (query, key) pairs the model's mask differs from the rule, spelt out for each by itself."""
    return sum(seen != (key <= query and (window == 0 or query - key < window))
               for query, row in enumerate(mask(tokens, window).tolist()) for key, seen in enumerate(row))


@torch.no_grad()
def fused_difference(model: Transformer, ids: Sequence[int], layer: int) -> float:
    """The largest difference between fused and explicit attention in one layer, as a share of the largest value.

    Both get the queries, keys, values and sinks that this layer computes on the text, under its own window.
    """
    seen: dict[str, Tensor] = {}
    model(torch.tensor([list(ids)]), record=seen.__setitem__, recorded_layers=[layer])
    q, k, v = (seen[f"block.{layer}.attn.{name}"] for name in ("q_rope", "k_rope", "v"))
    attention = model.block[layer].attn
    explicit = explicit_attention(q, k, v, attention.sinks, visible(q.shape[1], k.shape[1], attention.window))
    fused = fused_attention_in_parts(q, k, v, attention.sinks, attention.window)
    return ((fused - explicit).abs().max() / explicit.abs().max()).item()


@torch.inference_mode()
def read_with_cache(model: Transformer, ids: Sequence[int], singly: int = 8) -> tuple[KVCache, float]:
    """Read a text into a live cache, the last `singly` tokens one by one.

    Returns the cache, and the largest difference between these tokens' logits and those of one pass without a cache, as
    a share of the largest logit: in a sliding layer's ring nothing that is still needed has been overwritten.
    """
    tokens = torch.tensor([list(ids)])
    cache = model.new_cache(len(ids))
    first = max(len(ids) - singly, 1)
    logits = [model(piece, cache) for piece in (tokens[:, :first], *tokens[:, first:].split(1, dim=1)) if piece.shape[1]]
    whole = model(tokens)
    return cache, ((torch.cat(logits, dim=1) - whole).abs().max() / whole.abs().max()).item()


class WindowChecks(NamedTuple):
    """What is said of windows, compared with what a live model does on one text."""

    reached: int  # (layer, token) pairs in which `reach` and the gradient agree about the last token
    cases: int  # of so many
    fused: float  # largest difference of fused and explicit attention in layer 0, as a share of the largest value
    slots: tuple[int, ...]  # of the cache that the text filled, by layer
    cache_bytes: int
    value_bytes: int  # of one number in that cache
    cached: float  # largest difference of the logits with and without that cache, as a share of the largest logit


def check_windows(model: Transformer, ids: Sequence[int]) -> WindowChecks:
    """Reach, both attention paths and the cache of `model` on a text, each against an independent witness."""
    measured, expected = gradient_reach(model, ids, len(ids) - 1), reach(windows_in(model), len(ids))[:, -1]
    cache, cached = read_with_cache(model, ids)
    return WindowChecks(int((measured == expected).sum()), measured.numel(), fused_difference(model, ids, 0),
                        tuple(layer.slots for layer in cache.layers), cache.nbytes, model.dtype.itemsize, cached)


@lru_cache(maxsize=64)
def costs_by_context(config: ModelConfig, contexts: tuple[int, ...]) -> pd.DataFrame:
    """KV cache and scores of one sequence at the real size, by context and by which layers slide.

    Columns: `context` (tokens), `layers` (one of `PATTERNS`), `bytes` (KV cache of all layers, two bytes a value) and
    `scores` (query-key products of a whole prompt, all heads of all layers, hidden pairs left out). Closed forms of
    `gptoss.cost`. Shared between callers: never change it.
    """
    rows = []
    for pattern in PATTERNS:
        windows = windows_of(pattern, config.num_hidden_layers, config.sliding_window)
        for context in contexts:
            size = sum(_layer_cache_bytes(config, window, context) for window in windows)
            pairs = sum(visible_pairs(context, context, window) for window in windows)
            rows.append((context, pattern, size, pairs * config.num_attention_heads))
    return pd.DataFrame(rows, columns=["context", "layers", "bytes", "scores"])


def cache_by_kind(config: ModelConfig, context: int) -> dict[str, tuple[int, int]]:
    """"sliding" and "full" -> (layers of that kind, bytes of KV cache that they hold together at `context` tokens)."""
    kinds = {"sliding": (0, 0), "full": (0, 0)}
    for layer, size in enumerate(kv_cache_bytes_per_layer(config, context)):
        kind = "sliding" if config.window_of(layer) else "full"
        kinds[kind] = kinds[kind][0] + 1, kinds[kind][1] + size
    return kinds


@torch.no_grad()
def outputs_by_window(model: Transformer, ids: Sequence[int], windows: Iterable[int]) -> pd.DataFrame:
    """How far the next-token distribution moves when the sliding layers' window changes and no weight does.

    Columns: `window` (tokens, 0 for none) and `distance`, the total variation (half the sum of absolute differences,
    0 to 1) between the distribution after the text under this window and the one under the model's own.
    """
    tokens = torch.tensor([list(ids)])
    layers = len(model.block)
    own = next_token_probabilities(model(tokens)[0, -1])
    rows = []
    for window in windows:
        twin = with_windows(model, windows_of(ALTERNATING, layers, window))
        rows.append((window, total_variation(own, next_token_probabilities(twin(tokens)[0, -1]))))
    return pd.DataFrame(rows, columns=["window", "distance"])


@torch.no_grad()
def off_by_one(model: Transformer, ids: Sequence[int]) -> pd.DataFrame:
    """What changes when every sliding layer sees one key more than it should, token by token; no weight changes.

    So a model runs where its window of N is handed to a library whose window counts the keys before the query alone:
    FlashAttention's `window_size` of (N, 0) sees N + 1 keys. Columns: `position`, `moved` (the largest change of any
    logit), `loss` and `other` (nats, of the text's own next token, under the own window and under one more; NaN at the end
    of the text).
    """
    tokens = torch.tensor([list(ids)])
    wider = with_windows(model, [window and window + 1 for window in windows_in(model)])
    logits, other = (variant(tokens)[0].double() for variant in (model, wider))
    following = torch.tensor([*ids[1:], 0])
    losses = [cross_entropy(each, following, reduction="none").numpy() for each in (logits, other)]
    for each in losses:
        each[-1] = np.nan
    return pd.DataFrame({"position": np.arange(len(ids)), "moved": (other - logits).abs().amax(dim=-1).numpy(),
                         "loss": losses[0], "other": losses[1]})


def first_seen(tokens: int, window: int) -> int:
    """The position of the first key that the last of so many tokens sees in a sliding layer."""
    return int(mask(tokens, window)[-1].int().argmax())


def cache_saved(config: ModelConfig, tokens: int) -> float:
    """Which share of the KV cache windows save at so many tokens: 0 to 1."""
    return 1 - sum(kv_cache_bytes_per_layer(config, tokens)) / sum(
        kv_cache_bytes_per_layer(config.replace(sliding_window=0), tokens))


def total_variation(p: Tensor, q: Tensor) -> float:
    """Half the sum of absolute differences of two (vocabulary,) distributions: 0 for equal ones, 1 for disjoint ones."""
    return (p.double() - q.double()).abs().sum().item() / 2


@lru_cache(maxsize=64)
def _layer_cache_bytes(config: ModelConfig, window: int, context: int) -> int:
    """One layer's part of the KV cache if it had this window: layer 0 slides whenever there is a window."""
    return kv_cache_bytes_per_layer(config.replace(num_hidden_layers=1, sliding_window=window), context)[0]
