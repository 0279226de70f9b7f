"""What a GPT-OSS model costs: parameters, bytes and floating-point operations.

Closed forms of a `ModelConfig` in plain Python arithmetic, without torch, so that a page can ask for gpt-oss-120b
as cheaply as for a classroom model. The tests hold each of them against real tensors.
"""

from gptoss.cost.decode import decode_bytes, expected_experts_touched
from gptoss.cost.flops import ForwardFlops, forward_flops, visible_pairs
from gptoss.cost.memory import (
    checkpoint_bytes,
    kv_cache_bytes,
    kv_cache_bytes_per_layer,
    training_memory,
    weight_bytes,
)
from gptoss.cost.parameters import ParameterCounts, count_parameters

__all__ = [
    "ForwardFlops",
    "ParameterCounts",
    "checkpoint_bytes",
    "count_parameters",
    "decode_bytes",
    "expected_experts_touched",
    "forward_flops",
    "kv_cache_bytes",
    "kv_cache_bytes_per_layer",
    "training_memory",
    "visible_pairs",
    "weight_bytes",
]
