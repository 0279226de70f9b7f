"""Attention that never stores its weights: the numbers of `explicit_attention`, from torch's fused kernel.

Shapes throughout: q (batch, queries, heads, head_dim); k, v (batch, keys, kv_heads, head_dim); sinks (heads,), or None for
plain softmax attention -> (batch, queries, heads, head_dim). The last query is at the last key.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from gptoss.model.mask import visible

QUERIES_AT_ONCE = 64  # bounds the mask, which has a row for every query of every head


def fast_attention(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None, window: int) -> Tensor:
    """The quickest way for these shapes."""
    if q.shape[1] == 1 and not 0 < window < k.shape[1]:  # a decoded token may look at every key that the cache holds
        return attention_of_one_query(q, k, v, sinks)
    return fused_attention_in_parts(q, k, v, sinks, window)


def attention_of_one_query(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None) -> Tensor:
    """Attention of a single query that sees every key. With nothing to mask, two products are quicker than the kernel."""
    batch, _, heads, head_dim = q.shape
    keys, kv_heads = k.shape[1:3]
    grouped = q.view(batch, kv_heads, -1, head_dim)                # (batch, kv_heads, group, head_dim)
    scores = grouped @ k.permute(0, 2, 3, 1) * head_dim**-0.5      # (batch, kv_heads, group, keys)
    if sinks is not None:
        sink = sinks.to(q.dtype).view(kv_heads, -1, 1).expand(*scores.shape[:-1], 1)
        scores = torch.cat((scores, sink), dim=-1)                 # (batch, kv_heads, group, keys + 1)
    weights = torch.softmax(scores, dim=-1)[..., :keys]            # (batch, kv_heads, group, keys)
    return (weights @ v.transpose(1, 2)).view(q.shape)


def fused_attention_in_parts(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None, window: int) -> Tensor:
    """`fused_attention` over some queries at a time, each part with only the keys that its queries can see."""
    queries, keys = q.shape[1], k.shape[1]
    if queries <= QUERIES_AT_ONCE:
        return fused_attention(q, k, v, sinks, window)
    parts = []
    start = keys - queries  # the position of a part's first query: earlier keys come from a cache
    for part in q.split(QUERIES_AT_ONCE, dim=1):
        stop = start + part.shape[1]
        first = max(0, start - window + 1) if window else 0
        parts.append(fused_attention(part, k[:, first:stop], v[:, first:stop], sinks, window))
        start = stop
    return torch.cat(parts, dim=1)


def fused_attention(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None, window: int) -> Tensor:
    """All queries in one call of torch's kernel.

    The kernel knows no sinks, so the sink becomes one more key: a key of zeros, whose score is then the mask's entry
    alone, and a value of zeros, so that its share of the softmax adds nothing. The queries of a group are stacked as
    rows of their shared key head, so that no key is copied.
    """
    batch, queries, heads, head_dim = q.shape
    keys, kv_heads = k.shape[1:3]
    group = heads // kv_heads
    grouped = q.view(batch, queries, kv_heads, group, head_dim).permute(0, 2, 3, 1, 4)
    stacked = grouped.reshape(batch, kv_heads, group * queries, head_dim)
    mask = q.new_zeros(queries, keys).masked_fill_(~visible(queries, keys, window, q.device), float("-inf"))
    bias = mask.expand(kv_heads, group, queries, keys)
    if sinks is not None:
        k, v = F.pad(k, (0, 0, 0, 0, 0, 1)), F.pad(v, (0, 0, 0, 0, 0, 1))             # (batch, keys + 1, ...)
        sink = sinks.to(q.dtype).view(kv_heads, group, 1, 1).expand(-1, -1, queries, 1)
        bias = torch.cat((bias, sink), dim=-1)                                        # (..., queries, keys + 1)
    mixed = F.scaled_dot_product_attention(stacked, k.transpose(1, 2), v.transpose(1, 2),
                                           attn_mask=bias.reshape(1, kv_heads, group * queries, -1))
    return mixed.reshape(batch, heads, queries, head_dim).transpose(1, 2)
