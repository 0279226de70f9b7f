"""Eleven changes from GPT-2 to GPT-OSS: what each adds, and the model with some of them, running."""

from __future__ import annotations

from gptoss.charts import next_token
from gptoss.config import ModelConfig
from gptoss.ladder import RUNGS, LadderConfig
from gptoss.lessons.ladder import charts, measure
from gptoss.take_home import show
from gptoss.take_home.here import Here
from gptoss.tokenizer import CompactVocabulary
from gptoss.tokenizer.compact_gpt2 import compact_gpt2


def values(here: Here) -> dict[str, object]:
    """The rungs that are taken, and what the waterfall counts."""
    taken, _ = measure.standing(here.control("rungs", list(RUNGS)[:1]))
    return {"taken": [name for name in RUNGS if name in taken],
            "quantity": here.control("measure", measure.COSTS[0], measure.COSTS), "precision": here.precision,
            "sinks": here.sink_logit, "most_tokens": here.most_tokens}


def story(config: ModelConfig, live: ModelConfig, vocabulary: CompactVocabulary, text: str, context: int, seed: int,
          taken: list[str], quantity: str, precision: str, sinks: float | None, most_tokens: int) -> None:
    """## The block that these rungs make

    Grey is GPT-2's own, violet came with a rung."""
    climbed = LadderConfig(config, taken)
    show(charts.block_drawing(climbed))

    """## What every rung changes, after those above it"""
    counted = measure.waterfall(climbed, lambda rung: measure.cost(rung, quantity, context))
    show(charts.waterfall_chart(counted, quantity))

    """## It runs

    The live model with these rungs and random weights, on the text in its own tokens."""
    small = LadderConfig(live, taken)
    spelling = vocabulary if "o200k" in small else compact_gpt2(small.vocab_size)
    model = measure.ladder_model(small, seed, precision, sinks).eval()
    after = measure.expectation(model, tuple(spelling.encode_prefix(text, most_tokens).ids))
    print(f"Entropy {after.entropy:.2f} bits; a blind guess has {after.most:.2f}.")
    show(next_token(tuple(map(spelling.label, range(spelling.size))), after.probabilities, top=5))
