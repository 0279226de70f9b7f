"""The first screen: on a fresh server, on desks and phones, in light and dark."""

import itertools

import pytest
from chromium_reader import DESKTOP, PATIENCE, PHONE, assert_no_error_shown, marks, slider, vital_signs
from playwright.sync_api import expect

PAGES = {"/": "GPT-OSS, live", "/build": "Build and run"}
ALL_DRAWN = """() => [...document.querySelectorAll('[data-testid=stVegaLiteChart]')]
    .every(chart => chart.querySelector('.marks'))"""


def test_the_first_visitor_of_a_server_may_come_to_any_page(visits):
    """Must run first in this module: its server has then met no `st.navigation` yet."""
    page = visits.open("/build")
    expect(page.get_by_role("heading", name="Build and run", level=1)).to_be_visible()
    expect(slider(page, "Query heads")).to_be_visible()
    page.wait_for_timeout(1000)
    assert_no_error_shown(page)
    expect(page.get_by_text("Page not found")).to_have_count(0)


@pytest.mark.parametrize("path, scheme", itertools.product(PAGES, ["light", "dark"]))
def test_a_page_fits_a_phone_and_a_desk(visits, path, scheme):
    page = visits.open(path, PHONE, scheme)
    for screen in (PHONE, DESKTOP):
        page.set_viewport_size(screen)
        page.wait_for_timeout(500)
        expect(page.get_by_role("heading", name=PAGES[path], level=1)).to_be_visible()
        assert len(vital_signs(page)) == 5
        assert_no_error_shown(page)
        _assert_no_sideways_scrolling(page)
    background = page.get_by_test_id("stApp").evaluate("app => getComputedStyle(app).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 18, 22)"}[scheme]


def _assert_no_sideways_scrolling(page):
    widths = page.evaluate("""() => [document.scrollingElement, document.querySelector('[data-testid=stMain]')]
        .map(box => [box.scrollWidth, box.clientWidth])""")
    assert all(needed <= there for needed, there in widths), widths


def test_title_vital_signs_controls_and_picture_are_on_the_first_screen_of_build(visits):
    page = visits.open("/build")
    picture = page.get_by_test_id("stVegaLiteChart").first
    expect(picture.locator("canvas, svg.marks").first).to_be_visible(timeout=PATIENCE)
    for part in (page.get_by_role("heading", level=1), page.locator(".vital-signs > div").nth(4),
                 page.get_by_role("textbox", name="Text", exact=True), slider(page, "Layer shown"),
                 slider(page, "Query heads"), picture):
        box = part.bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= DESKTOP["height"], box


def test_the_diagram_is_on_the_first_screen_of_start(visits):
    page = visits.open("/")
    box = page.locator(".drawing-wide svg").bounding_box()
    assert box["width"] > 500 and box["y"] < DESKTOP["height"] / 2
    assert page.locator(".drawing-narrow").is_hidden()


def test_a_phone_gets_the_narrow_diagram(visits):
    page = visits.open("/", PHONE)
    assert page.locator(".drawing-narrow svg").is_visible() and page.locator(".drawing-wide").is_hidden()


def test_every_chart_draws_something(visits):
    page = visits.open("/build", preset="classroom")
    for view, charts in (("Attention", 1), ("Experts", 2), ("Tensors", 0), ("Next token", 1)):
        page.get_by_test_id("stButtonGroup").get_by_text(view, exact=True).click()
        expect(page.get_by_test_id("stVegaLiteChart")).to_have_count(charts + 1, timeout=PATIENCE)
        page.wait_for_function(ALL_DRAWN)
        page.wait_for_timeout(300)
        assert min(marks(page)) > 0, view
        pictures = page.locator("[data-testid=stHtml] img").evaluate_all("all => all.map(image => image.naturalWidth)")
        assert all(width > 0 for width in pictures) and (pictures or view not in ("Attention", "Tensors"))
