"""Controls that every page shares: what they say, where they go when their limits move, and what a click moves."""

from types import SimpleNamespace

import pytest
import streamlit as st
from reader import address, assert_fine, dial, open_page
from streamlit.testing.v1 import AppTest

from gptoss.app import controls


def script():
    """A page with a slider of tokens, opened with an address. `count` and `first` are set by the test."""
    import streamlit as st

    from gptoss.app import controls, kept

    if "kept" not in st.session_state:
        kept.arrive({"token"})
    position = controls.token(st.session_state.get("count", 10), st.session_state.get("first", 4))
    st.text(f"{position} {controls.token_shown(st.session_state.get('count', 10), st.session_state.get('first', 4))}")


def opened(**values):
    at = AppTest.from_function(script)
    for key, value in values.items():
        at.session_state[key] = value
    return at.run()


def position(at):
    assert not at.exception
    here, shown = at.text[0].value.split()
    assert here == shown
    return int(here)


def with_text_of(at, count, first=4):
    at.session_state["count"], at.session_state["first"] = count, first
    return position(at.run())


@pytest.mark.parametrize(("count", "first", "expected"), [(10, 4, 4), (3, 4, 2), (1, 0, 0), (10, 9, 9), (2, 0, 0)])
def test_a_token_starts_where_the_page_says_or_at_the_end(count, first, expected):
    at = opened(count=count, first=first)
    assert position(at) == expected and dial(at, "token").disabled == (count == 1)
    assert dial(at, "token").value == ("last" if expected == count - 1 else expected)


def test_a_token_that_nobody_moved_goes_where_the_next_text_or_page_starts():
    at = opened()
    assert [with_text_of(at, *other) for other in ((10, 7), (3, 7), (12, 0))] == [7, 2, 0]


def test_a_callback_may_put_a_token_beyond_the_end():
    assert position(opened(token=9)) == 9 and position(opened(token=400)) == 9


def test_a_chosen_token_stays_and_one_at_the_end_stays_at_the_end():
    at = opened()
    dial(at, "token").set_value(6).run()
    assert [with_text_of(at, count) for count in (20, 7, 30)] == [6, 6, 29]


@pytest.mark.parametrize(("there", "expected"), [("3", 3), ("last", 9), ("9", 9), ("77", 9), ("<b>", 4), ("", 4)])
def test_an_address_names_a_token_or_the_nearest_or_is_passed_over(there, expected):
    at = AppTest.from_function(script)
    at.query_params["token"] = there
    assert position(at.run()) == expected


@pytest.mark.parametrize(("selection", "moved"), [
    ({"picked": [{"query": "0012 ·cat", "head": 3}]}, {"token": 12, "head": 3}), ({"picked": [{"head": 0.0}]}, {"head": 0}),
    ({"picked": [{"query": "   0 sink", "head": -1}]}, {}), ({"picked": [{}]}, {}), ({"picked": []}, {}), ({}, {})])
def test_a_click_moves_what_it_hits(monkeypatch, selection, moved):
    state = {"chart": SimpleNamespace(selection=selection)}
    monkeypatch.setattr(st, "session_state", state)
    controls.picks("chart", token="query", head="head")()
    assert {key: value for key, value in state.items() if key != "chart"} == moved


def test_a_key_reads_its_widget_or_its_default(monkeypatch):
    monkeypatch.setattr(st, "session_state", {})
    size = controls.Key("size", 3)
    assert size.value == 3
    size.set(5)
    assert size.value == 5 and st.session_state == {"size": 5}


def test_a_page_says_that_it_needs_a_text():
    def page():
        from gptoss.app import controls

        assert controls.has_text((1,), "it shows")
        assert not controls.has_text("", "it shows")

    at = AppTest.from_function(page).run()
    assert not at.exception and [info.value for info in at.info] == ["Type a text, or choose an example, and it shows."]


def token_on(at, page):
    at.switch_page(f"pages/{page}.py").run()
    assert_fine(at)
    return dial(at, "token").value


def test_a_chosen_token_goes_from_page_to_page_and_an_untouched_one_starts_where_each_page_says():
    at = open_page("pages/sinks.py", preset="classroom")
    first = dial(at, "token").value
    assert [token_on(at, page) for page in ("window", "block", "sinks")] == [47, "last", first] and first not in (47, "last")
    dial(at, "token").set_value(5).run()
    assert [token_on(at, page) for page in ("window", "block", "experts", "attention", "sinks")] == [5] * 5
    assert address(at)["token"] == "5"


def test_the_text_stays_when_a_reader_who_came_straight_to_a_page_goes_to_another():
    at = open_page("pages/sinks.py", preset="classroom", text="My own words")
    at.switch_page("pages/window.py").run()
    assert_fine(at)
    assert at.text_area(key="text").value == "My own words" and at.selectbox(key="sample").value == "own text"


def test_a_pages_own_controls_are_named_after_it_and_an_experiment_sets_them():
    own = controls.Own("memory", {"batch": 1, "prompt": 1024})
    assert own.key("batch") == "memory_batch" and own.value("prompt") == 1024 and own.value("phase") is None
    assert own.moved(["batch", "prompt"], prompt=64, view="Speed") == {
        "memory_batch": 1, "memory_prompt": 64, "memory_view": "Speed"}


def walk():
    """A page that goes through three steps."""
    import streamlit as st

    from gptoss.app import controls

    controls.steps("walk", ["a", "b", "c"], then=lambda: st.session_state.update(stepped=True))
    st.text(st.session_state.get("walk", "a"))


def test_steps_begin_at_the_first_end_at_the_last_and_call_what_follows_a_step():
    at = AppTest.from_function(walk).run()
    assert at.button(key="steps_back").disabled and "stepped" not in at.session_state
    for place in "bc":
        at.button(key="steps_forward").click().run()
        assert at.text[0].value == place and at.session_state["stepped"]
    assert at.button(key="steps_forward").disabled and not at.button(key="steps_back").disabled


@pytest.mark.parametrize(("start", "by", "there"), [("a", 1, "b"), ("c", 1, "c"), ("a", -1, "a"), ("gone", 1, "b")])
def test_a_step_goes_from_where_the_widget_is_and_stays_within_its_places(monkeypatch, start, by, there):
    session = {"walk": start}
    monkeypatch.setattr(controls.st, "session_state", session)
    controls._step("walk", ["a", "b", "c"], by, None)
    assert session["walk"] == there


def test_a_page_that_is_left_forgets_its_step_and_nothing_else(monkeypatch):
    session = {"steps": "walk", "walk": "b", "layer": 3}
    monkeypatch.setattr(controls.st, "session_state", session)
    controls.forget_step()
    controls.forget_step()
    assert session == {"layer": 3}
