"""Somebody who knows nothing goes from the first page to the last, by links and buttons alone, and says what was missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from chromium_reader import PATIENCE, at_rest, misfits, settle
from playwright.sync_api import Error, Page, expect

SHOWN = 100  # px of a picture that have to be in sight for its idea to show

# What the first screen shows of the main picture: the tallest of what is drawn in it, as far as it is in sight. On a phone
# Start has its doors there, and the drawing below them.
_IN_SIGHT = """() => {
    const drawn = ':is(canvas, svg.marks, svg[role], img, .chips, table, [data-testid=stHtml] > div)'
    const heights = [...document.querySelectorAll(`.st-key-main_picture ${drawn}, .doors > div`)].map(each => {
        const box = each.getBoundingClientRect()
        return box.width ? Math.min(box.bottom, innerHeight) - Math.max(box.top, 0) : 0
    })
    return Math.round(Math.max(0, ...heights))
}"""
_SENTENCES = """() => [...document.querySelectorAll('.head-opening p, .doors > p, .doors dl > div')]
    .filter(each => each.checkVisibility() && each.getBoundingClientRect().bottom <= innerHeight)
    .map(each => each.innerText)"""
_LOST_WORDS = """() => [...document.querySelectorAll('a[href^="#word-"]')].map(link => link.getAttribute('href').slice(1))
    .filter(word => !document.getElementById(word))"""


class Stop(NamedTuple):
    """One page on the way: its address and title, what it says and shows at first, and what was missing, a line each."""

    path: str
    title: str
    sentences: list[str]
    picture: int  # px of its picture that are in sight
    words: int  # of the glossary that it links
    missing: list[str]


def walk(page: Page, opened: bool) -> Iterator[Stop]:
    """Go from Start, which is open, through all pages; the caller looks at each as it comes. `opened` opens every word."""
    yield look(page, opened)
    page.locator(".doors").get_by_role("link", name="Begin").click()
    while True:
        _arrive(page)
        yield look(page, opened)
        on = page.locator(".way-foot a.way").filter(has_text="→")
        if not on.count():
            return
        before = page.locator("h1").inner_text()
        on.click()
        expect(page.locator("h1")).not_to_have_text(before, timeout=2 * PATIENCE)


def _arrive(page: Page) -> None:
    at_rest(page)
    settle(page)
    page.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, 0)")


def look(page: Page, opened: bool) -> Stop:
    """What a stranger finds on a page, before a touch; then its words."""
    sentences, picture = page.evaluate(_SENTENCES), page.evaluate(_IN_SIGHT)
    missing = [] if len(sentences) >= 3 else [f"{len(sentences)} sentences of three on the first screen"]
    if picture < SHOWN:
        missing.append(f"{picture} px of the picture on the first screen")
    missing += misfits(page)
    words = page.locator(".stMain a[href^='#word-']:visible")
    missing += [f"no entry for {word}" for word in page.evaluate(_LOST_WORDS)]
    if opened:
        missing += filter(None, map(_what_a_word_lacks, page.locator(".stMain a[href^='#word-']:visible").all()))
    if page.get_by_test_id("stException").count():
        missing.append("an error")
    path = page.evaluate("location.pathname").strip("/") or "start"
    return Stop(path, page.locator("h1").inner_text(), sentences, picture, words.count(), missing)


def _what_a_word_lacks(link) -> str:
    """Open a word, wait for its number, close it; a line if it does not open or has no number."""
    page, name = link.page, link.inner_text()
    card = page.locator(".word-card")
    try:
        link.click()
        expect(card).to_be_visible()
        expect(card.locator(".word-live")).not_to_be_empty()
        page.keyboard.press("Escape")
        expect(card).to_be_hidden()
    except (AssertionError, Error):
        return f"“{name}” does not open with its number"
    return ""
