"""The real sizes as frames and charts, each computed once for a configuration."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd

from gptoss.charts.accounting import flops_area, kv_cache_lines, parameters_by_part
from gptoss.charts.chart import Chart
from gptoss.config import ModelConfig
from gptoss.cost import count_parameters, forward_flops, kv_cache_bytes

CONTEXTS = tuple(2**power for power in range(7, 18))  # 128 to 131,072 tokens

remembered = lru_cache(maxsize=256)  # of frozen configurations; what is remembered is shared, and nobody changes it


@remembered
def parameters_chart(config: ModelConfig, pinned: ModelConfig | None = None) -> Chart:
    """All and active parameters by part, of the model under study and of the pinned one."""
    return parameters_by_part(*parameter_parts(config), *(parameter_parts(pinned) if pinned else ()))


@remembered
def kv_cache_chart(config: ModelConfig, pinned: ModelConfig | None, context: int) -> Chart:
    """Size of the KV cache against context, with a mark at `context` tokens."""
    return kv_cache_lines(kv_cache_frame(config, pinned), context)


@remembered
def flops_chart(config: ModelConfig, pinned: ModelConfig | None, context: int) -> Chart:
    """FLOPs for one more token against context, with a mark at `context` tokens."""
    return flops_area(flops_frame(config, pinned), context)


@remembered
def parameter_parts(config: ModelConfig) -> tuple[dict[str, int], dict[str, int]]:
    """All parameters by part, and those of them that one token uses."""
    parameters = count_parameters(config)
    total = dict(parameters.by_part)
    not_by_all = ("embedding", "mlp1", "mlp2", "expert biases")
    active = {part: count for part, count in total.items() if part not in not_by_all}
    return total, active | {"experts": parameters.active_experts}


@remembered
def kv_cache_frame(config: ModelConfig, pinned: ModelConfig | None = None) -> pd.DataFrame:
    """Bytes of one sequence's KV cache by context, way of sharing heads, and with or without windows.

    The pinned model is there as it was set.
    """
    sharings = {"MHA": config.num_attention_heads, "GQA": config.num_key_value_heads, "MQA": 1}
    windows = {"windows as set": config.sliding_window, "every layer full": 0}
    rows = [
        (context, kv_cache_bytes(config.replace(num_key_value_heads=heads, sliding_window=window), context),
         sharing, words, "current")
        for sharing, heads in sharings.items() for words, window in windows.items() for context in CONTEXTS
    ]
    if pinned:
        rows += [(context, kv_cache_bytes(pinned, context), "GQA", "windows as set", "pinned") for context in CONTEXTS]
    return pd.DataFrame(rows, columns=["context", "bytes", "sharing", "windows", "model"])


@remembered
def flops_frame(config: ModelConfig, pinned: ModelConfig | None = None) -> pd.DataFrame:
    """FLOPs needed for one more token by context and operator, of the model under study and of the pinned one."""
    rows = [
        (context, operator, flops, name)
        for name, model in (("current", config), ("pinned", pinned)) if model
        for context in CONTEXTS
        for operator, flops in forward_flops(model, tokens=1, context=context).needed.items()
    ]
    return pd.DataFrame(rows, columns=["context", "operator", "flops", "model"])
