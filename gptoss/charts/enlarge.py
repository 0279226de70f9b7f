"""A chart's specification for a screen that is seen from far away: larger letters, lines and marks, laid out anew."""

from __future__ import annotations

import re

from gptoss.charts.once import once_for_each

FACTOR = 1.35

_LENGTHS = {"fontSize", "labelFontSize", "titleFontSize", "labelLimit", "titleLimit", "limit", "labelPadding",
            "titlePadding", "padding", "offset", "dx", "dy", "strokeWidth", "tickSize", "height", "step", "spacing", "left",
            "right", "top", "bottom"}
_SIZES = {"size", "symbolSize"}  # px² of a symbol, px of a bar or a tick
_LONG = ("bar", "tick", "rule")
_THRESHOLD = re.compile(r"(?<=\bwidth > )\d+")  # px from which on an expression finds room for more
_NO_LENGTHS = {"scale", "transform", "datasets", "data", "params"}  # numbers in them count other things

@once_for_each
def enlarged(spec: dict) -> dict:
    """The specification with every length in px times `FACTOR`, but for the width, which is its place's.

    `spec` is constant, as those of `Chart` are, so that what comes back is the same object again.
    """
    return _larger(spec)


def _larger(part: object) -> object:
    if isinstance(part, list):
        return [_larger(each) for each in part]
    if not isinstance(part, dict):
        return part
    area = 1 if part.get("type") in _LONG else 2
    return {name: value if name in _NO_LENGTHS else _grown(name, value, area) for name, value in part.items()}


def _grown(name: str, value: object, area: int) -> object:
    if name == "expr" and isinstance(value, str):
        return _THRESHOLD.sub(lambda pixels: str(round(int(pixels[0]) * FACTOR)), value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _larger(value)
    if name in _LENGTHS:
        return round(value * FACTOR, 2)
    return round(value * FACTOR**area, 2) if name in _SIZES else value
