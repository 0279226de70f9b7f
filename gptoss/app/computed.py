"""The doors between a page and a model: `computed`, `traced` and `measured`.

Each takes a pure function of a model and gives a function of a study. It remembers the results, shares them between
sessions, and waits for its turn: a page needs neither keys nor caches nor semaphores of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import update_wrapper
from inspect import isgenerator
from typing import Generic, TypeVar

import numpy as np
import pandas as pd
import streamlit as st
from torch import Tensor

from gptoss.app import large
from gptoss.app.cache import Cache
from gptoss.app.live import ModelKey, pass_over, running, turn
from gptoss.app.study import Study
from gptoss.app.turns import HEAVY, MEASURING
from gptoss.timing import Stopped

T = TypeVar("T")
WAITING = "Another reader's measurement is running; yours is next."


class Computed(Generic[T]):
    """A function of studies and hashable values, whose results are remembered; see `computed`."""

    def __init__(self, function: Callable[..., T], entries: int, when: Callable[..., bool] | None,
                 many_passes: str) -> None:
        update_wrapper(self, function)
        self._function, self._when, self._many_passes = function, when, many_passes
        self.cache: Cache[T] = Cache(entries)

    def __call__(self, *arguments: object) -> T:
        key = tuple(map(_key, arguments))
        is_large = any(isinstance(part, ModelKey) and part.is_large for part in key)
        if is_large and self._many_passes:
            raise large.TooLong(f"{self._many_passes} takes dozens of passes, too many for a model as large as the server's "
                                "checkpoint. Choose another preset to see it.")
        if self._when is not None and not self._when(*arguments):
            return self._compute(key)
        # A large model's turn shows on the page, and ends when the reader moves on: nobody waits for it in here.
        return self.cache.of(key, lambda: self._compute(key), alone=not is_large)

    def known(self, *arguments: object) -> T | None:
        """The result, if it is remembered."""
        return self.cache.get(tuple(map(_key, arguments)))

    def forget(self, *arguments: object) -> None:
        """Have it computed anew the next time."""
        self.cache.drop(tuple(map(_key, arguments)))

    def _compute(self, key: tuple) -> T:
        values = [_value(part) for part in key]  # models are built before the turn, each in one of its own
        with turn(*key):
            return self._function(*values)


def computed(function: Callable[..., T], entries: int = 16, when: Callable[..., bool] | None = None,
             many_passes: str = "") -> Computed[T]:
    """A pure function of (model, …) as a function of (study, …).

    Wherever the caller gives a `Study` or a `ModelKey`, the function gets the model. Other arguments have to be hashable,
    or are tensors, traces and tables, of which each object is a key of its own. Arguments are passed by position.

    Args:
        entries: results that are remembered; the one that was not used for longest goes first.
        when: of the caller's arguments, whether the result is small enough to be remembered.
        many_passes: begins the sentence of `TooLong`, which is raised where the model is so large that each pass has to
            be waited for: "Trying every window". Empty for what takes a single pass.
    """
    return Computed(function, entries, when, many_passes)


class Traced(Computed[T]):
    """A function of one recorded pass; see `traced`."""

    def __init__(self, function: Callable[..., T], names: tuple[str, ...], inside: bool, everywhere: bool, entries: int,
                 when: Callable[..., bool] | None) -> None:
        super().__init__(function, entries, when, many_passes="")
        self._names, self._inside, self._everywhere = names, inside, everywhere

    def _compute(self, key: tuple) -> T:
        model, tokens, *rest = key
        layers = None if self._everywhere else rest[:1] if self._inside else ()
        trace = pass_over(model, tokens, layers, lambda name: name.endswith(self._names))
        with HEAVY:
            return self._function(trace, model.model, *map(_value, rest))


def traced(function: Callable[..., T], names: tuple[str, ...] = ("",), inside: bool = True, everywhere: bool = False,
           entries: int = 16, when: Callable[..., bool] | None = None) -> Traced[T]:
    """A pure function of (trace, model, …) as a function of (study, tokens, …), over one recorded pass.

    A large model's pass is taken from the one that is remembered. With `inside` the first of "…" is the layer whose
    inside is recorded; without it there is the stream alone, and with `everywhere` the inside of every layer. `names` are
    the ends of the tensors' names to keep, all unless some are given. `entries` and `when` are as in `computed`.
    """
    return Traced(function, names, inside, everywhere, entries, when)


class Measured(Computed[T]):
    """A function that takes time and tells how much; see `measured`."""

    def __init__(self, function: Callable[..., T], entries: int, doing: str, many_passes: str) -> None:
        super().__init__(function, entries, None, many_passes)
        self._doing = doing

    def again(self, *arguments: object) -> T:
        """Measure anew, whatever is remembered."""
        self.forget(*arguments)
        return self(*arguments)

    def _compute(self, key: tuple) -> T:
        values = [_value(part) for part in key]
        place = st.empty()
        place.progress(0.0, WAITING if MEASURING.locked() else self._doing)
        try:
            with alone():
                place.progress(0.0, self._doing)
                return _in_rounds(self._function, values, place)
        finally:
            place.empty()


def measured(function: Callable[..., T], entries: int = 16, doing: str = "Measuring.", many_passes: str = "") -> Measured[T]:
    """A function of (model, …) that takes its time, as a function of (study, …) that is alone on the server meanwhile.

    It says `doing` while it runs, and while another measurement runs that this one is next. A function may be a generator
    of (share done, words): others then get their turn between its rounds, and what it returns is the result. `many_passes`
    is as in `computed`.
    """
    return Measured(function, entries, doing, many_passes)


@contextmanager
def alone(should_stop: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Wait until no other measurement runs, then be the one that does. `Stopped` where `should_stop` says so first."""
    while not MEASURING.acquire(timeout=0.1):
        if should_stop():
            raise Stopped
    try:
        yield
    finally:
        MEASURING.release()


@dataclass(frozen=True)
class _Itself:
    """An argument without a hash of its own: equal to itself alone."""

    value: object

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def _key(argument: object) -> Hashable:
    if isinstance(argument, Study):
        return running(argument)
    return _Itself(argument) if isinstance(argument, (Tensor, Mapping, pd.DataFrame, np.ndarray)) else argument


def _value(key: Hashable) -> object:
    if isinstance(key, ModelKey):
        return key.model
    return key.value if isinstance(key, _Itself) else key


def _in_rounds(function: Callable[..., T], values: list[object], place: st.delta_generator.DeltaGenerator) -> T:
    with HEAVY:
        work = function(*values)
    while isgenerator(work):
        try:
            with HEAVY:
                done, words = next(work)
        except StopIteration as end:
            return end.value
        place.progress(done, words)
    return work
