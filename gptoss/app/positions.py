"""What an address may say of a page's control, and the nearest position where it says something else.

No Streamlit here: each kind of control reads what an address says of it and spells the position that it takes, so that
one rule serves every control of every page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Protocol

from gptoss.app.markdown import shortened

LONGEST_WORD = 60  # characters of an address that are compared with the words of a control
ON, OFF = ("true", "on", "yes", "1"), ("false", "off", "no", "0")


@dataclass(frozen=True)
class Reading:
    """What a control makes of an address: its positions as they are spelt, and a sentence where it is not what was said.

    No positions where it stays as it is; one that is empty where nothing is chosen.
    """

    spelt: tuple[str, ...]
    problem: str = ""


class Kind(Protocol):
    """What a control can be set to."""

    may_be_empty: bool  # whether an address may say that nothing is chosen

    def nearest(self, said: str) -> tuple[str | None, bool]:
        """The position nearest to what is said, as the address spells it, if one is near; and whether that was said."""
        ...


@dataclass(frozen=True)
class Range:
    """A slider over numbers: every `step` from `low` to `high`."""

    low: float
    high: float
    step: float
    may_be_empty: bool = False

    def nearest(self, said: str) -> tuple[str | None, bool]:
        number = as_number(said)
        if number is None:
            return None, False
        steps = round((min(max(number, self.low), self.high) - self.low) / self.step)
        place = min(self.low + steps * self.step, self.high)
        place = round(place, 9) if isinstance(self.step, float) else place
        return spelt_number(place), math.isclose(place, number, abs_tol=1e-9)


@dataclass(frozen=True)
class Choice:
    """One of several options, or some of them; `show` is what the control writes for each, and the address with it.

    `numbers` says what an option that is a word stands for, where that is a number: the token at the end of a text.
    """

    options: Sequence
    show: Callable[[object], str] = str
    several: bool = False
    may_be_empty: bool = False
    numbers: Mapping[object, float] = field(default_factory=dict)

    def nearest(self, said: str) -> tuple[str | None, bool]:
        spelt = {str(self.show(option)): option for option in self.options}
        if said in spelt:
            return said, True
        folded = {word.casefold(): word for word in spelt}
        if said.casefold() in folded:
            return folded[said.casefold()], True
        number = as_number(said)
        places = {word: place for word, option in spelt.items() if (place := self._number(word, option)) is not None}
        if number is not None and places:
            number = min(max(number, min(places.values())), max(places.values()))
            word = min(places, key=lambda word: abs(places[word] - number))
            return word, places[word] == as_number(said)
        close = get_close_matches(said[:LONGEST_WORD].casefold(), list(folded), n=1)
        return folded[close[0]] if close else None, False

    def _number(self, word: str, option: object) -> float | None:
        if option in self.numbers:
            return self.numbers[option]
        return option if isinstance(option, int | float) else as_number(word.replace(",", ""))


@dataclass(frozen=True)
class Switch:
    """On or off."""

    may_be_empty: bool = False

    def nearest(self, said: str) -> tuple[str | None, bool]:
        understood = said.casefold() in ON + OFF
        return str(said.casefold() in ON).lower() if understood else None, understood


@dataclass(frozen=True)
class Words:
    """Any text up to a length."""

    longest: int
    may_be_empty: bool = True

    def nearest(self, said: str) -> tuple[str | None, bool]:
        return said[:self.longest], len(said) <= self.longest


def read(label: str, kind: Kind, said: Sequence[str]) -> Reading:
    """What a control takes from what an address says of it, which may be several things, and what could not be done.

    Of a control with one position the last one counts. What is empty is not said, unless the control can be empty.
    """
    words = [word for word in said if word]
    if not words:
        return Reading(("",)) if kind.may_be_empty else Reading((), f"{label} is empty in the address; it stays as it is.")
    if isinstance(kind, Words):
        return _cut(label, kind, words[-1])
    if isinstance(kind, Choice) and kind.several:
        return _some(label, kind, words)
    place, understood = kind.nearest(words[-1])
    if place is None:
        return Reading((), f"{label} cannot be “{shortened(words[-1])}”; it stays as it is.")
    if not understood:
        return Reading((place,), f"{label} cannot be “{shortened(words[-1])}”; it goes to “{shortened(place)}”.")
    if len(set(words)) > 1:
        return Reading((place,), f"{label} is in the address {len(words)} times; the last one counts: “{shortened(place)}”.")
    return Reading((place,))


def _cut(label: str, kind: Words, word: str) -> Reading:
    place, whole = kind.nearest(word)
    return Reading((place,), "" if whole else f"{label} takes {kind.longest} characters; what the address says is cut.")


def _some(label: str, kind: Choice, words: Sequence[str]) -> Reading:
    """Some of several options: those that there are."""
    found = {word: kind.nearest(word) for word in dict.fromkeys(words)}
    taken = tuple(dict.fromkeys(place for place, understood in found.values() if understood))
    unknown = [f"“{shortened(word)}”" for word, (_, understood) in found.items() if not understood]
    if not unknown:
        return Reading(taken)
    more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
    rest = "; it stays as it is" if not taken else ""
    return Reading(taken, f"{label} cannot be {', '.join(unknown[:3])}{more}{rest}.")


def as_number(text: str) -> float | None:
    """The number that a text spells, infinite where it is too large; None where it spells none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def spelt_number(number: float) -> str:
    """A number as Streamlit writes a slider's into the address: 5 for 5.0."""
    return str(int(number)) if number == int(number) else str(number)
