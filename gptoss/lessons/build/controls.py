"""Text streamed from the live model, token by token, with a way to stop it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import streamlit as st

from gptoss.app.live import Running, live_model, running, turn, weights_in_words
from gptoss.app.study import RANDOM, Study
from gptoss.app.text import Tokens
from gptoss.tokenizer import compact_vocabulary

REPAINT = 0.05  # s between two updates of the streamed text


def generator(study: Study, tokens: Tokens, temperature: float, top_k: int | None,
              top_p: float) -> Callable[[], None] | None:
    """Draw the button that starts, the button that stops, and what was generated last.

    Returns what the page has to call at its very end if a start was asked for: text then streams below the buttons,
    into a page that is complete, and any move of the reader, Stop above all, ends it. What came so far stays.
    """
    with st.container(horizontal=True, vertical_alignment="bottom"):
        length = st.slider("New tokens", 1, 200, 60, key="new_tokens", bind="query-params")
        start = st.button("Generate", type="primary", icon=":material/play_arrow:")
        st.button("Stop", icon=":material/stop:", help="Keeps what has come so far.")
    place = st.empty()
    if start:
        st.session_state["generated"] = ([], 0.0, weights_in_words(study))
        new_tokens = live_model(study).model.generate(
            tokens.ids, length, temperature, top_k, top_p, seed=study.seed)
        return lambda: _stream(new_tokens, running(study), place)
    if "generated" in st.session_state:
        _show(place, study.live_config.vocab_size)
    return None


def _stream(new_tokens: Iterator[int], running: Running, place: st.delta_generator.DeltaGenerator) -> None:
    """Collect tokens and repaint now and then. A stop ends the script at the repaint; what came is kept by then."""
    ids, _, weights = st.session_state["generated"]
    began = painted = time.perf_counter()
    while True:
        with turn(running):
            token = next(new_tokens, None)
        now = time.perf_counter()
        if token is not None:
            ids.append(token)
        st.session_state["generated"] = (ids, now - began, weights)
        if token is None or now - painted > REPAINT:
            _show(place, running.config.vocab_size)
            painted = now
        if token is None:
            return


def _show(place: st.delta_generator.DeltaGenerator, vocab_size: int) -> None:
    ids, elapsed, weights = st.session_state["generated"]
    ids = [i for i in ids if i < vocab_size]  # text generated before the vocabulary shrank
    text = compact_vocabulary(vocab_size).decode(ids)
    with place.container():
        st.code(text or " ", language=None, wrap_lines=True)
        if elapsed:
            st.caption(f"{len(ids)} tokens in {elapsed:.2f} s, {len(ids) / elapsed:.0f} a second. "
                       f"Written with {weights}{', so the text is random too' if weights.startswith(RANDOM) else ''}.")
