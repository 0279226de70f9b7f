"""Undo of whole experiments and of a page's own controls, Reset of a page, and what the browser's Back does after Undo."""

from urllib.parse import parse_qs

import pytest
from page_controls import controls
from reader import address, assert_fine, button, dial, move, open_page, open_tab, press, type_text, values

from gptoss.app import state
from gptoss.app.book import ALL_PAGES
from gptoss.app.lesson import CODE, TRY
from gptoss.app.state import PAGE_KEYS


@pytest.fixture
def slowly(monkeypatch):
    """Every move of a control is a step of its own, as of somebody who looks at each."""
    monkeypatch.setattr(state, "PAUSE", -1.0)


@pytest.fixture
def history(monkeypatch):
    """A function that takes a page to an address as the browser's Back and Forward do."""
    going = []
    monkeypatch.setattr(state, "_in_history", lambda: bool(going))

    def go(at, query):
        for key in list(at.query_params):
            del at.query_params[key]
        for key, value in query.items():
            at.query_params[key] = value
        going.append(True)
        at.run()
        going.clear()
        return at
    return go


def everything(at):
    """Dials, text, controls and the address, apart from which tab is open."""
    kept = {key: str(at.session_state[key]) for key in PAGE_KEYS if key in at.session_state and not key.endswith("_lesson")}
    return values(at), at.session_state["text"], kept, {k: v for k, v in address(at).items() if not k.endswith("_lesson")}


@pytest.mark.parametrize("path, number", [("block", 0), ("block", 3), ("sinks", 2), ("sampling", 0), ("gqa", 1)])
def test_undo_takes_back_a_whole_experiment(path, number):
    at = open_tab(open_page(f"pages/{path}.py", preset="classroom", layers="3", layer="1"), path, TRY)
    before = everything(at)
    at.button(key=f"{path}_try_{number}").click().run()
    assert_fine(at)
    assert everything(at) != before
    press(at, "Undo")
    assert_fine(at)
    after = everything(at)
    assert after[:2] == before[:2] and after[2] | before[2] == after[2] and after[3] == before[3]
    assert button(at, "Undo").disabled, "it was more than one step"


def test_a_control_of_the_page_alone_is_a_step(slowly):
    at = open_page("pages/sampling.py", preset="classroom")
    before = everything(at)
    controls(at)["sampling_temperature"].set_value(1.5).run()
    once = everything(at)
    controls(at)["sampling_p"].set_value(0.5).run()
    move(at, "layers", 0)
    press(at, "Undo")
    press(at, "Undo")
    assert everything(at) == once
    press(at, "Undo")
    assert everything(at) == before and "sampling_temperature" not in address(at)
    assert button(at, "Undo").disabled


def test_one_control_that_is_moved_on_and_on_is_one_step():
    at = open_page("pages/sampling.py", preset="classroom")
    before = everything(at)
    for temperature in (0.9, 1.0, 1.1):
        controls(at)["sampling_temperature"].set_value(temperature).run()
    press(at, "Undo")
    assert everything(at) == before


def test_a_move_on_a_page_that_was_left_is_no_step(slowly):
    at = open_page("pages/sampling.py", preset="classroom")
    controls(at)["sampling_temperature"].set_value(1.5).run()
    move(at, "layers", 0)
    controls(at)["sampling_p"].set_value(0.5).run()
    at.switch_page("pages/gqa.py").run()
    press(at, "Undo")
    assert dial(at, "layers").value == 4 and button(at, "Undo").disabled


def test_tabs_are_in_the_address_and_no_step():
    for query in ({}, {"stage": "1"}):
        at = open_page("pages/sinks.py", preset="classroom", sinks_lesson=CODE, **query)
        assert not at.warning and [tab.label for tab in at.tabs if len(tab)] == [CODE]
    assert button(open_tab(open_page("pages/sinks.py", preset="classroom"), "sinks", CODE), "Undo").disabled


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.path)
def test_nothing_is_to_undo_or_reset_where_nothing_was_moved(page):
    at = open_page(f"pages/{page.file}", preset="classroom").run()
    assert button(at, "Undo").disabled and button(at, "Reset").disabled


def test_what_an_experiment_sets_is_in_the_address_at_once():
    at = open_page("pages/rmsnorm.py", preset="classroom")
    press(at, "One large outlier")
    assert address(at)["rmsnorm_outlier"] == "30"


def test_reset_puts_back_the_dials_and_pressed_again_the_page(slowly):
    at = open_page("pages/sampling.py", preset="classroom")
    first = everything(at)
    controls(at)["sampling_temperature"].set_value(1.5).run()
    move(at, "layers", 0)
    press(at, "Reset")
    assert dial(at, "layers").value == 4 and controls(at)["sampling_temperature"].value == 1.5
    press(at, "Reset page")
    assert everything(at) == first and button(at, "Reset").disabled
    press(at, "Undo")
    assert controls(at)["sampling_temperature"].value == 1.5


def test_going_back_after_undo_does_not_redo(history):
    at = open_page("pages/sampling.py", preset="classroom")
    at.segmented_control(key="sampling_view").set_value("Draws").run()
    there = address(at)
    move(at, "layers", 0)
    moved = address(at)
    press(at, "Undo")
    before = everything(at)
    assert everything(history(at, moved)) == before
    assert address(history(at, there)) == there and everything(at) == before
    history(at, moved)
    assert dial(at, "layers").value == 1, "an entry is passed over once"


def dialog(at):
    """What the dialog of the link says: the link, and the sentences on what it leaves out."""
    return at.code[-1].value, [caption.value for caption in at.caption if ":material/link_off:" in caption.value]


def test_share_shows_the_link_to_what_is_on_the_screen():
    at = open_page("pages/sampling.py", preset="gpt-oss-20b", heads="32", sampling_temperature="1.5", stage="1")
    press(at, "Share")
    link, left_out = dialog(at)
    assert parse_qs(link.removeprefix("?")) == {"preset": ["gpt-oss-20b"], "heads": ["32"], "sampling_temperature": ["1.5"]}
    assert not left_out
    assert "<svg" in at.markdown[-1].value
    at.run()
    assert not at.code, "it opens once"
    type_text(at, "long " * 400)
    press(at, "Share")
    assert "too long for an address" in dialog(at)[1][-1]


def test_share_says_what_no_link_holds():
    at = open_page("pages/tokenizer.py", preset="classroom", tokenizer_view="Conversation")
    assert "tokenizer_talk_chosen" in controls(at)
    press(at, "Share")
    assert not dialog(at)[1]
    at.text_area(key=next(area.key for area in at.text_area if "content" in str(area.key))).set_value("Other words").run()
    press(at, "Share")
    assert "as you edited it" in dialog(at)[1][0]


def test_a_link_too_long_for_the_last_row_says_so():
    at = open_page("pages/sampling.py", preset="classroom", text="An own text, which goes into the link. " * 20)
    press(at, "Share")
    assert any("too long for a code" in caption.value for caption in at.caption)
