"""The reader's text: one box for all pages, its examples, and its tokens as the live model reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import streamlit as st

from gptoss.app import hidden, kept
from gptoss.app.markdown import literal
from gptoss.app.served import MAX_LIVE_TOKENS, most_live_tokens
from gptoss.app.starters import STARTERS, Starter
from gptoss.app.study import Study
from gptoss.tokenizer import (
    DEFAULT_SAMPLE,
    SAMPLES,
    STORIES,
    CompactVocabulary,
    Sample,
    clean_text,
    encode_text,
    token_label,
)
from gptoss.tokenizer.compact_gpt2 import CompactGPT2
from gptoss.training.shipped import STORYTELLER
from gptoss.units import plural

OWN_TEXT = "own text"
LONGEST_IN_ADDRESS = 1500  # characters; longer texts stay in the box and out of the link
TOO_LONG = "too-long"  # what the link says instead
_OFFERED, _STARTER = "offered", "starter"  # whose weights run; the starter that is in the box
_SHOWN = "starter_shown"  # the one that the browser shows, and sends with all that is done before it has an answer
_BY_NAME = {sample.name: sample for sample in SAMPLES}


class Split(NamedTuple):
    """A token of o200k that a smaller vocabulary spells in pieces: both as something to print."""

    whole: str
    pieces: tuple[str, ...]


@dataclass(frozen=True)
class Tokens:
    """The live model's tokens of a text, cut to what runs live."""

    ids: tuple[int, ...]  # rows of the live model's embedding
    o200k: tuple[int, ...]  # the same tokens' ids in the real vocabulary
    labels: tuple[str, ...]  # printable, white space visible
    characters_used: int
    characters: int
    real: int = 0  # tokens that gpt-oss needs for the same characters
    split: Split | None = None  # the first of them that this vocabulary has not, where there is one

    def __len__(self) -> int:
        return len(self.ids)


def text_box(height: int = 130) -> bool:
    """The box labelled `Text` and the list of examples above it. Both keep their content from page to page.

    Beside it is what the model under study can do, to be clicked. Returns whether spellings such as `<|start|>` are to be
    read as the special tokens they name.
    """
    if not hidden.shows("text"):
        return bool(st.session_state.get("special")) and "<|" in current_text()
    st.selectbox("Example", [*_BY_NAME, OWN_TEXT], key="sample", on_change=_load_sample, persist_state="session",
                 format_func=lambda name: _BY_NAME[name].label if name in _BY_NAME else "Own text")
    st.text_area("Text", key="text", height=height, persist_state="session", on_change=_name_own_text,
                 placeholder=f"Type or paste a text; up to {MAX_LIVE_TOKENS} tokens run live.")
    _starters()
    if "<|" not in current_text():
        return False
    return kept.toggle("Read <|…|> as special tokens", key="special",
                       help="Off, the text is a person's and spells them in ordinary tokens.")


def text_drawer() -> bool:
    """The same box folded away, for pages whose picture comes first. Returns what `text_box` does."""
    if not hidden.shows("text"):
        return text_box()
    with st.popover("Change the text", icon=":material/edit:", width="stretch"):
        return text_box()


def tokens_from_drawer(vocabulary: CompactVocabulary) -> Tokens:
    """The drawer, below it a word on what runs, and the tokens of its text for a live model of that vocabulary."""
    special = text_drawer()
    tokens = live_tokens(current_text(), vocabulary, special)
    say_what_was_cut(tokens)
    return tokens


def offer(model: str) -> None:
    """Say which weights run, by their name: what they can do stands beside the box from now on."""
    st.session_state[_OFFERED] = model


def _starters() -> None:
    """What the model under study can do, as texts to start it with; of the one that is in the box, what to look for."""
    model = st.session_state.get(_OFFERED, "")
    offered = {starter.label: starter for starter in STARTERS.get(model, ())}
    if not offered:
        return
    chosen = next((starter for starter in offered.values() if starter.text == current_text()), None)
    st.session_state[_STARTER] = st.session_state[_SHOWN] = chosen and chosen.label
    st.pills(f"What {model} can do", [*offered], key=_STARTER, on_change=_start, args=(offered,), wrap=True)
    if chosen:
        st.caption(literal(chosen.promise(model)))


def say_what_was_cut(tokens: Tokens) -> None:
    """How many tokens run, how many gpt-oss needs for them and why, and a notice where the text is longer than that."""
    if tokens.characters_used < tokens.characters:
        st.caption(f":material/content_cut: The first {plural(len(tokens), 'token')} run: {tokens.characters_used:,} of "
                   f"{tokens.characters:,} characters. The box keeps your text.")
    else:
        st.caption(f"{plural(len(tokens), 'token')}{in_gpt_oss(tokens)}")
    if tokens.characters > LONGEST_IN_ADDRESS:
        st.caption(":material/link_off: Too long for the address: a link to this page goes without the text.")


def in_gpt_oss(tokens: Tokens) -> str:
    """How many tokens the real model needs for the same text, and why, in Markdown; nothing where it needs as many."""
    if tokens.split is None or tokens.real == len(tokens):
        return ""
    whole, pieces = literal(tokens.split.whole), " ".join(f"“{literal(piece)}”" for piece in tokens.split.pieces)
    return (f" here, {tokens.real} in gpt-oss, because its vocabulary has words whole that this model's smaller one spells "
            f"in pieces: “{whole}” is {pieces}.")


def offer_longer_text(window: int) -> None:
    """Say that no window shows on a text this short, and offer one on which it does."""
    longer = _sample_longer_than(window)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f":material/info: The text is no longer than the window of {window}, so nothing is cut off.")
        if longer:
            st.button(f"Use a longer text: {longer.label}", on_click=set_text, args=(longer.text,))


@lru_cache(maxsize=16)
def _sample_longer_than(tokens: int) -> Sample | None:
    return next((sample for sample in SAMPLES if len(encode_text(sample.text)) > tokens), None)


class _Labels(Sequence[str]):
    """Every token's printable form, made when it is asked for: a checkpoint can have 201,088, of which ten are shown."""

    def __init__(self, vocabulary: CompactVocabulary | CompactGPT2):
        self._vocabulary = vocabulary

    def __len__(self) -> int:
        return self._vocabulary.size

    def __getitem__(self, token: int) -> str:
        if token >= len(self):
            raise IndexError(token)  # where an iteration ends
        return self._vocabulary.label(token)


@lru_cache(maxsize=8)
def vocabulary_labels(vocabulary: CompactVocabulary | CompactGPT2) -> Sequence[str]:
    """The printable form of every token of a live model's vocabulary."""
    return _Labels(vocabulary)


def current_text() -> str:
    """What is in the box."""
    return st.session_state.get("text") or ""


def set_text(text: str) -> None:
    """Put a text into the box, before the box is drawn. An example's text selects its example."""
    st.session_state["text"] = text
    name = st.session_state["sample"] = sample_of(text)
    st.session_state["special"] = name != OWN_TEXT and _BY_NAME[name].special


def sample_of(text: str) -> str:
    """The name of the example with this text, or `OWN_TEXT`."""
    return next((sample.name for sample in SAMPLES if sample.text == text), OWN_TEXT)


def first_example(preset: str) -> Sample:
    """The text that an address of this preset begins with: of the kind that its model was trained on, if on stories."""
    return STORIES[0] if preset == STORYTELLER else DEFAULT_SAMPLE


def text_to_query(text: str, preset: str) -> dict[str, str]:
    """The address's part: nothing for the preset's first example, another by name, an own text whole if it is short."""
    name = sample_of(text)
    if name == first_example(preset).name:
        return {}
    if name != OWN_TEXT:
        return {"sample": name}
    return {"text": text} if len(text) <= LONGEST_IN_ADDRESS else {"sample": TOO_LONG}


def text_from_query(query: dict[str, str], preset: str, own_text: str | None = None) -> tuple[str, list[str]]:
    """The text that an address with this preset names, and a sentence if it names one that there is not.

    `own_text` is the one in the box, which stays where the address says that a text was too long for it.
    """
    if "text" in query:
        return query["text"], []
    first = first_example(preset)
    name = query.get("sample", first.name)
    if name in _BY_NAME:
        return _BY_NAME[name].text, []
    if name == TOO_LONG:
        if own_text is not None:
            return own_text, []
        return first.text, ["The text was too long for the address; this is the first example."]
    return first.text, ["The address names an example that there is not; this is the first one."]


@lru_cache(maxsize=64)
def live_tokens(text: str, vocabulary: CompactVocabulary, special: bool) -> Tokens:
    """The first tokens of `text` in the vocabulary of a live model: at most `MAX_LIVE_TOKENS`, fewer for a large model.

    `special` reads `<|start|>` and the like as the special tokens they spell; otherwise they are plain text.
    """
    most = most_live_tokens(vocabulary.size)
    prefix = vocabulary.encode_prefix(text, most, special=special)
    real = encode_text(clean_text(text)[:prefix.characters_used], special=special)
    return Tokens(tuple(prefix.ids), tuple(vocabulary.to_o200k(prefix.ids)),
                  tuple(vocabulary.label(i) for i in prefix.ids), prefix.characters_used, prefix.total_characters, len(real),
                  _first_split(real, vocabulary))


def _first_split(real: Sequence[int], vocabulary: CompactVocabulary) -> Split | None:
    spelt = ((token, vocabulary.from_o200k([token])) for token in real)
    return next((Split(token_label(token), tuple(map(vocabulary.label, pieces)))
                 for token, pieces in spelt if len(pieces) > 1), None)


def example_tokens(study: Study) -> Tokens:
    """The first example of a study's preset in its live tokens: what is measured where no reader's text counts."""
    return live_tokens(first_example(study.preset).text, study.vocabulary, special=False)


def _start(offered: Mapping[str, Starter]) -> None:
    chosen = offered.get(st.session_state[_STARTER])
    if chosen and chosen.label != st.session_state[_SHOWN]:
        set_text(chosen.text)


def _load_sample() -> None:
    name = st.session_state["sample"]
    if name != OWN_TEXT:
        set_text(_BY_NAME[name].text)


def _name_own_text() -> None:
    st.session_state["sample"] = sample_of(current_text())
