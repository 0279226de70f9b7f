"""Twenty visitors who move a slider at once: one page beside a bare one, and the memory that they leave behind.

    python -m tests.load.sessions
    python -m tests.load.sessions --label Experts --query "preset=gpt-oss-20b" --json load.json
    python -m tests.load.sessions --components
    python -m tests.load.sessions --components rope gqa

With `--components`, the main slider of each component page (`tests/benchmarks/components.py`), one page after the other.

The visitors are browserless (`tests/load/client.py`) and share the machine with the server. Bursts on the two pages
take turns. The memory is the server's resident set, in MB (10^6 bytes).
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from tests.benchmarks.components import MAIN_SLIDERS
from tests.benchmarks.measure import ratio, summary, table, write_json
from tests.benchmarks.servers import APP, BARE_PAGE, BARE_SLIDER, Server, serving
from tests.load.client import Session

PAUSE = 0.3  # s between two bursts
LEFT = 5  # s after the last visitor has gone, when the memory is read again


async def burst(sessions: list[Session]) -> list[float]:
    """Everybody moves at once."""
    seconds = await asyncio.gather(*(session.move() for session in sessions))
    await asyncio.sleep(PAUSE)
    return seconds


async def crowd(stack: AsyncExitStack, number: int, *page: str) -> list[Session]:
    """So many sessions on a page, opened at once."""
    return await asyncio.gather(*(stack.enter_async_context(Session(*page)) for _ in range(number)))


async def visit(app: Server, bare: Server, given: argparse.Namespace) -> dict:
    """Latencies on both pages, then many more moves on the app's alone, with its memory before, during and after."""
    memory = {"no visitor yet": app.memory()}
    async with AsyncExitStack() as stack:
        moving = await crowd(stack, given.sessions, app.address, given.label, given.page, given.query)
        beside = await crowd(stack, given.sessions, bare.address, BARE_SLIDER)
        memory["pages open"] = app.memory()
        series: dict[str, list[float]] = {"bare": [], given.page: []}
        await burst(beside), await burst(moving)  # to warm up
        for session in moving + beside:
            session.received = session.messages = 0
        for _ in range(given.bursts):
            series["bare"] += await burst(beside)
            series[given.page] += await burst(moving)
        memory["latencies taken"] = app.memory()
        traffic = {"bare": per_move(beside, given.bursts), given.page: per_move(moving, given.bursts)}
        for _ in range(given.moves):
            await burst(moving)
        memory["all moves made"] = app.memory()
    await asyncio.sleep(LEFT)
    memory[f"{LEFT} s after the last one left"] = app.memory()
    return {"seconds": series, "traffic": traffic, "memory_mb": memory}


def per_move(sessions: list[Session], moves: int) -> dict[str, int]:
    """What the server sent for one move of one session."""
    total = len(sessions) * moves
    return {"messages": round(sum(session.messages for session in sessions) / total),
            "bytes": round(sum(session.received for session in sessions) / total)}


def report(results: dict) -> None:
    """The tables."""
    seconds, traffic = results["seconds"], results["traffic"]
    print(table([{"page": page, **summary(seconds[page]), **traffic[page],
                  "ratio": ratio(seconds[page], seconds["bare"])} for page in seconds]), "\n")
    print(table([{"memory, MB": when, **values} for when, values in results["memory_mb"].items()]))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--bursts", type=int, default=10, help="timed moves of every session on each page")
    parser.add_argument("--moves", type=int, default=30, help="moves of every session after that, for the memory")
    parser.add_argument("--label", default="Sliding window", help="the slider that all move")
    parser.add_argument("--page", default="build", help="the page's address")
    parser.add_argument("--query", default="preset=classroom", help="the address's part after the question mark")
    parser.add_argument("--components", nargs="*", choices=list(MAIN_SLIDERS), metavar="PAGE",
                        help="component pages, each with its main slider; all if none is named")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    return parser.parse_args()


def visits(given: argparse.Namespace) -> list[argparse.Namespace]:
    """One visit for every page that was asked for."""
    if given.components is None:
        return [given]
    pages = given.components or list(MAIN_SLIDERS)
    main = [MAIN_SLIDERS[page] for page in pages]
    return [argparse.Namespace(**vars(given) | {"page": page, "label": slider.label, "query": slider.query})
            for page, slider in zip(pages, main, strict=True)]


def main(given: argparse.Namespace) -> None:
    """Start both servers, send the visitors, report; every page has servers of its own."""
    results = {}
    for options in visits(given):
        with serving(APP) as app, serving(BARE_PAGE) as bare:
            results[options.page] = asyncio.run(visit(app, bare, options))
        report(results[options.page])
    write_json(given.json, results)


if __name__ == "__main__":
    main(arguments())
