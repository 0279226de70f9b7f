"""The head of every page: title, what it is for, what an address could not restore, vital signs, and the model's band."""

from __future__ import annotations

from html import escape
from pathlib import Path

import streamlit as st

from gptoss.app import state
from gptoss.app.accounts import figures
from gptoss.app.band import model_band
from gptoss.app.book import PAGES, ensure_app
from gptoss.app.markdown import literal
from gptoss.app.study import Study
from gptoss.units import count, difference, flops, size

# Sent with the vital signs in one element: one more of Streamlit's own costs the browser a tenth of every repaint.
_STYLE = f"<style>{Path(__file__).with_name('style.css').read_text(encoding='utf-8')}</style>"


def header(path: str, untrained: bool = False) -> None:
    """The page's title, what it is for, what an address could not restore, and the vital signs. First on every page.

    `untrained` is for pages whose own models have random weights, whatever the model under study has.
    """
    ensure_app()
    page = next(page for page in PAGES if page.path == path)
    st.title(page.title, anchor=False)
    needs = f" · needs {page.presupposes}" if page.presupposes else ""
    st.markdown(f"{page.teaches}  \n:small[:material/flag: Afterwards you can {page.objective}{needs} · "
                f"{page.minutes} minutes]")
    memory = state.session()
    if memory.problems:
        st.warning(" ".join(memory.problems), icon=":material/link_off:",
                   title="Not everything in the address was understood")
    if memory.refused:
        st.warning(literal(memory.refused), icon=":material/block:")
    vital_signs(state.study(), state.pinned())
    model_band(state.study(), page, untrained)


def vital_signs(study: Study, pinned: Study | None) -> None:
    """The real model's size in one slim row, with the difference to the pinned model."""
    now = figures(study.config, study.context)
    then = figures(pinned.config, pinned.context) if pinned else None
    signs = (
        ("total", "Total parameters", count, "All weights."),
        ("active", "Active parameters", count,
         "Weights that one token uses: the unembedding counts, the embedding does not."),
        ("kv_cache", f"KV cache at {study.context:,}", size, "Keys and values of one sequence, two bytes a value."),
        ("weights", "Weights", size, "A checkpoint with its experts in MXFP4 and the rest in bfloat16."),
        ("flops", "FLOPs per token", flops, f"One more token after {study.context - 1:,}, multiply and add counted as two."),
    )
    st.html(_STYLE + '<dl class="vital-signs">' + "".join(
        _sign(label, show(now[name]), difference(now[name], then[name]) if then else None, explanation)
        for name, label, show, explanation in signs) + "</dl>")


def _sign(label: str, value: str, change: str | None, explanation: str) -> str:
    change = f"<small>{escape(change)} to pinned</small>" if change else ""
    return f'<div title="{escape(explanation)}"><dt>{escape(label)}</dt><dd>{escape(value)} {change}</dd></div>'
