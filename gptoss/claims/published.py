"""What is said of the sizes of the published models, decided on their exact counts."""

from __future__ import annotations

from bisect import bisect_right

from gptoss.app.lesson import PARTLY
from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import checkpoint_bytes, count_parameters, kv_cache_bytes

LARGE, SMALL = "gpt-oss-120b", "gpt-oss-20b"


def parameters_as_published(name: str, total: float, active: float) -> tuple[bool, str]:
    """Whether billions of parameters, all and active, are those of a published model to the digits that are given."""
    counts = count_parameters(PRESETS[name])
    as_said = f"{counts.total / 1e9:.0f}" == f"{total:g}" and f"{counts.active / 1e9:.1f}" == f"{active:g}"
    return as_said, (
        f"{counts.total:,} parameters, of which {counts.active:,} work on one token. The unembedding counts as active, the "
        "embedding does not: of that a token reads one row.")


def fits_within(name: str, gigabytes: int) -> tuple[bool | str, str]:
    """Whether a published model and the KV cache of one sequence fit: whole, or as far as some context.

    A gigabyte is 10⁹ bytes. What 2³⁰ make of it is told too: memory is often sold so.
    """
    config = PRESETS[name]
    weights, longest = checkpoint_bytes(config), config.max_context_length
    whole = weights + kv_cache_bytes(config, longest)
    tokens, of_larger_units = (tokens_beside_weights(config, gigabytes * unit) for unit in (10**9, 2**30))
    return tokens == longest or (tokens > 0 and PARTLY), (
        f"Weights take {weights / 1e9:.2f} GB, experts in MXFP4 and the rest in bfloat16; with the cache of {longest:,} "
        f"tokens it is {whole / 1e9:.2f} GB. Beside the weights {gigabytes} GB hold the cache of {tokens:,} tokens, "
        f"{gigabytes} GiB that of {of_larger_units:,}. Activations, program and driver come on top.")


def tokens_beside_weights(config: ModelConfig, memory: int) -> int:
    """The longest context, as far as the model is made for, whose KV cache fits `memory` bytes beside the weights."""
    left, contexts = memory - checkpoint_bytes(config), range(1, config.max_context_length + 1)
    return bisect_right(contexts, left, key=lambda context: kv_cache_bytes(config, context))
