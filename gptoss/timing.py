"""How long something takes: in rounds, and as a median with the quartiles around it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """Measured values: their median, and the quartiles around it."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles of at least two values."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def seconds(work: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Stopped(Exception):
    """A measurement that was asked to end before it had all its rounds."""


def in_turn(contestants: Mapping[str, Callable[[], object]], rounds: int, budget: float = 0.0, warm: int = 1,
            progress: Callable[[float], None] | None = None,
            should_stop: Callable[[], bool] = lambda: False) -> dict[str, list[float]]:
    """Seconds of every call: A, B, A, B, …, so that what else the machine does falls on all of them alike.

    After `warm` rounds that do not count there are at least `rounds`, and more while the `budget` in seconds lasts.
    `progress` gets the share that is done, 0 to 1. `Stopped` is raised where `should_stop` says so before a call.
    """
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    begin, done, share = time.perf_counter(), -warm, 0.0
    while share < 1:
        for name, call in contestants.items():
            if should_stop():
                raise Stopped
            elapsed = seconds(call)
            if done >= 0:
                taken[name].append(elapsed)
        done += 1
        spent = (time.perf_counter() - begin) / budget if budget else 1.0
        share = min(1.0, spent, max(done, 0) / rounds)
        if progress is not None:
            progress(share)
    return taken
