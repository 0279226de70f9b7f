"""The link to what is on the screen, for a room: as text, and as a code that phones read from its last row."""

from __future__ import annotations

from urllib.parse import urlencode

import segno
import streamlit as st

from gptoss.app import kept, stage
from gptoss.app.hall import seat
from gptoss.app.text import TOO_LONG

_ASKED = "share_asked"
# From six screen heights away, where the last row sits, a code of 0.6 screen heights is some 150 of the 1,920 pixels that a
# phone looks at, and 300 once it zooms in; each square needs four of them to be safe.
MOST_SQUARES = 65  # along a side
BORDER = 4  # squares of white around a code, as its standard wants them
LONGEST = 2953  # bytes that the largest code holds


def ask() -> None:
    """Open the dialog in the run that follows, from a button's or a key's callback."""
    st.session_state[_ASKED] = True


def show_if_asked() -> None:
    """Show the link in a dialog where it was asked for: at the end of a run, when the address holds what is drawn."""
    if st.session_state.pop(_ASKED, False):
        _dialog(link(), left_out())


def link() -> str:
    """The address of what is on the screen, with the host as this browser sees it, out of projector mode and any lecture."""
    kept_keys = [key for key in st.query_params if key not in stage.KEYS | seat.KEYS]
    said = [(key, word) for key in kept_keys for word in st.query_params.get_all(key)]
    return f"{st.context.url or ''}?{urlencode(said)}"


def left_out() -> list[str]:
    """A sentence for everything on the screen that the link does not hold."""
    too_long = st.query_params.get("sample") == TOO_LONG
    return [*(["The text is too long for an address: whoever opens the link sees the first example."] if too_long else []),
            *kept.kept().left_out]


def code(link: str) -> segno.QRCode | None:
    """The link as a QR code with as few squares as it can have, or None where no code holds it."""
    if len(link.encode()) > LONGEST:
        return None
    return segno.make_qr(link, error="l", mode="byte", encoding="utf-8")


def squares(code: segno.QRCode) -> int:
    """How many squares a side of the code has."""
    return code.symbol_size(border=0)[0]


@st.dialog("The link to what you see", width="medium", icon=":material/qr_code_2:")
def _dialog(link: str, left_out: list[str]) -> None:
    made = code(link)
    if made:
        st.markdown(_drawing(made), unsafe_allow_html=True)  # st.html takes SVG out
    if made is None or squares(made) > MOST_SQUARES:
        st.caption(f":material/visibility_off: With {len(link):,} characters the link is too long for a code that the last "
                   "row can read: an own text makes it long, an example does not.")
    for sentence in left_out:
        st.caption(f":material/link_off: {sentence}")
    st.code(link, language=None, wrap_lines=True)


def _drawing(code: segno.QRCode) -> str:
    """The code as an SVG in black on white, whatever the theme, as large as the dialog and the screen allow."""
    svg = code.svg_inline(border=BORDER, light="#fff", omitsize=True, title="The link as a QR code")
    return f'<div style="margin: 0 auto; width: min(100%, 74vh); shape-rendering: crispEdges">{svg}</div>'
