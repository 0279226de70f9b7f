"""How much those who watch a training run slow it: one visitor trains, others look on, as their browsers would.

    python -m tests.load.onlookers http://localhost:8501 0 30 0 30

trains once for each number of onlookers and prints the seconds of training that the run took.
"""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import AsyncExitStack

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.load.client import DONE, connect

STEPS = 60
QUERY = f"preset=classroom&training_steps={STEPS}"


class Watcher:
    """A visitor of the training page whose browser runs fragments again when the page asks for it."""

    def __init__(self, address: str):
        self.address, self.page_hash, self.button, self.words, self.runs = address, "", "", "", 0
        self.again: dict[str, float] = {}  # fragment -> s between two runs of it
        self._press = False

    async def __aenter__(self) -> Watcher:
        self._socket = await connect(self.address)
        await self._run(BackMsg())
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_) -> None:
        self._looking.cancel()
        await self._socket.close()

    def train(self) -> None:
        """Press the button; what follows is seen while looking on."""
        self._press = True

    async def _look(self) -> None:
        """Run again whichever fragment's time has come, for as long as the page asks for it."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(0.1)
            message = BackMsg()
            if self._press:
                self._press = False
                state = message.rerun_script.widget_states.widgets.add()
                state.id, state.trigger_value = self.button, True
            elif self.again and loop.time() - last >= min(self.again.values()):
                message.rerun_script.fragment_id = min(self.again, key=self.again.get)
                message.rerun_script.is_auto_rerun = True
            else:
                continue
            last = loop.time()
            await self._run(message)

    async def _run(self, message: BackMsg) -> None:
        rerun = message.rerun_script
        rerun.query_string, rerun.page_script_hash = QUERY, self.page_hash
        rerun.page_name = "" if self.page_hash else "training"
        if not rerun.fragment_id:
            self.again = {}
        await self._socket.send(message.SerializeToString())
        self.runs += 1
        running = True
        while running:
            forward = ForwardMsg.FromString(await self._socket.recv())
            self._take(forward)
            running = not (forward.WhichOneof("type") == "script_finished" and forward.script_finished in DONE)

    def _take(self, forward: ForwardMsg) -> None:
        kind = forward.WhichOneof("type")
        if kind == "navigation":
            self.page_hash = forward.navigation.page_script_hash
        elif kind == "auto_rerun":
            self.again[forward.auto_rerun.fragment_id] = forward.auto_rerun.interval
        elif kind == "delta" and forward.delta.WhichOneof("type") == "new_element":
            element = forward.delta.new_element
            if element.WhichOneof("type") == "exception":
                raise RuntimeError(element.exception.message)
            if element.WhichOneof("type") == "button" and element.button.label == "Train":
                self.button = element.button.id
            if element.WhichOneof("type") == "progress":
                self.words = element.progress.text


async def trained(address: str, onlookers: int) -> tuple[str, int]:
    """Seconds of training of one run, as its owner reads them, and how often its onlookers' pages ran."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(Watcher(address))
        others = [await stack.enter_async_context(Watcher(address)) for _ in range(onlookers)]
        first.train()
        before = sum(one.runs for one in others)
        while not (done := re.match(r"Done: .*, (.*) of training", first.words)):
            await asyncio.sleep(0.5)
        seen = sum("Somebody trains" in one.words or "It is done" in one.words for one in others)
        assert seen == onlookers, f"{seen} of {onlookers} saw it"
        return done[1], sum(one.runs for one in others) - before


async def main() -> None:
    address, *numbers = sys.argv[1:]
    for number in map(int, numbers):
        seconds, runs = await trained(address, number)
        print(f"{number:3} onlookers: {seconds} for {STEPS} steps; their pages ran {runs} times", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
