"""Looking tokens up in o200k_harmony: by text, by id, and what the special ones are for."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gptoss.tokenizer.compact import BYTE_IDS, O200K_SIZE, SPECIAL_TOKENS
from gptoss.tokenizer.encodings import get_encoding
from gptoss.tokenizer.text import clean_text, token_bytes

# After the harmony format's published description; the first two and the last are older than it.
SPECIAL_MEANINGS: dict[str, str] = {
    "<|startoftext|>": "begins a text",
    "<|endoftext|>": "ends a text; also fills up shorter texts of a batch",
    "<|return|>": "the model has finished its whole answer",
    "<|constrain|>": "a tool call's data type follows, such as json",
    "<|channel|>": "the message's channel follows: analysis, commentary or final",
    "<|start|>": "begins a message; its author's role follows",
    "<|end|>": "ends a message",
    "<|message|>": "ends the header; the message's text follows",
    "<|call|>": "the model calls a tool and waits for its result",
    "<|endofprompt|>": "ends a prompt; not part of harmony",
}
_NAMES = {token: name for name, token in SPECIAL_TOKENS.items()}


class Matches(NamedTuple):
    """Tokens that a query found: the first `ids`, of `total` in all."""

    ids: tuple[int, ...]
    total: int


class _Index(NamedTuple):
    """The bytes of all tokens end to end, A to Z as a to z, and where each token begins; 2.5 MB in all."""

    data: np.ndarray  # (bytes,) uint8
    starts: np.ndarray  # (tokens + 1,) uint32; the last is the end


@functools.lru_cache(maxsize=64)
def search_vocabulary(query: str, limit: int = 100) -> Matches:
    """The tokens that hold `query`, A to Z and a to z alike; first those that are it, then by rank.

    A number is also an id, and its token comes first. What `printable` writes for the unseen may be typed: `␣` is a
    space, `⏎` a newline, `⇥` a tab, `<0xE0>` a byte, `<U+200D>` a character. An empty query finds nothing.
    Raises `ValueError` for a negative `limit`.
    """
    if limit < 0:
        raise ValueError(f"limit must be at least 0, not {limit}")
    wanted = read_printable(query)
    if not wanted:
        return Matches((), 0)
    first = list(dict.fromkeys(_direct_hits(query.strip(), wanted)))
    holding = _holding(wanted)
    others = holding[~np.isin(holding, first)]
    return Matches(tuple((first + others[:limit].tolist())[:limit]), len(first) + len(others))


def what_it_is(token: int) -> str:
    """What kind of token an o200k_harmony id stands for; for a special one, what it is for.

    Raises `ValueError` for an id that there is not.
    """
    data = token_bytes(token)
    if token in _NAMES:
        return f"special: {SPECIAL_MEANINGS[_NAMES[token]]}"
    if get_encoding().is_special_token(token):
        return "reserved: no meaning yet"
    if token in BYTE_IDS:
        return "one byte"
    return "text" if _is_text(data) else "bytes that are no whole characters"


def read_printable(text: str) -> bytes:
    """The bytes that `text` means, where the signs of `gptoss.tokenizer.printable` stand for what they show."""
    parts = _SIGN.split(clean_text(text))
    return b"".join(_signified(part) if place % 2 else part.encode() for place, part in enumerate(parts))


_SIGN = re.compile(r"([␣⏎⇥]|<0x[0-9A-Fa-f]{2}>|<U\+[0-9A-Fa-f]{4,5}>)")
_SIGNIFIED = {"␣": b" ", "⏎": b"\n", "⇥": b"\t"}


def _signified(sign: str) -> bytes:
    if sign in _SIGNIFIED:
        return _SIGNIFIED[sign]
    code = int(sign[3:-1], 16)
    return bytes([code]) if sign[1] == "0" else clean_text(chr(code)).encode()


def _direct_hits(query: str, wanted: bytes) -> Iterator[int]:
    """Tokens that the query names: by id, by a special token's name, or as the whole text, perhaps after a space."""
    encoding = get_encoding()
    number = query.replace(",", "")
    if number.isascii() and number.isdecimal() and len(number) <= len(str(O200K_SIZE)) and int(number) < O200K_SIZE:
        yield int(number)
    if query in encoding.special_tokens_set:
        yield encoding.encode_single_token(query)
    for whole in (wanted, b" " + wanted):
        if whole in encoding._mergeable_ranks:
            yield encoding._mergeable_ranks[whole]


def _holding(wanted: bytes) -> np.ndarray:
    """(n,) ids, ascending, of all tokens that hold the bytes `wanted`, A to Z and a to z alike."""
    data, starts = _index()
    needle = wanted.lower()
    places = np.flatnonzero(data[: max(len(data) - len(needle) + 1, 0)] == needle[0])
    for offset in range(1, len(needle)):
        places = places[data[places + offset] == needle[offset]]
    tokens = np.searchsorted(starts, places, side="right") - 1
    inside = places + len(needle) <= starts[tokens + 1]
    return np.unique(tokens[inside])


@functools.cache
def _index() -> _Index:
    spelt = [token_bytes(token).lower() for token in range(O200K_SIZE)]
    ends = np.cumsum([len(data) for data in spelt], dtype=np.uint32)
    return _Index(np.frombuffer(b"".join(spelt), dtype=np.uint8), np.concatenate([np.zeros(1, np.uint32), ends]))


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
