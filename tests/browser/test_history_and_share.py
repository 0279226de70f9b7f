"""The browser's history, Undo of an experiment, and the link for a room, on one visit each."""

import io

from chromium_reader import (
    address,
    at_rest,
    expect_address,
    expect_position,
    holding,
    open_tab,
    press,
    settle,
)
from PIL import Image
from playwright.sync_api import expect

from gptoss.app import share

BURST = 1100  # ms after which another move is an entry of its own


def entries(page):
    return page.evaluate("history.length")


def quiet(page):
    at_rest(page)
    settle(page)
    page.wait_for_timeout(BURST)


def go(page, step):
    getattr(page, step)()
    quiet(page)


def turn_to(page, section, name):
    """Go to a page by the bar."""
    page.get_by_test_id("stTopNavSection").filter(has_text=section).click()
    page.get_by_test_id("stTopNavDropdownLink").filter(has_text=name).click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
    quiet(page)


def test_back_and_forward_bring_each_pages_settings_and_no_dead_entry(visits):
    page = visits.open("/sampling", preset="classroom")
    page.get_by_test_id("stButtonGroup").get_by_text("Draws", exact=True).click()
    press(page, "Temperature", "ArrowRight", times=4, pause=60)
    expect_address(page, sampling_view="Draws", sampling_temperature="0.9")
    open_tab(page, "The code")
    expect_address(page, sampling_lesson="The code")
    quiet(page)
    there, before = address(page), entries(page)
    turn_to(page, "Components", "Attention sinks")
    assert entries(page) == before + 1
    with holding(page, "Sink logit", 0.2) as drag:
        for part in (0.3, 0.5, 0.7):
            drag(part)
    quiet(page)
    dragged = address(page)
    assert entries(page) <= before + 2, "one drag is one entry"
    for _ in range(entries(page) - before):
        go(page, "go_back")
    assert address(page) == there
    expect_position(page, "Temperature", "0.9")
    expect(page.get_by_role("group", name="Draws", exact=True)).to_be_visible()
    expect(page.get_by_role("tab", name="The code")).to_have_attribute("aria-selected", "true")
    for _ in range(entries(page) - before):
        go(page, "go_forward")
    assert address(page) == dragged


def test_undo_takes_back_an_experiment_and_back_does_not_redo_it(visits):
    page = visits.open("/block", preset="classroom", layer="1")
    quiet(page)
    first, before = address(page), entries(page)
    page.get_by_role("button", name="48 small steps").click()
    expect_address(page, layers="48", block_view="Logit lens")
    quiet(page)
    assert entries(page) == before + 1, "an experiment is one entry"
    page.get_by_role("button", name="Undo", exact=True).click()
    expect_address(page, layers=None, block_view=None)
    quiet(page)
    assert address(page) == first
    go(page, "go_back")
    assert address(page) == first, "going back has redone it"
    expect_position(page, "Layers", "4")
    go(page, "go_back")
    assert address(page) == first
    expect(page.get_by_role("button", name="Undo", exact=True)).to_be_disabled()


def test_share_copies_the_link_and_shows_a_code_that_holds_it(visits):
    page = visits.open("/sinks", preset="gpt-oss-20b", heads="32", sinks_view="By position", stage="1")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.keyboard.press("s")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("/sinks?")
    link = dialog.get_by_test_id("stCode").inner_text().strip()
    assert link.startswith(visits.app) and "stage" not in link and "sinks_view=By+position" in link
    settle(page)
    assert squares_in(dialog.locator("svg.segno").screenshot(), link) == [list(row) for row in share.code(link).matrix]
    other = visits.open(link, stranger=True)
    assert address(other) == {key: value for key, value in address(page).items() if key != "stage"}
    other.context.grant_permissions(["clipboard-read", "clipboard-write"])
    other.locator("button[data-value=share]").click()
    expect(other.get_by_role("dialog")).to_contain_text(link)
    assert other.evaluate("navigator.clipboard.readText()") == link
    for each in (page, other):
        each.keyboard.press("Escape")
        expect(each.get_by_role("dialog")).to_have_count(0)


def squares_in(screenshot, link):
    """The squares of a code as they are painted: 1 for black, read at the middle of each."""
    picture = Image.open(io.BytesIO(screenshot)).convert("L")
    count = share.squares(share.code(link)) + 2 * share.BORDER
    size = picture.width / count
    middles = [int((place + 0.5) * size) for place in range(share.BORDER, count - share.BORDER)]
    return [[int(picture.getpixel((x, y)) < 128) for x in middles] for y in middles]
