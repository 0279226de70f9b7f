"""Dials as an element of our own: all of the sidebar's, or the main sliders of a page, sent while they are dragged.

Streamlit's sliders send when the mouse is let go, and each is an element of its own, which costs the browser a tenth of
every repaint. What a message may be is decided in `moves`; the browser's side is in `dials.js` and `dials.css`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import streamlit as st

from gptoss.app.browser_side import text_of
from gptoss.app.moves import Message, read_message

Option = str | tuple[str, str]  # a position as the address spells it, and as the dial shows it where that is another word


_element = st.components.v2.component("gptoss_dials", js=text_of("dials.js"), css=text_of("dials.css"))


def option(spelled: str, shown: str) -> Option:
    """One position of a dial."""
    return spelled if spelled == shown else (spelled, shown)


@dataclass(frozen=True)
class Range:
    """One dial: its positions in their order, where it stands, and the sentence on why it moved by itself."""

    name: str
    label: str
    options: tuple[Option, ...]
    at: str
    help: str = ""
    note: str = ""
    disabled: bool = False
    first: str = ""  # where it is not in the address, for one that the browser keeps there


@dataclass
class Line:
    """What one session has heard of one element."""

    token: str = field(default_factory=lambda: secrets.token_hex(8))  # what messages to it begin with
    heard: int = 0  # the number of the last message
    said: object = None  # the last message, heard before or not
    held: bool = False  # whether a hand holds a dial: more will follow


@dataclass(frozen=True)
class Group:
    """Dials below a title, or below none."""

    dials: Sequence[Range]
    title: str = ""
    icon: str = ""
    help: str = ""


@dataclass(frozen=True)
class Panel:
    """Everything that one element draws: a list of presets, buttons, notes, dials, and more of them in a drawer."""

    groups: Sequence[Group]
    drawer: Mapping[str, object] = field(default_factory=dict)  # title, icon and groups
    preset: Mapping[str, object] = field(default_factory=dict)  # name, label, help, options and at
    buttons: Sequence[Mapping[str, object]] = ()  # value, label, icon, help and disabled
    notes: Sequence[str] = ()


def line(key: str) -> Line:
    """The line to the element with this key."""
    lines = st.session_state.setdefault("lines", {})
    return lines[key] if key in lines else lines.setdefault(key, Line())  # a token is not drawn for nothing


def hear(key: str) -> tuple[Message | None, bool]:
    """What the browser says from the element with this key, if that is new; and whether it spoke since we last listened."""
    here, state = line(key), st.session_state.get(key)
    before, here.said = here.said, state.get("message") if isinstance(state, Mapping) else None
    message = read_message(here.said, here.token, here.heard)
    if message:
        here.heard, here.held = message.number, message.held
    return message, here.said != before


def draw(panel: Panel, key: str, then: Callable[[], None] | None = None, width: int | str = "stretch") -> None:
    """Draw the dials. `then` is called before a run in which the browser says something; it may `hear`."""
    here = line(key)
    data = {"key": key, "token": here.token, "heard": here.heard, **_plain(panel)}
    _element(key=key, data=data, on_message_change=then, width=width)


def _plain(value: object) -> object:
    """Dataclasses as the browser reads them, without what is empty."""
    if isinstance(value, Range):
        return _drawn(value)
    if isinstance(value, Panel | Group):
        value = vars(value)
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items() if part not in ("", (), {})}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


@lru_cache(maxsize=256)
def _drawn(dial: Range) -> Mapping[str, object]:
    """One dial as the browser reads it. Most of them are as they were, whatever moves, and nobody changes them."""
    return {name: part for name, part in vars(dial).items() if part not in ("", ())}
