"""One token's way through the residual stream: what every part adds to the answer, and what happens without it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gptoss.charts import next_token
from gptoss.config import ModelConfig
from gptoss.lessons.block import charts, measure
from gptoss.model import Transformer
from gptoss.take_home import show
from gptoss.take_home.here import Here
from gptoss.trace import trace


def values(here: Here) -> dict[str, object]:
    """The token in question, which answer it is asked for, and the part that is left out (None: the largest bar's)."""
    part = measure.part_called(here.control("remove", measure.NOTHING), here.live)
    return {"position": here.token(here.tokens - 1), "wanted": here.control("answer", measure.LIKELIEST, measure.ANSWERS),
            "removed": part and part.name}


def story(live: ModelConfig, model: Transformer, ids: Sequence[int], names: Sequence[str], position: int, wanted: str,
          removed: str | None) -> None:
    """## The residual stream of one token

    After the embedding and after every half block, and the answer that the model gives from the last one."""
    traced = trace(model, torch.tensor([ids]), layers=[])
    stream = measure.residual_stream(traced)
    whole = stream[:, position]
    lens = measure.logit_lens(model, whole)
    answer = measure.answer_of(lens[-1], ids, position, wanted)
    windows = [live.window_of(layer) for layer in range(live.num_hidden_layers)]
    stages = charts.stage_table(measure.stage_names(live.num_hidden_layers), windows)
    print(f"The answer is {names[answer]}, {lens[-1].softmax(dim=-1)[answer].item():.1%} sure.")

    """## What every part adds to the answer's logit

    The bars sum to the logit: direct logit attribution."""
    bars = measure.contributions(model, whole, answer)
    show(charts.contribution_waterfall(stages, bars.numpy(), names[answer]))

    """## Without each part

    Every half block left out in turn, and all that follow run again; beside it what its bar alone foresees."""
    finals = measure.final_streams_without_each(model, torch.tensor(ids))[:, position]
    without = measure.logit_lens(model, finals).softmax(dim=-1)[:, answer]
    foreseen = measure.logits_without_bar(model, whole)[1:].softmax(dim=-1)[:, answer]
    chance = lens[-1].softmax(dim=-1)[answer].item()
    show(charts.removal_effects(stages, chance, without.numpy(), foreseen.numpy(), names[answer]))

    """## One part removed: what comes out then"""
    parts = measure.half_block_parts(live.num_hidden_layers)
    part = measure.Part.from_name(removed, live) if removed else parts[int(bars[1:].argmax())]
    after = measure.logit_lens(model, measure.stream_without(model, stream, part)[-1:, position])[0].softmax(dim=-1)
    print(f"Without {part.name} the answer has {after[answer].item():.2%}.")
    show(next_token(names, after.numpy(), top=6, before=lens[-1].softmax(dim=-1).numpy(), answer=answer))

    """## The logit lens

    What the model would answer if it stopped after each stage."""
    likely = lens.softmax(dim=-1)
    top = likely.topk(charts.LENS_TOKENS, dim=-1)
    tokens = [[names[token] for token in row] for row in top.indices.tolist()]
    show(charts.lens_table(stages, tokens, top.values.numpy(), (top.indices == answer).numpy(), likely[:, answer].numpy(),
                           measure.ranks(lens, answer).numpy(), names[answer]))
