"""From a person's text to tokens and back: nothing that someone pastes raises, and a huge paste costs little.

Both encodings split text into pre-tokens with a regular expression and then merge bytes inside each pre-token
(`tiktoken_ext.openai_public`). `encode_prefix` rests on places where no pre-token can straddle and where the split to
the left cannot depend on what follows; `_is_boundary` names them.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import tiktoken

from gptoss.tokenizer.encodings import get_encoding

# The longest tokens of both vocabularies have 128 bytes. Text of 128·n characters therefore holds at least n tokens.
LONGEST_TOKEN_BYTES = 128

# tiktoken's regular expression gives up on a run of about a million white-space characters; then text is taken in
# pieces of this many characters.
_PIECE_CHARACTERS = 800 * LONGEST_TOKEN_BYTES

# Tokens that are encoded beyond the wanted ones where a cut has to fall inside one unbroken run.
_SLACK_TOKENS = 64

_SPECIAL = re.compile(r"<\|\w+\|>")
_LONGEST_SPECIAL = 24


class EncodedPrefix(NamedTuple):
    """The first tokens of a text.

    Attributes:
        ids: at most `max_tokens` token ids.
        characters_used: how many leading characters the ids spell completely.
        total_characters: characters of the whole text.

    Characters are those of `clean_text(text)`.
    """

    ids: list[int]
    characters_used: int
    total_characters: int


class Token(NamedTuple):
    """One token of a text: its id, its bytes as the text has them, and whether it is a special token."""

    id: int
    data: bytes
    special: bool = False


def clean_text(text: str) -> str:
    """`text` as it is encoded: surrogate pairs joined into their character, a lone surrogate replaced by U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def encode_text(text: str, encoding: str = "o200k_harmony", special: bool = False) -> list[int]:
    """The token ids of any string; never raises on what the string holds.

    Args:
        text: any Python string; `clean_text` says what becomes of surrogates.
        encoding: a name that `get_encoding` knows.
        special: whether a special token's spelling, such as `<|end|>`, becomes that special token. Otherwise it is
            text like any other. `<|endofprompt|>` and `<|reserved_200018|>` are both id 200018, which decodes to the
            first.

    Decoding gives `clean_text(text)` back (for special=True, up to those two spellings of 200018). The ids are
    tiktoken's own, save where an unbroken run of about a million white-space characters makes its regular expression
    give up: such text is encoded in pieces of 102,400 characters or fewer.
    """
    tokenizer = get_encoding(encoding)
    return encode_with(tokenizer, clean_text(text), tokenizer.special_tokens_set if special else frozenset())


def encode_prefix(text: str, max_tokens: int, special: bool = False, encoding: str = "o200k_harmony") -> EncodedPrefix:
    """The first `max_tokens` tokens of `text`, encoding only about as much of it as they need.

    The ids equal the first ids of the whole text's encoding whenever that can be known without reading on: the text is
    cut between two pre-tokens (before a space, or after a letter or digit that punctuation or white space follows). A
    single unbroken run of more than 128 · (max_tokens + 64) characters has no such place; it is cut inside, at least 64
    tokens after the last one returned, where byte-pair merges in principle could still differ. Time grows with
    max_tokens, not with the text. Raises `ValueError` for a negative `max_tokens`.
    """
    tokenizer = get_encoding(encoding)
    allowed = tokenizer.special_tokens_set if special else frozenset()
    text = clean_text(text)
    ids = first_ids(tokenizer, text, max_tokens, allowed)
    # An id beyond max_tokens is there to show that text was left over.
    first = ids[:max_tokens]
    if len(first) == len(ids):
        return EncodedPrefix(first, len(text), len(text))
    return EncodedPrefix(first, complete_characters(text, first, spellings(encoding)), len(text))


def token_bytes(token: int, encoding: str = "o200k_harmony") -> bytes:
    """The bytes that token id `token` stands for; a special token's are its spelling.

    Raises `ValueError` for an id that there is not.
    """
    tokenizer = get_encoding(encoding)
    if not 0 <= token < tokenizer.n_vocab:
        raise ValueError(f"{encoding} has ids 0 to {tokenizer.n_vocab - 1:,}, not {token}")
    return tokenizer.decode_single_token_bytes(token)


def token_label(token: int, encoding: str = "o200k_harmony") -> str:
    """`printable(token_bytes(token))`: a token as something to print beside a chart or in a table.

    Raises `ValueError` for an id that there is not.
    """
    return printable(token_bytes(token, encoding))


def spelt_bytes(data: bytes, limit: int = LONGEST_TOKEN_BYTES) -> str:
    """Bytes in hexadecimal, the first `limit` of them: `20 73 74 …`."""
    return data[:limit].hex(" ").upper() + (" …" if len(data) > limit else "")


def printable(data: bytes) -> str:
    """Bytes as visible text, in which nothing is blank, moves the cursor or changes the writing direction.

    A space is ␣, a newline ⏎, a tab ⇥, another ASCII control its picture (␀, ␛, ␡); bytes that are no whole UTF-8
    character are written `<0xE0>`, characters with no glyph of their own (zero-width joiner, direction marks, other
    blanks) `<U+200D>`; a leading combining mark stands on ◌.
    """
    text = data.decode("utf-8", "surrogateescape")
    shown = "".join(_printable_character(character) for character in text)
    return f"◌{shown}" if text and unicodedata.category(text[0]).startswith("M") else shown


def _printable_character(character: str) -> str:
    code = ord(character)
    if character in _SHOWN:
        return _SHOWN[character]
    if 0xDC80 <= code <= 0xDCFF:
        # How surrogateescape hands over the undecodable byte code - 0xDC00.
        return f"<0x{code - 0xDC00:02X}>"
    if code < 0x20:
        return chr(0x2400 + code)
    return character if character.isprintable() else f"<U+{code:04X}>"


_SHOWN = {" ": "␣", "\n": "⏎", "\t": "⇥", "\x7f": "␡"}


def token_spans(text: str, ids: Sequence[int], encoding: str = "o200k_harmony") -> list[tuple[int, int]]:
    """Where each token lies: (start, end) for `clean_text(text)[start:end]`, the characters that it touches.

    Tokens that are fragments of one character have the same span, so equal spans group them.

    Args:
        text: what was encoded.
        ids: its tokens, or the first few of them.

    Raises `ValueError` where the ids do not spell the beginning of the text.
    """
    return spans(clean_text(text), ids, spellings(encoding))


def tokens_of(text: str, ids: Sequence[int], encoding: str = "o200k_harmony") -> list[Token]:
    """The tokens `ids` of `clean_text(text)`, or its first few, with their bytes.

    One special token has two spellings: its bytes are those in the text. Raises `ValueError` where the ids do
    not spell the beginning of the text.
    """
    special, text = get_encoding(encoding).is_special_token, clean_text(text)
    return [Token(token, text[start:end].encode() if special(token) else token_bytes(token, encoding), special(token))
            for token, (start, end) in zip(ids, token_spans(text, ids, encoding), strict=True)]


def spellings(encoding: str) -> Callable[[int], tuple[bytes, ...]]:
    """A function from a token id to the byte strings that encode to it: one, save for aliases of special tokens."""
    aliases = _special_spellings(encoding)
    return lambda token: aliases.get(token) or (token_bytes(token, encoding),)


@functools.cache
def _special_spellings(encoding: str) -> dict[int, tuple[bytes, ...]]:
    tokenizer = get_encoding(encoding)
    by_id: dict[int, list[bytes]] = {}
    for name in sorted(tokenizer.special_tokens_set):
        by_id.setdefault(tokenizer.encode_single_token(name), []).append(name.encode())
    return {token: tuple(names) for token, names in by_id.items()}


def spans(text: str, ids: Iterable[int], spelled: Callable[[int], tuple[bytes, ...]]) -> list[tuple[int, int]]:
    """`token_spans` for any vocabulary, given the byte strings that each of its ids may stand for."""
    data = text.encode("utf-8")
    position = characters = 0
    result = []
    for token in ids:
        piece = next((piece for piece in spelled(token) if data.startswith(piece, position)), None)
        if piece is None:
            raise ValueError(f"token {token} does not continue the text at byte {position}")
        # A character begins at every byte that is not a UTF-8 continuation byte (10xxxxxx).
        begun = sum(byte & 0xC0 != 0x80 for byte in piece)
        start = characters - (piece[0] & 0xC0 == 0x80)
        position += len(piece)
        characters += begun
        result.append((start, characters))
    return result


def complete_characters(text: str, ids: Sequence[int], spelled: Callable[[int], tuple[bytes, ...]]) -> int:
    """How many leading characters of `text` its first tokens `ids` spell to the last byte."""
    if not ids:
        return 0
    characters = spans(text, ids, spelled)[-1][1]
    last = text[characters - 1].encode("utf-8")
    tail = b"".join(spelled(token)[0] for token in ids[-len(last) :])
    return characters if tail.endswith(last) else characters - 1


def encode_with(tokenizer: tiktoken.Encoding, text: str, allowed: frozenset[str] | set[str]) -> list[int]:
    """The ids of `text` (free of surrogates), with `allowed` special tokens; in pieces where tiktoken gives up."""
    try:
        return tokenizer.encode(text, allowed_special=allowed, disallowed_special=())
    except ValueError:
        ids: list[int] = []
        start = 0
        while start < len(text):
            end = min(start + _PIECE_CHARACTERS, len(text))
            if end < len(text):
                end = _last_boundary(text, start, end, allowed) or _before_special(text, end, allowed)
            ids += tokenizer.encode(text[start:end], allowed_special=allowed, disallowed_special=())
            start = end
        return ids


def first_ids(
    tokenizer: tiktoken.Encoding, text: str, max_tokens: int, allowed: frozenset[str] | set[str]
) -> list[int]:
    """All ids of `text`, or more than `max_tokens` of its first ones (see `encode_prefix`).

    Raises `ValueError` for a negative `max_tokens`.
    """
    if max_tokens < 0:
        raise ValueError(f"max_tokens must be at least 0, not {max_tokens}")
    limit = LONGEST_TOKEN_BYTES * (max_tokens + _SLACK_TOKENS)
    # A token is about four characters of English prose: mostly the first window suffices.
    window = min(8 * max_tokens + 256, limit)
    while window < len(text):
        end = _last_boundary(text, 0, window, allowed)
        if end is not None:
            ids = encode_with(tokenizer, text[:end], allowed)
            if len(ids) > max_tokens:
                return ids
        if window == limit:
            return encode_with(tokenizer, text[: _before_special(text, limit, allowed)], allowed)
        window = min(4 * window, limit)
    return encode_with(tokenizer, text, allowed)


def _last_boundary(text: str, start: int, end: int, allowed: frozenset[str] | set[str]) -> int | None:
    """The last place in (start, end] where `text` can be cut between pre-tokens, or None."""
    for cut in range(end, start, -1):
        if _is_boundary(text, cut) and _before_special(text, cut, allowed) == cut:
            return cut
    return None


def _is_boundary(text: str, cut: int) -> bool:
    """Whether text[:cut] is sure to split into the same pre-tokens alone as within the whole text.

    In both encodings' patterns, a space can only begin a pre-token unless white space comes before it; and after a
    letter or digit a pre-token goes on only with letters, digits, combining marks or an English contraction's
    apostrophe. Neither pattern looks further ahead than that.
    """
    before, after = text[cut - 1], text[cut]
    if after == " ":
        return not before.isspace()
    if unicodedata.category(before)[0] not in "LN" or after == "'":
        return False
    return after in "\t\r\n" or unicodedata.category(after)[0] in "PSZ"


def _before_special(text: str, cut: int, allowed: frozenset[str] | set[str]) -> int:
    """`cut`, moved to the beginning of a special token's spelling that it would otherwise split."""
    if not allowed:
        return cut
    start = max(0, cut - _LONGEST_SPECIAL)
    for match in _SPECIAL.finditer(text, start, cut + _LONGEST_SPECIAL):
        if match.start() < cut < match.end() and match.group() in allowed:
            return match.start()
    return cut
