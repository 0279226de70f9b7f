"""Grouped-query attention with a sliding window and a learned sink, as in `AttentionBlock` of OpenAI's reference.

Grouped queries: Ainslie et al., arXiv 2305.13245. Sinks: Xiao et al., arXiv 2309.17453; gpt-oss learns one logit a head.
"""

import torch
from torch import Tensor, nn

from gptoss.config import ModelConfig
from gptoss.model.fast.attention import fast_attention
from gptoss.model.kv_cache import LayerCache
from gptoss.model.linear import Linear
from gptoss.model.mask import visible
from gptoss.model.recording import Record, unrecorded
from gptoss.model.rmsnorm import RMSNorm
from gptoss.model.rope import RotaryEmbedding


def explicit_attention(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None, mask: Tensor | None,
                       record: Record = unrecorded) -> Tensor:
    """Attention written out: q (batch, queries, heads, head_dim) -> what each query mixes from the values, the same shape.

    k and v are (batch, keys, kv_heads, head_dim); sinks (heads,), or None for plain softmax attention; mask (queries, keys),
    or None if every key is visible. In the einsums b is a text, q a query, k a key, h a key/value head, m one of the query
    heads that share it, d a feature: query head h * group + m reads key/value head h.
    """
    q = q.unflatten(2, (k.shape[2], -1))                                     # (batch, queries, kv_heads, group, head_dim)
    scores = torch.einsum("bqhmd,bkhd->bhmqk", q, k)                         # (batch, kv_heads, group, queries, keys)
    scores *= q.shape[-1] ** -0.5  # a sum of head_dim products spreads by the root of head_dim
    record("scores", scores.flatten(1, 2))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    if sinks is not None:  # one more score for every query, the same whatever the query is
        sink = sinks.to(scores.dtype).view(*scores.shape[1:3], 1, 1).expand(*scores.shape[:-1], 1)
        scores = torch.cat((scores, sink), dim=-1)                           # (batch, kv_heads, group, queries, keys + 1)
    shares = torch.softmax(scores, dim=-1)
    weights = shares[..., :k.shape[1]]  # the sink has taken its share and is dropped: it has no value to mix in
    record("weights", weights.flatten(1, 2))
    if sinks is not None:
        record("sink_mass", shares[..., -1].flatten(1, 2))
    mixed = torch.einsum("bhmqk,bkhd->bhmqd", weights, v)                    # (batch, kv_heads, group, queries, head_dim)
    return mixed.flatten(1, 2).transpose(1, 2)                               # (batch, queries, heads, head_dim)


class AttentionBlock(nn.Module):
    """Norm, queries, keys and values, rotation, attention, output projection, and the residual addition."""

    def __init__(self, config: ModelConfig, layer: int = 0, device=None, dtype=None):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = (
            config.num_attention_heads, config.num_key_value_heads, config.head_dim)
        self.window = config.window_of(layer)  # every other layer slides a window; 0 means that it sees all
        self.sinks = nn.Parameter(torch.empty(self.heads, device=device, dtype=dtype))
        self.norm = RMSNorm(config.hidden_size, device=device)
        self.qkv = Linear(config.hidden_size, config.qkv_size, device=device, dtype=dtype)
        self.out = Linear(self.heads * self.head_dim, config.hidden_size, device=device, dtype=dtype)
        self.rope = RotaryEmbedding(config)

    def forward(self, x: Tensor, cache: LayerCache | None = None, record: Record = unrecorded) -> Tensor:
        """(batch, tokens, hidden) -> the same shape. With a `cache`, `x` follows the tokens that it has seen."""
        normed = self.norm(x)
        record("norm", normed)
        qkv = self.qkv(normed).unflatten(-1, (-1, self.head_dim))        # (batch, tokens, heads + 2 * kv_heads, head_dim)
        q, k, v = qkv.split((self.heads, self.kv_heads, self.kv_heads), dim=2)
        record("q", q)
        record("k", k)
        record("v", v)
        rotated_q, rotated_k = self.rope(q, k, start=cache.length if cache else 0)
        record("q_rope", rotated_q)
        record("k_rope", rotated_k)
        keys, values = cache.append(rotated_k, v) if cache else (rotated_k, v)  # (batch, keys, kv_heads, head_dim)
        if record is unrecorded:  # nobody looks at the weights, so a kernel may run that never stores them
            mixed = self._attend(rotated_q, keys, values)                       # (batch, tokens, heads, head_dim)
        else:
            mask = visible(x.shape[1], keys.shape[1], self.window, x.device)
            mixed = explicit_attention(rotated_q, keys, values, self.sinks, mask, record)
        record("mixed", mixed)
        out = self.out(mixed.flatten(2))                                        # (batch, tokens, hidden)
        record("out", out)
        return x + out

    def _attend(self, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """The fast way to what `explicit_attention` gives."""
        return fast_attention(q, keys, values, self.sinks, self.window)
