"""A session's part in a lecture: it leads a room along its running order, or follows a room by itself.

Python decides where a session goes and opens it as if the address had been typed. `lecture.js` hears of the room by
server-sent events, says so here, tells the room what is on the projector, computes the next stop ahead of time, and lets a
follower alone as soon as a hand has touched something. Without rooms (a server that does not serve them) an order can be led
all the same: its keys and beats work, and nobody follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from urllib.parse import parse_qs, urlencode, urlsplit

import streamlit as st
from streamlit.runtime.scriptrunner import ScriptRunContext, get_script_run_ctx

from gptoss.app import hidden, kept, route, stage
from gptoss.app.book import PAGES, Page
from gptoss.app.browser_side import constants, text_of
from gptoss.app.hall import called, seat
from gptoss.app.hall.seat import OWN, Seat
from gptoss.app.turns import Turns
from gptoss.room import course, rooms
from gptoss.room.order import MOST_BYTES, OF_A_SESSION, SHIPPED, read_order
from gptoss.room.rooms import ROOMS, Room, code_of, is_code, relative

_FOLLOWING = Turns(2)  # pages drawn at a time for those who follow
KEY = "lecture"  # of the element that listens to the room
_STAYS = {"visitor", "lines", "hidden", "staged", seat.KEPT}  # in a session that goes to a stop: its person, its frame
_STYLE = text_of("hall/lecture.css")
# What the browser remembers of a room. The presenter's window has it as a file, which not every server serves.
_REMEMBERED = text_of("reopen.js", rooms.__file__)
_LISTENER = constants(OF_A_SESSION=sorted(OF_A_SESSION)) + _REMEMBERED + text_of("hall/lecture.js")
_element = st.components.v2.component("gptoss_lecture", js=_LISTENER, css=_STYLE, isolate_styles=False)
_starter = st.components.v2.component("gptoss_start", js=_REMEMBERED + text_of("hall/start.js"), css=_STYLE,
                                      isolate_styles=False)


def start_button(order_text: str, name: str = "") -> None:
    """The button that opens a room for an order and goes to its first stop; `name` is that of an order that ships.

    Where the server serves no rooms, it says so and offers to lead the order without one.
    """
    first = course.at(read_order(order_text), (0, 0)) or course.View(PAGES[0].path, {})
    _starter(key="lecture_start", data={"order": order_text, "name": name if name in SHIPPED else OWN,
                                        "to": _in_browser(first.path, first.query | {stage.KEY: ["1"]})})


def turn() -> AbstractContextManager:
    """What a run of the script waits for where its session follows a room to somewhere else.

    A class goes there at once. Two at a time are sooner done than forty that take turns at each line of Python, half of them
    in half of the time, and the lecturer's own page has two to share with instead of forty.
    """
    here = st.session_state.get(seat.KEPT)
    return _FOLLOWING if here and here.room and (here.heard or here.to is not None) else nullcontext()


def synchronise(path: str) -> None:
    """Take in where a lecture wants this session to be. Once a run, first; `path` is the address of what follows."""
    page, context, fresh = route.path_of(path), get_script_run_ctx(), seat.KEPT not in st.session_state
    back = context is not None and context.is_history_navigation
    here = seat.seat()
    asked = seat.take_in() if fresh or back else None
    if fresh or back:
        _without_key_follow(here)
        here.place = asked if fresh and here.lead else here.place
    if fresh and seat.taken():
        stage.synchronise(path)  # before it goes anywhere
    here.runs = page
    if here.to is not None:
        pass  # this is the page that was opened
    elif room := seat.leading():
        _lead(here, room, page, asked, fresh, back)
    elif room := seat.followed():
        _follow(here, room, page)
    here.page, anew = page, fresh or back or here.to is not None
    if here.to is not None:
        _as_if_typed(here, context)
    hidden.synchronise(anew)
    if seat.taken() or seat.KEYS & {*st.query_params}:
        seat.write()


def draw(path: str) -> None:
    """Listen to the room, and say where the lecture is. Nothing where a session neither leads nor follows."""
    hidden.draw()
    if seat.taken():
        here = seat.seat()
        data = _of_leader(here, path) if here.lead else _of_follower(here)
        _element(key=KEY, data=data | {"seat": seat.query()}, on_said_change=_hear)


def act(path: str, message: object) -> bool:
    """Do what a key means while a lecture is led, from a callback on the page at `path`; False where that is nothing.

    Where that leads is opened by the run that follows.
    """
    room = seat.leading()
    match message if room else None:
        case {"does": "forward"}:
            _step(room, path, Room.forward)
        case {"does": "back"}:
            _step(room, path, Room.back)
        case {"does": "jump", "stop": int(stop)} if 1 <= stop <= len(room.order.stops):
            room.go((stop - 1, 0))
        case _:
            return False
    return True


def _step(room: Room, path: str, move: Callable[[Room], None]) -> None:
    """Take a step of the order; from a page that is not the stop's, back to the stop first: nothing is passed over."""
    view = course.at(room.order, room.shown)
    if view and view.path != path and route.find(view.path):
        seat.seat().turn = None
        return
    if not seat.has_room(room):
        room.drop_vote()  # nobody votes, so there is nothing to close
    move(room)


def _lead(here: Seat, room: Room, page: str, asked: course.Place | None, fresh: bool, back: bool) -> None:
    """Be where the room is, or the room where this session has been taken by a click, by Back or by a reload."""
    view = course.at(room.order, room.shown)
    if fresh:
        shipped = view and not view.attempt and _same(_on_screen(page), view.address)
        if view and view.path == page and (asked == room.shown or asked is None and shipped):
            _adopt(here, room, page)
        else:
            _go(here, room)
    elif back and asked and asked != here.place:
        room.go(asked)
        if room.shown == asked:
            _adopt(here, room, page)
        else:
            _go(here, room)
    elif room.turn != here.turn:
        _catch_up(here, room, page)
    elif page != here.page:
        place = course.found(room.order, room.place, page)
        if place and place != room.place:
            room.go(place)
        here.turn, here.place = room.turn, room.shown


def _adopt(here: Seat, room: Room, page: str) -> None:
    """Take what the address shows for the place where the room is; the question is answered where the order has it so."""
    here.turn, here.place = room.turn, room.shown
    view = course.at(room.order, room.shown)
    if view and view.path == page and view.revealed == course.AFTER:
        called.reveal(page)


def _catch_up(here: Seat, room: Room, path: str) -> None:
    """Go where the room has been sent; where the page at `path` only has to answer its question, it does."""
    view = course.at(room.order, room.shown)
    if here.turn and here.place and view and view.path == path and course.stays(room.order, here.place, room.shown):
        _adopt(here, room, path)
    else:
        _go(here, room)


def _go(here: Seat, room: Room) -> None:
    """Open what the room's order shows where the room is. A stop without a page leaves the screen, and says what it is."""
    here.turn, here.place = room.turn, room.shown
    view = course.at(room.order, room.shown)
    page = route.find(view.path) if view else None
    if view and page:
        _open(here, page, view.query, view)


def _open(here: Seat, page: Page, query: Mapping[str, list[str]], view: course.View | None) -> None:
    """Open a page as if its address had been typed: before anything is drawn, and at once where it is the one that runs.

    `view` says what an order does there; without one, what a person has answered on the page stays.
    """
    if view:
        _forget()
        if view.revealed == course.BEFORE:
            called.reveal(page.path)
        if view.attempt:
            called.try_by_label(view.attempt)
        if view.revealed == course.AFTER:
            called.reveal(page.path)
    said = {key: words for key, words in query.items() if key not in stage.KEYS | seat.KEYS}
    here.to = said | {key: [word] for key, word in (stage.query() | seat.query()).items()}
    if page.path != here.runs:  # what it says is put there by the run that follows; meanwhile a reload finds its seat again
        st.switch_page(f"pages/{page.file}", query_params=stage.query() | seat.query())


def _forget() -> None:
    """Leave of the session's state what a session begins with. An answer that stands in a box goes, too.

    Streamlit's widgets begin anew by themselves, with another page or by what the address says.
    """
    ours = kept.kept().ours
    for key in [*st.session_state]:
        if key.endswith("_guess"):
            st.session_state[key] = None
        elif key not in _STAYS and (key in ours or not kept.is_widget(key)):
            del st.session_state[key]


def _as_if_typed(here: Seat, context: ScriptRunContext | None) -> None:
    """Have this run take an address as one that the browser came with: what it does not name begins at its first."""
    if context is not None:
        context.is_history_navigation = True
    kept.set_address(here.to)
    here.to = None


def _without_key_follow(here: Seat) -> None:
    """Who has a room's code and not its key follows it."""
    if is_code(here.lead):
        here.lead = here.lead.upper()
        key = seat.key(here.lead)
        may_lead = ROOMS.held(here.lead, key) or not ROOMS.find(here.lead) and key and code_of(key) == here.lead
        if not may_lead:
            here.lead, here.room = "", here.lead
    elif here.lead not in (OWN, *SHIPPED):
        here.lead = ""
    if here.lead:
        here.room = ""
    elif here.room:
        here.room = here.room.upper() if is_code(here.room) else ""


def _of_leader(here: Seat, path: str) -> dict:
    room = seat.leading()
    if room is None:
        return {"role": "lead", "code": here.lead, "gone": True, "stream": is_code(here.lead),
                "want": here.lead == OWN}
    number, beat = room.shown
    stop, view, ahead = room.stop(number), course.at(room.order, room.shown), course.coming(room.order, room.shown)
    there, others = view is not None and route.find(view.path) is not None, seat.has_room(room)
    return {"role": "lead", "code": room.code if others else "", "stream": others, "turn": here.turn, "stop": number,
            "beat": beat, "beats": len(stop.beats) if stop else 0,
            "stops": [one.headline for one in room.order.stops], "aside": there and view.path != path,
            "card": None if there else _card(stop),
            "next": _in_browser(ahead.path, ahead.query | stage.query()) if ahead and route.find(ahead.path) else ""}


def _card(stop) -> dict:
    """What is shown of a stop that has no page."""
    if stop is None:
        return {"headline": "This order has no stops", "sentence": "", "problem": ""}
    return {"headline": stop.headline, "sentence": stop.sentence,
            "problem": stop.problem or f"There is no page “{stop.path}”."}


def _of_follower(here: Seat) -> dict:
    return {"role": "follow", "code": here.room, "stream": True, "turn": here.turn, "address": here.address}


def _in_browser(path: str, query: Mapping[str, object]) -> str:
    """An address as a browser opens it, where the first page has no name."""
    return f"{'' if path == PAGES[0].path else path}?{urlencode(query, doseq=True)}"


def _hear() -> None:
    """The callback of what `lecture.js` sends. Anything else than what it may send does nothing.

    Where a run has left the page meanwhile, the element's state may be gone, and what it said with it.
    """
    here, room = seat.seat(), seat.leading() or seat.followed()
    match getattr(st.session_state.get(KEY), "said", None):
        case {"does": "heard", **more} if room:
            here.heard = True
            if more.get("again") is True:
                here.turn = None
        case {"does": "order", "text": str(text)} if here.lead == OWN and room is None and len(text) <= MOST_BYTES:
            here.own = seat.without_room(text)
        case {"does": "leave"}:
            here.lead = here.room = ""


def _follow(here: Seat, room: Room, page: str) -> None:
    """Go where the lecturer is, when the browser says that no hand has anything against it.

    Anew at another stop, or after a hand has moved something; else only the address changes, and answers stay.
    """
    if not here.heard:
        if here.turn is None and _same(_on_screen(page), room.address):
            here.turn, here.address, here.place = room.turn, room.address, room.shown
        return
    if here.turn == room.turn and _same(here.address, room.address):
        here.heard = False
        return
    moved, anew = not _same(here.address, room.address), here.turn is None or here.place[0] != room.shown[0]
    here.heard, here.turn, here.address, here.place = False, room.turn, room.address, room.shown
    parts, view = urlsplit(room.address), course.at(room.order, room.shown)
    there = route.find(parts.path) if parts.path else None
    if there and (anew or moved):
        answered = course.View(there.path, {}, revealed=course.AFTER if view and view.revealed else course.NOT)
        _open(here, there, parse_qs(parts.query, keep_blank_values=True), answered if anew else None)
    elif view and view.revealed and view.path == page:
        called.reveal(page)


def _on_screen(path: str) -> str:
    said = {key: st.query_params.get_all(key) for key in st.query_params}
    return relative(f"{path}?{urlencode(said, doseq=True)}")


def _same(one: str, other: str) -> bool:
    """Whether two addresses show the same, in whatever order they say it."""
    (path, query), (path_too, query_too) = ((urlsplit(each).path, urlsplit(each).query) for each in (one, other))
    read = {name: parse_qs(words, keep_blank_values=True) for name, words in (("one", query), ("other", query_too))}
    return path == path_too and read["one"] == read["other"]
