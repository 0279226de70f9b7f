"""Small multiples in one view, for as many panels as the data have, under one constant specification.

Facets of Vega-Lite have a fixed width, and their number is part of the specification. Here both axes go from 0 to 1 over
the whole view, every panel is a part of it, and the data carry their places.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import altair as alt
import numpy as np
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, blank_chart
from gptoss.units import number, percent

TITLE, TICKS = 28, 24  # px above and below a panel, for its name and the numbers on its axis
GAP = 0.035  # between panels, of the view's width
WIDE = 520  # px of the view from which there is room for more than the least words

BESIDE = "name of a curve"
_TITLE, _ASIDE, _GRID, _LEFT = "panel", "aside", "grid", "number at the left"
_FIRST, _MIDDLE, _FAR, _LAST = "first number below", "number below if wide", "number below", "number at the end"
_WORDS = {  # how the words of each kind are set: align, baseline, dx, dy, weight, and whether only a wide view has room
    _TITLE: ("left", "bottom", 0, -7, "bold", False), _ASIDE: ("right", "bottom", 0, -7, "normal", True),
    BESIDE: ("left", "middle", 0, -12, "bold", False), _LEFT: ("right", "middle", -7, 0, "normal", False),
    _FIRST: ("left", "top", 0, 6, "normal", False), _MIDDLE: ("center", "top", 0, 6, "normal", True),
    _FAR: ("center", "top", 0, 6, "normal", False), _LAST: ("right", "top", 0, 6, "normal", False)}
PLACES = ["x", "y", "x2", "y2"]
_TICK = partial(number, digits=6)
WHOLE_PERCENT = partial(percent, decimals=0)  # for `frame`: numbers of an axis of shares
_AT_THE_END = 0.95  # share of an axis beyond which a number has to be left of its tick


@dataclass(frozen=True)
class Scale:
    """From values to shares of a panel: `low` to 0, `high` to 1. Raises `ValueError` where that is not possible."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"no {'logarithmic ' if self.log else ''}axis goes from {self.low} to {self.high}")

    def share(self, values: np.ndarray | float) -> np.ndarray:
        bend = np.log if self.log else np.asarray
        values = np.asarray(values, float)
        return (bend(values) - bend(self.low)) / (bend(self.high) - bend(self.low))

    def ticks(self, most: int) -> list[float]:
        """Up to `most` round values between the ends."""
        return _round_ratios(self.low, self.high, most) if self.log else _round_steps(self.low, self.high, most)


@dataclass(frozen=True)
class Panel:
    """A part of the view, from 0 to 1 both ways, and what its axes mean.

    Only the `lowest` of a column has numbers below.
    """

    left: float
    right: float
    bottom: float
    top: float
    across: Scale
    up: Scale
    lowest: bool

    def x(self, values: np.ndarray | float) -> np.ndarray:
        """Where these values of the horizontal axis are in the view."""
        return (self.left + self.across.share(values) * (self.right - self.left)).round(5)

    def y(self, values: np.ndarray | float) -> np.ndarray:
        return (self.bottom + self.up.share(values) * (self.top - self.bottom)).round(5)

    def frame(self, title: str, aside: str = "", write: Callable[[float], str] = _TICK,
              ticks: tuple[int, int] = (4, 4)) -> list[dict]:
        """The rows of its frame: name, a remark at the right, grid lines, and the numbers of both axes.

        `write` writes the vertical ones, `ticks` says how many there may be across and up.
        """
        rows = [{"kind": _TITLE, "x": self.left, "y": self.top, "text": title},
                {"kind": _ASIDE, "x": self.right, "y": self.top, "text": aside}]
        for tick in self.up.ticks(ticks[1]):
            at = {"x": self.left, "y": float(self.y(tick))}
            rows.append({"kind": _GRID, **at, "x2": self.right})
            if self.left == 0:
                rows.append({"kind": _LEFT, **at, "text": write(tick)})
        marks = self.across.ticks(ticks[0]) if self.lowest else []
        for place, tick in enumerate(marks):
            between = _MIDDLE if self.right - self.left < 0.5 else _FAR
            last = _LAST if self.across.share(tick) > _AT_THE_END else _FAR
            kind = _FIRST if place == 0 else last if place == len(marks) - 1 else between
            rows.append({"kind": kind, "x": float(self.x(tick)), "y": self.bottom, "text": _TICK(tick)})
        return rows


def grid(count: int, columns: int, height: int, across: Scale, up: Sequence[Scale]) -> list[Panel]:
    """`count` equal panels, row by row, in a view `height` px tall; `up` is the scale of each."""
    width, tall = (1 - GAP * (columns - 1)) / columns, (height - TICKS) / math.ceil(count / columns)
    return [Panel(left=round(column * (width + GAP), 5), right=round(column * (width + GAP) + width, 5),
                  bottom=1 - tall * (row + 1) / height, top=1 - (tall * row + TITLE) / height,
                  across=across, up=up[place], lowest=place + columns >= count)
            for place in range(count) for row, column in [divmod(place, columns)]]


def panel_data(frames: Iterable[dict], marks: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """The frames of all panels and the marks in them as one table. A mark that ends nowhere else ends where it starts.

    A mark is a group of rows by column: each an array or a single value for all of them; `x` must be an array where any is.
    """
    groups = [{"x": np.empty(0)}, *marks, *frames]
    sizes = [np.size(group["x"]) for group in groups]
    names = dict.fromkeys([*PLACES, *(name for group in groups for name in group)])
    columns = {name: _column([group.get(name, group.get(name[0]) if name in PLACES else None) for group in groups], sizes)
               for name in names}
    return pd.DataFrame(columns)


def _column(values: list[object], sizes: list[int]) -> np.ndarray | pd.Categorical:
    """One column from each group's part: categories where there are words, else numbers; NaN where there is nothing."""
    if not any(isinstance(value, str) for value in values):
        return np.concatenate([np.full(size, float("nan") if value is None else value, float)
                               for value, size in zip(values, sizes, strict=True)])
    words = {word: code for code, word in enumerate(dict.fromkeys(value or "" for value in values))}
    return pd.Categorical.from_codes(np.repeat([words[value or ""] for value in values], sizes), list(words))


def of_kind(kind: str) -> alt.Chart:
    """A layer of the marks of one kind."""
    return blank_chart().transform_filter(f"datum.kind === '{kind}'")


def places(x_title: str, y_title: str, room: int, **y_axis: object) -> tuple[alt.X, alt.Y]:
    """The two axes of the whole view. `room` px at the left are for numbers or names; `y_axis` are more of its settings."""
    bare = {"labels": False, "ticks": False, "grid": False, "domain": False}
    scale = alt.Scale(domain=[0, 1], nice=False, zero=False)
    return (alt.X("x:Q", scale=scale, axis=alt.Axis(title=x_title, titlePadding=4, **bare)),
            alt.Y("y:Q", scale=scale, axis=alt.Axis(title=y_title, titlePadding=room, **bare, **y_axis)))


def frame_layers(x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """What draws the frames of `Panel.frame` and other words: two layers, since each one costs a pass over all rows."""
    lines = of_kind(_GRID).mark_rule(color=palette.GRID, tooltip=False).encode(x=x, y=y, x2="x2:Q")
    align, baseline, dx, dy, weight, wide = ({"expr": f"{json.dumps(dict(zip(_WORDS, values, strict=True)))}[datum.kind]"}
                                             for values in zip(*_WORDS.values(), strict=True))
    shown = {"expr": f"width > {WIDE} || !{wide['expr']} ? 1 : 0"}
    words = blank_chart().transform_filter("datum.text").mark_text(
        fontSize=FONT_SIZE, tooltip=False, align=align, baseline=baseline, dx=dx, dy=dy, fontWeight=weight, opacity=shown)
    return [lines, words.encode(x=x, y=y, text="text:N")]


def _round_steps(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / max(most - 1, 1)
    unit = 10.0 ** math.floor(math.log10(rough))
    for step in (factor * unit for factor in (1, 2, 2.5, 5, 10, 20)):
        first, last = math.ceil(round(low / step, 9)), math.floor(round(high / step, 9))
        if last - first < most:
            return [round(number * step, 12) for number in range(first, last + 1)]
    return []


def _round_ratios(low: float, high: float, most: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 1.5, 2, 3, 4, 6, 8), (1, 2, 3, 5, 8), (1, 2, 4, 8), (1, 2, 5),
                   (1, 3), (1,)):
        ticks = [round(digit * 10.0**decade, 12) for decade in decades for digit in digits
                 if low <= digit * 10.0**decade <= high]
        if len(ticks) <= most:
            return ticks
    return []
