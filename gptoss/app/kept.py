"""Controls that the address keeps: Streamlit's widgets with a key, bound to the address, each drawn by its name here.

Streamlit passes over what a bound widget cannot be set to, in silence. Here every control knows its positions when it is
drawn, whatever they depend on, so that what an address says of it is read by one rule before the widget sees it: what
cannot be goes to the nearest position, and a sentence at the head of the page says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.state import get_session_state

from gptoss.app.positions import Choice, Kind, Range, Switch, Words, read, spelt_number

T = TypeVar("T")
BOUND = {"bind": "query-params"}


@dataclass
class Kept:
    """What a session remembers of its controls."""

    unread: set[str] = field(default_factory=set)  # keys that an address has brought, and no control has read yet
    problems: list[str] = field(default_factory=list)  # a sentence for each that could not be done
    first: dict[str, object] = field(default_factory=dict)  # by key: where a control is if nobody has moved it
    ours: set[str] = field(default_factory=set)  # keys of controls that are none of Streamlit's
    no_steps: set[str] = field(default_factory=set)  # keys whose moves are nothing to undo: tabs, drawers, what plays
    left_out: list[str] = field(default_factory=list)  # a sentence for what is on the screen and in no address
    place: DeltaGenerator | None = None  # kept at the head of the page for what they find, in this run


def kept() -> Kept:
    """This session's."""
    if "kept" not in st.session_state:
        st.session_state["kept"] = Kept()
    return st.session_state["kept"]


def arrive(keys: set[str], anew: bool = False) -> None:
    """Take note of an address that the browser came with: what it says of these controls is read as they are drawn.

    What it does not name stays where it was, or begins anew: so Streamlit has it for its own when the browser goes back.
    """
    memory = kept()
    memory.unread, memory.problems = set(st.query_params) & keys, []
    if anew:
        for key in memory.ours:
            st.session_state.pop(key, None)
        memory.ours = set()


def values(keys: Collection[str]) -> dict[str, object]:
    """Where these controls are, as far as they have been drawn or set."""
    now = st.session_state.to_dict()  # at once: to ask for two hundred keys one by one took a tenth of a run
    return {key: now[key] for key in keys if key in now}


def moved(keys: Collection[str]) -> set[str]:
    """Which of these controls are not where they were at first, what only opens something apart."""
    memory = kept()
    return {key for key in keys if key in memory.first and key not in memory.no_steps and key in st.session_state
            and st.session_state[key] != memory.first[key]}


def put(controls: Mapping[str, object], keys: Collection[str]) -> None:
    """Bring controls back to earlier values, before they are drawn. Others of `keys` go to where they were at first."""
    memory = kept()
    back = {key: memory.first[key] for key in moved(keys)} | {
        key: value for key, value in controls.items() if key not in memory.no_steps}
    for key, value in back.items():
        if st.session_state.get(key) != value:
            st.session_state[key] = value


def is_widget(key: str) -> bool:
    """Whether a key of the session's state is that of a widget of Streamlit's, rather than a value that code keeps there."""
    return get_session_state()._state.get_widget_id_from_key(key) is not None


def moves_by_itself(key: str) -> None:
    """Say that moves of a control are nothing to undo: it opens a tab, or what plays on the page moves it too."""
    kept().no_steps.add(key)


def stays_here(sentence: str) -> None:
    """Say, while a page is drawn, what it shows and no address holds: whoever shares the link reads it."""
    memory = kept()
    if sentence not in memory.left_out:
        memory.left_out.append(sentence)


def set_address(said: Mapping[str, Sequence[str]]) -> None:
    """Put another address in place of the one that the browser came with, controls' parts included."""
    with _address() as query:
        query.clear_with_no_forward_msg(preserve_embed=True)
        for key, words in said.items():
            query.set_with_no_forward_msg(key, words[0] if len(words) == 1 else [*words])
        query.set_initial_query_params_from_current()
    st.query_params.update()


def slider(label: str, low: float, high: float, value: float | None = None, step: float | None = None, *, key: str,
           **looks: object):
    """`st.slider` over numbers."""
    start = low if value is None else value
    steps = step or (1 if isinstance(start, int) else 0.01)
    _take_in(key, label, Range(low, high, steps), start)
    return _said(key, st.slider(label, low, high, start, step, key=key, **BOUND, **looks), spelt_number)


def select_slider(label: str, options: Sequence, value: object = None, *, key: str, format_func: Callable = str,
                  numbers: Mapping[object, float] | None = None, **looks: object):
    """`st.select_slider` with one handle. `numbers` says which numbers its words stand for."""
    start = _at(options, 0) if value is None else value
    _take_in(key, label, Choice(options, format_func, numbers=numbers or {}), start)
    chosen = st.select_slider(label, options, start, key=key, format_func=format_func, **BOUND, **looks)
    return _said(key, chosen, format_func)


def radio(label: str, options: Sequence, index: int = 0, *, key: str, format_func: Callable = str, **looks: object):
    """`st.radio`."""
    _take_in(key, label, Choice(options, format_func), _at(options, index))
    return _said(key, st.radio(label, options, index, key=key, format_func=format_func, **BOUND, **looks), format_func)


def selectbox(label: str, options: Sequence, index: int | None = 0, *, key: str, format_func: Callable = str,
              **looks: object):
    """`st.selectbox`; without an `index` nothing is chosen at first."""
    start = None if index is None else _at(options, index)
    _take_in(key, label, Choice(options, format_func, may_be_empty=index is None), start)
    return _said(key, st.selectbox(label, options, index, key=key, format_func=format_func, **BOUND, **looks), format_func)


def segmented_control(label: str, options: Sequence, *, default: object = None, key: str, format_func: Callable = str,
                      **looks: object):
    """`st.segmented_control` of which one segment is always chosen."""
    start = _at(options, 0) if default is None else default
    _take_in(key, label, Choice(options, format_func), start)
    chosen = st.segmented_control(label, options, default=start, key=key, format_func=format_func, required=True, **BOUND,
                                  **looks)
    return _said(key, chosen, format_func)


def pills(label: str, options: Sequence, *, default: object, key: str, format_func: Callable = str,
          selection_mode: str = "single", **looks: object):
    """`st.pills`: one that is always chosen, or any number of them."""
    several = selection_mode == "multi"
    _take_in(key, label, Choice(options, format_func, several, several), default)
    chosen = st.pills(label, options, default=default, key=key, format_func=format_func, selection_mode=selection_mode,
                      **({} if several else {"required": True}), **BOUND, **looks)
    return _said(key, chosen, format_func)


def multiselect(label: str, options: Sequence, default: Sequence, *, key: str, format_func: Callable = str,
                **looks: object):
    """`st.multiselect`."""
    _take_in(key, label, Choice(options, format_func, several=True, may_be_empty=True), default)
    chosen = st.multiselect(label, options, default, key=key, format_func=format_func, **BOUND, **looks)
    return _said(key, chosen, format_func)


def toggle(label: str, value: bool = False, *, key: str, **looks: object) -> bool:
    """`st.toggle`."""
    _take_in(key, label, Switch(), value)
    return _said(key, st.toggle(label, value, key=key, **BOUND, **looks), lambda on: str(on).lower())


def text_input(label: str, value: str = "", *, max_chars: int, key: str, **looks: object) -> str:
    """`st.text_input`."""
    _take_in(key, label, Words(max_chars), value)
    return _said(key, st.text_input(label, value, max_chars=max_chars, key=key, **BOUND, **looks))


def tabs(names: Sequence[str], *, key: str, label: str = "Tab") -> Sequence[DeltaGenerator]:
    """`st.tabs` that do no work while they are closed; `label` is what a sentence calls them."""
    moves_by_itself(key)
    _take_in(key, label, Choice(names), names[0])
    return st.tabs(names, key=key, on_change="rerun", **BOUND)


def expander(label: str, *, key: str, icon: str | None = None) -> DeltaGenerator:
    """`st.expander`, closed at first, that does no work while it is closed."""
    moves_by_itself(key)
    _take_in(key, label, Switch(), False)
    return st.expander(label, key=key, icon=icon, on_change="rerun", **BOUND)


def standing(label: str, choice: Choice, first: object, *, key: str) -> object:
    """Where a control stands that is none of Streamlit's: where an address brings it, where it was put, or at its first."""
    memory, brought = kept(), key in kept().unread
    _take_in(key, label, choice, first)
    memory.ours.add(key)
    spelt = {choice.show(option): option for option in choice.options}
    if brought and st.query_params.get(key) in spelt:
        st.session_state[key] = spelt[st.query_params[key]]
    if st.session_state.get(key, first) not in choice.options:
        del st.session_state[key]
    return st.session_state.setdefault(key, first)


def write(key: str, spelt: str | None) -> None:
    """Put into the address where such a control stands, or take it out of there."""
    with _address() as query:
        if spelt is None:
            query.remove_param(key)
        elif not query.stored_param_matches_corrected_value(key, spelt, "string_value"):
            query.set_corrected_value(key, spelt, "string_value")


def _at(options: Iterable, index: int) -> object:
    return next(islice(options, index, None))


def _take_in(key: str, label: str, kind: Kind, first: object) -> None:
    """Before a widget is drawn: if an address has brought a value for it, bring that to what the widget can be."""
    memory = kept()
    memory.first[key] = first
    if key not in memory.unread:
        return
    memory.unread.discard(key)
    with _address() as query:
        said = tuple(query.get_all(key))
        reading = read(label, kind, said)
        if not reading.spelt:
            query.remove_param(key)
        elif reading.spelt != said:
            query.set_corrected_value(key, reading.spelt[0] if len(reading.spelt) == 1 else list(reading.spelt),
                                      "string_array_value")
        query.set_initial_query_params_from_current()  # what the widget will read
    if reading.problem:
        memory.problems.append(reading.problem)


def _said(key: str, value: T, show: Callable[[object], object] = str) -> T:
    """The value of a widget that was drawn, put into the address if code has set it: Streamlit does so one run later."""
    if get_session_state().is_new_state_value(key) and value != kept().first[key] and key not in st.query_params:
        words = [str(show(each)) for each in value] if isinstance(value, list) else str(show(value))
        with _address() as query:
            query.set_corrected_value(key, words or "", "string_array_value")
    return value


@contextmanager
def _address():
    """The address behind `st.query_params`, where also what is bound to a widget can be put right."""
    with get_session_state().query_params() as query:
        yield query
