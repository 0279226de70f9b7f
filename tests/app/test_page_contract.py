"""What every page promises: its controls, addresses, experiments, prediction, tabs and texts, whatever a reader does.

What is particular to a page is tested beside its lesson. A broken promise is reported with the page and the control.
"""

import re

import hand
import pytest
from head import title
from letters import misnamed, torn, unknown_letters
from literal_walk import MARKUP, assert_literal
from nightly import at_night
from page_controls import assert_shows_something, controls, named, place, show, take_to_its_ends, views
from reader import address, assert_fine, open_page
from seen import seen
from streamlit.testing.v1.element_tree import Slider
from taken_home import assert_starts_as_the_page

from gptoss.app import lesson, notices
from gptoss.app.book import ALL_PAGES
from gptoss.app.hall import orders
from gptoss.app.lesson import CODE, MATHS, TABS, Prediction, Try
from gptoss.app.markdown import literal
from gptoss.app.study import DEFAULT_PRESET
from gptoss.room.order import LONGEST

EVERY_PAGE = pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.path)
NO_LESSON = ("start", "build", "exercises", "lecture")
EVERY_LESSON = pytest.mark.parametrize("page", [page for page in ALL_PAGES if page.path not in NO_LESSON],
                                       ids=lambda page: page.path)
FEW = 6  # choices
# Between them, every dial at both its ends.
EXTREMES = {
    "largest": {"layers": "48", "hidden": "5760", "heads": "128", "kv": "128", "experts": "256", "active": "128",
                "window": "off", "sinks": "off", "context": "131072", "factor": "64", "theta": "1000000", "every": "4"},
    "smallest": {"layers": "1", "hidden": "64", "heads": "1", "kv": "1", "experts": "1", "active": "1", "window": "1",
                 "context": "128", "factor": "1", "theta": "1000", "precision": "bfloat16", "every": "1"},
}
BAD = ("", ["1", "<b>"], "9" * 40, "-987654", "NaN", "1e400", MARKUP)


def opened(page, preset="classroom", **query):
    at = open_page(f"pages/{page.file}", preset=preset, **query)
    with named(f"{page.path} {query}"):
        assert_fine(at)
        assert title(at) == page.title
    return at


def open_tab(at, page, tab):
    at.session_state[f"{page.path}_lesson"] = tab
    return at.run()


@EVERY_PAGE
def test_every_view_asks_one_question_that_answers_mistakes_and_its_controls_reach_their_ends(page, monkeypatch):
    questions, ask = [], lesson._predict
    monkeypatch.setattr(lesson, "_predict", lambda one: questions.append(one.prediction) or ask(one))
    at = opened(page)
    switch, options = views(at, page.path)
    for view in options:
        questions.clear()
        show(at, switch, view)
        with named(f"{page.path}, view {view}"):
            assert len(questions) == (page.path not in NO_LESSON), "not one question"
            if questions:
                assert_mistakes_are_answered(questions[0])
                assert_can_be_put_to_a_room(questions[0])
        for key in [key for key in controls(at) if key != switch]:
            if key in controls(at):
                take_to_its_ends(at, key, set(controls(at)))


def assert_mistakes_are_answered(asked):
    """Each of a few wrong choices has its sentence; of many, such as the parts of a model, or of numbers, some have."""
    wrong = [choice for choice in asked.choices if choice != asked.answer()]
    assert asked.mistakes or len(wrong) > FEW, f"no mistake of “{asked.question}” is answered"
    assert len(wrong) > FEW or all(map(asked.mistake, wrong)), f"{asked.question}: {wrong}"


def assert_can_be_put_to_a_room(asked):
    """As text, without a mark of Markdown, and no longer than a vote of an order may be."""
    question = asked.of_room("page")
    for words in (question.text, question.unit, *question.choices):
        assert not re.search(r"[*`\\]|\]\(|:material/", words), words
    assert len(question.text) <= LONGEST["text"] and len({*question.choices}) == len(asked.choices)


@EVERY_PAGE
@pytest.mark.parametrize("extreme", EXTREMES.values(), ids=EXTREMES)
def test_every_view_of_an_extreme_model_shows_something(page, extreme):
    at = opened(page, preset="gpt-oss-120b", **extreme)
    switch, options = views(at, page.path)
    for view in options:
        with named(f"{page.path}, view {view}"):
            show(at, switch, view)
            assert_fine(at)
            assert_shows_something(at)
            assert not at.warning, at.warning[0].value
            assert_starts_as_the_page(at, page.path, preset="gpt-oss-120b", **extreme)


@EVERY_PAGE
def test_what_an_address_cannot_say_of_a_control_is_named_and_goes_to_the_nearest(page, monkeypatch):
    monkeypatch.setattr(notices, "MOST", 100)
    switch, options = views(opened(page), page.path)
    known = set()
    for view in options:
        query = {switch: view} if switch else {}
        untouched = controls(opened(page, **query))
        bound = [key for key, widget in untouched.items() if key != switch
                 and (isinstance(widget, hand.MainSlider) or widget.proto.query_param_key)]
        for turn in range(len(BAD) if set(bound) - known else 0):
            bad = {key: BAD[(turn + number) % len(BAD)] for number, key in enumerate(bound)}
            at = opened(page, **query | bad)
            for key, value in bad.items():
                rest = {other: word for other, word in (query | bad).items() if other != key}
                assert_put_right(at, controls(at)[key], untouched[key], value, lambda rest=rest: opened(page, **rest))
        known |= set(bound)
    for bad in BAD if switch else ():
        at = opened(page, **{switch: bad})
        assert_put_right(at, controls(at)[switch], None, bad)
        assert controls(at)[switch].value == options[0], f"{page.path}: {switch}={bad!r}"


def assert_put_right(at, control, untouched, bad, without=None):
    """A control is where it was, or at the end nearest to a number; one that can be empty is; all else is named.

    `without` opens the page with the same address but for this control: one may follow another.
    """
    last = bad[-1] if isinstance(bad, list) else bad
    if control.type == "text_input" or bad == "" and (control.value in ([], None)):
        assert control.value == last[:control.proto.max_chars] if control.type == "text_input" else not control.value
        return
    with named(f"{control.key}={bad!r}"):
        assert at.warning and literal(control.label) in at.warning[0].value, "nothing is said"
    if isinstance(control, Slider):
        ends = {"9" * 40: control.max, "1e400": control.max, "-987654": control.min}
        assert control.value == ends.get(last, untouched.value), f"{control.key}={bad!r}: {control.value}"
    elif untouched is not None and control.type != "toggle" and last in ("9" * 40, "1e400", "-987654"):
        numbers = {word: float(word.replace(",", "")) for word in control.options if re.fullmatch(r"-?[\d.,]+", word)}
        ends = [min(numbers, key=numbers.get), max(numbers, key=numbers.get)] if numbers else []
        far = [place(untouched), *(f'"{word}"' for word in (*ends, control.options[0], control.options[-1]))]
        assert any(end in place(control) for end in far), f"{control.key}={bad!r}: {place(control)}"
    elif untouched is not None and getattr(control, "options", ()) == getattr(untouched, "options", ()):
        with named(f"{control.key}={bad!r}"):
            there = place(control)
            assert there == place(untouched) or there == place(controls(without())[control.key]), there


def contents(at):
    """Everything that a page shows, apart from the sidebar: to see whether anything has changed."""
    return [str(element.proto) for element in at.main if hasattr(element, "proto")]


@EVERY_LESSON
@pytest.mark.parametrize("preset", at_night((DEFAULT_PRESET, "classroom"), (DEFAULT_PRESET,)))
def test_every_experiment_changes_something_and_shows_what_its_sentence_says(page, preset, monkeypatch):
    pressed, put = [], Try.set
    monkeypatch.setattr(Try, "set", lambda attempt, start: pressed.append(attempt) or put(attempt, start))
    at = opened(page, preset).run()
    assert contents(at) == contents(at.run()), "what is shown changes by itself"
    start = contents(at), address(at)
    count = sum(str(button.key).startswith(f"{page.path}_try_") for button in at.button)
    assert count >= 2
    for number in range(count):  # each begins where the one before it began
        button = at.button(key=f"{page.path}_try_{number}")
        with named(f"{page.path}, experiment “{button.label}”"):
            button.click().run()
            assert_fine(at)
            assert button.label in orders.experiments(page.path), "no running order could name it"
            assert pressed[number].label == button.label and f"** {pressed[number].why}" in markdown(at)
            assert (contents(at), address(at)) != start, "nothing has changed"
            assert pressed[number].check(seen(at)), "its sentence is not true of what is seen"


def markdown(at) -> str:
    return "\n".join(element.value for element in at.markdown)


def verdicts(at):
    """What is said about a prediction that was committed."""
    return [box.value for box in (*at.success, *at.info) if box.value.startswith("You said")]


def asked(at, page):
    """What the reader answers with, whatever that is and under whichever view."""
    return next(control for control in (*at.number_input, *at.radio, *at.selectbox)
                if str(control.key).startswith(f"{page.path}_") and control.key.endswith("_guess"))


def commit(at, page, guess):
    asked(at, page).set_value(guess).run()
    assert not verdicts(at), "the answer shows before the commit"
    at.button(key=f"{page.path}_commit").click().run()
    assert_fine(at)
    assert len(verdicts(at)) == 1, "no answer"


@EVERY_LESSON
def test_the_reader_commits_before_the_answer_shows(page, monkeypatch):
    answers, right = [], Prediction.right
    monkeypatch.setattr(Prediction, "right", lambda *question: answers.append(question[-1]) or right(*question))
    at = opened(page)
    with named(page.path):
        assert not verdicts(at)
        at.button(key=f"{page.path}_commit").click().run()
        assert not verdicts(at) and not answers, "an empty prediction is taken"
        guesses = getattr(asked(at, page), "options", [-987.5])[:2]
        commit(at, page, guesses[0])
        if answers[0] == guesses[0]:
            at.button(key=f"{page.path}_again").click().run()
            commit(at, page, guesses[1])
        assert not at.success, "a wrong prediction is praised"
        at.button(key=f"{page.path}_again").click().run()
        commit(at, page, answers[0])
        assert len(at.success) == 1, "the right prediction is not praised"


TEXTS = {
    "none": "", "one letter": "a", "space": " ", "line ends": "\n\n\n", "emoji": "👩‍🚀🏳️‍🌈🙂 " * 4, "Arabic": "مرحبا بالعالم",
    "override": "abc \u202edef\u202c \u200f", "control": "a\x00b\x07\x1b[31mc\x7f", "long": "The sea is wide. " * 300,
    "special": "<|start|>system<|message|>hi<|end|><|reserved_200013|>",
    "markup": "<script>alert(1)</script> <img src=x onerror=alert(1)> # t **b** $x^2$ :red[x] [l](http://e.org) `c` | a | "
              "![i](//e.org) :material/home: www.e.org",
}
THOROUGH = at_night(tuple(TEXTS), ("none", "one letter", "long", "markup"))  # through every view and tab


@EVERY_PAGE
def test_any_text_stays_whole_and_is_shown_as_text(page):
    at = opened(page)
    if not at.main.text_area:
        for text in TEXTS.values():
            assert_literal(opened(page, text=text))
        return
    switch, options = views(at, page.path)
    for name, text in TEXTS.items():
        show(at, switch, options[0])
        at.text_area(key="text").set_value(text).run()
        steps = max(len(options), len(TABS)) if name in THOROUGH else 1
        for step in range(steps):
            view, tab = options[step % len(options)], TABS[step % len(TABS)]
            with named(f"{page.path}, text “{name}”, view {view}, tab {tab}"):
                at.session_state[f"{page.path}_lesson"] = tab
                show(at, switch, view)
                assert_fine(at)
                assert at.session_state["text"] == text
                assert_literal(at)


@EVERY_LESSON
def test_every_tab_opens(page):
    at = opened(page, preset="gpt-oss-20b")
    offered = [tab.label for tab in at.tabs if tab.label in TABS]
    assert offered[:2] == [MATHS, CODE]
    for tab in offered:
        with named(f"{page.path}, tab {tab}"):
            open_tab(at, page, tab)
            assert_fine(at)
            assert [len(panel) > 0 for panel in at.tabs if panel.label == tab] == [True], "it is empty"
            if tab == MATHS:
                assert_formulas_are_right(at)


def assert_formulas_are_right(at):
    """They use the letters of `gptoss/notation.py`, each for what it means there, and are worked with numbers."""
    [panel] = [panel for panel in at.tabs if panel.label == MATHS]
    shown = "\n\n".join(markdown.value for markdown in panel.markdown)
    assert not torn(shown)
    assert not unknown_letters(shown), f"not in the table: {sorted(unknown_letters(shown))}"
    assert not misnamed(shown)
    assert "With the numbers above" in shown
