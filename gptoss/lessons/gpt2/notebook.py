"""GPT-2 and the model under study on the same text, equal in one respect."""

from __future__ import annotations

import torch

from gptoss.config import ModelConfig
from gptoss.cost.matching import ACTIVE, EQUALS, matched_gpt2
from gptoss.lessons.gpt2 import charts, measure
from gptoss.model import Transformer
from gptoss.take_home import show
from gptoss.take_home.here import Here
from gptoss.tokenizer.compact_gpt2 import compact_gpt2
from gptoss.trace import trace


def values(here: Here) -> dict[str, object]:
    """What is held equal, and the layer whose heads are shown."""
    return {"equal": here.control("equal", ACTIVE, EQUALS), "layer": here.layer, "special": here.special,
            "precision": here.precision, "most_tokens": here.most_tokens}


def story(config: ModelConfig, live: ModelConfig, model: Transformer, names: tuple[str, ...], text: str, context: int,
          seed: int, equal: str, layer: int, special: bool, precision: str, most_tokens: int) -> None:
    """## A GPT-2 that is equal in one respect, at the real size and live"""
    real = matched_gpt2(config, equal, context)
    small = matched_gpt2(live, equal, context)
    print(f"{real.config}\n{equal}: {real.reached:,} for {real.wanted:,}")

    """## What both cost, and how they differ"""
    sizes = measure.sizes(config, real.config, context, measure.real_tokens(text))
    show(charts.size_bars(sizes, charts.figure))
    show(charts.comparison_table(measure.comparison(real.config, config, context)))

    """## What each expects next

    The same text, in the tokens of each. GPT-2's weights are random."""
    gpt2 = measure.random_gpt2(small.config, seed, precision).eval().requires_grad_(False)
    same = measure.shared_text(text, live.vocab_size, small.config.vocab_size, most_tokens, special)
    gpt2_names = tuple(map(compact_gpt2(small.config.vocab_size).label, range(small.config.vocab_size)))
    sides = (measure.GPT_2, gpt2, same.gpt2, gpt2_names), (measure.GPT_OSS, model, same.gptoss, names)
    for name, one, read, labels in sides:
        likely = measure.next_probabilities(one, tuple(read.ids))
        show(charts.likely_tokens(name, labels, likely, measure.entropy(likely)))

    """## All heads of a layer of each, at the same depth"""
    other = measure.same_depth(layer, live.num_hidden_layers, small.config.num_hidden_layers)
    theirs = measure.recorded(gpt2, tuple(same.gpt2.ids), other)
    ours = trace(model, torch.tensor([same.gptoss.ids]), layers=[layer])
    show(charts.all_heads(measure.GPT_2, theirs[f"block.{other}.attn.weights"][0].float().numpy(), None))
    weights, sink = (ours[f"block.{layer}.attn.{part}"][0].float().numpy() for part in ("weights", "sink_mass"))
    show(charts.all_heads(measure.GPT_OSS, weights, sink))
