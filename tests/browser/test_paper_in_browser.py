"""What leaves the browser for the printer: any page as it is."""

import pytest
from playwright.sync_api import expect

A4 = {"width": 703, "height": 1020}  # what is inside the margins, in CSS px
_DARK_ON_WHITE = """() => [...document.querySelectorAll('.stMain :is(p, label, h1)')].filter(each => each.checkVisibility())
    .map(each => getComputedStyle(each).color).filter(colour => colour !== 'rgb(0, 0, 0)')"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_on_paper_has_its_pictures_whole_and_nothing_to_press(visits, scheme):
    page = visits.open("/sinks", scheme=scheme)
    page.emulate_media(media="print", color_scheme=scheme)
    page.set_viewport_size(A4)
    for gone in ("[data-testid=stSidebar]", "[data-testid=stHeader]", ".way-foot", ".head-turn", ".st-key-take_home",
                 ".st-key-sinks_commit button"):
        expect(page.locator(gone).first).to_be_hidden()
    expect(page.locator(".head-opening")).to_be_visible()  # also where a reader has folded it
    charts = page.locator(".st-key-main_picture .stVegaLiteChart > :is(svg, canvas)")
    boxes = [chart.bounding_box() for chart in charts.all()]
    assert len(boxes) == 2 and boxes[0]["y"] == boxes[1]["y"], "side by side as on the screen"
    assert all(0 <= box["x"] and box["x"] + box["width"] <= A4["width"] for box in boxes)
    assert page.evaluate("document.documentElement.scrollWidth") <= A4["width"]
    assert page.evaluate(_DARK_ON_WHITE) == []
    expect(page.locator(".katex").first).to_be_visible()
