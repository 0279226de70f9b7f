"""The block page in a real browser: a click takes a part out, another puts it back, and the address says so."""

from chromium_reader import PATIENCE, PHONE, address, expect_address, press, settle, slider
from playwright.sync_api import expect

BESIDE = """label => {
    const row = label.getBoundingClientRect(), chart = label.closest('[data-testid=stVegaLiteChart]').getBoundingClientRect()
    return [chart.x + 0.6 * chart.width, row.y + row.height / 2]
}"""


def click_row(page, name: str) -> None:
    """Click into the row of a half block in the first chart, beside its bar."""
    label = page.get_by_test_id("stVegaLiteChart").first.locator("text", has_text=name).first
    expect(label).to_be_visible()
    settle(page)
    page.mouse.click(*label.evaluate(BESIDE))


def put_back(page):
    return page.get_by_role("button", name="Put it back")


def test_a_bar_is_removed_by_a_click_and_put_back_by_another(visits):
    page = visits.open("/block", block_view="Contributions")
    expect(put_back(page)).to_be_disabled()
    for again in range(2):
        click_row(page, "0 experts")
        expect_address(page, block_remove="layer 0 experts")
        expect(page.locator(".stMarkdownBadge", has_text="without layer 0 experts")).to_be_visible()
        expect(page.get_by_test_id("stVegaLiteChart").first.get_by_text("removed")).to_be_visible()
        if again:
            put_back(page).click()
        else:
            click_row(page, "0 experts")
        expect_address(page, block_remove=None)
    click_row(page, "2 attention")
    expect_address(page, block_remove="layer 2 attention")
    click_row(page, "3 attention")
    expect_address(page, block_remove="layer 3 attention")


def test_clicks_work_again_after_another_view(visits):
    page = visits.open("/block", block_remove="layer 0 experts")
    page.get_by_text("Every removal", exact=True).click()
    expect(page.get_by_text("Dotted: nothing removed")).to_be_visible()
    click_row(page, "1 attention")
    expect_address(page, block_remove="layer 1 attention", block_view="Every removal")
    page.get_by_text("Contributions", exact=True).click()
    expect(page.get_by_text("Without layer 1 attention, the logit")).to_be_visible()
    click_row(page, "1 attention")
    expect_address(page, block_remove=None)


def test_a_head_is_removed_by_a_click(visits):
    page = visits.open("/block", block_view="Heads and experts", layer="2")
    picture = page.get_by_test_id("stVegaLiteChart").first
    expect(picture.locator(".mark-rect path").first).to_be_visible()
    settle(page)
    box = picture.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 40)
    page.wait_for_url("**head=**", timeout=PATIENCE)
    expect_address(page, block_remove=f"layer 2 head {address(page)['head']}")


def test_the_token_is_moved_by_the_keyboard_and_stands_in_the_address(visits):
    page = visits.open("/block", preset="classroom")
    expect(slider(page, "Token (position)")).to_be_visible()
    press(page, "Token (position)", "Home")
    expect_address(page, token="0")
    expect(page.get_by_text("the text goes on with")).to_be_visible()
    press(page, "Token (position)", "End")
    expect_address(page, token=None)


def test_a_phone_shows_every_view_in_one_column(visits):
    page = visits.open("/block")
    page.set_viewport_size(PHONE)
    for view in ("Contributions", "Heads and experts", "Every removal", "Journey", "Logit lens", "Tensors", "One token"):
        page.get_by_text(view, exact=True).click()
        expect_address(page, block_view=None if view == "One token" else view)
        widths = page.evaluate("() => { const main = document.querySelector('[data-testid=stMain]');"
                               " return [main.scrollWidth, main.clientWidth] }")
        assert widths[0] <= widths[1], (view, widths)
