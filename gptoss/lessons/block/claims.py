"""What people read into the waterfall of contributions, decided by removing every part."""

from __future__ import annotations

import torch

from gptoss.app.computed import computed, traced
from gptoss.app.live import live_model
from gptoss.app.study import Study
from gptoss.app.text import example_tokens
from gptoss.app.verdicts import Verdict
from gptoss.lessons.block import measure
from gptoss.units import fixed, percent

whole_stream = traced(lambda trace, model: measure.residual_stream(trace), inside=False,
                      names=("embedding", "after_attn", "after_mlp"))  # of (study, tokens)
final_streams_without_each = computed(
    lambda model, tokens: measure.final_streams_without_each(model, torch.tensor(tokens)), entries=8,
    many_passes="Removing every half block in turn")  # of (study, tokens)


def largest_bar_matters_most(study: Study) -> Verdict:
    """Whether the half block that adds most to the answer's logit is the one whose removal costs the answer most.

    For the most probable token after the first example.
    """
    model, tokens = live_model(study).model, example_tokens(study).ids
    without = final_streams_without_each(study, tokens)[:, -1]
    stream = whole_stream(study, tokens)[:, -1]
    answer = int(measure.logit_lens(model, stream[-1:])[0].argmax())
    left = measure.logit_lens(model, without).softmax(dim=-1)[:, answer]
    bars = measure.contributions(model, stream, answer)[1:]
    names = [part.name for part in measure.half_block_parts(study.live_config.num_hidden_layers)]
    largest, worst = int(bars.argmax()), int(left.argmin())
    beside = "no other removal leaves it less" if largest == worst else (
        f"without {names[worst]}, whose bar is {fixed(bars[worst].item())}, it has {percent(left[worst].item(), 2)}")
    return Verdict.of(largest == worst, (
        f"At token {len(tokens) - 1} the largest bar is {names[largest]} with {fixed(bars[largest].item())} of the "
        f"logit. Without it the answer has {percent(left[largest].item(), 2)}; {beside}."))
