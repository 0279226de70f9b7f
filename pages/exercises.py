"""Exercises: write the parts of GPT-OSS yourself, at home, and have them checked against the real ones."""

import streamlit as st

from gptoss.app import pictures
from gptoss.app.header import Opening, header
from gptoss.exercises.catalogue import EXERCISES
from gptoss.lessons.exercises import controls

MISTAKES = sum(len(exercise.mistakes) for exercise in EXERCISES.values())
OPENING = Opening(
    problem="Whoever has only read how a part works seldom notices what was left open; whoever writes it does.",
    idea=f"Write the parts yourself, on your own machine. A check runs yours beside the real one, and knows "
         f"{MISTAKES} typical mistakes by what they do.",
    chosen=f"{len(EXERCISES)} exercises, from RMSNorm to a step of training, together make a small GPT-OSS that runs.")


@st.fragment
def exercises() -> None:
    """The list with one exercise large, and how to do them."""
    everything, one = st.columns(2, gap="medium")
    with one:
        chosen = controls.choose_exercise()
        controls.show_exercise(chosen)
    with everything, pictures.main():
        controls.show_list(chosen)
    controls.show_stub(chosen)
    controls.take_all_home(chosen.name)


header("exercises", OPENING)
exercises()
