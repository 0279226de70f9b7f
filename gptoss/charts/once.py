"""What is made of a constant object once, so that whoever compares by identity sees one and the same again."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

MOST_KEPT = 256  # specifications; there is one for each kind of chart, and for some kinds one for each number of rows


def once_for_each(function: Callable[[dict], dict]) -> Callable[[dict], dict]:
    """The function, but that it gives the same object for the same specification: each is known by its identity.

    What was made is kept with what it was made from, which so stays the only one of its identity.
    """
    kept: dict[int, tuple[dict, dict]] = {}

    @wraps(function)
    def remembered(spec: dict) -> dict:
        pair = kept.get(id(spec))
        if pair is None:
            if len(kept) >= MOST_KEPT:
                kept.clear()
            pair = kept[id(spec)] = spec, function(spec)
        return pair[1]

    return remembered
