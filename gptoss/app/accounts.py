"""The real size under study in figures, computed once for a configuration."""

from __future__ import annotations

from functools import lru_cache

from gptoss.config import ModelConfig
from gptoss.cost import checkpoint_bytes, count_parameters, forward_flops, kv_cache_bytes

# Pure functions of a frozen configuration. Streamlit's cache would walk its fields and copy the frame on every run,
# which costs more than it saves; these frames are shared, and nobody changes them.
remembered = lru_cache(maxsize=256)


@remembered
def figures(config: ModelConfig, context: int) -> dict[str, float]:
    """The vital signs: counts in parameters and FLOPs, sizes in bytes."""
    parameters = count_parameters(config)
    return {
        "total": parameters.total, "active": parameters.active,
        "kv_cache": kv_cache_bytes(config, context), "weights": checkpoint_bytes(config),
        "flops": forward_flops(config, tokens=1, context=context).needed_total,
    }
