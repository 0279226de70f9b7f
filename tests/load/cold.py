"""A whole class meets a server that nobody has opened yet: sessions on all pages at once, and every error that they met.

    python -m tests.load.cold
    python -m tests.load.cold --sessions 100 --rounds 3

Each round starts a new server. An error is an exception on a page or a traceback in the server's log.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.benchmarks.servers import APP, ROOT, serving
from tests.load.client import connect

PATHS = sorted("" if path.stem == "start" else path.stem for path in (ROOT / "pages").glob("*.py"))
PATIENCE = 300  # s that the last of all may take


async def visit(address: str, path: str) -> list[str]:
    """Open one page and wait until its first run has ended: the exceptions on it."""
    errors = []
    async with connect(address, PATIENCE) as socket:
        message = BackMsg()
        message.rerun_script.page_name = path
        await socket.send(message.SerializeToString())
        while True:
            forward = ForwardMsg.FromString(await asyncio.wait_for(socket.recv(), PATIENCE))
            kind = forward.WhichOneof("type")
            if kind == "delta" and forward.delta.new_element.WhichOneof("type") == "exception":
                errors.append(f"/{path}: {forward.delta.new_element.exception.message}")
            if kind == "script_finished" and forward.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                return errors


async def class_comes(address: str, sessions: int) -> list[str]:
    """So many visitors at once, spread over all pages."""
    visits = await asyncio.gather(*(visit(address, path) for path in islice(cycle(PATHS), sessions)))
    return [error for errors in visits for error in errors]


def round_of(sessions: int) -> tuple[list[str], float]:
    """A new server and its first visitors: the errors of pages and log, and the seconds until all had their page."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("w") as file, serving(APP, file) as server:
            start = time.perf_counter()
            errors = asyncio.run(class_comes(server.address, sessions))
            seconds = time.perf_counter() - start
        lines = log.read_text().splitlines()
    return errors + [line for line in lines if "Error" in line or line.startswith("Traceback")], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    failed = False
    for number in range(1, given.rounds + 1):
        errors, seconds = round_of(given.sessions)
        failed |= bool(errors)
        print(f"Round {number}: {given.sessions} sessions on {len(PATHS)} pages in {seconds:.0f} s, {len(errors)} errors.")
        for error in dict.fromkeys(errors):
            print(f"  {error}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
