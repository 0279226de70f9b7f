"""A server that nobody has visited before, and a page of charts that are all drawn."""

from chromium_reader import assert_no_error_shown, marks, settle, slider
from playwright.sync_api import expect


def test_the_first_visitor_of_a_server_may_come_to_any_page(first_visits):
    """The server has then met no `st.navigation` yet."""
    page = first_visits.open("/build")
    expect(page.get_by_role("heading", name="Build and run", level=1)).to_be_visible()
    expect(slider(page, "Query heads")).to_be_visible()
    assert_no_error_shown(page)
    expect(page.get_by_text("Page not found")).to_have_count(0)


def test_every_chart_draws_something(visits):
    page = visits.open("/build", preset="classroom")
    for view, charts in (("Attention", 1), ("Experts", 2), ("Tensors", 0), ("Next token", 1)):
        page.get_by_test_id("stButtonGroup").get_by_text(view, exact=True).click()
        expect(page.get_by_test_id("stVegaLiteChart")).to_have_count(charts)
        settle(page)
        assert all(drawn > 0 for drawn in marks(page)), view
        pictures = page.locator("[data-testid=stHtml] img").evaluate_all("all => all.map(image => image.naturalWidth)")
        assert all(width > 0 for width in pictures) and (pictures or view != "Tensors")
        expect(page.locator(".head-tiles [data-head]")).to_have_count(8 if view == "Attention" else 0)
