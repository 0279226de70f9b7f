"""Small vocabularies made of real o200k tokens, for models that are too small to carry 201,088 embeddings.

A small live model keeps gpt-oss's own tokens, strings and special tokens, only fewer of them. Nothing becomes unknown:
the 256 single bytes are always there, so any text can be spelt and read back.
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import chain

from gptoss.tokenizer.encodings import get_encoding
from gptoss.tokenizer.text import (
    EncodedPrefix,
    clean_text,
    complete_characters,
    encode_with,
    first_ids,
    printable,
    spans,
    token_bytes,
)

O200K_SIZE = 201_088

# In o200k the ids 0 to 255 are the 256 single bytes, in some order.
BYTE_IDS = range(256)

# The special tokens that have a name in the harmony format or before it; the other ids above 199,997 are reserved.
SPECIAL_TOKENS: dict[str, int] = {
    "<|startoftext|>": 199998,
    "<|endoftext|>": 199999,
    "<|return|>": 200002,
    "<|constrain|>": 200003,
    "<|channel|>": 200005,
    "<|start|>": 200006,
    "<|end|>": 200007,
    "<|message|>": 200008,
    "<|call|>": 200012,
    "<|endofprompt|>": 200018,
}

# Bytes and named special tokens: what `compact_vocabulary` always holds.
MINIMUM_SIZE = len(BYTE_IDS) + len(SPECIAL_TOKENS)

RANKED_FILE = "compact_o200k.txt"


@dataclass(frozen=True)
class CompactVocabulary:
    """Some of o200k_harmony's tokens, renumbered from 0.

    Text is first encoded by o200k itself. A token that the vocabulary keeps is kept; any other is spelt from left to
    right, each time with the longest kept token that its remaining bytes begin with (in the worst case one byte).

    Attributes:
        o200k_ids: the o200k id of each index; every id once, the single bytes 0 to 255 among them.
    Raises `ValueError` for ids outside o200k or given twice, and for missing bytes.
    """

    o200k_ids: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "o200k_ids", tuple(self.o200k_ids))
        ids = set(self.o200k_ids)
        if len(ids) != len(self.o200k_ids):
            raise ValueError("an o200k id is in the vocabulary twice")
        if not ids.issuperset(BYTE_IDS):
            raise ValueError("the single bytes, o200k ids 0 to 255, must all be in the vocabulary")
        if min(ids) < 0 or max(ids) >= O200K_SIZE:
            raise ValueError(f"o200k ids are 0 to {O200K_SIZE - 1:,}")

    def __hash__(self) -> int:
        return self._hash

    @property
    def size(self) -> int:
        """The number of tokens."""
        return len(self.o200k_ids)

    def first(self, size: int) -> CompactVocabulary:
        """Its first tokens alone; itself where it has no more. Raises `ValueError` where bytes are cut off."""
        return self if size >= self.size else _first(self, size)

    def encode(self, text: str, special: bool = False) -> list[int]:
        """Indices of any string, without loss: `decode` gives `clean_text(text)` back.

        special: whether the spelling of a special token that the vocabulary holds becomes that token. Other special
        spellings, those of reserved ids among them, are ordinary text.
        """
        allowed = self._special if special else frozenset()
        return self.from_o200k(encode_with(get_encoding("o200k_harmony"), clean_text(text), allowed))

    def encode_prefix(self, text: str, max_tokens: int, special: bool = False) -> EncodedPrefix:
        """The first `max_tokens` indices of `text`, as `gptoss.tokenizer.encode_prefix` finds them.

        Raises `ValueError` for a negative `max_tokens`.
        """
        text = clean_text(text)
        allowed = self._special if special else frozenset()
        # An o200k token is one index or several, so max_tokens of the former are always enough.
        ids = first_ids(get_encoding("o200k_harmony"), text, max_tokens, allowed)
        indices = self.from_o200k(ids[: max_tokens + 1])
        first = indices[:max_tokens]
        if len(first) == len(indices):
            return EncodedPrefix(first, len(text), len(text))
        return EncodedPrefix(first, complete_characters(text, first, self._spellings), len(text))

    def spans(self, text: str, indices: Sequence[int]) -> list[tuple[int, int]]:
        """Where each index lies in `clean_text(text)`: (start, end) of the characters that it touches.

        Raises `ValueError` where the indices do not spell the beginning of the text.
        """
        return spans(clean_text(text), indices, self._spellings)

    def decode(self, indices: Iterable[int]) -> str:
        """The text of the indices; bytes that form no character become U+FFFD.

        Raises `ValueError` for an index outside the vocabulary.
        """
        return self.decode_bytes(indices).decode("utf-8", "replace")

    def decode_bytes(self, indices: Iterable[int]) -> bytes:
        """The bytes of the indices. Raises `ValueError` for an index outside the vocabulary."""
        return b"".join(self.token_bytes(index) for index in indices)

    def to_o200k(self, indices: Iterable[int]) -> list[int]:
        """The o200k id of each index. Raises `ValueError` for an index outside the vocabulary."""
        return [self.o200k_ids[self._checked(index)] for index in indices]

    def from_o200k(self, ids: Iterable[int]) -> list[int]:
        """Indices that spell the same bytes as the o200k ids (by the rule above).

        Raises `ValueError` for an id outside o200k.
        """
        indices: list[int] = []
        spelt: dict[int, list[int]] = {}
        for token in ids:
            index = self._index.get(token)
            if index is not None:
                indices.append(index)
                continue
            if token not in spelt:
                spelt[token] = list(self._spell(token_bytes(token)))
            indices += spelt[token]
        return indices

    def token_bytes(self, index: int) -> bytes:
        """The bytes that an index stands for. Raises `ValueError` for an index outside the vocabulary."""
        return self._bytes[self._checked(index)]

    def label(self, index: int) -> str:
        """The token as something to print, like `gptoss.tokenizer.token_label`.

        Raises `ValueError` for an index outside the vocabulary.
        """
        return printable(self.token_bytes(index))

    def _checked(self, index: int) -> int:
        if not 0 <= index < self.size:
            raise ValueError(f"this vocabulary has indices 0 to {self.size - 1:,}, not {index}")
        return index

    def _spellings(self, index: int) -> tuple[bytes, ...]:
        return (self.token_bytes(index),)

    def _spell(self, data: bytes) -> Iterator[int]:
        """Greedy, longest first, with ordinary tokens only: text must never turn into a special token."""
        start = 0
        while start < len(data):
            end = min(len(data), start + self._longest)
            while data[start:end] not in self._ordinary:
                end -= 1
            yield self._ordinary[data[start:end]]
            start = end

    @functools.cached_property
    def _hash(self) -> int:
        """Asked for with every look into a cache, over as many as 201,088 ids."""
        return hash(self.o200k_ids)

    @functools.cached_property
    def _bytes(self) -> tuple[bytes, ...]:
        return tuple(map(token_bytes, self.o200k_ids))

    @functools.cached_property
    def _index(self) -> dict[int, int]:
        return {token: index for index, token in enumerate(self.o200k_ids)}

    @functools.cached_property
    def _ordinary(self) -> dict[bytes, int]:
        special = get_encoding("o200k_harmony").is_special_token
        return {self._bytes[index]: index for token, index in self._index.items() if not special(token)}

    @functools.cached_property
    def _longest(self) -> int:
        return max(map(len, self._ordinary))

    @functools.cached_property
    def _special(self) -> frozenset[str]:
        """Special spellings of kept tokens; of two spellings of one id, the one that it decodes to."""
        tokenizer = get_encoding("o200k_harmony")
        return frozenset(
            name
            for name in tokenizer.special_tokens_set
            if (token := tokenizer.encode_single_token(name)) in self._index and token_bytes(token) == name.encode()
        )


@functools.lru_cache(maxsize=16)
def _first(vocabulary: CompactVocabulary, size: int) -> CompactVocabulary:
    return CompactVocabulary(vocabulary.o200k_ids[:size])


@functools.lru_cache(maxsize=16)
def compact_vocabulary(size: int) -> CompactVocabulary:
    """The vocabulary of `size` tokens: bytes, named special tokens, then the most useful tokens first.

    A smaller one is the beginning of a larger one, so index i means the same token in all of them. The order after
    bytes and special tokens is that of `gptoss.tokenizer.rank`, and after its list the remaining o200k ids ascending.
    With 201,088 tokens it is no cut but o200k_harmony itself, every id at its own place, as in the rows of OpenAI's
    checkpoints. Raises `ValueError` for a size below `MINIMUM_SIZE` or above 201,088.
    """
    if not MINIMUM_SIZE <= size <= O200K_SIZE:
        raise ValueError(
            f"a compact vocabulary has {MINIMUM_SIZE} (bytes and special tokens) to {O200K_SIZE:,} tokens, not {size:,}"
        )
    return CompactVocabulary(range(O200K_SIZE) if size == O200K_SIZE else _order()[:size])


@functools.cache
def _order() -> array[int]:
    """All 201,088 o200k ids, the most useful first, in a tenth of the memory that a tuple of numbers would take."""
    # A dict keeps the first place of what comes twice.
    return array("I", dict.fromkeys(chain(BYTE_IDS, SPECIAL_TOKENS.values(), ranked_ids(), range(O200K_SIZE))))


def ranked_ids() -> tuple[int, ...]:
    """The o200k ids of the list that ships with the package, most useful first."""
    lines = resources.files(__package__).joinpath(RANKED_FILE).read_text(encoding="ascii").splitlines()
    return tuple(int(line) for line in lines if not line.startswith("#"))
