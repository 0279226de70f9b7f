"""Dials as an element of our own: all of the sidebar's, or the main sliders of a page, sent while they are dragged.

Streamlit's sliders send when the mouse is let go, and each is an element of its own, which costs the browser a tenth of
every repaint. What a message may be is decided in `moves`; the browser's side is in `dials.js` and `dials.css`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

Option = str | list[str]  # a position as the address spells it, and as the dial shows it where that is another word


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


_element = st.components.v2.component("gptoss_dials", js=_beside("dials.js"), css=_beside("dials.css"))


def option(spelled: str, shown: str) -> Option:
    """One position of a dial."""
    return spelled if spelled == shown else [spelled, shown]


@dataclass(frozen=True)
class Range:
    """One dial: its positions in their order, where it stands, and the sentence on why it moved by itself."""

    name: str
    label: str
    options: Sequence[Option]
    at: str
    help: str = ""
    note: str = ""
    disabled: bool = False


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


def message(key: str) -> object:
    """What the browser last said of the element with this key, this run's message or an old one."""
    state = st.session_state.get(key)
    return state.get("message") if isinstance(state, Mapping) else None


def draw(panel: Panel, key: str, token: str, heard: int, **callbacks: object) -> None:
    """Draw the dials. `heard` is the number of the last message that was taken in, `token` the session that heard it."""
    _element(key=key, data={"key": key, "token": token, "heard": heard, **_plain(panel)}, **callbacks)


def _plain(value: object) -> object:
    """Dataclasses as the browser reads them, without what is empty."""
    if isinstance(value, Panel | Group | Range):
        value = vars(value)
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items() if part not in ("", (), {})}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
