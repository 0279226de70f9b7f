"""The whole model at work on the text: its attention, its experts, every tensor of the pass, and the next token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from gptoss.charts import expert_load, head_grid, head_map, next_token, routing_map
from gptoss.charts.accounts import flops_chart, kv_cache_chart, parameters_chart
from gptoss.config import ModelConfig
from gptoss.model import Transformer, next_token_probabilities
from gptoss.take_home import show
from gptoss.take_home.here import Here
from gptoss.tokenizer import CompactVocabulary
from gptoss.trace import summary, trace


def values(here: Here) -> dict[str, object]:
    """What is shown of the pass, and how the next token is drawn. The keys of this page's widgets are bare."""
    top_k = here.controls.get("top_k", "all")
    layer, head, _ = here.telling or (0, 0, 0)
    return {"layer": here.place("layer", here.live.num_hidden_layers, layer),
            "head": here.place("head", here.live.num_attention_heads, head), "expert": here.expert,
            "temperature": here.controls.get("temperature", 1.0), "top_k": None if top_k == "all" else top_k,
            "top_p": here.controls.get("top_p", 1.0), "new_tokens": here.controls.get("new_tokens", 60)}


def story(config: ModelConfig, live: ModelConfig, model: Transformer, vocabulary: CompactVocabulary, ids: Sequence[int],
          labels: Sequence[str], names: Sequence[str], context: int, seed: int, layer: int, head: int, expert: int,
          temperature: float, top_k: int | None, top_p: float, new_tokens: int) -> None:
    """## One pass

    Every tensor of it, with its shape and its spread; inside one layer all that there is."""
    traced = trace(model, torch.tensor([ids]), layers=[layer], keep=lambda name: not name.endswith("scores"))
    show(summary(traced))

    """## Attention

    One head large, then all heads of the layer; pink is what the sinks take."""
    weights = traced[f"block.{layer}.attn.weights"][0].float().numpy()
    sink = traced[f"block.{layer}.attn.sink_mass"][0].float().numpy()
    show(head_map(weights[head], sink[head], labels, live.window_of(layer)))
    show(head_grid(np.concatenate([sink[..., None], weights], axis=-1), selected=head))

    """## Experts

    Where each token went, and how often each expert was used."""
    chosen = traced[f"block.{layer}.mlp.experts"][0].numpy()
    shares = traced[f"block.{layer}.mlp.expert_weights"][0].float().numpy()
    show(routing_map(chosen, shares, live.num_experts, labels, expert))
    show(expert_load(np.bincount(chosen.ravel(), minlength=live.num_experts), len(ids), expert))

    """## The next token, and text drawn from it"""
    likely = next_token_probabilities(traced["logits"][0, -1], temperature, top_k, top_p)
    show(next_token(names, likely.numpy()))
    print(vocabulary.decode(model.generate(ids, new_tokens, temperature, top_k, top_p, seed=seed)))

    """## What it costs at the real size"""
    show(parameters_chart(config), kv_cache_chart(config, None, context), flops_chart(config, None, context))
