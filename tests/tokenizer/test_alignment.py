"""Two tokenizations side by side: pieces as short as can be, and nothing lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss.tokenizer import ENCODING_NAMES, encode_text, token_bytes
from gptoss.tokenizer.alignment import common_pieces


def cut(data, borders):
    places = [0, *sorted({border for border in borders if 0 < border < len(data)}), len(data)]
    return [data[start:end] for start, end in zip(places, places[1:], strict=False) if start < end]


@given(st.binary(max_size=30), st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_pieces_are_the_shortest_with_common_borders(data, left_borders, right_borders):
    left, right = cut(data, left_borders), cut(data, right_borders)
    pieces = [(left[ours], right[theirs]) for ours, theirs in common_pieces(left, right)]
    assert all(b"".join(ours) == b"".join(theirs) for ours, theirs in pieces)
    assert [part for ours, _ in pieces for part in ours] == left
    assert [part for _, theirs in pieces for part in theirs] == right
    common = {border for border in left_borders & right_borders if 0 < border < len(data)}
    assert len(pieces) == len(common) + bool(data)


def test_english_and_hindi_in_both_vocabularies():
    def pieces(text):
        ours, theirs = ([token_bytes(token, name) for token in encode_text(text, name)] for name in ENCODING_NAMES)
        return [(len(ours[left]), len(theirs[right])) for left, right in common_pieces(ours, theirs)]

    assert pieces("Attention is") == [(1, 2), (1, 1)]
    assert pieces("नमस्ते") == [(1, 2), (1, 2), (1, 6), (1, 2)]


def test_a_beginning_ends_with_the_last_common_border():
    assert list(common_pieces([b"ab", b"c"], [b"a", b"b"])) == [(slice(0, 1), slice(0, 2))]
    assert list(common_pieces([b"ab"], [b"a"])) == list(common_pieces([], [b"a"])) == list(common_pieces([], [])) == []


def test_different_texts_are_refused():
    with pytest.raises(ValueError, match="different"):
        list(common_pieces([b"ab"], [b"ac"]))
