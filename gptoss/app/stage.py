"""Projector mode: one picture, large, for a room. It stands in the address as `stage=1`, and the key `f` turns it.

What it looks like is in style.css, under `.stage`; `theme=dark` in the address asks for the dark theme there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from gptoss.app.markdown import shortened

KEY, THEME = "stage", "theme"
KEYS = {KEY, THEME}
DARK = "dark"
IN_FLIGHT = 1.0  # s in which the browser may still send the address from before our last change


@dataclass
class _Memory:
    """What a session remembers of it."""

    on: bool = False
    dark: bool = False
    page: str | None = None  # the page of the last run
    said: str | None = None  # what the address said at the end of the last run
    written: float = 0.0


def on() -> bool:
    """Whether this session is in projector mode."""
    return _memory().on


def toggle() -> None:
    """Into projector mode or out of it, from a callback."""
    _memory().on = not on()


def scheme() -> str:
    """The theme that projector mode asks for, `light` or `dark`; nothing outside of it."""
    return (DARK if _memory().dark else "light") if on() else ""


def query() -> dict[str, str]:
    """The address's part, for links from page to page."""
    return {KEY: "1", **({THEME: DARK} if _memory().dark else {})} if on() else {}


def problems(query: Mapping[str, str]) -> list[str]:
    """A sentence for each part of an address that asks for what projector mode cannot be."""
    known = {KEY: ("Projector mode", "1"), THEME: ("The theme of projector mode", DARK)}
    return [f"{label} can be “{word}” in an address, and not “{shortened(query[key])}”."
            for key, (label, word) in known.items() if query.get(key, word) != word]


def synchronise(page: str) -> None:
    """Take in what the address of `page` asks for, then write there what holds. Once a run, first.

    A page that was chosen in the bar comes without its address's part, which then is no wish to leave.
    """
    memory, asked = _memory(), st.query_params.get(KEY)
    elsewhere = memory.page not in (None, page) and asked is None
    if asked != memory.said and not elsewhere and time.monotonic() - memory.written > IN_FLIGHT:
        memory.on = asked == "1"
    if THEME in st.query_params:
        memory.dark = st.query_params[THEME] == DARK
    memory.page = page
    said = query()
    for key in KEYS & {*st.query_params} - {*said}:
        del st.query_params[key]
    for key, value in said.items():
        if st.query_params.get(key) != value:
            st.query_params[key] = value
            memory.written = time.monotonic()
    memory.said = said.get(KEY)


def _memory() -> _Memory:
    return st.session_state.setdefault("staged", _Memory())
