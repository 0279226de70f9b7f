"""The lecture room itself: where a lecture is, who may move it, its votes, its end, and who is told."""

import asyncio
import json
import threading
import time

import pytest
from event_loops import finished

from gptoss.room import limits
from gptoss.room.order import Question
from gptoss.room.rooms import CODE, LETTERS, Refused, Rooms, code_of, is_code, relative
from gptoss.room.votes import CLOSED

ORDER = """
title = "Two stops"

[[stop]]
address = "sinks?preset=storyteller"
minutes = 5
headline = "A sink is a gate"
sentence = "A head can let its attention go."
note = "Slowly."
beats = ["set: sinks_view=Without+sinks", "vote", "reveal"]

[stop.vote]
text = "Where does it look?"
choices = ["The first token", "Nothing"]
answer = "Nothing"

[[stop]]
address = "rope"
minutes = 3
headline = "Turning"
sentence = "A pair of numbers turns."
"""
NUMBER = Question("How many?", unit="experts")


@pytest.fixture
def room():
    return Rooms().open(ORDER)


def test_a_code_follows_from_the_key_and_only_the_key_leads():
    rooms = Rooms()
    first, second = rooms.open(ORDER), rooms.open(ORDER)
    assert first.code != second.code and first.key != second.key
    assert is_code(first.code) and first.code == code_of(first.key) and first.key not in str(first.public())
    assert rooms.find(first.code.lower()) is first and rooms.find("AAAA") is None
    assert rooms.held(first.code, first.key) is first
    assert rooms.held(first.code, second.key) is rooms.held(first.code, "") is rooms.held(first.code, "ä") is None


def test_a_room_opens_again_from_its_key_at_its_place_and_knows_its_phones():
    before = Rooms().open(ORDER)
    after = Rooms().open(ORDER, before.key, (1, 0))
    assert (after.code, after.shown) == (before.code, (1, 0))
    assert after.version >= before.version
    seat = before.seat("a1")
    assert after.browser_at(seat) == "a1"
    others = Rooms().open(ORDER).seat("a1")
    assert {after.browser_at(bad) for bad in ("", "a1", "a1.", seat[:-1], "b" + seat, "ä.ö", others)} == {""}


def test_a_code_that_somebody_else_has_is_refused_and_the_own_room_is_found(monkeypatch):
    rooms = Rooms()
    room = rooms.open(ORDER)
    assert rooms.open("", room.key) is room
    monkeypatch.setattr("gptoss.room.rooms.code_of", lambda key: room.code)
    with pytest.raises(Refused, match="code"):
        rooms.open(ORDER, "another key")


def test_rooms_are_bounded_and_those_without_a_lecturer_end(monkeypatch):
    rooms = Rooms()
    monkeypatch.setattr(limits, "ROOMS", 2)
    first, second = rooms.open(ORDER), rooms.open(ORDER)
    with pytest.raises(Refused, match="2 rooms"):
        rooms.open(ORDER)
    with second.listening(lecturer=True):
        monkeypatch.setattr(limits, "WAITING", -1.0)
        assert rooms.find(first.code) is None and first.ended
        assert rooms.find(second.code) is second
        monkeypatch.setattr(limits, "LONGEST", -1.0)
        assert rooms.find(second.code) is None
    monkeypatch.setattr(limits, "LONGEST", 60.0)
    monkeypatch.setattr(limits, "WAITING", 60.0)
    monkeypatch.setattr(limits, "UNLED", -1.0)
    left, led = rooms.open(ORDER), rooms.open(ORDER)
    led.led()
    assert rooms.find(left.code) is None and rooms.find(led.code) is led


def test_a_clicker_goes_through_beats_and_stops_and_back(room):
    places, addresses = [room.shown], [room.address]
    for _ in range(6):
        room.forward()
        places.append(room.shown)
        addresses.append(room.address)
    # The vote is closed by the press after the one that opened it.
    assert places == [(0, 0), (0, 1), (0, 2), (0, 2), (0, 3), (1, 0), (1, 0)]
    assert addresses[:2] == ["sinks?preset=storyteller", "sinks?preset=storyteller&sinks_view=Without+sinks"]
    assert addresses[-1] == "rope"
    for place in ((0, 3), (0, 2), (0, 1), (0, 0), (0, 0)):
        room.back()
        assert room.shown == place
    room.go((99, 99))
    assert room.shown == (1, 0)
    room.go((-1, -1))
    assert room.shown == (0, 0)


def test_an_order_without_a_stop_opens_a_room_all_the_same():
    room = Rooms().open("no order at all")
    for move in (room.forward, room.back, room.ship):
        move()
    assert room.public()["stops"] == 0 and room.address == "" and room.presenter()["note"] == ""


def test_a_frozen_room_keeps_its_picture_until_it_is_let_go(room):
    room.freeze(True)
    room.forward()
    room.showing("gqa?preset=classroom")
    assert (room.place, room.shown, room.address) == ((0, 1), (0, 0), "sinks?preset=storyteller")
    assert room.presenter()["place"] == {"stop": 0, "beat": 1}
    room.freeze(False)
    assert room.shown == (0, 1) and "Without" in room.address


def test_what_is_on_the_projector_is_told_without_its_sessions_own_parts(room):
    turn = room.turn
    room.showing("https://there.example/base/sinks?sinks_logit=8&lead=ABCD&room=BCDF&stage=1&theme=dark")
    assert room.address == "sinks?sinks_logit=8" and room.turn == turn
    for bad in ("", "//", "javascript:alert(1)", "<b>", "http://[", "sinks?x=" + "y" * limits.ADDRESS):
        room.showing(bad)
    assert room.address == "sinks?sinks_logit=8"
    room.ship()
    assert room.address == "sinks?preset=storyteller" and room.turn == turn + 1
    assert relative("javascript:alert(1)") == ""


def test_a_vote_opens_with_its_beat_counts_one_answer_a_browser_and_comes_back(room):
    room.go((0, 2))
    asked = room.public()["vote"]
    assert asked["open"] and asked["choices"] == ["The first token", "Nothing"] and "answer" not in asked
    assert room.answer("a", "Nothing") == room.answer("b", "Nothing") == room.answer("a", "The first token") == ""
    assert room.answer("c", "Something else") and room.answer("c", 1) and room.answer("c", None)
    assert room.tally() == [{"open": True, "count": 2, "answers": {"The first token": 1, "Nothing": 1}}]
    room.go((0, 3))
    assert room.answer("c", "Nothing") == CLOSED and room.vote and not room.vote.open
    room.go((1, 0))
    assert room.vote is None
    room.go((0, 2))
    assert room.vote is room.votes[0] and not room.vote.open and len(room.votes) == 1
    room.go((1, 0))
    room.open_vote(NUMBER)  # asked by hand: no place of the order has it
    room.go((0, 3))
    assert room.vote is room.votes[0]
    room.go((1, 0))
    assert room.vote is None and len(room.votes) == 2
    room.call_page()
    assert room.called == "rope"
    room.back()
    assert room.called == ""


def test_rounds_lie_side_by_side_and_a_late_answer_counts_in_none(room):
    room.open_vote(NUMBER)
    first = room.public()["vote"]["round"]
    assert room.answer("a", 4, first) == room.answer("b", 32.5, first) == ""
    for bad in (True, "4", float("nan"), float("inf"), 1e300, 10 ** 400, -10 ** 400, None, [4]):
        assert room.answer("c", bad, first)
    assert room.vote_again() == ""
    assert room.answer("a", 8, first) == CLOSED
    assert room.answer("a", 8, room.public()["vote"]["round"]) == ""
    room.answer_vote(8, "It is so.")
    assert [one["answers"] for one in room.tally()] == [[4.0, 32.5], [8.0]]
    assert room.presenter()["answer"] == 8 and room.presenter()["because"] == "It is so."
    for _ in range(limits.ROUNDS):
        last = room.vote_again()
    assert str(limits.ROUNDS) in last and len(room.tally()) == limits.ROUNDS
    room.drop_vote()
    assert room.public()["vote"] is None and room.tally() == []


def test_votes_answers_and_curves_are_bounded(room, monkeypatch):
    monkeypatch.setattr(limits, "VOTES", 1)
    monkeypatch.setattr(limits, "PHONES", 2)
    assert room.open_vote(NUMBER) == "" and room.open_vote(NUMBER)
    assert [bool(room.answer(name, 1)) for name in "abca"] == [False, False, True, False]
    line = [(0.0, 4.0), (1.0, 2.0)]
    assert [bool(room.add_curve(name, line)) for name in "abca"] == [False, False, True, False]
    assert room.add_curve("a", [(0.0, float("nan"))] * 2) and room.add_curve("a", [(0, 10 ** 400)] * 2)
    assert room.add_curve("a", line * limits.CURVE)
    assert room.curves() == [line, line]
    with room.listening(lecturer=False), room.listening(lecturer=False), pytest.raises(Refused, match="full"):
        with room.listening(lecturer=False):
            pass
    assert room.phones == 0


def test_a_table_of_answers_names_nobody_and_holds_no_formula(room):
    room.open_vote(Question("=HYPERLINK(1); ＝2", ("+1", "-1"), answer="+1"))
    room.answer("browser-a", "+1")
    room.answer("browser-b", "-1")
    header, *rows = room.votes_as_csv().splitlines()
    assert header.startswith("vote,stop,question,round,answer")
    assert rows == ["1,1,'=HYPERLINK(1);' ＝2,1,'+1,,'+1", "1,1,'=HYPERLINK(1);' ＝2,1,'-1,,'+1"]
    room.end()
    assert room.votes_as_csv().splitlines() == [header] and room.public()["over"]


def test_whoever_waits_is_woken_from_any_thread_and_gets_the_newest(room):
    async def wait():
        since = room.version
        waiting = [asyncio.create_task(room.changed(since, 60)) for _ in range(3)]
        await asyncio.sleep(0)
        thread = threading.Thread(target=room.forward)
        thread.start()
        versions = await asyncio.wait_for(asyncio.gather(*waiting), 60)
        thread.join()
        assert set(versions) == {room.version} and room.version > since
        assert await room.changed(since, 60) == room.version  # who comes late does not wait
        assert await room.changed(room.version, 0.0) == room.version

    finished(wait())


def test_many_answers_are_few_messages_and_none_is_left_out(room):
    async def vote():
        room.open_vote(NUMBER)
        seen, messages = await room.changed(room.version, 0.0), 0
        answering = threading.Thread(target=lambda: [room.answer(str(place), place) for place in range(200)])
        answering.start()
        while '"count": 200' not in room.public_text():
            seen = await room.changed(seen, 60)
            messages += 1
        answering.join()
        return messages

    begun = time.monotonic()
    messages = finished(asyncio.wait_for(vote(), 60))
    assert messages <= 3 + (time.monotonic() - begun) / 0.5


def test_phones_are_not_told_what_only_the_lecturer_sees(room):
    async def follow():
        room.open_vote(NUMBER)
        since = room.version
        phone = asyncio.create_task(room.changed(since, 60, lecturer=False))
        window = asyncio.create_task(room.changed(since, 60))
        await asyncio.sleep(0)
        room.answer("a", 1)
        assert await asyncio.wait_for(window, 60) > since and not phone.done()
        room.close_vote()
        assert await asyncio.wait_for(phone, 60) == room.version
        assert await room.changed(room.version, 0.0, lecturer=False) == room.version

    finished(follow())


def test_letters_are_enough_that_a_code_is_not_found_by_trying():
    assert len(set(LETTERS)) ** CODE >= 160_000
    assert not any(map(is_code, ("", "BCD", "BCDFG", "AEIO", "BCD/", "../B")))


THREE = ORDER + ORDER.partition("\n[[stop]]")[2].join(["\n[[stop]]", ""]).replace("A sink is a gate", "Once more")


def test_the_clock_starts_with_the_first_step_and_counts_at_the_stop_where_the_lecture_is(room, monkeypatch):
    now = iter(range(100, 10_000, 10)).__next__
    monkeypatch.setattr(time, "monotonic", now)
    assert not room.clock.runs
    room.forward()
    assert room.clock.runs
    room.go((1, 0))
    at_first, at_second = room.clock.spent(now())
    assert at_first > 0 and at_second > 0
    room.run_clock(False)
    held = room.clock.spent(now())
    room.back()
    assert room.clock.spent(now()) == held and not room.clock.runs
    room.reset_clock()
    assert room.clock.spent(now()) == [0, 0]


def test_stops_that_are_left_out_are_passed_over_both_ways_and_a_jump_leads_to_them():
    room = Rooms().open(THREE)
    last = len(room.order.stops) - 1
    assert last >= 2
    room.leave_out({1, 99})
    assert room.left_out == {1}
    room.go((0, 3))
    room.forward()
    assert room.place == (2, 0)
    room.back()
    assert room.place == (0, 3)
    room.go((1, 0))
    assert room.place == (1, 0)


def test_after_a_restart_the_clock_goes_on_where_it_was_and_a_clock_that_counts_is_left_alone(room):
    room.resume([60.0, 30.0], True, [1])
    assert room.clock.runs and room.left_out == {1} and sum(room.clock.spent(time.monotonic())) == pytest.approx(90, abs=5)
    room.resume([0.0, 0.0], False, [])
    room.resume([1.0], False, [])
    assert room.clock.runs and room.left_out == {1}


def test_a_press_from_the_presenters_window_is_a_projectors_or_the_rooms_and_never_both(room, monkeypatch):
    async def lecture():
        with room.listening(lecturer=True):
            await room.changed(room.version, 0.0)
            room.press("forward")
            assert room.place == (0, 1)  # there is no projector
            with room.listening(lecturer=True):
                room.press("forward")
                waits, = json.loads(room.projector_text())["presses"]
                assert room.place == (0, 1) and waits["step"] == "forward"
                assert not room.take(waits["number"]) and room.take(waits["number"])
                room.freeze(True)
                room.press("forward")
                assert room.place == (0, 2) and room.shown == (0, 1)  # what is prepared is on no projector
                room.freeze(False)
                room.press("back")
                while room.place != (0, 1):  # no projector has taken it
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.05)
                assert room.place == (0, 1) and not json.loads(room.projector_text())["presses"]

    monkeypatch.setattr(limits, "TAKING", 0.01)
    finished(asyncio.wait_for(lecture(), 60))


def test_what_the_projectors_page_would_do_is_known_while_it_is_there(room):
    room.page_can(room.turn, True, False, False)
    assert room.presenter()["page"] is None

    async def lead():
        with room.listening(lecturer=True), room.listening(lecturer=True):
            await room.changed(room.version, 0.0)
            assert room.presenter()["page"]["forward"]
            room.forward()
            assert room.presenter()["page"] is None

    finished(lead())
