"""Values that several sessions share: bounded in number and, all together, in bytes; safe for many threads; by keys."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Generic, TypeVar

import numpy as np
import pandas as pd
from torch import Tensor, nn

T = TypeVar("T")

MOST_BYTES = 96 * 2**20  # of all values together: a shared host guarantees 690 MB, of which the libraries take 500


class Budget:
    """Bytes that several caches share. Whatever was not used for longest, in any of them, goes first."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self._sizes: OrderedDict[tuple[Cache, Hashable], int] = OrderedDict()
        self._lock = threading.Lock()

    def use(self, cache: Cache, key: Hashable) -> None:
        """Count a value as used by this moment."""
        with self._lock:
            if (cache, key) in self._sizes:
                self._sizes.move_to_end((cache, key))

    def take(self, cache: Cache, key: Hashable, size: int) -> None:
        """Count a new value in, and have caches let go of older ones until all are within the budget.

        More than all of it counts as a quarter. That is the server's own checkpoint, or a pass of it: they are bounded in
        number, and must not drive out everything else.
        """
        over = []
        with self._lock:
            self._leave(cache, key)
            self._sizes[cache, key] = size = size if size <= self.most_bytes else self.most_bytes // 4
            self.bytes += size
            while self.bytes > self.most_bytes:
                oldest = next(iter(self._sizes))
                self._leave(*oldest)
                over.append(oldest)
        for other, old in over:  # outside the lock, since a cache asks for this one while it holds its own
            other.drop(old)

    def leave(self, cache: Cache, key: Hashable) -> None:
        """Count a value out."""
        with self._lock:
            self._leave(cache, key)

    def _leave(self, cache: Cache, key: Hashable) -> None:
        self.bytes -= self._sizes.pop((cache, key), 0)


SHARED = Budget(MOST_BYTES)


class Cache(Generic[T]):
    """The `entries` values that were used last, by their keys, as far as the `budget` allows. No value is None."""

    def __init__(self, entries: int, budget: Budget = SHARED) -> None:
        self.entries, self.budget = entries, budget
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._making: dict[Hashable, _Making] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> T | None:
        """The value of a key, which counts as used by this, or None."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            value = self._values[key]
        self.budget.use(self, key)
        return value

    def put(self, key: Hashable, value: T) -> T:
        """Keep a value, and let go of what has not been used for longest."""
        over = []
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self.entries:
                over.append(self._values.popitem(last=False)[0])
        for old in over:
            self.budget.leave(self, old)
        self.budget.take(self, key, weight(value))
        return value

    def of(self, key: Hashable, make: Callable[[], T], alone: bool = True) -> T:
        """The value of a key, made where there is none; if `alone`, by one thread while others that ask for it wait."""
        value = self.get(key)
        if value is not None:
            return value
        if not alone:
            return self.put(key, make())
        with self._alone_with(key):
            value = self.get(key)
            return self.put(key, make()) if value is None else value

    def drop(self, key: Hashable) -> None:
        """Forget one value."""
        with self._lock:
            self._values.pop(key, None)
        self.budget.leave(self, key)

    def clear(self) -> None:
        """Forget all values."""
        with self._lock:
            keys = [*self._values]
            self._values.clear()
        for key in keys:
            self.budget.leave(self, key)

    def __len__(self) -> int:
        return len(self._values)

    @contextmanager
    def _alone_with(self, key: Hashable) -> Iterator[None]:
        with self._lock:
            waiting = self._making.setdefault(key, _Making())
            waiting.threads += 1
        try:
            with waiting.lock:
                yield
        finally:
            with self._lock:
                waiting.threads -= 1
                if not waiting.threads:
                    del self._making[key]


class _Making:
    """A value that is being made: the lock of the thread that makes it, and how many threads want it."""

    def __init__(self) -> None:
        self.lock, self.threads = threading.RLock(), 0


def weight(value: object) -> int:
    """Bytes of memory behind a value: its tensors, arrays, tables and texts, each once, however they are nested."""
    return sum(_weights(value, set()))


def _weights(value: object, seen: set[int]) -> Iterator[int]:
    if isinstance(value, Tensor):
        storage = value.untyped_storage()
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            yield storage.nbytes()
        return
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, nn.Module):
        for part in (*value.parameters(), *value.buffers()):
            yield from _weights(part, seen)
    elif isinstance(value, np.ndarray):
        yield value.nbytes
    elif isinstance(value, pd.DataFrame | pd.Series):
        yield int(np.sum(value.memory_usage()))
    else:
        yield sys.getsizeof(value)
        for part in _parts(value):
            yield from _weights(part, seen)


def _parts(value: object) -> Iterator[object]:
    """What is inside a value of Python's own kinds, of a dataclass, or of a function that was made with it inside."""
    if isinstance(value, dict):
        yield from value.keys()
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    elif is_dataclass(value) and not isinstance(value, type):
        yield from (getattr(value, field.name) for field in fields(value))
    elif isinstance(value, Mapping):
        yield from value.values()
    elif callable(value):
        function = getattr(value, "__wrapped__", value)
        yield from (cell.cell_contents for cell in getattr(function, "__closure__", None) or ())
