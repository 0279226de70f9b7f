"""Tokenizer: a text cut into tokens, the merges that made them, and what they cost by language and vocabulary."""

import streamlit as st

from gptoss.app import state, text
from gptoss.app.controls import has_text, view
from gptoss.app.header import header
from gptoss.app.lesson import Lesson, Prediction, Try, below, beside
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.lessons.tokenizer import measure
from gptoss.lessons.tokenizer.controls import words as controls
from gptoss.lessons.tokenizer.controls.conversation import conversation
from gptoss.lessons.tokenizer.controls.words import MERGES, TOKENS, VIEWS
from gptoss.tokenizer import encode_text, token_label
from gptoss.tokenizer.merges import CutVocabulary, merges, pre_tokens

MATHS = r"""
A pre-token begins as bytes $b_1, \dots, b_n$. Every token $v$ of the vocabulary has a rank $r(v)$, its id: the order in
which it was learned. As long as two neighbours $t_i, t_{i+1}$ are a token together, the pair of lowest rank becomes one:

$$i^* = \arg\min_i \; r(t_i \Vert t_{i+1}), \qquad (t_{i^*},\, t_{i^*+1}) \;\to\; t_{i^*} \Vert t_{i^*+1}$$

Cut off after its first $V$ ranks, the vocabulary makes the same merges and stops at the first that needs a rank
$\ge V$. So a text's length $T(V)$ is its number of bytes less the merges made by then, and falls as $V$ grows, while

$$P(V) = \underbrace{V \cdot d}_{\text{embedding}} + \underbrace{V \cdot d}_{\text{unembedding}}$$

with $d$ the hidden size: one row for every token at each end of the model.
"""


def picture(study: Study, words: str) -> None:
    """The chosen view, beside the reader's text where it is about that text."""
    chosen = view(VIEWS, "tokenizer_view")
    if chosen in (controls.CONVERSATION, controls.SEARCH):
        (conversation if chosen == controls.CONVERSATION else controls.search)()
        beside(lesson(words))
        return
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
        beside(lesson(words))


def because(answer: str) -> str:
    """What the answer to the prediction means."""
    alone = " ".join(f"“{token_label(token)}”" for token in encode_text("strawberry"))
    return (f"Alone it is {alone}. After a space it is one token, id {encode_text(' strawberry')[0]:,}: in running text "
            "words follow a space, so that form was frequent enough to be learned.")


def how_we_know(words: str) -> None:
    """The merges that the page shows, compared with tiktoken's own tokens."""
    check = measure.check(words)
    st.markdown(f"Your text has {check.pre_tokens:,} pre-tokens. Merged step by step they end in {check.merged:,} "
                f"tokens; tiktoken itself gives {check.real:,}, and {check.agree:,} are the same at the same place.")
    st.markdown(f"With the first {measure.CHECKED_SIZE:,} ranks it has {check.cut:,} tokens by these merges, and "
                f"{check.real_cut:,} by a tiktoken tokenizer that was built from those ranks.")
    st.markdown("The vocabularies are tiktoken's own files, checked by the hashes that it pins.")


def lesson(words: str) -> Lesson:
    """What follows below the picture, for a reader's text."""
    return Lesson(
        path="tokenizer",
        prediction=Prediction(
            "How many tokens are `strawberry` alone, and `␣strawberry` after a space?", because=because,
            answer=lambda: f"{len(encode_text('strawberry'))} and {len(encode_text(' strawberry'))}",
            choices=("1 and 1", "1 and 2", "2 and 3", "3 and 1", "3 and 4", "10 and 11")),
        tries=[
            Try("12345", "Digits are cut in threes from the left, while we group them from the right: 1234 is 123 and 4.",
                text="12345 1234 123456789", controls={"tokenizer_view": TOKENS}),
            Try("नमस्ते दुनिया", "Each letter of this script has three bytes. o200k has learned pieces of words; GPT-2 mostly "
                "spells bytes.", text="नमस्ते दुनिया", controls={"tokenizer_view": TOKENS}),
            Try("strawberry, step by step", "Ten bytes, seven merges, three tokens. Nobody chose these pieces: their ranks "
                "did.", text="strawberry", controls={"tokenizer_view": MERGES})],
        maths=MATHS, code=(pre_tokens, merges, CutVocabulary, measure.vocabulary_tradeoff),
        claims=register.of_page("tokenizer"), checks=lambda: how_we_know(words))


header("tokenizer")
study = state.study()
words = measure.cut_text(text.current_text())
picture(study, words)
below(lesson(words))
