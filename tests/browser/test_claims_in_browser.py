"""Claims in a real browser: chosen by key and by click, measured with a stop, and shown on their own page and back."""

import re

from chromium_reader import PATIENCE, address, assert_no_error_shown, at_rest, expect_address, expect_position, press, slider
from playwright.sync_api import expect

MEASURING = 120_000  # ms that a measurement may take on a busy machine


def go(page, section: str, path: str) -> None:
    """To another page of the same session, by the bar at the top."""
    page.get_by_test_id("stTopNav").get_by_role("button", name=section).click()
    page.locator(f"a[data-testid=stTopNavDropdownLink][href$='{path}']").click()
    page.wait_for_url(f"**{path}*", timeout=PATIENCE)
    at_rest(page)


def still_open(page) -> int:
    """How many claims the words below the strip call open."""
    return int(re.search(r"(\d+) not measured yet\.", page.get_by_text(re.compile(r"\d+ claims: \d+")).inner_text())[1])


def test_a_claim_is_chosen_by_key_and_by_tile(visits):
    page = visits.open("/claims", preset="classroom")
    press(page, "Claim", "ArrowRight", times=2, pause=150)
    expect_address(page, claims_row="3")
    tile = page.locator("[data-testid=stVegaLiteChart] svg text", has_text=re.compile("^C3$")).bounding_box()
    page.mouse.click(tile["x"] + tile["width"] / 2, tile["y"] + tile["height"] / 2)
    expect_position(page, "Claim", "C3")
    expect_address(page, claims_row="C3", preset="classroom")
    expect(page.get_by_role("heading", name=re.compile("takes ~85 GB at 32k tokens"))).to_be_visible()


def test_the_code_of_a_claim_opens_and_follows_the_choice(visits):
    page = visits.open("/claims", preset="classroom", claims_row="11a")
    page.get_by_text("The code that decides it").click()
    expect(page.get_by_test_id("stCode").filter(has_text="def memory_saved").first).to_be_visible()
    press(page, "Claim", "ArrowRight")
    expect(page.get_by_test_id("stCode").filter(has_text="def inference_reduced").first).to_be_visible()


def test_a_link_lands_with_its_sliders_set_and_the_model_stays_whole_on_the_way_back(visits):
    page = visits.open("/claims", preset="classroom", claims_row="C3")
    page.get_by_role("link", name="See it on Grouped queries").click()
    page.wait_for_url("**/gqa*", timeout=PATIENCE)
    at_rest(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Grouped queries")
    expect_address(page, preset="gpt-oss-20b", context="32768", gqa_view="The whole context")
    expect_position(page, "Context length", "32,768")
    expect_position(page, "KV groups", "8")
    assert page.get_by_test_id("stAlert").count() == 0
    go(page, "True numbers", "/claims")
    expect_position(page, "Claim", "C3")
    expect_position(page, "Layers", "24")  # a dial that the other page kept in its drawer
    page.get_by_role("button", name="Pin for comparison").click()
    expect_address(page, pinned="gpt-oss-20b,context=32768")
    assert address(page).get("layers") is None and address(page)["preset"] == "gpt-oss-20b"


def test_what_is_open_is_measured_and_can_be_stopped(visits):
    page = visits.open("/claims", preset="classroom")
    measure, stop = page.get_by_role("button", name="Measure all"), page.get_by_role("button", name="Stop measuring")
    before = still_open(page)
    measure.click()
    expect(page.get_by_test_id("stProgress")).to_be_visible()
    stop.click()
    expect(measure).to_be_visible(timeout=MEASURING)
    expect(page.get_by_test_id("stProgress")).to_have_count(0)
    assert 0 < still_open(page) < before
    assert_no_error_shown(page)
    assert slider(page, "Claim").is_enabled()
