"""The keys of the whole app, in one table: forward and back as clickers send them, from page to page, the list itself.

`keys.js` listens in the browser. It presses the buttons of a page that plays in steps, and the one that folds its opening;
what is left to do is done here. It also opens the links of class `way`, without a reload. `history.js` goes with it, and
keeps the browser's history short.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple
from urllib.parse import parse_qsl

import streamlit as st

from gptoss.app import controls, hidden, route, share, stage, state
from gptoss.app.book import PAGES, SHARED_KEYS, Page
from gptoss.app.browser_side import constants, text_of
from gptoss.app.hall import seat
from gptoss.room.order import OF_A_SESSION


class Shortcut(NamedTuple):
    """A key as the browser names it, with modifiers in front; how it is written; what it does, in a word and a sentence."""

    key: str
    written: str
    does: str
    words: str


SHORTCUTS = (
    Shortcut("PageDown", "Page\u00a0down", "forward", "the next step, or the next page where no step is left"),
    Shortcut("PageUp", "Page\u00a0up", "back", "the step before, or the page before"),
    Shortcut("Alt+ArrowRight", "Alt\u00a0→", "next", "the next page"),
    Shortcut("Alt+ArrowLeft", "Alt\u00a0←", "previous", "the page before"),
    Shortcut("s", "s", "share", "the link to what is on the screen, with a code for phones"),
    Shortcut("i", "i", "fold", "in short: the page's three sentences, folded or there again"),
    Shortcut("f", "f", "stage", "projector mode: the picture large on an empty screen, and back"),
    Shortcut("?", "?", "list", "this list"),
)
# What keys do beside that, or in its place, while a lecture is led: `lecture.js` reads them.
LEADING = {
    "Page\u00a0down, space, →": "on: the next step of the picture, the next beat of the order, the next stop",
    "Page\u00a0up, ←": "back by one of them",
    "Digits": "to the stop of that number; Enter at once",
    "b": "black, and the picture again",
    "r": "the room's code and address, large",
}
_KEY, _LIST, PLACE = "keys", "keys_listed", "keys_place"
_KEPT = {*state.OWN_KEYS, *SHARED_KEYS}  # widgets that several pages have
_DATA = {"does": {shortcut.key: shortcut.does for shortcut in SHORTCUTS},
         "keep": sorted(state.OWN_KEYS | stage.KEYS | {hidden.KEY, seat.ROOM})}
_STYLE = ".st-key-keys {position: absolute}\n"  # no gap for what cannot be seen
_SCRIPTS = constants(OF_A_SESSION=sorted(OF_A_SESSION)) + "\n".join(
    map(text_of, ("history.js", "share.js", "hall/draft.js", "keys.js")))
_listener = st.components.v2.component("gptoss_keys", js=_SCRIPTS, css=_STYLE, isolate_styles=False)


def listen(path: str, before: Callable[[str, object], bool] = lambda path, message: False) -> None:
    """Take in the keys on the page at `path`; show their list where it was asked for. An element without a box.

    `before` is asked with each message first, and says whether it has done what there was to do: a lecture has its own way.
    """
    here = path if path in {page.path for page in PAGES[1:]} else ""  # Start leads to where a reader was in the lesson
    with st.container(key=PLACE, height=1, border=False):  # an element that has not come yet would be 45 px high
        _listener(key=_KEY, data=_DATA | {"here": here}, on_act_change=partial(_act, path, before))
    if st.session_state.pop(_LIST, False):
        _list_keys()


def list_button() -> str:
    """A small button in HTML that opens the list of keys."""
    return '<button type="button" class="way-button" data-does="list">Keys <kbd>?</kbd></button>'


def _act(path: str, before: Callable[[str, object], bool]) -> None:
    """The callback of what `keys.js` sends: a word of the table, or `go` and where to. Anything else does nothing.

    Where a run has left the page meanwhile, the element's state may be gone, and what it said with it.
    """
    message = getattr(st.session_state.get(_KEY), "act", None)
    if before(path, message):
        return
    match message:
        case {"does": "go", "to": str(to), **more}:
            _open(route.find(to), dict(parse_qsl(str(more.get("with", "")))))
        case {"does": str(does)} if does in _ACTS:
            _ACTS[does](path)


def _open(page: Page | None, asked: Mapping[str, str] | None = None) -> None:
    """Open a page. What Streamlit keeps when a link of the bar is clicked, but drops here, is written down before.

    `asked` is what the link says of the page's own controls and of projector mode.
    """
    if page:
        controls.forget_step()
        for key in _KEPT & st.session_state.keys():
            st.session_state[key] = st.session_state[key]
        own = {key: value for key, value in (asked or {}).items() if key in {*page.controls, *stage.KEYS}}
        st.switch_page(f"pages/{page.file}", query_params=state.query() | own)


def _next(path: str) -> None:
    _open(route.next(path))


def _previous(path: str) -> None:
    _open(route.previous(path))


def _share(_: str) -> None:
    share.ask()


def _turn_stage(_: str) -> None:
    stage.toggle()


def _nothing(_: str) -> None:
    """What a button of the page does in the browser: nothing is left to do where the page has none."""


def _ask_for_list(_: str) -> None:
    st.session_state[_LIST] = True


_ACTS: dict[str, Callable[[str], None]] = {
    "forward": _next, "back": _previous, "next": _next, "previous": _previous, "stage": _turn_stage,
    "share": _share, "fold": _nothing,
    "list": _ask_for_list}


@st.dialog("Keys", icon=":material/keyboard:")
def _list_keys() -> None:
    rows = {shortcut.written: shortcut.words for shortcut in SHORTCUTS}
    if seat.leading():
        rows = LEADING | {written: words for written, words in rows.items() if not written.startswith("Page")}
    st.markdown("| Key | What it does |\n|---|---|\n" + "\n".join(
        f"| `{written}` | {words} |" for written, words in rows.items()))
    st.caption("A text box, a list or a table that has the focus keeps its keys; a slider keeps arrows, Home and End."
               + (" While you lead, it keeps ↑ and ↓, and ← and → where Tab has led to it." if seat.leading() else ""))
