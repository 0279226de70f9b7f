"""What people say about the sizes of the published models, decided on their exact counts."""

from __future__ import annotations

import math
from bisect import bisect_right

from gptoss import units
from gptoss.app.study import Study
from gptoss.app.verdicts import Verdict, near
from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import checkpoint_bytes, count_parameters, kv_cache_bytes

# What the notebook prints and says of the size of "gpt-oss-120b".
NOTEBOOK_PARAMETERS = 2967e6
# Streamlit Community Cloud, by its documentation: bytes, and cores.
GUARANTEED, AT_MOST, CORES = 690e6, 2.7e9, (0.078, 2)
NOTEBOOK_SIZE, NOTEBOOK_LAYERS, NOTEBOOK_EXPERTS = 20e9, 36, 128


def parameters_of_the_large(study: Study) -> Verdict:
    """Claim 1: all parameters of gpt-oss-120b, and how many are its experts'."""
    counts, config = count_parameters(study.config), study.config
    dense = counts.total - counts.experts
    return Verdict.of(near(NOTEBOOK_PARAMETERS, counts.total), (
        f"It has {counts.total:,}, {counts.total / NOTEBOOK_PARAMETERS:.0f} times as many. {counts.experts:,} of them are "
        f"in {config.num_experts} experts of {config.num_hidden_layers} layers, {dense:,} in all the rest."))


def size_layers_and_experts() -> Verdict:
    """Claim 2: which published model has that size, and which one that shape."""
    shapes = {name: (count_parameters(config).total, config.num_hidden_layers, config.num_experts)
              for name, config in PRESETS.items() if name in ("gpt-oss-20b", "gpt-oss-120b")}
    holds = any(NOTEBOOK_SIZE <= total < 1.1 * NOTEBOOK_SIZE and (layers, experts) == (NOTEBOOK_LAYERS, NOTEBOOK_EXPERTS)
                for total, layers, experts in shapes.values())
    models = "; ".join(f"{name} has {units.count(total)} parameters, {layers} layers and {experts} experts"
                       for name, (total, layers, experts) in shapes.items())
    return Verdict.of(holds, f"These are two models: {models}.")


def parameters_as_published(study: Study, total: float, active: float) -> Verdict:
    """Whether billions of parameters, all and active, are those of a published model to the digits that are given."""
    counts = count_parameters(study.config)
    holds = f"{counts.total / 1e9:.0f}" == f"{total:g}" and f"{counts.active / 1e9:.1f}" == f"{active:g}"
    return Verdict.of(holds, (
        f"{counts.total:,} parameters, of which {counts.active:,} work on one token. The unembedding counts as active, the "
        "embedding does not: of that a token reads one row."))


def fits_within(study: Study, gigabytes: int) -> Verdict:
    """Whether a published model and the KV cache of one sequence fit: whole, or as far as some context.

    A gigabyte is 10⁹ bytes. The sentence also says what 2³⁰ make of it: memory is often sold so.
    """
    config = study.config
    weights, longest = checkpoint_bytes(config), config.max_context_length
    whole = weights + kv_cache_bytes(config, longest)
    tokens, of_larger_units = (tokens_beside_weights(config, gigabytes * unit) for unit in (10**9, 2**30))
    return Verdict.of(tokens == longest, partly=tokens > 0, sentence=(
        f"Weights take {weights / 1e9:.2f} GB, experts in MXFP4 and the rest in bfloat16; with the cache of {longest:,} "
        f"tokens it is {whole / 1e9:.2f} GB. Beside the weights {gigabytes} GB have room for the cache of {tokens:,} tokens"
        f"{_in_gib(gigabytes, tokens, of_larger_units)}. Activations, program and driver come on top."))


def _in_gib(gigabytes: int, tokens: int, of_larger_units: int) -> str:
    if tokens == of_larger_units:
        return ", all that the model can read"
    return f", and {gigabytes} GiB for that of {of_larger_units:,}"


def tokens_beside_weights(config: ModelConfig, memory: int) -> int:
    """The longest context, as far as the model is made for, whose KV cache fits `memory` bytes beside the weights."""
    left, contexts = memory - checkpoint_bytes(config), range(1, config.max_context_length + 1)
    return bisect_right(contexts, left, key=lambda context: kv_cache_bytes(config, context))


def community_cloud(gigabytes: float, users: int) -> Verdict:
    """What a free host of such apps gives by its documentation, beside what gpt-oss-20b takes."""
    weights = checkpoint_bytes(PRESETS["gpt-oss-20b"])
    holds = math.isclose(GUARANTEED, gigabytes * 1e9) or math.isclose(AT_MOST, gigabytes * 1e9)
    return Verdict.of(holds, (
        f"Its documentation names no number of users, {users} or any other. It guarantees {units.decimal(GUARANTEED, 'B')} "
        f"and allows at most {units.decimal(AT_MOST, 'B')}, with {CORES[0]} to {CORES[1]} cores (figures of February 2024). "
        f"Neither holds gpt-oss-20b, whose weights alone take {units.decimal(weights, 'B')}."))
