"""What only the nightly run does: `NIGHTLY=1 python -m pytest` keeps the full products of pages, dials and addresses."""

from __future__ import annotations

import os
from collections.abc import Sequence

NIGHTLY = bool(os.environ.get("NIGHTLY"))
EXAMPLES = 20  # times as many examples of each property at night


def at_night(full: Sequence, otherwise: Sequence) -> Sequence:
    """The full list in the nightly run, a few of it otherwise."""
    return full if NIGHTLY else otherwise
