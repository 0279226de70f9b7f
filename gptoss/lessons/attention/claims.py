"""What people say about attention, decided on real projections and on the live model's weights."""

from __future__ import annotations

import numpy as np

from gptoss import units
from gptoss.app.computed import traced
from gptoss.app.study import Study
from gptoss.app.text import example_tokens
from gptoss.app.verdicts import Verdict
from gptoss.cost import kv_cache_bytes
from gptoss.lessons.attention.measure import LayerHeads, head_size, head_weights

NEAR_ONE = 0.01  # sums of weights this near to 1 are 1: bfloat16 rounds

layer_heads = traced(lambda trace, model, layer: LayerHeads.from_trace(trace, layer, model.block[layer].attn),
                     names=("attn.q_rope", "attn.k_rope", "attn.v"))  # of (study, tokens, layer)


def head_size_is_divided(study: Study) -> Verdict:
    """The size of a head in a real projection, and what taking another one does to the cache."""
    config, size = study.config, head_size(study.config)
    true = kv_cache_bytes(config, study.context)
    return Verdict.of(size.measured == size.divided, (
        f"The query, key and value projection of {study.name} has {units.number(size.measured)} rows for each head; "
        f"{config.hidden_size:,} / {config.num_attention_heads} is {units.number(size.divided)}. By that rule its KV cache "
        f"at {study.context:,} tokens would be {units.size(true * size.divided / size.measured)} in place of "
        f"{units.size(true)}."))


def weights_sum_to_one(study: Study) -> Verdict:
    """What the weights of the real keys add up to, over every head and query of layer 0."""
    heads = layer_heads(study, example_tokens(study).ids, 0)
    sums = np.concatenate([head_weights(heads, head).weights.sum(axis=1) for head in range(heads.count)])
    why = "the sinks are off" if study.sinks == "off" else "the sink takes the rest"
    return Verdict.of(bool(np.abs(sums - 1).max() < NEAR_ONE), (
        f"In layer 0 they add up to between {sums.min():.3f} and {sums.max():.3f}: {why}."))
