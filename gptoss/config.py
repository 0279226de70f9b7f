"""The hyperparameters of a GPT-OSS model, the official presets, and how a model is shrunk to run live.

Field names are those of `ModelConfig` in OpenAI's `gpt_oss/torch/model.py` (PyPI package `gpt-oss`).
"""

from __future__ import annotations

import dataclasses
import json
import math
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

MAX_COUNT = 2**31 - 1  # of anything that is counted: what kernels index with
MAX_WHOLE = 2**63 - 1  # beyond it torch takes a number only as a float
MAX_NUMBER = 1e30  # of any other setting: beyond about 3e38 bfloat16 and float32 are infinite, and products come first


def divisors_of(number: int) -> list[int]:
    """All divisors of a positive integer, in order: the key/value head counts that `number` query heads allow."""
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return small + [number // d for d in reversed(small) if d * d != number]


def _require_integer(config: ModelConfig | GPT2Config, name: str, minimum: int) -> None:
    value = getattr(config, name)
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= MAX_COUNT:
        _refuse(name, value, f"an integer of {minimum} or more, {MAX_COUNT:,} at most")


def _require_number(config: ModelConfig, name: str) -> None:
    value = getattr(config, name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= MAX_NUMBER:
        _refuse(name, value, f"a finite number above 0, {MAX_NUMBER:g} at most")
    if isinstance(value, int) and value > MAX_WHOLE:
        object.__setattr__(config, name, float(value))


def _refuse(name: str, value: object, allowed: str) -> None:
    raise ValueError(f"{name}={reprlib.repr(value)} is impossible; allowed: {allowed}")


class PartRows(NamedTuple):
    """How many rows (or values) the parts have that GPT-2 and GPT-OSS do not share; 0 where there is no such part."""

    norms: int  # values a feature of each norm has: a scale, and in LayerNorm a bias
    positions: int  # learned vectors, one a position
    sinks: int  # logits of a layer
    router: int  # rows of a layer's router
    mlp1: int  # rows of an MLP's first matrix
    unembedding: int  # rows of the unembedding, 0 where it is the embedding


@dataclass(frozen=True)
class ModelConfig:
    """One GPT-OSS architecture. Immutable and hashable, so it can be the key of a cache.

    The defaults are gpt-oss-120b. A combination that no model can have raises a `ValueError` that names the
    field, its value and what would be allowed.

    Units: sizes count values, `sliding_window` and `initial_context_length` count tokens.
    """

    num_hidden_layers: int = 36
    num_experts: int = 128
    experts_per_token: int = 4
    vocab_size: int = 201_088
    hidden_size: int = 2880
    intermediate_size: int = 2880
    swiglu_limit: float = 7.0
    head_dim: int = 64
    num_attention_heads: int = 64
    num_key_value_heads: int = 8
    sliding_window: int = 128  # tokens, the query's own included; 0 means that no layer slides
    window_every: int = 2  # one in so many layers slides, the first one first; 1 means that all do. Fixed in the reference
    initial_context_length: int = 4096
    rope_theta: float = 150_000.0
    rope_scaling_factor: float = 32.0
    rope_ntk_alpha: float = 1.0
    rope_ntk_beta: float = 32.0

    def __post_init__(self) -> None:
        for name in _COUNTS:
            _require_integer(self, name, minimum=1)
        _require_integer(self, "sliding_window", minimum=0)
        for name in ("rope_theta", "rope_scaling_factor", "rope_ntk_alpha", "rope_ntk_beta", "swiglu_limit"):
            _require_number(self, name)
        if self.head_dim % 2:
            _refuse("head_dim", self.head_dim, "an even number, since RoPE turns pairs of dimensions")
        if self.num_attention_heads % self.num_key_value_heads:
            divisors = ", ".join(map(str, divisors_of(self.num_attention_heads)))
            _refuse("num_key_value_heads", self.num_key_value_heads,
                    f"a divisor of num_attention_heads={self.num_attention_heads}: {divisors}")
        if self.experts_per_token > self.num_experts:
            _refuse("experts_per_token", self.experts_per_token, f"at most num_experts={self.num_experts}")
        if self.rope_theta <= 1:
            _refuse("rope_theta", self.rope_theta, "a number above 1")
        if self.rope_scaling_factor < 1:
            _refuse("rope_scaling_factor", self.rope_scaling_factor, "1 (plain RoPE) or more")
        if self.rope_ntk_alpha >= self.rope_ntk_beta:
            _refuse("rope_ntk_alpha", self.rope_ntk_alpha, f"less than rope_ntk_beta={self.rope_ntk_beta}")

    @classmethod
    def preset(cls, name: str) -> ModelConfig:
        """The configuration called `name`, one of `PRESETS`. Raises `ValueError` for any other name."""
        if name not in PRESETS:
            raise ValueError(f"preset={name!r} is unknown; allowed: {', '.join(PRESETS)}")
        return PRESETS[name]

    @property
    def group_size(self) -> int:
        """Query heads that share one key/value head."""
        return self.num_attention_heads // self.num_key_value_heads

    @property
    def qkv_size(self) -> int:
        """Rows of the fused qkv projection: all query heads, then the key heads, then the value heads."""
        return self.head_dim * (self.num_attention_heads + 2 * self.num_key_value_heads)

    @property
    def max_context_length(self) -> int:
        """Tokens the position encoding is made for: the trained context, stretched by YaRN's factor."""
        return int(self.initial_context_length * self.rope_scaling_factor)

    @property
    def shape(self) -> ModelConfig:
        """The same with all that changes no weight's shape at one and the same value: equal for what can share weights."""
        return self.replace(**{name: getattr(ModelConfig, name) for name in SETTINGS} | {"experts_per_token": 1})

    @property
    def part_rows(self) -> PartRows:
        """Rows of those weights that not every architecture has."""
        return PartRows(norms=1, positions=0, sinks=self.num_attention_heads, router=self.num_experts,
                        mlp1=2 * self.intermediate_size, unembedding=self.vocab_size)

    def window_of(self, layer: int) -> int:
        """The window of one layer in tokens, or 0 for full attention. In gpt-oss even layers slide, odd layers do not."""
        return self.sliding_window if layer % self.window_every == 0 else 0

    def replace(self, **changes) -> ModelConfig:
        """A copy with some fields changed, validated like a new one."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True)
class GPT2Config:
    """One GPT-2 architecture. Immutable and hashable; the defaults are the smallest published one, 124 M parameters.

    Fields that GPT-OSS has too carry its names; OpenAI's own are n_layer, n_head, n_embd, n_ctx and n_vocab. What is no
    field in GPT-2 is a property here, so that what reads a configuration can read either. Raises `ValueError` where a
    field is impossible.
    """

    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    hidden_size: int = 768
    vocab_size: int = 50_257
    max_context_length: int = 1024  # tokens: each position has a learned vector

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _require_integer(self, field.name, minimum=1)
        if self.hidden_size % self.num_attention_heads:
            divisors = ", ".join(map(str, divisors_of(self.hidden_size)))
            _refuse("num_attention_heads", self.num_attention_heads, f"a divisor of {self.hidden_size}: {divisors}")

    @classmethod
    def preset(cls, name: str) -> GPT2Config:
        """The configuration called `name`, one of `GPT2_PRESETS`. Raises `ValueError` for any other name."""
        if name not in GPT2_PRESETS:
            raise ValueError(f"preset={name!r} is unknown; allowed: {', '.join(GPT2_PRESETS)}")
        return GPT2_PRESETS[name]

    @property
    def head_dim(self) -> int:
        """The heads share the width among them."""
        return self.hidden_size // self.num_attention_heads

    @property
    def num_key_value_heads(self) -> int:
        """Every query head has keys and values of its own."""
        return self.num_attention_heads

    @property
    def intermediate_size(self) -> int:
        """Width of the MLP."""
        return 4 * self.hidden_size

    @property
    def qkv_size(self) -> int:
        """Rows of the fused qkv projection."""
        return 3 * self.hidden_size

    @property
    def num_experts(self) -> int:
        """One MLP, which every token uses."""
        return 1

    @property
    def experts_per_token(self) -> int:
        return 1

    @property
    def part_rows(self) -> PartRows:
        """Rows of those weights that not every architecture has: the embedding is the unembedding."""
        return PartRows(norms=2, positions=self.max_context_length, sinks=0, router=0, mlp1=self.intermediate_size,
                        unembedding=0)

    def window_of(self, layer: int) -> int:
        """0 for every layer: each sees all that came before."""
        return 0

    def replace(self, **changes) -> GPT2Config:
        """A copy with some fields changed, validated like a new one."""
        return dataclasses.replace(self, **changes)


GPT2_PRESETS: dict[str, GPT2Config] = {
    "gpt2": GPT2Config(),
    "gpt2-medium": GPT2Config(num_hidden_layers=24, num_attention_heads=16, hidden_size=1024),
    "gpt2-large": GPT2Config(num_hidden_layers=36, num_attention_heads=20, hidden_size=1280),
    "gpt2-xl": GPT2Config(num_hidden_layers=48, num_attention_heads=25, hidden_size=1600),
}
# Fields that change no weight's shape.
SETTINGS = ("sliding_window", "window_every", "experts_per_token", "rope_theta", "rope_scaling_factor", "rope_ntk_alpha",
            "rope_ntk_beta", "initial_context_length", "swiglu_limit")
_COUNTS = ("num_hidden_layers", "num_experts", "experts_per_token", "vocab_size", "hidden_size", "intermediate_size",
           "head_dim", "num_attention_heads", "num_key_value_heads", "window_every", "initial_context_length")

PRESETS: dict[str, ModelConfig] = {
    "gpt-oss-20b": ModelConfig(num_hidden_layers=24, num_experts=32),
    "gpt-oss-120b": ModelConfig(),
    # Trained on simple English: what is in the folder of its weights.
    "storyteller": ModelConfig(**json.loads(
        (Path(__file__).parent / "training" / "storyteller" / "config.json").read_text(encoding="utf-8"))),
    # Small enough to run on the spot. At so short a trained context beta 32 breaks the reference's assertion
    # 0 < low, so the ramp starts at 8 turns instead.
    "classroom": ModelConfig(
        num_hidden_layers=4, num_experts=8, experts_per_token=2, vocab_size=4096, hidden_size=128,
        intermediate_size=128, head_dim=16, num_attention_heads=8, num_key_value_heads=2, sliding_window=16,
        initial_context_length=64, rope_theta=10_000.0, rope_scaling_factor=4.0, rope_ntk_beta=8.0),
    # The demonstration model of the notebook this dashboard grew from: 31,650,848 parameters.
    "notebook": ModelConfig(
        num_hidden_layers=2, num_experts=8, experts_per_token=2, vocab_size=5000, hidden_size=512,
        intermediate_size=1024, head_dim=64, num_attention_heads=8, num_key_value_heads=2, sliding_window=128,
        initial_context_length=512, rope_theta=10_000.0, rope_scaling_factor=1.0),
}
