"""What a message from the browser's dials may be, and what it means. No Streamlit here.

The browser says what a hand did, never how everything stands: an answer that is late then overwrites nothing. A message
has the session's token, a number that counts up, and steps in their order. A step names a dial, the preset or a button,
and a value as an address spells it. Whatever is not exactly that has no effect.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gptoss.app import served
from gptoss.app.study import DIALS, Study, nearest

PRESET, BUTTON = "preset", "button"  # names of steps that move no dial
MOST_STEPS = 200  # in one message; a hand makes a handful while one answer is on its way
LONGEST = 60  # characters of a name or a value
LARGEST_NUMBER = 2**53 - 1  # up to which a browser counts exactly


@dataclass(frozen=True)
class Step:
    """One thing that a hand did. Steps of one gesture (a drag, or a burst of keys) are one move to whoever undoes it."""

    gesture: int
    name: str
    value: str


@dataclass(frozen=True)
class Message:
    """A message that counts: new, and of this session. Without steps where what it said was refused."""

    number: int
    steps: tuple[Step, ...] = ()
    held: bool = False  # whether the hand still holds the dial, so that more will follow


def read_message(raw: object, token: str, heard: int) -> Message | None:
    """The message in `raw`, or None where it is none, another session's, or not newer than the one `heard` last.

    One whose steps are not as they must be counts as heard, so that the browser goes on, and has no steps.
    """
    if not isinstance(raw, Mapping) or raw.get("token") != token:
        return None
    number = raw.get("number")
    if not _is_count(number) or number <= heard:
        return None
    steps, held = raw.get("steps"), raw.get("held", False)
    if not isinstance(steps, Sequence) or isinstance(steps, str) or len(steps) > MOST_STEPS or not isinstance(held, bool):
        return Message(number)
    read = [_read_step(step) for step in steps]
    return Message(number) if None in read else Message(number, tuple(read), held)


def allowed(steps: Iterable[Step], buttons: Collection[str]) -> bool:
    """Whether every step names a dial with a value it can read, a preset there is, or one of the `buttons`."""
    return all(_is_known(step, buttons) for step in steps)


def moved(study: Study, step: Step) -> tuple[Study, dict[str, str]]:
    """The study after a step that `allowed` let through and that is no button, and why which dials had to follow.

    A value that the dial does not have now goes to the nearest one.
    """
    if step.name == PRESET:
        return Study.of_preset(step.value), {}
    return study.moved(**{step.name: DIALS[step.name].read(step.value)})


def position(value: str, options: Mapping[str, object]) -> object:
    """Where a page's slider goes: the position that is spelt so, or the nearest one to a number.

    `options` are its positions by their spelling. Raises `ValueError` for what is neither.
    """
    if value in options:
        return options[value]
    numbers = [option for option in options.values() if isinstance(option, int | float)]
    number = float(value)
    if not numbers or number != number or abs(number) == float("inf"):
        raise ValueError(value)
    return nearest(number, numbers) if min(numbers) > 0 else min(numbers, key=lambda option: abs(option - number))


def _read_step(raw: object) -> Step | None:
    if not isinstance(raw, Mapping):
        return None
    gesture, name, value = (raw.get(part) for part in ("gesture", "name", "value"))
    if not _is_count(gesture) or not all(isinstance(word, str) and len(word) <= LONGEST for word in (name, value)):
        return None
    return Step(gesture, name, value)


def _is_count(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 < number <= LARGEST_NUMBER


def _is_known(step: Step, buttons: Collection[str]) -> bool:
    if step.name == BUTTON:
        return step.value in buttons
    if step.name == PRESET:
        return step.value in served.presets()
    try:
        return step.name in DIALS and DIALS[step.name].read(step.value) is not None
    except ValueError:
        return False
