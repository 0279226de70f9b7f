"""One head of one layer, and one query of it step by step."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gptoss.charts import head_map
from gptoss.lessons.attention import charts, measure
from gptoss.model import Transformer
from gptoss.take_home import show
from gptoss.take_home.here import Here
from gptoss.trace import trace


def values(here: Here) -> dict[str, object]:
    """Layer, head and query, and the key whose numbers are put into the formula (None: the heaviest)."""
    key = here.control("key", None)
    layer, head, token = here.telling or (0, 0, measure.first_query(here.tokens))
    return {"layer": here.place("layer", here.live.num_hidden_layers, layer),
            "head": here.place("head", here.live.num_attention_heads, head), "token": here.token(token),
            "key": None if key is None else min(key, here.tokens - 1)}


def story(model: Transformer, ids: Sequence[int], labels: Sequence[str], layer: int, head: int, token: int,
          key: int | None) -> None:
    """## A traced pass

    Queries and keys of one layer, turned to their positions, and the values: the very tensors of the forward pass."""
    traced = trace(model, torch.tensor([ids]), layers=[layer])
    heads = measure.LayerHeads.from_trace(traced, layer, model.block[layer].attn)
    steps = measure.query_steps(heads, head, token)
    key = steps.best_key if key is None else key

    """## One head

    A row for each query, a column for each key; the sink is the first column."""
    weights, sink = measure.head_weights(heads, head)
    show(head_map(weights, sink, labels, heads.window, (token, key)))

    """## One query, in five steps

    q · k, divided by the root of the head's size, masked, through the softmax with the sink, and the values mixed."""
    print(f"q · k = {steps.products[key]:.4f}, score = {steps.scores[key]:.4f}, weight = {steps.weights[key]:.4f}")
    print(f"exp({steps.scores[key]:.4f}) / {steps.denominator:.4f}; the sink takes {steps.sink_weight:.4f}")
    show(charts.query_worksheet(steps, measure.keys_to_show(steps, key, measure.KEYS_SHOWN), key, labels))

    """Where the token looks, and who looks at it."""
    show(charts.looks_in_text(*measure.looks(weights, heads.window, token), token, labels))

    """## All heads of the layer

    From the most focused to the most spread, by the entropy of their rows."""
    entropies = measure.layer_entropies(heads)
    shown = measure.heads_by_entropy(entropies, charts.MOST_HEADS)
    show(charts.head_gallery([charts.head_tile(each, float(entropies[each]), *measure.head_weights(heads, each))
                              for each in shown], head))
