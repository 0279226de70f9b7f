"""The server's memory: 20 visitors on one page after the other, a contest beside them, and what is left when all have gone.

    python -m tests.load.memory
    python -m tests.load.memory --presets gpt-oss-20b --pages build sinks --waves 0
    python -m tests.load.memory --contest

One server a preset. A page has visitors of five models: the preset and four other windows. After the pages come
waves of visitors who open every page and go. Memory is the server's resident set, in MB (10^6 bytes).
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import AsyncExitStack
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlencode

from tests.benchmarks.measure import table, write_json
from tests.benchmarks.servers import APP, Server, serving
from tests.load.client import Visitor
from tests.load.cold import PATHS, class_comes
from tests.load.onlookers import Watcher

MOVED = [{}, *({"window": window} for window in ("8", "16", "64", "off"))]
AFTER = 60  # s after the last visitor has gone


async def crowd(server: Server, path: str, preset: str, sessions: int) -> dict[str, float]:
    """The memory while so many are on one page."""
    async with AsyncExitStack() as stack:
        queries = [urlencode({"preset": preset, **moved}) for moved in islice(cycle(MOVED), sessions)]
        await asyncio.gather(*(stack.enter_async_context(Visitor(server.address, path, query)) for query in queries))
        return server.memory()


async def visits(server: Server, preset: str, given: argparse.Namespace) -> list[dict]:
    """One row for every page, then for what is left, then for every wave."""
    rows = []

    def row(when: str, memory: dict[str, float]) -> None:
        rows.append({"preset": preset, "when": when, **memory})
        print(f"{preset}, {when}: {memory['now']:.0f} MB", flush=True)

    row("nobody yet", server.memory())
    async with AsyncExitStack() as stack:
        if given.contest:
            trainer = await stack.enter_async_context(Watcher(server.address))
            trainer.train()
        for path in given.pages:
            row(f"{given.sessions} on /{path}", await crowd(server, path, preset, given.sessions))
    await asyncio.sleep(AFTER)
    row(f"{AFTER} s after the last has gone", server.memory())
    for wave in range(given.waves):
        await class_comes(server.address, given.wave)
        row(f"{(wave + 1) * given.wave} have opened a page and gone", server.memory())
    if given.waves:
        await asyncio.sleep(AFTER)
        row(f"{AFTER} s after them", server.memory())
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["storyteller", "gpt-oss-20b"])
    parser.add_argument("--pages", nargs="+", choices=PATHS, default=PATHS, metavar="PAGE")
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--contest", action="store_true", help="with one visitor's training all the while")
    parser.add_argument("--waves", type=int, default=5)
    parser.add_argument("--wave", type=int, default=100, help="visitors in each")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    for preset in given.presets:
        with serving(APP) as server:
            rows += asyncio.run(visits(server, preset, given))
    print(table(rows))
    write_json(given.json, rows)


if __name__ == "__main__":
    main()
