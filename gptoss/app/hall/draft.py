"""A lecturer's own running order: kept in the browser, so that it is there tomorrow, and in this session while it is edited.

*Add this view as a stop* at the foot of every page writes to it in the browser alone (`draft.js`). The page of lectures has
an element without a box that brings it here, and takes back what was edited.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import streamlit as st

from gptoss.app.book import Page
from gptoss.app.browser_side import text_of
from gptoss.room.order import MOST_BYTES, MOST_STOPS, NOT_OF_A_STOP

MINUTES = 5  # of a stop that was added, where its page does not say
_KEY = "draft"
_element = st.components.v2.component("gptoss_draft", js=text_of("hall/draft_kept.js"), isolate_styles=False,
                                      css=".st-key-draft {position: absolute}\n")


@dataclass
class Draft:
    """The own order of this session; `before` is what the last change replaced, `mark` is another after every change."""

    text: str = ""
    before: str = ""
    mark: str = ""

    def hear(self, said: object) -> None:
        """Take over what the browser keeps, as far as it is a text that may be an order."""
        text = said.get("text") if isinstance(said, Mapping) else None
        if isinstance(text, str) and len(text.encode(errors="replace")) <= MOST_BYTES:
            self.before, self.text = self.text, text


def draft() -> Draft:
    """This session's."""
    return st.session_state.setdefault("own_order", Draft())


def put(text: str) -> None:
    """Make a text the own order, from a callback. What it replaces can be taken back once."""
    own = draft()
    if text != own.text:
        own.text, own.before, own.mark = text, own.text, secrets.token_hex(4)


def take_back() -> None:
    """Bring back what the last change replaced, from a button's callback."""
    put(draft().before)


def keep() -> None:
    """Keep the own order in this browser, and take over what another of its windows has added. Once a run."""
    own = draft()
    _element(key=_KEY, data={"text": own.text, "mark": own.mark},
             on_text_change=lambda: own.hear(st.session_state.get(_KEY)))


def button(page: Page) -> str:
    """*Add this view as a stop* in HTML, which `draft.js` obeys, and what it says then."""
    told = {"headline": page.title, "sentence": page.teaches, "minutes": page.minutes or MINUTES, "path": page.path,
            "most": MOST_STOPS, "bytes": MOST_BYTES, "without": sorted(NOT_OF_A_STOP)}
    return (f'<button type="button" class="way-button" data-stop="{escape(json.dumps(told, ensure_ascii=False))}" '
            'title="To your own running order, which this browser keeps">Add this view as a stop</button>'
            '<span role="status"><a class="way stop-added" href="./lecture?order=own" data-with="order=own" hidden></a>'
            "</span>")
