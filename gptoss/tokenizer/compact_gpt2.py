"""GPT-2's vocabulary cut off after its first tokens, for a live GPT-2 that is too small to carry 50,257 embeddings.

A GPT-2 id is a rank: the place in the order in which the tokens were learned. So the first ids are a vocabulary by
themselves, the one that the same training would have had if it had been stopped earlier.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import tiktoken

from gptoss.tokenizer.encodings import get_encoding
from gptoss.tokenizer.text import EncodedPrefix, clean_text, complete_characters, encode_with, first_ids, printable

GPT2_SIZE = 50_257
_BYTES = 256  # ids 0 to 255 are the single bytes, in some order


@dataclass(frozen=True)
class CompactGPT2:
    """The first `size` tokens of GPT-2. Any text can be spelt: the single bytes come first.

    Text is only ever encoded in ordinary tokens: `<|endoftext|>`, the one special token, is the last id of the whole
    vocabulary, and its spelling in a text is text.
    """

    size: int

    def __post_init__(self) -> None:
        if not _BYTES <= self.size <= GPT2_SIZE:
            raise ValueError(f"a compact GPT-2 vocabulary has {_BYTES} (bytes) to {GPT2_SIZE:,} tokens, not {self.size:,}")

    @functools.cached_property
    def encoding(self) -> tiktoken.Encoding:
        """tiktoken's own tokenizer, with these tokens alone."""
        full = get_encoding("gpt2")
        first = {token: rank for token, rank in full._mergeable_ranks.items() if rank < self.size}
        special = {name: rank for name, rank in full._special_tokens.items() if rank < self.size}
        return tiktoken.Encoding(f"gpt2, first {self.size}", pat_str=full._pat_str, mergeable_ranks=first,
                                 special_tokens=special)

    def encode(self, text: str) -> list[int]:
        """The ids of any string, without loss: `decode` gives `clean_text(text)` back."""
        return encode_with(self.encoding, clean_text(text), frozenset())

    def encode_prefix(self, text: str, max_tokens: int) -> EncodedPrefix:
        """The first `max_tokens` ids of `text`. Raises `ValueError` for a negative number."""
        text = clean_text(text)
        ids = first_ids(self.encoding, text, max_tokens, frozenset())
        first = ids[:max_tokens]
        if len(first) == len(ids):
            return EncodedPrefix(first, len(text), len(text))
        return EncodedPrefix(first, complete_characters(text, first, lambda i: (self.token_bytes(i),)), len(text))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the ids; bytes that form no character become U+FFFD. Raises `ValueError` for an unknown id."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")

    def token_bytes(self, index: int) -> bytes:
        """The bytes that an id stands for. Raises `ValueError` for an id outside the vocabulary."""
        if not 0 <= index < self.size:
            raise ValueError(f"this vocabulary has ids 0 to {self.size - 1:,}, not {index}")
        return self.encoding.decode_single_token_bytes(index)

    def label(self, index: int) -> str:
        """The token as something to print, like `gptoss.tokenizer.token_label`."""
        return printable(self.token_bytes(index))


@functools.lru_cache(maxsize=16)
def compact_gpt2(size: int) -> CompactGPT2:
    """The vocabulary of GPT-2's first `size` tokens. Raises `ValueError` outside 256 to 50,257."""
    return CompactGPT2(size)
