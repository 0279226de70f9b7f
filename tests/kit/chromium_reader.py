"""What a reader does in the browser, and what a reader must never see."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect

from gptoss.app.lesson import BESIDE
from gptoss.app.pictures import MAIN

PATIENCE = 15_000  # ms; the machine may be busy with other tests
expect.set_options(timeout=PATIENCE)
DESKTOP = {"width": 1440, "height": 900}
LAPTOP = {"width": 1280, "height": 720}
PHONE = {"width": 390, "height": 844}
NARROW = {"width": 320, "height": 640}  # WCAG 2.2, 1.4.10: no scrolling in two directions

# Console errors that are no fault of ours: Streamlit's browser side asks for these two below the page's own address
# before it asks at the root, a machine without a network cannot resolve the host of Streamlit's icons, and a picture of
# a run that the next move overtook is gone from the server before the browser asks for it.
HARMLESS = (
    re.compile(r"status of 404 .*/[a-z0-9_]+/_stcore/(health|host-config)$"),
    re.compile(r"net::ERR_(NAME_NOT_RESOLVED|INTERNET_DISCONNECTED|PROXY_CONNECTION_FAILED) https://fonts\.gstatic\.com/"),
    re.compile(r"status of 404 .*/media/[0-9a-f]+\.png$|^Client Error: Image source error - .*/media/[0-9a-f]+\.png"),
)

_CLIPPED = """() => [...document.querySelectorAll('[data-testid=stMain] :is(p, button, label, dt, dd)')]
    .filter(each => each.offsetParent && each.scrollWidth > each.clientWidth + 1
            && getComputedStyle(each).overflowX === 'hidden' && getComputedStyle(each).display !== 'inline')
    .map(each => each.innerText)"""
_LABELS_OUTSIDE = """() => [...document.querySelectorAll('[data-testid=stVegaLiteChart] svg.marks')].flatMap(svg => {
    const box = svg.getBoundingClientRect()
    return [...svg.querySelectorAll('text')].filter(text => {
        const here = text.getBoundingClientRect()
        return here.width && (here.left < box.left - 2 || here.right > box.right + 2
                              || here.top < box.top - 2 || here.bottom > box.bottom + 2)
    }).map(text => text.textContent)
})"""
_OPEN_ROOM = """([to, order]) => fetch(to, {method: 'POST', headers: {'Content-Type': 'application/json'},
    body: JSON.stringify({order})}).then(answer => answer.json()).then(said => said.code)"""
_ACT = """([to, said]) => fetch(to, {method: 'POST', headers: {'Content-Type': 'application/json'},
    body: JSON.stringify(said)}).then(answer => answer.status)"""
_HOOK = """window.calls = []
for (const name of ['alert', 'confirm', 'prompt']) window[name] = () => window.calls.push(name)
window.unanswered = false
window.WebSocket = class extends WebSocket {
    constructor(...to) {
        super(...to)
        this.addEventListener('message', () => { window.unanswered = false })
    }
    send(words) {
        window.unanswered = true
        super.send(words)
    }
}
"""

# Once a window: what a reader does later stays.
_FOLD = """
if (!sessionStorage.getItem('begun')) {
    sessionStorage.setItem('begun', '1')
    localStorage.setItem('gptoss-opening-folded', '1')
}"""


# Resolves once nothing has changed on the page for some frames, the server has answered and runs no script, and nothing
# that is to be seen is still to come; or when patience is at its end. A frame that a busy machine is late with counts as
# one, so the wait is long enough.
_SETTLE = """([quiet, patience]) => new Promise(done => {
    const start = performance.now()
    const shown = each => each.checkVisibility()
    const toCome = () => window.unanswered || document.querySelector('[data-test-script-state=running]')
        || [...document.querySelectorAll('[data-testid=stSkeleton]')].some(shown)
        || [...document.querySelectorAll('[data-testid=stVegaLiteChart]:not(:has(canvas, svg.marks))')].some(shown)
    let still = 0
    const observer = new MutationObserver(() => { still = 0 })
    observer.observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true})
    const look = () => {
        still = toCome() ? 0 : still + 1
        if (still < quiet && performance.now() - start < patience) return requestAnimationFrame(look)
        observer.disconnect()
        done(still >= quiet)
    }
    look()
})"""
QUIET = 8  # frames, of which a browser that has nothing else to do draws 60 a second


class Visits:
    """Pages of one browser, and the errors they met. Each page is a session of its own."""

    def __init__(self, browser: Browser, app: str):
        self.app = app
        self.errors: list[str] = []
        self.pages: list[Page] = []
        self._browser = browser

    def open(self, address: str = "/build", screen: dict = DESKTOP, scheme: str = "light", stranger: bool = False,
             folded: bool = True, **query: str) -> Page:
        """A page, painted and settled. A `stranger` shares nothing with whoever was here before, not even the cache.

        Its opening is `folded` as a reader leaves it who knows the page.
        """
        known = self._browser.contexts
        context = self._browser.new_context() if stranger or not known else known[0]
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.set_viewport_size(screen)
        page.emulate_media(color_scheme=scheme)
        page.add_init_script(_HOOK + (_FOLD if folded else ""))
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        page.on("console", self._listen)
        self.pages.append(page)
        page.goto(address if address.startswith("http") else f"{self.app}{address}?{urlencode(query)}", timeout=3 * PATIENCE)
        at_rest(page)
        settle(page)
        return page

    def assert_no_errors(self) -> None:
        """Look at every page once more, then at what they met."""
        for page in self.pages:
            assert_no_error_shown(page)
            assert page.evaluate("window.calls") == []
        assert self.errors == [], self.errors

    def leave(self) -> None:
        """Close every page. Only the first context stays, since it holds the app's files."""
        for page in self.pages:
            page.close()
        for context in self._browser.contexts[1:]:
            context.close()

    def _listen(self, message: ConsoleMessage) -> None:
        words = f"{message.text} {message.location['url']}"
        if message.type == "error" and not any(harmless.search(words) for harmless in HARMLESS):
            self.errors.append(words)


def at_rest(page: Page) -> None:
    """Wait until the script has run and the page's head is painted.

    After a click Streamlit shows the old page, and that nothing runs, until a busy server has begun with its answer.
    """
    page.wait_for_function("() => !window.unanswered", timeout=3 * PATIENCE)
    expect(page.locator(".page-head h1")).to_be_visible(timeout=3 * PATIENCE)
    measured = 8 * PATIENCE  # a view such as Memory's FP8 cache computes for seconds, and tests may share the processor
    expect(page.locator("[data-test-script-state='notRunning']")).to_have_count(1, timeout=measured)


def settle(page: Page) -> None:
    """Wait until charts are drawn and nothing moves any more: a click on what still moves may be lost."""
    assert page.evaluate(_SETTLE, [QUIET, PATIENCE]), "the page does not come to rest"


def open_tab(page: Page, name: str) -> None:
    """Open a tab, and wait for what it shows."""
    page.get_by_role("tab", name=name).click()
    expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
    at_rest(page)
    settle(page)


def misfits(page: Page) -> list[str]:
    """What is wider than the screen, cut off, or drawn outside of its chart."""
    widths = page.evaluate("""() => [document.scrollingElement, document.querySelector('[data-testid=stMain]')]
        .map(box => [box.scrollWidth, box.clientWidth])""")
    return ([f"{needed} px wide on {there}" for needed, there in widths if needed > there]
            + [f"cut off: {words}" for words in page.evaluate(_CLIPPED)]
            + [f"outside of its chart: {words}" for words in page.evaluate(_LABELS_OUTSIDE)])


def patiently(look: Callable[..., None]) -> Callable[..., None]:
    """A look at the page that is repeated for a while where it fails: what a busy browser lays out late is no fault."""

    @wraps(look)
    def looks(page: Page, *wanted: object, **more: object) -> None:
        for pause in (100, 400, 1600):
            try:
                return look(page, *wanted, **more)
            except AssertionError:
                page.wait_for_timeout(pause)
        return look(page, *wanted, **more)

    return looks


@patiently
def assert_fits(page: Page) -> None:
    found = misfits(page)
    assert not found, found


def view_buttons(page: Page, path: str) -> list[Locator]:
    """The buttons of the switch between a page's views, if it has one above its picture."""
    return page.locator(f".st-key-{'view' if path == 'build' else f'{path}_view'} button").all()


@patiently
def assert_picture_begins(page: Page, at_most: int, height: float = 0.0) -> None:
    """The main picture begins so many px below the top of the window, and takes this share of its height."""
    page.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, 0)")
    box = page.locator(".st-key-main_picture").filter(visible=True).first.bounding_box()
    where = box, page.locator("h1").inner_text(), page.url
    assert 0 < box["y"] <= at_most, where
    assert box["height"] >= height * page.viewport_size["height"], where


@patiently
def assert_question_is_near(page: Page) -> None:
    """The question begins right under its picture, and is one scroll away where the picture fits a screen."""
    screen = page.viewport_size["height"]
    page.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, 0)")
    picture, question = (page.locator(f".st-key-{key}").filter(visible=True).first.bounding_box() for key in (MAIN, BESIDE))
    end = picture["y"] + picture["height"]
    assert end <= question["y"] <= end + 0.3 * screen, (page.url, picture, question)
    assert question["y"] <= 1.85 * screen or picture["height"] > screen, (page.url, picture, question)


def assert_opening_leaves_room(page: Page) -> None:
    """With its opening, the page still shows a good part of its picture before anybody scrolls; folded, it is as before."""
    fold = page.locator(".head-fold")
    for screen, share in ((LAPTOP, 0.5), (PHONE, 0.35)):
        page.set_viewport_size(screen)
        settle(page)
        fold.click()
        expect(page.locator(".head-opening p")).to_have_count(3)
        expect(page.locator(".head-opening")).to_be_visible()
        box = page.locator(".st-key-main_picture").filter(visible=True).first.bounding_box()
        assert box["y"] <= (1 - share) * screen["height"], (page.url, screen, box)
        assert_fits(page)
        fold.click()
        expect(page.locator(".head-opening")).to_be_hidden()


def assert_no_error_shown(page: Page) -> None:
    for box in ("stException", "stAlertContentError"):
        assert page.get_by_test_id(box).count() == 0, page.get_by_test_id(box).first.inner_text()
    assert page.get_by_role("dialog").count() == 0, page.get_by_role("dialog").first.inner_text()


def slider(page: Page, label: str) -> Locator:
    """A slider of ours, or one of Streamlit's, whose name its group says once more."""
    return page.get_by_role("slider", name=label, exact=True).or_(
        page.get_by_role("group", name=label, exact=True).get_by_role("slider"))


def press(page: Page, label: str, key: str, times: int = 1, pause: int = 0) -> None:
    """Move a slider by keys, as fast as `pause` (ms) allows."""
    slider(page, label).focus()
    for _ in range(times):
        page.keyboard.press(key)
        page.wait_for_timeout(pause)


@contextmanager
def holding(page: Page, label: str, share: float) -> Iterator[Callable[[float], None]]:
    """Take hold of a slider at a `share` of its length; pull it to others by what is given; let go at the end."""
    box = slider(page, label).bounding_box()

    def pull(share: float) -> None:
        page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)

    pull(share)
    page.mouse.down()
    yield pull
    page.mouse.up()


def drag(page: Page, label: str, shares: Sequence[float]) -> None:
    """Drag a slider with the mouse over places at these shares of its length."""
    with holding(page, label, shares[0]) as pull:
        for share in shares[1:]:
            pull(share)


def expect_position(page: Page, label: str, shown: str) -> None:
    expect(slider(page, label)).to_have_attribute("aria-valuetext", shown)


def expect_address(page: Page, **wanted: str) -> None:
    """Wait for the address to hold these values; `None` for one that it must not hold."""
    page.wait_for_function(
        "wanted => { const q = new URLSearchParams(location.search);"
        " return Object.entries(wanted).every(([key, value]) => q.get(key) === value) }", arg=wanted, timeout=PATIENCE)


def address(page: Page) -> dict[str, str]:
    return {key: values[-1] for key, values in parse_qs(urlsplit(page.url).query, keep_blank_values=True).items()}


def vital_sign(page: Page, label: str) -> Locator:
    return page.locator(".vital-signs > div").filter(has_text=label).locator("dd")


def vital_signs(page: Page) -> list[str]:
    return page.locator(".vital-signs > div").all_inner_texts()


def text_box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Text", exact=True)


def type_text(page: Page, text: str) -> None:
    text_box(page).fill(text)
    text_box(page).press("Control+Enter")


def chips(page: Page) -> list[str]:
    """The tokens on the screen, without their ids."""
    return page.locator(".chips span").evaluate_all("all => all.map(chip => chip.firstChild.textContent)")


def open_room(page: Page, order: str) -> str:
    """Open a room for a running order, as the button on the page of lectures does; its code. The browser has its key."""
    return page.evaluate(_OPEN_ROOM, [urljoin(page.url, "/room/open"), order])


def act(page: Page, code: str, does: str, **more: object) -> int:
    """Send what the presenter's window sends, from any page of the browser; the status of the answer."""
    return page.evaluate(_ACT, [urljoin(page.url, f"/room/{code}/act"), {"act": does, **more}])


def marks(page: Page) -> list[int]:
    """For every chart on the page how much it draws: painted pixels of a canvas, marks of an SVG."""
    return page.evaluate("""() => [...document.querySelectorAll('[data-testid=stVegaLiteChart]')].map(chart => {
        const canvas = chart.querySelector('canvas')
        const shapes = ['rect', 'line', 'area', 'symbol'].map(kind => `.mark-${kind} path`).join()
        if (!canvas) return chart.querySelectorAll(shapes).length
        const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data
        let painted = 0
        for (let i = 3; i < pixels.length; i += 4) painted += pixels[i] > 0
        return painted
    })""")
