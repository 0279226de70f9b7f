"""RoPE and YaRN in a real browser: arrows that follow the keys, every view drawn, dials and address in agreement."""

import pytest
from chromium_reader import (
    DESKTOP,
    PHONE,
    at_rest,
    expect_address,
    expect_position,
    marks,
    press,
    settle,
)
from playwright.sync_api import expect

CHARTS = ("Score and distance", "Wavelengths", "YaRN")


def show(page, view):
    page.get_by_test_id("stButtonGroup").get_by_text(view, exact=True).click()
    at_rest(page)


def drawings(page):
    return page.locator("[data-testid=stMarkdownContainer] svg[role=img]")


@pytest.mark.parametrize("screen, scheme", [(DESKTOP, "dark"), (PHONE, "light")])
def test_every_view_is_drawn(visits, screen, scheme):
    page = visits.open("/rope", screen, scheme, preset="gpt-oss-20b")
    for view in ("Arrows", "Tables"):
        show(page, view)
        expect(drawings(page)).to_have_count(2)
        for box in (drawing.bounding_box() for drawing in drawings(page).all()):
            assert box["width"] > 250 and box["x"] >= 0 and box["x"] + box["width"] <= screen["width"]
    for view in CHARTS:
        show(page, view)
        expect(page.get_by_test_id("stVegaLiteChart").locator("svg.marks, canvas.marks")).to_have_count(1)
        settle(page)
        assert marks(page)[0] > 30, view


def test_the_arrows_follow_the_keys_and_their_angle_stays(visits):
    page = visits.open("/rope")
    label = drawings(page).first.get_attribute("aria-label")
    assert "query at position 23" in label and "114.6 degrees apart" in label
    press(page, "Move both by", "ArrowRight", times=3, pause=200)
    expect_position(page, "Move both by", "23")
    expect(drawings(page).first).to_have_attribute(
        "aria-label", label.replace("23,", "26,").replace("21,", "24,"))
    expect_address(page, rope_shift="23")


def test_a_button_that_sets_the_drawers_dials_is_not_undone_by_the_next_move(visits):
    """The drawer was open once and is closed: its dials must still stand where the button put them."""
    page = visits.open("/rope", preset="gpt-oss-20b", rope_view="YaRN")
    drawer = page.get_by_text("More of YaRN's dials", exact=True)
    drawer.click()
    context = page.get_by_role("combobox", name="Trained context (tokens)")
    expect(context).to_be_visible()
    at_rest(page)
    settle(page)
    context.fill("1024")
    expect(page.get_by_role("option")).to_have_count(1)
    context.press("Enter")
    expect_address(page, rope_initial="1024")
    expect(page.get_by_text("n₀ = 1,024")).to_be_visible()
    at_rest(page)
    settle(page)  # while a run ends, what it replaces is still beside it
    page.get_by_role("button", name="Back to published").click()
    expect_address(page, rope_initial=None)
    at_rest(page)
    drawer.click()
    page.get_by_role("button", name="Where the reference stops").click()
    expect(page.get_by_text("low is −0.39, high is 2.62")).to_be_visible()
    press(page, "YaRN factor", "ArrowRight")
    expect_position(page, "YaRN factor", "8")
    at_rest(page)
    expect(page.get_by_text("low is −0.39, high is 2.62")).to_be_visible()
    expect_address(page, rope_initial="128", rope_beta="32", factor="8")
