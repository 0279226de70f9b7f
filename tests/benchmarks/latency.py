"""From key press to last repaint in Chromium: Build and run, or the component pages, beside a bare Streamlit page.

    python -m tests.benchmarks.latency
    python -m tests.benchmarks.latency --components
    python -m tests.benchmarks.latency --components rope gqa --far-ends
    python -m tests.benchmarks.latency --ladder
    python -m tests.benchmarks.latency --every-slider "memory?preset=gpt-oss-20b" "mxfp4?preset=classroom"
    python -m tests.benchmarks.latency --cases classroom --sliders "Sliding window" Experts --json latency.json
    python -m tests.benchmarks.latency --far-ends
    python -m tests.benchmarks.latency --while-training
    python -m tests.benchmarks.latency --before ../another-checkout --cases classroom

All servers run at once and their pages take turns, move by move; `--before` has another checkout of this repository
take part. Time is taken inside the page (`repaint.js`), so that waiting for the end costs nothing. A move is `new` where
the slider has not been there yet since the page was opened, else `seen`: the server may still remember that model and that
pass.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.benchmarks.components import MAIN_SLIDERS
from tests.benchmarks.measure import ratio, summary, table, write_json
from tests.benchmarks.servers import APP, BARE_PAGE, BARE_SLIDER, Server, serving

CASES = {
    "classroom, 8 heads": "build?preset=classroom",
    "gpt-oss-20b, 16 heads": "build?preset=gpt-oss-20b&heads=16",
    "gpt-oss-20b, 64 heads": "build?preset=gpt-oss-20b",
}
SLIDERS = ("Sliding window", "Query heads", "KV groups", "Experts", "Active experts", "Layers", "Context length")
LADDER = "ladder"
RUNGS_MOVED = ("SwiGLU", "Grouped queries", "Experts")
REPAINT = (Path(__file__).parent / "repaint.js").read_text()
QUIET, TIMEOUT = 400, 30_000  # ms
SIGN_WANTED = 300  # ms after which a move that still works must say so


@dataclass
class Slider:
    """One slider of an open page, moved by keys. It turns round at its ends, and at `highest` where that is set."""

    page: Page
    label: str
    highest: float | None = None
    step: int = -1
    seen: set[str] = field(default_factory=set)

    def position(self) -> tuple[float, float, float]:
        """Where it stands, and its ends."""
        return tuple(self._thumb().evaluate("thumb => [thumb.value, thumb.min, thumb.max].map(Number)"))

    def move(self) -> dict:
        """One step, and what the page saw of it."""
        value, low, high = self.position()
        high = high if self.highest is None else self.highest
        if not low <= value + self.step <= high:
            self.step = -self.step
        self.seen.add(self._thumb().get_attribute("aria-valuetext"))
        noted = self.press("ArrowRight" if self.step > 0 else "ArrowLeft")
        now = self._thumb().get_attribute("aria-valuetext")
        return noted | {"label": self.label, "value": now, "seen": now in self.seen}

    def press(self, key: str) -> dict:
        """One key, and what the page saw until it was quiet again."""
        self._thumb().focus()
        if not self._thumb().evaluate("thumb => thumb === thumb.getRootNode().activeElement"):
            raise SystemExit(f"{self.label} takes no keys: is it in a closed drawer, or disabled?")
        self.page.wait_for_timeout(100)
        self.page.keyboard.press(key)
        noted = self.page.evaluate(f"settled({QUIET}, {TIMEOUT})")
        if noted["timedOut"]:
            raise SystemExit(f"{self.label}: {TIMEOUT / 1000:.0f} s after {key} the page was not still: {noted}")
        if errors := self.page.get_by_test_id("stException").all_inner_texts():
            raise SystemExit(f"{self.label}: {key} led to an error: {errors}")
        return noted

    def _thumb(self):
        return self.page.locator(f'input[type="range"][aria-label="{self.label}"]')


@dataclass
class Pill:
    """One rung of the ladder, taken and left again by the space bar."""

    page: Page
    label: str

    def move(self) -> dict:
        """On or off, and what the page saw of it."""
        pill = self.page.get_by_test_id("stButtonGroup").get_by_role("button", name=self.label, exact=True)
        pill.focus()
        self.page.wait_for_timeout(100)
        self.page.keyboard.press("Space")
        noted = self.page.evaluate(f"settled({QUIET}, {TIMEOUT})")
        return noted | {"label": self.label, "value": self.label, "seen": False}


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium: the system's, or else Playwright's own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


def open_page(browser: Browser, address: str) -> Page:
    """A window of its own at `address`, drawn to the end."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.add_init_script(REPAINT)
    page.goto(address)
    page.wait_for_selector('input[type="range"]', state="attached", timeout=TIMEOUT)
    page.evaluate(f"settled({2 * QUIET}, {2 * TIMEOUT})")
    return page


def open_drawers(page: Page) -> None:
    """Open what is folded away in the sidebar: sliders in there take no keys while it is closed."""
    closed = page.locator('[data-testid="stSidebar"] details:not([open]) > summary')
    closed.evaluate_all("all => all.forEach(each => each.click())")
    page.evaluate(f"settled({2 * QUIET}, {TIMEOUT})")
    page.wait_for_timeout(QUIET)


def compare(browser: Browser, servers: dict[str, Server], case: str, address: str, labels: list[str],
            moves: int) -> list[dict]:
    """The case's sliders one after the other, each in a fresh window, every move beside one of the bare page."""
    beside = Slider(open_page(browser, servers["bare"].address), BARE_SLIDER)
    results = []
    for label in labels:
        sliders = {"bare": beside} | {name: opened(browser, f"{server.address}/{address}", case, label)
                                      for name, server in servers.items() if name != "bare"}
        for slider in sliders.values():
            slider.move()
        print(f"{case}: {label}", file=sys.stderr, flush=True)
        for _ in range(moves):
            results += [{"page": name, "case": case, "beside": label, **slider.move()} for name, slider in sliders.items()]
        for slider in [*sliders.values()][1:]:
            slider.page.close()
    beside.page.close()
    return results


def opened(browser: Browser, address: str, case: str, label: str) -> Slider | Pill:
    """A slider, or a rung of the ladder, in a fresh window."""
    page = open_page(browser, address)
    if case == LADDER:
        return Pill(page, label)
    slider = Slider(page, label)
    if label == "Query heads":  # no further up than the case says
        slider.highest = slider.position()[0]
    return slider


def slider_labels(browser: Browser, app: Server, address: str) -> list[str]:
    """Every open slider at an address, the sidebar's too."""
    page = open_page(browser, f"{app.address}/{address}")
    labels = page.locator('input[type="range"]:enabled').evaluate_all("all => all.map(each => each.ariaLabel)")
    page.close()
    return labels


def far_ends(browser: Browser, app: Server, case: str, address: str) -> list[dict]:
    """Every slider of the page from where the case has it to either end, each time from a fresh start."""
    results = []
    for label in slider_labels(browser, app, address):
        for key in ("Home", "End"):
            slider = Slider(open_page(browser, f"{app.address}/{address}"), label)
            open_drawers(slider.page)
            slider.page.evaluate("window.repaint.watching = true")
            results.append({"case": case, "label": label, "key": key} | slider.press(key))
            print(f"{label}, {key}: {results[-1]['last']:.0f} ms", file=sys.stderr, flush=True)
            slider.page.close()
    return results


def while_training(browser: Browser, app: Server, page_name: str, moves: int) -> list[dict]:
    """A component page's main slider, in turns without and with a run in the background: somebody else's, on /training."""
    main_slider = MAIN_SLIDERS[page_name]
    slider = Slider(open_page(browser, f"{app.address}/{page_name}?{main_slider.query}"), main_slider.label)
    slider.move()
    results = []
    for busy in (False, True):
        trainer = open_page(browser, f"{app.address}/training") if busy else None
        if trainer:
            trainer.get_by_role("button", name="Train", exact=True).click()
            trainer.get_by_role("button", name="Pause", exact=True).wait_for()
            trainer.wait_for_timeout(5000)
        print(f"{page_name}: {'beside a run' if busy else 'alone'}", file=sys.stderr, flush=True)
        results += [{"page": "app" if busy else "bare", "case": page_name, "beside": main_slider.label, **slider.move()}
                    for _ in range(moves)]
        if trainer:
            trainer.get_by_role("button", name="Stop", exact=True).click()
            trainer.close()
    slider.page.close()
    return results


def moved(results: list[dict], **wanted) -> list[float]:
    """Seconds to the last repaint of the results with these properties; those that changed nothing do not count."""
    return [move["last"] / 1000 for move in results
            if move["last"] and all(move[name] == value for name, value in wanted.items())]


def report(results: list[dict]) -> None:
    """A line for every slider of every case, and the ratios that the goal is about."""
    cases = list(dict.fromkeys(move["case"] for move in results))
    rows = []
    for case in cases:
        labels = dict.fromkeys(move["beside"] for move in results if move["case"] == case)
        rows += [row(results, case, label) for label in labels] + [row(results, case, None)]
    print(table(rows))


def row(results: list[dict], case: str, label: str | None) -> dict:
    """One slider of a case, or all of them where `label` is None."""
    chosen = [move for move in results if move["case"] == case and label in (None, move["beside"])]
    app, bare, before = (moved(chosen, page=page) for page in ("app", "bare", "before"))
    both = {seen: summary(moved(chosen, page="app", seen=seen)) for seen in (False, True)}
    return {"case": case, "slider": label or "all", "n": len(app), "new": both[False]["n"],
            "median ms": summary(app).get("median_ms"), "p95 ms": summary(app).get("p95_ms"),
            "new, median": both[False].get("median_ms"), "seen, median": both[True].get("median_ms"),
            "bare median": summary(bare).get("median_ms"), "bare p95": summary(bare).get("p95_ms"),
            "ratio": ratio(app, bare) if app and bare else None,
            "before": ratio(before, bare) if before and bare else None,
            "new charts": sum(move["newCharts"] for move in chosen if move["page"] == "app")}


def report_far_ends(results: list[dict]) -> None:
    """Time to either end, and to the first sign of work where one was owed; `none` where none was to be seen."""
    print(table([{"case": move["case"], "slider": move["label"], "key": move["key"], "ms": float(move["last"]) or None,
                  "first sign, ms": (float(move["sign"]) or "none") if move["last"] > SIGN_WANTED else None}
                 for move in results]))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=list(CASES), metavar="CASE", help="; ".join(CASES))
    parser.add_argument("--sliders", nargs="+", default=list(SLIDERS), metavar="LABEL")
    parser.add_argument("--components", nargs="*", choices=list(MAIN_SLIDERS), metavar="PAGE",
                        help="component pages, each with its main slider; all if none is named")
    parser.add_argument("--every-slider", nargs="+", default=[], metavar="ADDRESS",
                        help="pages by their address, each with every open slider there")
    parser.add_argument("--ladder", action="store_true", help="rungs of the ladder instead of sliders")
    parser.add_argument("--while-training", action="store_true",
                        help="component pages beside a training run, `bare` being the same page without one")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="another checkout, its ratio to the bare page beside")
    parser.add_argument("--moves", type=int, default=15, help="timed moves of every slider")
    parser.add_argument("--far-ends", action="store_true", help="take every slider to both ends instead")
    parser.add_argument("--json", type=Path, help="write every move to this file")
    return parser.parse_args()


def cases(given: argparse.Namespace) -> dict[str, tuple[str, list[str]]]:
    """By name of the case: its address and the sliders to move; all of them where none is named."""
    if given.every_slider:
        return {address: (address, []) for address in given.every_slider}
    if given.ladder:
        return {LADDER: ("ladder?preset=gpt-oss-20b", list(RUNGS_MOVED))}
    if given.components is not None:
        pages = given.components or list(MAIN_SLIDERS)
        return {page: (f"{page}?{MAIN_SLIDERS[page].query}", [MAIN_SLIDERS[page].label]) for page in pages}
    return {case: (address, given.sliders) for case, address in CASES.items()
            if any(case.startswith(start) for start in given.cases)}


def main(given: argparse.Namespace) -> None:
    """Start what is needed, measure, report."""
    chosen = cases(given)
    with ExitStack() as stack:
        servers = {"bare": stack.enter_context(serving(BARE_PAGE)), "app": stack.enter_context(serving(APP))}
        if given.before:
            servers["before"] = stack.enter_context(serving(given.before / APP.name, folder=given.before))
        app, browser = servers["app"], stack.enter_context(chromium())
        if given.while_training:
            results = [move for page in given.components or ("attention", "experts")
                       for move in while_training(browser, app, page, given.moves)]
            report(results)
        elif given.far_ends:
            results = [move for case, (address, _) in chosen.items() for move in far_ends(browser, app, case, address)]
            report_far_ends(results)
        else:
            results = [move for case, (address, labels) in chosen.items()
                       for move in compare(browser, servers, case, address,
                                           labels or slider_labels(browser, app, address), given.moves)]
            report(results)
        write_json(given.json, results)


if __name__ == "__main__":
    main(arguments())
