"""Gated attention: instead of a sink, a gate on each head's answer that the query itself opens and closes.

Not part of GPT-OSS, and here to stand beside its sinks: Qiu et al., "Gated Attention for Large Language Models", arXiv
2505.06708, in its form of one gate a head. How gates and sinks are related: Fu et al., arXiv 2602.01203.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gptoss.config import ModelConfig
from gptoss.model.attention import AttentionBlock, explicit_attention
from gptoss.model.kv_cache import KVCache, LayerCache
from gptoss.model.language_model import LanguageModel
from gptoss.model.linear import Linear
from gptoss.model.mask import visible
from gptoss.model.recording import Record, unrecorded
from gptoss.model.transformer import Transformer


class GatedAttention(AttentionBlock):
    """`AttentionBlock` without sinks: what a head has mixed is multiplied by a number between 0 and 1.

    The number is the sigmoid of a projection of the block's normed input, so each query decides for each head how loud it
    is to be. A sink decides the same by what the keys score.

    `forward` is that of `AttentionBlock` written out again, with the gate in it, because the page about sinks shows this
    class as code to be read by itself. It always takes `explicit_attention`, and records the same tensors, with `gates`
    (batch, tokens, heads) in place of `sink_mass`; `mixed` is what a gate has let through.
    """

    def __init__(self, config: ModelConfig, layer: int = 0, device=None, dtype=None):
        super().__init__(config, layer, device, dtype)
        self.sinks = None  # plain softmax attention
        self.gate = Linear(config.hidden_size, self.heads, device=device, dtype=dtype)

    def forward(self, x: Tensor, cache: LayerCache | None = None, record: Record = unrecorded) -> Tensor:
        """(batch, tokens, hidden) -> the same shape. With a `cache`, `x` follows the tokens that it has seen."""
        normed = self.norm(x)
        record("norm", normed)
        qkv = self.qkv(normed).unflatten(-1, (-1, self.head_dim))  # (batch, tokens, heads + 2 * kv_heads, head_dim)
        q, k, v = qkv.split((self.heads, self.kv_heads, self.kv_heads), dim=2)
        record("q", q)
        record("k", k)
        record("v", v)
        q, k = self.rope(q, k, start=cache.length if cache else 0)
        record("q_rope", q)
        record("k_rope", k)
        k, v = cache.append(k, v) if cache else (k, v)             # (batch, keys, kv_heads, head_dim)
        mask = visible(x.shape[1], k.shape[1], self.window, x.device)
        mixed = explicit_attention(q, k, v, None, mask, record)    # (batch, tokens, heads, head_dim)
        gates = torch.sigmoid(self.gate(normed))                   # (batch, tokens, heads)
        record("gates", gates)
        mixed = mixed * gates[..., None]
        record("mixed", mixed)
        out = self.out(mixed.flatten(2))                           # (batch, tokens, hidden)
        record("out", out)
        return x + out


class GatedTransformer(Transformer):
    """GPT-OSS with `GatedAttention` in every layer: all else is as it was."""

    def __init__(self, config: ModelConfig, device: torch.device | str | None = None, dtype: torch.dtype = torch.float32,
                 seed: int = 0):
        super().__init__(config, device="meta", dtype=dtype)
        for layer, block in enumerate(self.block):
            block.attn = GatedAttention(config, layer, device="meta", dtype=dtype)
        self.fill(device, seed)

    def one_by_one(self, cache: KVCache) -> Callable[[Tensor], Tensor]:
        """Token by token through the model itself: the quick way knows no gates."""
        return LanguageModel.one_by_one(self, cache)
