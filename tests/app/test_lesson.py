"""What is below every component page's picture: nothing shows before the reader has committed."""

import pytest
from reader import open_tab, page_text
from streamlit.testing.v1 import AppTest

from gptoss.app import verdicts
from gptoss.app.cache import Budget, Cache
from gptoss.app.lesson import Prediction, Try
from gptoss.app.study import DEFAULT_PRESET, Study


def a_page():
    """A page of its own with a lesson of every kind, inside the app's state."""
    import streamlit as st

    from gptoss.app import lesson, state
    from gptoss.app.hall import called
    from gptoss.app.lesson import Lesson, Prediction, Try, below, beside
    from gptoss.app.verdicts import COMPUTED, TOPICS, UNDER_STUDY, Claim, Verdict
    from gptoss.model import RMSNorm

    lesson.take_up()
    for call in st.session_state.pop("called", ()):  # as a callback does
        call(called)
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

    whole = Lesson(
        "rope",
        Prediction("What is six times seven?", answer, lambda value: f"Seven sixes make {value:.0f}.", unit="apples",
                   mistakes=[(13.0, "That is the sum."), (lambda: calls.append("mistake") or 6**7, "That is a power.")]),
        [Try("One head", "to see MQA", dials={"heads": 1}, text="abc", controls={"rope_near": 3}),
         Try("Two layers", "They alternate.", dials={"layers": 2})],
        maths=r"$$a^2$$", code=[RMSNorm], claims=[claim], checks=check)
    beside(whole)
    below(whole)


@pytest.fixture
def page(monkeypatch):
    monkeypatch.setattr(verdicts, "_decided", Cache(2048, Budget(2**20)))
    return AppTest.from_function(a_page, default_timeout=30).run()


def test_nothing_is_computed_or_shown_before_the_reader_commits(page):
    assert page.session_state["calls"] == []
    assert "What is six times seven?" in page_text(page) and "42" not in page_text(page)
    page.button(key="rope_commit").click().run()
    assert "Give your own answer first" in page_text(page)
    page.number_input(key="rope_guess").set_value(7.0).run()
    assert page.session_state["calls"] == [] and "42" not in page_text(page)


@pytest.mark.parametrize("guess, kind", [(42.0, "success"), (42.5, "success"), (7.0, "info")])
def test_the_answer_follows_the_guess_until_the_reader_is_asked_again(page, guess, kind):
    page.number_input(key="rope_guess").set_value(guess)
    page.button(key="rope_commit").click().run()
    assert not page.exception
    sentence = page.get(kind)[0].value
    assert f"You said {guess:,.4g} apples." in sentence
    assert ("**That is right.**" if guess == 42 else "**It is 42 apples.**") in sentence
    assert "Seven sixes make 42." in sentence
    page.button(key="rope_again").click().run()
    assert not page.exception and page.number_input(key="rope_guess").value in (None, guess)
    assert not page.info and not page.success


def test_only_the_open_tab_does_any_work(page):
    assert page.session_state["calls"] == [] and "a^2" in page_text(page)
    open_tab(page, "rope", "The code")
    assert "class RMSNorm" in page.code[0].value and page.session_state["calls"] == []
    open_tab(page, "rope", "Claims")
    assert page.session_state["calls"] == [] and "It multiplies." in page_text(page)
    page.button(key="rope_measure_99").click().run()
    assert page.session_state["calls"] == ["claim"] and "It is 42." in page_text(page) and "close: false]" in page_text(page)
    assert any(r"It is \<\|41\|\>." in markdown.value for markdown in page.markdown)
    assert f"somebody, claim 99 · decided on the model under study, {DEFAULT_PRESET}]" in page_text(page)
    page.run()
    assert page.session_state["calls"] == ["claim"]  # remembered
    open_tab(page, "rope", "How we know")
    assert page.session_state["calls"] == ["claim", "check"] and "checked" in page_text(page)


def test_an_experiment_sets_dials_text_and_the_pages_own_controls(page):
    assert "to see MQA" not in page_text(page)
    page.button(key="rope_try_0").click().run()
    assert not page.exception and "to see MQA" in page_text(page)
    moment = page.session_state["session"].now
    assert (moment.study.heads, moment.study.kv, moment.text) == (1, 1, "abc")
    assert page.session_state["rope_near"] == 3


def test_an_experiment_may_begin_with_another_preset():
    study = Try("", "", {"kv": 1}, preset="gpt-oss-120b").study(Study.of_preset("classroom"))
    assert study.preset == "gpt-oss-120b" and study.kv == 1 and study.layers == 36


def test_an_experiment_begins_where_the_one_before_it_began_unless_something_was_moved_since(page):
    page.button(key="rope_try_0").click().run()
    page.button(key="rope_try_1").click().run()
    moment = page.session_state["session"].now
    assert (moment.study.heads, moment.study.layers, moment.text != "abc") == (Study.of_preset("classroom").heads, 2, True)
    assert "They alternate." in page_text(page) and "to see MQA" not in page_text(page)
    page.button(key="rope_try_0").click().run()
    page.session_state["text"] = "xyz"
    page.run()
    page.button(key="rope_try_1").click().run()
    moment = page.session_state["session"].now
    assert (moment.study.heads, moment.study.layers, moment.text) == (1, 2, "xyz")
    assert not page.exception


def called(page, *calls):
    """The page after what a running order does to it."""
    page.session_state["called"] = calls
    page.run()
    assert not page.exception
    return page


def test_an_answer_is_revealed_and_taken_back_as_an_order_says(page):
    called(page, lambda order: order.reveal("rope"))
    assert "It is 42 apples." in page.info[0].value and "You said" not in page.info[0].value
    called(page, lambda order: order.start_over("rope"))
    assert not page.info and page.number_input(key="rope_guess")


def test_an_experiment_is_pressed_by_its_name_and_one_that_is_not_there_is_named(page):
    called(page, lambda order: order.try_by_label("One head"), lambda order: order.reveal("rope"))
    assert page.session_state["session"].now.study.heads == 1 and page.session_state["rope_near"] == 3
    assert "to see MQA" in page_text(page) and "It is 42 apples." in page.info[0].value
    assert len(page.session_state["session"].past) == 1
    called(page, lambda order: order.start_over("rope"), lambda order: order.try_by_label("No <b> head"))
    assert "No experiment here is called “No <b> head”." in page_text(page) and "to see MQA" not in page_text(page)
    called(page, lambda order: order.start_over("rope"))
    assert "No experiment here" not in page_text(page)


@pytest.mark.parametrize("guess, words", [(13.0, "That is the sum. It is 42"), (6.0**7, "That is a power. It is 42"),
                                          (5.0, "apples. It is 42")])
def test_a_typical_mistake_is_answered_and_computed_no_earlier(page, guess, words):
    page.number_input(key="rope_guess").set_value(guess)
    assert "mistake" not in page.session_state["calls"]
    page.button(key="rope_commit").click().run()
    assert words in page.info[0].value.replace("*", "")


def test_a_wrong_choice_is_answered_by_its_own_sentence():
    asked = Prediction("Which?", lambda: "a", str, choices=("a", "b", "c"), mistakes={"b": "Twice a.", "c": lambda: "no"})
    assert [asked.mistake(choice) for choice in asked.choices] == ["", "Twice a.", "no"]


def test_choices_are_right_only_when_they_are_the_answer():
    choice = Prediction("Which?", lambda: "a", str, choices=("a", "b"))
    assert choice.right("a", "a") and not choice.right("b", "a")
    exact = Prediction("How many?", lambda: 3, str, tolerance=0)
    assert exact.right(3.0, 3) and not exact.right(3.01, 3)
