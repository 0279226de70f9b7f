"""Grouped-query attention with a sliding window and a learned sink, as in `AttentionBlock` of OpenAI's reference.

Grouped queries: Ainslie et al., arXiv 2305.13245. Sinks: Xiao et al., arXiv 2309.17453; gpt-oss learns one logit a head.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptoss.config import ModelConfig
from gptoss.model.kv_cache import LayerCache
from gptoss.model.linear import Linear
from gptoss.model.rmsnorm import RMSNorm
from gptoss.model.rope import RotaryEmbedding

Record = Callable[[str, Tensor], None]  # called with the name and value of every intermediate tensor

QUERIES_AT_ONCE = 64  # bounds the fused path's mask, which has a row for every query of every head


def visible(queries: int, keys: int, window: int, device=None) -> Tensor:
    """Which key each query may look at: (queries, keys), True where it may. The last query stands at the last key.

    A query sees itself and what came before; with a window, itself and the window - 1 tokens before it.
    """
    query = torch.arange(keys - queries, keys, device=device)[:, None]
    key = torch.arange(keys, device=device)[None, :]
    mask = key <= query
    if window:
        mask &= key > query - window
    return mask


def explicit_attention(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None, mask: Tensor | None,
                       record: Record | None = None) -> Tensor:
    """Attention written out, every step told to `record`.

    Shapes: q (batch, queries, heads, head_dim); k, v (batch, keys, kv_heads, head_dim); sinks (heads,), or None for
    plain softmax attention; mask (queries, keys), or None if all is visible -> (batch, queries, heads, head_dim). Query
    head h reads key/value head h // group: the queries of a group are stacked as rows of their shared key head.
    """
    batch, queries, heads, head_dim = q.shape
    keys, kv_heads = k.shape[1:3]
    stacked = q.transpose(1, 2).reshape(batch, kv_heads, -1, head_dim)
    scores = (stacked @ k.permute(0, 2, 3, 1)).view(batch, heads, queries, keys) * head_dim**-0.5
    if record is not None:
        record("scores", scores)  # before the mask
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    if sinks is not None:  # one more score, the same for every query
        scores = torch.cat((scores, sinks.to(scores.dtype).view(1, heads, 1, 1).expand(batch, heads, queries, 1)), dim=-1)
    shares = torch.softmax(scores, dim=-1)
    weights = shares[..., :keys]  # the sink has taken its share of the softmax and is dropped
    if record is not None:
        record("weights", weights)
        if sinks is not None:
            record("sink_mass", shares[..., -1])
    mixed = weights.reshape(batch, kv_heads, -1, keys) @ v.transpose(1, 2)
    return mixed.view(batch, heads, queries, head_dim).transpose(1, 2)


def fused_attention(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None, window: int) -> Tensor:
    """The same numbers from torch's fused kernel, which never stores the weights. Shapes as in `explicit_attention`.

    The kernel knows no sinks, so the sink becomes one more key: a key of zeros, whose score is then the mask's entry
    alone, and a value of zeros, so that its share of the softmax adds nothing. The queries of a group are stacked as
    rows of their shared key head, so that no key is copied.
    """
    batch, queries, heads, head_dim = q.shape
    keys, kv_heads = k.shape[1:3]
    group = heads // kv_heads
    q = q.view(batch, queries, kv_heads, group, head_dim).permute(0, 2, 3, 1, 4)
    mask = q.new_zeros(queries, keys).masked_fill_(~visible(queries, keys, window, q.device), float("-inf"))
    bias = mask.expand(kv_heads, group, queries, keys)
    if sinks is not None:
        k, v = F.pad(k, (0, 0, 0, 0, 0, 1)), F.pad(v, (0, 0, 0, 0, 0, 1))
        sinks = sinks.to(q.dtype).view(kv_heads, group, 1, 1)
        bias = torch.cat((bias, sinks.expand(-1, -1, queries, 1)), dim=-1)
    mixed = F.scaled_dot_product_attention(
        q.reshape(batch, kv_heads, group * queries, head_dim), k.transpose(1, 2), v.transpose(1, 2),
        attn_mask=bias.reshape(1, kv_heads, group * queries, -1))
    return mixed.reshape(batch, heads, queries, head_dim).transpose(1, 2)


def fused_attention_in_parts(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None, window: int) -> Tensor:
    """`fused_attention` over some queries at a time, each part with only the keys that its queries can see."""
    queries, keys = q.shape[1], k.shape[1]
    if queries <= QUERIES_AT_ONCE:
        return fused_attention(q, k, v, sinks, window)
    parts = []
    for part in q.split(QUERIES_AT_ONCE, dim=1):
        start = keys - queries + sum(p.shape[1] for p in parts)
        stop = start + part.shape[1]
        first = max(0, start - window + 1) if window else 0
        parts.append(fused_attention(part, k[:, first:stop], v[:, first:stop], sinks, window))
    return torch.cat(parts, dim=1)


class AttentionBlock(nn.Module):
    """Norm, queries, keys and values, rotation, attention, output projection, and the residual addition."""

    def __init__(self, config: ModelConfig, layer: int = 0, device=None, dtype=None):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = (
            config.num_attention_heads, config.num_key_value_heads, config.head_dim)
        self.window = config.window_of(layer)
        self.sinks = nn.Parameter(torch.empty(self.heads, device=device, dtype=dtype))
        self.norm = RMSNorm(config.hidden_size, device=device)
        self.qkv = Linear(config.hidden_size, config.qkv_size, device=device, dtype=dtype)
        self.out = Linear(self.heads * self.head_dim, config.hidden_size, device=device, dtype=dtype)
        self.rope = RotaryEmbedding(config)

    def forward(self, x: Tensor, cache: LayerCache | None = None, record: Record | None = None) -> Tensor:
        """(batch, tokens, hidden) -> the same shape. With `record`, the explicit path runs and every step is told."""
        batch, tokens, _ = x.shape
        normed = self.norm(x)
        qkv = self.qkv(normed).view(batch, tokens, -1, self.head_dim)
        q, k, v = qkv.split((self.heads, self.kv_heads, self.kv_heads), dim=2)
        rotated_q, rotated_k = self.rope(q, k, start=cache.length if cache else 0)
        keys, values = cache.append(rotated_k, v) if cache else (rotated_k, v)
        if record is None:
            mixed = self._attend(rotated_q, keys, values)
            return x + self.out(mixed.reshape(batch, tokens, -1))
        for name, value in (("norm", normed), ("q", q), ("k", k), ("v", v), ("q_rope", rotated_q), ("k_rope", rotated_k)):
            record(name, value)
        mask = visible(tokens, keys.shape[1], self.window, x.device)
        mixed = explicit_attention(rotated_q, keys, values, self.sinks, mask, record=record)
        record("mixed", mixed)
        out = self.out(mixed.reshape(batch, tokens, -1))
        record("out", out)
        return x + out

    def _attend(self, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """The fast way to the same numbers."""
        if q.shape[1] == 1 and not 0 < self.window < keys.shape[1]:
            return explicit_attention(q, keys, values, self.sinks, mask=None)  # one query sees all that the cache holds
        return fused_attention_in_parts(q, keys, values, self.sinks, self.window)
