"""Texts typed into the page become tokens, never markup; text generated comes piece by piece and can be stopped."""

import re

import pytest
from chromium_reader import (
    assert_no_error_shown,
    at_rest,
    chips,
    expect_address,
    press,
    settle,
    text_box,
    type_text,
)
from playwright.sync_api import expect

from gptoss.app.study import Study
from gptoss.app.text import live_tokens
from gptoss.lessons.build.controls import MOST_CHIPS

HARMFUL = ["<script>alert(1)</script>", "\n".join((
    "<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>', "[a](javascript:alert(1)) <b>bold</b> **x** $y$ :red[z]",
    "</span></div><iframe src='javascript:alert(1)'>"))]
SLOW = {"preset": "gpt-oss-120b", "heads": "128", "kv": "128", "experts": "256", "active": "128", "view": "Next token",
        "new_tokens": "200"}


def test_a_typed_text_is_shown_as_its_tokens(visits):
    page = visits.open("/build", preset="classroom")
    type_text(page, "The cat sat.")
    tokens = live_tokens("The cat sat.", Study.of_preset("classroom").vocabulary, False)
    expect(page.locator(".chips span")).to_have_count(len(tokens))
    assert chips(page) == list(tokens.labels)
    ids = page.locator(".chips small").all_inner_texts()
    assert ids == [str(number) for number in tokens.o200k]
    page.get_by_role("button", name="Take it home").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Script", exact=True).click()
    script = download.value.path().read_text(encoding="utf-8")
    assert download.value.suggested_filename == "build-classroom.py"
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert "text = 'The cat sat.'" in script and "/build?preset=classroom&text=The+cat+sat." in script


@pytest.mark.parametrize("text", HARMFUL)
def test_markup_is_shown_as_text_in_every_view_and_runs_nothing(visits, text):
    page = visits.open("/build", preset="classroom")
    type_text(page, text)
    expect_address(page, text=text)
    for view in ("Experts", "Tensors", "Next token", "Attention"):
        page.get_by_test_id("stButtonGroup").get_by_text(view, exact=True).click()
        expect_address(page, view=None if view == "Attention" else view)
    at_rest(page)
    tokens = live_tokens(text, Study.of_preset("classroom").vocabulary, False)
    assert chips(page) == list(tokens.labels)
    assert text_box(page).input_value() == text
    main = page.get_by_test_id("stMain")
    for planted in ("img[src=x]", "svg[onload]", "iframe[src^=javascript]", "a[href^=javascript]", "b:has-text('bold')"):
        assert main.locator(planted).count() == 0
    assert page.evaluate("window.calls") == []


def test_a_megabyte_is_cut_with_a_notice_and_stays_in_the_box(visits):
    page = visits.open("/build", preset="classroom")
    text = "A pasted text, again and again. " * 32_768
    type_text(page, text)
    expect(page.get_by_text("1,048,576 characters")).to_be_visible()
    expect(page.locator(".chips span")).to_have_count(MOST_CHIPS + 1)  # and how many are left out
    expect(page.get_by_text("The first 512 tokens run")).to_be_visible()
    assert text_box(page).input_value() == text
    press(page, "Sliding window", "Home")
    expect_address(page, window="1")
    at_rest(page)
    assert text_box(page).input_value() == text
    assert_no_error_shown(page)


def test_generation_streams_and_a_stop_keeps_what_came(visits):
    page = visits.open("/build", **SLOW)
    page.get_by_role("button", name="Generate").click()
    code = page.get_by_test_id("stCode")
    expect(code).to_be_visible()
    first = code.inner_text()
    page.wait_for_function("first => document.querySelector('[data-testid=stCode]').innerText.length > first + 5",
                           arg=len(first))
    page.get_by_role("button", name="Stop", exact=True).last.click()
    at_rest(page)
    settle(page)
    kept = code.inner_text()
    assert len(kept) > len(first) and kept.startswith(first.rstrip("�\n ")[:5])
    tokens = int(re.search(r"(\d+) tokens in", page.get_by_test_id("stMain").inner_text()).group(1))
    assert 0 < tokens < 200
    settle(page)
    assert code.inner_text() == kept, "generation went on after the stop"
    assert_no_error_shown(page)


def test_generation_comes_to_its_end(visits):
    page = visits.open("/build", preset="classroom", view="Next token", new_tokens="20", seed="5")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_text(re.compile(r"^20 tokens in"))).to_be_visible()
    text = page.get_by_test_id("stCode").inner_text()
    page.get_by_role("button", name="Generate").click()
    at_rest(page)
    expect(page.get_by_text(re.compile(r"^20 tokens in"))).to_be_visible()
    assert page.get_by_test_id("stCode").inner_text() == text
