"""Start in a real browser: its first screen, its doors, a drawing that is painted once and speaks when pointed at."""

from itertools import islice

import pytest
from chromium_reader import LAPTOP, PHONE, at_rest, expect_address, settle
from playwright.sync_api import expect
from stranger_walk import walk

from gptoss.app.book import PAGES

# Every height that the two versions of the drawing had, frame by frame, while the page came.
_WATCH = """window.heights = []
const look = () => {
    const now = [...document.querySelectorAll('.pointed-at svg[role]')].map(svg => svg.getBoundingClientRect().height)
    if (now.length) window.heights.push(now)
    requestAnimationFrame(look)
}
look()"""


@pytest.mark.parametrize("screen", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_the_first_screen_has_three_doors_and_the_way_back_and_the_drawing_is_painted_once(visits, screen):
    page = visits.open("/rope", screen, stranger=True)
    page.context.add_init_script(_WATCH)
    page.goto(f"{visits.app}/")
    at_rest(page)
    settle(page)
    back = page.get_by_role("link", name="Continue: RoPE and YaRN →")
    expect(back).to_be_visible()
    shown = [page.locator(".doors > p"), *page.locator(".doors dl > div").all(), *page.locator(".doors article").all(), back]
    assert len(shown) == 8
    for part in shown:
        box = part.bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= screen["height"], (part, box)
    heights = page.evaluate("window.heights")
    assert len(heights) > 1 and all(sum(height > 0 for height in seen) == 1 for seen in heights), "both versions were shown"
    back.click()
    expect(page.get_by_role("heading", name="RoPE and YaRN", level=1)).to_be_visible()


def test_a_stranger_goes_from_start_over_the_first_pages_and_nothing_is_missing(visits):
    """The beginning of what `python -m tests.browser.stranger` does on all pages, screens and themes."""
    page = visits.open("/", PHONE, stranger=True, folded=False)
    stops = list(islice(walk(page, opened=False), 3))
    assert [stop.path for stop in stops] == [page.path for page in PAGES[:3]]
    assert [stop.missing for stop in stops] == [[], [], []] and stops[1].words and stops[2].words


def test_a_running_order_opens_and_the_laptop_where_it_is_asked_for(visits):
    page = visits.open("/", LAPTOP, preset="gpt-oss-20b", heads="4", kv="2")
    laptop = page.get_by_role("link", name="See how a laptop runs it")
    laptop.focus()
    assert "memory_view=Speed" in laptop.get_attribute("href") and "heads=4" in laptop.get_attribute("href")
    laptop.press("Enter")
    expect_address(page, memory_view="Speed", heads="4", stage=None)
    page.go_back()
    at_rest(page)
    settle(page)
    page.get_by_role("link", name="90 minutes").click()
    expect(page.get_by_role("heading", name="Lectures", level=1)).to_be_visible()
    expect_address(page, order="90", preset="gpt-oss-20b", heads="4")


def test_a_part_of_the_drawing_says_what_it_is_for_by_pointer_and_by_key(visits):
    page = visits.open("/", LAPTOP)
    says = page.locator(".pointed-at .says")
    expect(says).to_contain_text("Every part leads to its page")
    page.locator(".drawing-wide").get_by_role("link", name="Router and experts").hover()
    expect(says.locator(".says-experts")).to_be_visible()
    page.locator(".drawing-wide").get_by_role("link", name="Embedding: to the page Tokenizer", exact=True).focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    expect(says.locator(".says-tokenizer")).to_be_visible()
