"""The RoPE page's controls and its six views: arrows, scores, wavelengths, YaRN, a trained model reading on, tables."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd
import streamlit as st

from gptoss.app import kept, pictures, state, theme
from gptoss.app.controls import Main, choose, main_sliders
from gptoss.app.study import Study
from gptoss.charts import Chart
from gptoss.config import ModelConfig
from gptoss.lessons.rope import charts, measure
from gptoss.lessons.rope.claims import read_further
from gptoss.lessons.rope.measure import DOCUMENTS, NEAR, READ, READER, TRAINED
from gptoss.training.domains import KEYS
from gptoss.training.length_generalisation import accuracy_by_distance
from gptoss.training.schemes import INTERPOLATION, NOTEBOOK, PLAIN, YARN
from gptoss.training.shipped import CLASSROOM, shipped
from gptoss.units import fixed, number, percent

ARROWS, SCORES, LENGTHS, YARN_VIEW, READING, TABLES = NAMES = (
    "Arrows", "Score and distance", "Wavelengths", "YaRN", f"Trained on {TRAINED}, reading {READ}", "Tables")
ENDS = (0, 32, 64, 96, 128, 160, READ)  # tokens back; few answers are farther away
PUBLISHED = "as published"
# By the key of the control: its label, and what it does.
_DIALS = {
    "rope_initial": ("Trained context (tokens)", "The length that YaRN stretches."),
    "rope_beta": ("Beta (turns)", "Pairs that turn more often in training keep their frequency."),
    "rope_alpha": ("Alpha (turns)", "Pairs that turn less often are slowed by the whole factor."),
}

remembered = lru_cache(maxsize=128)  # pure functions of frozen configurations; nobody changes what they hand out


def further_dials(study: Study) -> None:
    """YaRN's other settings, in a drawer on the page: they belong to this page's pictures alone.

    An expander and no popover: what a popover holds while it is closed, the browser would send back as it was when it
    last was open, and so undo what a button or the address has set.
    """
    with st.expander("More of YaRN's dials", icon=":material/tune:", key="rope_dials"):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            for key, (label, meaning) in _DIALS.items():
                positions = measure.FURTHER_DIALS[key][1]
                kept.selectbox(label, [PUBLISHED, *map(str, positions)], key=key,
                               on_change=_whole_page, help=meaning, width=210)
            st.button("Back to published", icon=":material/restart_alt:", on_click=_back_to_published, key="rope_back")
        published = ", ".join(f"{label.lower()} {number(getattr(study.config, measure.FURTHER_DIALS[key][0]), 9)}"
                              for key, (label, _) in _DIALS.items())
        st.caption(f"{study.preset} as published: {published}. These dials change the pictures on this page; the model on "
                   "other pages keeps the published values.")
    if st.session_state.pop("rope_moved", False):
        st.rerun()  # what is below the picture depends on them too


def _back_to_published() -> None:
    for key in _DIALS:
        st.session_state[key] = PUBLISHED
    _whole_page()


def _whole_page() -> None:
    """Draw what is below the picture anew too: from a callback, which can only leave word."""
    st.session_state["rope_moved"] = True


def settings(study: Study, live: bool = False) -> ModelConfig:
    """The real (or the `live`) configuration under study with the further dials' values."""
    moved = measure.moved_dials(st.session_state)
    return (study.live_config if live else study.config).replace(**moved)


def where_the_live_model_differs(study: Study) -> str:
    """A sentence on the scale model, whose heads may be smaller than the real ones that the page shows."""
    real, live = settings(study), settings(study, live=True)
    if real.head_dim == live.head_dim:
        return f"The heads on this page have {real.head_dim} numbers, as those of the live model."
    ramp = measure.ramp_of(live)
    return (f"The heads on this page have {real.head_dim} numbers, as in the real model. Those of the live scale model have "
            f"{live.head_dim}: {live.head_dim // 2} pairs, with YaRN's ramp from {fixed(ramp.low)} to {fixed(ramp.high)}.")


PLACES = range(65)  # positions at which a query or a key can be put


def arrows(config: ModelConfig, context: int) -> None:
    """Two arrows in one pair's plane, and all pairs as clocks."""
    pairs = config.head_dim // 2
    picture = pictures.main()
    ends, which = st.columns([3, 1], gap="medium")
    with ends:
        query_at, key_at, shift = main_sliders(
            Main("Query at position", "rope_query", PLACES, 3), Main("Key at position", "rope_key", PLACES, 1),
            Main("Move both by", "rope_shift", PLACES, 20))
    with which:
        pair = choose("Pair shown", range(pairs), key="rope_pair")
    before, after = (measure.hands(config, query_at + by, key_at + by) for by in (0, shift))
    with picture:
        large, small = st.columns(2, gap="medium", vertical_alignment="center")
        with large:
            pictures.show_drawing(charts.clock(before.of(pair), after.of(pair), pair, pairs, query_at + shift,
                                               key_at + shift))
        with small:
            pictures.show_drawing(charts.clock_grid(after.query, after.key, pair))
    st.caption(charts.describe_clock(before.of(pair), after.of(pair), pair, query_at - key_at, measure.step(config, pair),
                                     shift))


def scores(config: ModelConfig, context: int) -> None:
    """The score of two fixed vectors against their distance, wherever they are."""
    dials, large = st.columns([1, 4], gap="medium")
    with dials:
        kind = kept.radio("Query and key", measure.VECTORS, key="rope_vectors")
    with large, pictures.main():
        pictures.show_chart(_score_chart(config, kind, context, state.study().seed), key="rope_scores")


@remembered
def _score_chart(config: ModelConfig, kind: str, context: int, seed: int) -> Chart:
    return charts.score_by_distance(measure.score_frame(config, kind, context, seed))


def wavelengths(config: ModelConfig, context: int) -> None:
    """How many tokens each pair takes for a turn."""
    with pictures.main():
        pictures.show_chart(_wavelength_chart(config, context), key="rope_wavelengths")


@remembered
def _wavelength_chart(config: ModelConfig, context: int) -> Chart:
    return charts.wavelength_by_pair(measure.pair_frame(config), config.initial_context_length, context)


def yarn(config: ModelConfig, context: int) -> None:
    """Which pairs keep, blend or stretch their frequency, beside three other ways."""
    large, facts = st.columns([4, 3], gap="medium")
    with large, pictures.main():
        pictures.show_chart(_stretch_chart(config), key="rope_stretch")
    with facts:
        frame = measure.scheme_frame(config, context)
        st.table(pd.DataFrame({
            "Scheme": frame["scheme"], "Fastest pair turns per token": frame["step"].map("{:.1f}°".format),
            "Pairs at new angles": frame["new_angles"], "Scores": frame["score_scale"].map("× {:.2f}".format),
        }), hide_index=True, alt="What each scheme does to the fastest pair, to new angles, and to scores")
        st.caption(f"New angles: reached within {context:,} tokens, never shown by {config.initial_context_length:,} tokens "
                   "of training.")
        _say_what_the_reference_says(config)


@remembered
def _stretch_chart(config: ModelConfig) -> Chart:
    ramp = measure.ramp_of(config)
    return charts.stretch_by_pair(measure.pair_frame(config), ramp.low, ramp.high,
                                  (ramp.kept, ramp.blended, ramp.stretched))


def _say_what_the_reference_says(config: ModelConfig) -> None:
    """What OpenAI's assertion makes of the settings, and what happens here where it fails."""
    if config.rope_scaling_factor == 1:
        st.markdown("Factor 1 is plain RoPE: nothing is stretched.")
        return
    ramp = measure.ramp_of(config)
    rule = f"0 < low < high < {number(config.head_dim / 2 - 1)}"
    ends = f"low is {fixed(ramp.low)}, high is {fixed(ramp.high)}"
    if ramp.broken:
        st.warning(f"Here {ends}. The ramp is clipped to the head, as in transformers: it keeps {ramp.kept}, blends "
                   f"{ramp.blended} and stretches {ramp.stretched} pairs.", icon=":material/warning:",
                   title=f"OpenAI's code asserts {rule} and would stop")
    else:
        st.markdown(f"OpenAI's code asserts {rule}: {ends}.")


def tables(config: ModelConfig, context: int) -> None:
    """The cosines and sines that the model reads, as pictures."""
    place = pictures.main()
    start = kept.select_slider("First position", [0, *(2**power for power in range(7, 18))], 0, key="rope_start")
    both = measure.rotation_picture(config, start)
    with place:
        for column, name, values in zip(st.columns(2, gap="medium"), ("Cosines", "Sines"), both, strict=True):
            with column:
                pictures.show_drawing(charts.rotation_table(values, name, start, theme.is_dark()))


def reading(config: ModelConfig, context: int, told: bool = True) -> None:
    """The shipped model on texts four times as long as those of its training: the same, whatever is under study.

    What the page asks about is `told` after the reader's answer.
    """
    with st.spinner(f"The model reads {DOCUMENTS} documents four times …", show_time=True):
        read = read_further()
    large, words = st.columns([4, 3], gap="medium")
    with large, pictures.main():
        pictures.show_chart(charts.accuracy_by_distance(accuracy_by_distance(read, ENDS), TRAINED), key="rope_reading")
    with words:
        st.markdown(in_words(read, told))
    st.caption(f"Measured on this server with the trained `{CLASSROOM}` that ships, whatever model is under study: "
               f"{DOCUMENTS} documents of {READ} tokens that no training saw. They state facts and ask for them, for some "
               f"more than once: the distance is to where the answer last stood. A blind guess among {KEYS} values would "
               f"be right {percent(1 / KEYS, 0)} of the time.")


def in_words(read: pd.DataFrame, late: bool = True) -> str:
    """What the answers say, as a list in Markdown; the last point, on what is near and `late` in the text, on demand."""
    recipe = shipped()[CLASSROOM].history()["recipe"]
    within, beyond = ([f"{scheme} {share[scheme]:.0%}" for scheme in (PLAIN, YARN, NOTEBOOK, INTERPOLATION)]
                      for share in measure.shares(read))
    found = measure.late_and_near(read)
    last = (f"\n- Late in the text even what is near gets lost: of answers that last stood at most {NEAR} tokens back, "
            f"after token {2 * TRAINED}, plain RoPE finds {found[PLAIN]:.0%} and YaRN {found[YARN]:.0%}.")
    return (f"- **In the first {TRAINED} tokens**, the length of training, right answers: {', '.join(within)}.\n"
            f"- **After them, in the same documents**: {', '.join(beyond)}.\n"
            f"- The weights are the same four times; only the rotation differs. Training used plain RoPE, and after "
            f"{recipe['yarn_from']:.0%} of the steps YaRN with factor {number(READER.rope_scaling_factor)} in every other "
            f"one, always on {TRAINED} tokens. So plain RoPE and YaRN are known to these weights, the other two are "
            "not." + last * late)


VIEWS = dict(zip(NAMES, (arrows, scores, wavelengths, yarn, reading, tables), strict=True))
