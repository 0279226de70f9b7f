"""Which theme the reader sees: what is computed as pixels here has to know, CSS does not."""

from __future__ import annotations

import streamlit as st

from gptoss.app import stage


def is_dark() -> bool:
    """Whether the browser shows the dark theme. Before it has said so, and in tests without one, it is the light one.

    Projector mode has a theme of its own, which the browser takes on a moment later than we know.
    """
    return (stage.scheme() or st.context.theme.type) == stage.DARK
