"""Exercises: write the parts of GPT-OSS yourself, at home, and have them checked against the real ones."""

import streamlit as st

from gptoss.app import pictures
from gptoss.app.header import header
from gptoss.lessons.exercises import controls


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


header("exercises")
exercises()
