"""Who follows a room in the full app: nobody finds one by trying codes, and a class that goes somewhere takes turns."""

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_cache import populate_hash_if_needed
from streamlit.testing.v1 import AppTest

from gptoss.room import limits
from gptoss.room.order import SHIPPED
from gptoss.room.rooms import LETTERS, Rooms


def session():
    import streamlit as st

    from gptoss.app.hall import lecture, seat

    here = seat.seat()
    followed = seat.followed()
    st.text(followed.code if followed else "none")
    st.text(type(lecture.turn()).__name__)
    here.to = {} if "goes" in st.query_params else None


@pytest.fixture
def rooms(monkeypatch):
    rooms = Rooms()
    monkeypatch.setattr("gptoss.app.hall.seat.ROOMS", rooms)
    return rooms


def follow(code, **query):
    app = AppTest.from_function(session, default_timeout=60)
    app.query_params["room"] = code
    for key, word in query.items():
        app.query_params[key] = word
    return app.run()


def test_a_session_finds_no_room_by_trying_codes_and_one_that_is_in_it_stays(rooms, monkeypatch):
    monkeypatch.setattr(limits, "network", lambda _: "the address of all sessions of a test")
    monkeypatch.setattr(rooms, "_misses", limits.Tries(2, 1e6))
    code = rooms.open(SHIPPED["45"]).code
    inside = follow(code)
    assert inside.text[0].value == code
    wrong = [letter * 4 for letter in LETTERS if letter * 4 != code]
    assert [follow(each).text[0].value for each in (*wrong[:2], code)] == ["none"] * 3
    assert inside.run().text[0].value == code


def test_only_a_run_that_goes_where_the_room_is_takes_turns(rooms):
    code = rooms.open(SHIPPED["45"]).code
    assert follow(code).run().text[1].value == "nullcontext"
    assert follow(code, goes="1").run().text[1].value == "Turns"


def test_no_element_is_sent_by_a_reference_that_the_browser_may_have_dropped():
    message = ForwardMsg()
    message.delta.new_element.html.body = "x" * 1_000_000
    populate_hash_if_needed(message)
    assert message.hash and not message.metadata.cacheable
