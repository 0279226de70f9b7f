"""Tokenizer: a text cut into tokens, the merges that made them, and what they cost by language and vocabulary."""

import re

import streamlit as st

from gptoss import units
from gptoss.app import state, text
from gptoss.app.controls import has_text, view
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.lesson import Lesson, Try, below, beside
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.config import PRESETS
from gptoss.cost import count_parameters
from gptoss.lessons.tokenizer import measure
from gptoss.lessons.tokenizer.controls import words as controls
from gptoss.lessons.tokenizer.controls.conversation import BROKEN as BROKEN_HEADERS
from gptoss.lessons.tokenizer.controls.conversation import conversation
from gptoss.lessons.tokenizer.controls.questions import STRAWBERRY, question
from gptoss.lessons.tokenizer.controls.words import CONVERSATION, MERGES, TOKENS, VIEWS
from gptoss.notation import with_numbers
from gptoss.tokenizer import encode_text
from gptoss.tokenizer.harmony_strict import read_strictly
from gptoss.tokenizer.merges import CutVocabulary, merges, pre_tokens

HINDI = "नमस्ते दुनिया"
REAL = PRESETS["gpt-oss-20b"]

OPENING = Opening(
    problem="A model computes with numbers. Letter by letter a text would be very long, and no list of words is complete.",
    idea=f"Cut the text into {word('BPE', 'frequent pieces')}: common words whole, rare ones in parts, anything else in "
         f"bytes. Each piece, a {word('token')}, has a number.",
    chosen=f"A {word('vocabulary')} of {REAL.vocab_size:,} tokens, four times GPT-2's, and "
           f"{word('harmony', 'special tokens')} that say where a message begins, who speaks and where it ends.")

MERGING = r"""
A pre-token, a word with the space before it, begins as bytes. Every token $v$ of the vocabulary has a rank, its id:
the order in which it was learned. As long as two neighbours are a token together, the pair of lowest rank becomes one:

$$v,\, v' = \arg\min_{\text{neighbours}} \operatorname{rank}(v v'), \qquad v,\, v' \;\to\; v v'$$

Cut off after its first $V$ ranks, the vocabulary makes the same merges and stops at the first that needs a rank of $V$ or
more. So a text has as many tokens as bytes, less one for every merge that was made:

$$n = \text{bytes} - \text{merges}$$
"""

PARAMETERS = r"""
More tokens in the vocabulary make texts shorter, and the model larger at both its ends: one row of $D$ numbers, the hidden
size, for every token in the embedding, and one in the unembedding,

$$N = V \cdot D + V \cdot D$$
"""


def maths(study: Study) -> str:
    """The formulas, each with the numbers of the model under study."""
    config, word_of = study.config, STRAWBERRY.encode()
    made, ends = len(merges(word_of)), count_parameters(study.config)
    return with_numbers(
        (MERGING, f"“{STRAWBERRY}” has {len(word_of)} bytes and {made} merges: {len(word_of)} − {made} = "
                  f"{len(encode_text(STRAWBERRY))} tokens."),
        (PARAMETERS, f"V = {config.vocab_size:,} and D = {config.hidden_size:,}, so that the {word('embedding')} and the "
                     f"{word('unembedding')} have {ends.embedding + ends.unembedding:,} parameters, "
                     f"{(ends.embedding + ends.unembedding) / ends.total:.1%} of {study.name}."))


def picture(study: Study, words: str) -> str:
    """The chosen view, beside the reader's text where it is about that text; which one that is."""
    chosen = view(VIEWS, "tokenizer_view")
    if chosen in (CONVERSATION, controls.SEARCH):
        (conversation if chosen == CONVERSATION else controls.search)()
        beside(lesson(study, words, chosen))
        return chosen
    writing, drawing = st.columns([1, 3], gap="medium")
    with writing:
        special = text.text_box()
        controls.say_what_is_counted(text.current_text(), special)
    with drawing:
        if chosen == controls.LANGUAGE:
            controls.languages(words)
        elif has_text(words, "it is cut into tokens"):
            if chosen == TOKENS:
                controls.tokens(words, special)
            elif chosen == MERGES:
                controls.merges(words)
            else:
                controls.sizes(words, study)
        beside(lesson(study, words, chosen))
    return chosen


def how_we_know(words: str) -> None:
    """The merges that the page shows, compared with tiktoken's own tokens."""
    check = measure.check(words)
    st.markdown(f"Your text has {units.plural(check.pre_tokens, 'pre-token')}. Step by step their merges end in "
                f"{check.merged:,} tokens; tiktoken itself gives {check.real:,}, and {check.agree:,} are the same at the "
                "same place.")
    st.markdown(f"With the first {measure.CHECKED_SIZE:,} ranks it has {check.cut:,} tokens by these merges, and "
                f"{check.real_cut:,} by a tiktoken tokenizer that was built from those ranks.")
    st.markdown("The vocabularies are tiktoken's own files, checked by the hashes that it pins.")


def lesson(study: Study, words: str, shown: str) -> Lesson:
    """What is asked, tried and explained, under one view."""
    hindi = measure.reading(HINDI, special=False)
    return Lesson(
        path="tokenizer", prediction=question(study, shown),
        tries=[
            Try("12345", "Digits are cut in threes from the left, while we group them from the right: “1234” is “123” and "
                "“4”. So the same digit stands in other pieces in a longer number.",
                text="12345 1234 123456789", controls={"tokenizer_view": TOKENS},
                check=lambda seen: re.search(r"123\s+{}\b[\s=\d]*?\s4\s+{}\b".format(*encode_text("1234")), seen.words)),
            Try("Hindi", "Each letter of this script takes three bytes. o200k has learned pieces of such words, GPT-2 "
                f"spells most of them byte by byte: {hindi.gpt2} tokens in place of {hindi.o200k}.",
                text=HINDI, controls={"tokenizer_view": TOKENS},
                check=lambda seen: f"o200k: {hindi.o200k} tokens" in seen.words and f"GPT-2: {hindi.gpt2}" in seen.words),
            Try("strawberry, step by step", "Press Next: the two neighbours of lowest rank become one, seven times, and "
                "ten bytes are three tokens. Nobody chose these pieces; how often they came in the texts decided.",
                text=STRAWBERRY, controls={"tokenizer_view": MERGES, "tokenizer_step": 0},
                check=lambda seen: "After 0 of 7 merges: 10 tokens" in seen.words),
            Try("A broken header", "The model wrote two question marks where a channel belongs. A reader to the letter "
                "stops, and the sound answer behind it is lost too. A reader that repairs finds the answer.",
                controls={"tokenizer_view": CONVERSATION, "tokenizer_talk_mode": BROKEN_HEADERS,
                          "tokenizer_talk_broken": next(iter(measure.BROKEN))},
                check=lambda seen: "stops at token" in seen.words and "2 messages, and" in seen.words)],
        maths=maths(study), code=(pre_tokens, merges, CutVocabulary, measure.vocabulary_tradeoff, read_strictly),
        claims=register.of_page("tokenizer"), checks=lambda: how_we_know(words))


header("tokenizer", OPENING)
study = state.study()
words = measure.cut_text(text.current_text())
below(lesson(study, words, picture(study, words)))
