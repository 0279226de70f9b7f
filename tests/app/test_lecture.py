"""A session that leads a lecture, and one that follows it, in AppTest: what the keys and the room do to the page.

What the browser hears of the room, and what it sends then, is tried in a real one.
"""

import json

import pytest
from head import data, send, title
from reader import address, assert_fine, captions, charts, dial, move, open_page, page_text
from reader import press as press_button

from gptoss.app.book import ALL_PAGES
from gptoss.app.hall import seat
from gptoss.room.rooms import ROOMS

ORDER = """
title = "Four stops"
[[stop]]
address = "sinks?preset=classroom&layer=0"
minutes = 5
headline = "Sinks"
sentence = "They drain."
beats = ["reveal", "try: Take all sinks away", "set: sinks_view=By+position"]
hide = ["heads", "below"]
[[stop]]
address = "nowhere?preset=classroom"
minutes = 5
headline = "No page"
sentence = "Said aloud."
[[stop]]
address = "sinks?preset=gpt-oss-20b&heads=8&layer=1&sinks_view=Without+sinks"
minutes = 5
headline = "Again"
sentence = "With chance."
[[stop]]
address = "rmsnorm?preset=classroom"
minutes = 5
headline = "Another page"
sentence = "It keeps directions."
"""
FIRST = {"preset": "classroom", "layer": "0", "hide": "heads,below"}
ANSWERED = "It is 4.85."


@pytest.fixture
def room(monkeypatch):
    """A room of those stops, whose key every browser of this process has."""
    room = ROOMS.open(ORDER)
    monkeypatch.setattr(seat, "key", lambda code: room.key)
    yield room
    room.end()


def come(path, **address):
    """A new session at a page."""
    return stay(open_page(f"pages/{path}.py", **address))


def stay(at):
    """Have AppTest stay on the page that was opened: it goes back to the one that a test has named."""
    assert not at.exception
    return at.switch_page(f"pages/{next(page for page in ALL_PAGES if page.title == title(at)).file}")


def press(at, does, **more):
    """One run with a key of the clicker."""
    return stay(send(at, {"does": does, **more}, "act", "gptoss_keys"))


def hear(at, **more):
    """One run after the browser has heard that the room has changed."""
    return stay(send(at, {"does": "heard", **more}, "said", "gptoss_lecture"))


def shown(at):
    """The address without what belongs to the session."""
    return {key: word for key, word in address(at).items() if key not in seat.KEYS}


def told(at):
    """What the browser is told of the lecture."""
    return json.loads(next(element.proto.json for element in at.get("bidi_component")
                           if element.proto.component_name == "gptoss_lecture"))


def test_beats_reveal_try_and_move_and_the_way_back_needs_no_history(room):
    at = come("rmsnorm", lead=room.code.lower(), at="9.9")
    assert title(at) == "Attention sinks" and shown(at) == FIRST and address(at)["at"] == "1.0"
    assert ANSWERED not in page_text(press(at, "back")) and ANSWERED in page_text(press(at, "forward"))
    press(at, "forward")
    assert shown(at) == FIRST | {"sinks_scope": "All", "sinks_logit": "none"} and ANSWERED in page_text(at)
    assert "Take all sinks away:" in page_text(at)
    assert shown(press(at, "forward")) == FIRST | {"sinks_view": "By position"} and ANSWERED not in page_text(at)
    press(at, "forward")
    assert told(at)["card"] == {"headline": "No page", "sentence": "Said aloud.", "problem": "There is no page “nowhere”."}
    press(at, "back")
    assert shown(press(at, "back")) == FIRST | {"sinks_scope": "All", "sinks_logit": "none"} and room.shown == (0, 2)
    assert shown(press(at, "jump", stop=4)) == {"preset": "classroom"} and title(at) == "RMSNorm"
    for bad in (0, 5, -1, "2", None):
        press(at, "jump", stop=bad)
    assert room.shown == (3, 0) and address(press(at, "forward"))["at"] == "4.0"


def test_a_stop_shows_what_its_address_shows_in_a_session_of_its_own_whatever_was_moved_before(room):
    at = come("sinks", lead=room.code)
    move(at, "experts", 0)
    dial(at, "token").set_value(dial(at, "token").options[3]).run()
    at.number_input(key="sinks_guess").set_value(3.0)
    press_button(at, "Commit")
    press_button(at, "Close one head")
    press(at, "jump", stop=3)
    alone = come("sinks", preset="gpt-oss-20b", heads="8", layer="1", sinks_view="Without sinks")
    assert_fine(at)
    for see in (page_text, captions, shown, data, lambda at: [chart.proto.spec for chart in charts(at)]):
        assert see(at) == see(alone)
    press(at, "jump", stop=1)
    alone = come("sinks", **FIRST)
    assert page_text(at) == page_text(alone) and at.number_input(key="sinks_guess").value is None


def test_the_presenter_moves_the_projector_and_a_click_is_found_among_the_stops(room):
    at = come("sinks", lead=room.code)
    room.go((3, 0))
    assert title(hear(at)) == "RMSNorm" and told(at)["stop"] == 3
    move(at, "hidden", 0)
    room.ship()
    assert shown(hear(at)) == {"preset": "classroom"}
    at.query_params.clear()  # as the bar's links come
    at.switch_page("pages/memory.py").run()
    assert room.shown == (3, 0) and told(at)["aside"] and address(at)["lead"] == room.code
    assert title(press(at, "forward")) == "RMSNorm" and not told(at)["aside"]
    at.switch_page("pages/sinks.py").run()
    assert room.shown == (2, 0) and address(at)["at"] == "3.0" and title(at) == "Attention sinks"
    room.freeze(True)
    room.go((3, 0))
    assert title(hear(at)) == "Attention sinks" and title(press(at, "forward")) == "Attention sinks"
    room.freeze(False)
    assert title(hear(at)) == "RMSNorm"


def test_who_has_the_code_without_the_key_follows_and_keeps_what_was_answered(room, monkeypatch):
    monkeypatch.setattr(seat, "key", lambda code: "")
    at = come("memory", lead=room.code, at="1.0")
    assert title(at) == "Memory and compute" and {"room": room.code}.items() <= address(at).items()
    assert not seat.KEYS & {*address(at)} - {"room"} and press(at, "jump", stop=4) and room.shown == (0, 0)
    assert title(hear(at)) == "Attention sinks" and shown(at) == FIRST
    at.number_input(key="sinks_guess").set_value(3.0)
    press_button(at, "Commit")
    room.showing("sinks?preset=classroom&layer=0&experts=1&lead=XXXX&stage=1")
    assert shown(hear(at))["experts"] == "1" and "You said 3" in page_text(at) and address(at)["room"] == room.code
    room.go((3, 0))
    assert title(hear(at)) == "RMSNorm"
    move(at, "hidden", 0)
    assert shown(hear(at)) != shown(hear(at, again=True)) == {"preset": "classroom"}
    send(at, {"does": "leave"}, "said", "gptoss_lecture")
    assert "room" not in address(at) and not any(
        element.proto.component_name == "gptoss_lecture" for element in at.get("bidi_component"))


def test_an_order_is_led_without_a_room_from_the_place_in_its_address():
    at = come("start", lead="45", at="2.1")
    assert title(at) == "Tokenizer" and address(at)["at"] == "2.1" and not told(at)["stream"]
    assert address(press(at, "forward"))["at"] == "2.2"
    own = come("start", lead="own", at="3.0")
    assert told(own)["want"]
    stay(send(own, {"does": "order", "text": ORDER}, "said", "gptoss_lecture"))
    assert title(own) == "Attention sinks" and shown(own)["heads"] == "8"


@pytest.mark.parametrize("said", [{"lead": "no room"}, {"room": "ABCDE"}, {"room": "<b>"}, {"at": "3.0"}])
def test_an_address_that_names_no_room_is_a_page_like_any_other(said):
    at = come("rmsnorm", preset="classroom", **said)
    assert_fine(at)
    assert address(at) == {"preset": "classroom"} and not at.warning
