"""GPT-2 (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019): the baseline.

Parts carry the names of their counterparts in `Transformer`, so that the two can be read side by side; the names in
OpenAI's checkpoint (wte, wpe, h.N.attn.c_attn, …) stand in `gptoss/checkpoint/gpt2.py`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptoss.checkpoint import read_gpt2
from gptoss.config import GPT2Config
from gptoss.model.attention import Record, explicit_attention, fused_attention_in_parts, visible
from gptoss.model.block import TransformerBlock
from gptoss.model.kv_cache import LayerCache
from gptoss.model.language_model import LanguageModel
from gptoss.model.layernorm import LayerNorm
from gptoss.model.linear import Linear


class GPT2Attention(nn.Module):
    """Norm, queries, keys and values of every head, attention over all that came before, output, residual addition."""

    def __init__(self, config: GPT2Config, device=None, dtype=None):
        super().__init__()
        self.heads, self.head_dim = config.num_attention_heads, config.head_dim
        self.norm = LayerNorm(config.hidden_size, device=device)
        self.qkv = Linear(config.hidden_size, 3 * config.hidden_size, device=device, dtype=dtype)
        self.out = Linear(config.hidden_size, config.hidden_size, device=device, dtype=dtype)

    def forward(self, x: Tensor, cache: LayerCache | None = None, record: Record | None = None) -> Tensor:
        """(batch, tokens, hidden) -> the same shape. With `record`, the explicit path runs and every step is told."""
        batch, tokens, hidden = x.shape
        normed = self.norm(x)
        q, k, v = self.qkv(normed).view(batch, tokens, 3, self.heads, self.head_dim).unbind(dim=2)
        keys, values = cache.append(k, v) if cache else (k, v)
        if record is None:
            mixed = fused_attention_in_parts(q, keys, values, sinks=None, window=0)
            return x + self.out(mixed.reshape(batch, tokens, hidden))
        for name, value in (("norm", normed), ("q", q), ("k", k), ("v", v)):
            record(name, value)
        mask = visible(tokens, keys.shape[1], window=0, device=x.device)
        mixed = explicit_attention(q, keys, values, None, mask, record=record)
        record("mixed", mixed)
        out = self.out(mixed.reshape(batch, tokens, hidden))
        record("out", out)
        return x + out


class GPT2MLP(nn.Module):
    """Norm, one layer four times as wide, GELU, back to the stream's width, residual addition. Every token uses all."""

    def __init__(self, config: GPT2Config, device=None, dtype=None):
        super().__init__()
        self.norm = LayerNorm(config.hidden_size, device=device)
        self.mlp1 = Linear(config.hidden_size, config.intermediate_size, device=device, dtype=dtype)
        self.mlp2 = Linear(config.intermediate_size, config.hidden_size, device=device, dtype=dtype)

    def forward(self, x: Tensor, record: Record | None = None) -> Tensor:
        """(batch, tokens, hidden) -> the same shape. GELU in its tanh form, as GPT-2 was trained with."""
        normed = self.norm(x)
        activated = F.gelu(self.mlp1(normed), approximate="tanh")
        out = self.mlp2(activated)
        if record is not None:
            for name, value in (("norm", normed), ("activated", activated), ("out", out)):
                record(name, value)
        return x + out


class GPT2Block(TransformerBlock):
    """One layer: attention, then the MLP, one after the other as in GPT-OSS."""

    def __init__(self, config: GPT2Config, device=None, dtype=None):
        nn.Module.__init__(self)
        self.attn = GPT2Attention(config, device, dtype)
        self.mlp = GPT2MLP(config, device, dtype)


class GPT2(LanguageModel):
    """GPT-2. Random weights until a checkpoint is read; `device="meta"` gives names and shapes without memory.

    A learned vector is added for every position, so that no text can be longer than `config.max_context_length`. The
    unembedding is the embedding, used once more.
    """

    def __init__(self, config: GPT2Config, device: torch.device | str | None = None,
                 dtype: torch.dtype = torch.float32, seed: int = 0):
        super().__init__()
        self.config = config
        new = {"device": "meta", "dtype": dtype}
        self.embedding = self.table(config.vocab_size, config.hidden_size, dtype)
        self.position = self.table(config.max_context_length, config.hidden_size, dtype)
        self.block = nn.ModuleList(GPT2Block(config, **new) for _ in range(config.num_hidden_layers))
        self.norm = LayerNorm(config.hidden_size, device="meta")
        self.fill(device, seed)

    def embed(self, tokens: Tensor, start: int) -> Tensor:
        """Each token's vector and its position's: (batch, tokens) -> (batch, tokens, hidden)."""
        stop = start + tokens.shape[1]
        if stop > self.config.max_context_length:
            raise ValueError(f"{stop} tokens are too many; allowed: {self.config.max_context_length}, a position for each")
        return self.embedding(tokens) + self.position.weight[start:stop]

    def unembed(self, states: Tensor) -> Tensor:
        """Logits from the embedding itself, the only table there is: (…, hidden) -> (…, vocab)."""
        return F.linear(states, self.embedding.weight)

    @classmethod
    def from_checkpoint(cls, directory: str | Path, dtype: torch.dtype = torch.float32,
                        device: torch.device | str | None = None) -> GPT2:
        """Read Hugging Face's safetensors of GPT-2. Raises `CheckpointError`."""
        config, tensors = read_gpt2(directory, dtype, device or torch.get_default_device())
        model = cls(config, device="meta", dtype=dtype)
        for name, tensor in tensors:
            model.load_state_dict({name: tensor}, strict=False, assign=True)
        return model
