"""A page for paper: with `paper=1` in the address its charts are drawn as vectors, and its lesson is written out in full.

Handouts open pages this way, out of sight, and take from them what they print.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from gptoss.charts.once import once_for_each

KEY = "paper"
MOST_ROWS = 20_000  # of a chart as vectors; one of more is as quick to print as an image


def on() -> bool:
    """Whether this session draws pages for paper."""
    return st.query_params.get(KEY) == "1"


def or_last(steps: Sequence) -> object:
    """Where a worksheet opens: at its first step, or filled in on paper, which nobody can go on with."""
    return steps[-1] if on() else steps[0]


@once_for_each
def as_vectors(spec: dict) -> dict:
    """The specification of a chart that is drawn as shapes, and not as pixels."""
    return spec | {"usermeta": {"embedOptions": {"renderer": "svg"}}}
