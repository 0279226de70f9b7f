"""Reading NumPy's `.npz` files that somebody gives: cut, damaged or foreign ones are refused in one sentence."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib.npyio import NpzFile

from gptoss.syntax import PARSER


@contextmanager
def opened(file: Path | BinaryIO, name: str) -> Iterator[NpzFile]:
    """The arrays of a file, to be read within the block. `ValueError` for whatever is wrong in it, `OSError` without one."""
    try:
        with PARSER, np.load(file, allow_pickle=False) as arrays:
            yield arrays
    except (EOFError, KeyError, TypeError, AttributeError, ValueError, RuntimeError, MemoryError, zipfile.BadZipFile,
            zlib.error):  # one altered byte makes an entry encrypted, or an array larger than any memory
        raise ValueError(f"{name} is cut or damaged, or was not written by this program") from None
