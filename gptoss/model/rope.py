"""Rotary position embedding (Su et al., arXiv 2104.09864) stretched by YaRN (Peng et al., arXiv 2309.00071).

As in `RotaryEmbedding` of OpenAI's `gpt_oss/torch/model.py`.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor, nn

from gptoss.config import ModelConfig


def yarn_range(config: ModelConfig) -> tuple[float, float]:
    """The pairs of dimensions (low, high) between which YaRN blends, as real numbers: 8.09 and 17.40 for gpt-oss.

    A pair below `low` turns more than `rope_ntk_beta` times within the trained context and keeps its frequency;
    one above `high` turns less than `rope_ntk_alpha` times and is slowed down by the whole factor.
    """
    def pair_that_turns(times: float) -> float:
        wavelength = config.initial_context_length / times
        return config.head_dim / 2 * math.log(wavelength / (2 * math.pi)) / math.log(config.rope_theta)

    return pair_that_turns(config.rope_ntk_beta), pair_that_turns(config.rope_ntk_alpha)


def yarn_ramp(config: ModelConfig) -> Tensor:
    """How far each pair is stretched: 0 keeps its frequency, 1 divides it by the factor. Shape (head_dim / 2,).

    The reference asserts 0 < low < high < head_dim / 2 - 1 and stops otherwise. Here the range is clipped to the
    head as `transformers` clips it, so that short contexts and small heads work too: a negative `low` leaves no
    pair below the ramp, and a range that is outside the head on one side leaves a step in place of a ramp.
    """
    low, high = yarn_range(config)
    low, high = max(low, 0.0), min(high, config.head_dim - 1.0)
    high = max(high, low + 1e-3)  # an empty range would be divided by zero
    pair = torch.arange(config.head_dim // 2, dtype=torch.float32)  # (head_dim / 2,)
    return ((pair - low) / (high - low)).clamp(0, 1)


def inverse_frequencies(config: ModelConfig) -> Tensor:
    """Radians that each pair of dimensions turns per token. Shape (head_dim / 2,), float32."""
    exponent = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim  # (head_dim / 2,), from 0 to 1
    frequency = config.rope_theta ** -exponent  # pair 0 turns by one radian a token, the last by about 1 / theta
    if config.rope_scaling_factor == 1:
        return frequency
    # Fast pairs tell neighbours apart and stay; slow ones would meet angles that were never trained, and turn slower.
    ramp = yarn_ramp(config)
    return frequency * (1 - ramp) + frequency / config.rope_scaling_factor * ramp


def concentration(config: ModelConfig) -> float:
    """YaRN's temperature, 1.3466 for gpt-oss: multiplies cos and sin, so queries and keys both grow by it.

    Scores grow by its square, which makes attention sharper where there are more keys to choose from.
    """
    return 0.1 * math.log(config.rope_scaling_factor) + 1


@lru_cache(maxsize=16)  # all layers of a model share a table
@torch.inference_mode(False)  # a table made while generating must serve training too
def rotation_table(config: ModelConfig, positions: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines of every position and pair, times the concentration: two (positions, head_dim / 2), float32."""
    angles = torch.outer(torch.arange(positions, dtype=torch.float32), inverse_frequencies(config))  # radians
    scale = concentration(config)
    # Made on the CPU, so that every device has the same digits.
    return (angles.cos() * scale).to(device), (angles.sin() * scale).to(device)


class RotaryEmbedding(nn.Module):
    """Turn queries and keys by an angle proportional to their position, so that scores depend on distance alone."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config

    def forward(self, query: Tensor, key: Tensor, start: int = 0) -> tuple[Tensor, Tensor]:
        """Rotate (batch, tokens, heads, head_dim) tensors whose first token is at position `start`."""
        cos, sin = self.cos_sin(start, query.shape[1], query.device)
        both = torch.cat((query, key), dim=2)   # (batch, tokens, heads + kv_heads, head_dim): all turn by the same angles
        return self.rotate(both, cos, sin).split((query.shape[2], key.shape[2]), dim=2)

    def cos_sin(self, start: int, tokens: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """The cosine and sine of every angle, times the concentration: two (tokens, head_dim / 2), float32."""
        stop = start + tokens
        # The next power of two, so that a text that grows token by token seldom needs another table.
        cos, sin = rotation_table(self.config, 1 << (stop - 1).bit_length(), device)
        return cos[start:stop], sin[start:stop]

    @staticmethod
    def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Turn the pairs (x[i], x[i + head_dim / 2]): halves, not neighbours. x is (batch, tokens, heads, head_dim)."""
        cos, sin = cos[:, None, :].to(x.dtype), sin[:, None, :].to(x.dtype)  # (tokens, 1, head_dim / 2): as for every head
        first, second = x.chunk(2, dim=-1)                                   # (batch, tokens, heads, head_dim / 2) each
        return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
