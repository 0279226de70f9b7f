"""Searching the vocabulary: against a plain look through all tokens, and for whatever a person may type."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss.tokenizer import SPECIAL_TOKENS, get_encoding, printable, token_bytes, token_label
from gptoss.tokenizer.search import SPECIAL_MEANINGS, read_printable, search_vocabulary, what_it_is

ALL = [token_bytes(token) for token in range(get_encoding().n_vocab)]
EVERY = len(ALL)


def brute(wanted: bytes) -> set[int]:
    return {token for token, data in enumerate(ALL) if wanted.lower() in data.lower()}


@pytest.mark.parametrize("query", ["straw", "STRAW", " the", "aa", "é", "注意", "<|", "\n\n", "zzzqq", "<0xE0><0xA4>", "␣␣"])
def test_finds_every_token_that_holds_the_query(query):
    matches = search_vocabulary(query, EVERY)
    expected = brute(read_printable(query))
    assert set(matches.ids) == expected and matches.total == len(expected) == len(matches.ids)


@settings(max_examples=25)
@given(st.integers(0, EVERY - 1), st.data())
def test_any_part_of_any_token_finds_it(token, data):
    start = data.draw(st.integers(0, len(ALL[token]) - 1))
    end = data.draw(st.integers(start + 1, len(ALL[token])))
    query = "".join(f"<0x{byte:02X}>" for byte in ALL[token][start:end])
    assert token in search_vocabulary(query, EVERY).ids


def test_whole_tokens_come_first_then_the_frequent():
    ids = search_vocabulary("straw").ids
    assert [token_label(token) for token in ids[:1]] == ["␣straw"]
    assert list(ids[1:]) == sorted(ids[1:])
    assert [token_label(token) for token in search_vocabulary("ing").ids[:2]] == ["ing", "␣ing"]


@pytest.mark.parametrize("query, first", [
    ("200006", 200006), ("200,006", 200006), (" 101830 ", 101830), ("<|start|>", 200006), ("0", 0),
    ("<|reserved_200018|>", 200018), ("<|endofprompt|>", 200018), ("201087", 201087)])
def test_ids_and_names_lead_to_their_token(query, first):
    assert search_vocabulary(query).ids[0] == first


def test_a_number_is_also_a_text():
    matches = search_vocabulary("12", EVERY)
    assert matches.ids[:2] == (12, get_encoding().encode_single_token("12")) and matches.total == len({12} | brute(b"12"))


@pytest.mark.parametrize("query", ["201088", "-1", "99999999999999999999", "٣", "²", "1e5"])
def test_what_is_no_id_is_only_a_text(query):
    assert set(search_vocabulary(query, EVERY).ids) == brute(query.encode())


def test_few_of_many_are_shown_and_all_are_counted():
    matches = search_vocabulary("e", limit=7)
    assert len(matches.ids) == 7 and matches.total == len(brute(b"e")) > 60_000
    assert search_vocabulary("e", limit=0) == ((), matches.total)
    assert search_vocabulary("") == ((), 0)
    with pytest.raises(ValueError, match="limit"):
        search_vocabulary("e", limit=-1)


@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_nothing_that_is_typed_raises(query):
    matches = search_vocabulary(query)
    assert len(matches.ids) == min(matches.total, 100)


@given(st.text(max_size=40))
def test_printed_text_means_what_it_was(text):
    data = text.encode()
    # These signs are themselves how something else is written, and a circle carries a mark without a letter.
    if not any(sign in text for sign in "␣⏎⇥◌<") and not printable(data).startswith("◌") and text.isprintable():
        assert read_printable(printable(data)) == data


def test_signs_for_what_cannot_be_seen():
    assert read_printable("␣a⏎⇥") == b" a\n\t"
    assert read_printable("<0xE0><0xa4>x") == b"\xe0\xa4x"
    assert read_printable("<U+200D>") == "\u200d".encode() and read_printable("<U+1F680>") == "🚀".encode()
    assert read_printable("<U+D800>") == "\ufffd".encode() and read_printable("<0xZZ>") == b"<0xZZ>"
    assert read_printable("\ud800") == "\ufffd".encode()


def test_a_token_is_called_what_it_is():
    assert set(SPECIAL_MEANINGS) == set(SPECIAL_TOKENS)
    assert what_it_is(200006) == "special: begins a message; its author's role follows"
    assert what_it_is(200009) == what_it_is(201087) == "reserved: no meaning yet"
    assert what_it_is(64) == "one byte" and what_it_is(101830) == "text"
    assert what_it_is(281) == "bytes that are no whole characters"
    with pytest.raises(ValueError, match="201,087"):
        what_it_is(201_088)
