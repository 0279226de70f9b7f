"""One session's state: the study, the pinned study and the text, in step with the dials and with the address.

Streamlit's binding of widgets drops a value from the address where it equals its default and passes over a bad one
in silence. A link on a slide must keep its meaning when defaults change and must say what it could not read, so this
module writes the address itself: always the preset, and every dial that differs from it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from gptoss.app import dials, hidden, kept, moves, route, share, stage, trained
from gptoss.app.book import ALL_PAGES, SHARED_KEYS
from gptoss.app.hall import paper, seat
from gptoss.app.moves import BUTTON, Message, Step
from gptoss.app.stage import IN_FLIGHT
from gptoss.app.study import DIALS, Study, unknown_settings
from gptoss.app.text import current_text, offer, sample_of, set_text, text_from_query, text_to_query
from gptoss.app.weights import weights_of
from gptoss.config import PRESETS, ModelConfig
from gptoss.training.shipped import CLASSROOM, OWN_VOCABULARY

OWN_KEYS = {"preset", *DIALS, "pinned", "text", "sample"}
PAGE_KEYS = {*SHARED_KEYS, *(key for page in ALL_PAGES for key in page.controls)}  # of pages' own controls in the address
SCREEN_KEYS = stage.KEYS | seat.KEYS | {hidden.KEY, paper.KEY}  # of no part of the moment: how it is shown, and to whom
DIALS_KEY = "dials"  # of the element that draws them
HISTORY = 50  # moves that can be undone
ECHOES = 32  # addresses that a busy browser may still say, from before our last ones
PAUSE = 2.0  # s after which another move of the same control on a page is a step of its own


@dataclass(frozen=True)
class Moment:
    """All that an address restores."""

    study: Study
    text: str
    pinned: Study | None = None
    page: str | None = field(default=None, compare=False)  # where it was left for the next one, and with which values
    controls: Mapping[str, object] = field(default_factory=dict, compare=False)  # of the pages' own controls
    alone: bool = field(default=False, compare=False)  # whether only controls of its page were moved then

    def to_query(self) -> dict[str, str]:
        pinned = {"pinned": self.pinned.to_text()} if self.pinned else {}
        return self.study.to_query() | pinned | text_to_query(self.text, self.study.preset)


@dataclass
class Session:
    """What is remembered between the runs of one session."""

    now: Moment
    past: list[Moment] = field(default_factory=list)
    address: dict[str, str] = field(default_factory=dict)
    written: float = 0.0
    echoes: list[dict[str, str]] = field(default_factory=list)  # addresses that this session had lately, on this page
    reasons: dict[str, str] = field(default_factory=dict)  # by dial: why it moved by itself
    problems: list[str] = field(default_factory=list)  # what an address said that could not be understood
    refused: str = ""  # why the last button could not do what it says
    page: str | None = None  # the address of the page in the last run
    last_effect: str = ""  # what the last move did: "weights kept", "new shape", "other weights" or "accounting"
    gesture: int = 0  # the one that made the last step of `past`
    controls: dict[str, object] = field(default_factory=dict)  # values of the pages' own controls, as they were drawn
    moved: tuple[set[str], float] = (set(), 0.0)  # which of them a hand moved last, and when
    stepped: bool = False  # whether the past has its step for what is done in this run
    shown: dict[str, list[str]] = field(default_factory=dict)  # the whole address at the end of the last run
    undone: list[tuple[str | None, dict[str, str]]] = field(default_factory=list)  # addresses that Undo took back
    undid: bool = False  # whether Undo was what was done last


def session() -> Session:
    """This browser's session. The first call reads the address it came with."""
    if "session" not in st.session_state:
        now, problems = read_address(_address())
        st.session_state["session"] = Session(now, problems=problems + stage.problems(st.query_params))
        set_text(now.text)
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
    if _in_history():
        _pass_over_what_was_undone(memory, page)
    if page != memory.page or _in_history():
        kept.arrive(PAGE_KEYS, anew=_in_history())
    else:
        _note_controls(memory)
    message, spoke = dials.hear(DIALS_KEY)
    text = current_text() if "text" in st.session_state else memory.now.text
    address = _address()
    if message:
        _obey(memory, message, text)
    elif text != memory.now.text:
        _advance(memory, Moment(memory.now.study, text, memory.now.pinned))
    elif "preset" in address and address != memory.address and (
            _in_history() or not spoke and not _in_flight(memory) and address not in memory.echoes):
        now, memory.problems = read_address(address, memory.now.text)
        kept.arrive(PAGE_KEYS, anew=True)
        memory.reasons = {}
        _advance(memory, now)
        set_text(now.text)
    if page != memory.page:
        memory.page, memory.echoes, dials.line(DIALS_KEY).held = page, [], False
        memory.past = [step for step in memory.past if not step.alone]  # nobody would see what Undo does
        _carry_over(memory.now.text)
    memory.controls, memory.stepped, kept.kept().left_out = kept.values(PAGE_KEYS), False, []
    offer(weights_of(memory.now.study).name)
    _write_address(memory)


def settle() -> None:
    """Remember what is on the screen: what is other than that in the next run, a hand has moved. Once a run, last."""
    memory = session()
    memory.controls = kept.values(PAGE_KEYS)
    memory.shown = {key: st.query_params.get_all(key) for key in st.query_params}


def read_address(query: dict[str, str], own_text: str | None = None) -> tuple[Moment, list[str]]:
    """What an address restores, and a sentence for every part that was not understood.

    `own_text` is taken where the address says that the text was too long for it.
    """
    study, problems = Study.from_query(query)
    pinned = None
    if "pinned" in query:
        pinned, more = Study.from_text(query["pinned"])
        problems += [f"Pinned model: {sentence}" for sentence in more]
    text, more = text_from_query(query, study.preset, own_text)
    more += unknown_settings([key for key in query if key not in OWN_KEYS | PAGE_KEYS | SCREEN_KEYS])
    return Moment(study, text, pinned), problems + more


def go_to(study: Study, text: str | None = None) -> None:
    """Put another study (and text) on the dials, from a button's callback.

    What the callback does to the page's own controls after this, Undo takes back together with it.
    """
    memory = session()
    _note_controls(memory)
    memory.reasons, memory.last_effect, memory.refused = {}, "", ""
    now = Moment(replace(study, scaled=False), memory.now.text if text is None else text, memory.now.pinned)
    _advance(memory, now)
    set_text(now.text)


def moment() -> Moment:
    """Where the session is, with the values of the pages' own controls, from a button's callback."""
    memory = session()
    _note_controls(memory)
    return replace(memory.now, page=memory.page, controls=memory.controls)


def last_step() -> Moment | None:
    """The last step of the past: another one as soon as a move was taken in."""
    past = session().past
    return past[-1] if past else None


def put_controls(back: Moment) -> None:
    """Bring the page's own controls back to where they were at a moment, from a button's callback, after `go_to`."""
    kept.put(back.controls, _own_keys(session().page))


def undo() -> None:
    """Go back by one step, from a button's callback: an experiment, a drag, an edit, or a control of this page alone."""
    memory = session()
    _note_controls(memory)
    if memory.past:
        left = (memory.page, st.query_params.to_dict())  # in the browser's history twice where Undo had led to it
        memory.undone = [*memory.undone, *([left] * (1 + memory.undid))][-HISTORY:]
        memory.now, memory.gesture = memory.past.pop(), 0
        memory.reasons, memory.last_effect, memory.refused = {}, "", ""
        set_text(memory.now.text)
        kept.put(memory.now.controls, _own_keys(memory.page) if memory.page == memory.now.page else ())
        memory.stepped = memory.undid = True


def reset() -> None:
    """Put every dial back to the preset, from a button's callback. The text stays."""
    go_to(Study.of_preset(study().preset))


def reset_page() -> None:
    """Put the page's own controls back to where they were at first, from a button's callback."""
    memory = session()
    _note_controls(memory)
    _remember(memory, memory.controls, alone=True)
    kept.put({}, _own_keys(memory.page))
    memory.stepped, memory.undid = True, False


def page_has_moved() -> bool:
    """Whether a control of this page is not where it was at first."""
    return bool(kept.moved(_own_keys(session().page)))


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
    starts = study(), *(Study.of_preset(preset) for preset in (CLASSROOM, *PRESETS))
    reached = (start.reaching(config, sinks) for start in starts
               if isinstance(config, ModelConfig) and start.preset not in OWN_VOCABULARY)
    there = next(filter(None, reached), None)
    if there is None:
        session().refused = (f"“{model.title}” cannot be put on the other pages: they show GPT-OSS, and no position of the "
                             "dials makes this architecture.")
        return
    go_to(there.moved(weights=name)[0])


def pin(pinned: Study | None) -> None:
    """Keep a study's figures beside the current ones, or stop doing so, from a button's callback."""
    memory = session()
    _note_controls(memory)
    _advance(memory, replace(memory.now, pinned=pinned))


def query() -> dict[str, str]:
    """The part of the address that restores this moment and the screen it is on, for links from page to page."""
    return session().now.to_query() | stage.query() | seat.query() | hidden.query()


BUTTONS = {"undo": undo, "reset": reset, "reset_page": reset_page, "pin": lambda: pin(study()),
           "unpin": lambda: pin(None), "share": share.ask}  # beside the dials


def _in_flight(memory: Session) -> bool:
    return time.monotonic() - memory.written <= IN_FLIGHT


def _obey(memory: Session, message: Message, text: str) -> None:
    """Take in what the hand did; the text is whatever it is by now, since a quick reader's edit can come in the same run."""
    if text != memory.now.text:
        _advance(memory, replace(memory.now, text=text))
    if moves.allowed(message.steps, BUTTONS):
        for step in message.steps:
            if step.name == BUTTON:
                BUTTONS[step.value]()
            else:
                _move(memory, step)


def _move(memory: Session, step: Step) -> None:
    """Move one dial, or take a preset. A drag moves it from where it was before: what it passes leaves no trace."""
    before = memory.now.study
    start = memory.past[-1].study if memory.past and step.gesture == memory.gesture else before
    after, memory.reasons = moves.moved(start, step)
    memory.last_effect = _effect(before, after)
    memory.problems, memory.refused = [], ""
    _advance(memory, replace(memory.now, study=after), step.gesture)


def _effect(before: Study, after: Study) -> str:
    """What a move did. A setting for which a model was trained brings that model's weights."""
    effects = {DIALS[name].effect for name in DIALS if getattr(before, name) != getattr(after, name)}
    if "new shape" in effects:
        return "new shape"
    if effects & {"weights kept", "other weights"}:
        return "weights kept" if weights_of(before).name == weights_of(after).name else "other weights"
    return "accounting" if effects else ""


def _advance(memory: Session, now: Moment, gesture: int = 0) -> None:
    """Go on to another moment. What one gesture does is one step of the past."""
    if now == memory.now:
        return
    if not gesture or gesture != memory.gesture:
        _remember(memory, memory.controls, alone=False)
    memory.now, memory.gesture, memory.moved = now, gesture, (set(), 0.0)
    memory.stepped, memory.undid = True, False
    kept.kept().problems = []


def _remember(memory: Session, controls: Mapping[str, object], alone: bool) -> None:
    """Make where the session is a step of the past, with the values that the pages' controls had then."""
    memory.past = [*memory.past[1 - HISTORY:], replace(memory.now, page=memory.page, controls=controls, alone=alone)]


def _note_controls(memory: Session) -> None:
    """Make a step of what a hand has moved on the page since it was drawn, unless it belongs to this run's step.

    One control that is moved on and on is one step.
    """
    before, memory.controls = memory.controls, kept.values(PAGE_KEYS)
    moved = {key for key, value in before.items() if key in memory.controls and memory.controls[key] != value}
    moved -= kept.kept().no_steps
    if not moved or memory.stepped:
        return
    (lately, then), now = memory.moved, time.monotonic()
    if moved != lately or now - then > PAUSE or not memory.past or memory.undid:
        _remember(memory, before, alone=True)
    memory.moved, memory.gesture, memory.undid = (moved, now), 0, False
    memory.refused, memory.problems, kept.kept().problems = "", [], []


def _own_keys(page: str | None) -> set[str]:
    """The keys of the controls that a page may have."""
    here = route.find(page or "")
    return {*SHARED_KEYS, *(here.controls if here else ())}


def _pass_over_what_was_undone(memory: Session, page: str) -> None:
    """Stay where Undo has led to if the browser goes back to what it took back. That entry then shows the same as now."""
    went = (page, st.query_params.to_dict())
    if page == memory.page and went in memory.undone:
        memory.undone.remove(went)
        kept.set_address(memory.shown)


def _carry_over(text: str) -> None:
    """Take what pages share along to the next one, before it is drawn.

    A widget of the same key on another page is another widget to Streamlit: in its first run there it would begin at its
    default, the box of the text empty. What the address names goes first.
    """
    st.session_state["text"], st.session_state["sample"] = text, sample_of(text)
    for key in SHARED_KEYS:
        if key in st.session_state and key not in st.query_params:
            st.session_state[key] = st.session_state[key]


def _address() -> dict[str, str]:
    return {key: value for key, value in st.query_params.to_dict().items() if key not in PAGE_KEYS | SCREEN_KEYS}


def _in_history() -> bool:
    """Whether the browser went back or forward."""
    context = get_script_run_ctx()
    return context is not None and context.is_history_navigation


def _write_address(memory: Session) -> None:
    if dials.line(DIALS_KEY).held:  # the address is written when the hand lets go
        return
    wanted = memory.now.to_query()
    if wanted == _address():
        memory.address = wanted
        return
    passed = [memory.address, _address()]  # and all that the browser passes through: each change is a message to it
    for key in passed[-1]:
        if key not in wanted:
            del st.query_params[key]
            passed.append(_address())
    st.query_params.update(wanted)
    memory.echoes = [*memory.echoes, *passed][-ECHOES:]
    memory.address, memory.written = wanted, time.monotonic()
