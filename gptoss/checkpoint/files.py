"""Files that take the place of others whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path


def replace_files(directory: Path, writers: Mapping[str, Callable[[Path], None]], stale: Collection[Path] = ()) -> None:
    """Write every file beside its place, then remove the stale ones and move the new ones in, in their order.

    Where a writer fails, the files that were there still are.
    """
    unfinished = {name: directory / f"{name}.unfinished" for name in writers}
    try:
        for name, write in writers.items():
            write(unfinished[name])
        for path in stale:
            path.unlink()
        for name, path in unfinished.items():
            os.replace(path, directory / name)
    finally:
        for path in unfinished.values():
            path.unlink(missing_ok=True)


def write_text(text: str, path: Path) -> None:
    """The last step of a writer that has its text."""
    path.write_text(text, encoding="utf-8")
