"""The words of the app: each explained in two sentences, with one number of the model under study.

A page links a word where it first uses it, as `word("nat")` in any Markdown. The link opens the word in place (words.js);
where no script runs, it leads to the word in the drawer below the page. No Streamlit here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from gptoss.app.accounts import figures
from gptoss.app.study import Study
from gptoss.units import count, number, plural, size


class Word(NamedTuple):
    """One word: its explanation, the page that shows it, and a sentence with a number, made from the model under study."""

    says: str
    page: str
    live: Callable[[Study], str]


WORDS: dict[str, Word] = {
    "token": Word(
        "A piece of text that the model reads or writes as one: a word, a part of one, or a sign. Each is known by its id, "
        "its place in the vocabulary.", "tokenizer",
        lambda study: f"The vocabulary of {study.name} has {plural(study.config.vocab_size, 'token')}."),
    "residual stream": Word(
        "The row of numbers that the model keeps for each token, from the first layer to the last. Every part reads it and "
        "adds to it; nothing is overwritten.", "block",
        lambda study: f"In {study.name} it is {study.config.hidden_size:,} numbers wide, and "
                      f"{2 * study.config.num_hidden_layers} half blocks add to it."),
    "head": Word(
        "One of several attentions that run side by side in a layer, each with matrices of its own. So each can look for "
        "something else.", "attention",
        lambda study: f"{study.name} has {plural(study.config.num_attention_heads, 'query head')} in each of "
                      f"{plural(study.config.num_hidden_layers, 'layer')}."),
    "KV cache": Word(
        "The keys and values of all tokens so far, kept so that the next token need not compute them again. It grows with "
        "the text, which is why long texts need memory.", "memory",
        lambda study: f"At {study.context:,} tokens that of {study.name} takes "
                      f"{size(figures(study.config, study.context)['kv_cache'])}."),
    "active parameters": Word(
        "The weights that one token passes through. In a mixture of experts they are few of all, because each token uses "
        "few of the experts.", "experts",
        lambda study: f"{study.name}: {count(figures(study.config, study.context)['active'])} of "
                      f"{count(figures(study.config, study.context)['total'])}."),
    "nat": Word(
        "The unit of surprise: a token that was given the probability p costs minus ln p nats. One nat is what a guess "
        "among 2.72 equally likely tokens costs.", "training",
        lambda study: f"An even guess among the {study.config.vocab_size:,} tokens of {study.name} costs "
                      f"{number(math.log(study.config.vocab_size))} nats."),
}


def word(name: str, shown: str = "") -> str:
    """A link in Markdown that opens a word in place: `word("nat", "nats")`. KeyError where the glossary has no such word."""
    return f"[{shown or name}](#{anchor(name)})"


def anchor(name: str) -> str:
    """The id of a word in the page: `word-kv-cache`. KeyError where the glossary has no such word."""
    return _ANCHORS[name]


def live(study: Study, anchors: str) -> dict[str, str]:
    """The sentences with numbers of the words at `anchors`, one of them or `ALL`, by anchor. Others are passed over."""
    return {at: WORDS[name].live(study) for name, at in _ANCHORS.items() if anchors in (at, ALL)}


ALL = "all"
_ANCHORS = {name: f"word-{name.lower().replace(' ', '-')}" for name in WORDS}
