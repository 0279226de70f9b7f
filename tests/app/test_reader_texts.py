"""The reader's text: in the address and back, and as the live model's tokens."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss.app.served import MAX_LIVE_TOKENS
from gptoss.app.text import (
    LONGEST_IN_ADDRESS,
    OWN_TEXT,
    live_tokens,
    sample_of,
    text_from_query,
    text_to_query,
    vocabulary_labels,
)
from gptoss.charts import token_chips
from gptoss.tokenizer import DEFAULT_SAMPLE, SAMPLES, STORIES, compact_vocabulary, get_encoding

NASTY = {
    "emoji": "👩‍🚀🏳️‍🌈🙂" * 5, "right to left": "שלום עולם مرحبا بالعالم \u202eabc",
    "script": "<script>alert(1)</script>",
    "image": '<img src=x onerror="alert(1)">', "control": "a\x00b\x07c\x1b[31md\x7f\u200b\ufeff",
    "tabs": "a\tb\n\n\nc   d ",
    "special": "<|start|>system<|message|>hi<|end|>", "reserved": "<|reserved_200100|><|endofprompt|>",
    "half special": "<|start|", "quotes": "'\"&amp;`$x$`**b**", "zalgo": "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢",
}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_an_example_stands_in_the_address_by_name(sample):
    for preset, first in (("classroom", DEFAULT_SAMPLE), ("storyteller", STORIES[0])):
        query = text_to_query(sample.text, preset)
        assert query == ({} if sample is first else {"sample": sample.name})
        assert text_from_query(query, preset) == (sample.text, [])
    assert sample_of(sample.text) == sample.name


@given(st.text(max_size=LONGEST_IN_ADDRESS))
def test_an_own_text_comes_back_from_the_address(text):
    assert text_from_query(text_to_query(text, "classroom"), "classroom") == (text, [])
    assert sample_of(text) == OWN_TEXT


def test_an_empty_text_is_an_own_text_too():
    assert text_to_query("", "classroom") == {"text": ""}
    assert text_from_query({"text": ""}, "classroom") == ("", [])


@pytest.mark.parametrize("name", ["", "nothing", "🙂", "Attention", "x" * 10_000])
def test_an_example_that_there_is_not_falls_back_with_a_sentence(name):
    text, problems = text_from_query({"sample": name}, "classroom")
    assert text == DEFAULT_SAMPLE.text
    assert len(problems) == 1 and problems[0].endswith(".")


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_tokens_spell_the_text_that_was_typed(text):
    tokens = live_tokens(text, compact_vocabulary(4096), False)
    vocabulary = compact_vocabulary(4096)
    assert vocabulary.decode(tokens.ids) == text
    assert len(tokens) == len(tokens.ids) == len(tokens.o200k) == len(tokens.labels) > 0
    assert tokens.characters_used == tokens.characters == len(text)
    assert get_encoding("o200k_harmony").decode(list(tokens.o200k)) == text


def test_no_text_is_no_tokens():
    tokens = live_tokens("", compact_vocabulary(4096), False)
    assert len(tokens) == 0 and tokens.characters == 0


def test_a_persons_special_spelling_is_ordinary_text_unless_asked():
    text = "<|start|>user<|message|>Hello<|end|>"
    plain, special = live_tokens(text, compact_vocabulary(4096), False), live_tokens(text, compact_vocabulary(4096), True)
    start, message, end = 200006, 200008, 200007
    assert not {start, message, end} & set(plain.o200k)
    assert [i for i in special.o200k if i in (start, message, end)] == [start, message, end]
    assert special.o200k[0] == start and special.o200k[-1] == end
    assert len(special) < len(plain)


@pytest.mark.parametrize("text", ["word " * 3000, "a" * 1_000_000, "🙂" * 300_000, "\n" * 100_000, "שלום " * 20_000],
                         ids=["words", "one letter", "emoji", "line ends", "Hebrew"])
def test_a_long_text_is_cut_and_says_how_much_ran(text):
    tokens = live_tokens(text, compact_vocabulary(2048), False)
    assert len(tokens) == MAX_LIVE_TOKENS == 512
    assert 0 < tokens.characters_used < tokens.characters == len(text)
    spelt = compact_vocabulary(2048).decode(tokens.ids)
    assert spelt[: tokens.characters_used] == text[: tokens.characters_used]


def test_exactly_the_limit_is_not_cut():
    tokens = live_tokens(" the" * MAX_LIVE_TOKENS, compact_vocabulary(4096), False)
    assert len(tokens) == MAX_LIVE_TOKENS and tokens.characters_used == tokens.characters
    longer = live_tokens(" the" * (MAX_LIVE_TOKENS + 1), compact_vocabulary(4096), False)
    assert len(longer) == MAX_LIVE_TOKENS and longer.characters_used == len(" the") * MAX_LIVE_TOKENS


@pytest.mark.parametrize("size", [512, 1024, 2048, 4096, 5000, 8192])
def test_every_token_of_a_live_vocabulary_has_a_label_that_shows(size):
    labels = vocabulary_labels(compact_vocabulary(size))
    assert len(labels) == size
    assert all(label and label.isprintable() for label in labels)


@given(st.text(max_size=80))
def test_chips_show_any_text_as_text(text):
    tokens = live_tokens(text, compact_vocabulary(1024), False)
    chips = token_chips(tokens.labels, tokens.o200k)
    body = chips.split("</style>", 1)[1]
    assert set(re.findall(r"</?([a-zA-Z!][^\s>/]*)", body)) <= {"div", "span", "small"}
    shown = [html.unescape(label) for label in re.findall(r'<span[^>]*>(.*?)<small>', body, re.DOTALL)]
    assert shown == list(tokens.labels)


@pytest.mark.parametrize("label", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "<small>"])
def test_a_label_that_is_a_whole_tag_stays_text(label):
    chips = token_chips([label], [1])
    assert chips.count(label) == (label == "<small>") and html.escape(label) in chips
