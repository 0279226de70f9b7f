"""Merges step by step end where tiktoken does, for any text, and never cross a pre-token's border."""

import random

import pytest
import regex
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss.tokenizer import ENCODING_NAMES, SAMPLES, encode_text, get_encoding, token_bytes
from gptoss.tokenizer.merges import merges, neighbours, pre_tokens, tokens_after

PIECES = [" ", "  ", "\n", "\r\n", "\t", "\u00a0", "'s", "'LL", "’", "ſ", "Word", "word", "WORD", "1234567", "²", "...",
          "/\n", "नमस्ते", "مرحبا", "你好", "👩‍🚀", "\u0301", "\u202e", "<b>", "\x00", "<|end|>", "ǅ", "ʰ"]  # fmt: skip
awkward_text = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=20),
    st.text(st.sampled_from("ab' \n1É."), max_size=20),
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
)


def merged(text, encoding="o200k_harmony"):
    """The tokens of a text by this module's merges alone."""
    pieces = [piece.encode() for piece in pre_tokens(text, encoding)]
    return [token for piece in pieces for token in tokens_after(piece, merges(piece, encoding))]


def by_tiktoken(text, encoding="o200k_harmony"):
    return [token_bytes(token, encoding) for token in encode_text(text, encoding)]


@settings(max_examples=500)  # 10,000 at night
@given(st.text(max_size=16))
def test_merges_end_in_tiktokens_tokens_for_any_string(text):
    assert merged(text) == by_tiktoken(text)


@settings(max_examples=100)
@given(awkward_text, st.sampled_from(ENCODING_NAMES))
def test_merges_end_in_tiktokens_tokens_where_the_pattern_has_its_corners(text, encoding):
    assert merged(text, encoding) == by_tiktoken(text, encoding)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
@pytest.mark.parametrize("encoding", ENCODING_NAMES)
def test_pre_tokens_are_those_of_the_pattern(sample, encoding):
    assert pre_tokens(sample.text, encoding) == regex.findall(get_encoding(encoding)._pat_str, sample.text)


def test_pre_tokens_of_a_known_text():
    assert pre_tokens("I'll pay 12345 USD.\n\n  ok") == ["I'll", " pay", " ", "123", "45", " USD", ".\n\n", " ", " ok"]
    assert pre_tokens("") == [] and pre_tokens("\ud800") == ["\ufffd"]


def test_strawberry_is_built_in_seven_merges():
    made = merges(b"strawberry")
    assert [b"strawberry"[merge.start:merge.end] for merge in made] == [b"er", b"st", b"ra", b"ber", b"ry", b"raw", b"berry"]
    assert tokens_after(b"strawberry", made) == [b"st", b"raw", b"berry"]
    assert tokens_after(b"strawberry", made[:2]) == [b"st", b"r", b"a", b"w", b"b", b"er", b"r", b"y"]
    assert tokens_after(b" strawberry", merges(b" strawberry")) == [b" strawberry"]
    assert tokens_after(b"ab", []) == [b"a", b"b"] and tokens_after(b"", merges(b"")) == []


@pytest.mark.parametrize("word", [" strawberry", "नमस्ते", "aaaaaaaaaaaaaaaaa", "Donaudampfschifffahrt"])
def test_every_step_merges_the_lowest_pair_and_the_leftmost_of_equals(word):
    data = word.encode()
    made = merges(data)
    for step, merge in enumerate(made):
        tokens = tokens_after(data, made[:step])
        pairs = neighbours(tokens)
        ranked = [(pair.rank, place) for place, pair in enumerate(pairs) if pair.rank is not None]
        rank, place = min(ranked)
        assert merge.rank == rank == encode_single(pairs[place].left + pairs[place].right)
        assert (merge.start, merge.middle) == (len(b"".join(tokens[:place])), len(b"".join(tokens[:place + 1])))
        assert tokens_after(data, made[:step + 1]) == [*tokens[:place], data[merge.start:merge.end], *tokens[place + 2:]]
    assert all(pair.rank is None for pair in neighbours(tokens_after(data, made)))


def encode_single(token):
    return get_encoding().encode_single_token(token)


@pytest.mark.parametrize("encoding", ENCODING_NAMES)
def test_every_token_is_reached_by_merges_of_lower_ranks(encoding):
    """So the shortcut that tiktoken takes for a pre-token that is a token changes nothing."""
    ranks = get_encoding(encoding)._mergeable_ranks
    for token in random.Random(0).sample(sorted(ranks), 5_000):
        made = merges(token, encoding)
        assert tokens_after(token, made) == [token]
        assert [merge.rank for merge in made] == sorted(merge.rank for merge in made)
        assert not made or made[-1].rank == ranks[token]


@pytest.mark.parametrize("text", ["a" * 5_000, "🙂" * 1_000, " \n" * 2_000, "ab" * 2_000, "注意" * 1_000])
def test_a_long_unbroken_run(text):
    assert merged(text) == by_tiktoken(text)


def test_characters_that_unicode_versions_class_differently_are_cut_as_tiktoken_cuts_them():
    """Two letters of which an engine with other tables may know none: what counts is tiktoken's own."""
    for code in (0x88F, 0x16EA0, 0x11DE0, 0x1ACF, 0xA7CE, 0x295, 0x1E5D0):
        text = f"a{chr(code)}b{chr(code)}1 {chr(code)}{chr(code)}"
        assert merged(text) == by_tiktoken(text) and "".join(pre_tokens(text)) == text


def test_a_name_that_is_not_there():
    with pytest.raises(ValueError, match="o200k_harmony"):
        pre_tokens("a", "cl100k_base")
    with pytest.raises(ValueError, match="o200k_harmony"):
        merges(b"a", "cl100k_base")


def test_no_merge_crosses_the_border_of_a_pre_token():
    """Not even in a tokenizer that has the token: one merge across the border, and the real pattern."""
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"a ": 256}
    tokenizer = tiktoken.Encoding("border", pat_str=get_encoding()._pat_str, mergeable_ranks=ranks, special_tokens={})
    assert tokenizer.encode("a b") == [97, 32, 98] and pre_tokens("a b") == ["a", " b"]
