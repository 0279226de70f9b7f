"""How one token is taken from the model's distribution: what each dial leaves, draws, and texts that grow out of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gptoss.charts import next_token
from gptoss.lessons.sampling import charts, measure
from gptoss.model import Transformer
from gptoss.take_home import show
from gptoss.take_home.here import Here
from gptoss.tokenizer import CompactVocabulary
from gptoss.trace import trace


def values(here: Here) -> dict[str, object]:
    """The token after which the model is asked, the three dials, and the seeds that draw."""
    top_k, top_p = here.control("k", measure.FIRST.top_k), here.control("p", measure.FIRST.top_p)
    return {"position": here.token(here.tokens - 1), "temperature": here.control("temperature", measure.FIRST.temperature),
            "top_k": top_k if isinstance(top_k, int) else None, "top_p": None if top_p == 1 else top_p,
            "draws": here.control("draws", measure.FIRST_DRAWS), "first_seed": here.control("seed", 0)}


def story(model: Transformer, vocabulary: CompactVocabulary, ids: Sequence[int], names: Sequence[str], position: int,
          temperature: float, top_k: int | None, top_p: float | None, draws: int, first_seed: int) -> None:
    """## What the model says, and what each dial leaves

    Temperature, top-k and top-p, in the order in which they work."""
    logits = measure.logits_after(trace(model, torch.tensor([ids]), layers=[]), model, position)
    dials = measure.Dials(temperature, top_k, top_p)
    found = measure.stages(logits, dials)
    stages = (found.model, found.temperature, found.top_k, found.top_p)
    show(charts.order([charts.Row(name, stage.left, stage.held, stage.entropy, stage.as_many_as) for name, stage in zip(
        ("the model", f"temperature {temperature:g}", f"top-k {top_k}", f"top-p {top_p}"), stages, strict=True)]))

    """The most likely tokens before (outlined) and after the dials."""
    before, after = found.model.probabilities.numpy(), found.last.probabilities.numpy()
    best = (-before).argsort(kind="stable")[:10]
    show(next_token([names[token] for token in best], after[best], before=before[best], without="before the dials"))

    """How much the first tokens hold together, and where the cuts fall."""
    warm = found.temperature.probabilities.numpy()
    show(charts.cumulative(before, warm, found.last.left, top_p and top_p * found.top_k.held))

    """## Draws

    One a seed, beside their probabilities."""
    drawn = measure.draws(logits, dials, first_seed, draws)
    show(charts.drawn(names, drawn.numpy(), after))

    """## A dozen texts from the same beginning

    Marked from where they leave the greedy one."""
    beginning = ids[:position + 1]
    greedy = measure.continuation(model, beginning, measure.Dials(0.0), 0)
    texts = [charts.Continuation("temperature 0, greedy", vocabulary.decode(greedy), "")]
    for seed in range(first_seed, first_seed + measure.CONTINUATIONS):
        written = measure.continuation(model, beginning, dials, seed)
        texts.append(charts.Continuation(f"seed {seed}", *measure.in_two_parts(written, greedy, vocabulary.decode)))
    show(charts.continuations(texts))
