"""The lesson below the tokenizer's pictures: a prediction, experiments, the maths and checks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import streamlit as st

from gptoss.app.lesson import Lesson, Prediction, Try
from gptoss.app.verdicts import Claim
from gptoss.lessons.tokenizer.measure import vocabulary_tradeoff
from gptoss.tokenizer import encode_text, token_bytes, token_label
from gptoss.tokenizer.merges import CutVocabulary, cut_encoding, merges, pre_tokens, tokens_after

VIEWS = TOKENS, MERGES, LANGUAGES, SIZES, CONVERSATION, SEARCH = (
    "Tokens", "Merges", "Languages", "Vocabulary size", "Conversation", "Search")
CHECKED_SIZE = 32_000

MATHS = r"""
A pre-token begins as bytes $b_1, \dots, b_n$. Every token $v$ of the vocabulary has a rank $r(v)$, its id: the order in
which it was learnt. As long as two neighbours $t_i, t_{i+1}$ are a token together, the pair of lowest rank becomes one:

$$i^* = \arg\min_i \; r(t_i \Vert t_{i+1}), \qquad (t_{i^*},\, t_{i^*+1}) \;\to\; t_{i^*} \Vert t_{i^*+1}$$

Cut off after its first $V$ ranks, the vocabulary makes the same merges and stops at the first that needs a rank
$\ge V$. So a text's length $T(V)$ is its number of bytes less the merges made by then, and falls as $V$ grows, while

$$P(V) = \underbrace{V \cdot d}_{\text{embedding}} + \underbrace{V \cdot d}_{\text{unembedding}}$$

with $d$ the hidden size: one row for every token at each end of the model.
"""

TRIES = (
    Try("12345", "Digits are cut in threes from the left, while we group them from the right: 1234 is 123 and 4.",
        text="12345 1234 123456789", controls={"tokenizer_view": TOKENS}),
    Try("नमस्ते दुनिया", "Each letter of this script has three bytes. o200k has learnt pieces of words; GPT-2 mostly spells "
        "bytes.", text="नमस्ते दुनिया", controls={"tokenizer_view": TOKENS}),
    Try("strawberry, step by step", "Ten bytes, seven merges, three tokens. Nobody chose these pieces: their ranks did.",
        text="strawberry", controls={"tokenizer_view": MERGES}),
)


def lesson(text: str, claims: Sequence[Claim]) -> Lesson:
    """The lesson for a reader's text."""
    return Lesson(
        path="tokenizer", prediction=_PREDICTION, tries=TRIES, maths=MATHS,
        code=(pre_tokens, merges, CutVocabulary, vocabulary_tradeoff), claims=claims, checks=lambda: _how_we_know(text))


def _strawberries() -> str:
    return f"{len(encode_text('strawberry'))} and {len(encode_text(' strawberry'))}"


def _why(answer: str) -> str:
    alone = " ".join(f"“{token_label(token)}”" for token in encode_text("strawberry"))
    return (f"Alone it is {alone}. After a space it is one token, id {encode_text(' strawberry')[0]:,}: in running text "
            "words follow a space, so that form was frequent enough to be learnt.")


_PREDICTION = Prediction(
    "How many tokens are `strawberry` alone, and `␣strawberry` after a space?", answer=_strawberries, because=_why,
    choices=("1 and 1", "1 and 2", "2 and 3", "3 and 1", "3 and 4", "10 and 11"))


def _how_we_know(text: str) -> None:
    checked = _check(text)
    st.markdown(f"Your text has {checked.pre_tokens:,} pre-tokens. Merged step by step they end in {checked.merged:,} "
                f"tokens; tiktoken itself gives {checked.real:,}, and {checked.agree:,} are the same at the same place.")
    st.markdown(f"With the first {CHECKED_SIZE:,} ranks it has {checked.cut:,} tokens by these merges, and "
                f"{checked.real_cut:,} by a tiktoken tokenizer that was built from those ranks.")
    st.markdown("The vocabularies are tiktoken's own files, checked by the hashes that it pins.")


class _Check(NamedTuple):
    """Counts of one text: by the merges of `gptoss.tokenizer.merges` and by tiktoken itself."""

    pre_tokens: int
    merged: int
    real: int
    agree: int
    cut: int
    real_cut: int


@lru_cache(maxsize=8)
def _check(text: str) -> _Check:
    pieces = [piece.encode() for piece in pre_tokens(text)]
    merged = [token for piece in pieces for token in tokens_after(piece, merges(piece))]
    real = [token_bytes(token) for token in encode_text(text)]
    agree = sum(ours == theirs for ours, theirs in zip(merged, real, strict=False))
    return _Check(len(pieces), len(merged), len(real), agree, CutVocabulary(text).tokens(CHECKED_SIZE),
                  len(cut_encoding(CHECKED_SIZE).encode_ordinary(text)))
