"""A shipped lecture from its start to its last beat, with pictures of every window: `python -m tests.browser.played OUT`.

    python -m tests.browser.played OUT --order 90 --theme dark

The projector is led by a clicker alone, beside it stand the presenter's window, a phone that votes whenever it is asked, and
a session of the full app that follows. At every place of the order it wants the page that the order names there, the
experiment's sentence or the answer where one was called for, the same headline on the phone, and the follower at the
projector's address. OUT gets the pictures, `report.txt` and `server.log`; the command fails where anything was missing.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "kit"))

from chromium_reader import DESKTOP, LAPTOP, PATIENCE, PHONE, at_rest, settle  # noqa: E402

from gptoss.room.order import REVEAL, SHIPPED, TRY, VOTE, Order, read_order  # noqa: E402
from tests.benchmarks.servers import APP, serving  # noqa: E402

MOST_STEPS = 40  # of one picture, between two beats
BEGINS = 600  # ms in which a press of the clicker begins to show
RESTS = 4  # times the patience of a browser test in which a page has to come to rest
ANSWER = re.compile(r"^(It is|The answer is|That is right)")
FOLLOWS = 30.0  # s in which a follower has to be where the projector is
Place = tuple[int, int]


class Played:
    """The windows of one lecture, and what was missing in it."""

    def __init__(self, desk: BrowserContext, pocket: BrowserContext, seat: BrowserContext, app: str, out: Path,
                 order: Order) -> None:
        self.app, self.out, self.order, self.lines, self.missing = app, out, order, [], 0
        self.errors: list[str] = []
        for context in (desk, pocket, seat):
            context.set_default_timeout(2 * PATIENCE)
            context.on("weberror", lambda met: self.errors.append(str(met.error)))
        self._desk, self._pocket, self._seat = desk, pocket, seat

    def start(self, name: str, theme: str) -> None:
        """Start the lecture from its page; then come the presenter's window, the phone and the follower.

        A projector is light whatever the system is, unless its address says otherwise.
        """
        self.projector = self._desk.new_page()
        self.projector.set_viewport_size(LAPTOP)
        self.projector.goto(f"{self.app}/lecture?order={name}")
        self.rest(self.projector)
        self.projector.screenshot(path=self.out / "00-lectures.png")
        self.projector.get_by_role("button", name="Start the lecture").click()
        self.projector.wait_for_url(re.compile(r"lead=\w{4}"))
        if theme == "dark":
            self.projector.goto(f"{self.projector.url}&theme=dark")
        self.rest(self.projector)
        self.code = parse_qs(urlsplit(self.projector.url).query)["lead"][0]
        self.presenter, self.phone, self.follower = (one.new_page() for one in (self._desk, self._pocket, self._seat))
        self.presenter.goto(f"{self.app}/presenter?room={self.code}")
        self.phone.goto(f"{self.app}/room")
        self.phone.screenshot(path=self.out / "00-join.png")
        self.phone.get_by_role("textbox").fill(self.code.lower())
        self.phone.keyboard.press("Enter")
        expect(self.phone.locator("#headline")).to_have_text(self.order.stops[0].headline)
        self.follower.goto(f"{self.app}/?room={self.code}")
        self.rest(self.follower)

    def play(self) -> None:
        """Press forward until the order is at its end; look at every place."""
        last = (len(self.order.stops) - 1, len(self.order.stops[-1].beats))
        place = self.place()
        self.look(place)
        while place != last:
            before, place = place, self.on(place)
            self.want(place == after(self.order, before), f"forward led from {before} to {place}")
            if place == before:
                return
            self.look(place)

    def on(self, place: Place) -> Place:
        """Press forward until the place is another: a picture takes its own steps first."""
        for _ in range(MOST_STEPS):
            self.projector.keyboard.press("PageDown")
            self.projector.wait_for_timeout(BEGINS)
            self.rest(self.projector)
            if self.place() != place:
                break
        return self.place()

    def look(self, place: Place) -> None:
        """What every window shows at a place."""
        stop, beat = self.order.stops[place[0]], self.order.stops[place[0]].beats[place[1] - 1] if place[1] else None
        name = f"{place[0] + 1:02}.{place[1]:02}"
        self.line(f"{name} {stop.path}: {beat.kind + (f' {beat.value}' if beat.value else '') if beat else stop.headline}")
        shown = urlsplit(self.projector.url).path.strip("/") or "start"
        self.want(shown == stop.path, f"the projector is on {shown}")
        self.want(not self.projector.get_by_test_id("stException").count(), "an error is shown")
        if beat and beat.kind == TRY:
            tried = self.projector.get_by_text(re.compile(rf"^{re.escape(beat.value)}:? \S"))
            self.want(self.comes(tried), f"nothing is said of “{beat.value}”")
        if beat and beat.kind == REVEAL:
            self.want(self.comes(self.projector.get_by_text(ANSWER)), "no answer is shown")
        self.want(self.comes(self.phone.locator("#headline", has_text=stop.headline)), "the phone is somewhere else")
        self.want(self.comes(self.presenter.locator("#headline", has_text=stop.headline)), "the presenter is somewhere else")
        self.want(self.follows(), f"the follower is at {self.follower.url}")
        if beat and beat.kind == VOTE:
            self.vote()
        self.pictures(name, with_all=beat is None or beat.kind == VOTE)

    def vote(self) -> None:
        """The phone answers the question that is asked; the presenter sees that somebody has."""
        asked = self.phone.locator("#vote:not(.closed)")
        if not self.comes(asked):
            self.want(False, "no vote is open on the phone")
            return
        self.line(f"      asked: {self.phone.locator('#question').inner_text()}")
        choices = self.phone.locator("#choices button:visible")
        if choices.count():
            choices.first.click()
        else:
            self.phone.locator("#value").fill("10")
            self.phone.keyboard.press("Enter")
        self.want(self.comes(self.phone.get_by_text(re.compile("counts"))), "the answer does not count")

    def follows(self) -> bool:
        """Whether the follower comes to where the projector is."""
        until = time.monotonic() + FOLLOWS
        while time.monotonic() < until:
            if state_of(self.follower) == state_of(self.projector):
                return True
            self.follower.wait_for_timeout(250)
        return False

    def place(self) -> Place:
        """Where in the order the projector is, by its address."""
        self.projector.wait_for_url(re.compile(r"[?&]at=\d"))
        stop, beat = parse_qs(urlsplit(self.projector.url).query)["at"][0].split(".")
        return int(stop) - 1, int(beat)

    def pictures(self, name: str, with_all: bool) -> None:
        windows = {"projector": self.projector, "presenter": self.presenter, "phone": self.phone, "follower": self.follower}
        for window, page in windows.items() if with_all else [("projector", self.projector)]:
            page.screenshot(path=self.out / f"{name}-{window}.png")

    def comes(self, what) -> bool:
        """Whether something is to be seen, as soon as a page has come to rest."""
        try:
            expect(what.first).to_be_visible(timeout=RESTS * PATIENCE)
        except AssertionError:
            return False
        return True

    def want(self, held: bool, otherwise: str) -> None:
        if not held:
            self.missing += 1
            self.line(f"      MISSING: {otherwise}")

    def line(self, words: str) -> None:
        self.lines.append(words)
        print(words, flush=True)

    def rest(self, page: Page) -> None:
        """Wait until a page has come to rest; a picture may take what several passes of a model take."""
        for _ in range(RESTS):
            try:
                at_rest(page)
                settle(page)
            except AssertionError:
                continue
            return
        self.want(False, f"{page.url} does not come to rest")


def after(order: Order, place: Place) -> Place:
    """The place that one press of the clicker leads to."""
    stop, beat = place
    return (stop, beat + 1) if beat < len(order.stops[stop].beats) else (stop + 1, 0)


def state_of(page: Page) -> tuple[str, dict]:
    """What a page's address shows: without what belongs to its session."""
    parts = urlsplit(page.url)
    said = parse_qs(parts.query)
    return parts.path, {key: said[key] for key in said.keys() - {"lead", "room", "at", "stage", "theme"}}


def play(out: Path, name: str, theme: str) -> bool:
    """The whole lecture; whether nothing was missing in it."""
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "server.log", "w+") as log, serving(APP, log) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        contexts = [browser.new_context(viewport=screen, color_scheme=theme) for screen in (DESKTOP, PHONE, LAPTOP)]
        played = Played(*contexts, server.address, out, read_order(SHIPPED[name]))
        played.start(name, theme)
        played.play()
        for error in played.errors:
            played.want(False, f"an error in a page: {error}")
        browser.close()
        played.want("Traceback" not in (out / "server.log").read_text(), "the server met an error, see server.log")
    (out / "report.txt").write_text("\n".join([*played.lines, f"{played.missing} missing", ""]), encoding="utf-8")
    print(f"{played.missing} missing")
    return not played.missing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--order", choices=SHIPPED, default="45")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    asked = parser.parse_args()
    sys.exit(0 if play(asked.out, asked.order, asked.theme) else 1)


if __name__ == "__main__":
    main()
