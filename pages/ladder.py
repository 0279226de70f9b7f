"""From GPT-2 to GPT-OSS: one change a rung, any subset of them, on a model that runs."""

import streamlit as st

from gptoss.app import pictures, state, text
from gptoss.app.header import header
from gptoss.app.lesson import below
from gptoss.app.study import Study
from gptoss.charts import next_token
from gptoss.claims import register
from gptoss.ladder import RUNGS, LadderConfig
from gptoss.lessons.ladder.charts import block_drawing
from gptoss.lessons.ladder.controls.ladder import (
    MEASURE_KEY,
    MEASURES,
    choose_rungs,
    climb,
    cost_chart,
    expectation,
    labels_of,
    set_rungs,
    times,
    tokens_for,
)
from gptoss.lessons.ladder.controls.ladder_lesson import ladder_lesson
from gptoss.lessons.ladder.measure import CACHE, FLOPS, TIME, context_of

WAYS = (("ladder_first", "First rung", set_rungs, (tuple(RUNGS)[:1],)), ("ladder_climb", "Next rung", climb, ()),
        ("ladder_all", "All rungs", set_rungs, (tuple(RUNGS),)))


@st.fragment
def ladder(study: Study) -> None:
    """The rungs, what they change, the block that they make, and what its model expects next."""
    rungs = choose_rungs()
    config = LadderConfig(study.config, rungs)
    with st.container(horizontal=True, vertical_alignment="center"):
        measure = st.segmented_control("Measure", MEASURES, default=MEASURES[0], key=MEASURE_KEY, bind="query-params",
                                       required=True, label_visibility="collapsed") or MEASURES[0]
        for key, label, move, given in WAYS:
            st.button(label, key=key, on_click=move, args=given, type="tertiary")
    left, right = st.columns([5, 4], gap="medium")
    with left:
        waterfall = st.container()
    with right:
        pictures.show_drawing(block_drawing(config))
        st.caption(":gray-badge[grey] is GPT-2's own, :violet-badge[violet] came with a rung.")
    if measure != TIME:
        with waterfall:
            pictures.show_chart(cost_chart(config, measure, study.context), key=f"ladder_{MEASURES.index(measure)}")
            say_order(config, measure, study)
    expected(study, LadderConfig(study.live_config, rungs))
    if measure == TIME:  # last: all the rest is there before the first pass is timed
        with waterfall:
            times(study, rungs)


def say_order(config: LadderConfig, measure: str, study: Study) -> None:
    """Why the bars stand in this order, and at which context they are counted."""
    context = (f" Each model is counted at the {study.context:,} tokens of the dial or as many as its positions are made "
               f"for: GPT-2 {context_of(config.replace(()), study.context):,}, the result "
               f"{context_of(config, study.context):,}.") if measure in (CACHE, FLOPS) else ""
    st.caption(":material/format_list_numbered: Effects do not commute, so the order is fixed: a bar is what its rung "
               f"changes after those above it. In brackets: what a rung left out would change there.{context}")


def expected(study: Study, live: LadderConfig) -> None:
    """The reader's text through the live model of these rungs."""
    st.subheader("It runs: what this model expects next", anchor=False)
    tokens = tokens_for(live)
    chart, words = st.columns([5, 4], gap="medium")
    with words:
        text.text_drawer()
        text.say_what_was_cut(tokens)
    if not len(tokens):
        chart.info("Type a text, or choose an example, and the model runs on it.", icon=":material/edit:")
        return
    after = expectation(study, live, tokens.ids)
    with chart:
        pictures.show_chart(next_token(labels_of(live), after.probabilities, top=5), key="ladder_next")
    words.markdown(
        f"Entropy **{after.entropy:.2f} bits**; a blind guess among {live.vocab_size:,} tokens has {after.most:.2f}. The "
        f"live vocabulary is a small part of {'o200k' if 'o200k' in live else 'GPT-2'}'s, so texts take more tokens than "
        f"in the real one. The weights are random, seed {study.seed}: what the model prefers is chance.")


header("ladder", untrained=True)
study = state.study().small
ladder(study)
below(ladder_lesson(study, register.of_page("ladder")))
