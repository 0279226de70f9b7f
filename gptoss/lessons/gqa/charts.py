"""Who shares keys and values: the heads drawn in their groups, what each way costs, and the cache as it grows."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import NamedTuple

import altair as alt
import numpy as np
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import ROW, Chart, blank_chart, scale_of, specification, tooltip
from gptoss.charts.svg import HEADING_SIZE, TEXT_SIZE, Pen, at_both_widths
from gptoss.config import divisors_of
from gptoss.units import plural, size

_PAD, _TITLE = 14, 34  # px inside a frame, and the room its title takes
_SIDE, _STEM, _BETWEEN = 0.82, 0.7, 0.45  # of the pitch: a cell's side, the stem under a group, the gap between groups
_SECOND_LINE = 22  # px, of a title that takes two
_LARGEST = 28  # px from head to head at most
_WIDE, _NARROW = (540, 125), (350, 160)  # px a drawing is wide, and its heads are high at most

_KEY, _VALUE, _REST = "key", "value", "everything else"
_BINARY = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10}
_DECIMAL = {"billions": 10**9, "millions": 10**6, "thousands": 10**3}
_SPELLED = {"MHA": "Every head its own", "GQA": "Shared in groups", "MQA": "One pair for all"}
_ROW_HEIGHT = 0.94  # of a layer's row, for the largest cache


class _Row(NamedTuple):
    """One way of sharing heads."""

    name: str
    heads: int
    kv_heads: int

    @property
    def group(self) -> int:
        return self.heads // self.kv_heads


@lru_cache(maxsize=128)
def head_sharing(heads: int, kv_heads: int, head_dim: int) -> str:
    """An inline SVG of MHA, GQA and MQA below each other, every head a square of one size; the one as set is framed.

    Each group of query heads hangs on the one key head and the one value head that it shares. GQA comes between
    with `kv_heads`, or, where that is an end, with the divisor of `heads` nearest to its square root. There are two
    drawings, for wide screens and for phones, of which the app's style shows one. Raises `ValueError` where `kv_heads`
    does not divide `heads`.
    """
    if heads % kv_heads:
        raise ValueError(f"kv_heads={kv_heads} is impossible; allowed: {', '.join(map(str, divisors_of(heads)))}")
    rows = _rows(heads, kv_heads)
    words = describe_sharing(heads, kv_heads, head_dim)
    return at_both_widths(*(_drawing(rows, kv_heads, head_dim, *size, words) for size in (_WIDE, _NARROW)))


def describe_sharing(heads: int, kv_heads: int, head_dim: int) -> str:
    """The drawing in words: its alternative text."""
    rows = "; ".join(f"{row.name}: {plural(heads, 'query head')} in {plural(row.kv_heads, 'KV group')}, "
                     f"{size(_bytes_per_token(row.kv_heads, head_dim))} for each token in a layer"
                     for row in _rows(heads, kv_heads))
    return f"{rows}. The model is set to {plural(kv_heads, 'KV group')}."


def kv_head_costs(costs: pd.DataFrame, context: int) -> Chart:
    """Two panels over the number of KV groups: bytes of the KV cache, and parameters. The one as set is full.

    `costs` has the columns `kv_heads`, `cache` (bytes at `context` tokens), `parameters`, `shared` (those of them
    that make keys and values) and `current`. Both panels start at zero.
    """
    binary, count = _unit(costs["cache"].max(), _BINARY), _unit(costs["parameters"].max(), _DECIMAL)
    rows = []
    for kv_heads, stored, parameters, shared, current in costs.itertuples(index=False):
        cache, halves = stored / _BINARY[binary] / 2, shared / _DECIMAL[count] / 2
        rest = (parameters - shared) / _DECIMAL[count]
        rows += [(kv_heads, _KEY, cache, halves, current), (kv_heads, _VALUE, cache, halves, current),
                 (kv_heads, _REST, 0.0, rest, current)]
    data = pd.DataFrame(rows, columns=["kv_heads", "what", "cache", "parameters", "current"])
    return Chart(_costs_spec(binary, count), data.round({"cache": 6, "parameters": 6}),
                 "Size of the KV cache and number of parameters against the number of KV groups",
                 _describe_costs(costs, context))


def cache_film(growth: pd.DataFrame) -> Chart:
    """The cache while a sequence is decoded: a row for each layer, as high as its keys and values take bytes.

    `growth` has the columns `layer`, `kind` ("sliding" or "full"), `step` (tokens so far) and `bytes`; between two
    rows of a layer it grows in a straight line. All layers have one linear scale.
    """
    base = growth["layer"] + _ROW_HEIGHT / 2
    largest = max(int(growth["bytes"].max()), 1)
    data = pd.DataFrame({
        "layer": growth["layer"], "kind": growth["kind"], "step": growth["step"], "bytes": growth["bytes"],
        "bend": (growth["kind"] == "sliding") & (growth["layer"] == 0) & growth["step"].between(1, growth["step"].max() - 1),
        "base": base.round(4), "top": (base - _ROW_HEIGHT * growth["bytes"] / largest).round(6)})
    return Chart(_film_spec(), data, "Bytes of each layer's KV cache against the decode step", _describe_film(growth))


def _rows(heads: int, kv_heads: int) -> list[_Row]:
    between = divisors_of(heads)[1:-1]
    rows = [_Row("MHA", heads, heads)] if heads > 1 else []
    if between:
        middle = min(between, key=lambda n: abs(np.log(n) - np.log(heads) / 2))
        rows.append(_Row("GQA", heads, kv_heads if kv_heads in between else middle))
    return [*rows, _Row("MQA", heads, 1)]


def _drawing(rows: list[_Row], kv_heads: int, head_dim: int, width: float, height: float, words: str) -> str:
    """All rows with one size of cell, so that what is stored can be compared by its area."""
    inner = width - 2 * _PAD
    pitch = next(size / 4 for size in range(4 * _LARGEST, 4, -1) if all(
        (shape := _shape(row, size / 4, inner)) and shape.height <= height for row in rows))
    pen = Pen()
    y = _legend(pen, TEXT_SIZE + 4)
    for row in rows:
        shape, as_set = _shape(row, pitch, inner), row.kv_heads == kv_heads
        top = y + _TITLE + (_SECOND_LINE if _is_narrow(width) else 0)
        bottom = top + shape.height + _PAD
        if as_set:
            pen.box(2, y, width - 4, bottom - y, palette.fade(palette.ACCENT, 0.1), 10, "as-set", palette.ACCENT, 2.5)
        _title(pen, row, head_dim, y + 23, width)
        _groups(pen, row, pitch, shape, _PAD, top, inner)
        y = bottom + 8
    return pen.picture(width, y, words)


def _legend(pen: Pen, y: float) -> float:
    """What the colours are; returns where the rows may begin."""
    x = 4.0
    for colour, words in ((palette.QUERY, "query head"), (palette.KEY, "key head"), (palette.VALUE, "value head")):
        pen.box(x, y - 12, 14, 14, colour, 3)
        pen.text(x + 20, y, words)
        x += 118
    return y + 14


def _title(pen: Pen, row: _Row, head_dim: int, y: float, width: float) -> None:
    """What a row is called and what it keeps, on one line, or on two of a narrow drawing."""
    pen.text(_PAD, y, f"{_SPELLED[row.name]} ({row.name})", HEADING_SIZE, bold=True)
    words = f"{plural(row.kv_heads, 'KV group')}: {size(_bytes_per_token(row.kv_heads, head_dim))} a token and layer"
    if _is_narrow(width):
        pen.text(_PAD, y + _SECOND_LINE, words, faint=True)
    else:
        pen.text(width - _PAD, y, words, anchor="end", faint=True)


def _is_narrow(width: float) -> bool:
    return width < 500


class _Shape(NamedTuple):
    """How a row's groups are laid out."""

    columns: int  # query heads side by side in a group
    across: int  # groups side by side
    height: float


def _shape(row: _Row, pitch: float, width: float) -> _Shape | None:
    """The lowest layout of a row whose heads are `pitch` px apart, or None where none is narrow enough."""
    fits = []
    for columns in divisors_of(row.group):
        most = int((width + _BETWEEN * pitch) // ((columns + _BETWEEN) * pitch))
        if most:
            lines = -(-row.kv_heads // most)
            tile = (row.group // columns + _STEM + 2) * pitch
            height = lines * tile + (lines - 1) * _BETWEEN * pitch
            fits.append(_Shape(columns, -(-row.kv_heads // lines), height))
    return min(fits, key=lambda shape: (shape.height, -shape.columns), default=None)


def _groups(pen: Pen, row: _Row, pitch: float, shape: _Shape, x: float, y: float, width: float) -> None:
    """Every group: a block of query heads, a stem, and the key and value head below it. One path for each colour."""
    deep, room = row.group // shape.columns, width / shape.across
    queries, keys, values, stems = [], [], [], []
    for group in range(row.kv_heads):
        left = x + group % shape.across * room + (room - (shape.columns - 1 + _SIDE) * pitch) / 2
        top = y + group // shape.across * (deep + _STEM + 2 + _BETWEEN) * pitch
        queries += [(left + head % shape.columns * pitch, top + head // shape.columns * pitch)
                    for head in range(row.group)]
        middle, below = left + (shape.columns - 1) * pitch / 2, top + (deep + _STEM) * pitch
        keys.append((middle, below))
        values.append((middle, below + pitch))
        stems.append(_stem(left, top + deep * pitch, shape.columns, pitch))
    for kind, colour, places in (("query-heads", palette.QUERY, queries), ("key-heads", palette.KEY, keys),
                                 ("value-heads", palette.VALUE, values)):
        pen.path(_squares(places, pitch * _SIDE), stroke="none", fill=colour, width=0, kind=kind)
    pen.path("".join(stems), width=max(1, pitch / 10), opacity=0.6, kind="stems")


def _stem(left: float, top: float, columns: int, pitch: float) -> str:
    """A line from the group's query heads to the key head that they share."""
    half = pitch * _SIDE / 2
    middle, across = left + (columns - 1) * pitch / 2 + half, top + pitch * 0.18
    line = f"M{left + half:.1f} {across:.1f}H{left + (columns - 1) * pitch + half:.1f}" if columns > 1 else ""
    return f"{line}M{middle:.1f} {top - pitch * (1 - _SIDE):.1f}V{top + pitch * _STEM:.1f}"


def _squares(places: Iterable[tuple[float, float]], side: float) -> str:
    return "".join(f"M{x:.1f} {y:.1f}h{side:.1f}v{side:.1f}h{-side:.1f}z" for x, y in places)


def _bytes_per_token(kv_heads: int, head_dim: int) -> int:
    """What a token leaves in one layer's cache: a key and a value of each head, in two bytes a value."""
    return 2 * kv_heads * head_dim * 2


def _unit(largest: float, units: dict[str, int]) -> str:
    """The largest unit of which there is one, or else the smallest."""
    return next((name for name, unit in units.items() if largest >= unit), [*units][-1])


def _describe_costs(costs: pd.DataFrame, context: int) -> str:
    now = costs[costs["current"]].iloc[0]
    one, every = costs.iloc[0], costs.iloc[-1]
    unit = _unit(every["parameters"], _DECIMAL)
    least, most = (f"{row['parameters'] / _DECIMAL[unit]:.2f}" for row in (one, every))
    return (f"{plural(int(now['kv_heads']), 'KV group')} at {context:,} tokens: {size(now['cache'])} of cache and "
            f"{now['parameters']:,} parameters. From {plural(one['kv_heads'], 'group')} to {every['kv_heads']} the cache "
            f"goes from {size(one['cache'])} to {size(every['cache'])}, the parameters from {least} to {most} {unit[:-1]}.")


def _describe_film(growth: pd.DataFrame) -> str:
    last = growth[growth["step"] == growth["step"].max()]
    kinds = [f"each of {plural(len(rows), f'{kind} layer')} holds {size(rows['bytes'].iloc[0])}"
             for kind, rows in last.groupby("kind", sort=False)]
    stop = growth.loc[(growth["kind"] == "sliding") & growth["step"].between(1, growth["step"].max() - 1), "step"]
    stops = f" Sliding layers stop growing at {stop.iloc[0]:,} tokens, the dotted line." if len(stop) else ""
    return f"After {last['step'].iloc[0]:,} tokens {' and '.join(kinds)}, in all {size(last['bytes'].sum())}.{stops}"


@cache
def _costs_spec(size: str, count: str) -> dict:
    upper = specification(_panel("cache", f"KV cache ({size})", labels=False), height=138)
    lower = specification(_panel("parameters", f"parameters ({count})", labels=True), height=138)
    common = {name: upper.pop(name) for name in ("data", "config", "padding", "usermeta")}
    return {**common, "spacing": 14, "vconcat": [upper, {name: lower[name] for name in ("mark", "encoding", "height")}]}


def _panel(amount: str, title: str, labels: bool) -> alt.Chart:
    colour = alt.Color("what:N", legend=alt.Legend(title=None, columns=3, orient="top") if not labels else None,
                       scale=scale_of({_KEY: palette.KEY, _VALUE: palette.VALUE, _REST: palette.MUTED}))
    x = alt.X("kv_heads:O", axis=alt.Axis(title="KV groups (count)", labelAngle=0, ticks=False) if labels else alt.Axis(
        title=None, labels=False, ticks=False))
    return blank_chart().mark_bar().encode(
        x=x, y=alt.Y(f"{amount}:Q", stack="zero", axis=alt.Axis(title=title, tickCount=4)),
        color=colour, opacity=alt.Opacity("current:N", legend=None, scale=scale_of({True: 1, False: 0.35})),
        tooltip=tooltip(("kv_heads:O", "KV groups"), ("what:N", "for"), (f"{amount}:Q", title, ",.4~r")))


@cache
def _film_spec() -> dict:
    y = {"scale": alt.Scale(reverse=True, nice=False, zero=False), "axis": alt.Axis(
        title="layer (number)", tickMinStep=1, format="d", grid=False)}
    base = blank_chart().encode(
        x=alt.X("step:Q", scale=alt.Scale(nice=False), axis=alt.Axis(
            title="decode step (tokens so far)", format=",d", tickCount=6)),
        detail="layer:N", color=alt.Color("kind:N", scale=scale_of({"sliding": palette.SLIDING, "full": palette.FULL}),
                                          legend=alt.Legend(title="height: bytes in the layer's cache", columns=2)))
    rows = base.mark_area(tooltip=ROW, line={"strokeWidth": 1}).encode(y=alt.Y("base:Q", **y), y2="top:Q")
    stop = blank_chart().transform_filter("datum.bend").mark_rule(
        color=palette.MUTED, strokeWidth=2, strokeDash=[2, 3], tooltip=False).encode(x="step:Q")
    return specification(alt.layer(rows, stop), height=450, canvas=True)
