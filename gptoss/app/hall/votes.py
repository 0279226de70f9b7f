"""A vote on the screen: the board of the session that leads the room, and the ballot of one that follows it.

What is asked and answered is the room's (`gptoss.room`). The browser hears of it by the stream of `lecture.js`, and
`votes.js` has the board drawn anew when there is something else to see. A dialog would keep the clicker's keys, so the board
lies over the page as a part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from urllib.parse import urljoin

import streamlit as st

from gptoss.app import pictures
from gptoss.app.browser_side import text_of
from gptoss.app.hall import asking, called, seat
from gptoss.app.markdown import literal
from gptoss.charts import Chart
from gptoss.charts.votes import ROUNDS, choice_bars, is_low, number_dots
from gptoss.room import addresses
from gptoss.room.rooms import Room
from gptoss.room.votes import Vote
from gptoss.units import number, with_unit

BOARD, BALLOT = "board", "ballot"  # keys of their places, by which votes.css and the tests find them
LONG, MUCH = 160, 400  # letters of a question, and of all its choices, from which on they are smaller
_LINE = 40  # letters that a line takes the room of, at least
_HEARS, _FOLDED, _SENT = "votes", "board_folded", "ballot_sent"
_element = st.components.v2.component("gptoss_votes", js=text_of("hall/votes.js"), css=text_of("hall/votes.css"),
                                      isolate_styles=False)


def draw(path: str) -> None:
    """Draw the vote of the room that this session is in, over the page at `path`. Nothing where it is in none."""
    if seat.leading():
        _board(path)
    elif seat.followed():
        _ballot()


@st.fragment
def _board(path: str) -> None:
    room = seat.leading()
    if room is None:
        return
    if seat.has_room(room):
        if room.called == path:
            st.rerun()  # the whole page: it knows what it asks
        _hear(room)
    vote = asking.on_board(room)
    if vote:
        folded = st.session_state.get(_FOLDED) == vote.number
        with st.container(key=f"{BOARD}_folded" if folded else BOARD):
            if folded:
                _bar(room, vote)
            else:
                _open_board(room, vote, path)


def _hear(room: Room) -> None:
    """Have this fragment run again when the room's vote is another one than it is now."""
    seen = room.public()
    vote = seen["vote"] or {}
    _element(key=_HEARS, data={"seen": [vote.get("round"), vote.get("open"), bool(room.called)]}, on_changed_change=_nothing)


def _nothing() -> None:
    """What is to be done was done by running the fragment."""


def _open_board(room: Room, vote: Vote, path: str) -> None:
    known = asking.known(room, vote)
    with st.container(key="board_head", horizontal=True, vertical_alignment="center"):
        st.html(_counted(room, vote))
        _buttons(room, vote, known, _answer_of(vote, path))
    asked = vote.question
    with st.container(key="board_asks_much" if len(asked.text) > LONG else "board_asks"):
        st.markdown(f"## {literal(asked.text)}")
    shown = vote.rounds[-ROUNDS:]
    if vote.open or not seat.has_room(room):
        _how_to_answer(room, vote)
    elif any(one.answers for one in shown):
        with st.container(key="board_tall" if is_low(len(asked.choices), len(shown)) else "board_chart_place"):
            pictures.show_chart(_chart(vote, known), key="board_chart", height="stretch")
    else:
        st.markdown("Nobody has answered.")
    if known:
        st.markdown(f"**{literal(_answer(vote))}** {literal(asked.because)}")


def _bar(room: Room, vote: Vote) -> None:
    """What is left of a board that was folded away."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.html(_counted(room, vote))
        st.button("Back to the vote", key="board_unfold", on_click=_fold, args=(0,), icon=":material/how_to_vote:")


def _counted(room: Room, vote: Vote) -> str:
    """How many have answered, in which round, and whether it is open, in HTML. `votes.js` keeps the count."""
    if not seat.has_room(room):
        return '<p class="vote-count"><strong>Hands, please</strong></p>'
    turn = f" in round {len(vote.rounds)}" if len(vote.rounds) > 1 else ""
    return (f'<p class="vote-count"><strong data-votes>{len(vote.rounds[-1].answers)}</strong> '
            f"<span>answered{turn}{'' if vote.open else ', closed'}</span></p>")


def _how_to_answer(room: Room, vote: Vote) -> None:
    """The choices as phones have them, and where those are."""
    asked = vote.question
    with st.container(key="board_ways", horizontal=True):
        rows = "".join(f"<li>{escape(choice)}</li>" for choice in asked.choices)
        number_of = f"A number{f', in {escape(asked.unit)}' if asked.unit else ''}"
        much = " much" if sum(max(len(choice), _LINE) for choice in asked.choices) > MUCH else ""
        st.html(f'<ul class="vote-choices{much}">{rows}</ul>' if rows else f'<p class="vote-choices">{number_of}</p>')
        if seat.has_room(room):
            st.html(f'<figure class="vote-code"><img src="./room/{room.code}/qr.svg" alt="The room\'s address as a code">'
                    f"<figcaption>{escape(_place(room))}<strong>{room.code}</strong></figcaption></figure>", width="content")


def _place(room: Room) -> str:
    """Where phones enter the code, without what every browser adds."""
    page = addresses.for_phones(urljoin(st.context.url or "", "./"), room.code)
    return page.partition("://")[2].removesuffix(f"/{room.code}")


def _chart(vote: Vote, known: bool) -> Chart:
    rounds = [each["answers"] for each in vote.tally()]
    answer = vote.question.answer if known else None
    if vote.question.choices:
        return choice_bars(rounds, answer)
    return number_dots(rounds, answer, vote.question.unit)


def _answer(vote: Vote) -> str:
    asked = vote.question
    if asked.choices:
        return f"The answer is “{asked.answer}”."
    return f"It is {with_unit(number(asked.answer, 4), asked.unit)}."


def _answer_of(vote: Vote, path: str) -> Callable[[], None] | None:
    """What shows the answer to a vote; None where nobody here knows it."""
    if vote.question.answer is not None:
        return partial(asking.call_for_answer, vote)
    return partial(called.reveal, path) if asking.comes_from(vote) == path else None


def _buttons(room: Room, vote: Vote, known: bool, answer: Callable[[], None] | None) -> None:
    with st.container(key="board_buttons", horizontal=True, horizontal_alignment="right", gap="small"):
        if vote.open:
            st.button("Close", key="board_close", type="primary", icon=":material/lock:", on_click=room.close_vote)
        elif answer and not known:
            if st.button("Show the answer", key="board_answer", type="primary", on_click=answer,
                         icon=":material/lightbulb:"):
                st.rerun()  # the whole page: it may be what knows the answer
        if not vote.open and seat.has_room(room):
            st.button("Vote again", key="board_again", icon=":material/replay:", on_click=_again, args=(room,))
            st.download_button("CSV", room.votes_as_csv, f"votes-{room.code}.csv", "text/csv", key="board_csv",
                               icon=":material/download:", on_click="ignore")
        st.button("Look at the page", key="board_fold", icon=":material/visibility:", on_click=_fold, args=(vote.number,))
        st.button("Put away", key="board_drop", icon=":material/close:", on_click=room.drop_vote)


def _again(room: Room) -> None:
    if refused := room.vote_again():
        st.toast(refused, icon=":material/block:")


def _fold(which: int) -> None:
    st.session_state[_FOLDED] = which


@st.fragment
def _ballot() -> None:
    """The open vote, for a session that follows: choices or a number, which can be changed until it is closed."""
    room = seat.followed()
    if room is None:
        return
    _hear(room)
    vote, state = room.vote, room.public()["vote"]
    if not vote or not state or not state["open"]:
        return
    asked, which = vote.question, state["round"]
    with st.container(key=BALLOT):
        st.markdown(f":material/how_to_vote: **{literal(asked.text)}**")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            if asked.choices:
                st.radio("Your answer", asked.choices, index=None, key=f"ballot_{which}", format_func=literal,
                         label_visibility="collapsed", on_change=_send, args=(room, which))
            else:
                unit = f" ({literal(asked.unit)})" if asked.unit else ""
                st.number_input(f"Your answer{unit}", value=None, step=None, format="%.6g", key=f"ballot_{which}", width=260,
                                placeholder=f"A number{unit}", on_change=_send, args=(room, which))
            st.caption(st.session_state.get(_SENT, {}).get(which, "Nobody sees whose answer it is."))


def _send(room: Room, which: int) -> None:
    value = st.session_state[f"ballot_{which}"]
    if value is not None:
        refused = room.answer(asking.browser(room), value, which)
        st.session_state[_SENT] = {which: refused or "Sent. You can change it until the vote is closed."}
