"""Every page with a lesson in a real browser: the first screen, both screens and themes, and the way a lesson goes."""

import itertools
import re
from urllib.parse import parse_qsl

import pytest
from chromium_reader import DESKTOP, PATIENCE, PHONE, assert_no_error_shown, slider, vital_signs
from playwright.sync_api import expect

from gptoss.app.book import PAGES as BOOK
from tests.benchmarks.components import MAIN_SLIDERS

PAGES = {page.path: page for page in BOOK if page.path not in ("start", "build")}
# What a page's main picture can be: a chart, an image or chips, a drawing.
PICTURE = ("[data-testid=stMain] :is([data-testid=stVegaLiteChart] :is(canvas, svg.marks), "
           "[data-testid=stHtml] :is(img, .chips), [data-testid=stMarkdown] svg[role=img])")
CLIPPED = """() => [...document.querySelectorAll('[data-testid=stMain] :is(p, button, label, dt, dd)')]
    .filter(each => each.offsetParent && each.scrollWidth > each.clientWidth + 1
            && getComputedStyle(each).overflowX === 'hidden' && getComputedStyle(each).display !== 'inline')
    .map(each => each.innerText)"""
LABELS_OUTSIDE = """() => [...document.querySelectorAll('[data-testid=stVegaLiteChart] svg.marks')].flatMap(svg => {
    const box = svg.getBoundingClientRect()
    return [...svg.querySelectorAll('text')].filter(text => {
        const here = text.getBoundingClientRect()
        return here.width && (here.left < box.left - 2 || here.right > box.right + 2
                              || here.top < box.top - 2 || here.bottom > box.bottom + 2)
    }).map(text => text.textContent)
})"""


@pytest.mark.parametrize("path, scheme", itertools.product(PAGES, ["light", "dark"]))
def test_a_page_fits_a_phone_and_a_desk(visits, path, scheme):
    page = visits.open(f"/{path}", PHONE, scheme)
    for screen in (PHONE, DESKTOP):
        page.set_viewport_size(screen)
        page.wait_for_timeout(700)
        expect(page.get_by_role("heading", name=PAGES[path].title, level=1)).to_be_visible()
        expect(page.locator(PICTURE).filter(visible=True).first).to_be_visible(timeout=PATIENCE)
        assert len(vital_signs(page)) == 5
        assert_no_error_shown(page)
        widths = page.evaluate("""() => [document.scrollingElement, document.querySelector('[data-testid=stMain]')]
            .map(box => [box.scrollWidth, box.clientWidth])""")
        assert all(needed <= there for needed, there in widths), widths
        assert page.evaluate(CLIPPED) == []
        assert page.evaluate(LABELS_OUTSIDE) == []


@pytest.mark.parametrize("path", PAGES)
def test_title_vital_signs_main_control_and_picture_are_on_the_first_screen(visits, path):
    main = MAIN_SLIDERS.get(path)
    page = visits.open(f"/{path}", **dict(parse_qsl(main.query if main else "")))
    picture = page.locator(PICTURE).filter(visible=True).first
    expect(picture).to_be_visible(timeout=PATIENCE)
    page.wait_for_timeout(500)
    start = page.get_by_role("button", name="Train", exact=True)
    control = slider(page, main.label) if main else page.get_by_test_id("stButtonGroup").or_(start).first
    for part in (page.get_by_role("heading", level=1), page.locator(".vital-signs > div").nth(4), control, picture):
        box = part.bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= DESKTOP["height"], box


@pytest.mark.parametrize("path", PAGES)
def test_the_reader_commits_before_the_answer_shows(visits, path):
    page = visits.open(f"/{path}")
    answered = page.get_by_text(re.compile("^You said"))
    expect(page.get_by_role("button", name="Commit")).to_be_visible(timeout=PATIENCE)
    expect(answered).to_have_count(0)
    number = page.get_by_role("spinbutton", name="Your prediction")
    choices = page.get_by_role("radiogroup", name="Your prediction")
    expect(number.or_(choices)).to_be_visible(timeout=PATIENCE)
    if number.count():
        number.fill("1")
        number.press("Enter")
    else:
        choices.locator("label").first.click()
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Commit").click()
    expect(answered).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text(re.compile("It is "))).to_be_visible()
    page.get_by_role("button", name="Ask me again").click()
    expect(answered).to_have_count(0, timeout=PATIENCE)


@pytest.mark.parametrize("path", PAGES)
def test_experiments_change_the_address_and_every_tab_opens(visits, path):
    page = visits.open(f"/{path}")
    before = page.url
    page.get_by_role("tab", name="Try this").click()
    tries = page.locator(f"[class*=st-key-{path}_try_] button")
    expect(tries.nth(1)).to_be_visible(timeout=PATIENCE)  # at least two
    tries.first.click()
    page.wait_for_function("before => location.href !== before", arg=before, timeout=PATIENCE)
    for name in ("The maths", "The code", "Claims", "How we know"):
        tab = page.get_by_role("tab", name=name)
        if tab.count():
            tab.click()
            expect(page.get_by_role("tabpanel").filter(visible=True).first).not_to_be_empty(timeout=PATIENCE)
            page.wait_for_timeout(500)
            assert_no_error_shown(page)
