"""Labels of axes: tokens, with what cannot be seen made visible and repeated ones kept apart, and context lengths."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from itertools import pairwise

_VISIBLE = {" ": "·", "\n": "⏎", "\r": "␍", "\t": "⇥", "\u00a0": "⍽"}
_JOINERS = {"\u200d", "\ufe0f", "\ufe0e"}  # parts of emoji
_POSITION_DIGITS = 4

# Takes the position off again, so that an axis shows only the token.
TOKEN_OF_LABEL = f"slice(datum.label, {_POSITION_DIGITS + 1})"

# Numbers of an axis: 1e9 parameters are a billion, not a giga; 131,072 tokens of context are 128k.
COUNT_LABEL = "replace(format(datum.value, '~s'), 'G', 'B')"
IS_POWER_OF_TEN = "abs(log(datum.value) / LN10 - round(log(datum.value) / LN10)) < 1e-6"
CONTEXT_LABEL = "datum.value >= 1024 ? format(datum.value / 1024, '~r') + 'k' : format(datum.value, '~r')"


def visible_token(token: str, limit: int = 16) -> str:
    """A token as it is to be read: spaces as `·`, line ends as `⏎`, control characters as their code.

    More than `limit` characters end in `…`; the empty token is `∅`. Markup stays as it is: a chart draws text.
    """
    shown = "".join(_visible_character(character) for character in token[:limit + 1]) or "∅"
    return shown if len(shown) <= limit else shown[:limit - 1] + "…"


def axis_keys(tokens: Iterable[str], start: int = 0) -> list[str]:
    """Tokens with their position in front (`0012 ·the`), so that two equal tokens keep two places on an axis."""
    return [f"{position:0{_POSITION_DIGITS}d} {visible_token(token)}" for position, token in enumerate(tokens, start)]


def apart(places: Iterable[float], least: float) -> list[float]:
    """Places for names, each near its own of `places` and at least so far from all others: who is in the way goes down."""
    found = list(places)
    from_above = sorted(range(len(found)), key=lambda place: -found[place])
    for above, below in pairwise(from_above):
        found[below] = min(found[below], found[above] - least)
    return found


def _visible_character(character: str) -> str:
    if character in _VISIBLE:
        return _VISIBLE[character]
    if character not in _JOINERS and unicodedata.category(character).startswith("C"):
        return f"\\x{ord(character):02x}"
    return character
