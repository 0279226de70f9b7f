"""What the page reads off a text: tiktoken's own tokens, merge by merge, and by size of the vocabulary."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import count_parameters, forward_flops
from gptoss.lessons.tokenizer.measure import MAX_BYTES, SIZES, build, cut_text, reading, vocabulary_tradeoff
from gptoss.tokenizer import SAMPLES, clean_text, encode_text
from gptoss.tokenizer.merges import CutVocabulary, merges, tokens_after
from gptoss.tokenizer.text import spelt_bytes


@settings(max_examples=300)
@given(st.text(st.characters(exclude_categories=()), max_size=40), st.booleans())
def test_readings_are_tiktokens_token_for_token(text, special):
    text = cut_text(text)
    read = reading.__wrapped__(text, special)
    ours, theirs = encode_text(text, special=special), encode_text(text, "gpt2", special)
    assert [token.id for left, _ in read.pieces for token in left] == ours and read.o200k == read.shown == len(ours)
    assert [token.id for _, right in read.pieces for token in right] == theirs and read.gpt2 == len(theirs)
    assert b"".join(token.data for left, _ in read.pieces for token in left) == clean_text(text).encode()


@given(st.text(max_size=30))
@settings(max_examples=60)
def test_what_is_drawn_of_a_word_is_how_its_merges_go(word):
    data, built = word.encode(), build.__wrapped__(word)
    made = merges(data)
    drawn = [place for place, merge in enumerate(made) if merge.start < MAX_BYTES]
    assert list(built.merges) == [made[place] for place in drawn]
    for (tokens, ranks), done in zip(built.states, [0, *(place + 1 for place in drawn)], strict=True):
        whole, start = tokens_after(data, made[:done]), 0
        assert len(ranks) == max(len(tokens) - 1, 0)
        for token in tokens:
            assert token == whole[0] and start < MAX_BYTES
            start += len(whole.pop(0))
        assert start >= min(len(data), MAX_BYTES)


def test_bytes_are_hexadecimal_and_long_ones_are_cut():
    assert spelt_bytes(b" st") == "20 73 74" and spelt_bytes(b"") == ""
    assert spelt_bytes(bytes(range(9)), 8) == "00 01 02 03 04 05 06 07 …"
    assert spelt_bytes(bytes(range(9)), 9).endswith("08")


@pytest.mark.parametrize("preset", PRESETS)
def test_the_tradeoff_agrees_with_the_closed_forms_at_every_size(preset):
    config, cut = ModelConfig.preset(preset), CutVocabulary(SAMPLES[0].text)
    frame = vocabulary_tradeoff(cut, config)
    assert list(frame["size"]) == sorted(frame["size"]) and set(SIZES) <= set(frame["size"])
    assert frame["size"].min() == 256 and frame["size"].max() == 201_088 and len(frame) < 100
    for row in frame.itertuples():
        assert row.tokens == cut.tokens(row.size)
        assert row.embedding == row.unembedding == row.size * config.hidden_size
        assert row.total == count_parameters(config).total + 2 * (row.size - config.vocab_size) * config.hidden_size
        assert row.flops == forward_flops(config.replace(vocab_size=row.size), row.tokens).needed_total


def test_the_real_size_is_the_real_models():
    frame = vocabulary_tradeoff(CutVocabulary("a"), ModelConfig.preset("gpt-oss-120b"))
    real = frame[frame["size"] == 201_088].iloc[0]
    assert round((real["embedding"] + real["unembedding"]) / 1e9, 2) == 1.16 and round(real["total"] / 1e9, 2) == 116.83


def test_no_text_costs_nothing():
    frame = vocabulary_tradeoff(CutVocabulary(""), ModelConfig.preset("classroom"))
    assert (frame["tokens"] == 0).all() and (frame["flops"] == 0).all()
