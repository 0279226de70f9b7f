"""Encoding whatever a person may paste."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss.tokenizer import (
    ENCODING_NAMES,
    SAMPLES,
    STORIES,
    clean_text,
    encode_prefix,
    encode_text,
    get_encoding,
    printable,
    token_bytes,
    token_label,
    token_spans,
)
from gptoss.tokenizer.text import LONGEST_TOKEN_BYTES

PIECES = [
    " ", "  ", "\n", "\t", "\r\n", "\x00", "\x1b", "'s", "'LL ", "word", "Word", "WORD", "9", "2024", "…", ".", "/", "—",
    "你好", "。", "हिन्दी", "مرحبا", "\u202e", "\u0301", "😀", "👩‍👩‍👧", "\ud83d", "\ude00", "\u00a0", "\u2028", "<|end|>",
    "<|reserved_200018|>", "<|endofprompt|>", "<|start", "|>",
]  # fmt: skip
any_text = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=60),
    st.lists(st.sampled_from(PIECES), max_size=60).map("".join),
)
encodings = st.sampled_from(ENCODING_NAMES)
few = settings(max_examples=40)

MILLION = {
    "prose": "The attention of a head is where it looks. " * 23_000,
    "letters": "a" * 1_000_000,
    "capitals": "A" * 1_000_000,
    "emoji": "😀" * 250_000,
    "ideographs": "注意力机制" * 200_000,
    "spaces": " " * 1_100_000,
    "no-break spaces": "\u00a0" * 1_000_000,
    "newlines": "\n" * 1_000_000,
    "marks": "a" + "\u0301" * 1_000_000,
    "digits": "1" * 1_000_000,
    "lone surrogates": "\ud800" * 200_000,
    "special": "<|end|>" * 140_000,
}


@few
@given(any_text, encodings, st.booleans())
def test_any_string_round_trips(text, encoding, special):
    ids = encode_text(text, encoding, special)
    spelt = get_encoding(encoding).decode(ids, errors="strict")
    expected = clean_text(text)
    if special and encoding == "o200k_harmony":
        expected = expected.replace("<|reserved_200018|>", "<|endofprompt|>")
    assert spelt == expected


@few
@given(any_text, encodings)
def test_special_tokens_only_when_asked(text, encoding):
    tokenizer = get_encoding(encoding)
    assert not any(map(tokenizer.is_special_token, encode_text(text, encoding)))


def test_known_texts_have_their_known_tokens():
    assert len(encode_text("strawberry")) == 3 and len(encode_text(" strawberry")) == 1
    assert encode_text("<|end|>", special=True) == [200007]
    assert encode_text("<|endofprompt|><|reserved_200018|>", special=True) == [200018, 200018]
    assert encode_text("<|endoftext|>", "gpt2", special=True) == [50256]
    assert encode_text("a\ud800b\ud83d\ude00") == encode_text("a\ufffdb😀")
    assert encode_text("") == []


@few
@given(any_text, encodings, st.booleans(), st.integers(0, 80))
def test_prefix_equals_the_full_encoding(text, encoding, special, max_tokens):
    full = encode_text(text, encoding, special)
    ids, used, total = encode_prefix(text, max_tokens, special, encoding)
    assert ids == full[:max_tokens]
    assert total == len(clean_text(text))
    assert (used == total) == (len(ids) == len(full))
    pieces = token_spans(text, full, encoding)
    assert used == min((start for start, _ in pieces[max_tokens:]), default=total)


@few
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=12).map("".join), encodings, st.booleans())
def test_prefix_of_a_long_text_equals_the_full_encoding(text, encoding, special):
    long = text * (6_000 // len(text))
    assert encode_prefix(long, 30, special, encoding).ids == encode_text(long, encoding, special)[:30]


@pytest.mark.parametrize("name", MILLION)
@pytest.mark.parametrize("encoding", ENCODING_NAMES)
def test_the_beginning_of_a_million_characters_is_encoded(name, encoding):
    text = clean_text(MILLION[name])
    ids, used, total = encode_prefix(MILLION[name], 512, True, encoding)
    assert len(ids) == 512 and total == len(text)
    assert get_encoding(encoding).decode_bytes(ids).startswith(text[:used].encode())


@pytest.mark.parametrize("name", ["spaces", "no-break spaces"])
def test_white_space_that_tiktoken_gives_up_on(name):
    text = "start" + MILLION[name] + "<|end|>"
    tokenizer = get_encoding()
    with pytest.raises(ValueError, match="[Rr]egex"):
        tokenizer.encode(text, disallowed_special=())
    ids = encode_text(text, special=True)
    assert tokenizer.decode(ids) == text and ids[-1] == 200007


def test_a_negative_length_is_refused():
    with pytest.raises(ValueError, match="max_tokens"):
        encode_prefix("text", -1)


@pytest.mark.parametrize("encoding", ENCODING_NAMES)
def test_no_token_is_longer_than_assumed(encoding):
    assert max(map(len, get_encoding(encoding).token_byte_values())) == LONGEST_TOKEN_BYTES


def test_labels_show_what_cannot_be_seen():
    assert token_label(101830) == "␣strawberry"
    assert token_label(200018) == "<|endofprompt|>" and token_bytes(200018) == b"<|endofprompt|>"
    assert printable(b"a \n\t\x00\r\x1b\x7f") == "a␣⏎⇥␀␍␛␡"
    assert printable("é".encode()[:1]) == "<0xC3>"
    assert printable("😀".encode()[:3] + b"x") == "<0xF0><0x9F><0x98>x"
    assert printable("\u200d\u202e\u00a0\u2028\ue000".encode()) == "<U+200D><U+202E><U+00A0><U+2028><U+E000>"
    assert printable("\u0301x".encode()) == "◌\u0301x"
    assert printable(b"") == ""
    assert token_label(50256, "gpt2") == "<|endoftext|>"


@pytest.mark.parametrize("encoding", ENCODING_NAMES)
def test_every_label_is_visible(encoding):
    labels = [token_label(token, encoding) for token in range(0, get_encoding(encoding).n_vocab, 7)]
    assert all(label and label.isprintable() and " " not in label for label in labels)


@pytest.mark.parametrize("token", [-1, 201_088])
def test_an_id_that_there_is_not_is_refused(token):
    with pytest.raises(ValueError, match="201,087"):
        token_bytes(token)


def test_spans_group_the_fragments_of_a_character():
    text = "so 🦉"
    ids = encode_text(text)
    spans = token_spans(text, ids)
    assert spans[0] == (0, 2) and spans[-1] == (3, 4)
    assert b"".join(map(token_bytes, ids)) == text.encode()
    with pytest.raises(ValueError, match="does not continue"):
        token_spans("other", ids)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_samples_are_short_and_decode_to_themselves(sample):
    ids = encode_text(sample.text, special=sample.special)
    assert (5 if sample in STORIES else 40) < len(ids) < 300
    assert any(map(get_encoding().is_special_token, ids)) == sample.special
    assert get_encoding().decode(ids) == sample.text
