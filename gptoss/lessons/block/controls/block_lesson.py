"""What stands below the block page's picture: the question, experiments, the maths, and checks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st
import torch

from gptoss.app.lesson import Lesson, Prediction, Try
from gptoss.app.live import HEAVY, MAX_LIVE_TOKENS, refuse_if_large
from gptoss.app.markdown import literal
from gptoss.app.study import Study
from gptoss.app.text import Tokens
from gptoss.app.verdicts import Claim
from gptoss.lessons.block.controls.block import LIKELIEST, NOTHING, TokenRun, current_run, removal_probabilities
from gptoss.lessons.block.measure import contributions, half_block_parts, logit_lens
from gptoss.tokenizer import DEFAULT_SAMPLE
from gptoss.trace import trace

MATHS = r"""
Every half block reads the stream $x$, normalised, and **adds** to it. Nothing is ever overwritten:

$$
y = x + \text{attention}(\text{RMSNorm}(x)), \qquad z = y + \text{experts}(\text{RMSNorm}(y))
$$

So the last stream is a sum: the embedding $a_0$ and what each of the $2L$ half blocks added.

$$
x_{\text{final}} = a_0 + a_1 + \dots + a_{2L}
$$

The answer's logit is its row $u$ of the unembedding times the normalised stream. The final RMSNorm divides by
$r = \sqrt{\text{mean}(x_{\text{final}}^2) + \varepsilon}$ and multiplies by its scale $\gamma$. With $r$ kept at the
value that this run has, the logit splits into one number for each addition. This is *direct logit attribution*:

$$
\text{logit} = u \cdot \frac{\gamma \odot x_{\text{final}}}{r} = \sum_{i=0}^{2L} \; a_i \cdot \frac{\gamma \odot u}{r}
$$

A bar tells what a part says to the answer **directly**. It is silent about what later parts make of it: they read
the stream too. Removing the part and running the rest again measures both (*ablation*). The **logit lens** reads the
stream early: the same final norm and unembedding after each stage.

In the plane of the stream and an addition, with $c$ the cosine between them:
$\lVert x + a \rVert^2 = \lVert x \rVert^2 + \lVert a \rVert^2 + 2c\,\lVert x \rVert \lVert a \rVert$.
"""


def lesson(study: Study, tokens: Tokens, code: Sequence[object], claims: Sequence[Claim]) -> Lesson:
    """The block page's lesson. Its functions read the page's controls as they stand when they are called."""
    run = partial(current_run, study, tokens)
    parts = half_block_parts(study.live_config.num_hidden_layers)
    return Lesson(
        path="block", code=code, maths=MATHS,
        prediction=Prediction(
            "Each half block is left out in turn, and the rest of the model runs again. Which removal leaves the answer "
            "the least probability? The bars above are one hint.",
            answer=lambda: parts[int(removal_probabilities(run())[0].argmin())].name,
            because=lambda worst: _because(run(), worst), choices=[part.name for part in parts]),
        tries=TRIES,
        claims=claims,
        checks=lambda: _checks(run()))


_LAST = {"block_view": "Contributions", "block_answer": LIKELIEST, "block_token": MAX_LIVE_TOKENS}
_TRIED = "gpt-oss-20b"  # with the random weights on which the first two experiments were found
TRIES = (
    Try("Remove the largest bar", "The last attention adds most to the answer, but little stands behind it to miss it.",
        preset=_TRIED, text=DEFAULT_SAMPLE.text, controls=_LAST | {"block_remove": "layer 3 attention"}),
    Try("Remove a small bar", "All blocks behind the first experts read what they wrote: watch the bars move.",
        preset=_TRIED, text=DEFAULT_SAMPLE.text, controls=_LAST | {"block_remove": "layer 0 experts"}),
    Try("One layer", "Here the experts' bar and their removal differ by the final norm's divisor alone.",
        dials={"layers": 1}, controls={"block_view": "Every removal", "block_remove": NOTHING}),
    Try("48 small steps", "A deep and narrow model adds in small steps: on average its answer stands some half blocks "
        "before the end, not in the last one.",
        preset="classroom", dials={"layers": 48, "hidden": 64, "heads": 2, "experts": 1},
        controls={"block_view": "Logit lens", "block_remove": NOTHING}),
)


def _because(run: TokenRun, worst: str) -> str:
    measured, foreseen = removal_probabilities(run)
    names = [part.name for part in half_block_parts(run.config.num_hidden_layers)]
    bars = contributions(run.model, run.whole, run.answer)[1:]
    largest, hit = int(bars.argmax()), names.index(worst)
    return (f"At token {run.position}, {literal(run.answer_label)} falls from {run.whole_probabilities[run.answer]:.2%} to "
            f"{measured[hit]:.2%}; by its bar alone it would have kept {foreseen[hit]:.2%}. The largest bar is that of "
            f"{names[largest]}, {bars[largest]:+.2f}; without it the answer has {measured[largest]:.2%}. "
            "The view “Every removal” shows them all.").replace("+-", "−")


def _checks(run: TokenRun) -> None:
    refuse_if_large(run.study, "This check")
    ids, position = torch.tensor([run.tokens.ids]), run.position
    with HEAVY:
        logits = trace(run.model, ids, layers=[])["logits"][0, position].float()
        explicit = trace(run.model, ids)["logits"][0, position].float()
    total, own = contributions(run.model, run.whole, run.answer).sum().item(), logits[run.answer].item()
    lens = logit_lens(run.model, run.whole)[-1]
    parts = half_block_parts(run.config.num_hidden_layers)
    one_by_one = torch.stack([TokenRun(run.study, run.tokens, position, part=part).probabilities[run.answer]
                              for part in parts])
    st.markdown(
        f"- The bars sum to {total:.6f}; the model's own logit is {own:.6f}. They differ by {abs(total - own):.1e}, the "
        f"rounding of {run.study.precision}.\n"
        f"- The last row of the logit lens is the model's own output: largest difference {_largest(lens, logits)}.\n"
        f"- Attention step by step and the fused kernel give the same logits: largest difference "
        f"{_largest(explicit, logits)}.\n"
        f"- Removing the half blocks one by one, and all {len(parts)} side by side in one batch, gives the answer the "
        f"same probabilities: largest difference {_largest(one_by_one, removal_probabilities(run)[0])}.")


def _largest(ours: torch.Tensor, theirs: torch.Tensor) -> str:
    return f"{(ours - theirs).abs().max().item():.1e}"
