"""Tokenizer: a text cut into tokens, the merges that made them, and what they cost by language and vocabulary."""

import streamlit as st

from gptoss.app import pictures, state, text
from gptoss.app.header import header
from gptoss.app.lesson import below
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.lessons.tokenizer import measure
from gptoss.lessons.tokenizer.charts import MEASURES, PER_CHARACTER, merge_candidates, merge_wall, paired_chips
from gptoss.lessons.tokenizer.controls import tokenizer as shown
from gptoss.lessons.tokenizer.controls import tokenizer_lesson as views
from gptoss.lessons.tokenizer.controls.conversation import conversation
from gptoss.lessons.tokenizer.measure import MAX_BYTES, O200K, SIZES
from gptoss.tokenizer.languages import LANGUAGES


@st.fragment
def tokens(written: str, special: bool) -> None:
    """The text as chips, o200k's above GPT-2's."""
    read = measure.reading(written, special)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(shown.both_counts(read), width="stretch")
        compared = st.toggle("GPT-2 below", True, key="tokenizer_gpt2", bind="query-params",
                             help="Grey: GPT-2's tokens of the same piece. = and an id: GPT-2 has the same token.")
        spelt = st.toggle("Bytes", True, key="tokenizer_bytes", bind="query-params")
    st.html(paired_chips(read.pieces, spelt, compared))
    if read.shown < read.o200k:
        st.caption(f":material/content_cut: The first {read.shown:,} of {read.o200k:,} tokens are drawn.")


@st.fragment
def merges(written: str) -> None:
    """How one pre-token is built from its bytes."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        word = shown.choose_word(written)
        step = shown.choose_step(word)
    built = measure.build(word)
    st.markdown(shown.what_happens(built, step))
    st.html(merge_candidates(*built.states[step]))
    st.html(merge_wall(built.data, built.merges, step, MAX_BYTES))
    if len(word.encode()) > MAX_BYTES:
        st.caption(f":material/content_cut: Drawn: the first {MAX_BYTES} of {len(word.encode()):,} bytes.")


@st.fragment
def languages(written: str) -> None:
    """One story in many languages, and the reader's text."""
    quantity = st.segmented_control("Measure", MEASURES, default=PER_CHARACTER, key="tokenizer_measure",
                                    bind="query-params", required=True, label_visibility="collapsed")
    pictures.show_chart(shown.language_chart(written, quantity), key=f"tokenizer_by_language_{quantity}")
    texts = st.expander("The story in every language", key="tokenizer_story", on_change="rerun")
    if texts.open:
        texts.table({each.name: each.text for each in LANGUAGES})


@st.fragment
def sizes(written: str, study: Study) -> None:
    """Tokens against parameters, for every size of the vocabulary."""
    size = st.select_slider("Vocabulary (tokens)", SIZES, O200K, key="tokenizer_size", bind="query-params",
                            format_func="{:,}".format)
    pictures.show_chart(shown.size_chart(written, study.config, size), key="tokenizer_by_size")


@st.fragment
def search() -> None:
    """Tokens of o200k by text or id."""
    query = st.text_input("Text, or an id", key="tokenizer_query", bind="query-params",
                          placeholder="␣straw, ing, 200006, <|, <0xE0>", max_chars=200)
    table, words = measure.search(query)
    st.markdown(words)
    st.dataframe(table, hide_index=True, height=430, alt="Tokens that were found")


header("tokenizer")
study = state.study()
view = st.segmented_control("View", views.VIEWS, default=views.TOKENS, key="tokenizer_view", bind="query-params",
                            required=True, label_visibility="collapsed")
written = measure.cut_text(text.current_text())
if view == views.CONVERSATION:
    conversation()
elif view == views.SEARCH:
    search()
else:
    writing, picture = st.columns([1, 3], gap="medium")
    with writing:
        special = text.text_box()
        shown.say_what_is_counted(text.current_text(), special)
    with picture:
        if view == views.LANGUAGES:
            languages(written)
        elif not written:
            st.info("Type a text, or choose an example, and it is cut into tokens.", icon=":material/edit:")
        elif view == views.TOKENS:
            tokens(written, special)
        elif view == views.MERGES:
            merges(written)
        else:
            sizes(written, study)
below(views.lesson(written, register.of_page("tokenizer")))
