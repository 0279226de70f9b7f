"""One session's state: the study, the pinned study and the text, in step with the dials and with the address.

Streamlit's binding of widgets drops a value from the address where it equals its default and passes over a bad one
in silence. A link on a slide must keep its meaning when defaults change and must say what it could not read, so this
module writes the address itself: always the preset, and every dial that differs from it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from gptoss.app import kept, served, trained
from gptoss.app.book import PAGES, SHARED_KEYS
from gptoss.app.study import DEFAULT_PRESET, DIALS, Study, unknown_settings
from gptoss.app.text import current_text, sample_of, set_text, text_from_query, text_to_query
from gptoss.app.weights import weights_of
from gptoss.config import PRESETS, ModelConfig

OWN_KEYS = {"preset", *DIALS, "pinned", "text", "sample"}
PAGE_KEYS = {*SHARED_KEYS, *(key for page in PAGES for key in page.controls)}  # of pages' own controls in the address
HISTORY = 50  # moves that can be undone
IN_FLIGHT = 1.0  # s in which the browser may still send the address from before our last change


@dataclass(frozen=True)
class Moment:
    """All that an address restores."""

    study: Study
    text: str
    pinned: Study | None = None

    def to_query(self) -> dict[str, str]:
        pinned = {"pinned": self.pinned.to_text()} if self.pinned else {}
        return self.study.to_query() | pinned | text_to_query(self.text)


@dataclass
class Session:
    """What is remembered between the runs of one session."""

    now: Moment
    past: list[Moment] = field(default_factory=list)
    address: dict[str, str] = field(default_factory=dict)
    written: float = 0.0
    reasons: dict[str, str] = field(default_factory=dict)  # by dial: why it moved by itself
    problems: list[str] = field(default_factory=list)  # what an address said that could not be understood
    page_values: dict[str, object] = field(default_factory=dict)  # of the page's own controls in the last run
    drawn: frozenset[str] = frozenset()  # dials that the sidebar showed in the last run
    refused: str = ""  # why the last button could not do what it says
    page: str | None = None  # the address of the page in the last run
    last_effect: str = ""  # what the last move did: "weights kept", "new shape", "other weights" or "accounting"


def session() -> Session:
    """This browser's session. The first call reads the address it came with."""
    if "session" not in st.session_state:
        now, problems = read_address(_address())
        st.session_state["session"] = Session(now, problems=problems)
        _set_widgets(now)
    return st.session_state["session"]


def study() -> Study:
    """The model under study."""
    return session().now.study


def pinned() -> Study | None:
    """The model that figures are compared with, if there is one."""
    return session().now.pinned


def synchronise(page: str = "") -> None:
    """Take in what the reader moved, or the address the browser went to; then write the address. Once a run, first.

    `page` is the address of the page that follows.
    """
    memory = session()
    if page != memory.page or _in_history():
        kept.arrive(PAGE_KEYS)
    moved = _moved_dials(memory)
    text = current_text() if "text" in st.session_state else memory.now.text
    address = _address()
    if moved:
        _move(memory, moved, text)
    elif text != memory.now.text:
        _advance(memory, Moment(memory.now.study, text, memory.now.pinned))
    elif "preset" in address and address != memory.address and not _in_flight(memory):
        now, memory.problems = read_address(address, memory.now.text)
        kept.arrive(PAGE_KEYS)
        memory.reasons = {}
        _advance(memory, now)
        _set_widgets(now)
    if page != memory.page:
        memory.page = page
        _carry_over(memory.now.text)
    memory.page_values = _page_values()
    _write_address(memory)


def read_address(query: dict[str, str], own_text: str | None = None) -> tuple[Moment, list[str]]:
    """What an address restores, and a sentence for every part that was not understood.

    `own_text` is taken where the address says that the text was too long for it.
    """
    study, problems = Study.from_query(query)
    pinned = None
    if "pinned" in query:
        pinned, more = Study.from_text(query["pinned"])
        problems += [f"Pinned model: {sentence}" for sentence in more]
    text, more = text_from_query(query, own_text)
    more += unknown_settings([key for key in query if key not in OWN_KEYS | PAGE_KEYS])
    return Moment(study, text, pinned), problems + more


def go_to(study: Study, text: str | None = None) -> None:
    """Put another study (and text) on the dials, from a button's callback."""
    memory = session()
    memory.reasons, memory.last_effect, memory.refused = {}, "", ""
    now = Moment(replace(study, scaled=False), memory.now.text if text is None else text, memory.now.pinned)
    _advance(memory, now)
    _set_widgets(now)


def undo() -> None:
    """Go back by one move, from a button's callback."""
    memory = session()
    if memory.past:
        memory.now = memory.past.pop()
        memory.reasons, memory.last_effect, memory.refused = {}, "", ""
        _set_widgets(memory.now)


def reset() -> None:
    """Put every dial back to the preset, from a button's callback. The text stays."""
    go_to(Study.of_preset(study().preset))


def use_trained(name: str) -> None:
    """Put a model that was trained on this server on every page, from a button's callback.

    The dials go to its architecture, from where they are or from a preset. Where that cannot be, a sentence on the page
    says why, and the study stays.
    """
    model = trained.get(name)
    if model is None:
        session().refused = f"The weights {name} are gone: the server was restarted, or newer ones took their place."
        return
    config, sinks = model.contestant.config, model.contestant.sinks
    starts = study(), *(Study.of_preset(preset) for preset in (DEFAULT_PRESET, *PRESETS))
    reached = (start.reaching(config, sinks) for start in starts if isinstance(config, ModelConfig))
    there = next(filter(None, reached), None)
    if there is None:
        session().refused = (f"“{model.title}” cannot be put on the other pages: they show GPT-OSS, and no position of the "
                             "dials makes this architecture.")
        return
    go_to(there.moved(weights=name)[0])


def pin(pinned: Study | None) -> None:
    """Keep a study's figures beside the current ones, or stop doing so, from a button's callback."""
    memory = session()
    _advance(memory, Moment(memory.now.study, memory.now.text, pinned))


def query() -> dict[str, str]:
    """The part of the address that restores this moment, for links from page to page."""
    return session().now.to_query()


def _moved_dials(memory: Session) -> dict[str, object]:
    """Dials whose widget is no longer where the study is; if there is none, a preset that was chosen."""
    state, study = st.session_state, memory.now.study
    moved = {name: state[name] for name in DIALS if name in state and state[name] != getattr(study, name)}
    chosen = state.get("preset", study.choice)
    if moved or chosen == study.choice or chosen not in served.presets():
        return moved
    # Just after a move the browser may still send the preset's name from before it, along with the move of a control
    # on the page: that is no choice to go back.
    stale = chosen == study.preset and _in_flight(memory) and _page_values() != memory.page_values
    return {} if stale else {"preset": chosen}


def _page_values() -> dict[str, object]:
    """What is set on pages, also what no address keeps: a page's own keys begin with its address."""
    of_pages = tuple(f"{page.path}_" for page in PAGES)
    return {key: value for key, value in st.session_state.items() if key in PAGE_KEYS or key.startswith(of_pages)}


def _in_flight(memory: Session) -> bool:
    return time.monotonic() - memory.written <= IN_FLIGHT


def _move(memory: Session, moved: dict[str, object], text: str) -> None:
    """Move dials; the text is whatever it is by now, since a quick reader's edit can come in the same run."""
    before = memory.now.study
    if "preset" in moved:
        after, memory.reasons = Study.of_preset(moved["preset"]), {}
    else:
        after, memory.reasons = before.moved(**moved)
    memory.last_effect = _effect(before, after)
    memory.problems, memory.refused = [], ""
    _advance(memory, Moment(after, text, memory.now.pinned))
    _set_dials(after)


def _effect(before: Study, after: Study) -> str:
    """What a move did. A setting for which a model was trained brings that model's weights."""
    effects = {DIALS[name].effect for name in DIALS if getattr(before, name) != getattr(after, name)}
    if "new shape" in effects:
        return "new shape"
    if effects & {"weights kept", "other weights"}:
        return "weights kept" if weights_of(before).name == weights_of(after).name else "other weights"
    return "accounting" if effects else ""


def _advance(memory: Session, now: Moment) -> None:
    if now != memory.now:
        kept.kept().problems = []
        memory.past = [*memory.past[1 - HISTORY:], memory.now]
        memory.now = now


def _carry_over(text: str) -> None:
    """Take what pages share along to the next one, before it is drawn.

    A widget of the same key on another page is another widget to Streamlit: in its first run there it would begin at its
    default, the box of the text empty. What the address names goes first.
    """
    st.session_state["text"], st.session_state["sample"] = text, sample_of(text)
    for key in SHARED_KEYS:
        if key in st.session_state and key not in st.query_params:
            st.session_state[key] = st.session_state[key]


def _set_widgets(now: Moment) -> None:
    _set_dials(now.study)
    set_text(now.text)


def _set_dials(study: Study) -> None:
    for name, value in {"preset": study.choice, **{name: getattr(study, name) for name in DIALS}}.items():
        if st.session_state.get(name) != value:  # what is written is sent, and would overwrite a newer move
            st.session_state[name] = value


def _address() -> dict[str, str]:
    return {key: value for key, value in st.query_params.to_dict().items() if key not in PAGE_KEYS}


def _in_history() -> bool:
    """Whether the browser went back or forward."""
    context = get_script_run_ctx()
    return context is not None and context.is_history_navigation


def _write_address(memory: Session) -> None:
    wanted = memory.now.to_query()
    if wanted == _address():
        memory.address = wanted
        return
    for key in _address():
        if key not in wanted:
            del st.query_params[key]
    st.query_params.update(wanted)
    memory.address, memory.written = wanted, time.monotonic()
