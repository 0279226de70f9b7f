"""Activations of a pass without gradients: the tensors of `gptoss.model` that are alive at its fullest moment."""

from __future__ import annotations

from gptoss.config import ModelConfig
from gptoss.cost.checks import require_choice, require_count
from gptoss.cost.memory import BYTES_PER_VALUE


def pass_activation_bytes(config: ModelConfig, batch_size: int, tokens: int, earlier: int = 0,
                          number_format: str = "bf16") -> int:
    """Bytes of activations at the fullest moment of a pass over `batch_size` sequences of `tokens` new tokens.

    Each follows `earlier` tokens that the cache holds. The fullest moment is in the experts: the stream, the rows sent to
    experts, all answers, and the same answers put together.
    """
    require_count("batch_size", batch_size, minimum=1)
    require_count("tokens", tokens, minimum=1)
    require_count("earlier", earlier, minimum=0)
    require_choice("number_format", number_format, BYTES_PER_VALUE)
    read, width = batch_size * tokens, BYTES_PER_VALUE[number_format]
    rows = read * config.experts_per_token
    return width * config.hidden_size * (2 * read + 3 * rows)
