"""Arguments that the cost functions refuse, in the words that `ModelConfig` uses for its fields."""

from __future__ import annotations

from collections.abc import Iterable


def require_count(name: str, value: int, minimum: int) -> None:
    """Raise `ValueError` unless `value` is an integer of `minimum` or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(f"{name}={value!r} is impossible; allowed: an integer of {minimum} or more")


def require_choice(name: str, value: str, allowed: Iterable[str]) -> None:
    """Raise `ValueError` unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is unknown; allowed: {', '.join(allowed)}")
