"""What a page asks, put to the room: by whoever leads it, and answered from the page once the answer is to be known."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from gptoss.app.hall import seat
from gptoss.app.visitor import Visitor, visitor
from gptoss.room.order import REVEAL, VOTE, Question
from gptoss.room.rooms import Room
from gptoss.room.votes import Vote

LONGEST = 800  # characters of a reason, as in an order
_KNOWN = "vote_known"  # the number of the vote whose answer was called for


def browser(room: Room) -> str:
    """Whose answers a session's are: the browser's, which may have answered on the page for phones."""
    return room.browser_at(seat.given(room.code)) or f"app {visitor().browser}"


def trainer() -> Visitor:
    """Whose training run this session moves: the room's, for who leads it and also after a reload, else its own."""
    room, here = seat.led(), visitor()
    return replace(here, session=f"room {room.code}", present=lambda: not room.over()) if room else here


def due(room: Room, path: str) -> bool:
    """Whether the order asks the room here what the page at `path` asks, and it was not asked yet."""
    if room.called == path:
        return True
    number, beat = room.shown
    stop = room.stop(number)
    return bool(stop and stop.path == path and beat and stop.beats[beat - 1].kind == VOTE and not stop.vote
                and not any(vote.place == room.shown for vote in room.votes))


def put(room: Room, question: Question) -> None:
    """Ask the room what a page asks; `question` has the page as its source, and no answer yet."""
    if refused := room.open_vote(question):
        st.toast(refused, icon=":material/block:")


def tell(room: Room, asked: Question, answer: float | str, because: str) -> None:
    """Give the room a page's answer to what it has asked, where that is what the room waits for."""
    vote = room.vote
    if not vote or vote.question.answer is not None or comes_from(vote) != asked.source:
        return
    stop = room.stop(vote.place[0])
    same = vote.question.text == asked.text or stop is not None and vote.question == stop.vote
    if same and {*vote.question.choices} == {*asked.choices}:
        room.answer_vote(answer, because[:LONGEST])
        call_for_answer(vote)


def comes_from(vote: Vote) -> str:
    """The page that knows the answer to a vote; empty where the order itself has it, or nobody."""
    return vote.question.source.partition(":")[0].strip()


def on_board(room: Room) -> Vote | None:
    """The vote that is on the screen: none once the order has gone on to an experiment or a move."""
    vote, (number, beat) = room.vote, room.shown
    stop = room.stop(number)
    since = stop.beats[vote.place[1]:beat] if vote and stop and vote.place[0] == number else ()
    return vote if vote and all(one.kind in (VOTE, REVEAL) for one in since) else None


def known(room: Room, vote: Vote) -> bool:
    """Whether the answer to a vote that is closed is on the screen: its page has given it, or it was called for."""
    if vote.open or vote.question.answer is None:
        return False
    number, beat = room.shown
    stop = room.stop(number)
    revealed = stop and vote.place[0] == number and REVEAL in [one.kind for one in stop.beats[vote.place[1]:beat]]
    return bool(revealed or st.session_state.get(_KNOWN) == vote.number)


def call_for_answer(vote: Vote) -> None:
    """Show the answer as soon as the vote is closed."""
    st.session_state[_KNOWN] = vote.number
