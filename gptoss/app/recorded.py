"""The operator's recording of a large model, replayed beside the live one on the pages that have a view for it.

The environment variable `GPTOSS_RECORDING` names a file that `python -m gptoss.record` wrote. What is wrong with it is in
the server's log; a visitor reads one sentence without a path. A recording follows neither the reader's text nor the dials.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import streamlit as st

from gptoss.app import controls, kept
from gptoss.app.served import published_name
from gptoss.replay import KeptHead, KeptText, Replay, ReplayError, read
from gptoss.tokenizer import SAMPLES, CompactVocabulary, compact_vocabulary

VARIABLE = "GPTOSS_RECORDING"
RECORDED = "Recorded"  # the view's name on every page
UNREADABLE = "This server's recording could not be read, so no page replays it. The server's log says why."
TEXT, LAYER, HEAD, TOKEN = "recorded_text", "recorded_layer", "recorded_head", "recorded_token"  # keys of its controls
_HASH = 12  # letters of a SHA-256 that are shown

_log = logging.getLogger(__name__)
_reading = threading.Lock()


class Shown(NamedTuple):
    """One text of the recording, with its tokens as they are printed."""

    replay: Replay
    text: KeptText
    vocabulary: CompactVocabulary
    labels: tuple[str, ...]


def recording() -> Replay | None:
    """The operator's recording, or None where there is none or it cannot be read. The first call reads it."""
    with _reading:
        return _recording()


def problem() -> str:
    """One sentence for visitors where the operator named a recording that could not be read, or nothing."""
    return UNREADABLE if os.environ.get(VARIABLE) and not recording() else ""


def views(own: Sequence[str]) -> tuple[str, ...]:
    """A page's views, and the one more that it has where there is a recording."""
    return (*own, RECORDED) if recording() else tuple(own)


def of_all(what: str) -> str:
    """How a question begins that is about all of the recording: `what` is asked of it."""
    replay = recording()
    tokens = sum(len(text.tokens) for text in replay.texts)
    return f"Over all {tokens:,} tokens that {_shape(replay)} was recorded on, {what}"


def choose_text() -> Shown:
    """The list of the texts that were recorded."""
    replay = recording()
    titles = {one.name: one.label for one in SAMPLES}
    number = _choose("Recorded text", range(len(replay.texts)), TEXT,
                     lambda place: titles.get(replay.texts[place].name, replay.texts[place].name))
    text, vocabulary = replay.texts[number], _vocabulary(replay)
    return Shown(replay, text, vocabulary, tuple(map(vocabulary.label, text.tokens)))


def choose_layer(shown: Shown) -> int:
    return controls.choose("Recorded layer", range(shown.replay.config.num_hidden_layers), LAYER)


def choose_token(shown: Shown) -> int:
    """A token by its position, at first the last one."""
    return controls.choose("Recorded token", range(len(shown.labels)), TOKEN, len(shown.labels) - 1)


def choose_head(shown: Shown) -> int:
    """Which of the heads whose attention was kept."""
    return _choose("Recorded head", range(len(shown.text.heads)), HEAD, lambda place: _in_words(shown.text.heads[place]))


def say_so(shown: Shown) -> None:
    """Say what it is under a picture drawn from a recording, in projector mode too."""
    st.caption(f":material/history: **Recorded**, not live: {_shape(shown.replay)} on this text, once, by "
               f"`python -m gptoss.record`. Your text and the dials do not change it. SHA-256 of its weights "
               f"`{shown.replay.weights[:_HASH]}…`, of the recording `{shown.replay.fingerprint[:_HASH]}…`.")


@cache
def _recording() -> Replay | None:
    path = os.environ.get(VARIABLE)
    if not path:
        return None
    try:
        replay = read(Path(path))
        _vocabulary(replay)  # or no token could be written
        return replay
    except (ReplayError, ValueError) as error:
        _log.error("%s=%s is left out: %s", VARIABLE, path, error)
        return None


def _vocabulary(replay: Replay) -> CompactVocabulary:
    return compact_vocabulary(replay.config.vocab_size)


def _shape(replay: Replay) -> str:
    """What is known of the model: the published one that it has the configuration of, or that it has none of these."""
    name = published_name(replay.config)
    return f"a checkpoint of {name}'s shape" if name else "a checkpoint of a shape of its own"


def _in_words(head: KeptHead) -> str:
    return f"layer {head.layer}, head {head.head}" + (f": {head.name}" if head.name else "")


def _choose(title: str, places: range, key: str, show: Callable[[int], str]) -> int:
    """A list in which an earlier text's place may be one too many."""
    if st.session_state.get(key, 0) not in places:
        st.session_state[key] = places[-1]
    return kept.selectbox(title, places, key=key, format_func=show)
