"""RMSNorm: what it keeps of a vector, what it removes, and what LayerNorm does instead."""

import streamlit as st

from gptoss.app import pictures, state, text
from gptoss.app.header import header
from gptoss.app.lesson import Lesson, Prediction, Try, below
from gptoss.app.study import Study
from gptoss.app.weights import weights_in_words
from gptoss.claims import register
from gptoss.lessons.rmsnorm import controls as norms
from gptoss.lessons.rmsnorm.measure import WIDTHS, StepwiseLayerNorm, measure_times, normalise_in, output_size
from gptoss.model import RMSNorm

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
    view = st.segmented_control("View", VIEWS, default=PLANE, key="rmsnorm_view", bind="query-params", required=True,
                                label_visibility="collapsed")
    draw = {PLANE: plane, FORMATS: formats, TIME: times, ACTIVATIONS: activations, DEPTH: depth}[view]
    if view in (ACTIVATIONS, DEPTH) and not len(tokens):
        st.info("Type a text, or choose an example, and the model's activations show.", icon=":material/edit:")
    else:
        draw(study, tokens)


def plane(study: Study, tokens: text.Tokens) -> None:
    """Random vectors as points, before and after."""
    controls, before, after = st.columns([3, 5, 5], gap="medium")
    with controls:
        distortion = norms.distortion_controls()
        width = st.select_slider("Width", WIDTHS, 2, key="rmsnorm_width", bind="query-params",
                                 help="Features of a vector. Two can be drawn as they are.")
    charts = norms.plane_charts(width, distortion)
    with before:
        pictures.show_chart(charts[0], key="rmsnorm_before")
    with after:
        pictures.show_chart(charts[1], key="rmsnorm_after")
    st.caption("Follow the lines: RMSNorm (gpt-oss) moves each vector along its own line onto the circle, whatever its "
               "length was. LayerNorm (GPT-2) takes the mean away first" + (
                   ": of two features it is only known which is larger." if width == 2 else
                   " and sets the spread to 1. Mean across, spread up: the distance from the origin is the root mean "
                   "square."))


def activations(study: Study, tokens: text.Tokens) -> None:
    """What a norm of the live model reads on the reader's text, and what comes out."""
    controls, before, after = st.columns([3, 5, 5], gap="medium")
    with controls:
        distortion = norms.distortion_controls()
        options = norms.places(study)
        if st.session_state.get("rmsnorm_place", options[0]) not in options:
            st.session_state["rmsnorm_place"] = options[-1]
        place = st.select_slider("Norm in front of", options, key="rmsnorm_place", bind="query-params")
        st.caption(f"{len(tokens)} tokens of {study.live_config.hidden_size} features; {weights_in_words(study)}. The "
                   "scale is part of them: 1 until it is learned.")
    charts = norms.activation_charts(study, tokens, place, distortion)
    with before:
        pictures.show_chart(charts[0], key="rmsnorm_values_before")
    with after:
        pictures.show_chart(charts[1], key="rmsnorm_values_after")


def depth(study: Study, tokens: text.Tokens) -> None:
    """How the stream grows from norm to norm, and what is read of it."""
    pictures.show_chart(norms.depth_chart(study, tokens), key="rmsnorm_depth")
    st.caption("Every half block adds to the stream, so it grows with depth. What each half block reads has size 1. "
               "Dots are medians over the tokens of your text, bars reach from the smallest to the largest.")


def formats(study: Study, tokens: text.Tokens) -> None:
    """What eps does to small inputs, and what rounding inside would do to all of them."""
    controls, sizes, errors = st.columns([3, 5, 5], gap="medium")
    with controls:
        size = st.select_slider("Input size", norms.SIZES, 1, key="rmsnorm_size", bind="query-params",
                                help="Root mean square of the vectors before the norm.")
        st.caption(f"Vectors of the real width, {study.hidden:,}, rounded to bfloat16 as the stream of gpt-oss is. Float32 "
                   "inside leaves one rounding, the last. bfloat16 keeps 8 bits: a running sum in it stops growing. "
                   "float16 has more bits, but its squares overflow beyond 65,504.")
    charts = norms.format_charts(study.hidden, size)
    with sizes:
        pictures.show_chart(charts[0], key="rmsnorm_outputs")
    with errors:
        pictures.show_chart(charts[1], key="rmsnorm_errors")


def times(study: Study, tokens: text.Tokens) -> None:
    """Both norms timed here and now, when the reader asks for it."""
    controls, chart = st.columns([3, 10], gap="medium")
    with controls:
        if st.button("Measure now", icon=":material/timer:", type="primary", key="rmsnorm_measure"):
            with st.spinner("Both norms run in turn."):
                norms.measure(study.hidden)
        st.caption(f"64 vectors of width {study.hidden:,} in float32 on one thread of this machine, 20 rounds. "
                   "Others who use the machine at the same time widen the spread.")
    measured = norms.times_chart(study.hidden)
    with chart:
        if measured:
            pictures.show_chart(measured, key="rmsnorm_times")
        else:
            st.info(f"Nothing is measured yet at width {study.hidden:,}. Press the button.", icon=":material/timer:")


header("rmsnorm")
study = state.study()
above = st.container()
tokens = text.tokens_from_drawer(study.live_config.vocab_size)
with above:
    picture(study, tokens)

below(Lesson(
    path="rmsnorm",
    prediction=Prediction(
        "The features of a token have a root mean square of 0.001. What is it after RMSNorm, with a scale of 1?",
        lambda: output_size(norms.SMALL),
        lambda answer: "The mean square is 0.000001 and eps is ten times that: 0.001 / √(0.000001 + 0.00001). So a norm "
        f"does not blow up what is nearly nothing. Of an input of 0.1 it makes {output_size(0.1):.4f}.",
        show="{:.2f}".format),
    tries=[
        Try("Scale × 100", "The vectors leave the picture's old frame; after both norms nothing has changed.",
            controls={"rmsnorm_view": PLANE, "rmsnorm_scale": 100}),
        Try("Width 2, shift +10", "RMSNorm keeps the shift, and the vectors crowd together. LayerNorm removes it.",
            controls={"rmsnorm_view": PLANE, "rmsnorm_width": 2, "rmsnorm_shift": 10.0}),
        Try("One large outlier", "One feature thirty times as large as the others takes the norm for itself: the others "
            "come out small.", controls={"rmsnorm_view": ACTIVATIONS, "rmsnorm_outlier": 30, "rmsnorm_shift": 0.0})],
    maths=MATHS, code=[RMSNorm, StepwiseLayerNorm, normalise_in, measure_times],
    claims=register.of_page("rmsnorm"),
    checks=lambda: norms.how_we_know(study, tokens) if len(tokens) else st.info("Type a text first.")))
