"""How large, how many and how often: whatever comes from a room is bounded, and so is what one address may try."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

ROOMS = 64  # at once on a server
PHONES = 1_000  # browsers that a room knows
WINDOWS = 6  # open streams of one of them
STRANGERS = 200  # open streams of a room's visitors who have no seat
LECTURERS = 32  # open streams of a room's own lecturer: projector, presenter's window, and either reloaded
WAITING = 30 * 60.0  # s without a lecturer after which a room ends
UNLED = 5 * 60.0  # s after which one ends that was opened and that nobody came to lead
LONGEST = 6 * 3600.0  # s that a room lives at most
VOTES = 200  # of a room
ROUNDS = 5  # of a vote
ADDRESS = 8_000  # characters of what is on the screen
CURVE = 64  # points of a drawn curve
TAKING = 1.5  # s in which a projector takes a press of the presenter's
PRESSES = 4  # that wait for one
LARGEST = 1e15  # that a number answered may be
BODY = 2_000  # bytes of what a phone sends
OPENING = 256 * 1024  # bytes of what opens a room: an order as JSON writes it
MISSES = (60, 10.0)  # codes that there are not, from one address: a class mistypes some, and nobody finds one by trying
ADDRESSES = 4_096  # that a limit remembers


def listeners() -> int:
    """How many streams a server holds open: each is a file of the process, and half of those are left to all others."""
    try:
        import resource
    except ImportError:  # only Unix counts files
        return 2_000
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(2_000, most // 2) if most != resource.RLIM_INFINITY else 2_000


@dataclass
class _Level:
    """How many tries were left to an address, and when (s)."""

    left: float
    at: float


class Tries:
    """So many tries an address at once, and one more every `every` seconds. The addresses remembered are bounded."""

    def __init__(self, at_once: int, every: float) -> None:
        self._at_once, self._every = at_once, every
        self._levels: OrderedDict[str, _Level] = OrderedDict()
        self._lock = threading.Lock()

    def left(self, address: str) -> bool:
        """Whether an address may try."""
        with self._lock:
            return self._level(address).left >= 1

    def take(self, address: str) -> bool:
        """Use up a try of an address; False where it has none."""
        with self._lock:
            level = self._level(address)
            if level.left < 1:
                return False
            level.left -= 1
            return True

    def _level(self, address: str) -> _Level:
        name, now = network(address), time.monotonic()
        level = self._levels.setdefault(name, _Level(self._at_once, now))
        level.left = min(self._at_once, level.left + (now - level.at) / self._every)
        level.at = now
        self._levels.move_to_end(name)
        while len(self._levels) > ADDRESSES:
            self._levels.popitem(last=False)
        return level


def network(address: str) -> str:
    """What one machine has of addresses: one of IPv4, or the 2^64 of IPv6 that are given to every household."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if known.version == 6 and known.ipv4_mapped:
        return str(known.ipv4_mapped)
    return str(known) if known.version == 4 else str(ipaddress.ip_network((known, 64), strict=False))
