"""RMSNorm: what it keeps of a vector, what it removes, and what LayerNorm does instead."""

import streamlit as st

from gptoss.app import state, text
from gptoss.app.controls import has_text, view
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.lesson import Lesson, Prediction, Seen, Try, below, beside
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.config import PRESETS
from gptoss.lessons.rmsnorm import controls, measure
from gptoss.lessons.rmsnorm.claims import SMALL
from gptoss.model import RMSNorm
from gptoss.notation import with_numbers
from gptoss.units import number

HAND, PLANE, ACTIVATIONS, DEPTH, FORMATS, TIME = VIEWS = (
    "By hand", "Plane", "Activations", "Depth", "Number formats", "Time")
_, LAYER_ONLY, BOTH = NORMS = "RMSNorm alone", "LayerNorm alone", "both"
_REAL = PRESETS["gpt-oss-20b"]
OPENING = Opening(
    problem=f"Every {word('layer')} adds to a token's {word('residual stream', 'row of numbers')}, so the row grows. So "
            "each layer would have to read numbers of another size.",
    idea="Divide by the typical size. Of 1, −1 and 5 the squares are 1, 1 and 25, their mean is 9, its root 3: we get "
         "0.33, −0.33 and 1.67.",
    chosen=f"{word('RMSNorm')} before every attention and every MLP, and once at the end: {2 * _REAL.num_hidden_layers + 1} "
           "times in gpt-oss-20b. GPT-2's LayerNorm takes the mean away first.")


def maths(study: Study) -> str:
    """The formulas, each with numbers: those worked by hand, and the width of the model under study."""
    worked, width = measure.by_hand(measure.NUMBERS), study.hidden
    return with_numbers((r"""
For a vector $\mathbf x$ of $D$ numbers, with a learned scale $\gamma$ for each of them and $\varepsilon = 10^{-5}$:

$$\text{RMSNorm}(\mathbf x) = \gamma \odot \frac{\mathbf x}{\sqrt{\frac1D \lVert \mathbf x \rVert^2 + \varepsilon}}$$
""", f"{', '.join(map(number, worked.numbers))} have a root mean square of {number(worked.root)}, so they become "
     f"{', '.join(map(number, worked.divided))}."), (r"""
So a vector keeps its direction and gets the length $\sqrt D$. LayerNorm takes the mean $\bar{\mathbf x}$ away first, divides
by what is left, and adds a learned shift:

$$
\text{LayerNorm}(\mathbf x) = \gamma \odot \frac{\mathbf x - \bar{\mathbf x}}
{\sqrt{\frac1D \lVert \mathbf x - \bar{\mathbf x} \rVert^2 + \varepsilon}} + \text{shift}
$$

Mean square = mean² + spread². Both ignore a factor before them; only LayerNorm ignores a shift. Where the mean square is
small against $\varepsilon$, the output stays small too.
""", f"in {study.name} a vector of {width:,} numbers leaves RMSNorm with a length of √{width:,} = {number(width**0.5)}."))


@st.fragment
def picture(study: Study, tokens: text.Tokens) -> None:
    """One of the six views."""
    chosen = view(VIEWS, "rmsnorm_view")
    draw = {HAND: controls.by_hand, PLANE: controls.plane, FORMATS: controls.formats, TIME: controls.times,
            ACTIVATIONS: controls.activations, DEPTH: controls.depth}[chosen]
    if chosen not in (ACTIVATIONS, DEPTH) or has_text(tokens, "the model's activations show"):
        draw(study, tokens)
    beside(lesson(study, tokens, chosen))


def about_numbers() -> dict[str, Prediction]:
    """The questions about small numbers, and about those of a narrow format."""
    return {TIME: Prediction(
        f"The numbers of a token have a root mean square of {SMALL}. What is it after RMSNorm, with a scale of 1?",
        view="time", answer=lambda: measure.output_size(SMALL), because=because, show="{:.2f}".format, mistakes=[
            (1, "So it would be without ε, which is larger than the mean square here."),
            (SMALL, "A norm makes small vectors larger, if not all the way."),
            (SMALL / measure.EPS, "The root is taken of the mean square and ε together, not of ε alone.")]),
        FORMATS: Prediction(
        "bfloat16 keeps 8 binary digits of a number. What is 256 + 1 in it?", view="formats",
        answer=lambda: measure.sum_in_bfloat16(256, 1), tolerance=0, because=lambda _: (
            "Between 256 and 512 it has every second whole number only. A running sum of squares stops growing there, which "
            "is why the norm computes in float32."), mistakes=[
            (257, "257 has nine binary digits: 1 0000 0001."), (258, "258 is there, but 256 is just as near, and even.")])}


def question(shown: str) -> Prediction:
    """What is asked beside a view."""
    worked, long = measure.by_hand(measure.NUMBERS), measure.output_length(_REAL.hidden_size)
    asked = {PLANE: Prediction(
        f"A vector of {_REAL.hidden_size:,} numbers, as in gpt-oss-20b, leaves RMSNorm with a scale of 1. How long is it?",
        answer=lambda: long, view="plane", because=lambda _: f"Each number has a square of 1 on average, and there are "
        f"{_REAL.hidden_size:,}: the length is the root of their sum.", mistakes=[
            (1, "1 is the typical size of one number; all of them make the length."),
            (_REAL.hidden_size, "That is the square of the length.")]),
        ACTIVATIONS: Prediction(
        "The same number is added to all numbers of a vector. Which norm's result changes?",
        choices=NORMS, answer=lambda: NORMS[measure.changed_by_a_shift()], view="activations",
        because=lambda _: "LayerNorm takes the mean away, and a shift moves nothing but the mean.",
        mistakes={LAYER_ONLY: "It is the other way round.", BOTH: "One of them takes the mean away first."}),
        DEPTH: Prediction(
        "The stream has a root mean square of 10. Attention or the experts add a vector with a root mean square of 1, at a "
        "right angle to it. What is the stream's then?", view="depth", show="{:.2f}".format, tolerance=0.001,
        answer=lambda: measure.after_addition(10, 1),
        because=lambda _: "At a right angle squares add up: √(10² + 1²). So what comes late in a deep model turns the "
                          "stream little, and the norm hands on directions alone.",
        mistakes=[(11, "So it would be if it pointed the same way."), (10, "Nearly, yet it grows a little every time.")])}
    return (asked | about_numbers()).get(shown) or Prediction(
        f"RMSNorm turns {', '.join(map(number, worked.numbers))} into {', '.join(map(number, worked.divided))}. Now all "
        "three are made a hundred times as large. What does the last one become?",
        answer=lambda: measure.by_hand([100 * each for each in measure.NUMBERS]).divided[-1], show="{:.2f}".format,
        because=lambda _: "Their root mean square is a hundred times as large too, so nothing but the proportions counts.",
        mistakes=[(100 * worked.divided[-1], "That would be so if the divisor had stayed at 3; it has grown as well."),
                  (worked.divided[-1] / 100, "The divisor is 300, but the numbers are a hundred times as large too."),
                  (1, "1 is the root mean square of all three together.")])


def because(answer: float) -> str:
    """What the answer to the question about small numbers means."""
    return ("The mean square is 0.000001 and ε is ten times that: 0.001 / √(0.000001 + 0.00001). So a norm does not blow "
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


def unmoved_by_size(seen: Seen) -> bool:
    """Whether vectors a hundred times as long come out where they did."""
    before, after = seen.chart("before a norm"), seen.chart("after both norms")
    points = after[after["kind"] == "RMSNorm"]
    return bool(before["x"].abs().max() > 100 and ((points["x"]**2 + points["y"]**2 - 2).abs() < 0.01).all())


def crowded(seen: Seen) -> bool:
    """Whether RMSNorm leaves all vectors near one point, while LayerNorm still tells two kinds apart."""
    after = seen.chart("after both norms")
    rms, layer = (after[after["kind"] == kind] for kind in ("RMSNorm", "LayerNorm"))
    return bool((rms[["x", "y"]] > 0.5).all(axis=None) and (layer["x"] > 0.9).any() and (layer["x"] < -0.9).any())


def one_takes_it_all(seen: Seen) -> bool:
    """Whether nearly all values come out small after the norm."""
    bins = seen.chart("Activations after")
    bins = bins[bins["what"] == "RMSNorm"]
    return bool(bins.loc[(bins["from"] > -0.6) & (bins["to"] < 0.6), "share"].sum() > 0.85)


def lesson(study: Study, tokens: text.Tokens, shown: str = HAND) -> Lesson:
    """All that a view of the page asks, suggests and explains."""
    return Lesson(
        path="rmsnorm", prediction=question(shown),
        tries=[
            Try("A hundred times as much", "The numbers are 100, −100 and 500 now, their root mean square is 300, and the "
                "fifth row is what it was.", controls={"rmsnorm_view": HAND, "rmsnorm_scale": 100} | {
                    f"rmsnorm_{key}": first for key, first in zip("abc", measure.NUMBERS, strict=True)},
                check=lambda seen: "500" in seen.words and "300" in seen.words and "1.67" in seen.words),
            Try("Scale × 100", "Before the norms the axes reach a hundred times as far. After them nothing has changed: "
                "RMSNorm's vectors lie on the circle, each in its direction.",
                controls={"rmsnorm_view": PLANE, "rmsnorm_scale": 100, "rmsnorm_width": 2, "rmsnorm_shift": 0.0},
                check=unmoved_by_size),
            Try("Width 2, shift +10", "RMSNorm keeps the shift, so its vectors crowd together in one corner. LayerNorm "
                "takes it away and still tells two kinds apart.", check=crowded,
                controls={"rmsnorm_view": PLANE, "rmsnorm_width": 2, "rmsnorm_shift": 10.0, "rmsnorm_scale": 1}),
            Try("One large outlier", "One feature thirty times as large as the others takes the norm for itself, so nearly "
                "all others come out small.", check=one_takes_it_all, controls={
                    "rmsnorm_view": ACTIVATIONS, "rmsnorm_outlier": 30, "rmsnorm_shift": 0.0, "rmsnorm_scale": 1})],
        maths=maths(study), code=[RMSNorm, measure.StepwiseLayerNorm, measure.normalise_in, measure.measure_times],
        claims=register.of_page("rmsnorm"), checks=lambda: how_we_know(study, tokens))


header("rmsnorm", OPENING)
study = state.study()
above = st.container()
tokens = text.tokens_from_drawer(study.vocabulary)
with above:
    picture(study, tokens)
below(lesson(study, tokens))
