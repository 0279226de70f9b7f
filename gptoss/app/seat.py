"""Where a session sits in a lecture: it leads a room, it follows one, or neither. That stands in its address.

`lead=BCDF` with the room's key in a cookie leads the room BCDF, `room=BCDF` follows it, and `at=5.1` is the fifth stop after
its first beat. Links from page to page keep these, links that are shared do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from gptoss.room import course
from gptoss.room.course import Place
from gptoss.room.rooms import Room

LEAD, ROOM, AT = "lead", "room", "at"
KEYS = {LEAD, ROOM, AT}
KEPT = "seat"  # what the session's state calls it
_LONGEST = 16  # characters of what names a room or an order


@dataclass
class Seat:
    """What a session remembers of it.

    Attributes:
        lead: the code of the room that it leads, or the name of an order that is led without a room.
        room: the code of the room that it follows.
        own: the lecture of an order that is led without a room.
        place: where in the order it shows; `turn` is the room's count of moves that led there, None at first.
        address: of who follows, the room's as it was taken over.
        page: the page of the last run.
        to: what the address of the page says to which the lecture goes, until that page runs.
    """

    lead: str = ""
    room: str = ""
    own: Room | None = None
    place: Place | None = None
    turn: int | None = None
    address: str = ""
    page: str | None = None
    to: dict[str, list[str]] | None = None


def seat() -> Seat:
    """This session's. The first call reads the address that it came with."""
    if KEPT not in st.session_state:
        st.session_state[KEPT] = Seat()
        take_in()
    return st.session_state[KEPT]


def take_in() -> Place | None:
    """Take in what the address says, where the browser came with it; the place in the order that it names, if one."""
    here, said = seat(), st.query_params
    here.lead, here.room = (said.get(key, "").strip()[:_LONGEST] for key in (LEAD, ROOM))
    return course.read(said.get(AT, ""))


def taken() -> bool:
    """Whether this session leads or follows."""
    here = seat()
    return bool(here.lead or here.room)


def query() -> dict[str, str]:
    """The address's part, for links from page to page."""
    here = seat()
    if here.lead:
        return {LEAD: here.lead} | ({AT: course.written(here.place)} if here.place else {})
    return {ROOM: here.room} if here.room else {}


def write() -> None:
    """Put into the address what holds."""
    said = query()
    for key in KEYS & {*st.query_params} - {*said}:
        del st.query_params[key]
    for key, value in said.items():
        if st.query_params.get(key) != value:
            st.query_params[key] = value
