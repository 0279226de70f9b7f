"""How many bytes move when a GPT-OSS model writes one token: what limits its speed at small batches."""

from __future__ import annotations

from gptoss.config import ModelConfig
from gptoss.cost.checks import require_count
from gptoss.cost.memory import BYTES_PER_VALUE, kv_cache_bytes, weight_bytes


def decode_bytes(config: ModelConfig, context: int, batch_size: int = 1, experts: str = "mxfp4", rest: str = "bf16",
                 kv_bytes_per_value: int = 2) -> dict[str, int]:
    """Part -> bytes moved by one decoding step in which each of `batch_size` sequences gains one token.

    Read are one embedding row a sequence, all other weights once for the whole batch, of the experts only those
    that some token chose, and the keys and values that each new token attends to: `context` tokens with itself, in
    sliding layers the window's. Written are the new token's own key and value in every layer. Activations are
    left out, since they fit on the chip. Formats as in `weight_bytes`.

    The experts' share is an expectation (see `expected_experts_touched`), rounded to a byte; all else is exact.
    Raises `ValueError` for a `context` or `batch_size` below 1, and as `weight_bytes` does.
    """
    require_count("context", context, minimum=1)
    require_count("kv_bytes_per_value", kv_bytes_per_value, minimum=1)
    touched = expected_experts_touched(config, batch_size) / config.num_experts
    traffic = weight_bytes(config, experts, rest)
    traffic["embedding"] = batch_size * config.hidden_size * BYTES_PER_VALUE[rest]
    for part in ("mlp1", "mlp2", "expert biases"):
        traffic[part] = round(traffic[part] * touched)
    traffic["KV cache read"] = kv_cache_bytes(config, context, batch_size, kv_bytes_per_value)
    traffic["KV cache written"] = kv_cache_bytes(config, 1, batch_size, kv_bytes_per_value)
    return traffic


def expected_experts_touched(config: ModelConfig, batch_size: int) -> float:
    """Different experts of one layer that a batch of `batch_size` tokens is expected to visit.

    Each token misses a given expert with probability 1 - k/E, so E·(1 - (1 - k/E)^B) of E experts are visited if
    tokens choose k each independently and evenly. Real routers are uneven and visit fewer. Raises `ValueError`
    for a `batch_size` below 1.
    """
    require_count("batch_size", batch_size, minimum=1)
    missed = (1 - config.experts_per_token / config.num_experts) ** batch_size
    return config.num_experts * (1 - missed)
