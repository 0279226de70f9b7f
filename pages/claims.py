"""Claims: what people say about GPT-OSS, each decided here and now."""

import streamlit as st

from gptoss.app import pictures, state
from gptoss.app.header import header
from gptoss.app.lesson import below
from gptoss.app.study import Study
from gptoss.lessons.claims.controls.claims_board import (
    actions,
    choose_claim,
    claims_in_words,
    code_drawer,
    controls,
    looked_for,
    measure_all,
    measure_next,
    picks_claim,
    say,
    strip,
    summary,
    verdicts,
)
from gptoss.lessons.claims.controls.claims_lesson import claims_lesson


@st.fragment
def board(study: Study) -> None:
    """All verdicts at a glance, one claim large, and all of them in words."""
    controls()
    found = verdicts(study)
    names = looked_for(found)
    picture, claim = st.columns(2, gap="medium")
    with claim:
        chosen = choose_claim()
        actions(chosen, study, say(chosen, study))
    with picture:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(summary(found), width="content")
            measure_all(study, found)
        progress = st.container()
        pictures.show_chart(strip(found, names, chosen), key="claims_strip", on_select=picks_claim)
    code_drawer(chosen)
    claims_in_words(found, names)
    measure_next(study, progress)


header("claims")
study = state.study().small
board(study)
below(claims_lesson(study))
