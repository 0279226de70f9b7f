"""Block: one token's way through the residual stream, what every part adds to the answer, and what its removal does."""

from functools import partial

import streamlit as st

from gptoss.app import pictures, state, text
from gptoss.app.controls import has_text, view
from gptoss.app.header import header
from gptoss.app.large import TooLong
from gptoss.app.lesson import Lesson, Prediction, below, beside
from gptoss.app.markdown import literal
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.lessons.block import controls, measure
from gptoss.lessons.block.controls import TokenRun
from gptoss.model import TransformerBlock
from gptoss.units import number, percent, plural, signed

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


@st.fragment
def picture(study: Study, tokens: text.Tokens) -> None:
    """The chosen view, and its controls beside it."""
    shown = view(list(controls.VIEWS), "block_view")
    large, side = st.columns([3, 2], gap="medium")
    with side:
        words = st.empty()
        run = controls.choose_run(study, tokens)
    words.markdown(controls.in_words(run))
    with large, pictures.main():
        try:
            controls.VIEWS[shown](run, side)
        except TooLong as why:
            st.info(str(why), icon=":material/hourglass:")
    beside(lesson(study, tokens))


def because(run: TokenRun, worst: str) -> str:
    """What the answer to the prediction means."""
    measured, foreseen = controls.removal_probabilities(run)
    names = [part.name for part in measure.half_block_parts(run.config.num_hidden_layers)]
    bars = measure.contributions(run.model, run.whole, run.answer)[1:]
    largest, hit = int(bars.argmax()), names.index(worst)
    chance, left, alone, without = (percent(share.item(), 2) for share in (
        run.whole_probabilities[run.answer], measured[hit], foreseen[hit], measured[largest]))
    bar = signed(bars[largest].item())
    return (f"At token {run.position}, {literal(run.answer_label)} falls from {chance} to {left}; by its bar "
            f"alone it would have kept {alone}. The largest bar is that of {names[largest]}, {bar}; "
            f"without it the answer has {without}. The view “Every removal” shows them all.")


def how_we_know(run: TokenRun) -> None:
    """Bars against the logit, the lens against the output, kernel against formula, removals against each other."""
    check = controls.check_stream(run.study, run.tokens.ids, run.position, run.answer)
    parts = plural(2 * run.config.num_hidden_layers, "half block")
    st.markdown(
        f"- The bars sum to {check.total:.6f}; the model's own logit is {check.logit:.6f}. They differ by "
        f"{number(abs(check.total - check.logit), 2)}, the rounding of {run.study.precision}.\n"
        f"- The last row of the logit lens is the model's own output: largest difference {number(check.lens, 2)}.\n"
        f"- Attention step by step and the fused kernel give the same logits: largest difference "
        f"{number(check.explicit, 2)}.\n"
        f"- Removing {parts} one by one, and all of them side by side in one batch, gives the answer the same "
        f"probabilities: largest difference {number(check.one_by_one, 2)}.")


def lesson(study: Study, tokens: text.Tokens) -> Lesson:
    """Everything below the picture. Its functions read the page's controls when they are called."""
    run, parts = partial(controls.current_run, study, tokens), measure.half_block_parts(study.live_config.num_hidden_layers)
    return Lesson(
        path="block", maths=MATHS, tries=controls.TRIES, claims=register.of_page("block"), checks=lambda: how_we_know(run()),
        code=[TransformerBlock, measure.contributions, measure.answer_direction, measure.stream_without,
              measure.final_streams_without_each, measure.logit_lens],
        prediction=Prediction(
            "Each half block is left out in turn, and the rest of the model runs again. Which removal leaves the answer "
            "the least probability? The bars above are one hint.",
            answer=lambda: parts[int(controls.removal_probabilities(run())[0].argmin())].name,
            because=lambda worst: because(run(), worst), choices=[part.name for part in parts]))


header("block")
study = state.study()
place = st.container()
tokens = text.tokens_from_drawer(study.vocabulary)
with place:
    if has_text(tokens, "the model runs on it"):
        picture(study, tokens)
if len(tokens):
    below(lesson(study, tokens))
