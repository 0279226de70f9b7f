"""What the presenter's window is told."""

import json

import pytest

from gptoss.room.clock import Clock
from gptoss.room.order import Beat
from gptoss.room.presenting import state
from gptoss.room.rooms import Rooms

ORDER = """
title = "Three stops"

[[stop]]
address = "sinks?preset=storyteller"
minutes = 5
headline = "A sink is a gate"
sentence = "A head can let its attention go."
note = "Slowly."
beats = ["vote", "reveal", "try: Close one head"]

[stop.vote]
text = "Where does it look?"
choices = ["The first token", "Nothing"]
answer = "Nothing"
because = "The sink takes it."

[[stop]]
address = "rope"
minutes = 4
headline = "Turning"
sentence = "A pair of numbers turns."
note = "With both hands."

[[stop]]
address = "experts"
minutes = 6
headline = "Few of many"
sentence = "A router picks."
"""


@pytest.fixture
def room():
    return Rooms().open(ORDER)


def test_it_reads_where_it_is_what_comes_and_how_the_clock_stands(room):
    known = state(room)
    assert known["here"] == {"address": "sinks?preset=storyteller", "asks": "Where does it look?",
                             "sentence": "A head can let its attention go.",
                             "beats": ["Ask the room", "Reveal the answer", "Try: Close one head"]}
    assert known["coming"] == "Ask the room" and known["note"] == "Slowly." and not known["clock"]["runs"]
    assert known["next"] == {"headline": "Turning", "note": "With both hands.", "minutes": 4, "address": "rope"}
    assert (known["plan"]["total"], known["plan"]["late"], known["left_out"]) == (15, 0, [])
    assert room.key not in json.dumps(known)


def test_what_the_next_press_does_is_said_before_it_does_it(room):
    said = []
    for _ in range(7):
        said.append(state(room)["coming"])
        room.forward()
    assert said == ["Ask the room", "Close the vote", "Reveal the answer", "Try: Close one head", "Next stop: Turning",
                    "Next stop: Few of many", ""]


@pytest.mark.parametrize(("can", "black", "words"), [
    ({"forward": True}, False, "The next step on the page"), ({"aside": True}, False, "Back to this stop"),
    ({}, False, "Ask the room"), ({"forward": True}, True, "Show the picture again")])
def test_what_the_projectors_page_does_with_a_press_comes_first(room, monkeypatch, can, black, words):
    monkeypatch.setattr(room, "_has_projector", lambda: True)
    room.page_can(room.turn, **({"forward": False, "back": False, "aside": False} | can))
    room.blacken(black)
    assert state(room)["coming"] == words
    room.freeze(True)
    assert state(room)["coming"] == "Ask the room"


def test_a_late_lecture_is_told_what_to_leave_out_and_goes_past_it_then(room):
    room.clock = Clock([9 * 60, 0, 0])
    late = state(room)
    assert late["plan"]["late"] == 4 and late["plan"]["skip"] == (1,)
    room.leave_out(late["plan"]["skip"])
    known = state(room)
    assert known["plan"]["late"] == 0 and known["plan"]["skip"] == () and known["left_out"] == [1]
    assert known["next"]["headline"] == "Few of many"


def test_answers_are_seen_as_they_come_in_with_the_true_one(room):
    room.forward()
    room.answer("a", "Nothing")
    known = state(room)
    assert known["tally"] == [{"open": True, "count": 1, "answers": {"The first token": 0, "Nothing": 1}}]
    assert (known["answer"], known["because"]) == ("Nothing", "The sink takes it.")


def test_an_order_without_stops_has_no_plan():
    known = state(Rooms().open(""))
    assert known["plan"] is None and known["next"] is None and known["coming"] == ""


@pytest.mark.parametrize(("beat", "words"), [
    (Beat("try", "Close one head"), "Try: Close one head"), (Beat("set", "sinks_logit=8"), "Set sinks logit to 8"),
    (Beat("set", "rope_view=Trained+on+64&layer=2"), "Set rope view to Trained on 64, layer to 2"),
    (Beat("set", "&"), "Set &"),
    (Beat("reveal"), "Reveal the answer"), (Beat("vote"), "Ask the room")])
def test_a_beat_is_called_by_what_it_does(beat, words):
    assert beat.words == words
