"""Values that several sessions share: bounded, safe for many threads, and distinguished by hashable keys."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Cache(Generic[T]):
    """The `entries` values that were used last, by their keys. No value is None."""

    def __init__(self, entries: int) -> None:
        self.entries = entries
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._making: dict[Hashable, _Making] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> T | None:
        """The value of a key, which counts as used by this, or None."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key]

    def put(self, key: Hashable, value: T) -> T:
        """Keep a value, and let go of what has not been used for longest."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self.entries:
                self._values.popitem(last=False)
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

    def clear(self) -> None:
        """Forget all values."""
        with self._lock:
            self._values.clear()

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
