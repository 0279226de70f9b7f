"""The room's addresses beside Streamlit's pages: light pages for phones and presenters, their streams, and what they send.

    GET  room                 asks for a code
    GET  room/CODE            the page for phones; gives the browser its seat, a cookie
    GET  room/CODE/events     the newest state, whenever it has changed (`Room.public`); room/CODE/now is it once.
                              A projector gets the presses that wait for it, too
    POST room/CODE/vote       {"round", "value"} of a browser with a seat
    POST room/CODE/curve      {"points"}: the loss that it expects, from share of the run to nats
    GET  room/CODE/qr.svg     the address of the page for phones as a code
    POST room/open            {"order"}; after a restart {"order", "code", "place", "spent", "runs", "left_out"}
    POST room/CODE/act        {"act", …} of the lecturer (`ACTS`)
    GET  room/CODE/votes.csv  all answers, for the lecturer
    GET  presenter?room=CODE  the presenter's window, with presenter/order and presenter/events

The lecturer is the browser that has the room's key, in a cookie that no script reads and no other site sends.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import cache, partial, wraps
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from gptoss import strict_json
from gptoss.config import ModelConfig
from gptoss.room import addresses, limits, presenting
from gptoss.room.order import MOST_BYTES, MOST_STOPS
from gptoss.room.rooms import LEAD, ROOMS, SEAT, Missing, Over, Refused, Room, code_of, is_code
from gptoss.room.streams import Stream

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
           "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
                                      "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"}
FILES = {"css": "text/css", "js": "text/javascript"}
OF_PHONES = "phone.css", "phone.js", "curve.js"
OF_PRESENTERS = "presenter.css", "presenter.js", "presenter_view.js", "reopen.js"

OPENINGS = limits.Tries(12, 30.0)
SEATS = limits.Tries(400, 0.5)  # a class comes at once, from one address
ANSWERS = limits.Tries(20, 0.5)  # of one browser

UNTRAINED = f"{math.log(ModelConfig.preset('classroom').vocab_size):.1f}"  # nats: an even guess of the model that is trained

Endpoint = Callable[[Request], Awaitable[Response]]


class _No(Exception):
    """A request that cannot be answered: the status, and a sentence for whoever asked."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def routes(base: str = "", first: str = "start") -> list[Route]:
    """All of them, for an app that is served below the path `base`.

    `first` names the first page, which has the app's bare address in a browser: an order's link to it is led there.
    """
    base = f"/{base.strip('/')}" if base.strip("/") else ""
    files = {f"/{folder}/{name}": partial(_file, name=name)
             for folder, names in (("room", OF_PHONES), ("presenter", OF_PRESENTERS)) for name in names}
    gets = {"/room": _join, "/room/": _to_join, "/room/{code}": partial(_phone, path=base or "/"),
            "/room/{code}/events": _events, "/room/{code}/now": _now, "/room/{code}/qr.svg": _qr,
            "/room/{code}/votes.csv": _csv, "/presenter": _presenter, "/presenter/order": _order,
            "/presenter/events": _presenter_events, f"/{first}": _first}
    posts = {"/room/open": partial(_open, path=base or "/"), "/room/{code}/act": _act, "/room/{code}/vote": _vote,
             "/room/{code}/curve": _curve}
    return [Route(base + path, _answered(endpoint), methods=[method])
            for method, found in (("GET", files), ("POST", posts), ("GET", gets)) for path, endpoint in found.items()]


def _answered(endpoint: Endpoint) -> Endpoint:
    """The endpoint; what it refuses is answered as JSON with a sentence."""
    @wraps(endpoint.func if isinstance(endpoint, partial) else endpoint)
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except _No as refused:
            return JSONResponse({"error": str(refused)}, refused.status, HEADERS)
    return answer


# Pages

async def _join(request: Request) -> Response:
    """The page that asks for a code; with a code it leads to the room."""
    code = request.query_params.get("code", "").strip().upper()
    if not code:
        return _page("join", error="", code="", up="")
    try:
        return RedirectResponse(f"room/{_room(request, code).code}", 303, HEADERS)
    except _No as refused:
        return _page("join", refused.status, error=str(refused), code=code[:12], up="")


async def _to_join(request: Request) -> Response:
    return RedirectResponse("../room", 308, HEADERS)


async def _phone(request: Request, path: str) -> Response:
    """The page for phones. Whoever comes without a seat gets one."""
    given = request.path_params["code"]
    try:
        room = _room(request, given)
    except _No as refused:
        if is_code(given) and request.cookies.get(SEAT + given.upper()):  # the room may come back, its page waits for it
            return _page("phone", untrained=UNTRAINED)
        return _page("join", refused.status, error=str(refused), code=given[:12], up="../")
    if given != room.code:
        return RedirectResponse(room.code, 308, HEADERS)
    page = _page("phone", untrained=UNTRAINED)
    if not _browser(request, room) and SEATS.take(_address(request)):
        _set(request, page, SEAT + room.code, room.seat(secrets.token_hex(8)), path, "lax")
    return page


async def _first(request: Request) -> Response:
    return RedirectResponse(f"./?{request.url.query}", 307, HEADERS)


async def _presenter(request: Request) -> Response:
    return _page("presenter")


async def _file(request: Request, name: str) -> Response:
    return Response(_text(name), media_type=FILES[name.rpartition(".")[2]], headers=HEADERS)


def _page(name: str, status: int = 200, **words: str) -> Response:
    """A page; `{{word}}` in it is filled with a text."""
    text = re.sub(r"\{\{(\w+)\}\}", lambda found: escape(words[found[1]]), _text(f"{name}.html"))
    return Response(text, status, HEADERS, "text/html")


@cache
def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


# What is followed

async def _events(request: Request) -> Response:
    room = _room(request, request.path_params["code"])
    leads = _leads(request, room)
    return Stream(room, room.projector_text if leads else room.public_text, leads, _browser(request, room))


async def _now(request: Request) -> Response:
    room = _room(request, request.path_params["code"])
    return Response(room.public_text(), media_type="application/json", headers=HEADERS)


async def _presenter_events(request: Request) -> Response:
    room = _led(request, request.query_params.get("room", ""))
    return Stream(room, lambda: strict_json.write(presenting.state(room)), lecturer=True)


async def _order(request: Request) -> Response:
    room = _led(request, request.query_params.get("room", ""))
    address = addresses.for_phones(_app(request), room.code)
    return JSONResponse({"order": room.order_text, "address": address}, headers=HEADERS)


async def _qr(request: Request) -> Response:
    room = _room(request, request.path_params["code"])
    return Response(addresses.picture(addresses.for_phones(_app(request), room.code)), media_type="image/svg+xml",
                    headers=HEADERS)


async def _csv(request: Request) -> Response:
    room = _led(request, request.path_params["code"])
    named = {"Content-Disposition": f'attachment; filename="votes-{room.code}.csv"'}
    return Response(room.votes_as_csv(), media_type="text/csv", headers=HEADERS | named)


# What is sent

async def _open(request: Request, path: str) -> Response:
    """Open a room, or the same room again after a restart, whose key this browser has."""
    said = await _said(request, limits.OPENING)
    order, code = said.get("order"), said.get("code")
    if not isinstance(order, str):
        raise _No(400, "There is no order in what was sent.")
    if len(order.encode(errors="replace")) > MOST_BYTES:
        raise _No(413, f"An order has at most {MOST_BYTES:,} bytes.")
    if not OPENINGS.take(_address(request)):
        raise _No(429, "Too many lectures were started from here. Wait half a minute.")
    key = None if code is None else _kept_key(request, code)
    try:
        room = await run_in_threadpool(_opened, order, code, key, said)
    except Refused as refused:
        raise _No(409, str(refused)) from refused
    answer = JSONResponse({"code": room.code, "address": addresses.for_phones(_app(request), room.code)}, headers=HEADERS)
    _set(request, answer, LEAD + room.code, room.key, path, "strict")
    return answer


def _opened(order: str, code: str | None, key: str | None, said: Mapping[str, object]) -> Room:
    if key is None:
        return ROOMS.open(order)
    if code_of(key) != code:
        raise _No(403, _NOT_LED)
    place, spent, out = (said.get(name) for name in ("place", "spent", "left_out"))
    found = ROOMS.find(code)
    room = ROOMS.open(order, key, tuple(place) if _are(place, int) and len(place) == 2 else (0, 0))
    if not found:
        times = spent if _are(spent, int | float) and all(0 <= one <= limits.LARGEST for one in spent) else ()
        room.resume(times, said.get("runs") is True, out if _are(out, int) else ())
    return room


def _kept_key(request: Request, code: object) -> str:
    """The key of a room that there was, from this browser's cookie."""
    key = request.cookies.get(f"{LEAD}{code}", "")
    if not isinstance(code, str) or not is_code(code) or not re.fullmatch(r"[\w-]{43}", key, re.ASCII):
        raise _No(403, _NOT_LED)
    return key


async def _vote(request: Request) -> Response:
    said = await _said(request, limits.BODY)
    room, browser = _answering(request)
    if not _is(number := said.get("round"), int):
        raise _No(400, "Which round is answered is missing.")
    return _taken(room.answer(browser, said.get("value"), number))


async def _curve(request: Request) -> Response:
    points = (await _said(request, limits.BODY)).get("points")
    room, browser = _answering(request)
    if not isinstance(points, list) or not all(_are(point, int | float) and len(point) == 2 for point in points):
        raise _No(400, "A curve is a list of points.")
    return _taken(room.add_curve(browser, points))


def _answering(request: Request) -> tuple[Room, str]:
    """The room, and the browser with a seat in it that answers."""
    room = _room(request, request.path_params["code"])
    browser = _browser(request, room)
    if not browser:
        raise _No(403, "This browser keeps no cookies, or too many came at once: open the room's page again, then answer.")
    if not ANSWERS.take(browser):
        raise _No(429, "Too many answers at once. Wait a moment.")
    return room, browser


def _taken(refused: str) -> Response:
    return JSONResponse({"error": refused} if refused else {}, 409 if refused else 200, HEADERS)


async def _act(request: Request) -> Response:
    """One act of the lecturer."""
    said = await _said(request, limits.OPENING)
    room = _led(request, request.path_params["code"])
    act, *asked = ACTS.get(str(said.pop("act", "")), (None,))
    if not act or said.keys() != {name for name, _ in asked} or not all(is_one(said[name]) for name, is_one in asked):
        raise _No(400, "This is nothing that can be done.")
    refused = act(room, *(said[name] for name, _ in asked))
    return JSONResponse({"error": refused} if refused else {}, 409 if refused else 200, HEADERS)


def _ask(room: Room) -> str | None:
    """Put the question of the stop where everybody is, or of its page where the stop has none."""
    stop = room.stop(room.shown[0])
    return room.open_vote(stop.vote) if stop and stop.vote else room.call_page()


def _is(value: object, kind: type) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _are(values: object, kind: type) -> bool:
    return isinstance(values, list) and len(values) <= MOST_STOPS and all(_is(value, kind) for value in values)


_BOOL, _INT = partial(_is, kind=bool), partial(_is, kind=int)
_ON, _STOP, _BEAT = ("on", _BOOL), ("stop", _INT), ("beat", _INT)
# Each act, and what has to be said with it.
ACTS: dict[str, tuple] = {
    "forward": (partial(Room.press, step="forward"),), "back": (partial(Room.press, step="back"),),
    "take": (Room.take, ("number", _INT)),
    "page": (Room.page_can, ("turn", _INT), ("forward", _BOOL), ("back", _BOOL), ("aside", _BOOL)),
    "ship": (Room.ship,), "end": (Room.end,),
    "go": (lambda room, stop, beat: room.go((stop, beat)), _STOP, _BEAT),
    "freeze": (Room.freeze, _ON), "black": (Room.blacken, _ON), "clock": (Room.run_clock, _ON),
    "reset": (Room.reset_clock,), "leave_out": (Room.leave_out, ("stops", partial(_are, kind=int))),
    "showing": (Room.showing, ("address", partial(_is, kind=str))),
    "vote": (_ask,), "close_vote": (Room.close_vote,), "drop_vote": (Room.drop_vote,), "vote_again": (Room.vote_again,)}


# Who asks

_NOT_LED = "Only the browser in which the lecture was started can lead it."


def _room(request: Request, code: str) -> Room:
    """The room with a code, for whoever may know of it (`Rooms.enter`)."""
    seat, key = (request.cookies.get(kind + code.strip().upper(), "") for kind in (SEAT, LEAD))
    try:
        return ROOMS.enter(code, _address(request), seat, key)
    except Refused as refused:
        raise _No({Over: 410, Missing: 404}.get(type(refused), 429), str(refused)) from refused


def _led(request: Request, code: str) -> Room:
    """The room with a code, for its lecturer."""
    room = _room(request, code)
    if not _leads(request, room):
        raise _No(403, _NOT_LED)
    room.led()
    return room


def _leads(request: Request, room: Room) -> bool:
    return ROOMS.held(room.code, request.cookies.get(LEAD + room.code, "")) is room


def _browser(request: Request, room: Room) -> str:
    return room.browser_at(request.cookies.get(SEAT + room.code, ""))


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _app(request: Request) -> str:
    """The app's own address as this browser has it: "http://host:8501/"."""
    host = request.headers.get("host", "")
    if not addresses.is_host(host):
        raise _No(400, "This request does not say which server it means.")
    path = re.split(r"/(?:room|presenter)(?=/|$)", request.url.path)[0]
    return f"{_scheme(request)}://{host}{path}/"


def _scheme(request: Request) -> str:
    """How this browser reached the server, also where a proxy stands between."""
    return "https" if request.headers.get("x-forwarded-proto", "").startswith("https") else request.url.scheme


async def _said(request: Request, most: int) -> dict:
    """What was sent: a JSON object of at most so many bytes, from a page of this server."""
    if not _from_here(request):
        raise _No(403, "Only a page of this server may send this.")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _No(415, "Only JSON can be sent here.")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise _No(413, "This is too much to be sent.")
    try:
        value = strict_json.read(body.decode())
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _No(400, "This is no JSON object.")
    return value


def _from_here(request: Request) -> bool:
    """Whether a page of this server sends: browsers say which site it is, and let no page say another."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin", "")
    return site == "same-origin" if site else bool(origin) and urlsplit(origin).netloc == request.headers.get("host")


def _set(request: Request, answer: Response, name: str, value: str, path: str, same_site: str) -> None:
    answer.set_cookie(name, value, max_age=int(limits.LONGEST), path=path, secure=_scheme(request) == "https",
                      httponly=True, samesite=same_site)
