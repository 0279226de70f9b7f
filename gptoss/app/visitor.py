"""Who is there: a session, the browser that it belongs to, and the address that it comes from."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

_COOKIE = "_streamlit_xsrf"  # that Streamlit gives every browser, to know its forms by


@dataclass(frozen=True)
class Visitor:
    """A session, as a server shares itself out among many.

    Attributes:
        session: its name, which nobody else can guess.
        browser: the same for all its sessions. Whoever takes no cookie is one browser with all others of that address.
        address: from where it came, empty on the server's own machine.
        present: whether the session's browser is still connected: any thread may ask.
    """

    session: str
    browser: str
    address: str = ""
    present: Callable[[], bool] = lambda: True


def visitor() -> Visitor:
    """Whoever this script runs for."""
    if "visitor" not in st.session_state:
        st.session_state["visitor"] = secrets.token_hex(16)
    name = st.session_state["visitor"]
    address = st.context.ip_address or ""
    cookie = _token(st.context.cookies.get(_COOKIE, ""))
    context = get_script_run_ctx()
    session = context.session_id if context else ""
    return Visitor(name, cookie or address or name, address, lambda: session_is_open(session))


def session_is_open(session: str) -> bool:
    """Whether a browser is connected to a session. Where Streamlit cannot tell, it counts as open."""
    try:
        return not runtime.exists() or runtime.get_instance().is_active_session(session)
    except (AttributeError, RuntimeError):
        return True


def _token(cookie: str) -> str:
    """What stays the same in the cookie, which is masked anew with every answer: version | mask | token | time."""
    try:
        _, mask, masked, _ = cookie.split("|")
        key = bytes.fromhex(mask)
        return bytes(byte ^ key[place % len(key)] for place, byte in enumerate(bytes.fromhex(masked))).hex()
    except (ValueError, ZeroDivisionError):
        return ""
