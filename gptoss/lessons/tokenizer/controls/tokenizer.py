"""The controls that choose from a text on the tokenizer's page, and what is said of the choice."""

from __future__ import annotations

from functools import lru_cache

import streamlit as st

from gptoss import units
from gptoss.app.markdown import literal
from gptoss.charts.chart import Chart
from gptoss.config import ModelConfig
from gptoss.lessons.tokenizer import charts, measure
from gptoss.tokenizer import printable
from gptoss.tokenizer.languages import NOTEBOOK_ESTIMATES, SMALL_VOCABULARY

_ESTIMATES = {charts.GPT2_ESTIMATE: NOTEBOOK_ESTIMATES[50_257], charts.SMALL_ESTIMATE: NOTEBOOK_ESTIMATES[SMALL_VOCABULARY]}
remembered = lru_cache(maxsize=32)


def both_counts(read: measure.Reading) -> str:
    """Tokens by o200k and by GPT-2, and how many times as many the latter are."""
    times = f" (×{read.gpt2 / read.o200k:.2f})" if read.o200k else ""
    return f"**o200k: {units.plural(read.o200k, 'token')}** · GPT-2: {read.gpt2:,}{times}"


def say_what_is_counted(text: str, special: bool) -> None:
    """A notice where the text is longer than what is counted, or its special tokens are."""
    if len(text) > measure.LONGEST:
        st.caption(f":material/content_cut: The first {measure.LONGEST:,} of {len(text):,} characters are counted. The box "
                   "keeps your text.")
    if special:
        st.caption(":material/info: Merges, languages and sizes take special tokens for the text that spells them.")


def choose_word(text: str) -> str:
    """A list of the text's pre-tokens; it begins with the one of most tokens and, among those, most merges."""
    options, first = measure.words(text), measure.most_merged(text)
    if st.session_state.get("tokenizer_word", first) not in range(len(options)):
        st.session_state["tokenizer_word"] = first
    place = st.selectbox("Pre-token", range(len(options)), first, key="tokenizer_word", bind="query-params", width=240,
                         format_func=lambda place: f"{place + 1}: {_shortened(options[place])}")
    return options[place]


def choose_step(word: str) -> int:
    """How many of a pre-token's merges are made: a slider, a step back and a step forward. All, to begin with."""
    last, key = len(measure.build(word).merges), "tokenizer_step"
    if st.session_state.get(key, last) > last or st.session_state.get("tokenizer_stepped", word) != word:
        st.session_state[key] = last
    st.session_state["tokenizer_stepped"] = word
    step = st.select_slider("Merges made", range(last + 1), last, key=key, bind="query-params", disabled=not last)

    def move(by: int) -> None:
        st.session_state[key] = step + by

    st.button("Back", icon=":material/arrow_back:", on_click=move, args=(-1,), key="tokenizer_back", disabled=step == 0)
    st.button("Next", icon=":material/arrow_forward:", on_click=move, args=(1,), key="tokenizer_next", disabled=step == last)
    return step


def _shortened(word: str) -> str:
    shown = printable(word[:measure.MAX_BYTES].encode())
    return shown if len(word) <= measure.MAX_BYTES else f"{shown}…"


def what_happens(built: measure.Build, step: int) -> str:
    """A sentence on how far the merging is and what comes next."""
    tokens = len(built.states[step][0])
    here = f"**After {step} of {len(built.merges)} merges: {units.plural(tokens, 'token')}"
    if step == len(built.merges):
        return f"{here}, as the model reads {'them' if tokens != 1 else 'it'}.**"
    merge = built.merges[step]
    return (f"{here}.** Between neighbours: the rank of both as one token. The lowest comes next: "
            f"{literal(charts.token_words(built.data[merge.start:merge.end]))}, {merge.rank:,}.")


@remembered
def language_chart(text: str, quantity: str) -> Chart:
    """The story in every language, and last the reader's text where there is one."""
    return charts.language_costs(measure.languages_and(text, charts.OWN_TEXT), quantity, _ESTIMATES)


@remembered
def size_chart(text: str, config: ModelConfig, size: int) -> Chart:
    """Tokens of the text and parameters of the model by size of the vocabulary, with a mark at `size`."""
    return charts.vocabulary_size(measure.tradeoff(text, config), size, measure.counts_of(text)["gpt2"], NOTEBOOK_ESTIMATES)
