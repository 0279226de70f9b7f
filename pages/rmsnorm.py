"""RMSNorm: what it keeps of a vector, what it removes, and what LayerNorm does instead."""

import streamlit as st

from gptoss.app import state, text
from gptoss.app.controls import has_text, view
from gptoss.app.header import header
from gptoss.app.lesson import Lesson, Prediction, Try, below, beside
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.lessons.rmsnorm import controls, measure
from gptoss.lessons.rmsnorm.claims import SMALL
from gptoss.model import RMSNorm
from gptoss.units import number

PLANE, ACTIVATIONS, DEPTH, FORMATS, TIME = VIEWS = "Plane", "Activations", "Depth", "Number formats", "Time"
MATHS = r"""
For a vector $x$ of $n$ features, with a learned scale $g_i$ for each of them and $\varepsilon = 10^{-5}$:

$$\text{RMSNorm}(x)_i = g_i\,\frac{x_i}{\sqrt{\frac1n \sum_j x_j^2 + \varepsilon}}$$

$$\text{LayerNorm}(x)_i = g_i\,\frac{x_i - \bar x}{\sqrt{\frac1n \sum_j (x_j - \bar x)^2 + \varepsilon}} + b_i$$

Mean square = mean² + spread². RMSNorm divides by the root of that sum, so a vector keeps its direction and gets the
length $\sqrt n$. LayerNorm takes the mean away first and divides by the spread. Both ignore a factor before them;
only LayerNorm ignores a shift. Where the mean square is small against $\varepsilon$, the output is smaller than 1: its
size is $r / \sqrt{r^2 + \varepsilon}$ for an input of size $r$.
"""


@st.fragment
def picture(study: Study, tokens: text.Tokens) -> None:
    """One of the five views."""
    chosen = view(VIEWS, "rmsnorm_view")
    draw = {PLANE: controls.plane, FORMATS: controls.formats, TIME: controls.times, ACTIVATIONS: controls.activations,
            DEPTH: controls.depth}[chosen]
    if chosen not in (ACTIVATIONS, DEPTH) or has_text(tokens, "the model's activations show"):
        draw(study, tokens)
    beside(lesson(study, tokens))


def because(answer: float) -> str:
    """What the answer to the prediction means."""
    return ("The mean square is 0.000001 and eps is ten times that: 0.001 / √(0.000001 + 0.00001). So a norm does not blow "
            f"up what is nearly nothing. Of an input of 0.1 it makes {measure.output_size(0.1):.4f}.")


def how_we_know(study: Study, tokens: text.Tokens) -> None:
    """The model's own tensors compared with the same norm applied afresh, and with torch's."""
    if not has_text(tokens, "its norms are compared"):
        return
    checks = controls.check_norms(study, tokens.ids, 0, study.hidden)
    recorded, rms, steps, size = (number(difference, 2) for difference in checks[1:])
    st.markdown(
        f"Measured at this moment:\n"
        f"- {checks.norms} norms of the live model, applied again to the stream they read on your text, differ from what "
        f"the model recorded by at most **{recorded}**.\n"
        f"- RMSNorm differs from torch's own on {measure.POINTS} random vectors of width {study.hidden:,} by at most "
        f"**{rms}**; the LayerNorm in steps that is timed differs from torch's by at most **{steps}**.\n"
        f"- The size of its output differs from size / √(size² + eps) by at most **{size}**, for inputs of size "
        f"{number(measure.SIZES[0])} to {measure.SIZES[-1]:,}.")


def lesson(study: Study, tokens: text.Tokens) -> Lesson:
    """What follows below the picture."""
    return Lesson(
        path="rmsnorm",
        prediction=Prediction(
            "The features of a token have a root mean square of 0.001. What is it after RMSNorm, with a scale of 1?",
            answer=lambda: measure.output_size(SMALL), because=because, show="{:.2f}".format),
        tries=[
            Try("Scale × 100", "The vectors leave the picture's old frame; after both norms nothing has changed.",
                controls={"rmsnorm_view": PLANE, "rmsnorm_scale": 100}),
            Try("Width 2, shift +10", "RMSNorm keeps the shift, and the vectors crowd together. LayerNorm removes it.",
                controls={"rmsnorm_view": PLANE, "rmsnorm_width": 2, "rmsnorm_shift": 10.0}),
            Try("One large outlier", "One feature thirty times as large as the others takes the norm for itself: the others "
                "come out small.", controls={"rmsnorm_view": ACTIVATIONS, "rmsnorm_outlier": 30, "rmsnorm_shift": 0.0})],
        maths=MATHS, code=[RMSNorm, measure.StepwiseLayerNorm, measure.normalise_in, measure.measure_times],
        claims=register.of_page("rmsnorm"), checks=lambda: how_we_know(study, tokens))


header("rmsnorm")
study = state.study()
above = st.container()
tokens = text.tokens_from_drawer(study.vocabulary)
with above:
    picture(study, tokens)
below(lesson(study, tokens))
