"""What a page has to say about its address and its last button, in one place at its head."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from gptoss.app import hidden, kept, state
from gptoss.app.markdown import literal
from gptoss.app.study import DIALS

MOST = 6  # sentences about one address

def notices() -> None:
    """Below a page's title: what the address says and cannot be done, and what the last button could not do.

    While controls still have to read their part of the address, a place is kept for what they will find.
    """
    memory = kept.kept()
    memory.place = st.empty() if memory.unread else None
    _say_problems(st.warning if memory.place is None else memory.place.warning)
    if state.session().refused:
        st.warning(literal(state.session().refused), icon=":material/block:")


def complete() -> None:
    """At the end of a run: what the page's own controls have found in the address."""
    memory = kept.kept()
    if memory.place is not None and memory.problems:
        _say_problems(memory.place.warning)
    memory.place = None


def _say_problems(warning: Callable[..., object]) -> None:
    names = {*DIALS, *state.PAGE_KEYS}
    problems = [*state.session().problems, *kept.kept().problems, *hidden.problems(names)]
    if problems:
        more = f" And {len(problems) - MOST} more." if len(problems) > MOST else ""
        warning(literal(" ".join(problems[:MOST]) + more), icon=":material/link_off:",
                title="Not everything in the address was understood")
