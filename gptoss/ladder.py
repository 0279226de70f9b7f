"""The road from GPT-2 to GPT-OSS: eleven changes, each of which can be made without the others.

`LadderConfig` is the configuration of any model between them: `gptoss.model.LadderModel` builds it, `gptoss.cost` counts
it. With no rung it is a `GPT2Config`, with all of them a `ModelConfig`, under other names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from gptoss.config import GPT2Config, ModelConfig, PartRows, divisors_of

_GPT2, _GPT_OSS = GPT2Config(), ModelConfig()


@dataclass(frozen=True)
class Rung:
    """One change: its name in an address, what it is called, what it replaces by what, and the rungs it needs."""

    name: str
    title: str
    before: str
    after: str
    needs: tuple[str, ...] = ()


# In the order in which a waterfall adds them up. Effects do not commute, so the order is part of every such picture.
RUNGS: dict[str, Rung] = {rung.name: rung for rung in (
    Rung("rmsnorm", "RMSNorm", "LayerNorm: mean taken away, scale and bias", "RMSNorm: a scale alone"),
    Rung("rope", "RoPE", "a learned vector for each of 1,024 positions", "queries and keys turned by their position"),
    Rung("yarn", "YaRN", "RoPE as trained", "its slow frequencies stretched, for a longer context", ("rope",)),
    Rung("swiglu", "SwiGLU", "GELU", "a gate times a linear half: clamped, with 1 added"),
    Rung("head_dim", "Own head size", "heads share the width", "a head size of its own, and more heads"),
    Rung("gqa", "Grouped queries", "keys and values for every head", "shared by a group of query heads"),
    Rung("window", "Sliding windows", "every layer sees everything", "every other layer sees a window"),
    Rung("sinks", "Sinks", "attention always adds up to 1", "a learned logit a head takes its share"),
    Rung("experts", "Experts", "one dense MLP", "a router and many expert MLPs"),
    Rung("untied", "Untied", "the embedding also answers", "an unembedding of its own"),
    Rung("o200k", "o200k vocabulary", "GPT-2's 50,257 tokens", "201,088 tokens"),
)}


@dataclass(frozen=True)
class LadderConfig:
    """A model on the way from GPT-2 to the GPT-OSS model `top`: the same depth and width, with some rungs taken.

    Immutable and hashable. Its properties carry the names of `ModelConfig`'s fields. Raises `ValueError` for an unknown
    rung and for one that is taken without a rung it needs.
    """

    top: ModelConfig
    rungs: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "rungs", frozenset(self.rungs))
        for name in self.rungs:
            if name not in RUNGS:
                raise ValueError(f"rung {name!r} is unknown; allowed: {', '.join(RUNGS)}")
            for needed in RUNGS[name].needs:
                if needed not in self.rungs:
                    raise ValueError(f"{RUNGS[name].title} needs {RUNGS[needed].title}")

    @classmethod
    def climbed(cls, top: ModelConfig) -> LadderConfig:
        """All rungs taken, which is `top` itself."""
        return cls(top, frozenset(RUNGS))

    def __contains__(self, rung: str) -> bool:
        return rung in self.rungs

    def replace(self, rungs: Iterable[str]) -> LadderConfig:
        """The same sizes with other rungs."""
        return LadderConfig(self.top, frozenset(rungs))

    @cached_property
    def bottom(self) -> GPT2Config:
        """The GPT-2 of this depth and width. Its head size is GPT-2's 64, or the live model's, where that divides."""
        width = self.top.hidden_size
        head_dim = max(size for size in divisors_of(width) if size <= self.top.head_dim)
        single_bytes = min(256, self.top.vocab_size)  # with which any text can be spelt
        vocabulary = max(_GPT2.vocab_size * self.top.vocab_size // _GPT_OSS.vocab_size, single_bytes)
        return GPT2Config(self.top.num_hidden_layers, width // head_dim, width, vocabulary)

    @property
    def num_hidden_layers(self) -> int:
        return self.top.num_hidden_layers

    @property
    def hidden_size(self) -> int:
        return self.top.hidden_size

    @property
    def vocab_size(self) -> int:
        return (self.top if "o200k" in self else self.bottom).vocab_size

    @property
    def num_attention_heads(self) -> int:
        return (self.top if "head_dim" in self else self.bottom).num_attention_heads

    @property
    def head_dim(self) -> int:
        return (self.top if "head_dim" in self else self.bottom).head_dim

    @property
    def num_key_value_heads(self) -> int:
        """With grouped queries, groups as large as `top`'s, or as near below as the number of heads allows."""
        heads = self.num_attention_heads
        if "gqa" not in self:
            return heads
        return heads // max(size for size in divisors_of(heads) if size <= self.top.group_size)

    @property
    def qkv_size(self) -> int:
        return self.head_dim * (self.num_attention_heads + 2 * self.num_key_value_heads)

    @property
    def sliding_window(self) -> int:
        return self.top.sliding_window if "window" in self else 0

    def window_of(self, layer: int) -> int:
        """The window of one layer in tokens, or 0 for full attention."""
        return self.top.window_of(layer) if "window" in self else 0

    @property
    def intermediate_size(self) -> int:
        """Width inside an MLP. A dense SwiGLU is as wide as gives it as many parameters as the GELU it replaces."""
        if "experts" in self:
            return self.top.intermediate_size
        width = self.hidden_size
        if "swiglu" not in self:
            return 4 * width
        return round((8 * width * width + 4 * width) / (3 * width + 2))

    @property
    def num_experts(self) -> int:
        """Experts of each layer; a dense MLP is one that every token uses."""
        return self.top.num_experts if "experts" in self else 1

    @property
    def experts_per_token(self) -> int:
        return self.top.experts_per_token if "experts" in self else 1

    @property
    def part_rows(self) -> PartRows:
        """Rows of those weights that not every architecture has. SwiGLU's first matrix has a gate and a linear half."""
        return PartRows(
            norms=1 if "rmsnorm" in self else 2, positions=0 if "rope" in self else self.bottom.max_context_length,
            sinks=self.num_attention_heads if "sinks" in self else 0, router=self.num_experts if "experts" in self else 0,
            mlp1=self.intermediate_size * (2 if "swiglu" in self else 1),
            unembedding=self.vocab_size if "untied" in self else 0)

    @property
    def swiglu_limit(self) -> float:
        return self.top.swiglu_limit

    @property
    def rotary(self) -> ModelConfig:
        """What RoPE reads: this model's head size, and no stretching without YaRN."""
        factor = self.top.rope_scaling_factor if "yarn" in self else 1.0
        return self.top.replace(head_dim=self.head_dim, rope_scaling_factor=factor)

    @property
    def max_context_length(self) -> int:
        """Tokens that the positions are made for."""
        return self.rotary.max_context_length if "rope" in self else self.bottom.max_context_length
