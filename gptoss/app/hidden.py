"""Parts of a page that stay away: `hide=dials,answers` in the address, written by a running order or by hand.

A lecturer hides what would distract, a teacher what would give an answer away. What is hidden is not drawn, or is drawn and
not shown; it is no secret, since whoever changes the address sees it again. It stays from page to page.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import streamlit as st

from gptoss.app.markdown import shortened

KEY = "hide"
_NAMES = "hidden"  # where a session remembers them
LONGEST = 400  # characters of it in an address
PARTS = {
    "dials": "the sidebar with the model under study",
    "controls": "the page's own controls, its switch of views among them",
    "views": "the switch of views",
    "text": "the box of the text",
    "question": "the question under the picture, with its answer",
    "answers": "the answer to the question, and the button that asks for it",
    "tries": "the buttons of the experiments",
    "below": "maths, code, claims and checks, below the picture",
    "opening": "the three sentences that open the page",
    "signs": "the vital signs of the model",
    "weights": "the band that says whose weights run",
    "foot": "the way on, words and letters, and what is taken home",
}
_CONTROLS = ".stSlider, .stSelectbox, .stMultiSelect, .stRadio, .stCheckbox, .stButtonGroup, .stNumberInput, .stTextInput"
_STYLE = {
    "dials": "[data-testid=stSidebar], [data-testid=stExpandSidebarButton]",
    "controls": f".stMain :is({_CONTROLS}, [class*=_hand]):not(.st-key-beside *)",
    "views": ".stMain :is([class*=_view], .st-key-view).stElementContainer",
    "opening": ".head-opening, .page-head .head-fold",
    "signs": ".vital-signs",
    "weights": ".head-band",
    "foot": ".way-foot, .way-map, .words, .st-key-take_home",
}
_NAME = re.compile(r"\w{1,60}", re.ASCII)


def synchronise(anew: bool) -> None:
    """Take in what the address says, then write there what holds. Once a run, first.

    A page that was chosen in the bar comes without its address's part, which is no wish to see everything. It is one where
    the browser came with this address `anew`: opened it, or went back to it.
    """
    asked = st.query_params.get(KEY)
    if asked is not None or anew:
        st.session_state[_NAMES] = read(asked or "")
    said = query()
    if asked is not None and not said:
        del st.query_params[KEY]
    elif said and asked != said[KEY]:
        st.query_params[KEY] = said[KEY]


def read(words: str) -> tuple[str, ...]:
    """The names in an address's part, each once."""
    return tuple(dict.fromkeys(name.strip() for name in words[:LONGEST].split(",") if name.strip()))


def query() -> dict[str, str]:
    """The address's part, for links from page to page."""
    names = _names()
    return {KEY: ",".join(names)} if names else {}


def shows(name: str) -> bool:
    """Whether a part of the page, a dial of the sidebar or a control is to be seen."""
    return name not in _names()


def problems(names: Collection[str]) -> list[str]:
    """A sentence about what is to be hidden and is nowhere; `names` are those of dials and controls that there are."""
    unknown = [name for name in _names() if name not in PARTS and name not in names]
    if not unknown:
        return []
    words = ", ".join(f"“{shortened(name)}”" for name in unknown[:3])
    return [f"The address hides what no page has: {words}. It can hide {', '.join(PARTS)}, and controls by name."]


def draw() -> None:
    """Style that takes away what is drawn all the same. Nothing where nothing is hidden."""
    names = [name for name in _names() if _NAME.fullmatch(name)]
    if names:
        away = ", ".join(_STYLE.get(name) or f".stApp .st-key-{name}" for name in names)
        st.html(f"<style>:is({away}) {{display: none !important}}</style>")


def _names() -> tuple[str, ...]:
    return st.session_state.get(_NAMES, ())
