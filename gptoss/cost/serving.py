"""What serving a model keeps in memory: weights, keys and values, activations, and how many sequences fit beside them."""

from __future__ import annotations

from dataclasses import dataclass

from gptoss.config import ModelConfig
from gptoss.cost.checks import require_count
from gptoss.cost.inference import Load
from gptoss.cost.memory import kv_cache_bytes, kv_cache_bytes_per_layer, kv_slots, weight_bytes
from gptoss.cost.moments import pass_activation_bytes

SLIDING, FULL = "sliding", "full"
AS_IT_IS = "as it is"


def serving_bytes(config: ModelConfig, load: Load) -> dict[str, int]:
    """Part -> bytes that serving `load` keeps at once: each part's weights, then "KV cache" and "activations".

    The cache holds `load.context` tokens of every sequence. Activations are those of the fullest moment of reading all
    prompts at once or of writing a token to each sequence, whichever is more (`pass_activation_bytes`).
    Raises `ValueError` where MXFP4 cannot hold the experts.
    """
    read = pass_activation_bytes(config, load.batch_size, load.prompt, number_format=load.rest)
    written = pass_activation_bytes(config, load.batch_size, 1, load.context - 1, load.rest)
    return weight_bytes(config, load.experts, load.rest) | {
        "KV cache": kv_cache_bytes(config, load.context, load.batch_size, load.kv_bytes_per_value),
        "activations": max(read, written)}


def users_at_once(config: ModelConfig, memory: int, load: Load) -> int:
    """How many sequences of `load.context` tokens fit into `memory` bytes beside the weights; 0 where not even those do.

    Activations are left out: a server can make them as small as it likes by reading prompts in pieces. `load.batch_size`
    plays no part.
    """
    require_count("memory", memory, minimum=0)
    left = memory - sum(weight_bytes(config, load.experts, load.rest).values())
    return max(left, 0) // kv_cache_bytes(config, load.context, bytes_per_value=load.kv_bytes_per_value)


@dataclass(frozen=True)
class LayerSlots:
    """The KV cache of one layer, for one sequence."""

    layer: int
    kind: str  # `SLIDING` or `FULL`
    slots: int  # tokens whose keys and values it keeps now
    slots_at_most: int  # how many it will ever keep
    bytes: int  # of what it keeps now


def cache_film(config: ModelConfig, context: int, bytes_per_value: int = 2,
               longest: int | None = None) -> tuple[LayerSlots, ...]:
    """The cache layer by layer when a sequence has `context` tokens: rings stop growing at their window.

    Full layers grow up to `longest` tokens, by default the model's longest context. Raises `ValueError` for a `context`
    below 0 or above `longest`.
    """
    longest = config.max_context_length if longest is None else longest
    require_count("longest", longest, minimum=context)
    columns = (kv_slots(config, context), kv_slots(config, longest),
               kv_cache_bytes_per_layer(config, context, 1, bytes_per_value))
    return tuple(LayerSlots(layer, SLIDING if config.window_of(layer) else FULL, *row)
                 for layer, row in enumerate(zip(*columns, strict=True)))


def cache_designs(config: ModelConfig, context: int, batch_size: int = 1, bytes_per_value: int = 2) -> dict[str, int]:
    """Design -> bytes of the KV cache: as the model is, then with other numbers of KV heads, and with every layer full.

    "MHA" gives every query head keys and values of its own (Vaswani et al., arXiv 1706.03762), "MQA" shares one pair among
    all (Shazeer, arXiv 1911.02150); both keep the model's windows, unless "every layer full" says otherwise.
    """
    every_head = config.replace(num_key_value_heads=config.num_attention_heads)
    designs = {
        AS_IT_IS: config,
        "MHA": every_head,
        "MQA": config.replace(num_key_value_heads=1),
        "every layer full": config.replace(sliding_window=0),
        "MHA, every layer full": every_head.replace(sliding_window=0),
    }
    return {name: kv_cache_bytes(design, context, batch_size, bytes_per_value) for name, design in designs.items()}
