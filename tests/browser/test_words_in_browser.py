"""Words of the glossary in a real browser: opened in place by pointer and keyboard, and all of them in the drawer."""

import re

from accessibility import violations
from chromium_reader import LAPTOP, PHONE, at_rest, settle, slider
from playwright.sync_api import expect

from gptoss.app.glossary import WORDS


def test_a_stranger_reads_the_opening_opens_words_and_folds_it_for_good(visits):
    page = visits.open("/attention", LAPTOP, stranger=True, folded=False, preset="gpt-oss-20b")
    opening, card = page.locator(".head-opening"), page.locator(".word-card")
    expect(opening).to_be_visible()
    word = opening.locator("a[href^='#word-']").first
    where = page.url
    word.click()
    expect(card).to_be_visible()
    expect(card.locator(".word-live")).to_have_text(re.compile(r"\d.*\."))
    assert page.url == where
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    expect(word).to_be_focused()
    page.set_viewport_size(PHONE)
    word.press("Enter")
    expect(card).to_be_visible()
    box = card.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"] and box["y"] + box["height"] <= PHONE["height"]
    page.keyboard.press("Escape")
    page.get_by_role("button", name="In short").click()
    expect(opening).to_be_hidden()
    page.keyboard.press("i")
    expect(opening).to_be_visible()
    assert violations(page, inside=".page-head") == []
    page.keyboard.press("i")
    expect(opening).to_be_hidden()
    page.goto(page.url.replace("/attention", "/rope"))
    at_rest(page)
    assert page.evaluate("document.documentElement.classList.contains('folded')")


def test_the_drawer_has_all_words_whose_numbers_follow_the_model(visits):
    page = visits.open("/gqa", preset="gpt-oss-20b")
    page.locator(".head-mark").click()
    page.get_by_role("link", name="All words and letters").click()
    numbers = page.locator(".words dl .word-live")
    expect(numbers.last).not_to_be_empty()
    assert page.locator(".words dl .word-live").count() == len(WORDS)
    heads = page.locator("#word-head .word-live")
    before = heads.inner_text()
    slider(page, "Query heads").press("Home")
    expect(heads).not_to_have_text(before)
    settle(page)
    assert page.locator("details.words").get_attribute("open") is not None
    assert violations(page, inside="details.words") == []
