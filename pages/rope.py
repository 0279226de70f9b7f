"""RoPE and YaRN: two arrows that turn together, scores by distance, wavelengths, and how they are stretched."""

import streamlit as st

from gptoss.app import pictures, state
from gptoss.app.controls import choose
from gptoss.app.header import header
from gptoss.app.lesson import Lesson, below
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.config import ModelConfig
from gptoss.lessons.rope import measure as rotation
from gptoss.lessons.rope.charts import clock, clock_grid, describe_clock, rotation_table
from gptoss.lessons.rope.controls.reading import READING, show_reading
from gptoss.lessons.rope.controls.rotation import (
    TRIES,
    further_dials,
    how_we_know,
    prediction,
    say_what_the_reference_says,
    score_chart,
    settings,
    show_schemes,
    stretch_chart,
    wavelength_chart,
    where_the_live_model_differs,
)
from gptoss.model import RotaryEmbedding
from gptoss.model.rope import concentration, inverse_frequencies, yarn_ramp, yarn_range

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


def arrows(config: ModelConfig, context: int) -> None:
    """Two arrows in one pair's plane, and all pairs as clocks."""
    pairs = config.head_dim // 2
    first, second, both, which = st.columns(4, gap="medium")
    with first:
        query_at = st.slider("Query at position", 0, 64, 3, key="rope_query", bind="query-params")
    with second:
        key_at = st.slider("Key at position", 0, 64, 1, key="rope_key", bind="query-params")
    with both:
        shift = st.slider("Move both by", 0, 64, 20, key="rope_shift", bind="query-params")
    with which:
        pair = choose("Pair shown", range(pairs), key="rope_pair")
    before, after = (rotation.hands(config, query_at + by, key_at + by) for by in (0, shift))
    large, small = st.columns(2, gap="medium", vertical_alignment="center")
    with large:
        pictures.show_drawing(clock(before.of(pair), after.of(pair), pair, pairs, query_at + shift, key_at + shift))
    with small:
        pictures.show_drawing(clock_grid(after.query, after.key, pair))
    st.caption(describe_clock(before.of(pair), after.of(pair), pair, query_at - key_at, rotation.step(config, pair)))


def scores(config: ModelConfig, context: int) -> None:
    """The score of two fixed vectors against their distance, wherever they stand."""
    dials, large = st.columns([1, 4], gap="medium")
    with dials:
        kind = st.radio("Query and key", rotation.VECTORS, key="rope_vectors", bind="query-params")
    with large:
        pictures.show_chart(score_chart(config, kind, context, state.study().seed), key="rope_scores")


def wavelengths(config: ModelConfig, context: int) -> None:
    """How many tokens each pair takes for a turn."""
    pictures.show_chart(wavelength_chart(config, context), key="rope_wavelengths")


def yarn(config: ModelConfig, context: int) -> None:
    """Which pairs keep, blend or stretch their frequency, beside three other ways."""
    large, facts = st.columns([4, 3], gap="medium")
    with large:
        pictures.show_chart(stretch_chart(config), key="rope_stretch")
    with facts:
        show_schemes(config, context)
        say_what_the_reference_says(config)


def tables(config: ModelConfig, context: int) -> None:
    """The cosines and sines that the model reads, as pictures."""
    start = st.select_slider("First position", [0, *(2**power for power in range(7, 18))], 0, key="rope_start",
                             bind="query-params")
    cos, sin = rotation.rotation_picture(config, start)
    for column, name, values in zip(st.columns(2, gap="medium"), ("Cosines", "Sines"), (cos, sin), strict=True):
        with column:
            pictures.show_drawing(rotation_table(values, name, start))


def reading(config: ModelConfig, context: int) -> None:
    """The shipped model on texts four times as long as those of its training: the same, whatever is under study."""
    show_reading()


VIEWS = {"Arrows": arrows, "Score and distance": scores, "Wavelengths": wavelengths, "YaRN": yarn, READING: reading,
         "Tables": tables}


@st.fragment
def picture(study: Study) -> None:
    """The chosen view, which alone does work."""
    shown = st.container()  # filled last, since it depends on the dials below it
    further_dials(study)
    with shown:
        view = st.segmented_control("View", list(VIEWS), default="Arrows", key="rope_view", bind="query-params",
                                    required=True, label_visibility="collapsed")
        VIEWS[view](settings(study), study.context)
    if view != READING:
        st.caption(where_the_live_model_differs(study))


header("rope")
study = state.study()
picture(study)
config = settings(study)
below(Lesson(path="rope", prediction=prediction(config), tries=TRIES, maths=MATHS,
             code=[RotaryEmbedding, inverse_frequencies, yarn_range, yarn_ramp, concentration],
             claims=register.of_page("rope"), checks=lambda: how_we_know(config, study.context)))
