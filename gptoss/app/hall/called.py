"""What a running order calls for on a page: the answer to its question, an experiment by its name. `lesson` does it."""

from __future__ import annotations

import streamlit as st

_WANTED = "try_wanted"  # an experiment by its name


def reveal(path: str) -> None:
    """Show what the page at `path` asks answered, as its button does, from a callback: whichever view is drawn next."""
    st.session_state[f"{path}_reveal"] = _WANTED in st.session_state  # whether an experiment comes before


def try_by_label(label: str) -> None:
    """Press an experiment by the name on its button, from a callback: on the page that is drawn next, once it is drawn."""
    st.session_state[_WANTED] = label


def start_over(path: str) -> None:
    """Take back what was answered and tried on the page at `path`, from a callback. Dials and controls stay."""
    for name in ("reveal", "committed", "tried", "missing"):
        st.session_state.pop(f"{path}_{name}", None)


def to_reveal(path: str) -> bool | None:
    """Whether an experiment comes before the answer that is called for; None where none is."""
    return st.session_state.get(f"{path}_reveal")


def revealed(path: str) -> None:
    """Note that the answer is there."""
    st.session_state.pop(f"{path}_reveal", None)


def take_attempt() -> str | None:
    """The name of the experiment that is called for, once."""
    return st.session_state.pop(_WANTED, None)
