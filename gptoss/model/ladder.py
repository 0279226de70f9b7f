"""One model with parts to choose from: GPT-2, GPT-OSS, and every model between them (`gptoss.ladder`)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptoss.ladder import LadderConfig
from gptoss.model.attention import AttentionBlock
from gptoss.model.block import TransformerBlock
from gptoss.model.experts import MLPBlock, swiglu
from gptoss.model.gpt2 import GPT2, GPT2MLP
from gptoss.model.language_model import LanguageModel
from gptoss.model.layernorm import LayerNorm
from gptoss.model.linear import Linear
from gptoss.model.rmsnorm import RMSNorm
from gptoss.model.rope import RotaryEmbedding


class Unturned(nn.Module):
    """Takes RoPE's place where positions are learned vectors: queries and keys stay as they are."""

    def forward(self, query: Tensor, key: Tensor, start: int = 0) -> tuple[Tensor, Tensor]:
        return query, key


def norm_of(config: LadderConfig, device) -> nn.Module:
    """RMSNorm with rung `rmsnorm`, LayerNorm without."""
    return (RMSNorm if "rmsnorm" in config else LayerNorm)(config.hidden_size, device=device)


def activation_of(config: LadderConfig, hidden: Tensor) -> Tensor:
    """SwiGLU with rung `swiglu`, GELU without: (..., rows of mlp1) -> (..., intermediate)."""
    return swiglu(hidden, config.swiglu_limit) if "swiglu" in config else F.gelu(hidden, approximate="tanh")


class LadderAttention(AttentionBlock):
    """`AttentionBlock`, whose shapes and window follow the configuration, with the other parts exchanged."""

    def __init__(self, config: LadderConfig, layer: int, device=None, dtype=None):
        super().__init__(config, layer, device, dtype)
        self.norm = norm_of(config, device)
        self.rope = RotaryEmbedding(config.rotary) if "rope" in config else Unturned()
        if "sinks" not in config:
            self.sinks = None  # plain softmax attention


class DenseMLP(GPT2MLP):
    """`GPT2MLP` with either norm and either activation."""

    def __init__(self, config: LadderConfig, device=None, dtype=None):
        super().__init__(config, device, dtype)
        self.config = config
        self.norm = norm_of(config, device)
        self.mlp1 = Linear(config.hidden_size, config.part_rows.mlp1, device=device, dtype=dtype)  # SwiGLU has a gate too

    def activate(self, hidden: Tensor) -> Tensor:
        return activation_of(self.config, hidden)


class Experts(MLPBlock):
    """`MLPBlock` with either norm and either activation."""

    def __init__(self, config: LadderConfig, device=None, dtype=None):
        super().__init__(config, device, dtype)
        self.config = config
        self.norm = norm_of(config, device)
        if "swiglu" not in config:  # GELU has no gate, so that the first matrix has half the rows
            shape = (config.num_experts, config.part_rows.mlp1)
            self.mlp1_weight = nn.Parameter(torch.empty(*shape, config.hidden_size, device=device, dtype=dtype))
            self.mlp1_bias = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

    def activate(self, hidden: Tensor) -> Tensor:
        return activation_of(self.config, hidden)


class LadderBlock(TransformerBlock):
    """One layer of any model on the ladder."""

    def __init__(self, config: LadderConfig, layer: int, device=None, dtype=None):
        nn.Module.__init__(self)  # not `TransformerBlock`'s, which would build the parts of GPT-OSS
        self.attn = LadderAttention(config, layer, device, dtype)
        self.mlp = (Experts if "experts" in config else DenseMLP)(config, device, dtype)


class LadderModel(LanguageModel):
    """A model between GPT-2 and GPT-OSS. With no rung its weights fit `GPT2`, with all of them `Transformer`."""

    def __init__(self, config: LadderConfig, device: torch.device | str | None = None,
                 dtype: torch.dtype = torch.float32, seed: int = 0):
        super().__init__()
        self.config = config
        new = {"device": "meta", "dtype": dtype}
        self.embedding = self.table(config.vocab_size, config.hidden_size, dtype)
        if "rope" not in config:
            self.position = self.table(config.max_context_length, config.hidden_size, dtype)
        self.block = nn.ModuleList(LadderBlock(config, layer, **new) for layer in range(config.num_hidden_layers))
        self.norm = norm_of(config, "meta")
        if "untied" in config:
            self.unembedding = Linear(config.hidden_size, config.vocab_size, bias=False, **new)
        self.fill(device, seed)

    def embed(self, tokens: Tensor, start: int) -> Tensor:
        """(batch, tokens) ids -> (batch, tokens, hidden). Without rung `rope`, positions are added as in GPT-2."""
        return (LanguageModel if "rope" in self.config else GPT2).embed(self, tokens, start)

    def unembed(self, states: Tensor) -> Tensor:
        """(..., hidden) -> (..., vocab). Without rung `untied`, by the embedding as in GPT-2."""
        return (LanguageModel if "untied" in self.config else GPT2).unembed(self, states)
