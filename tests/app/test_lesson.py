"""What is below every component page's picture: nothing shows before the reader has committed."""

import pytest
from streamlit.testing.v1 import AppTest

from gptoss.app import verdicts
from gptoss.app.cache import Cache
from gptoss.app.lesson import Prediction, Try
from gptoss.app.study import Study


def a_page():
    """A page of its own with a lesson of every kind, inside the app's state."""
    import streamlit as st

    from gptoss.app import state
    from gptoss.app.lesson import Lesson, Prediction, Try, below
    from gptoss.app.verdicts import COMPUTED, TOPICS, UNDER_STUDY, Claim, Verdict
    from gptoss.model import RMSNorm

    state.synchronise()
    calls = st.session_state.setdefault("calls", [])

    def answer():
        calls.append("answer")
        return 42.0

    def check():
        calls.append("check")
        st.write("checked")

    def decide(study):
        calls.append("claim")
        return Verdict.of(False, f"It is {6 * 7}.")

    claim = Claim("99", TOPICS[0], "It is <|41|>.", "somebody", COMPUTED, UNDER_STUDY, decide, ("rope",),
                  takes="It multiplies.")

    below(Lesson(
        "rope",
        Prediction("What is six times seven?", answer, lambda value: f"Seven sixes make {value:.0f}.", unit="apples"),
        [Try("One head", "to see MQA", dials={"heads": 1}, text="abc", controls={"rope_near": 3})],
        maths=r"$$a^2$$", code=[RMSNorm], claims=[claim], checks=check))


@pytest.fixture
def page(monkeypatch):
    monkeypatch.setattr(verdicts, "_decided", Cache(2048))
    return AppTest.from_function(a_page, default_timeout=30).run()


def open_tab(page, name):
    page.session_state["rope_lesson"] = name
    return page.run()


def said(page):
    return "\n".join(each.value for kind in ("markdown", "success", "info", "caption") for each in page.get(kind))


def commit(page, guess):
    page.number_input(key="rope_guess").set_value(guess)
    return page.button(key="rope_commit").click().run()


def test_nothing_is_computed_or_told_before_the_reader_commits(page):
    assert page.session_state["calls"] == []
    assert "What is six times seven?" in said(page) and "42" not in said(page)
    page.number_input(key="rope_guess").set_value(7.0).run()
    assert page.session_state["calls"] == [] and "42" not in said(page)


def test_committing_nothing_asks_for_a_guess(page):
    page.button(key="rope_commit").click().run()
    assert "Say your own first" in said(page) and page.session_state["calls"] == []


@pytest.mark.parametrize("guess, kind", [(42.0, "success"), (42.5, "success"), (7.0, "info")])
def test_the_answer_follows_the_guess(page, guess, kind):
    commit(page, guess)
    assert not page.exception
    sentence = page.get(kind)[0].value
    assert f"You said {guess:,.4g} apples." in sentence and "It is 42 apples." in sentence
    assert "Seven sixes make 42." in sentence


def test_the_reader_can_be_asked_again(page):
    commit(page, 1.0)
    page.button(key="rope_again").click().run()
    assert not page.exception and page.number_input(key="rope_guess").value in (None, 1.0)
    assert not page.info and not page.success


def test_only_the_open_tab_does_any_work(page):
    open_tab(page, "The maths")
    assert page.session_state["calls"] == [] and "a^2" in said(page)
    open_tab(page, "The code")
    assert "class RMSNorm" in page.code[0].value and page.session_state["calls"] == []
    open_tab(page, "Claims")
    assert page.session_state["calls"] == ["claim"] and "It is 42." in said(page) and "close: false]" in said(page)
    assert r"It is \<\|41\|\>." in said(page)
    assert "somebody, claim 99 · decided on the model under study, classroom]" in said(page)
    page.run()
    assert page.session_state["calls"] == ["claim"]  # remembered
    open_tab(page, "How we know")
    assert page.session_state["calls"] == ["claim", "check"] and "checked" in said(page)


def test_an_experiment_sets_dials_text_and_the_pages_own_controls(page):
    open_tab(page, "Try this")
    page.button(key="rope_try_0").click().run()
    assert not page.exception
    moment = page.session_state["session"].now
    assert (moment.study.heads, moment.study.kv, moment.text) == (1, 1, "abc")
    assert page.session_state["rope_near"] == 3


def test_an_experiment_may_begin_with_another_preset():
    study = Try("", "", {"kv": 1}, preset="gpt-oss-120b").study(Study.of_preset("classroom"))
    assert study.preset == "gpt-oss-120b" and study.kv == 1 and study.layers == 36


def test_choices_are_right_only_when_they_are_the_answer():
    choice = Prediction("Which?", lambda: "a", str, choices=("a", "b"))
    assert choice.right("a", "a") and not choice.right("b", "a")
    exact = Prediction("How many?", lambda: 3, str, tolerance=0)
    assert exact.right(3.0, 3) and not exact.right(3.01, 3)
