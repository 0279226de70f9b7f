"""GPT-2 (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019): the baseline.

Parts carry the names of their counterparts in `Transformer`, so that the two can be read side by side; the names in
OpenAI's checkpoint (wte, wpe, h.N.attn.c_attn, …) are in `gptoss/checkpoint/gpt2.py`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptoss.checkpoint import read_gpt2, require_room
from gptoss.config import GPT2Config
from gptoss.model.attention import explicit_attention
from gptoss.model.block import TransformerBlock
from gptoss.model.fast.attention import fused_attention_in_parts
from gptoss.model.fast.linear import linear
from gptoss.model.kv_cache import LayerCache
from gptoss.model.language_model import LanguageModel
from gptoss.model.layernorm import LayerNorm
from gptoss.model.linear import Linear
from gptoss.model.mask import visible
from gptoss.model.recording import Record, unrecorded


class GPT2Attention(nn.Module):
    """Norm, queries, keys and values of every head, attention over all that came before, output, residual addition."""

    def __init__(self, config: GPT2Config, device=None, dtype=None):
        super().__init__()
        self.heads, self.head_dim = config.num_attention_heads, config.head_dim
        self.norm = LayerNorm(config.hidden_size, device=device)
        self.qkv = Linear(config.hidden_size, 3 * config.hidden_size, device=device, dtype=dtype)
        self.out = Linear(config.hidden_size, config.hidden_size, device=device, dtype=dtype)

    def forward(self, x: Tensor, cache: LayerCache | None = None, record: Record = unrecorded) -> Tensor:
        """(batch, tokens, hidden) -> the same shape. With a `cache`, `x` follows the tokens that it has seen."""
        normed = self.norm(x)
        record("norm", normed)
        qkv = self.qkv(normed).unflatten(-1, (3, self.heads, self.head_dim))  # (batch, tokens, 3, heads, head_dim)
        q, k, v = qkv.unbind(dim=2)                                           # (batch, tokens, heads, head_dim) each
        record("q", q)
        record("k", k)
        record("v", v)
        keys, values = cache.append(k, v) if cache else (k, v)                # (batch, keys, heads, head_dim)
        if record is unrecorded:  # nobody looks at the weights, so a kernel may run that never stores them
            mixed = fused_attention_in_parts(q, keys, values, sinks=None, window=0)
        else:
            mask = visible(x.shape[1], keys.shape[1], window=0, device=x.device)
            mixed = explicit_attention(q, keys, values, None, mask, record)
        record("mixed", mixed)
        out = self.out(mixed.flatten(2))                                      # (batch, tokens, hidden)
        record("out", out)
        return x + out


class GPT2MLP(nn.Module):
    """Norm, one layer four times as wide, GELU, back to the stream's width, residual addition. Every token uses all."""

    def __init__(self, config: GPT2Config, device=None, dtype=None):
        super().__init__()
        self.norm = LayerNorm(config.hidden_size, device=device)
        self.mlp1 = Linear(config.hidden_size, config.intermediate_size, device=device, dtype=dtype)
        self.mlp2 = Linear(config.intermediate_size, config.hidden_size, device=device, dtype=dtype)

    def forward(self, x: Tensor, record: Record = unrecorded) -> Tensor:
        """(batch, tokens, hidden) -> the same shape."""
        normed = self.norm(x)
        record("norm", normed)
        activated = self.activate(self.mlp1(normed))  # (batch, tokens, intermediate)
        record("activated", activated)
        out = self.mlp2(activated)                    # (batch, tokens, hidden)
        record("out", out)
        return x + out

    def activate(self, hidden: Tensor) -> Tensor:
        """What comes between the two layers: GELU in its tanh form, as GPT-2 was trained with."""
        return F.gelu(hidden, approximate="tanh")


class GPT2Block(TransformerBlock):
    """One layer: attention, then the MLP, one after the other as in GPT-OSS."""

    def __init__(self, config: GPT2Config, device=None, dtype=None):
        nn.Module.__init__(self)  # not `TransformerBlock`'s, which would build the parts of GPT-OSS
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
        stop = start + tokens.shape[1]  # a position beyond the table has no vector, and none can be computed
        if stop > self.config.max_context_length:
            raise ValueError(f"{stop} tokens are too many; allowed: {self.config.max_context_length}, a position for each")
        return self.embedding(tokens) + self.position.weight[start:stop]

    def unembed(self, states: Tensor) -> Tensor:
        """Logits from the embedding itself, the only table there is: (…, hidden) -> (…, vocab)."""
        return linear(states, self.embedding.weight)

    @classmethod
    def from_checkpoint(cls, directory: str | Path, dtype: torch.dtype = torch.float32,
                        device: torch.device | str | None = None) -> GPT2:
        """Read Hugging Face's safetensors of GPT-2. Raises `CheckpointError`, also where memory has no room for them."""
        device = torch.device(device or torch.get_default_device())
        config, tensors = read_gpt2(directory, dtype, device)
        model = cls(config, device="meta", dtype=dtype)
        if device.type == "cpu":
            require_room(Path(directory), sum(part.nbytes for part in model.parameters()))
        for name, tensor in tensors:  # one at a time, so that the peak is the model and one tensor more
            model.load_state_dict({name: tensor}, strict=False, assign=True)
        return model
