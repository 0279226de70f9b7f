"""Training: real models learn in front of the audience, or are replayed as they learnt."""

import streamlit as st

from gptoss.app import state
from gptoss.app.header import header
from gptoss.app.lesson import below
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.lessons.training.controls.training import behind, current, pace, picture, steer
from gptoss.lessons.training.controls.training_lesson import training_lesson


def contest(study: Study, pace_now: float | None) -> None:
    """Controls, state and the large picture. Looks again by itself while something moves."""
    view = current()
    if pace(view) != pace_now:
        st.rerun()  # the whole page: whether and how often it looks again is decided there
    steer(study, view)
    picture(study, view)


header("training")
study = state.study().small
pace_now = pace(current())
st.fragment(contest, run_every=pace_now)(study, pace_now)
st.fragment(behind, run_every=3 * pace_now if pace_now else None)()
below(training_lesson(register.of_page("training")))
