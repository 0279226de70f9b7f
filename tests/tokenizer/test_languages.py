"""One story in many languages: that it is there, and what the two tokenizers and the cuts make of it."""

import ast
import functools

import pytest

from gptoss.tokenizer import encode_text
from gptoss.tokenizer.languages import LANGUAGES, NOTEBOOK_ESTIMATES, language_counts
from gptoss.tokenizer.merges import cut_encoding

cut_tokenizer = functools.cache(cut_encoding)


def test_at_least_ten_languages_and_code_tell_the_same_story():
    assert len({language.name for language in LANGUAGES}) == len({language.text for language in LANGUAGES}) == len(LANGUAGES)
    assert len(LANGUAGES) >= 11 and LANGUAGES[0].name == "English" and LANGUAGES[-1].name == "Python"
    assert isinstance(ast.parse(LANGUAGES[-1].text).body[0], ast.FunctionDef)


@pytest.mark.parametrize("language", LANGUAGES[:-1], ids=lambda language: language.name)
def test_every_language_tells_it_in_the_same_sentences(language):
    ends = {"Hindi": "।", "Bengali": "।", "Chinese": "。", "Japanese": "。", "Thai": " "}.get(language.name, ".")
    # Japanese makes two sentences of the second; Thai has no full stops, and a space after every clause.
    expected = {"Japanese": 4, "Thai": 5}.get(language.name, 3)
    assert language.text.count(ends) == expected
    assert "\n" not in language.text and language.text == language.text.strip()


@pytest.mark.parametrize("row", language_counts().itertuples(), ids=lambda row: row.language)
def test_counts_are_tiktokens(row):
    text = next(language.text for language in LANGUAGES if language.name == row.language)
    assert row.characters == len(text)
    assert (row.o200k, row.gpt2) == (len(encode_text(text)), len(encode_text(text, "gpt2")))
    assert row.first_32000 == len(cut_tokenizer(32_000).encode_ordinary(text))
    assert row.first_50257 == len(cut_tokenizer(50_257).encode_ordinary(text))
    assert row.o200k <= row.first_50257 <= row.first_32000


def test_size_explains_less_than_the_training_text():
    """The finding that the page shows: GPT-2 is as large as the second cut and needs far more for most scripts."""
    counts = language_counts().set_index("language")
    gpt2, same_size = counts["gpt2"] / counts["o200k"], counts["first_50257"] / counts["o200k"]
    assert gpt2["English"] == 1.0 and gpt2["Bengali"] > 5 and gpt2.median() > 2
    assert same_size.max() < 1.6 and same_size.median() < NOTEBOOK_ESTIMATES[50_257] < gpt2.median()
    assert (counts["first_32000"] / counts["o200k"]).median() < NOTEBOOK_ESTIMATES[32_000]
