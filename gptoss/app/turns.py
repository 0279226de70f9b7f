"""Who computes at this moment, and who waits: a small machine serves a whole room."""

from __future__ import annotations

import threading


class Turns:
    """So many threads at once, the others wait: a context manager. A thread that has its turn may ask for it again."""

    def __init__(self, places: int) -> None:
        self._places = threading.BoundedSemaphore(places)
        self._mine = threading.local()

    def __enter__(self) -> None:
        depth = getattr(self._mine, "depth", 0)
        if not depth:
            self._places.acquire()
        self._mine.depth = depth + 1

    def __exit__(self, *error: object) -> None:
        self._mine.depth -= 1
        if not self._mine.depth:
            self._places.release()


# Every build or pass in flight holds tens of megabytes and a core: two at a time, the others wait their turn.
HEAVY = Turns(2)

# One measurement of time on the server, whichever page takes it: a second one beside it would be measured too.
MEASURING = threading.Lock()
