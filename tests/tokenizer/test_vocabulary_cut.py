"""A vocabulary cut off after its first ranks, against tiktoken built from those ranks."""

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss.tokenizer import SAMPLES, encode_text, get_encoding
from gptoss.tokenizer.languages import LANGUAGES
from gptoss.tokenizer.merges import CutVocabulary, cut_encoding

CUTS = (256, 300, 1_000, 32_000, 50_257, 100_000)
TEXTS = [sample.text for sample in SAMPLES] + [sample.text for sample in LANGUAGES]

cut_tokenizer = functools.cache(cut_encoding)


@pytest.mark.parametrize("size", CUTS)
def test_counts_are_those_of_a_tokenizer_with_these_ranks_alone(size):
    for text in TEXTS:
        assert CutVocabulary(text).tokens(size) == len(cut_tokenizer(size).encode_ordinary(text))


@settings(max_examples=30)
@given(st.text(max_size=40), st.sampled_from(CUTS))
def test_counts_of_random_texts(text, size):
    assert CutVocabulary(text).tokens(size) == len(cut_tokenizer(size).encode_ordinary(text))


@settings(max_examples=30)
@given(st.text(st.sampled_from("ab \n'sA1é注"), max_size=60))
def test_the_whole_vocabulary_gives_tiktokens_number_of_tokens_and_the_smallest_gives_the_bytes(text):
    cut = CutVocabulary(text)
    assert cut.tokens(201_088) == cut.tokens(get_encoding().n_vocab - 1_090) == len(encode_text(text))
    assert cut.tokens(256) == cut.bytes == len(text.encode())
    counts = [cut.tokens(size) for size in CUTS]
    assert counts == sorted(counts, reverse=True)


def test_a_token_counts_from_the_size_that_holds_its_rank():
    rank = get_encoding().encode_single_token(" strawberry")
    assert CutVocabulary(" strawberry").tokens(rank + 1) == 1
    assert CutVocabulary(" strawberry").tokens(rank) == 2


def test_gpt2s_ranks_can_be_cut_too():
    assert CutVocabulary("strawberry", "gpt2").tokens(50_257) == len(encode_text("strawberry", "gpt2"))


@pytest.mark.parametrize("size", [255, 0, -1])
def test_bytes_are_never_cut_off(size):
    with pytest.raises(ValueError, match="256"):
        CutVocabulary("a").tokens(size)
    with pytest.raises(ValueError, match="256"):
        cut_encoding(size)
