"""Where a session sits in a lecture: it leads a room, it follows one, or neither. That stands in its address.

`lead=BCDF` with the room's key in a cookie leads the room BCDF, `room=BCDF` follows it, and `at=5.1` is the fifth stop after
its first beat. Links from page to page keep these, links that are shared do not.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import streamlit as st

from gptoss.room import course, rooms
from gptoss.room.course import Place
from gptoss.room.order import SHIPPED
from gptoss.room.rooms import ROOMS, Refused, Room, is_code

LEAD, ROOM, AT = "lead", "room", "at"
KEYS = {LEAD, ROOM, AT}
KEPT = "seat"  # what the session's state calls it
OWN = "own"  # the name of an order that is led without a room and is nobody else's
_LONGEST = 16  # characters of what names a room or an order


@dataclass
class Seat:
    """What a session remembers of it.

    Attributes:
        lead: the code of the room that it leads, or the name of an order that is led without a room.
        room: the code of the room that it follows; `entered` is that of the one in which it has been.
        own: the lecture of an order that is led without a room.
        place: where in the order it shows; `turn` is the room's count of moves that led there, None at first.
        address: of who follows, the room's as it was taken over.
        heard: whether the browser of who follows has asked to go where the room is.
        page: the page of the last run; `runs` is that of this one.
        to: what the address of the page says to which the lecture goes, until that page runs.
    """

    lead: str = ""
    room: str = ""
    entered: str = ""
    own: Room | None = None
    place: Place | None = None
    turn: int | None = None
    address: str = ""
    heard: bool = False
    page: str | None = None
    runs: str = ""
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
    here.lead, here.room = (said.get(name, "").strip()[:_LONGEST] for name in (LEAD, ROOM))
    return course.read(said.get(AT, ""))


def taken() -> bool:
    """Whether this session leads or follows."""
    here = seat()
    return bool(here.lead or here.room)


def leading() -> Room | None:
    """The lecture that this session leads; None where it leads none, or the room is gone."""
    here = seat()
    if not here.lead:
        return None
    if is_code(here.lead):
        return ROOMS.held(here.lead, key(here.lead))
    if here.own is None and here.lead in SHIPPED:
        here.own = without_room(SHIPPED[here.lead])
    return here.own


def led() -> Room | None:
    """The room that this session leads and that others can enter; None where there is none."""
    room = leading()
    return room if room and has_room(room) else None


def followed() -> Room | None:
    """The room that this session follows; None where it follows none, or there is none such."""
    here = seat()
    if here.entered != here.room:
        try:  # as on the page for phones: nobody finds a room by trying codes
            ROOMS.enter(here.room, st.context.ip_address or "", given(here.room))
        except Refused:
            return None
        here.entered = here.room
    return ROOMS.find(here.room)


def has_room(room: Room) -> bool:
    """Whether others can enter the room of a lecture: one that only this session knows has no phones and no votes."""
    return room is not seat().own


def without_room(order_text: str) -> Room:
    """A lecture that nobody can enter, at the place that the address names."""
    return Room(secrets.token_urlsafe(), order_text, course.read(st.query_params.get(AT, "")) or (0, 0))


def key(code: str) -> str:
    """The key of the room with a code, as far as this browser has it."""
    return _cookie(rooms.LEAD + code)


def given(code: str) -> str:
    """What this browser has of its seat in the room with a code, also from the page for phones."""
    return _cookie(rooms.SEAT + code)


def _cookie(name: str) -> str:
    return str(st.context.cookies.get(name, ""))


def query() -> dict[str, str]:
    """The address's part, for links from page to page."""
    here = seat()
    if here.lead:
        return {LEAD: here.lead} | ({AT: course.written(here.place)} if here.place else {})
    return {ROOM: here.room} if here.room else {}


def write() -> None:
    """Put into the address what holds."""
    said = query()
    for name in KEYS & {*st.query_params} - {*said}:
        del st.query_params[name]
    for name, value in said.items():
        if st.query_params.get(name) != value:
            st.query_params[name] = value
