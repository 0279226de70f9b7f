"""What a learner's function returned against what it should: whether they are equal, and if not, where they first differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gptoss.units import plural

# Half precision keeps 8 to 11 bits, and a learner may round elsewhere than we do.
_TOLERANCES = {torch.bfloat16: (2e-2, 1e-2), torch.float16: (2e-2, 1e-2)}
_TOLERANCE = (1e-4, 1e-5)  # relative and absolute, of float32 and of Python's own numbers
_AROUND = 30  # characters shown on either side of the first that differs


def difference(expected: object, given: object, parts: Sequence[str] = (), what: str = "the result") -> str:
    """A sentence on the first thing that differs, or nothing where all is equal within tolerance.

    Tensors, numbers and texts are compared, tuples and dictionaries of them part by part; `parts` names those of a tuple.
    """
    if isinstance(expected, Mapping):
        return next(filter(None, (difference(expected[name], given[name], parts, name) for name in expected)), "")
    if isinstance(expected, tuple):
        return _of_tuples(expected, given, parts, what)
    if given is None:
        return f"{_subject(what)} is None: is a `return` missing?"
    if isinstance(expected, Tensor):
        return _of_tensors(expected, given, what)
    if isinstance(expected, str):
        return _of_texts(expected, given, what)
    return _of_numbers(expected, given, what)


def _subject(what: str) -> str:
    return what[0].upper() + what[1:]


def _of_tuples(expected: tuple, given: object, parts: Sequence[str], what: str) -> str:
    wanted = ", ".join(parts)
    if not isinstance(given, tuple) or len(given) != len(expected):
        found = f"a tuple of {len(given)}" if isinstance(given, tuple) else _kind(given)
        return f"{_subject(what)} is {found}; expected are {len(expected)} things: ({wanted})."
    place = "" if what == "the result" else f", in {what}"
    return next(filter(None, (difference(want, gave, (), f"{name}{place}")
                              for want, gave, name in zip(expected, given, parts, strict=True))), "")


def _kind(value: object) -> str:
    if value is None:
        return "None (is a `return` missing?)"
    return f"{'an' if type(value).__name__[0] in 'aeiou' else 'a'} {type(value).__name__}"


def _of_tensors(expected: Tensor, given: object, what: str) -> str:
    if not isinstance(given, Tensor):
        return f"{_subject(what)} is {_kind(given)}; expected is a tensor of shape {tuple(expected.shape)}."
    if given.shape != expected.shape:
        return f"{_subject(what)} has the shape {tuple(given.shape)}; expected is {tuple(expected.shape)}."
    if given.dtype != expected.dtype:
        return (f"{_subject(what)} has the type {_name(given.dtype)}; expected is {_name(expected.dtype)}.")
    relative, absolute = _TOLERANCES.get(expected.dtype, _TOLERANCE)
    unequal = ~torch.isclose(given.double(), expected.double(), relative, absolute, equal_nan=True)
    if not unequal.any():
        return ""
    place = tuple(unequal.nonzero()[0].tolist())
    where = f" at {list(place)}" if place else ""
    return (f"{_subject(what)}, of shape {tuple(expected.shape)}, first differs{where}: expected is "
            f"{_spelt(expected[place])}, yours is {_spelt(given[place])}; {int(unequal.sum())} of "
            f"{plural(expected.numel(), 'number')} {'differs' if int(unequal.sum()) == 1 else 'differ'}.")


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _spelt(value: Tensor) -> str:
    number = value.item()
    return f"{number:.6g}" if isinstance(number, float) else str(number)


def _of_texts(expected: str, given: object, what: str) -> str:
    if not isinstance(given, str):
        return f"{_subject(what)} is {_kind(given)}; expected is a text."
    if given == expected:
        return ""
    first = next((place for place, (want, gave) in enumerate(zip(expected, given, strict=False)) if want != gave),
                 min(len(expected), len(given)))
    want, gave = (text[first:first + _AROUND] or "the end" for text in (expected, given))
    return (f"{_subject(what)} first differs at character {first}, after {expected[max(0, first - _AROUND):first]!r}: "
            f"expected is {want!r}, yours is {gave!r}.")


def _of_numbers(expected: float | int, given: object, what: str) -> str:
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        return f"{_subject(what)} is {_kind(given)}; expected is a Python number."
    relative, absolute = (0.0, 0.0) if isinstance(expected, int) else _TOLERANCE
    if abs(given - expected) <= absolute + relative * abs(expected):
        return ""
    written = "{:,}" if isinstance(expected, int) else "{:.6g}"
    return f"{_subject(what)}: expected is {written.format(expected)}, yours is {written.format(given)}."
