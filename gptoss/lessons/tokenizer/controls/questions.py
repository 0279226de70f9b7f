"""What the tokenizer page asks, one question under each view: nothing that the view shows."""

from __future__ import annotations

import math
from functools import partial

from gptoss import units
from gptoss.app.lesson import Prediction
from gptoss.app.study import Study
from gptoss.cost import count_parameters
from gptoss.lessons.tokenizer.controls.words import CONVERSATION, LANGUAGE, MERGES, SEARCH, SIZES, TOKENS
from gptoss.tokenizer import encode_text, token_label
from gptoss.tokenizer.compact import O200K_SIZE
from gptoss.tokenizer.merges import merges
from gptoss.tokenizer.search import search_vocabulary

STRAWBERRY = "strawberry"
DEVANAGARI = "न"
LETTERS = "dog"
CLOSING = "<|end|>"
ABOUT = {"1": 1, "about 20": 20, "about 500": 500, "about 5,000": 5000}


def question(study: Study, view: str) -> Prediction:
    """What is asked under a view: nothing that it shows."""
    return {TOKENS: _of_tokens, MERGES: _of_merges, LANGUAGE: _of_languages, SIZES: partial(_of_sizes, study),
            CONVERSATION: _of_conversations, SEARCH: _of_search}[view]()


def _of_tokens() -> Prediction:
    alone = " ".join(f"“{token_label(token)}”" for token in encode_text(STRAWBERRY))
    return Prediction(
        f"How many tokens does “{STRAWBERRY}” make alone, and how many after a space, as “␣{STRAWBERRY}”?", view=TOKENS,
        answer=lambda: f"{len(encode_text(STRAWBERRY))} and {len(encode_text(' ' + STRAWBERRY))}",
        because=lambda _: f"Alone it is {alone}. After a space it is one token, because in running text words follow a "
                          "space: that form was frequent enough to be learned whole.",
        choices=("1 and 1", "1 and 2", "3 and 1", "3 and 4", "10 and 11"),
        mistakes={"1 and 1": "Not every word is a token of its own: pieces were chosen by how often they come.",
                  "1 and 2": "The space is no token of its own: it belongs to the word behind it.",
                  "3 and 4": "The space is no token of its own: it belongs to the word behind it, and makes another piece.",
                  "10 and 11": "Those are its letters. A letter is a token only where no longer piece was learned."})


def _of_merges() -> Prediction:
    size, tokens = len(STRAWBERRY.encode()), len(encode_text(STRAWBERRY))
    return Prediction(
        f"“{STRAWBERRY}” has {size} bytes and ends as {tokens} tokens. How many merges were made?", view=MERGES,
        answer=lambda: str(len(merges(STRAWBERRY.encode()))), choices=("3", "7", "9", "10"),
        because=lambda made: f"Each merge makes one piece of two, so that one piece is gone: {size} − {made} = {tokens}.",
        mistakes={"3": "That is how many pieces are left, not how many joints were closed.",
                  "9": "After nine merges ten bytes would be a single token.",
                  "10": "A merge takes two neighbours, so that there are fewer merges than bytes."})


def _of_languages() -> Prediction:
    size = len(DEVANAGARI.encode())
    return Prediction(
        f"The Hindi letter {DEVANAGARI} has {size} bytes. How many tokens of GPT-2 does it take?", view=LANGUAGE,
        answer=lambda: str(len(encode_text(DEVANAGARI, "gpt2"))), choices=("1", "2", "3"),
        because=lambda _: "GPT-2 learned its pieces from English web pages: of this letter it has the first two bytes, "
                          f"which many Hindi letters share, as one piece. o200k has the whole letter: "
                          f"{units.plural(len(encode_text(DEVANAGARI)), 'token')}.",
        mistakes={"1": "That is so in o200k. GPT-2 saw too little Hindi to learn the letter.",
                  "3": "That many bytes it has. Even GPT-2 learned which bytes often stand together."})


def _of_sizes(study: Study) -> Prediction:
    parts = count_parameters(study.config)
    rest = parts.active - parts.unembedding
    return Prediction(
        f"What share of the parameters that one token passes through in {study.name} is the unembedding?", view=SIZES,
        answer=lambda: 100 * parts.unembedding / parts.active, unit="%", tolerance=0.1, show=partial(units.number, digits=3),
        because=lambda _: f"It has {units.count(parts.unembedding)} parameters, and every token that is written goes "
                          f"through all of them; of the rest a token uses {units.count(rest)}. So a larger "
                          "vocabulary costs more than its share of all weights says.",
        mistakes=[(lambda: 100 * parts.unembedding / parts.total, "That is its share of all parameters, most of which are "
                   "experts that this token does not use."),
                  (lambda: 100 * (parts.unembedding + parts.embedding) / parts.active, "That counts the embedding too, of "
                   "which a token reads a single row."),
                  (lambda: 100 * (parts.unembedding + parts.embedding) / parts.total, "That is the share of both ends of "
                   "all parameters; a token uses few of the experts, and of the embedding one row.")])


def _of_conversations() -> Prediction:
    typed, token, out = ("Ordinary tokens that spell it", "The special token, which ends the message",
                         "Nothing: it is taken out")
    return Prediction(
        f"Somebody types `{CLOSING}` into the box of a chat. What does the model read?", view=CONVERSATION,
        answer=lambda: token if len(encode_text(CLOSING)) == 1 else typed, choices=(token, typed, out),
        because=lambda _: f"A person's text is encoded by itself: it becomes {len(encode_text(CLOSING))} tokens that spell "
                          "the word and close nothing. Only the program that writes the format can put the special token "
                          "there.",
        mistakes={token: "Then anybody could speak in the system's name.",
                  out: "The model may well talk about it, as this page does."})


def _of_search() -> Prediction:
    def found() -> int:
        return search_vocabulary(LETTERS).total

    return Prediction(
        f"How many of the {O200K_SIZE:,} tokens hold the letters “{LETTERS}”?", view=SEARCH,
        answer=lambda: min(ABOUT, key=lambda words: abs(math.log(ABOUT[words] / found()))), choices=[*ABOUT],
        because=lambda _: f"There are exactly {found()}: the word with and without a space, in capitals, in the plural, "
                          "and inside of "
                          "other words. Search for it.",
        mistakes={"1": "With a space, in capitals and in the plural it is another token each time.",
                  "about 500": "Most words that hold it are rare, and rare words have no token of their own.",
                  "about 5,000": "Most words that hold it are rare, and rare words have no token of their own."})
