"""The page of running orders: choose one, see what it does when, edit it, take it away, bring one, start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from html import escape
from itertools import accumulate

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss.app import kept, route
from gptoss.app.browser_side import text_of
from gptoss.app.hall import draft, lecture, orders
from gptoss.app.markdown import literal
from gptoss.room.order import (
    LONGEST,
    MOST_BYTES,
    MOST_MINUTES,
    REVEAL,
    SHIPPED,
    TRY,
    VOTE,
    Beat,
    Order,
    Stop,
    pieces,
    write_order,
)
from gptoss.units import plural

ORDER, OWN = "order", "own"
CHOICES = (*SHIPPED, OWN)
_TEXT, _UPLOAD, _STOP, _REFUSED = "lecture_text", "lecture_upload", "lecture_stop", "lecture_refused"
_STYLE = text_of("orders.css", __file__)
_FIELDS = ("headline", "minutes", "sentence", "note", "beats")  # of a stop that its form has


def row() -> DeltaGenerator:
    """What chooses an order, and what is done with it, on one line."""
    return st.container(horizontal=True, vertical_alignment="bottom")


def choose() -> str:
    """The switch between the orders that ship and one's own; the text of the one that is chosen."""
    draft.keep()
    chosen = kept.segmented_control("Running order, in minutes", CHOICES, key=ORDER)
    if chosen == OWN:
        kept.stays_here("Your own running order is kept in this browser alone. Download it to pass it on.")
        return draft.draft().text
    return SHIPPED[chosen]


def chosen() -> str:
    """Which order is chosen, as the address spells it."""
    return st.session_state.get(ORDER, CHOICES[0])


def start(text: str, order: Order) -> None:
    """The button that opens a room for this order and goes to its first stop."""
    if order.stops:
        with st.container(key="lecture_begins", width="content"):
            lecture.start_button(text, chosen())


def carry(text: str) -> None:
    """Buttons that take an order away and bring one."""
    st.download_button("Download", lambda: text, f"lecture-{chosen()}.toml", "application/toml", on_click="ignore",
                       key="lecture_download", icon=":material/download:", disabled=not text,
                       help="The order as a text, to edit anywhere and to pass on.")
    with st.popover("Upload", icon=":material/upload:"):
        st.file_uploader("A running order (TOML)", type=["toml", "txt"], key=_UPLOAD, on_change=_take_in,
                         help="It becomes your own order. What that was before can be taken back.")


def _take_in() -> None:
    """The callback of an upload."""
    file = st.session_state[_UPLOAD]
    if file is None:
        return
    if file.size > MOST_BYTES:
        st.session_state[_REFUSED] = f"{file.name} has {file.size:,} bytes, and an order has at most {MOST_BYTES:,}."
        return
    try:
        _make_own(file.getvalue().decode("utf-8-sig"))  # some editors of texts put a mark before the first line
    except UnicodeDecodeError:
        st.session_state[_REFUSED] = f"{file.name} is no text in UTF-8. Save it as one, then bring it again."


def _make_own(text: str) -> None:
    draft.put(text)
    st.session_state[ORDER] = OWN


def say_problems(order: Order) -> None:
    """What is wrong with an order, in sentences. The stops that it concerns say it too."""
    refused = st.session_state.pop(_REFUSED, "")
    if refused:
        st.warning(literal(refused), icon=":material/upload_file:")
    wrong = [str(number) for number, stop in enumerate(order.stops, 1) if stop.problem]
    if wrong:
        which = f"stop {wrong[0]}" if len(wrong) == 1 else f"stops {', '.join(wrong)}"
        there = "that stop" if len(wrong) == 1 else "each of these stops"
        st.warning(f"Something is wrong with {which}. The lecture runs all the same: {there} says what it is, and the next "
                   "one works.", icon=":material/rule:")
    if order.problems and (order.stops or chosen() != OWN or draft.draft().text):
        st.warning(literal(" ".join(order.problems)), icon=":material/rule:")


def show(order: Order) -> None:
    """All stops with the minute at which each begins, what is said and done there, and what is wrong."""
    if not order.stops:
        st.info("Your own running order is empty. Go to any page, set it as you want to show it, and press *Add this view "
                "as a stop* at its foot; or choose one that ships, and make a copy of it below.",
                icon=":material/playlist_add:")
        return
    begins = accumulate((stop.minutes for stop in order.stops), initial=0.0)
    stops = "".join(_stop(number, stop, begin)
                    for number, (stop, begin) in enumerate(zip(order.stops, begins, strict=False), 1))
    st.html(f'<style>{_STYLE}</style><section class="running-order"><h2>{escape(order.title or "A lecture")}</h2>'
            f"<p>{plural(len(order.stops), 'stop')}, {_minutes(order.minutes)}.</p><ol>{stops}</ol></section>")


def _stop(number: int, stop: Stop, begins: float) -> str:
    name = escape(stop.headline or stop.path or "A stop that cannot be read")
    page = route.find(stop.path) if stop.path else None
    address = f"{route.address(page)}{stop.address.removeprefix(page.path)}" if page else ""
    headline = f'<a href="{escape(address)}" target="_blank">{name}</a>' if page else name
    beats = "".join(f"<li>{escape(beat.words)}</li>" for beat in stop.beats)
    notes = "".join(f"<p>{escape(part)}</p>" for part in stop.note.split("\n\n") if part)
    hides = f"Hidden: {', '.join(stop.hide)}." if stop.hide else ""
    return (f'<li value="{number}"><div><time>{_clock(begins)}</time> <b>{headline}</b> '
            f"<small>{escape(page.title) if page else ''} · {_minutes(stop.minutes)}</small></div>"
            f"<p>{escape(stop.sentence)} <small>{escape(hides)}</small></p>"
            + (f'<p class="wrong">{escape(stop.problem)}</p>' if stop.problem else "")
            + (f'<ul aria-label="Beats">{beats}</ul>' if beats else "") + _question(stop)
            + (f"<details><summary>What to say</summary>{notes}</details>" if notes else "") + "</li>")


def _question(stop: Stop) -> str:
    """The stop's own question; the page's is asked by the page."""
    if stop.vote is None:
        return ""
    choices = " · ".join(stop.vote.choices) or f"a number{f' in {stop.vote.unit}' if stop.vote.unit else ''}"
    return f"<p><b>{escape(stop.vote.text)}</b> <small>{escape(choices)}</small></p>"


def _clock(minutes: float) -> str:
    """A time of the lecture: 1:05 for the sixty-fifth minute."""
    return f"{int(minutes) // 60}:{int(minutes) % 60:02}"


def _minutes(minutes: float) -> str:
    return f"{minutes:g}\u00a0min"


def edit(text: str, order: Order) -> None:
    """The order as a text: one's own in a box, one that ships to read and to copy."""
    with st.expander("Edit the order", icon=":material/edit_note:", expanded=False):
        st.caption("A stop begins with `[[stop]]`. Its address is what stands behind the host on any page here. Beats are "
                   "what the clicker does there, one after the other: `vote`, `reveal`, `try: the label of an "
                   "experiment`, `set: name=value`.")
        if chosen() != OWN:
            with st.container(horizontal=True):
                st.button("Make a copy of it my own", icon=":material/content_copy:", on_click=_make_own, args=(text,),
                          key="lecture_copy")
            st.code(text, language="toml", wrap_lines=True, height=400)
            return
        _arrange(text, order)
        if st.session_state.get(_TEXT) != text:
            st.session_state[_TEXT] = text
        st.text_area("Your own order", key=_TEXT, height=480, max_chars=MOST_BYTES, on_change=_edited)


def _edited() -> None:
    draft.put(st.session_state[_TEXT])


def _arrange(text: str, order: Order) -> None:
    """Move a stop, take one out, or take the last change back."""
    _, stops = pieces(text)
    names = [f"{number}. {stop.headline or stop.path or 'cannot be read'}" for number, stop in enumerate(order.stops, 1)]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if len(stops) == len(names) > 0:
            which = st.selectbox("Stop", range(len(names)), format_func=lambda place: names[place], key=_STOP, width=340)
            for label, icon, to, off in (("Earlier", "arrow_upward", which - 1, which == 0),
                                         ("Later", "arrow_downward", which + 1, which == len(stops) - 1),
                                         ("Take out", "delete", None, False)):
                st.button(label, icon=f":material/{icon}:", key=f"lecture_{icon}", disabled=off, on_click=_move,
                          args=(text, which, to))
        else:
            which = None
        st.button("Take the last change back", icon=":material/undo:", on_click=draft.take_back, key="lecture_back",
                  disabled=not draft.draft().mark)
    if which is not None and order.stops[which].path and route.find(order.stops[which].path):
        _form(text, which, order.stops[which])


def _form(text: str, place: int, stop: Stop) -> None:
    """One stop to fill in: what is said of it, what to say there, and its beats from what its page offers."""
    keys = {name: f"lecture_{name}_{place}_{draft.draft().mark}" for name in _FIELDS}
    with st.form(f"lecture_form_{place}_{draft.draft().mark}"):
        with st.container(horizontal=True):
            st.text_input("Headline", stop.headline, max_chars=LONGEST["headline"], key=keys["headline"])
            st.number_input("Minutes", 0.5, float(MOST_MINUTES), max(stop.minutes, 0.5), 0.5, key=keys["minutes"], width=160)
        st.text_input("Sentence for the phones", stop.sentence, max_chars=LONGEST["sentence"], key=keys["sentence"])
        written = list(map(_written, stop.beats))
        offered = [VOTE, REVEAL, *(f"{TRY}: {label}" for label in orders.experiments(stop.path))]
        st.multiselect("Beats, one after the other", dict.fromkeys([*written, *offered]), dict.fromkeys(written),
                       accept_new_options=True, key=keys["beats"], help="Something else is typed: “set: name=value”.")
        st.text_area("What to say", stop.note, max_chars=LONGEST["note"], height=200, key=keys["note"])
        st.form_submit_button("Put it into the order", icon=":material/check:", on_click=_fill_in,
                              args=(text, place, stop, keys))


def _fill_in(text: str, place: int, stop: Stop, keys: Mapping[str, str]) -> None:
    """Write one stop of the text anew, as its form has it. What the app found wrong with it is no part of it."""
    said = {name: st.session_state[key] for name, key in keys.items()}
    beats = tuple(Beat(kind.strip(), value.strip()) for kind, _, value in (one.partition(":") for one in said.pop("beats")))
    head, stops = pieces(text)
    stops[place] = pieces(write_order(Order("", (replace(stop, **said, beats=beats, problem=""),))))[1][0] + "\n"
    draft.put(head + "".join(stops))


def _written(beat: Beat) -> str:
    """A beat as an order's text has it."""
    return f"{beat.kind}: {beat.value}" if beat.value else beat.kind


def _move(text: str, place: int, to: int | None) -> None:
    """Put a stop of the text elsewhere, or nowhere: its own lines and comments go with it."""
    head, stops = pieces(text)
    moved = stops.pop(place)
    if to is not None:
        stops.insert(to, moved)
        st.session_state[_STOP] = to
    else:
        st.session_state.pop(_STOP, None)
    draft.put(head + "".join(piece.rstrip() + "\n\n" for piece in stops))


def read(text: str) -> Order:
    """The order with everything that is wrong with it here."""
    return orders.read(text)
