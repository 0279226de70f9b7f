"""What a GPT-OSS model costs: parameters, bytes and floating-point operations.

Closed forms of a `ModelConfig` in plain Python arithmetic, without torch, so that a page can ask for gpt-oss-120b
as cheaply as for a classroom model. The tests compare each of them with real tensors.
"""

from gptoss.cost.accelerators import ACCELERATORS, MACHINES, Accelerator
from gptoss.cost.activations import activation_bytes, kept_bytes
from gptoss.cost.decode import decode_bytes, expected_experts_touched
from gptoss.cost.flops import ForwardFlops, forward_flops, visible_pairs
from gptoss.cost.inference import Load, Operator, decode_operators, prefill_operators
from gptoss.cost.memory import (
    checkpoint_bytes,
    kv_cache_bytes,
    kv_cache_bytes_per_layer,
    kv_slots,
    training_bytes_per_parameter,
    training_memory,
    weight_bytes,
)
from gptoss.cost.moments import pass_activation_bytes, pass_moments
from gptoss.cost.parameters import ParameterCounts, count_parameters, is_large
from gptoss.cost.roofline import (
    OperatorBound,
    bound_seconds,
    bounds,
    decode_seconds,
    prefill_seconds,
    ridge,
    tokens_per_second,
)
from gptoss.cost.scale import (
    Layout,
    accelerator_hours,
    accumulation_steps,
    optimizer_steps,
    rule_of_thumb,
    training_bytes,
    training_flops_per_token,
)
from gptoss.cost.scale_model import scale_model
from gptoss.cost.schedule import learning_rate
from gptoss.cost.serving import LayerSlots, cache_designs, cache_film, serving_bytes, users_at_once

__all__ = ["ACCELERATORS", "MACHINES", "Accelerator", "ForwardFlops", "LayerSlots", "Layout", "Load", "Operator",
           "OperatorBound", "ParameterCounts", "accelerator_hours", "accumulation_steps", "activation_bytes",
           "bound_seconds", "bounds", "cache_designs", "cache_film", "checkpoint_bytes", "count_parameters", "decode_bytes",
           "decode_operators", "decode_seconds", "expected_experts_touched", "forward_flops", "is_large", "kept_bytes",
           "kv_cache_bytes", "kv_cache_bytes_per_layer", "kv_slots", "learning_rate", "optimizer_steps",
           "pass_activation_bytes", "pass_moments", "prefill_operators", "prefill_seconds", "ridge", "rule_of_thumb",
           "scale_model", "serving_bytes", "tokens_per_second", "training_bytes", "training_bytes_per_parameter",
           "training_flops_per_token", "training_memory", "users_at_once", "visible_pairs", "weight_bytes"]
