"""Who shares keys and values, and what that saves: grouped-query attention (Ainslie et al., arXiv 2305.13245).

With as many KV groups as query heads it is multi-head attention (MHA; Vaswani et al., arXiv 1706.03762), with a
single one multi-query attention (MQA; Shazeer, arXiv 1911.02150), and anything between is grouped (GQA).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd
import torch
from torch import Tensor

from gptoss.config import ModelConfig, divisors_of
from gptoss.cost import checkpoint_bytes, count_parameters, kv_cache_bytes, kv_cache_bytes_per_layer
from gptoss.model import Transformer
from gptoss.model.mask import visible
from gptoss.trace import trace

CLOSE, WHOLE = "The first steps", "The whole context"  # what is shown of the cache as it grows
WINDOWS_SHOWN = 2  # decode steps of the close view, in windows: long enough to see sliding layers stop growing


def with_kv_heads(config: ModelConfig, kv_heads: int) -> ModelConfig:
    """The same model with another number of KV groups. Raises `ValueError` unless it divides the query heads."""
    return config.replace(num_key_value_heads=kv_heads)


@lru_cache(maxsize=128)
def costs_by_kv_heads(config: ModelConfig, context: int) -> pd.DataFrame:
    """What each possible number of KV groups costs at `context` tokens, in the model's real size.

    Columns: kv_heads; cache, the bytes of one sequence's KV cache in bf16; parameters, of the whole model; shared,
    those of them that make keys and values; current, whether this is how `config` is set.
    """
    rows = []
    for kv_heads in divisors_of(config.num_attention_heads):
        other = with_kv_heads(config, kv_heads)
        rows.append((kv_heads, kv_cache_bytes(other, context), count_parameters(other).total, key_value_parameters(other),
                     other == config))
    return pd.DataFrame(rows, columns=["kv_heads", "cache", "parameters", "shared", "current"])


def key_value_parameters(config: ModelConfig) -> int:
    """Parameters of the rows of `qkv`, with their biases, that make keys and values, summed over the layers."""
    rows = 2 * config.num_key_value_heads * config.head_dim
    return config.num_hidden_layers * rows * (config.hidden_size + 1)


@dataclass(frozen=True)
class Saving:
    """What going from one number of KV groups to another changes."""

    cache_before: int  # bytes
    cache_after: int
    parameters_before: int
    parameters_after: int
    weights_before: int  # bytes of a checkpoint, experts in MXFP4
    weights_after: int

    @property
    def cache(self) -> float:
        """The share of the cache that goes; negative where it grows."""
        return 1 - self.cache_after / self.cache_before

    @property
    def parameters(self) -> float:
        """The share of all parameters that goes."""
        return 1 - self.parameters_after / self.parameters_before

    @property
    def memory(self) -> float:
        """The share of weights and cache together that goes."""
        return 1 - (self.weights_after + self.cache_after) / (self.weights_before + self.cache_before)


def saving(config: ModelConfig, kv_heads: int, context: int, batch_size: int = 1) -> Saving:
    """What `config` saves with `kv_heads` KV groups, for `batch_size` sequences of `context` tokens.

    Raises `ValueError` for a number that does not divide the query heads, and for a shape that MXFP4 cannot hold.
    """
    other = with_kv_heads(config, kv_heads)
    return Saving(*(number for pair in (
        (kv_cache_bytes(model, context, batch_size) for model in (config, other)),
        (count_parameters(model).total for model in (config, other)),
        (checkpoint_bytes(model) for model in (config, other))) for number in pair))


def cache_with_head_size_from_width(config: ModelConfig, context: int) -> float:
    """A mistake that public calculators make: bytes of the cache if the head size were hidden size / query heads."""
    mistaken = config.hidden_size // config.num_attention_heads
    return kv_cache_bytes(config, context) * mistaken / config.head_dim


def cache_with_width_of_stream(config: ModelConfig, context: int, bytes_per_value: int = 1) -> int:
    """Another: bytes of the cache if keys and values were as wide as the stream, and no layer had a window."""
    return config.num_hidden_layers * 2 * config.hidden_size * context * bytes_per_value


def steps_shown(config: ModelConfig, context: int) -> int:
    """Decode steps of the close view: `WINDOWS_SHOWN` windows, or `context` where that is shorter or nothing slides."""
    return min(WINDOWS_SHOWN * config.sliding_window or context, context)


@lru_cache(maxsize=128)
def cache_growth(config: ModelConfig, steps: int) -> pd.DataFrame:
    """Bytes in each layer's cache while a sequence is decoded, at the steps where its growth bends.

    Between two rows of a layer the growth is a straight line. Columns: layer; kind, "sliding" or "full"; step, tokens
    so far; bytes, of one sequence in bf16. Raises `ValueError` for a negative number of `steps`.
    """
    bends = sorted({0, min(config.sliding_window, steps), steps})
    frames = []
    for step in bends:
        sizes = kv_cache_bytes_per_layer(config, step)
        frames.append(pd.DataFrame({"layer": range(len(sizes)), "step": step, "bytes": sizes}))
    growth = pd.concat(frames, ignore_index=True)
    growth.insert(1, "kind", ["sliding" if config.window_of(layer) else "full" for layer in growth["layer"]])
    return growth.sort_values(["layer", "step"], ignore_index=True)


@dataclass(frozen=True)
class Readers:
    """Which key head each query head of a live model reads, found by trying them all."""

    differences: Tensor  # (layers, query heads, key heads): largest distance of q · k / sqrt(d) from the scores of a query
    explicit: float  # largest difference of the heads' answers from attention over repeated keys and values
    tokens: int

    @property
    def nearest(self) -> Tensor:
        """The key head that reproduces each query head's scores best: (layers, query heads)."""
        return self.differences.argmin(dim=-1)

    @property
    def rounding(self) -> float:
        """How far the right key head is from the model's scores at most."""
        return self.differences.amin(dim=-1).max().item()

    @property
    def missed(self) -> float | None:
        """How far the nearest wrong key head is at least, or None where there is only one."""
        if self.differences.shape[-1] == 1:
            return None
        return self.differences.topk(2, dim=-1, largest=False).values[..., 1].min().item()


@torch.no_grad()
def who_reads_whom(model: Transformer, tokens: Sequence[int]) -> Readers:
    """Run `model` on the ids of one text, and try every key head against the scores that the last query recorded.

    The heads' answers are compared with attention in which every query head has keys and values of its own, copied
    from its group's. Both are written apart from the model's code, which stacks the queries of a group instead.
    """
    traced = trace(model, torch.tensor([tokens]), keep=lambda name: ".attn." in name)
    differences, explicit = [], 0.0
    for layer, block in enumerate(model.block):
        parts = {name.rpartition(".")[2]: value[0].float() for name, value in traced.items()
                 if name.startswith(f"block.{layer}.")}
        q, k, v = parts["q_rope"].transpose(0, 1), parts["k_rope"].transpose(0, 1), parts["v"].transpose(0, 1)
        tried = torch.einsum("hd,jkd->hjk", q[:, -1], k) * q.shape[-1]**-0.5
        differences.append((tried - parts["scores"][:, None, -1]).abs().amax(dim=-1))
        copied = repeated_attention(q, k, v, block.attn.sinks.float(), block.attn.window)
        explicit = max(explicit, (copied - parts["mixed"].transpose(0, 1)).abs().max().item())
    return Readers(torch.stack(differences), explicit, len(tokens))


def repeated_attention(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, window: int) -> Tensor:
    """Attention with every key and value head copied for each query head of its group.

    Shapes: q (heads, tokens, head_dim); k, v (kv_heads, tokens, head_dim); sinks (heads,) -> (heads, tokens, head_dim).
    """
    heads, tokens, head_dim = q.shape
    k, v = (tensor.repeat_interleave(heads // len(tensor), dim=0) for tensor in (k, v))
    scores = q @ k.transpose(1, 2) * head_dim**-0.5
    scores = scores.masked_fill(~visible(tokens, tokens, window), float("-inf"))
    shares = torch.softmax(torch.cat((scores, sinks[:, None, None].expand(-1, tokens, 1)), dim=-1), dim=-1)
    return shares[..., :-1] @ v
