"""A browserless Streamlit session: opens a page over the websocket and moves one slider, as a browser would.

A slider inside a fragment runs that fragment alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import websockets
from streamlit.components.v2.bidi_component.constants import EVENT_DELIM
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.state.session_state import STREAMLIT_INTERNAL_KEY_PREFIX

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


class Visitor:
    """One session on one page, that reads all that the server sends and keeps what every browser has to send back."""

    def __init__(self, address: str, page: str = "", query: str = "", cookie: str = ""):
        self.address, self.page, self.query, self.cookie = address, page, query, cookie
        self.received = 0  # bytes
        self.messages = 0
        self._page_hash = ""

    async def __aenter__(self) -> Visitor:
        self._socket = await connect(self.address, cookie=self.cookie)
        await self.run(BackMsg())
        return self

    async def __aexit__(self, *_) -> None:
        await self._socket.close()

    async def run(self, message: BackMsg) -> float:
        """Ask for one run of the script and read all that it sends, until all is drawn (s)."""
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
            if forward.WhichOneof("type") == "script_finished" and forward.script_finished in DONE and self.is_drawn():
                return time.perf_counter() - start

    def is_drawn(self) -> bool:
        """Whether a run that has ended was the one that was asked for."""
        return True

    def see(self, element: Element, fragment: str) -> None:
        """Look at an element that was drawn, in a fragment."""

    def _take(self, forward: ForwardMsg) -> None:
        """Remember the page and look at elements; an exception on the page is one here."""
        kind = forward.WhichOneof("type")
        if kind == "navigation":
            self._page_hash = forward.navigation.page_script_hash
        elif kind == "page_info_changed":
            self.query = forward.page_info_changed.query_string
        elif kind == "delta" and forward.delta.WhichOneof("type") == "new_element":
            element = forward.delta.new_element
            if element.WhichOneof("type") == "exception":
                raise RuntimeError(element.exception.message)
            self.see(element, forward.delta.fragment_id)


class Session(Visitor):
    """One visitor who moves a slider. Latencies are in seconds, from the message that moves to the end of the script."""

    def __init__(self, address: str, label: str, page: str = "", query: str = "", cookie: str = ""):
        super().__init__(address, page, query, cookie)
        self.label = label
        self._slider, self._fragment = None, ""

    async def __aenter__(self) -> Session:
        await super().__aenter__()
        if self._slider is None:
            raise LookupError(f"There is no slider labelled {self.label!r} at {self.address}/{self.page}.")
        self._place = self._positions().index(self._start())
        return self

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
        return await self.run(message)

    def see(self, element: Element, fragment: str) -> None:
        if element.WhichOneof("type") == "slider" and element.slider.label == self.label:
            self._slider, self._fragment = element.slider, fragment
        if element.WhichOneof("type") == "bidi_component":
            drawn = json.loads(element.bidi_component.json)
            for dial in dials_of(drawn):
                if dial["label"] == self.label:
                    self._slider, self._fragment = Dial(element.bidi_component.id, drawn, dial), fragment

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


class Follower(Visitor):
    """A session that goes where its room is, as `lecture.js` has it."""

    def __init__(self, address: str, page: str, code: str, cookie: str = ""):
        super().__init__(address, page, f"room={code}", cookie)
        self.at: Mapping = {}  # what the session has been told of the room: its turn and address
        self._wanted: Mapping = {}
        self._element, self._fragment = "", ""

    async def follow(self, state: Mapping) -> float:
        """Go where the room is (`Room.public`). Returns when all of it is drawn (s)."""
        self._wanted = state
        message = BackMsg()
        message.rerun_script.fragment_id = self._fragment
        trigger = message.rerun_script.widget_states.widgets.add()
        trigger.id = f"{STREAMLIT_INTERNAL_KEY_PREFIX}_{self._element}{EVENT_DELIM}events"
        trigger.json_trigger_value = json.dumps([{"event": "said", "value": {"does": "heard"}}])
        return await self.run(message)

    def is_drawn(self) -> bool:
        return not self._wanted or all(self.at.get(name) == self._wanted[name] for name in ("turn", "address"))

    def see(self, element: Element, fragment: str) -> None:
        if element.WhichOneof("type") == "bidi_component" and element.bidi_component.component_name == "gptoss_lecture":
            self._element, self._fragment = element.bidi_component.id, fragment
            self.at = json.loads(element.bidi_component.json)
