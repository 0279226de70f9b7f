"""Every page in a real browser, one visit a theme: the first screen, desk and phone, and the way that a lesson goes.

In the dark every view is looked at, on a small laptop beside the sidebar, on a phone, and in projector mode.
"""

import re
from urllib.parse import parse_qsl

import pytest
from accessibility import COLOURS, violations
from chromium_reader import (
    DESKTOP,
    LAPTOP,
    NARROW,
    PATIENCE,
    PHONE,
    assert_fits,
    assert_no_error_shown,
    assert_opening_leaves_room,
    assert_picture_begins,
    assert_question_is_near,
    at_rest,
    expect_address,
    open_tab,
    settle,
    slider,
    view_buttons,
    vital_signs,
)
from nightly import at_night
from playwright.sync_api import expect

from gptoss.app.book import ALL_PAGES, PAGES
from gptoss.app.header import signs_of
from tests.benchmarks.components import MAIN_SLIDERS

LESSONS = [page for page in PAGES if page.path not in ("start", "build", "exercises")]
BEGINS = {"start": 520}  # px above a main picture on a laptop, where other than 200: on Start three doors stand above it
# What a page's main picture can be: a chart, an image or chips, a drawing, a table; of lectures, the list of stops.
PICTURE = ("[data-testid=stMain] :is([data-testid=stVegaLiteChart] :is(canvas, svg.marks), "
           "[data-testid=stHtml] :is(img, .chips, .running-order), [data-testid=stMarkdown] svg[role], "
           ".st-key-main_picture table)")


def assert_whole(page, title: str, screen: dict) -> None:
    """The page on one screen: its title, picture and vital signs, and nothing that does not fit."""
    page.set_viewport_size(screen)
    settle(page)
    expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()
    expect(page.locator(PICTURE).filter(visible=True).first).to_be_visible()
    assert len(vital_signs(page)) == len(signs_of(next(lesson for lesson in ALL_PAGES if lesson.title == title)))
    assert_no_error_shown(page)
    assert_fits(page)


def assert_on_the_first_screen(*parts) -> None:
    """They are on it whole; a table that is higher than a screen begins there."""
    for part in parts:
        box, screen = part.bounding_box(), DESKTOP["height"]
        assert box["y"] >= 0 and box["y"] + (box["height"] if box["height"] <= screen else screen / 2) <= screen, box


def predict(page) -> None:
    """The reader commits before the answer shows, and can be asked again."""
    answered = page.get_by_text(re.compile("^You said"))
    expect(answered).to_have_count(0)
    number = page.get_by_role("spinbutton", name="Your prediction")
    choices = page.get_by_role("radiogroup", name="Your prediction")
    expect(number.or_(choices)).to_be_visible()
    if number.count():
        number.fill("1")
        number.press("Enter")
    else:
        choices.locator("label").first.click()
    at_rest(page)
    settle(page)
    page.get_by_role("button", name="Commit").click()
    expect(answered).to_be_visible()
    expect(page.get_by_test_id("stAlert").filter(has_text=re.compile("It is |The answer is |That is right"))).to_be_visible()
    page.get_by_role("button", name="Ask me again").click()
    expect(answered).to_have_count(0)


def experiment(page, path: str) -> None:
    """The second of at least two experiments changes the address, from wherever this visit has come to."""
    before = page.url
    tries = page.locator(f"[class*=st-key-{path}_try_] button")
    expect(tries.nth(1)).to_be_visible()
    tries.nth(1).click()
    page.wait_for_function("before => location.href !== before", arg=before, timeout=PATIENCE)
    at_rest(page)
    settle(page)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda page: page.path)
def test_a_lesson_from_its_first_screen_to_an_experiment(visits, lesson):
    main = MAIN_SLIDERS.get(lesson.path)
    page = visits.open(f"/{lesson.path}", PHONE, **dict(parse_qsl(main.query if main else "")))
    for screen in (PHONE, DESKTOP):
        assert_whole(page, lesson.title, screen)
    picture = page.locator(PICTURE).filter(visible=True).first
    start = page.get_by_role("button", name="Train", exact=True)
    control = slider(page, main.label) if main else page.get_by_test_id("stButtonGroup").or_(start).first
    assert_on_the_first_screen(page.get_by_role("heading", level=1), page.locator(".vital-signs > div").last, control,
                               picture)
    assert violations(page) == []
    predict(page)
    for name in ("The maths", "The code", "Claims", "How we know"):
        if page.get_by_role("tab", name=name).count():
            open_tab(page, name)
            expect(page.get_by_role("tabpanel").filter(visible=True).first).not_to_be_empty()
            assert_no_error_shown(page)
            assert page.locator(".katex-error").count() == 0
            if name == "The code":
                assert violations(page, inside="[role=tabpanel]") == []
    experiment(page, lesson.path)


@pytest.mark.parametrize("lesson", ALL_PAGES, ids=lambda page: page.path)
def test_a_page_fits_a_small_phone_and_a_desk_in_the_dark(visits, lesson):
    page = visits.open("/" if lesson is PAGES[0] else f"/{lesson.path}", NARROW, "dark")
    for screen in (NARROW, DESKTOP):
        assert_whole(page, lesson.title, screen)
    assert violations(page, rules=COLOURS if lesson in LESSONS else None) == []
    assert background(page) == "rgb(18, 18, 22)"
    if lesson.path not in ("exercises", "lecture"):  # which have no picture
        look_at_every_view(page, lesson.path)
    if page.locator(".head-fold").count():
        assert_opening_leaves_room(page)


def background(page) -> str:
    return page.get_by_test_id("stApp").evaluate("app => getComputedStyle(app).backgroundColor")


def look_at_every_view(page, path: str) -> None:
    """Its picture begins high on a laptop, highest in projector mode, and nothing of it is cut, there or on a phone.

    The question of a lesson is right under it in all three. In projector mode, by day, it is the last view and the first.
    """
    views = view_buttons(page, path) or [None]
    near = assert_question_is_near if path in {lesson.path for lesson in LESSONS} else (lambda page: None)
    for view in views[1:] + views[:1]:  # each is drawn anew on the phone, where there is least room, and grows from there
        page.set_viewport_size(PHONE)
        turn_to(page, view)
        assert_fits(page)
        near(page)
        page.set_viewport_size(LAPTOP)
        settle(page)
        assert_picture_begins(page, at_most=BEGINS.get(path, 200))
        assert_fits(page)
        near(page)
    page.keyboard.press("f")
    expect_address(page, stage="1")
    expect(page.get_by_test_id("stSidebar")).to_be_hidden()
    for view in at_night(views[1:], views[1:][-1:]) + views[:1]:
        turn_to(page, view)
        assert_picture_begins(page, at_most=96, height=0.75)
        near(page)
    assert background(page) == "rgb(255, 255, 255)"
    page.get_by_role("button", name="Leave projector mode").click()
    expect_address(page, stage=None)
    expect(page.get_by_test_id("stSidebar")).to_be_visible()
    page.set_viewport_size(PHONE)
    settle(page)
    assert_fits(page)  # what was drawn on the laptop fits the narrow window, too


def turn_to(page, view) -> None:
    if view:
        view.click()
    at_rest(page)
    settle(page)


def test_build_fits_in_the_light_and_has_text_controls_and_picture_on_its_first_screen(visits):
    page = visits.open("/build")
    assert background(page) == "rgb(255, 255, 255)"
    picture = page.get_by_test_id("stVegaLiteChart").first
    expect(picture.locator("canvas, svg.marks").first).to_be_visible()
    assert_on_the_first_screen(page.get_by_role("heading", level=1), page.locator(".vital-signs > div").last,
                               page.get_by_role("textbox", name="Text", exact=True), slider(page, "Layer shown"),
                               slider(page, "Query heads"), picture)
    for screen in (DESKTOP, PHONE):
        assert_whole(page, "Build and run", screen)
    head = page.locator("[data-head][aria-pressed=false]").last.get_attribute("data-head")
    page.locator(f'[data-head="{head}"]').press("Enter")
    expect_address(page, head=head)
    expect(page.locator(f'[data-head="{head}"][aria-pressed=true]')).to_be_focused()


def test_the_diagram_of_start_is_wide_on_the_first_screen_of_a_desk_and_narrow_on_a_phone(visits):
    page = visits.open("/")
    box = page.locator(".drawing-wide svg").bounding_box()
    assert box["width"] > 500 and box["y"] < BEGINS["start"]
    assert page.locator(".drawing-narrow").is_hidden()
    assert_whole(page, "GPT-OSS, live", DESKTOP)
    assert_whole(page, "GPT-OSS, live", PHONE)
    assert page.locator(".drawing-narrow svg").is_visible() and page.locator(".drawing-wide").is_hidden()
