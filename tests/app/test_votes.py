"""A vote of the room on the screen that leads it, and on one that follows: in AppTest, what is drawn and what it does."""

import pytest
from reader import page_text
from streamlit.testing.v1 import AppTest

from gptoss.app.hall import asking, seat
from gptoss.room.order import Question
from gptoss.room.rooms import Rooms

ORDER = """
title = "Votes"

[[stop]]
address = "rope"
minutes = 5
headline = "Six times seven"
sentence = "A product."
beats = ["vote", "reveal", "try: Nothing"]

[[stop]]
address = "sinks"
minutes = 5
headline = "An own question"
sentence = "A choice."
beats = ["vote"]

[stop.vote]
text = "Which <b> is *it*?"
choices = ["this", "that"]
answer = "that"
because = "So it **is**."
"""


def a_page(path="rope"):
    from gptoss.app import lesson, state
    from gptoss.app.hall import votes
    from gptoss.app.lesson import Lesson, Prediction, beside

    lesson.take_up()
    state.synchronise(path)
    asked = Prediction("What is *six times seven*?", lambda: 42.0, lambda value: f"Seven sixes: **{value:.0f}**.",
                       unit="apples", mistakes=[(13.0, "That is the sum.")])
    beside(Lesson(path, asked, [], maths="", code=[]))
    votes.draw(path)


@pytest.fixture
def room():
    return Rooms().open(ORDER)


@pytest.fixture
def lead(room, monkeypatch):
    """Opens the page in a session that leads the room."""
    monkeypatch.setattr(seat, "led", lambda: room)
    monkeypatch.setattr(seat, "leading", lambda: room)

    def opened(path="rope"):
        at = AppTest.from_function(a_page, args=(path,), default_timeout=30).run()
        assert not at.exception
        return at
    return opened


def keys(at):
    return {button.key for button in at.button}


def press(at, key):
    at.button(key=key).click().run()
    assert not at.exception
    return at


def test_a_page_asks_the_room_at_the_beat_that_says_so_and_gives_its_answer_when_it_is_revealed(room, lead):
    at = lead()
    assert not room.votes and "rope_room" in keys(at)
    room.forward()
    at.run()
    assert not at.exception and room.vote.question == Question("What is six times seven?", unit="apples", source="rope")
    assert "board_close" in keys(at) and "What is six times seven?" in page_text(at)
    for browser, value in enumerate((42, 41, 7)):
        room.answer(str(browser), value)
    assert "42" not in page_text(at.run())
    press(at, "board_close")
    assert not room.vote.open and {"board_answer", "board_again"} <= keys(at) and len(at.get("vega_lite_chart")) == 1
    assert "It is 42" not in page_text(at)
    press(at, "board_answer")
    assert room.vote.question.answer == 42.0 and room.vote.question.because == "Seven sixes: 42."
    assert "It is 42 apples" in page_text(at) and "board_answer" not in keys(at)
    at.run()
    assert len(room.votes) == 1


def test_a_question_of_the_order_is_answered_by_the_order_and_its_words_are_text(room, lead):
    room.go((1, 1))
    at = lead("sinks")
    assert r"Which \<b\> is \*it\*?" in "\n".join(each.value for each in at.markdown)
    room.answer("a", "this")
    press(at, "board_close")
    press(at, "board_answer")
    assert r"So it \*\*is\*\*." in "\n".join(each.value for each in at.markdown)
    press(at, "board_again")
    assert room.vote.open and len(room.vote.rounds) == 2 and "The answer is" not in page_text(at)
    room.answer("a", "that")
    press(at, "board_close")
    [chart] = at.get("vega_lite_chart")
    assert "The answer is “that”." in page_text(at)
    press(at, "board_fold")
    assert "board_drop" not in keys(at) and not at.get("vega_lite_chart")
    press(at, "board_unfold")
    press(at, "board_drop")
    assert room.vote is None and not {key for key in keys(at) if str(key).startswith("board")}


def test_a_question_is_put_by_hand_and_forgets_the_answer_that_was_there(room, lead):
    at = lead()
    at.number_input(key="rope_guess").set_value(42.0)
    press(at, "rope_commit")
    press(at, "rope_again")
    press(at, "rope_room")
    assert room.vote.open and room.vote.place == (0, 0) and not at.success


def test_the_board_is_away_once_the_order_has_gone_on_and_comes_back_with_it(room, lead):
    at = lead()
    room.forward()
    at.run()
    room.forward()  # closes it
    room.forward()  # the answer
    assert at.run() and "board_again" in keys(at)
    room.forward()  # an experiment
    at.run()
    assert room.vote and "board_again" not in keys(at)
    room.back()
    assert "board_again" in keys(at.run())


def test_the_presenter_calls_for_the_pages_question(room, lead):
    at = lead()
    room.call_page()
    at.run()
    assert room.vote.question.source == "rope" and not room.called


def test_who_follows_answers_and_changes_it_until_the_vote_is_closed(room, monkeypatch):
    monkeypatch.setattr(seat, "followed", lambda: room)
    monkeypatch.setattr(asking, "browser", lambda _: "a")
    room.go((1, 1))
    at = AppTest.from_function(a_page, args=("sinks",), default_timeout=30).run()
    [choice] = at.radio
    choice.set_value("this").run()
    assert room.tally()[0]["answers"] == {"this": 1, "that": 0} and "Sent." in page_text(at)
    at.radio[0].set_value("that").run()
    assert room.tally()[0]["answers"] == {"this": 0, "that": 1}
    room.close_vote()
    at.run()
    assert not at.exception and not at.radio
    room.open_vote(Question("How many?", unit="<i>"))
    at.run()
    at.number_input(key=f"ballot_{room.public()['vote']['round']}").set_value(3.5).run()
    assert room.tally()[0]["answers"] == [3.5] and not at.exception


def test_an_order_that_is_led_without_a_room_asks_for_hands(room, monkeypatch):
    monkeypatch.setattr(seat, "leading", lambda: room)
    monkeypatch.setattr(seat, "has_room", lambda _: False)
    room.go((1, 1))
    at = AppTest.from_function(a_page, args=("sinks",), default_timeout=30).run()
    assert not at.exception and {"board_close", "board_drop"} <= keys(at)
    words = "".join(each.proto.body for each in at.get("html"))
    assert "Hands, please" in words and "<li>this</li>" in words and "qr.svg" not in words
    press(press(at, "board_close"), "board_answer")
    assert "The answer is “that”." in page_text(at) and not {"board_again", "board_csv"} & keys(at)


def test_without_a_room_nothing_is_drawn():
    at = AppTest.from_function(a_page, default_timeout=30).run()
    assert not at.exception and "rope_room" not in keys(at)
    assert not [each for each in at.get("bidi_component") if each.proto.component_name == "gptoss_votes"]
