"""A lecture with all its windows: what gets lost comes back, also after a restart of the server."""

from __future__ import annotations

import re
from contextlib import ExitStack

import pytest
from accessibility import violations
from chromium_reader import DESKTOP, NARROW, PATIENCE, PHONE, act, open_room
from playwright.sync_api import Browser, BrowserContext, Page, expect

from gptoss.app.route import page_at
from tests.benchmarks.servers import APP, free_port, serving

ORDER = """
title = "Three stops"

[[stop]]
address = "sinks?preset=storyteller"
minutes = 5
headline = "A sink is a gate"
sentence = "A head can let its attention go."
note = \"\"\"
Slowly, <b>and</b> with a pause.

A second paragraph.
\"\"\"
beats = ["vote"]

[stop.vote]
text = "Where does it look?"
choices = ["The first token", "Nothing"]
answer = "Nothing"
because = "The sink takes it."

[[stop]]
address = "rope?preset=storyteller"
minutes = 4
headline = "Turning"
sentence = "A pair of numbers turns."

[[stop]]
address = "experts?preset=storyteller"
minutes = 6
headline = "Few of many"
sentence = "A router picks."
"""

# Every address that a page of the app gives itself.
ADDRESSES = """
window.addresses = []
for (const name of ['pushState', 'replaceState']) {
  const real = history[name]
  history[name] = function (...given) {
    real.apply(this, given)
    window.addresses.push(location.href)
  }
}
"""


class Lecture:
    """A server that can be started again on its port, and the browsers that go to it. `errors` are what their pages met."""

    def __init__(self, browser: Browser, log) -> None:
        self.errors: list[str] = []
        self._browser, self._log, self._port = browser, log, free_port()
        self._running = ExitStack()
        self.contexts: list[BrowserContext] = []
        self.start()

    def start(self) -> None:
        self.app = self._running.enter_context(serving(APP, self._log, port=self._port)).address

    def stop(self) -> None:
        self._running.close()

    def browser(self, screen: dict) -> BrowserContext:
        """One that shares nothing with the others."""
        context = self._browser.new_context(viewport=screen)
        context.set_default_timeout(2 * PATIENCE)
        context.add_init_script(ADDRESSES)
        context.on("weberror", lambda met: self.errors.append(str(met.error)))
        self.contexts.append(context)
        return context

    def open(self, context: BrowserContext, path: str) -> Page:
        page = context.new_page()
        page.goto(f"{self.app}/{path}")
        return page

    def leave(self) -> None:
        for context in self.contexts:
            context.close()
        self.stop()


@pytest.fixture
def lecture(chromium, tmp_path):
    with open(tmp_path / "log", "w+") as log:
        lecture = Lecture(chromium, log)
        try:
            yield lecture
        finally:
            lecture.leave()
        log.seek(0)
        assert "Traceback" not in log.read()
    assert lecture.errors == []


def reads(page: Page, headline: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(headline, timeout=2 * PATIENCE)


def elapsed(page: Page) -> int:
    """Seconds on the presenter's clock."""
    minutes, seconds = page.get_by_role("timer").inner_text().split(":")
    return 60 * int(minutes) + int(seconds)


def keeps_its_seat(page: Page) -> None:
    """A window of the app whose address was always one that leads or follows, and whose bar covers nothing."""
    addresses = page.evaluate("window.addresses")
    assert addresses and all("lead=" in one or "room=" in one for one in addresses)
    app, bar = page.locator(".stApp").bounding_box(), page.locator(".lecture-bar").bounding_box()
    assert app["y"] + app["height"] <= bar["y"] + 0.5


def stands_on(page: Page, path: str) -> None:
    """A window of the app shows this page, and nothing runs any more."""
    expect(page.locator(".page-head h1")).to_contain_text(page_at(path).title, timeout=4 * PATIENCE)
    expect(page.locator("[data-test-script-state='notRunning']")).to_have_count(1, timeout=2 * PATIENCE)


def test_a_lecture_survives_what_happens_in_a_hall(lecture):
    desk, pocket = lecture.browser(DESKTOP), lecture.browser(PHONE)
    code = open_room(lecture.open(desk, "room"), ORDER)
    window, phone = lecture.open(desk, f"presenter?room={code}"), lecture.open(pocket, f"room/{code}")
    reads(window, "A sink is a gate")
    expect(window.locator("#notes p")).to_have_text(["Slowly, <b>and</b> with a pause.", "A second paragraph."])
    expect(window.locator("#phones")).to_have_text("1 in the room")
    assert violations(window) == []
    projector = opened_from(window)
    votes_come_in(window, phone)
    frozen_rooms_keep_their_picture(window, phone, projector)
    follower = hands_leave_the_lecture_and_come_back(lecture, code, window)
    what_was_lost_comes_back(window, phone, pocket, projector)
    a_reload_while_a_page_is_changed_loses_no_seat(lecture, desk, code)
    late_comers_see_what_all_see(lecture, code)
    with_a_number_the_lecture_jumps_and_leaves_out(window, phone)
    a_restart_loses_neither_room_nor_clock(lecture, window, phone, projector, follower)
    window.set_viewport_size(NARROW)
    assert window.evaluate("document.scrollingElement.scrollWidth") <= NARROW["width"]
    window.get_by_role("button", name="End", exact=True).click()
    window.get_by_role("button", name="End it for everybody").click()
    reads(window, "The lecture is over")
    reads(phone, "The lecture is over")


def opened_from(window: Page) -> Page:
    """The projector, which the presenter's window misses and opens."""
    with window.context.expect_page() as opened:
        window.get_by_role("link", name="Open it in a window", exact=True).click()
    stands_on(opened.value, "sinks")
    expect(window.locator("#alone")).to_be_hidden(timeout=2 * PATIENCE)
    window.bring_to_front()
    return opened.value


def votes_come_in(window: Page, phone: Page) -> None:
    window.keyboard.press("PageDown")
    expect(window.get_by_role("button", name="Close the vote")).to_be_visible()
    assert violations(phone) == []
    phone.get_by_role("radio", name="Nothing").click()
    expect(window.locator("#vote-count")).to_have_text("1")
    expect(window.locator(".choice.true b")).to_have_text("1")
    window.keyboard.press("PageDown")
    expect(window.locator("#vote-name")).to_have_text("Vote, closed")


def frozen_rooms_keep_their_picture(window: Page, phone: Page, projector: Page) -> None:
    window.keyboard.press("f")
    expect(window.get_by_role("button", name="Freeze")).to_have_attribute("aria-pressed", "true")
    window.keyboard.press("PageDown")
    reads(window, "Turning")
    expect(window.locator("#frozen")).to_contain_text("the room sees stop 1, A sink is a gate")
    reads(phone, "A sink is a gate")
    stands_on(projector, "sinks")
    window.keyboard.press("f")
    reads(phone, "Turning")
    stands_on(projector, "rope")
    window.keyboard.press("b")
    expect(window.locator("#dark")).to_be_visible()
    window.keyboard.press("b")
    expect(window.locator("#dark")).to_be_hidden()


def hands_leave_the_lecture_and_come_back(lecture: Lecture, code: str, window: Page) -> Page:
    """Somebody who comes late with the whole app follows by itself, until a hand has touched a control."""
    follower = lecture.open(lecture.browser(DESKTOP), f"sinks?preset=storyteller&room={code}")
    stands_on(follower, "rope")
    follower.get_by_test_id("stMain").get_by_test_id("stButtonGroup").get_by_role("radio").nth(1).click()
    expect(follower.get_by_role("button", name="Back to the lecture")).to_be_visible()
    window.keyboard.press("PageDown")
    reads(window, "Few of many")
    stands_on(follower, "rope")
    follower.get_by_role("button", name="Back to the lecture").click()
    stands_on(follower, "experts")
    window.keyboard.press("PageUp")
    stands_on(follower, "rope")
    return follower


def what_was_lost_comes_back(window: Page, phone: Page, pocket: BrowserContext, projector: Page) -> None:
    pocket.set_offline(True)
    phone.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    window.keyboard.press("PageDown")
    reads(window, "Few of many")
    pocket.set_offline(False)
    reads(phone, "Few of many")
    before = elapsed(window)
    for page in (window, phone):
        page.reload()
        reads(page, "Few of many")
    projector.reload()
    stands_on(projector, "experts")
    assert elapsed(window) >= before
    expect(window.locator("#phones")).to_have_text("2 in the room")


def a_reload_while_a_page_is_changed_loses_no_seat(lecture: Lecture, desk: BrowserContext, code: str) -> None:
    """As by somebody who has clicked on the wrong page in the bar: the reload leads back to the stop."""
    another = lecture.open(desk, f"experts?preset=storyteller&lead={code}")
    stands_on(another, "experts")
    expect(another.locator(".lecture-bar")).to_contain_text("3 / 3", timeout=2 * PATIENCE)
    another.get_by_test_id("stTopNav").get_by_role("button", name="Components").click()
    another.locator("a[data-testid=stTopNavDropdownLink][href$='rmsnorm']").click()
    another.wait_for_url("**/rmsnorm?*")
    keeps_its_seat(another)
    another.reload()
    stands_on(another, "experts")
    keeps_its_seat(another)
    another.close()


def late_comers_see_what_all_see(lecture: Lecture, code: str) -> None:
    late = lecture.browser(PHONE)
    reads(lecture.open(late, f"room/{code}"), "Few of many")
    stranger = lecture.open(late, f"presenter?room={code}")
    reads(stranger, "This room cannot be opened here")
    assert act(lecture.open(late, f"room/{code}"), code, "forward") == 403
    late.close()
    lecture.contexts.remove(late)


def with_a_number_the_lecture_jumps_and_leaves_out(window: Page, phone: Page) -> None:
    window.keyboard.press("1")
    window.keyboard.press("Enter")
    reads(phone, "A sink is a gate")
    window.get_by_role("button", name="skip stop 2").click()
    expect(window.locator("#next-headline")).to_have_text("Few of many")


def a_restart_loses_neither_room_nor_clock(lecture: Lecture, window: Page, phone: Page, *app: Page) -> None:
    before = elapsed(window)
    for page in app:
        stands_on(page, "sinks")
        keeps_its_seat(page)
    lecture.stop()
    expect(window.locator("#link")).to_contain_text("Connection lost")
    for page in app:  # as while a page is being changed from the bar
        page.evaluate("history.replaceState(history.state, '', location.pathname)")
        keeps_its_seat(page)
    lecture.start()
    expect(window.locator("#link")).to_have_text("Connected", timeout=2 * PATIENCE)
    reads(window, "A sink is a gate")
    assert elapsed(window) >= before
    expect(window.locator("#next-headline")).to_have_text("Few of many")
    window.keyboard.press("PageDown")
    phone.get_by_role("radio", name="The first token").click()
    expect(window.locator("#vote-count")).to_have_text("1")
    for page in app:
        expect(page).to_have_url(re.compile(r"[?&](lead|room)=\w{4}"))
    window.keyboard.press("PageDown")
    window.keyboard.press("PageDown")
    for page in app:
        stands_on(page, "experts")
