"""Whether a checkpoint's weights have room in memory, found out before the first of them is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gptoss.checkpoint.errors import CheckpointError
from gptoss.units import size

SMALL = 256 << 20  # bytes of weights that are read whatever the system says, which is careful and gives way under pressure
_GROUPS = Path("sys/fs/cgroup")
_UNLIMITED = 1 << 60  # the first version of control groups has no word for it, only a huge number
# Of each version: the limit, what is in use, and what of that are files' pages, which give way to whatever needs the room.
_VERSION_2 = "memory.max", "memory.current", ("inactive_file", "active_file")
_VERSION_1 = "memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")


def require_room(directory: Path, needed: int) -> None:
    """Raise `CheckpointError` where weights of `needed` bytes are more than the memory that is free, if that is known.

    Fewer than `SMALL` always have room.
    """
    available = available_bytes() if needed > SMALL else None
    if available is not None and needed > available:
        raise CheckpointError(f"{directory}: the model's weights need {size(needed)} of memory, but only {size(available)} "
                              f"are free")


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory that this process can still take: what Linux has free, or what a control group leaves it, if that is less.

    `root` is where the file systems `proc` and `sys` are. None where neither says anything, as on other systems.
    """
    found = [*_free_in_system(root / "proc/meminfo"), *_left_by_groups(root)]
    return max(0, min(found)) if found else None


def _free_in_system(path: Path) -> Iterator[int]:
    """`MemAvailable`, in bytes."""
    if "MemAvailable:" in (table := _table(path)):
        yield table["MemAvailable:"] << 10


def _left_by_groups(root: Path) -> Iterator[int]:
    """What every control group with a limit leaves, this process's own and those around it."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, place = rest.partition(":")
        if number == "0":
            top, files = root / _GROUPS, _VERSION_2
        elif "memory" in controllers.split(","):
            top, files = root / _GROUPS / "memory", _VERSION_1
        else:
            continue
        own = top / place.lstrip("/")
        for group in (own, *own.parents):
            yield from _left_by(group, *files)
            if group == top:
                break


def _left_by(group: Path, limit: str, used: str, files: tuple[str, str]) -> Iterator[int]:
    most, taken = _text(group / limit).strip(), _text(group / used).strip()
    if most.isdecimal() and taken.isdecimal() and int(most) < _UNLIMITED:  # "max" is no limit
        table = _table(group / "memory.stat")
        yield int(most) - int(taken) + sum(table.get(name, 0) for name in files)


def _table(path: Path) -> dict[str, int]:
    """The first two words of each line of a file."""
    rows = (line.split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _text(path: Path) -> str:
    """What the system says there, or nothing."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
