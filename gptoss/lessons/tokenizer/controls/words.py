"""The views of the tokenizer page that are about words: chips, merges, languages, sizes of the vocabulary, a search."""

from __future__ import annotations

from functools import lru_cache

import streamlit as st

from gptoss import units
from gptoss.app import controls, kept, pictures
from gptoss.app.markdown import literal
from gptoss.app.study import Study
from gptoss.charts.chart import Chart
from gptoss.config import ModelConfig
from gptoss.lessons.tokenizer import charts, measure
from gptoss.tokenizer import printable
from gptoss.tokenizer.languages import LANGUAGES, NOTEBOOK_ESTIMATES

FOUND_AT_ONCE = 12  # rows of what a search finds

VIEWS = TOKENS, MERGES, LANGUAGE, SIZES, CONVERSATION, SEARCH = (
    "Tokens", "Merges", "Languages", "Vocabulary size", "Conversation", "Search")


@st.fragment
def tokens(text: str, special: bool) -> None:
    """The text as chips, o200k's above GPT-2's."""
    read = measure.reading(text, special)
    times = f" (×{read.gpt2 / read.o200k:.2f})" if read.o200k else ""
    place = pictures.main()
    with st.container(horizontal=True, vertical_alignment="center"):
        compared = kept.toggle("GPT-2 below", True, key="tokenizer_gpt2",
                               help="In grey stand GPT-2's tokens of the same piece. The sign = before an id says that "
                                    "GPT-2 has the same token.")
        spelt = kept.toggle("Bytes", key="tokenizer_bytes", help="What each token stands for, in hexadecimal.")
    with place:
        st.html(charts.paired_chips(read.pieces, spelt, compared))
        st.markdown(f"**o200k: {units.plural(read.o200k, 'token')}** · GPT-2: {read.gpt2:,}{times}")
    if read.shown < read.o200k:
        st.caption(f":material/content_cut: The first {read.shown:,} of {read.o200k:,} tokens are drawn.")


def say_what_is_counted(text: str, special: bool) -> None:
    """A notice where the text is longer than what is counted, or its special tokens are."""
    if len(text) > measure.LONGEST:
        st.caption(f":material/content_cut: The first {measure.LONGEST:,} of {len(text):,} characters are counted. The box "
                   "keeps your text.")
    if special:
        st.caption(":material/info: Merges, languages and sizes take special tokens for the text that spells them.")


@st.fragment
def merges(text: str) -> None:
    """How one pre-token is built from its bytes."""
    place = pictures.main()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        word = _choose_word(text)
        step = _choose_step(word)
    built = measure.build(word)
    with place:
        st.html(charts.merge_candidates(*built.states[step]))
        st.html(charts.merge_wall(built.data, built.merges, step, measure.MAX_BYTES))
        st.markdown(_what_happens(built, step))
    if len(word.encode()) > measure.MAX_BYTES:
        st.caption(f":material/content_cut: Drawn: the first {measure.MAX_BYTES} of {len(word.encode()):,} bytes.")


def _choose_word(text: str) -> str:
    """A list of the text's pre-tokens; it begins with the one of most tokens and, among those, most merges."""
    options, first = measure.words(text), measure.most_merged(text)
    if st.session_state.get("tokenizer_word", first) not in range(len(options)):
        st.session_state["tokenizer_word"] = first
    place = kept.selectbox("Pre-token", range(len(options)), first, key="tokenizer_word", width=240,
                           format_func=lambda place: f"{place + 1}: {_shortened(options[place])}")
    return options[place]


def _choose_step(word: str) -> int:
    """How many of a pre-token's merges are made: a slider, a step back and a step forward. None, to begin with."""
    places, key = range(len(measure.build(word).merges) + 1), "tokenizer_step"
    if st.session_state.get(key, 0) not in places or st.session_state.get("tokenizer_stepped", word) != word:
        st.session_state[key] = 0
    st.session_state["tokenizer_stepped"] = word
    step = kept.select_slider("Merges made", places, key=key, disabled=len(places) == 1)
    controls.steps(key, places)
    return step


def _shortened(word: str) -> str:
    shown = printable(word[:measure.MAX_BYTES].encode())
    return shown if len(word) <= measure.MAX_BYTES else f"{shown}…"


def _what_happens(built: measure.Build, step: int) -> str:
    """A sentence on how far the merging is and what comes next."""
    tokens = len(built.states[step][0])
    here = f"**After {step} of {units.plural(len(built.merges), 'merge')}: {units.plural(tokens, 'token')}"
    if step == len(built.merges):
        return f"{here}, as the model reads {'them' if tokens != 1 else 'it'}.**"
    merge = built.merges[step]
    return (f"{here}.** Between two neighbours stands the rank of both as one token. The lowest comes next: "
            f"“{literal(charts.token_words(built.data[merge.start:merge.end]))}” with rank {merge.rank:,}.")


@st.fragment
def languages(text: str) -> None:
    """One story in many languages, and the reader's text."""
    place = pictures.main()
    quantity = controls.view(charts.MEASURES, "tokenizer_measure", "Measure")
    with place:
        pictures.show_chart(_language_chart(text, quantity), key=f"tokenizer_by_language_{quantity}")
    texts = kept.expander("The story in every language", key="tokenizer_story")
    if texts.open:
        texts.table({language.name: language.text for language in LANGUAGES})


@lru_cache(maxsize=32)
def _language_chart(text: str, quantity: str) -> Chart:
    return charts.language_costs(measure.languages_and(text, charts.OWN_TEXT), quantity, charts.ESTIMATES)


@st.fragment
def sizes(text: str, study: Study) -> None:
    """Tokens against parameters, for every size of the vocabulary."""
    with pictures.main():  # the slider too, so that the question follows both
        place = st.container()
        [size] = controls.main_sliders(controls.Main("Vocabulary (tokens)", "tokenizer_size", measure.SIZES, measure.O200K,
                                                     show="{:,}".format))
    with place:
        pictures.show_chart(_size_chart(text, study.config, size), key="tokenizer_by_size")


@lru_cache(maxsize=32)
def _size_chart(text: str, config: ModelConfig, size: int) -> Chart:
    return charts.vocabulary_size(measure.tradeoff(text, config), size, measure.counts_of(text)["gpt2"], NOTEBOOK_ESTIMATES)


@st.fragment
def search() -> None:
    """Tokens of o200k by text or id."""
    asked, found = st.columns([2, 5], gap="medium")
    with asked:
        query = kept.text_input("Text, or an id", key="tokenizer_query",
                                placeholder="␣straw, ing, 200006, <|, <0xE0>", max_chars=200)
        table, words = measure.search(query)
        st.markdown(words)
    with found, pictures.main():
        whole = controls.all_of(len(table), "tokens that were found", FOUND_AT_ONCE, key="tokenizer_found_all")
        shown = table if whole else table.head(FOUND_AT_ONCE)
        st.table(shown.assign(token=shown["token"].map(literal)), hide_index=True, alt="Tokens that were found")
