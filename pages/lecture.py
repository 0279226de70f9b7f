"""Lectures: running orders as texts, to choose, to edit and to start."""

import streamlit as st

from gptoss.app.hall import handout
from gptoss.app.header import Opening, header
from gptoss.app.pictures import main
from gptoss.lessons.lecture import controls

OPENING = Opening(
    problem="Whoever gives a lecture with a live page talks, watches the clock and looks for the right slider, all at once.",
    idea="Write down beforehand which view comes when, what to say there and what to ask. A clicker then goes from beat to "
         "beat.",
    chosen="Two lectures ship, for 45 and for 90 minutes. Make a copy your own, or collect views from any page.",
    whose="Here")

header("lecture", OPENING)
place = st.container()
with controls.row():
    text = controls.choose()
    order = controls.read(text)
    controls.start(text, order)
    controls.carry(text)
with place:
    controls.say_problems(order)
with main():
    controls.show(order)
controls.edit(text, order)
with st.expander("Handouts to print", icon=":material/print:", key="lecture_handouts"):
    handout.panel(order)
