"""A lecturer's own running order in a real browser: views of pages collected, moved, kept, and added from another window."""

from chromium_reader import LAPTOP, at_rest, expect_address, settle
from playwright.sync_api import expect

KEPT = "localStorage.getItem('gptoss-order')"


def add(page) -> None:
    page.get_by_role("button", name="Add this view as a stop").click()
    expect(page.locator(".stop-added")).to_be_visible()


def test_views_become_stops_of_ones_own_order_which_the_browser_keeps(visits):
    page = visits.open("/sinks", LAPTOP, stranger=True, preset="classroom", sinks_view="Without sinks")
    add(page)
    page.goto(f"{visits.app}/gqa?preset=gpt-oss-20b")
    at_rest(page)
    settle(page)
    add(page)
    page.get_by_role("link", name="Stop 2 of your own order →").click()
    stops = page.locator(".running-order ol > li")
    expect(stops).to_have_count(2)
    expect_address(page, order="own")
    assert 'address = "sinks?preset=classroom&sinks_view=Without+sinks"' in page.evaluate(KEPT)
    assert 'address = "gqa?preset=gpt-oss-20b"' in page.evaluate(KEPT)
    page.get_by_text("Edit the order").click()
    page.get_by_role("button", name="Later").click()
    expect(stops.first).to_contain_text("Grouped queries")
    page.reload()
    expect(stops.first).to_contain_text("Grouped queries")
    other = page.context.new_page()
    other.goto(f"{visits.app}/?preset=storyteller")
    at_rest(other)
    settle(other)
    add(other)
    expect(stops).to_have_count(3)
