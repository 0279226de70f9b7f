"""The glue of the page on RoPE: YaRN's further dials, and what the lesson asks, claims and checks."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd
import streamlit as st

from gptoss.app import pictures
from gptoss.app.lesson import Prediction, Try
from gptoss.app.study import Study
from gptoss.charts import Chart
from gptoss.config import ModelConfig
from gptoss.lessons.rope import measure as rotation
from gptoss.lessons.rope.charts import score_by_distance, spread_by_format, stretch_by_pair, wavelength_by_pair
from gptoss.lessons.rope.controls.reading import READING

remembered = lru_cache(maxsize=128)  # pure functions of frozen configurations; nobody changes what they hand out

PUBLISHED = "as published"
# By the key of the control: the field that it sets, its label, what it does, and where it can stand.
_DIALS = {
    "rope_initial": ("initial_context_length", "Trained context (tokens)", "The length that YaRN stretches.",
                     (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)),
    "rope_beta": ("rope_ntk_beta", "Beta (turns)", "Pairs that turn more often in training keep their frequency.",
                  (8, 16, 32, 64)),
    "rope_alpha": ("rope_ntk_alpha", "Alpha (turns)", "Pairs that turn less often are slowed by the whole factor.",
                   (0.5, 1, 2, 4)),
}


def further_dials(study: Study) -> None:
    """YaRN's other settings, in a drawer on the page: they belong to this page's pictures alone.

    An expander and no popover: what a popover holds while it is closed, the browser would send back as it was when it
    last was open, and so undo what a button or the address has set.
    """
    with st.expander("More of YaRN's dials", icon=":material/tune:"):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            for key, (_, label, meaning, positions) in _DIALS.items():
                st.selectbox(label, [PUBLISHED, *map(str, positions)], key=key, bind="query-params",
                             on_change=_whole_page, help=meaning, width=210)
            st.button("Back to published", icon=":material/restart_alt:", on_click=_back_to_published, key="rope_back")
        published = ", ".join(f"{label.lower()} {getattr(study.config, field):,g}" for field, label, *_ in _DIALS.values())
        st.caption(f"{study.preset} as published: {published}. These dials change the pictures on this page; the model on "
                   "other pages keeps the published values.")
    if st.session_state.pop("rope_moved", False):
        st.rerun()  # what stands below the picture depends on them too


def settings(study: Study, live: bool = False) -> ModelConfig:
    """The real (or the `live`) configuration under study with the further dials' values."""
    moved = {}
    for key, (field, _, _, positions) in _DIALS.items():
        chosen = st.session_state.get(key, PUBLISHED)
        if chosen in map(str, positions):
            moved[field] = int(chosen) if field == "initial_context_length" else float(chosen)
    return (study.live_config if live else study.config).replace(**moved)


@remembered
def score_chart(config: ModelConfig, kind: str, context: int, seed: int) -> Chart:
    """Scores of two vectors by distance, as a line and as points measured at several places."""
    return score_by_distance(rotation.score_frame(config, kind, context, seed))


@remembered
def wavelength_chart(config: ModelConfig, context: int) -> Chart:
    """Wavelengths against the trained context and the one to be read."""
    return wavelength_by_pair(rotation.pair_frame(config), config.initial_context_length, context)


@remembered
def stretch_chart(config: ModelConfig) -> Chart:
    """What YaRN and its rivals do to each pair."""
    ramp = rotation.ramp_of(config)
    return stretch_by_pair(rotation.pair_frame(config), ramp.low, ramp.high, (ramp.kept, ramp.blended, ramp.stretched))


def where_the_live_model_differs(study: Study) -> str:
    """A sentence on the scale model, whose heads may be smaller than the real ones that the page shows."""
    real, live = settings(study), settings(study, live=True)
    if real.head_dim == live.head_dim:
        return f"Computed at the head size {real.head_dim}, which the live model has too."
    ramp = rotation.ramp_of(live)
    return (f"Computed at the real head size {real.head_dim}. The live scale model has heads of {live.head_dim}: "
            f"{live.head_dim // 2} pairs, with YaRN's ramp from {ramp.low:.2f} to {ramp.high:.2f}.")


def show_schemes(config: ModelConfig, context: int) -> None:
    """What each scheme does to angles and scores, as a small table."""
    frame = rotation.scheme_frame(config, context)
    st.table(pd.DataFrame({
        "Scheme": frame["scheme"], "Fastest pair turns per token": frame["step"].map("{:.1f}°".format),
        "Pairs at new angles": frame["new_angles"], "Scores": frame["score_scale"].map("× {:.2f}".format),
    }), hide_index=True, alt="What each scheme does to the fastest pair, to new angles, and to scores")
    st.caption(f"New angles: reached within {context:,} tokens, never shown by {config.initial_context_length:,} tokens "
               "of training.")


def say_what_the_reference_says(config: ModelConfig) -> None:
    """What OpenAI's assertion makes of the settings, and what happens here where it fails."""
    if config.rope_scaling_factor == 1:
        st.markdown("Factor 1 is plain RoPE: nothing is stretched.")
        return
    ramp = rotation.ramp_of(config)
    rule = f"0 < low < high < {config.head_dim / 2 - 1:g}"
    ends = f"low is {ramp.low:.2f}, high is {ramp.high:.2f}".replace("-", "−")
    if ramp.broken:
        st.warning(f"Here {ends}. The ramp is clipped to the head, as in transformers: it keeps {ramp.kept}, blends "
                   f"{ramp.blended} and stretches {ramp.stretched} pairs.", icon=":material/warning:",
                   title=f"The reference asserts {rule} and would stop")
    else:
        st.markdown(f"The reference asserts {rule}: {ends}.")


def prediction(config: ModelConfig) -> Prediction:
    """How many pairs never turn in training, asked at the settings as they stand."""
    pairs, trained = config.head_dim // 2, config.initial_context_length
    other = 150_000.0 if config.rope_theta == 10_000 else 10_000.0

    def because(answer: float) -> str:
        there = rotation.never_turning(config.replace(rope_theta=other))
        return (f"These pairs see only a part of the circle in training: longer texts turn them to angles that are new. "
                f"With theta {other:,.0f} it would be {there}.")

    return Prediction(
        f"Plain RoPE with theta {config.rope_theta:,.0f}: how many of {pairs} pairs never turn once in {trained:,} tokens?",
        lambda: rotation.never_turning(config), because, unit="pairs", tolerance=0, show="{:.0f}".format)


TRIES = (
    Try("Theta 10,000", "The base of the first RoPE models. See where the wavelengths cross the trained context.",
        preset="gpt-oss-20b", dials={"theta": 10_000}, controls={"rope_view": "Wavelengths"}),
    Try("Factor 1, plain RoPE", "Without YaRN the arrows keep their length, and no frequency changes.",
        dials={"factor": 1}, controls={"rope_view": "YaRN"}),
    Try("The slowest pair", "Move both arrows as far as you like: this pair hardly notices. It can carry content.",
        controls={"rope_view": "Arrows", "rope_pair": 31}),
    Try("Random vectors", "Scores fall with distance only for vectors that agree in every pair.",
        controls={"rope_view": "Score and distance", "rope_vectors": rotation.RANDOM}),
    Try("Four times as far", "The same trained weights under four rotations: only one of them still finds what was said.",
        controls={"rope_view": READING}),
    Try("Where the reference stops", "A small head and a short trained context push the ramp's start below 0.",
        preset="classroom", controls={"rope_view": "YaRN", "rope_initial": "128", "rope_beta": "32"}),
)


def how_we_know(config: ModelConfig, context: int) -> None:
    """Rotation against the complex plane, the page's tables against the model's, and the spread of equal scores."""
    table, plane = rotation.rotation_checks(config)
    st.markdown(
        f"- The model's rotation against multiplication by e^(i·position·θ) in double precision, 512 random vectors: "
        f"largest difference **{plane:.1e}**.\n"
        f"- Cosines and sines on this page against the table that the model reads, 512 positions: **{table:.1e}**.\n"
        f"- Scores of equal distance, with the key at {', '.join(f'{at:,}' for at in rotation.places(context))}. In exact "
        f"arithmetic they are equal; each number format keeps that as far as it can tell angles apart:")
    pictures.show_chart(spread_by_format(rotation.spread_frame(config, rotation.AGREEING, context)), key="rope_spread")


def _whole_page() -> None:
    st.session_state["rope_moved"] = True


def _back_to_published() -> None:
    for key in _DIALS:
        st.session_state[key] = PUBLISHED
    _whole_page()
