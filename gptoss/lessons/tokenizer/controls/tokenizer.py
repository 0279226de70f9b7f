"""What the tokenizer's page shows of a text, computed once for each text, and the controls that choose from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import pandas as pd
import streamlit as st

from gptoss.app.furniture import literal
from gptoss.charts.chart import Chart
from gptoss.charts.chips import Chip, spelt_bytes
from gptoss.config import ModelConfig
from gptoss.lessons.tokenizer.charts.merges import Brick, Gap, brick_label
from gptoss.lessons.tokenizer.charts.tokenizer import (
    GPT2_ESTIMATE,
    OWN_TEXT,
    SMALL_ESTIMATE,
    language_costs,
    vocabulary_size,
)
from gptoss.lessons.tokenizer.measure import vocabulary_tradeoff
from gptoss.tokenizer import (
    SPECIAL_TOKENS,
    clean_text,
    encode_prefix,
    encode_text,
    get_encoding,
    printable,
    token_bytes,
    token_spans,
)
from gptoss.tokenizer.alignment import common_pieces
from gptoss.tokenizer.compact import O200K_SIZE
from gptoss.tokenizer.languages import NOTEBOOK_ESTIMATES, SMALL_VOCABULARY, language_counts, token_counts
from gptoss.tokenizer.merges import CutVocabulary, merges, neighbours, pre_tokens, tokens_after
from gptoss.tokenizer.search import search_vocabulary, what_it_is

LONGEST = 20_000  # characters that are counted; a longer text is cut
MAX_CHIPS = 256  # tokens that are drawn
MAX_WORDS = 200  # pre-tokens to choose from
MAX_BYTES = 32  # of a pre-token that are drawn
_ESTIMATES = {GPT2_ESTIMATE: NOTEBOOK_ESTIMATES[50_257], SMALL_ESTIMATE: NOTEBOOK_ESTIMATES[SMALL_VOCABULARY]}
remembered = lru_cache(maxsize=32)


@dataclass(frozen=True)
class Reading:
    """A text as both tokenizers read it."""

    o200k: int  # tokens
    gpt2: int
    pieces: tuple[tuple[tuple[Chip, ...], tuple[Chip, ...]], ...]  # o200k's and GPT-2's tokens of each piece
    shown: int  # o200k's tokens in `pieces`


@dataclass(frozen=True)
class Build:
    """How a pre-token is built: its bytes, its merges, and its tokens before the first merge and after each.

    A long pre-token is cut to what begins within its first `MAX_BYTES` bytes; the merges are those of the whole.
    """

    letters: tuple[str, ...]
    bricks: tuple[Brick, ...]
    states: tuple[tuple[Gap, ...], ...]  # (merges + 1,)


def cut_text(text: str) -> str:
    """The beginning of a text that is counted."""
    return clean_text(text[:LONGEST])


@remembered
def reading(text: str, special: bool) -> Reading:
    """`text` in the tokens of o200k and of GPT-2; `special` reads `<|start|>` and the like as special tokens."""
    shown = encode_prefix(text, MAX_CHIPS, special).ids
    # A token of o200k has at most 128 bytes; few need more than eight of GPT-2's.
    beside = encode_prefix(text, 8 * MAX_CHIPS, special, "gpt2").ids
    ours, theirs = _chips(text, shown, "o200k_harmony"), _chips(text, beside, "gpt2")
    pieces = tuple((tuple(ours[left]), tuple(theirs[right])) for left, right in common_pieces(
        [chip.data for chip in ours], [chip.data for chip in theirs]))
    return Reading(len(encode_text(text, special=special)), len(encode_text(text, "gpt2", special)), pieces,
                   sum(len(left) for left, _ in pieces))


def _chips(text: str, ids: list[int], encoding: str) -> list[Chip]:
    special = get_encoding(encoding).is_special_token
    spans = token_spans(text, ids, encoding)
    # One special token has two spellings: its bytes are those that stand in the text.
    spelt = [text[start:end].encode() if special(token) else token_bytes(token, encoding)
             for token, (start, end) in zip(ids, spans, strict=True)]
    return [Chip(_label(data), token, data, special(token)) for token, data in zip(ids, spelt, strict=True)]


def both_counts(read: Reading) -> str:
    """Tokens by o200k and by GPT-2, and how many times as many the latter are."""
    times = f" (×{read.gpt2 / read.o200k:.2f})" if read.o200k else ""
    return f"**o200k: {read.o200k:,} tokens** · GPT-2: {read.gpt2:,}{times}"


def say_what_is_counted(text: str, special: bool) -> None:
    """A notice where the text is longer than what is counted, or its special tokens are."""
    if len(text) > LONGEST:
        st.caption(f":material/content_cut: The first {LONGEST:,} of {len(text):,} characters are counted. The box keeps "
                   "your text.")
    if special:
        st.caption(":material/info: Merges, languages and sizes take special tokens for the text that spells them.")


@remembered
def words(text: str) -> tuple[str, ...]:
    """The different pre-tokens of a text, the first of them; at least one, if it is a space."""
    return tuple(dict.fromkeys(pre_tokens(text)))[:MAX_WORDS]


def choose_word(text: str) -> str:
    """A list of the text's pre-tokens; it begins with the one of most tokens and, among those, most merges."""
    options, first = words(text), _most_merged(text)
    if st.session_state.get("tokenizer_word", first) not in range(len(options)):
        st.session_state["tokenizer_word"] = first
    place = st.selectbox("Pre-token", range(len(options)), first, key="tokenizer_word", bind="query-params", width=240,
                         format_func=lambda place: f"{place + 1}: {_shortened(options[place])}")
    return options[place]


def choose_step(word: str) -> int:
    """How many of a pre-token's merges are made: a slider, a step back and a step forward. All, to begin with."""
    last, key = len(build(word).bricks), "tokenizer_step"
    if st.session_state.get(key, last) > last or st.session_state.get("tokenizer_stepped", word) != word:
        st.session_state[key] = last
    st.session_state["tokenizer_stepped"] = word
    step = st.select_slider("Merges made", range(last + 1), last, key=key, bind="query-params", disabled=not last)

    def move(by: int) -> None:
        st.session_state[key] = step + by

    st.button("Back", icon=":material/arrow_back:", on_click=move, args=(-1,), key="tokenizer_back", disabled=step == 0)
    st.button("Next", icon=":material/arrow_forward:", on_click=move, args=(1,), key="tokenizer_next", disabled=step == last)
    return step


@remembered
def _most_merged(text: str) -> int:
    return max(range(len(words(text))), key=lambda place: _interest(words(text)[place]))


def _interest(word: str) -> tuple[int, int]:
    return (len(encode_text(word)), len(merges(word.encode()))) if len(word) <= MAX_BYTES else (0, 0)


def _shortened(word: str) -> str:
    shown = printable(word[:MAX_BYTES].encode())
    return shown if len(word) <= MAX_BYTES else f"{shown}…"


@remembered
def build(word: str) -> Build:
    """A pre-token from its bytes to its tokens."""
    data = word.encode()
    made = merges(data)
    drawn = [place for place, merge in enumerate(made) if merge.start < MAX_BYTES]
    # What is drawn may have grown beyond the limit, by way of merges that are not drawn.
    near = data[:max([MAX_BYTES, *(made[place].end for place in drawn)])]
    bricks = tuple(Brick(start, end, rank, _label(data[start:end])) for rank, start, _, end in (made[n] for n in drawn))
    states = tuple(_gaps(tokens_after(near, made[:done])) for done in (0, *(place + 1 for place in drawn)))
    return Build(tuple(_label(data[at:at + 1]) for at in range(len(data[:MAX_BYTES]))), bricks, states)


def _gaps(tokens: list[bytes]) -> tuple[Gap, ...]:
    """The tokens that begin within the first `MAX_BYTES` bytes, with the ranks between them."""
    shown = [token for token, end in zip(tokens, accumulate(map(len, tokens)), strict=True) if end - len(token) < MAX_BYTES]
    ranks = [*(pair.rank for pair in neighbours(shown)), None]
    return tuple(Gap(_label(token), rank) for token, rank in zip(shown, ranks, strict=False))


def what_happens(built: Build, step: int) -> str:
    """A sentence on where the merging stands and what comes next."""
    tokens = len(built.states[step])
    here = f"**After {step} of {len(built.bricks)} merges: {tokens} token{'s' if tokens != 1 else ''}"
    if step == len(built.bricks):
        return f"{here}, as the model reads them.**" if tokens != 1 else f"{here}, as the model reads it.**"
    brick = built.bricks[step]
    return (f"{here}.** Between neighbours: the rank of both as one token. The lowest comes next: {literal(brick.label)}, "
            f"{brick.rank:,}.")


def _label(data: bytes) -> str:
    return brick_label(printable(data))


@remembered
def language_chart(text: str, measure: str) -> Chart:
    """The story in every language, and last the reader's text where there is one."""
    counts = language_counts()
    if text:
        counts = pd.concat([counts, pd.DataFrame([{"language": OWN_TEXT} | _own_counts(text)])], ignore_index=True)
    return language_costs(counts, measure, _ESTIMATES)


@remembered
def size_chart(text: str, config: ModelConfig, size: int) -> Chart:
    """Tokens of the text and parameters of the model by size of the vocabulary, with a mark at `size`."""
    return vocabulary_size(_tradeoff(text, config), size, _own_counts(text)["gpt2"], NOTEBOOK_ESTIMATES)


@remembered
def _tradeoff(text: str, config: ModelConfig) -> pd.DataFrame:
    return vocabulary_tradeoff(_cut(text), config)


@remembered
def _cut(text: str) -> CutVocabulary:
    return CutVocabulary(text)


@remembered
def _own_counts(text: str) -> dict[str, int]:
    return token_counts(text, _cut(text))


def found(query: str) -> tuple[pd.DataFrame, str]:
    """The tokens that a query finds, as a table, and how many there are; without a query the named special tokens."""
    if not query:
        named = token_table(tuple(SPECIAL_TOKENS.values()))
        return named, "The special tokens that have a name. Type a text to search for others."
    ids, total = search_vocabulary(query)
    cut = f", the first {len(ids)} are shown" if len(ids) < total else ""
    return token_table(ids), f"{total:,} of {O200K_SIZE:,} tokens{cut}."


@remembered
def token_table(ids: tuple[int, ...]) -> pd.DataFrame:
    """A row for each token of o200k: id, how it is written, its bytes, and what it is."""
    spelt = [token_bytes(token) for token in ids]
    return pd.DataFrame({
        "id": ids, "token": [printable(data) for data in spelt], "what it is": [what_it_is(token) for token in ids],
        "length (bytes)": [len(data) for data in spelt], "bytes": [spelt_bytes(data, 128) for data in spelt]})
