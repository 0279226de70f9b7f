"""How often a page is painted anew while a hand drags a dial, and whether all agree once it has let go.

    python -m tests.benchmarks.dragging
    python -m tests.benchmarks.dragging --address "window?preset=gpt-oss-20b" --label "Window drawn (tokens)" --seconds 20

The mouse goes to and fro along the dial, a step every few milliseconds. A repaint is a run of the script after which the
page's main area has changed on the screen. Before and after the drag a key moves a bare Streamlit page: what that takes
says how busy the machine was.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page

from tests.benchmarks.latency import QUIET, TIMEOUT, Slider, chromium, open_page
from tests.benchmarks.measure import table, write_json
from tests.benchmarks.servers import APP, BARE_PAGE, BARE_SLIDER, serving

STEP = 0.01  # s between two moves of the mouse
ROUND = 2.5  # s from one end of the dial to the other and back
BARE_MOVES = 10

# Counts the runs after which the main area has changed since the run before; looks once the change is painted.
_COUNT = """() => {
    let before = 0, was = false
    window.painted = 0
    new MutationObserver(() => {
        const running = document.querySelector('.stApp').dataset.testScriptState === 'running'
        if (was && !running) requestAnimationFrame(() => setTimeout(() => {
            if (window.repaint.changes > before) window.painted += 1
            before = window.repaint.changes
        }, 0))
        was = running
    }).observe(document.querySelector('.stApp'), {attributeFilter: ['data-test-script-state']})
}"""


def drag(page: Page, label: str, seconds: float) -> dict:
    """Drag a dial for so long. What was painted by then, and whether the address and the dial agree in the end."""
    dial = page.get_by_role("slider", name=label, exact=True)
    box = dial.bounding_box()
    page.evaluate(_COUNT)
    before = page.url

    def pull(since: float) -> None:
        share = 0.5 + 0.45 * math.sin(2 * math.pi * since / ROUND)
        page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)

    pull(0)
    page.mouse.down()
    start, moves = time.monotonic(), 0
    while (since := time.monotonic() - start) < seconds:
        pull(since)
        moves += 1
        page.wait_for_timeout(1000 * STEP)
    painted = page.evaluate("window.painted")
    page.mouse.up()
    page.wait_for_function("before => location.href !== before", arg=before, timeout=TIMEOUT)
    page.evaluate(f"settled({2 * QUIET}, {TIMEOUT})")
    written = {key: values[-1] for key, values in parse_qs(urlsplit(page.url).query).items()}
    return {"moves": moves, "repaints": painted, "a second": round(painted / seconds, 2),
            "dial": dial.get_attribute("aria-valuetext"), "address": written}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="build?preset=gpt-oss-20b", help="the page, and what follows its question mark")
    parser.add_argument("--label", default="Query heads", help="the dial")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--json", type=Path, help="write the results to this file")
    return parser.parse_args()


def main(given: argparse.Namespace) -> None:
    """Start what is needed, drag, report."""
    with serving(APP) as app, serving(BARE_PAGE) as bare, chromium() as browser:
        beside = Slider(open_page(browser, bare.address), BARE_SLIDER)
        page = open_page(browser, f"{app.address}/{given.address}")
        taken = [beside.move()["last"] for _ in range(BARE_MOVES)]
        result = drag(page, given.label, given.seconds)
        taken += [beside.move()["last"] for _ in range(BARE_MOVES)]
    result["bare page, median ms"] = round(statistics.median(taken), 1)
    print(table([result]))
    write_json(given.json, result)


if __name__ == "__main__":
    main(arguments())
