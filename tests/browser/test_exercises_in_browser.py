"""From a component to its exercise, and home with it."""

import nbformat
from chromium_reader import expect_address, open_tab, settle
from playwright.sync_api import expect

from gptoss.exercises.catalogue import EXERCISES


def test_a_reader_goes_from_a_component_to_its_exercise_opens_a_hint_and_takes_it_home(visits):
    page = visits.open("/sinks", preset="classroom")
    settle(page)
    open_tab(page, "The code")
    page.get_by_test_id("stPageLink").get_by_role("link", name="Attention sink", exact=False).last.click()
    expect(page.get_by_role("heading", name="Build it yourself", level=1)).to_be_visible()
    expect_address(page, exercises_name="Attention sink")
    expect(page.get_by_text("def sink_softmax")).to_be_visible()
    page.get_by_role("button", name="Open hint 1 of 3").click()
    expect(page.get_by_text("Hint 1.")).to_be_visible()
    with page.expect_download() as taken:
        page.get_by_role("button", name="Notebook", exact=True).click()
    cells = nbformat.read(taken.value.path(), as_version=4).cells
    assert EXERCISES["sinks"].stub.rstrip() in [cell.source for cell in cells]
    bars = page.get_by_test_id("stVegaLiteChart").locator("path[aria-roledescription=bar], .mark-rect path")
    bars.first.click()
    expect(page.get_by_text("def rmsnorm")).to_be_visible()
