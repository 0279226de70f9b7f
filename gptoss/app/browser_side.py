"""The files beside modules that run in the browser: scripts and styles."""

from __future__ import annotations

import json
from pathlib import Path


def text_of(name: str, beside: str = __file__) -> str:
    """The content of one of them, such as `dials.js`, beside a module: one of the frame's, unless its file is given."""
    return (Path(beside).parent / name).read_text(encoding="utf-8")


def constants(**values: object) -> str:
    """Values that Python knows, for the script that follows: `const NAME = …`."""
    return "".join(f"const {name} = {json.dumps(value)}\n" for name, value in values.items())
