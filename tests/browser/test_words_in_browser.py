"""Words of the glossary in a real browser: all of them, with their numbers, in the drawer."""

from chromium_reader import PATIENCE, settle, slider
from playwright.sync_api import expect

from gptoss.app.glossary import WORDS


def test_the_drawer_has_all_words_whose_numbers_follow_the_model(visits):
    page = visits.open("/gqa", preset="gpt-oss-20b")
    page.locator(".head-mark").click()
    page.get_by_role("link", name="All words and letters").click()
    numbers = page.locator(".words .word-live")
    expect(numbers.last).not_to_be_empty(timeout=PATIENCE)
    assert numbers.count() == len(WORDS)
    heads = page.locator("#word-head .word-live")
    before = heads.inner_text()
    slider(page, "Query heads").press("Home")
    expect(heads).not_to_have_text(before, timeout=PATIENCE)
    settle(page)
    assert page.locator("details.words").get_attribute("open") is not None
