"""The window page's own controls, its views, and what it asks of the live model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import pandas as pd
import streamlit as st

from gptoss.app import controls, kept, pictures, text
from gptoss.app.computed import computed
from gptoss.app.large import TooLong
from gptoss.app.study import DIALS, Study
from gptoss.app.weights import weights_in_words
from gptoss.charts.accounts import CONTEXTS
from gptoss.lessons.window import charts, measure

CHECKED_TOKENS = 96  # of the text, for what runs the live model many times
DIAL = DIALS["window"]
WINDOW = "window_w"

_POSITIONS = DIAL.options(None)
_FOLLOWED = "followed_window"  # the sidebar's window when the picture last took it over

check_windows = computed(measure.check_windows, entries=8, many_passes="This check")
off_by_one_on = computed(measure.off_by_one, entries=8)
outputs_by_window = computed(measure.outputs_by_window, entries=8, many_passes="Trying every window")


class Setting(NamedTuple):
    """What the page's own controls say."""

    window: int  # tokens, 0 for none
    token: int  # position of the query


def query(tokens: int) -> int:
    """The query in question, by its position."""
    return controls.token(tokens, measure.first_token(tokens), "Query (token)",
                          help="Hold an arrow key and the window moves.")


def setting_shown(study: Study, tokens: int) -> Setting:
    """What they say, for the tabs below the picture."""
    return Setting(st.session_state.get(WINDOW, study.window), controls.token_shown(tokens, measure.first_token(tokens)))


def layers_drawn() -> int:
    """How many layers a ladder has: up to as many as leave its labels room."""
    return kept.select_slider("Layers drawn", range(1, 7), measure.LAYERS_DRAWN, key="window_layers")


def masks(study: Study, tokens: text.Tokens, setting: Setting) -> None:
    """The window in the text itself, and the same query as one row of the mask."""
    sliding, full = (measure.mask(len(tokens), window).numpy() for window in (setting.window, 0))
    with pictures.main():
        words, square = st.columns([5, 4], gap="medium")
        with words:
            st.html(charts.window_in_text(tokens.labels, sliding[setting.token], full[setting.token], setting.token))
        with square:
            pictures.show_chart(charts.window_mask(sliding, full, tokens.labels, setting.token), key="window_mask",
                                on_select=controls.picks("window_mask", token="query"))
    st.caption(f"The window drawn: {setting.window or 'off'}. The model's own: {study.window or 'off'}, in layers 0, "
               f"{study.every}, {2 * study.every} and so on, of a context of {study.config.max_context_length:,} tokens.")


def ladders(study: Study, tokens: text.Tokens, setting: Setting, layers: int) -> None:
    """What has reached one token after each layer, when every layer slides and when every other one does."""
    known = measure.known_by_layer(layers, setting.window, len(tokens), setting.token)
    with pictures.main():
        pictures.show_chart(charts.reach_ladder(known, tokens.labels, setting.token), key="window_reach",
                            on_select=controls.picks("window_reach", token="position"))
    if study.window:
        st.caption(f"At the real size, {study.layers} layers that all slide over {study.window:,} tokens would reach "
                   f"{measure.sliding_reach(study.layers, study.window):,} back, in a context of "
                   f"{study.config.max_context_length:,}.")


def cost(study: Study) -> None:
    """What windows save at the real size, at the sidebar's context."""
    strip = charts.cache_strip(measure.cache_by_kind(study.config, study.context), study.context)
    pictures.show_chart(strip, key="window_strip")
    frame = measure.costs_by_context(study.config, CONTEXTS)
    for place, column in zip(st.columns(2, gap="medium"), ("bytes", "scores"), strict=True):
        with place:
            pictures.show_chart(charts.context_lines(frame, column, study.context), key=f"window_{column}")


def first_tokens(study: Study, count: int) -> str:
    """What the study's live model reads as `count` tokens: the beginning of its first example, as a text."""
    sample = text.first_example(study.preset).text
    return sample[:study.vocabulary.encode_prefix(sample, count).characters_used]


def output_distances(study: Study, ids: Sequence[int]) -> pd.DataFrame:
    """What other windows do to the live model's next-token distribution after the text's end, its weights kept."""
    ids, own = tuple(ids[-CHECKED_TOKENS:]), study.live_config.sliding_window
    return outputs_by_window(study, ids, (
        *(window for window in _POSITIONS if 0 < window < len(ids) or window == own and window), 0))


@st.fragment
def same_weights_drawer(study: Study, ids: Sequence[int]) -> None:
    """The same weights under other windows, in a drawer that does nothing while it is closed."""
    drawer = kept.expander("Same weights, another window: what happens to the answer?", icon=":material/lock:",
                           key="window_output")
    if drawer.open and ids:
        with drawer:
            try:
                pictures.show_chart(charts.output_distances(output_distances(study, ids), study.window), key="window_moved")
                st.caption(
                    f"Each window makes another function of the same weights, here {weights_in_words(study)}. Trained ones "
                    "know their own window only, random ones give no reason why one should be better. This is not what the "
                    "choice of a window costs: for that, each has to be trained.")
            except TooLong as why:
                st.info(str(why), icon=":material/hourglass:")


def window_drawn(study: Study) -> int:
    """The window that the pictures show: the model's own, until the reader drags it, and again when the sidebar's moves."""
    followed = st.session_state.setdefault(_FOLLOWED, study.window)
    if study.window != followed:
        st.session_state[_FOLLOWED] = study.window
        st.session_state[WINDOW] = study.window
    positions = sorted({*_POSITIONS, study.window}, key=lambda step: (step == 0, step))
    [window] = controls.main_sliders(controls.Main(
        "Window drawn (tokens)", WINDOW, positions, study.window,
        "What a sliding layer sees, the query's own token included: at first the model's own window, here "
        f"{DIAL.show(study.window)}. Drag it, and the picture alone changes; move the one in the sidebar, and this one "
        "moves with it.", DIAL.spell))
    return window


def off_by_one(study: Study, tokens: text.Tokens, window: int) -> None:
    """The live model with the window drawn, and with one key more in every sliding layer."""
    if not window:
        st.info("Without a window there is nothing to be off by one. Draw one.", icon=":material/width_normal:")
        return
    changes = off_by_one_on(replace(study, window=window), tokens.ids)
    with pictures.main():
        for place, chart, key in zip(st.columns(2, gap="medium"), charts.off_by_one(changes, window),
                                     ("window_moved_by_one", "window_loss_by_one"), strict=True):
            with place:
                pictures.show_chart(chart, key=key)
    st.caption("A window of N counts the query itself, so it holds N keys. FlashAttention's `window_size=(N, 0)` counts the "
               f"keys before the query alone, so it shows N + 1: whoever hands the number over as it is runs another model. "
               f"Here that runs on {weights_in_words(study)}. Found in the wild: huggingface/transformers issue 39408.")
