"""Byte-pair encoding taken apart: pre-tokens, the merges inside each, and what a smaller vocabulary would do.

tiktoken cuts a text into pre-tokens with a regular expression and begins each as single bytes. Of all neighbours that
are a token together, those of the lowest rank become one, the leftmost first, until no pair is a token any more
(Sennrich et al., arXiv 1508.07909, over bytes as in the GPT-2 paper). A token's rank is its id: the order in which the
tokens were learned.
"""

from __future__ import annotations

import functools
import heapq
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tiktoken

from gptoss.tokenizer.encodings import get_encoding
from gptoss.tokenizer.text import clean_text


class Merge(NamedTuple):
    """Two neighbouring tokens that become one: bytes `start` to `middle` and `middle` to `end` of a pre-token."""

    rank: int  # of the new token; also its id
    start: int
    middle: int
    end: int


class Neighbours(NamedTuple):
    """Two tokens side by side, and the rank of the token that they would make; None where there is none."""

    left: bytes
    right: bytes
    rank: int | None


def pre_tokens(text: str, encoding: str = "o200k_harmony") -> list[str]:
    """The pieces that `encoding`'s regular expression cuts `clean_text(text)` into; merges never cross their borders.

    tiktoken's own engine does the cutting, since another's Unicode tables could class a character differently. It
    hands out tokens and no pre-tokens, so it is asked for the first one again and again: seconds for 100,000
    characters, 60 ms for 20,000.
    """
    text, first = clean_text(text), _first_pre_token(encoding)
    pieces, start = [], 0
    while start < len(text):
        piece = first.decode_bytes(first.encode_ordinary(text[start:])).decode()
        pieces.append(piece)
        start += len(piece)
    return pieces


def merges(piece: bytes, encoding: str = "o200k_harmony") -> list[Merge]:
    """Every merge that `encoding` makes inside one pre-token, in order. n bytes take O(n log n) time.

    What tiktoken does for a pre-token that is a token as a whole, namely nothing, comes to the same: every token of
    both vocabularies is reached by merges.
    """
    ranks = _ranks(encoding)
    end_of, start_of = list(range(1, len(piece) + 1)), list(range(len(piece)))  # of the token that begins or ends there
    pairs: list[tuple[int, int, int, int]] = []

    def offer(start: int) -> None:
        middle = end_of[start]
        if middle < len(piece):
            rank = ranks.get(piece[start:end_of[middle]])
            if rank is not None:
                heapq.heappush(pairs, (rank, start, middle, end_of[middle]))

    for start in range(len(piece)):
        offer(start)
    made = []
    while pairs:
        rank, start, middle, end = heapq.heappop(pairs)
        # A pair is stale once one of its two tokens has become part of another.
        if end_of[start] != middle or end_of[middle] != end:
            continue
        made.append(Merge(rank, start, middle, end))
        end_of[start], end_of[middle], start_of[end - 1] = end, 0, start
        offer(start)
        if start:
            offer(start_of[start - 1])
    return made


def tokens_after(piece: bytes, made: list[Merge]) -> list[bytes]:
    """The tokens of a pre-token after the merges `made`, the first ones of `merges(piece)`: with none, its bytes."""
    gone = {merge.middle for merge in made}
    borders = [at for at in range(len(piece) + 1) if at not in gone]
    return [piece[start:end] for start, end in zip(borders, borders[1:], strict=False)]


def neighbours(tokens: list[bytes], encoding: str = "o200k_harmony") -> list[Neighbours]:
    """Every two tokens side by side. The lowest rank among them is merged next, the leftmost of equals."""
    ranks = _ranks(encoding)
    return [Neighbours(left, right, ranks.get(left + right)) for left, right in zip(tokens, tokens[1:], strict=False)]


class CutVocabulary:
    """How many tokens a text needs in a vocabulary that is cut off after its first ranks, for every cut at once.

    The vocabulary of the ranks below N makes the same merges in the same order, up to the first that needs a rank of N
    or more: there it stops. So one run of the full merges per pre-token answers for all N.

    Attributes:
        bytes: UTF-8 bytes of the text, its number of tokens where nothing is merged.
        sizes: (merges,) ascending; the smallest vocabulary that makes each merge. Not to be changed.
    """

    def __init__(self, text: str, encoding: str = "o200k_harmony") -> None:
        pieces = Counter(piece.encode() for piece in pre_tokens(text, encoding))
        self.bytes = sum(len(piece) * times for piece, times in pieces.items())
        needed = [np.repeat(_sizes_needed(piece, encoding), times) for piece, times in pieces.items()]
        self.sizes = np.sort(np.concatenate([*needed, np.empty(0, dtype=np.int64)]))

    def tokens(self, size: int) -> int:
        """Tokens of the text in the vocabulary of the first `size` ranks.

        Raises `ValueError` for fewer than the 256 single bytes, in which any text can be spelt.
        """
        _require_bytes(size)
        return self.bytes - int(np.searchsorted(self.sizes, size, side="right"))


def cut_encoding(size: int) -> tiktoken.Encoding:
    """tiktoken's own tokenizer with the first `size` ranks of o200k and no special tokens, to check `CutVocabulary` by.

    Building it takes up to a second and, for all ranks, tens of megabytes. Raises `ValueError` for less than the 256
    single bytes.
    """
    _require_bytes(size)
    full = get_encoding()
    first = {token: rank for token, rank in full._mergeable_ranks.items() if rank < size}
    return tiktoken.Encoding(f"o200k, first {size}", pat_str=full._pat_str, mergeable_ranks=first, special_tokens={})


def _require_bytes(size: int) -> None:
    if size < 256:
        raise ValueError(f"a vocabulary of {size} has no room for the 256 single bytes")


def _sizes_needed(piece: bytes, encoding: str) -> np.ndarray:
    """(merges,) for each merge of a pre-token the smallest vocabulary that comes as far as making it."""
    ranks = np.array([merge.rank for merge in merges(piece, encoding)], dtype=np.int64)
    return np.maximum.accumulate(ranks) + 1


def _ranks(encoding: str) -> Mapping[bytes, int]:
    return get_encoding(encoding)._mergeable_ranks


@functools.cache
def _first_pre_token(encoding: str) -> tiktoken.Encoding:
    """A tokenizer that knows bytes alone and reads no further than the first pre-token of a text."""
    pattern = get_encoding(encoding)._pat_str
    single_bytes = {bytes([byte]): byte for byte in range(256)}
    return tiktoken.Encoding(f"{encoding} first", pat_str=rf"\A(?:{pattern})", mergeable_ranks=single_bytes,
                             special_tokens={})
