"""RoPE and YaRN: two arrows that turn together, scores by distance, wavelengths, and how they are stretched."""

import streamlit as st

from gptoss.app import pictures, state
from gptoss.app.controls import view
from gptoss.app.header import header
from gptoss.app.lesson import Lesson, Prediction, Try, below, beside
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.config import ModelConfig
from gptoss.lessons.rope import charts, controls, measure
from gptoss.model import RotaryEmbedding
from gptoss.model.rope import concentration, inverse_frequencies, yarn_ramp, yarn_range
from gptoss.units import number

MATHS = r"""
Pair $i$ of a query or key, dimensions $i$ and $i + d/2$, is turned by its position ($m$, $n$) times the pair's own speed:

$$\theta_i = \text{theta}^{-2i/d}, \qquad q_m = q \, e^{\mathrm{i} m \theta_i}, \qquad k_n = k \, e^{\mathrm{i} n \theta_i}$$

The score sees only the distance:

$$\operatorname{Re}(q_m \bar k_n) = \operatorname{Re}(q \bar k \, e^{\mathrm{i}(m-n)\theta_i})$$

YaRN with factor $s$ slows each pair by its place on a ramp $r_i$, from 0 below *low* to 1 above *high*:

$$\theta_i' = \theta_i (1 - r_i) + \frac{\theta_i}{s} r_i, \qquad r_i = \frac{i - \text{low}}{\text{high} - \text{low}}$$

$$\text{low} = p(\beta), \quad \text{high} = p(\alpha), \quad p(x) = \frac{d}{2} \frac{\ln(L / 2\pi x)}{\ln \text{theta}}$$

$L$ is the trained context. The concentration $0.1 \ln s + 1$ multiplies cosines and sines, so queries and keys grow by it
and scores by its square.
"""


@st.fragment
def picture(study: Study) -> None:
    """The chosen view, which alone does work."""
    shown = st.container()  # filled last, since it depends on the dials below it
    controls.further_dials(study)
    with shown:
        chosen = view(list(controls.VIEWS), "rope_view")
        controls.VIEWS[chosen](controls.settings(study), study.context)
        beside(lesson(controls.settings(study), study.context))
    if chosen != controls.READING:
        st.caption(controls.where_the_live_model_differs(study))


def because(config: ModelConfig) -> str:
    """What the answer to the prediction means."""
    other = 150_000.0 if config.rope_theta == 10_000 else 10_000.0
    return ("These pairs see only a part of the circle in training: longer texts turn them to angles that are new. With "
            f"theta {other:,.0f} it would be {measure.never_turning(config.replace(rope_theta=other))}.")


def how_we_know(config: ModelConfig, context: int) -> None:
    """Rotation compared with the complex plane, the page's tables with the model's, and the spread of equal scores."""
    table, plane = measure.rotation_checks(config)
    st.markdown(
        f"- The model's rotation against multiplication by e^(i·position·θ) in double precision, 512 random vectors: "
        f"largest difference **{number(plane, 2)}**.\n"
        f"- Cosines and sines on this page against the table that the model reads, 512 positions: **{number(table, 2)}**.\n"
        f"- Scores of equal distance, with the key at {', '.join(f'{at:,}' for at in measure.places(context))}. In exact "
        f"arithmetic they are equal; each number format keeps that as far as it can tell angles apart:")
    pictures.show_chart(charts.spread_by_format(measure.spread_frame(config, measure.AGREEING, context)), key="rope_spread")


def lesson(config: ModelConfig, context: int) -> Lesson:
    """What follows below the picture, at the settings of this moment."""
    pairs, trained = config.head_dim // 2, config.initial_context_length
    return Lesson(
        path="rope",
        prediction=Prediction(
            f"Plain RoPE with theta {config.rope_theta:,.0f}: how many of {pairs} pairs never turn once in {trained:,} "
            "tokens?", answer=lambda: measure.never_turning(config), because=lambda _: because(config), unit="pairs",
            tolerance=0, show="{:.0f}".format),
        tries=[
            Try("Theta 10,000", "The base of the first RoPE models. See where the wavelengths cross the trained context.",
                preset="gpt-oss-20b", dials={"theta": 10_000}, controls={"rope_view": "Wavelengths"}),
            Try("Factor 1, plain RoPE", "Without YaRN the arrows keep their length, and no frequency changes.",
                dials={"factor": 1}, controls={"rope_view": "YaRN"}),
            Try("The slowest pair", "Move both arrows as far as you like: this pair hardly notices. It can carry content.",
                controls={"rope_view": "Arrows", "rope_pair": 31}),
            Try("Random vectors", "Scores fall with distance only for vectors that agree in every pair.",
                controls={"rope_view": "Score and distance", "rope_vectors": measure.RANDOM}),
            Try("Four times as far", "The same trained weights under four rotations: only one of them still finds what was "
                "said.", controls={"rope_view": controls.READING}),
            Try("Where the reference stops", "A small head and a short trained context push the ramp's start below 0.",
                preset="classroom", controls={"rope_view": "YaRN", "rope_initial": "128", "rope_beta": "32"})],
        maths=MATHS, code=[RotaryEmbedding, inverse_frequencies, yarn_range, yarn_ramp, concentration],
        claims=register.of_page("rope"), checks=lambda: how_we_know(config, context))


header("rope")
study = state.study()
picture(study)
below(lesson(controls.settings(study), study.context))
