"""MXFP4: a block of thirty-two weights on fifteen ticks, and what that does to the model."""

import streamlit as st

from gptoss.app import pictures, state, text
from gptoss.app.header import header
from gptoss.app.lesson import below
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.lessons.mxfp4.controls.mxfp4 import (
    BLOCK,
    MATRIX,
    MAX_READ,
    MODEL,
    VIEWS,
    Place,
    Source,
    block_view,
    choose_block,
    choose_matrix,
    choose_source,
    chosen_place,
    effect_table,
    has_unrounded,
    key,
    matrix_view,
    model_view,
    offer_known_text,
    offer_whole_blocks,
    outlier_controls,
    readable,
    say_block,
    say_matrix,
    say_training,
    size_table,
    source_of,
    weights_in_words,
)
from gptoss.lessons.mxfp4.controls.mxfp4_lesson import mxfp4_lesson
from gptoss.lessons.mxfp4.measure import FORMATS, MXFP4


@st.fragment
def block(study: Study, source: Source, at: Place) -> None:
    """One block on its ticks, and its bytes. A fragment of its own, so that the outlier moves alone."""
    outlier_controls()
    view = block_view(source, at)
    st.markdown(say_block(view))
    pictures.show_chart(view.chart, key="mxfp4_block_chart")
    st.html(view.strip)
    st.caption(":material/memory: The block's 17 bytes: its scale, then two codes a byte, the first in the low four bits, "
               f"and the multiples of the scale that they mean. {at.matrix} of expert {at.expert} in layer {at.layer}, row "
               f"{at.row}, block {at.block}: {weights_in_words(study, source)}.")


def matrix(study: Study, source: Source, at: Place) -> None:
    """Errors over the whole matrix of the chosen block."""
    view = matrix_view(source, at)
    left, right = st.columns([4, 5], gap="medium")
    with left:
        pictures.show_chart(view.histogram, key="mxfp4_histogram")
    with right:
        pictures.show_chart(view.formats, key="mxfp4_formats")
    st.markdown(say_matrix(view, at, weights_in_words(study, source)))
    st.markdown(size_table(study, source, at))
    st.caption("  \n".join(f"**{each.name}**: {each.says}." for each in FORMATS.values()))


def model(study: Study, source: Source, tokens: text.Tokens) -> None:
    """The same text read by the model as it is and with rounded experts."""
    said = readable(source, len(tokens))
    if said:
        st.info(said, icon=":material/edit:")
        return
    control, words = st.columns([2, 5], gap="medium", vertical_alignment="bottom")
    chosen = control.selectbox("Experts in", FORMATS, key=key("format"), bind="query-params",
                               help="\n".join(f"- **{each.name}**: {each.says}" for each in FORMATS.values()))
    ids = tokens.ids[:MAX_READ]
    view = model_view(source, ids, chosen or MXFP4)
    if has_unrounded(study) and view.by_format:
        words.markdown(say_training(study, ids))
    left, right = st.columns(2, gap="medium")
    with left:
        pictures.show_chart(view.by_layer, key="mxfp4_layers")
    if view.by_format:
        with right:
            pictures.show_chart(view.by_format, key="mxfp4_changes")
    offer_known_text(study, view)
    st.markdown(effect_table(view))
    cut = f" The first {MAX_READ} of {len(tokens)} tokens." if len(tokens) > MAX_READ else ""
    st.caption(f":material/balance: {len(ids)} tokens, each read by the model as it is and by one with rounded experts: "
               "differences are paired, token by token, in nats; s.e. is their standard error."
               f"{cut} Weights: {weights_in_words(study, source)}.")


@st.fragment
def quantisation(study: Study, tokens: text.Tokens) -> None:
    """The page's picture, in three views."""
    views, weights, place = st.columns([5, 5, 3], gap="small", vertical_alignment="center")
    with views:
        view = st.segmented_control("View", VIEWS, default=BLOCK, key=key("view"), bind="query-params", required=True,
                                    label_visibility="collapsed")
    with weights:
        choose_source(study)
    source = source_of(study)
    if not offer_whole_blocks(study):
        return
    if view == MODEL:
        model(study, source, tokens)
        return
    with place.popover("Which block", icon=":material/grid_on:", width="stretch"):
        choose_matrix(study)
        choose_block(study, source)
    draw = matrix if view == MATRIX else block
    draw(study, source, chosen_place(study, source))


header("mxfp4")
study = state.study().small
above = st.container()
tokens = text.tokens_from_drawer(study.live_config.vocab_size)
with above:
    quantisation(study, tokens)
below(mxfp4_lesson(study, register.of_page("mxfp4")))
