"""Python's garbage is collected beside the runs of scripts, and takes a small share of the time.

Streamlit would collect all of it after every run of every session (`runner.postScriptGC`), and everybody waits meanwhile.
How long that takes grows with the sessions that are open: where forty followed a lecture to another page, two thirds of the
server's work were collections. Python's own ones are rarer, but see objects and not the megabytes of tensors behind them.
"""

from __future__ import annotations

import gc
import threading
import time

SHARE = 0.1  # of the time that is collected in, at most
REST, LONG = 0.25, 5.0  # s between two collections, at least and at most
FEW = 50  # objects more than after the last one, which are left for later


def collect_aside() -> None:
    """From now on collect in a thread of its own, whenever something has happened."""
    threading.Thread(target=_keep_collecting, daemon=True, name="collects garbage").start()


def rest_after(seconds: float) -> float:
    """How long to leave everybody alone (s) after a collection that took so long, as a clock on the wall tells."""
    return min(max(REST, seconds * (1 - SHARE) / SHARE), LONG)


def _keep_collecting() -> None:
    while True:
        time.sleep(rest_after(_collect() if _has_grown(*gc.get_count()) else 0.0))


def _has_grown(young: int, *collections: int) -> bool:
    """Whether there is more than after the last collection of everything, by `gc.get_count`."""
    return young > FEW or any(collections)


def _collect() -> float:
    """Collect everything, while no other thread runs. Returns how long that took (s)."""
    before = time.perf_counter()
    gc.collect()
    return time.perf_counter() - before
