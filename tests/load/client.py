"""A browserless Streamlit session: opens a page over the websocket and moves one slider, as a browser would.

A slider inside a fragment runs that fragment alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

DONE = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)


@dataclass(frozen=True)
class Dial:
    """A dial of the element that draws many, as it was drawn last."""

    id: str
    drawn: Mapping
    dial: Mapping

    @property
    def at(self) -> str:
        return self.dial["at"]

    @property
    def options(self) -> list[str]:
        return [option if isinstance(option, str) else option[0] for option in self.dial["options"]]

    def message(self, position: str) -> str:
        """What a browser sends when a hand takes it to a position."""
        number = self.drawn["heard"] + 1
        steps = [{"gesture": number, "name": self.dial["name"], "value": position}]
        return json.dumps({"message": {"token": self.drawn["token"], "number": number, "steps": steps, "held": False}})


def dials_of(drawn: Mapping) -> Iterator[Mapping]:
    """Every dial of an element."""
    for group in [*drawn.get("groups", []), *drawn.get("drawer", {}).get("groups", [])]:
        yield from group["dials"]


def connect(address: str, patience: float = 120, cookie: str = "") -> websockets.connect:
    """The stream of messages between a browser and the server at `address`, which has `patience` (s) to take it up."""
    stream = address.replace("http", "ws", 1) + "/_stcore/stream"
    return websockets.connect(stream, subprotocols=["streamlit"], origin=address, max_size=None, ping_timeout=None,
                              open_timeout=patience, additional_headers={"Cookie": cookie} if cookie else None)


class Session:
    """One visitor of one page. Latencies are in seconds, from the message that moves to the end of the script."""

    def __init__(self, address: str, label: str, page: str = "", query: str = "", cookie: str = ""):
        self.address, self.label, self.page, self.query, self.cookie = address, label, page, query, cookie
        self.received = 0  # bytes
        self.messages = 0

    async def __aenter__(self) -> Session:
        self._socket = await connect(self.address, cookie=self.cookie)
        self._slider, self._page_hash, self._place, self._fragment = None, "", None, ""
        await self._run(BackMsg())
        if self._slider is None:
            raise LookupError(f"There is no slider labelled {self.label!r} at {self.address}/{self.page}.")
        self._place = self._positions().index(self._start())
        return self

    async def __aexit__(self, *_) -> None:
        await self._socket.close()

    async def move(self) -> float:
        """One step up, from the highest position to the lowest. Returns the latency."""
        positions = self._positions()
        self._place = (self._place + 1) % len(positions)
        message = BackMsg()
        message.rerun_script.fragment_id = self._fragment
        state = message.rerun_script.widget_states.widgets.add()
        state.id = self._slider.id
        if isinstance(self._slider, Dial):
            state.json_value = self._slider.message(positions[self._place])
        elif self._slider.options:
            state.string_array_value.data.append(positions[self._place])
        else:
            state.double_array_value.data.append(positions[self._place])
        return await self._run(message)

    def _positions(self) -> list:
        """Where the slider can stand: its options, or its numbers."""
        slider = self._slider
        if isinstance(slider, Dial) or slider.options:
            return list(slider.options)
        count = round((slider.max - slider.min) / slider.step) + 1
        return [slider.min + slider.step * i for i in range(count)]

    def _start(self) -> object:
        slider = self._slider
        if isinstance(slider, Dial):
            return slider.at
        if slider.options:
            return slider.raw_value[0] if slider.set_value else slider.options[int(slider.default[0])]
        return slider.value[0] if slider.set_value else slider.default[0]

    async def _run(self, message: BackMsg) -> float:
        """Ask for one run of the script and read all that it sends."""
        rerun = message.rerun_script
        rerun.query_string, rerun.page_script_hash = self.query, self._page_hash
        rerun.page_name = "" if self._page_hash else self.page
        start = time.perf_counter()
        await self._socket.send(message.SerializeToString())
        while True:
            raw = await self._socket.recv()
            self.received += len(raw)
            self.messages += 1
            forward = ForwardMsg.FromString(raw)
            self._take(forward)
            if forward.WhichOneof("type") == "script_finished" and forward.script_finished in DONE:
                return time.perf_counter() - start

    def _take(self, forward: ForwardMsg) -> None:
        """Remember the page and its slider; an exception on the page is one here."""
        kind = forward.WhichOneof("type")
        if kind == "navigation":
            self._page_hash = forward.navigation.page_script_hash
        elif kind == "page_info_changed":
            self.query = forward.page_info_changed.query_string
        elif kind == "delta" and forward.delta.WhichOneof("type") == "new_element":
            element = forward.delta.new_element
            if element.WhichOneof("type") == "exception":
                raise RuntimeError(element.exception.message)
            if element.WhichOneof("type") == "slider" and element.slider.label == self.label:
                self._slider, self._fragment = element.slider, forward.delta.fragment_id
            if element.WhichOneof("type") == "bidi_component":
                drawn = json.loads(element.bidi_component.json)
                for dial in dials_of(drawn):
                    if dial["label"] == self.label:
                        self._slider = Dial(element.bidi_component.id, drawn, dial)
                        self._fragment = forward.delta.fragment_id
