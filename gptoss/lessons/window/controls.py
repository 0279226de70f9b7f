"""The window page's own controls, and what it asks of the live model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import pandas as pd
import streamlit as st

from gptoss.app.large import TooLong
from gptoss.app.live import HEAVY, Running, cached, live_model, model_of, refuse_if_large, running
from gptoss.app.pictures import show_chart
from gptoss.app.study import DIALS, Study
from gptoss.app.weights import weights_in_words
from gptoss.cost import kv_cache_bytes
from gptoss.lessons.window.charts import output_distances
from gptoss.lessons.window.measure import (
    fused_difference,
    gradient_reach,
    mask_disagreements,
    outputs_by_window,
    reach,
    read_with_cache,
    windows_in,
)
from gptoss.tokenizer import DEFAULT_SAMPLE, encode_prefix
from gptoss.units import size

SMALL_WINDOW = 8  # tokens: small enough to be seen on a short text
FIRST_TOKEN = 47  # of the first example: room before it for four windows of 8, and some text after it
CHECKED_TOKENS = 96  # of the text, for what runs the live model many times

_DIAL = DIALS["window"]
_POSITIONS = _DIAL.options(None)
_FOLLOWED = "followed_window"  # the sidebar's window when the picture last took it over


def window_slider(study: Study) -> int:
    """The window that the pictures show: small at first, and the model's own as soon as the sidebar's dial moves.

    The real window is longer than most texts on a page, so that a picture of it would show nothing.
    """
    as_published = study.window == Study.of_preset(study.preset).window
    followed = st.session_state.setdefault(_FOLLOWED, study.window)
    if study.window != followed:
        st.session_state[_FOLLOWED] = st.session_state["window_w"] = study.window
    return st.select_slider(
        "Window drawn (tokens)", _POSITIONS, SMALL_WINDOW if as_published else study.window, key="window_w",
        bind="query-params", width=215, format_func=_DIAL.spell,
        help="What a sliding layer sees, the query's own token included. The picture has a window of its own, since a "
        f"published model's is often longer than the text; here the model's is {_DIAL.show(study.window)}. Move the one in "
        "the sidebar, and this one moves too.")


def token_slider(tokens: int) -> int:
    """The token in question: the keyboard's way to what a click on a chart does."""
    return st.select_slider("Query (token)", range(tokens), min(FIRST_TOKEN, 2 * tokens // 3), key="window_token",
                            bind="query-params", width=225, disabled=tokens == 1,
                            help="Hold an arrow key and the window moves.")


def layer_slider() -> int:
    """How many layers a ladder has: up to as many as leave its labels room."""
    return st.select_slider("Layers drawn", range(1, 7), 4, key="window_layers", bind="query-params", width=135)


def picks_token(chart: str, field: str) -> Callable[[], None]:
    """The callback of a click on a chart: the token that was hit becomes the query."""
    def pick() -> None:
        hits = st.session_state[chart].selection["picked"]
        if hits and hits[0].get(field, -1) >= 0:
            st.session_state["window_token"] = int(hits[0][field])
    return pick


@lru_cache(maxsize=4)
def first_tokens(count: int) -> str:
    """The first `count` tokens of the first example, as a text."""
    return DEFAULT_SAMPLE.text[:encode_prefix(DEFAULT_SAMPLE.text, count).characters_used]


def output_distances_of(study: Study, ids: Sequence[int]) -> pd.DataFrame:
    """What other windows do to the live model's next-token distribution after the text's end, its weights kept."""
    refuse_if_large(study, "Trying every window")
    return _output_distances(running(study), tuple(ids[-CHECKED_TOKENS:]))


@st.fragment
def same_weights_drawer(study: Study, ids: Sequence[int]) -> None:
    """The same weights under other windows, in a drawer that does nothing while it is closed."""
    drawer = st.expander("Same weights, another window: what happens to the answer?", icon=":material/lock:",
                         key="window_output", on_change="rerun")
    if drawer.open and ids:
        with drawer:
            try:
                show_chart(output_distances(output_distances_of(study, ids), study.window), key="window_moved")
                st.caption(in_other_windows(study))
            except TooLong as why:
                st.info(str(why), icon=":material/hourglass:")


def in_other_windows(study: Study) -> str:
    """What the distances of other windows mean for these weights, and what they do not."""
    return (f"Each window makes another function of the same weights, here {weights_in_words(study)}. Trained ones know "
            "their own window only, random ones give no reason why one should be better. This is not what the choice of a "
            "window costs: for that, each has to be trained.")


def how_we_know(study: Study, ids: Sequence[int]) -> None:
    """The masks, the two attention paths, the reach and the cache, each against an independent witness."""
    if not ids:
        st.info("There is no text to check on.", icon=":material/edit:")
        return
    refuse_if_large(study, "This check")
    window = st.session_state.get("window_w", SMALL_WINDOW)
    study = replace(study, window=window)
    stop = min(st.session_state.get("window_token", FIRST_TOKEN) + 1, len(ids))
    ids = ids[max(0, stop - CHECKED_TOKENS):stop]
    model = live_model(study).model
    with HEAVY:
        found = gradient_reach(model, ids, len(ids) - 1)
        fused = fused_difference(model, ids, 0)
        cache, cached_difference = read_with_cache(model, ids)
    expected = reach(windows_in(model), len(ids))[:, -1]
    counted = kv_cache_bytes(study.live_config, len(ids), bytes_per_value=model.dtype.itemsize)
    slots = ", ".join(str(layer.slots) for layer in cache.layers)
    st.markdown(
        f"On the {len(ids)} tokens up to the query, in the live model with the window drawn, {_DIAL.show(window)}:\n\n"
        f"- **The mask** against the rule, spelt out pair by pair: {mask_disagreements(len(ids), window):,} of "
        f"{len(ids) ** 2:,} pairs differ.\n"
        f"- **Reach**, from products of masks, against the gradient of the query's stream with respect to every embedding, "
        f"after every layer: zero or not agrees in {int((found == expected).sum())} of {found.numel()} cases.\n"
        f"- **Fused against explicit attention** in layer 0: they differ by {fused:.1e} of the largest value at most.\n"
        f"- **The cache** that this text filled has {slots} slots in its layers and takes {size(cache.nbytes)}; the closed "
        f"form says {size(counted)}. Its logits and those without a cache differ by {cached_difference:.1e} of the largest.")
    st.caption("The project's tests do the same for many windows, layers and every token, with 64-bit numbers.")


@cached(max_entries=8)
def _output_distances(running: Running, ids: tuple[int, ...]) -> pd.DataFrame:
    model, own = model_of(running).model, running.config.sliding_window
    shown = [window for window in _POSITIONS if 0 < window < len(ids) or window == own and window] + [0]
    with HEAVY:
        return outputs_by_window(model, ids, shown)
