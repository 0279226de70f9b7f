"""GPT-2 and the model under study on the same text, equal in one respect."""

from __future__ import annotations

import torch

from gptoss.config import ModelConfig
from gptoss.cost.matching import ACTIVE, EQUALS, matched_gpt2
from gptoss.lessons.gpt2 import charts, measure
from gptoss.model import Transformer
from gptoss.take_home import show
from gptoss.take_home.here import Here
from gptoss.tokenizer import CompactVocabulary
from gptoss.tokenizer.compact_gpt2 import compact_gpt2
from gptoss.trace import trace
from gptoss.training.shipped import shipped


def values(here: Here) -> dict[str, object]:
    """What is held equal, and the layer whose heads are shown."""
    equal = here.control("equal", ACTIVE, EQUALS)
    beside = measure.trained_beside(here.weights) if equal == ACTIVE else None
    return {"equal": equal, "layer": here.layer, "special": here.special, "precision": here.precision,
            "most_tokens": here.most_tokens, "beside": beside.name if beside else None}


def story(config: ModelConfig, live: ModelConfig, model: Transformer, vocabulary: CompactVocabulary, names: tuple[str, ...],
          text: str, context: int, seed: int, equal: str, layer: int, special: bool, precision: str, most_tokens: int,
          beside: str | None) -> None:
    """## A GPT-2 that is equal in one respect, at the real size and live"""
    real = matched_gpt2(config, equal, context)
    small = matched_gpt2(live, equal, context)
    print(f"{real.config}\n{equal}: {real.reached:,} for {real.wanted:,}")

    """## What both cost, and how they differ"""
    sizes = measure.sizes(config, real.config, context, measure.real_tokens(text))
    show(charts.size_bars(sizes, charts.figure))
    show(charts.comparison_table(measure.comparison(real.config, config, context)))

    """## What each expects next

    The same text, in the tokens of each. GPT-2 was trained on the same texts where such a one ships; elsewhere
    its weights are random."""
    if beside:
        gpt2, gpt2_vocabulary = shipped()[beside].load(getattr(torch, precision)), shipped()[beside].vocabulary
    else:
        gpt2 = measure.random_gpt2(small.config, seed, precision).eval().requires_grad_(False)
        gpt2_vocabulary = compact_gpt2(small.config.vocab_size)
    most = min(most_tokens, gpt2.config.max_context_length)
    same = measure.shared_text(text, vocabulary, gpt2_vocabulary, most, special)
    gpt2_names = tuple(map(gpt2_vocabulary.label, range(gpt2_vocabulary.size)))
    sides = (measure.GPT_2, gpt2, same.gpt2, gpt2_names), (measure.GPT_OSS, model, same.gptoss, names)
    for name, one, read, labels in sides:
        likely = measure.next_probabilities(one, tuple(read.ids))
        show(charts.likely_tokens(name, labels, likely, measure.entropy(likely)))

    """## All heads of a layer of each, at the same depth"""
    other = measure.same_depth(layer, live.num_hidden_layers, gpt2.config.num_hidden_layers)
    theirs = measure.recorded(gpt2, tuple(same.gpt2.ids), other)
    ours = trace(model, torch.tensor([same.gptoss.ids]), layers=[layer])
    show(charts.all_heads(measure.GPT_2, theirs[f"block.{other}.attn.weights"][0].float().numpy(), None))
    weights, sink = (ours[f"block.{layer}.attn.{part}"][0].float().numpy() for part in ("weights", "sink_mass"))
    show(charts.all_heads(measure.GPT_OSS, weights, sink))
