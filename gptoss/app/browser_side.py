"""The files beside the frame's modules that run in the browser: scripts and styles."""

from __future__ import annotations

from pathlib import Path


def text_of(name: str) -> str:
    """The content of one of them, such as `dials.js`."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
