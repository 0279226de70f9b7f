"""Memory that is free goes back to the system: Linux's C library would keep it, for every thread that has used some.

Where the system has no such library, nothing happens.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # as malloc.h calls them
LARGE = 2**20  # bytes from which on a tensor has pages of its own, which go back as soon as it is freed
ARENAS = 2  # heaps: every session runs in threads of its own, and each would get one, none of them ever empty
EVERY = 20.0  # s


def spare_memory() -> None:
    """Give large tensors pages of their own, let threads share few heaps, and from now on give back what is free."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_M_MMAP_THRESHOLD, LARGE)
        library.mallopt(_M_ARENA_MAX, ARENAS)
        threading.Thread(target=_keep_giving_back, daemon=True, name="gives memory back").start()


def give_back_memory() -> None:
    """Give back what is free now."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _keep_giving_back() -> None:
    while True:
        time.sleep(EVERY)
        give_back_memory()
