"""GPT-2's vocabulary cut short: nothing is lost, whole it is GPT-2's own, and cuts stop merging where they should."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss.tokenizer import SAMPLES, clean_text, encode_text
from gptoss.tokenizer.compact_gpt2 import GPT2_SIZE, CompactGPT2, compact_gpt2
from gptoss.tokenizer.merges import CutVocabulary

TEXTS = ["", "a", " strawberry", "<|endoftext|>", "\ud800 x", "नमस्ते 😀", *(sample.text for sample in SAMPLES)]


@settings(max_examples=30)
@given(st.sampled_from([256, 1023, GPT2_SIZE]), st.text(st.characters(exclude_categories=()), max_size=60))
def test_nothing_is_lost(size, text):
    vocabulary = compact_gpt2(size)
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == clean_text(text)
    assert all(0 <= i < size for i in ids)


@pytest.mark.parametrize("text", TEXTS)
def test_the_whole_vocabulary_is_gpt2s_own_and_a_cut_makes_the_merges_of_its_ranks(text):
    assert compact_gpt2(GPT2_SIZE).encode(text) == encode_text(text, "gpt2")
    for size in (256, 511, 1023, 5000):
        assert len(compact_gpt2(size).encode(text)) == CutVocabulary(text, "gpt2").tokens(size)


def test_a_prefix_is_the_beginning():
    text = SAMPLES[0].text
    vocabulary = compact_gpt2(1023)
    ids = vocabulary.encode(text)
    for count in (0, 1, 7, len(ids), len(ids) + 5):
        prefix = vocabulary.encode_prefix(text, count)
        assert prefix.ids == ids[:count] and prefix.total_characters == len(text)
        assert vocabulary.decode(prefix.ids).startswith(text[:prefix.characters_used])


def test_every_id_has_a_label_and_others_are_refused():
    vocabulary = compact_gpt2(GPT2_SIZE)
    assert vocabulary.label(GPT2_SIZE - 1) == "<|endoftext|>"
    assert len({compact_gpt2(600).token_bytes(i) for i in range(600)}) == 600
    for index in (-1, 600):
        with pytest.raises(ValueError, match="0 to 599"):
            compact_gpt2(600).token_bytes(index)
    for size in (255, GPT2_SIZE + 1):
        with pytest.raises(ValueError, match="256"):
            CompactGPT2(size)
