"""Which theme the reader sees: what is computed as pixels here has to know, CSS does not."""

from __future__ import annotations

import streamlit as st


def is_dark() -> bool:
    """Whether the browser shows the dark theme. Before it has said so, and in tests without one, it is the light one."""
    return st.context.theme.type == "dark"
