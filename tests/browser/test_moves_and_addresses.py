"""Sliders moved by keys, and the address they write: copied to another person, gone back to, and overtaken."""

import math

from chromium_reader import (
    PATIENCE,
    address,
    assert_no_error_shown,
    at_rest,
    chips,
    drag,
    expect_address,
    expect_position,
    holding,
    press,
    settle,
    slider,
    text_box,
    type_text,
    vital_sign,
    vital_signs,
)
from playwright.sync_api import expect

from gptoss.app.accounts import figures
from gptoss.app.study import Study
from gptoss.units import count, size

SETTLED = 1300  # ms after our last change, from when on an address counts as the reader's


def expect_figures(page, study):
    signs = figures(study.config, study.context)
    expect(vital_sign(page, "Parameters")).to_have_text(count(signs["total"]))
    expect(vital_sign(page, "Active")).to_have_text(count(signs["active"]))
    expect(vital_sign(page, "KV cache")).to_have_text(size(signs["kv_cache"]))


def test_a_key_moves_the_model_its_figures_and_its_address(visits):
    page = visits.open("/build", preset="gpt-oss-20b")
    study = Study.of_preset("gpt-oss-20b")
    expect_figures(page, study)
    press(page, "Layers", "End")
    expect_address(page, preset="gpt-oss-20b", layers="48")
    expect_figures(page, study.moved(layers=48)[0])
    press(page, "Query heads", "Home")
    expect_address(page, heads="1", kv="1", layers="48")
    expect_figures(page, study.moved(layers=48, heads=1)[0])
    expect(page.get_by_text("KV groups went from 8 to 1")).to_be_visible()
    expect(page.get_by_role("combobox", name="Preset")).to_have_value("custom, from gpt-oss-20b")


def test_fast_moves_end_in_the_last_state(visits):
    page = visits.open("/build", preset="gpt-oss-20b")
    press(page, "Layers", "ArrowLeft", times=10)
    press(page, "Query heads", "ArrowLeft", times=5, pause=30)
    expect_address(page, layers="14", heads="12", kv="6")
    at_rest(page)
    settle(page)
    expect_address(page, layers="14", heads="12", kv="6")
    expect_position(page, "Layers", "14")
    expect_position(page, "Query heads", "12")
    expect_position(page, "KV groups", "6")
    expect_figures(page, Study.of_preset("gpt-oss-20b").moved(layers=14, heads=12)[0])
    expect(page.get_by_text("4 of 14").first).to_be_visible()


def test_two_hundred_moves_with_the_mouse_end_where_the_hand_let_go(visits):
    page = visits.open("/build", preset="gpt-oss-20b")
    entries = page.evaluate("history.length")
    drag(page, "Query heads", [0.5 + 0.4 * math.sin(place / 9) for place in range(200)])
    heads = slider(page, "Query heads").get_attribute("aria-valuetext")
    expect_address(page, heads=heads)
    at_rest(page)
    settle(page)
    study = Study.of_preset("gpt-oss-20b").moved(heads=int(heads))[0]
    expect_address(page, heads=heads, kv=None if study.kv == 8 else str(study.kv))
    expect_position(page, "Query heads", heads)
    expect_position(page, "KV groups", str(study.kv))
    expect_figures(page, study)
    assert page.evaluate("history.length") == entries + 1, "a drag is one entry"
    page.get_by_role("button", name="Undo").click()
    expect_position(page, "Query heads", "64")
    expect_position(page, "KV groups", "8")
    expect_address(page, preset="gpt-oss-20b", heads=None, kv=None)


def test_the_picture_follows_while_the_hand_holds_the_dial_and_no_answer_pulls_it_back(visits):
    page = visits.open("/build", preset="gpt-oss-20b")
    with holding(page, "Layers", 0.5) as pull:
        for share in (0.1, 0.9, 0.3):
            pull(share)
            held = slider(page, "Layers").get_attribute("aria-valuetext")
            expect_figures(page, Study.of_preset("gpt-oss-20b").moved(layers=int(held))[0])
            expect_position(page, "Layers", held)
            assert "layers" not in address(page)
    expect_address(page, layers=held)


def test_a_pages_main_slider_is_dragged_alone_and_stands_in_the_address(visits):
    page = visits.open("/window", preset="gpt-oss-20b")
    entries = page.evaluate("history.length")
    with holding(page, "Window drawn (tokens)", 0.5) as pull:
        pull(0.02)
        expect(page.get_by_text("The window drawn: 1.")).to_be_visible()
        assert "window_w" not in address(page)
        pull(0.4)
    shown = slider(page, "Window drawn (tokens)").get_attribute("aria-valuetext")
    expect_address(page, preset="gpt-oss-20b", window_w=shown)
    expect(page.get_by_text(f"The window drawn: {shown}.")).to_be_visible()
    assert page.evaluate("history.length") == entries
    page.reload()
    at_rest(page)
    expect_position(page, "Window drawn (tokens)", shown)
    press(page, "Sliding window", "ArrowLeft")
    expect_position(page, "Window drawn (tokens)", "64")
    expect_address(page, window="64", window_w=None)


def test_a_move_that_was_on_its_way_at_a_reload_arrives_after_it(visits):
    page = visits.open("/build", preset="gpt-oss-20b")
    press(page, "Layers", "End")
    page.reload()
    at_rest(page)
    expect_address(page, layers="48")
    expect_position(page, "Layers", "48")


def test_a_dial_takes_arrows_and_leaves_the_page_keys_to_the_pages(visits):
    page = visits.open("/build", preset="gpt-oss-20b")
    press(page, "Layers", "ArrowUp")
    expect_address(page, layers="25")
    press(page, "Layers", "PageDown")
    page.wait_for_url(lambda url: "/build" not in url, timeout=PATIENCE)
    expect_address(page, preset="gpt-oss-20b", layers="25")


def test_a_copied_address_is_the_same_state_for_another_person(visits):
    page = visits.open("/build", preset="gpt-oss-120b")
    page.get_by_role("button", name="Pin for comparison").click()
    expect_address(page, pinned="gpt-oss-120b")
    press(page, "Query heads", "ArrowLeft", times=5, pause=50)
    press(page, "Sliding window", "End")
    type_text(page, "Grüße an <alle> & 你好 🙂 100 % = #1?")
    expect_address(page, heads="12", window="off", text="Grüße an <alle> & 你好 🙂 100 % = #1?")
    page.get_by_test_id("stButtonGroup").get_by_text("Experts", exact=True).click()
    expect_address(page, view="Experts")
    at_rest(page)
    other = visits.open(page.url, stranger=True)
    for label, shown in (("Query heads", "12"), ("KV groups", "6"), ("Sliding window", "off"), ("Layers", "36")):
        expect_position(other, label, shown)
    assert vital_signs(other) == vital_signs(page)
    assert any("pinned" in sign or "÷" in sign or "−" in sign for sign in vital_signs(other))
    assert text_box(other).input_value() == text_box(page).input_value() == "Grüße an <alle> & 你好 🙂 100 % = #1?"
    assert chips(other) == chips(page) != []
    expect(other.get_by_text("Compared with gpt-oss-120b")).to_be_visible()
    expect(other.get_by_role("group", name="Expert shown")).to_be_visible()
    assert address(other) == address(page)


def test_special_tokens_that_were_asked_for_travel_with_the_address(visits):
    page = visits.open("/build", preset="classroom")
    type_text(page, "<|start|>user<|message|>Hello<|end|>")
    page.get_by_test_id("stCheckbox").get_by_text("special tokens").click()
    expect(page.locator(".chips span").first).to_contain_text("<|start|>")
    at_rest(page)
    other = visits.open(page.url, stranger=True)
    expect(other.locator(".chips span").first).to_contain_text("<|start|>")


def test_back_in_the_browser_restores_what_was_before(visits):
    page = visits.open("/build", preset="gpt-oss-20b")
    press(page, "Experts", "Home")
    expect_address(page, experts="1", active="1")
    page.wait_for_timeout(SETTLED)
    type_text(page, "Own words")
    expect_address(page, text="Own words", experts="1")
    page.wait_for_timeout(SETTLED)
    page.go_back()
    expect(text_box(page)).not_to_have_value("Own words")
    expect_address(page, text=None, experts="1")
    expect_position(page, "Experts", "1")
    page.wait_for_timeout(SETTLED)
    page.go_back()
    expect_position(page, "Experts", "32")
    expect_address(page, experts=None, active=None, preset="gpt-oss-20b")
    expect_figures(page, Study.of_preset("gpt-oss-20b"))
    assert_no_error_shown(page)


def test_back_and_forward_lead_from_page_to_page_with_the_model(visits):
    page = visits.open("/", preset="classroom", heads="4", kv="2")
    page.get_by_role("link", name="Build and run").last.click()
    expect(page.get_by_role("heading", name="Build and run", level=1)).to_be_visible()
    expect_address(page, preset="classroom", heads="4")
    expect_position(page, "Query heads", "4")
    at_rest(page)
    page.wait_for_timeout(SETTLED)
    page.go_back()
    expect(page.get_by_role("heading", name="GPT-OSS, live", level=1)).to_be_visible()
    expect_position(page, "Query heads", "4")
    expect_address(page, preset="classroom", heads="4")


def test_a_bad_address_falls_back_with_a_notice(visits):
    page = visits.open("/build", preset="gpt-oss-20b", heads="12", kv="5", colour="red",
                       layers="<img src=x onerror=alert(1)>")
    notice = page.get_by_test_id("stAlert").first
    expect(notice).to_contain_text("KV groups went from 5 to")
    expect(notice).to_contain_text("Layers cannot be “<img src=x onerror=alert(1)>”")
    expect(notice).to_contain_text("colour")
    expect_position(page, "Query heads", "12")
    assert page.locator("img[src=x]").count() == 0
    press(page, "Layers", "Home")
    expect_address(page, layers="1", colour=None)
    expect(page.get_by_test_id("stAlert")).to_have_count(0)


def test_a_reload_keeps_the_state(visits):
    page = visits.open("/build")
    press(page, "Experts", "End")
    type_text(page, "Own words")
    expect_address(page, experts="256", text="Own words")
    page.reload()
    at_rest(page)
    expect_position(page, "Experts", "256")
    expect(text_box(page)).to_have_value("Own words")
