"""Handouts of a running order: one page of HTML to print, a sheet of exercises, and its answers apart.

All that is on them is what the pages themselves show. So the reader's browser opens every stop out of sight, at its own
address and for paper (`paper.py`), takes the picture, the sentences and the formulas as they are drawn there, and puts them
together. The server does nothing but draw one page after the other. `handout_take.js` takes, `handout_print.js`
puts together, `handout.js` is the panel with its progress.
"""

from __future__ import annotations

from functools import lru_cache

import streamlit as st

from gptoss.app import route, share
from gptoss.app.browser_side import text_of
from gptoss.app.hall.paper import KEY
from gptoss.room import addresses
from gptoss.room.order import Order, Question, Stop
from gptoss.units import with_unit

# What an address says so that a page is drawn for paper, and in the light theme whatever the reader's is.
FOR_PAPER = f"{KEY}=1&embed=true&embed_options=light_theme"
MOST_SQUARES = 97  # along a side of a code on paper, which a phone reads from near

_PANEL = """<div class="handout">
<p>One page for each stop: its picture, its three sentences, the formula with its numbers, a code for phones, and room for
the prediction. The browser opens every stop out of sight and takes what is drawn there.</p>
<fieldset><legend>What is made</legend>
<label><input type="checkbox" name="all"> All formulas of a page, not its first alone</label>
<label><input type="checkbox" name="tries" checked> Exercises from “Try this”, and their answers with pictures apart</label>
</fieldset>
<div class="does"><button type="button" class="make">Make the handouts</button>
<button type="button" class="stop" hidden>Stop</button><progress hidden aria-label="Progress"></progress></div>
<p class="said" role="status"></p>
<ul class="made"></ul></div>"""
_element = st.components.v2.component("handout", html=_PANEL, css=text_of("hall/handout.css"), js="\n".join(
    map(text_of, ("hall/handout_take.js", "hall/handout_print.js", "hall/handout.js"))))


def panel(order: Order) -> None:
    """What makes the handouts of an order, in a drawer's or a page's place. Nothing is done before a press."""
    _element(key="handout", data={"sheet": sheet(order, st.context.url or ""), "style": text_of("hall/handout_paper.css"),
                                  "forPaper": FOR_PAPER})


def sheet(order: Order, here: str) -> dict:
    """What is printed of an order beside what its pages show; `here` is the address of any page of the app."""
    home = addresses.from_elsewhere(f"{here.rsplit('/', 1)[0]}/") if here else ""
    return {"title": order.title or "A lecture", "minutes": order.minutes, "home": home,
            "stops": [_stop(number, stop, home) for number, stop in enumerate(order.stops, 1)]}


def _stop(number: int, stop: Stop, home: str) -> dict:
    """A stop, with its link and the link's code; a problem where it cannot be opened."""
    page = route.find(stop.path)
    there = bool(stop.address) and page is not None
    address = stop.address.replace(page.path, route.address(page).removeprefix("./"), 1) if there else ""
    link = f"{home}{address}" if there else ""
    return {"number": number, "address": f"./{address}" if there else "", "path": page.path if there else "",
            "headline": stop.headline, "sentence": stop.sentence, "minutes": stop.minutes, "link": link,
            "code": _code(link), "problem": stop.problem or ("" if there else "There is no page at this stop's address."),
            "vote": _asked(stop.vote) if stop.vote else None}


def _asked(vote: Question) -> dict:
    """A stop's own question. Where it is a page's (`source`), that page knows the answer."""
    answer = "" if vote.answer is None else f"{vote.answer:g}" if isinstance(vote.answer, float) else str(vote.answer)
    return {"text": vote.text, "choices": [*vote.choices], "unit": vote.unit, "source": vote.source,
            "answer": with_unit(answer, vote.unit) if answer else "", "because": vote.because}


@lru_cache(maxsize=256)
def _code(link: str) -> str:
    """The link as an SVG in black on white; nothing where a phone could not read it on paper."""
    made = share.code(link) if link else None
    if made is None or share.squares(made) > MOST_SQUARES:
        return ""
    return made.svg_inline(border=share.BORDER, light="#fff", omitsize=True, title="The link as a QR code")
