"""Projector mode in AppTest: in the address, on every page, and with less on it. What it looks like is for a browser."""

import json

import pytest
from head import data
from reader import address, assert_fine, charts, move, open_page, open_tab

from gptoss.app import stage
from gptoss.app.lesson import CHECKS, CLAIMS, CODE, MATHS

PAGE = "pages/sinks.py"


@pytest.fixture
def settled(monkeypatch):
    """No address is still on its way to the browser: AppTest hands every one over at once."""
    monkeypatch.setattr(stage, "IN_FLIGHT", -1.0)


def letters(at) -> float:
    return json.loads(charts(at)[0].proto.spec)["config"]["axis"]["labelFontSize"]


def tabs(at) -> list[str]:
    return [tab.label for tab in at.tabs]


def test_it_comes_with_the_address_and_stays_there_from_move_to_move_and_page_to_page():
    at = open_page(PAGE, stage="1", theme="dark")
    assert_fine(at)
    assert not at.warning and data(at)["scheme"] == "dark"
    move(at, "heads", 0)
    assert address(at)["stage"] == "1" and address(at)["theme"] == "dark"
    at.query_params.clear()  # as the bar's links come
    at.switch_page("pages/gqa.py").run()
    assert data(at)["scheme"] == "dark" and address(at)["stage"] == "1"


def test_it_is_light_unless_the_address_says_otherwise_and_off_unless_asked_for():
    assert data(open_page(PAGE, stage="1"))["scheme"] == "light"
    at = open_page(PAGE, stage="yes", theme="dark")
    assert data(at)["scheme"] == "" and not {"stage", "theme"} & address(at).keys()


def test_an_address_of_the_same_page_without_it_leaves_it(settled):
    at = open_page(PAGE, stage="1", preset="gpt-oss-20b")
    del at.query_params["stage"]
    at.run()
    assert data(at)["scheme"] == "" and "stage" not in address(at)


def test_charts_are_laid_out_with_larger_letters_and_say_only_what_was_left_out():
    plain, large = open_page(PAGE), open_page(PAGE, stage="1")
    assert letters(large) > 1.3 * letters(plain)
    assert len(large.caption) < len(plain.caption)
    assert any("Shown:" in caption.value for caption in large.caption)


def test_code_claims_and_checks_are_away_unless_one_was_called():
    at = open_page(PAGE, stage="1")
    assert MATHS in tabs(at) and not {CODE, CLAIMS, CHECKS} & {*tabs(at)}
    called = open_tab(at, "sinks", CLAIMS)
    assert CLAIMS in tabs(called) and not {CODE, CHECKS} & {*tabs(called)}
