"""JSON as RFC 8259 defines it, where Python's `json` by default is laxer: it reads and writes `NaN` and `Infinity`."""

from __future__ import annotations

import json
import math
from typing import NoReturn

_NO_NUMBER = "is no number of JSON"


def read(text: str, digits: bool = True) -> object:
    """The value of a JSON text.

    Without `digits`, numbers stay the texts that they are, so that none is too long: for whoever only asks whether a text
    is JSON. Raises `ValueError` (for a mistake in the grammar its subclass `json.JSONDecodeError`, which says where), and
    `RecursionError` where a text is nested deeper than Python goes.
    """
    numbers = {} if digits else {"parse_int": str, "parse_float": str}
    return json.loads(text, parse_constant=_refuse, **numbers)


def obstacle(error: Exception) -> str:
    """Why `read` raised something else than a mistake in the grammar."""
    return str(error) if _NO_NUMBER in str(error) else "a number in it is too long, or it is nested too deeply"


def write(value: object, **layout: object) -> str:
    """The JSON text of a value; numbers that JSON has no word for become null. `layout` goes to `json.dumps`."""
    return json.dumps(_with_null(value), allow_nan=False, **layout)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} {_NO_NUMBER}")


def _with_null(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _with_null(part) for key, part in value.items()}
    return [_with_null(part) for part in value] if isinstance(value, list | tuple) else value
