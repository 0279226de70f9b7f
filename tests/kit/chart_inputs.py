"""Small real inputs for the charts: attention rows that sum to 1, routings, and the accounts of the presets."""

import numpy as np
import pandas as pd

from gptoss.charts import expert_load, flops_area, head_map, kv_cache_lines, next_token, parameters_by_part
from gptoss.charts import routing_map as draw_routing
from gptoss.config import ModelConfig
from gptoss.cost import count_parameters, forward_flops, kv_cache_bytes

CONTEXTS = [2 ** power for power in range(7, 18)]


def attention(tokens, window=0, seed=0):
    """Softmax of random causal scores with a sink: weights (tokens, tokens) and sink (tokens,)."""
    random = np.random.default_rng(seed)
    query, key = np.indices((tokens, tokens))
    seen = (key <= query) & ((query - key < window) if window else True)
    scores = np.exp(np.where(seen, random.normal(size=(tokens, tokens)), -np.inf))
    sink = np.exp(random.normal(size=tokens))
    total = scores.sum(axis=1) + sink
    return (scores / total[:, None]).astype(np.float32), (sink / total).astype(np.float32)


def tokens(count):
    """Tokens that repeat, with spaces, a line end, markup and another script among them."""
    return [("The", " cat", " the", "<script>alert(1)</script>", "\n", " мир")[i % 6] for i in range(count)]


def routing(count, active, experts, seed=0):
    """Chosen experts (count, active), all different in a row, and weights that sum to 1."""
    random = np.random.default_rng(seed)
    chosen = np.stack([random.choice(experts, active, replace=False) for _ in range(count)])
    return chosen, random.dirichlet(np.ones(active), count)


def parts(config):
    """Total and active parameters by part."""
    counts = count_parameters(config)
    idle_or_summed = ("embedding", "mlp1", "mlp2", "expert biases")
    active = {name: count for name, count in counts.by_part.items() if name not in idle_or_summed}
    return counts.by_part, {**active, "experts": counts.active_experts}


def kv_frame(config, model="current"):
    """KV cache bytes for each way of sharing heads, with and without windows."""
    return pd.DataFrame([
        {"context": context, "sharing": sharing, "windows": words, "model": model,
         "bytes": kv_cache_bytes(config.replace(num_key_value_heads=heads, sliding_window=window), context)}
        for sharing, heads in (("MHA", config.num_attention_heads), ("GQA", config.num_key_value_heads), ("MQA", 1))
        for words, window in (("windows as set", config.sliding_window), ("every layer full", 0))
        for context in CONTEXTS])


def flops_frame(config, model="current"):
    """FLOPs of one decoded token by operator."""
    return pd.DataFrame([
        {"context": context, "operator": operator, "flops": flops, "model": model} for context in CONTEXTS
        for operator, flops in forward_flops(config, 1, context).needed.items()])


def every_chart(seed=0, preset="gpt-oss-20b"):
    """One chart of each kind, from data that differ with `seed` and `preset`."""
    config = ModelConfig.preset(preset)
    count = 12 + seed
    weights, sink = attention(count, window=5, seed=seed)
    chosen, routed = routing(count, 4, 32, seed)
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(100))
    return {
        "head_map": head_map(weights, sink, tokens(count), window=5),
        "routing_map": draw_routing(chosen, routed, 32, tokens(count), selected_expert=seed),
        "expert_load": expert_load(np.bincount(chosen.ravel(), minlength=32), count, selected=seed),
        "next_token": next_token(tokens(100), probabilities),
        "parameters_by_part": parameters_by_part(*parts(config)),
        "kv_cache_lines": kv_cache_lines(kv_frame(config), 1024),
        "flops_area": flops_area(flops_frame(config), 1024),
    }
