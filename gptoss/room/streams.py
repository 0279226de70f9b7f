"""Server-sent events: a stream that says the newest state of a room whenever it has changed, until either side leaves."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from gptoss.room import limits
from gptoss.room.rooms import ROOMS, Refused, Room

BEAT = 15.0  # s after which the state is said again, so that both sides notice when the other is gone
HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store"),
           (b"x-accel-buffering", b"no"), (b"x-content-type-options", b"nosniff")]


class Stream(Response):
    """The answer to whoever follows a room. `text` is called for each message; all of them hold the whole state."""

    open = 0  # of this server

    def __init__(self, room: Room, text: Callable[[], str], lecturer: bool = False, browser: str = "") -> None:
        self._room, self._text, self._lecturer, self._browser = room, text, lecturer, browser
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            if Stream.open >= limits.listeners():
                raise Refused("This server has as many listeners as it can serve.")
            with self._room.listening(self._lecturer, self._browser, gone.cancel):
                Stream.open += 1
                try:
                    await self._say_all(gone, send, scope["method"] == "HEAD")
                finally:
                    Stream.open -= 1
        except Refused as refused:
            await JSONResponse({"error": str(refused)}, 503)(scope, receive, send)
        finally:
            gone.cancel()

    async def _say_all(self, gone: asyncio.Future, send: Send, nothing: bool) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        while not nothing and not gone.done() and not ROOMS.leaving:
            over, version = self._room.over(), self._room.version
            message = f"id: {version}\ndata: {self._text()}\n\n"
            await send({"type": "http.response.body", "body": message.encode(), "more_body": True})
            if over:
                break
            await self._room.changed(version, BEAT, gone, self._lecturer)
        await send({"type": "http.response.body", "body": b""})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@asynccontextmanager
async def ended_with_server(_: object) -> AsyncIterator[None]:
    """Let streams end when the server is asked to, which otherwise waits for them for ever."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def leave(number: int, frame: object) -> None:
        ROOMS.leave()
        if callable(before[number]):
            before[number](number, frame)

    for number in before:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
