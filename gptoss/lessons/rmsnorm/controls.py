"""The RMSNorm page's controls, and its five views: vectors in a plane, the live model's stream, number formats, times."""

from __future__ import annotations

from functools import lru_cache

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss.app import kept, pictures
from gptoss.app.computed import computed, traced
from gptoss.app.controls import Main, every, main_sliders
from gptoss.app.positions import spelt_number
from gptoss.app.study import Study
from gptoss.app.text import Tokens
from gptoss.app.weights import weights_in_words
from gptoss.charts import Chart
from gptoss.lessons.rmsnorm import charts, measure
from gptoss.lessons.rmsnorm.claims import timed
from gptoss.lessons.rmsnorm.measure import EPS, NOTEBOOK_EPS, SIZES, Distortion
from gptoss.units import plural

SHIFTS = every(-10, 10, 0.5)
SCALES = (0.001, 0.01, 0.1, 0.3, 1, 3, 10, 30, 100)
OUTLIERS = (0, 3, 10, 30, 100)
SMALL_NUMBERS = tuple(range(-9, 10))
COLUMNS = [3, 10]  # controls and pictures
_STREAM = ("embedding", "after_attn", "after_mlp")

histograms = traced(measure.histograms, names=_STREAM, inside=False)
stream_sizes = traced(measure.stream_sizes, names=_STREAM, inside=False)
check_norms = traced(measure.check_norms, names=(*_STREAM, "norm"))
format_errors = computed(measure.format_errors, entries=64)


def distortion() -> Distortion:
    """The three sliders that change vectors before a norm reads them."""
    return Distortion(*main_sliders(
        Main("Shift", "rmsnorm_shift", SHIFTS, 0.0, "Added to every feature.", spelt_number),
        Main("Scale", "rmsnorm_scale", SCALES, 1, "Multiplies every feature, before the shift."),
        Main("Outlier", "rmsnorm_outlier", OUTLIERS, 0, "Added to the first feature alone, in units of the scale.")))


def _side_by_side(place: DeltaGenerator, **shown: Chart) -> None:
    """Two charts, by the names of their keys, as the page's main picture."""
    with place, pictures.main():
        for column, (name, chart) in zip(st.columns(2, gap="medium"), shown.items(), strict=True):
            with column:
                pictures.show_chart(chart, key=f"rmsnorm_{name}")


def by_hand(study: Study, tokens: Tokens) -> None:
    """Three numbers, and every step that RMSNorm takes with them."""
    controls, place = st.columns(COLUMNS, gap="medium")
    with controls:
        *numbers, scale = main_sliders(
            *(Main(f"{name} number", key, SMALL_NUMBERS, first) for name, key, first in zip(
                ("First", "Second", "Third"), ("rmsnorm_a", "rmsnorm_b", "rmsnorm_c"), measure.NUMBERS, strict=True)),
            Main("All of them times", "rmsnorm_scale", SCALES, 1, "Multiplies all three numbers."))
    with place, pictures.main():
        st.html(charts.worked_by_hand(*measure.by_hand([number * scale for number in numbers])))
    st.caption("A token's numbers in the model go the same way, all at once. Then each is multiplied by a scale γ of its "
               "own, which is 1 until it is learned.")


def plane(study: Study, tokens: Tokens) -> None:
    """Random vectors as points, before and after."""
    controls, place = st.columns(COLUMNS, gap="medium")
    with controls:
        change = distortion()
        width = kept.select_slider("Width", measure.WIDTHS, 2, key="rmsnorm_width",
                                   help="Features of a vector. Two can be drawn as they are.")
    before, after = _plane_charts(width, change)
    _side_by_side(place, before=before, after=after)
    st.caption("Follow the lines: RMSNorm (gpt-oss) moves each vector along its own line onto the circle, whatever its "
               "length was. LayerNorm (GPT-2) takes the mean away first" + (
                   ", so of two features all that is left is which one is larger." if width == 2 else
                   " and sets the spread to 1. Mean across, spread up: the distance from the origin is the root mean "
                   "square."))


@lru_cache(maxsize=64)
def _plane_charts(width: int, change: Distortion) -> tuple[Chart, Chart]:
    points = measure.plane(width, change)
    return (charts.plane_before(points.before, width, points.marked),
            charts.plane_after(points.rms, points.layer, width, points.radius, points.marked))


def activations(study: Study, tokens: Tokens) -> None:
    """What a norm of the live model reads on the reader's text, and what comes out."""
    controls, place = st.columns(COLUMNS, gap="medium")
    with controls:
        change = distortion()
        places = {measure.place_in_words(place): place for place in measure.norm_places(study.live_config.num_hidden_layers)}
        options = list(places)
        if st.session_state.get("rmsnorm_place", options[0]) not in options:
            st.session_state["rmsnorm_place"] = options[-1]
        norm = places[kept.select_slider("Norm in front of", options, key="rmsnorm_place")]
        st.caption(f"{plural(len(tokens), 'token')} of {study.live_config.hidden_size} features; {weights_in_words(study)}. "
                   "The scale is part of them: 1 until it is learned.")
    values = histograms(study, tokens.ids, norm, change)
    _side_by_side(place, values_before=charts.activations_before(values.before, values.edges, values.mean, values.size),
                  values_after=charts.activations_after(values.rms, values.layer, measure.BINS, values.means))


def depth(study: Study, tokens: Tokens) -> None:
    """How the stream grows from norm to norm, and what is read of it."""
    with pictures.main():
        pictures.show_chart(charts.stream_size(stream_sizes(study, tokens.ids)), key="rmsnorm_depth")
    st.caption("Every half block adds to the stream, so it grows with depth. What each half block reads has size 1. "
               "Dots are medians over the tokens of your text, bars reach from the smallest to the largest.")


def formats(study: Study, tokens: Tokens) -> None:
    """What eps does to small inputs, and what rounding inside would do to all of them."""
    controls, place = st.columns(COLUMNS, gap="medium")
    with controls:
        size = kept.select_slider("Input size", SIZES, 1, key="rmsnorm_size",
                                  help="Root mean square of the vectors before the norm.")
        st.caption(f"Vectors of the real width, {study.hidden:,}, rounded to bfloat16 as the stream of gpt-oss is. Float32 "
                   "inside leaves one rounding, the last. bfloat16 keeps 8 bits: a running sum in it stops growing. "
                   "float16 has more bits, but its squares overflow beyond 65,504.")
    both = EPS, NOTEBOOK_EPS
    _side_by_side(place, outputs=charts.output_sizes(measure.size_curve(measure.CURVE, both), size,
                                                     [measure.output_size(size, eps) for eps in both]),
                  errors=charts.format_errors(format_errors(study.hidden, size)))


def times(study: Study, tokens: Tokens) -> None:
    """Both norms timed here and now, when the reader asks for it."""
    controls, place = st.columns(COLUMNS, gap="medium")
    with controls:
        pressed = st.button("Measure now", icon=":material/timer:", type="primary", key="rmsnorm_measure")
        result = timed.again(study.hidden) if pressed else timed.known(study.hidden)
        st.caption(f"64 vectors of width {study.hidden:,} in float32 on one thread of this machine, 20 rounds. "
                   "Others who use the machine at the same time widen the spread.")
    with place, pictures.main():
        if result is None:
            st.info(f"Nothing is measured yet at width {study.hidden:,}. Press the button.", icon=":material/timer:")
        else:
            pictures.show_chart(charts.norm_times(result), key="rmsnorm_times")
