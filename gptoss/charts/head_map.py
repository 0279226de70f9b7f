"""One attention head as a map: a row per query, a column per key, the sink at the left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import altair as alt
import numpy as np
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import ROW, Chart, blank_chart, clicks, scale_of, specification, tooltip
from gptoss.charts.images import Picture, share_pixels
from gptoss.charts.labels import TOKEN_OF_LABEL, axis_keys, visible_token
from gptoss.units import percent, plural

MAX_TOKENS = 80  # of a longer text, the tokens around the chosen one, or the last ones

# What a row of the table is: a cell, or a mark on the map.
_SINK, _GAP, _EARLIER, _KEY, _EDGE, _OUTSIDE = CELLS = (
    "sink", "gap", "earlier keys, summed", "key", "first key in the window", "outside the window")
_IMAGE, _QUERY, _CHOSEN_KEY, _ROW, _COLUMN, _CELL = (
    "map", "query", "key of the chosen query", "where the chosen token looks", "who looks at the chosen token", "chosen key")
MARKS = (_IMAGE, _QUERY, _CHOSEN_KEY, _EDGE, _ROW, _COLUMN, _CELL)
# Columns in front of the tokens, in the shape of `axis_keys` and sorted before them. The gap, which has no weights, keeps
# the sink apart from the keys.
_SINK_COLUMN, _GAP_COLUMN, _EARLIER_COLUMN = "   0 sink", "   1 ", "   2 … earlier"
_TO_READ, _TO_CHOOSE = "key (token)", "key (token), full colour is most weight"  # titles of the horizontal axis
_FAINTEST, _HIDDEN = 15, 30  # of 255: how strong a seen key without weight is drawn, and a key outside the window


def head_map(weights: np.ndarray, sink: np.ndarray, labels: Sequence[str], window: int = 0,
             chosen: tuple[int, int] | None = None, dark: bool = False) -> Chart:
    """Map of one head, either to read or, with a token and a key `chosen` in it, to choose from.

    `weights` (queries, keys) and `sink` (queries,) are the softmax of one head with its sink; together each row sums to 1.
    `labels` are the tokens, `window` counts tokens including the query's own, 0 for full attention. Keys outside of it are
    pale and its edge is a line; keys after the query are not drawn at all. `dark` gives an image the dark theme's colours.

    Without a choice the table has a row for each cell. With one the cells are a single image, so that a move repaints at
    once, and the table holds the chosen query's weights. The token's row is framed, where it looks, and its column, who
    looks at it, and the cell of the key. A click picks a query, or a key of the chosen query (selection `picked`, fields
    query and key).

    Above `MAX_TOKENS` tokens a part is shown, the weight of all keys before it is summed in a column "earlier", and `note`
    says so. Raises `ValueError` where the shapes do not belong together.
    """
    tokens = len(labels)
    token = chosen[0] if chosen else tokens - 1
    if weights.shape != (tokens, tokens) or sink.shape != (tokens,) or not 0 <= token < tokens:
        raise ValueError(f"weights {weights.shape}, sink {sink.shape} and token {token} do not fit {tokens} labels")
    start = min(max(token - MAX_TOKENS * 3 // 4, 0), max(tokens - MAX_TOKENS, 0))
    stop = min(start + MAX_TOKENS, tokens)
    part = _Part(weights[start:stop, :stop], sink[start:stop], axis_keys(labels[start:stop], start), window, start)
    data = _marks(part, token - start, chosen[1] - start, dark) if chosen else _cells(part)
    note = "" if stop - start == tokens else f"tokens {start} to {stop - 1} of {tokens}, positions counted from 0"
    return Chart(_choosing_spec() if chosen else _reading_spec(), data,
                 "Attention weights of one head, a row per query and a column per key",
                 _describe(weights, sink, labels, token, window, note, to_choose=bool(chosen)), note)


@dataclass(frozen=True)
class _Part:
    """The shown part of a head: `weights` (queries, all keys up to the last query) and `sink` (queries,).

    Queries and columns are counted from the first shown one, `start`.
    """

    weights: np.ndarray
    sink: np.ndarray
    names: list[str]
    window: int
    start: int

    @cached_property
    def columns(self) -> list[str]:
        return [_SINK_COLUMN, _GAP_COLUMN, *([_EARLIER_COLUMN] if self.start else ()), *self.names]

    @cached_property
    def lead(self) -> int:
        """Columns before the first key."""
        return len(self.columns) - len(self.names)

    @cached_property
    def values(self) -> np.ndarray:
        """What every column holds, (queries, columns): nothing in the gap, the earlier keys in one."""
        earlier = [self.weights[:, :self.start].sum(axis=1)] if self.start else []
        lead = np.stack([self.sink, np.zeros_like(self.sink), *earlier], axis=1)
        return np.concatenate([lead, self.weights[:, self.start:]], axis=1)

    @cached_property
    def first(self) -> np.ndarray:
        """Each query's first visible key among the shown ones, (queries,)."""
        return np.maximum(np.arange(len(self.names)) - (self.window or len(self.names)) + 1, 0)

    @cached_property
    def edges(self) -> np.ndarray:
        """The queries whose window leaves earlier tokens out, and so has an edge."""
        beyond = np.arange(len(self.names)) - self.window
        return np.flatnonzero(beyond >= (-1 if self.start else 0)) if self.window else np.empty(0, int)

    def table(self, query: Sequence[int], key: Sequence[int], to: Sequence[int], **more: object) -> pd.DataFrame:
        """Rows that span the columns from `key` to `to`."""
        return pd.DataFrame({"query": pd.Categorical.from_codes(query, self.names),
                             "key": pd.Categorical.from_codes(key, self.columns),
                             "to": pd.Categorical.from_codes(to, self.columns), **more})


def _cells(part: _Part) -> pd.DataFrame:
    """A row for each cell: the sink, the gap, the earlier keys, visible keys; hidden ones are one row a query."""
    rows, columns = np.indices(part.values.shape)
    keys = columns - part.lead
    query, column = np.nonzero((keys < 0) | ((keys <= rows) & (keys >= part.first[:, None])))
    distance = np.where(column < part.lead, np.nan, query - column + part.lead)
    kinds = np.array([*(CELLS.index(kind) for kind in (_SINK, _GAP, _EARLIER)[:part.lead]),
                      *np.full(len(part.names), CELLS.index(_KEY))])[column]
    at_edge = np.isin(query, part.edges) & (column - part.lead == part.first[query])
    kinds[at_edge] = CELLS.index(_EDGE)
    hidden = np.flatnonzero(part.first)
    weight = np.where(column == 1, np.nan, part.values[query, column])
    nothing = np.full(len(hidden), np.nan)
    return part.table(
        np.append(query, hidden), np.append(column, np.full(len(hidden), part.lead)),
        np.append(column, part.first[hidden] - 1 + part.lead),
        weight=np.append(weight, nothing).astype(np.float64).round(5), distance=np.append(distance, nothing),
        kind=pd.Categorical.from_codes(np.append(kinds, np.full(len(hidden), CELLS.index(_OUTSIDE))), CELLS))


def _marks(part: _Part, token: int, key: int, dark: bool) -> pd.DataFrame:
    """The image, a bar to click for each query, the chosen query's row cell by cell, window edges, frames.

    Each mark spans the columns from `key` to `to` and the rows from `query` to `until`.
    """
    count, lead, row = len(part.names), part.lead, part.values[token]
    marks = [(0, 0, lead + count - 1, count - 1, _IMAGE, None)]
    marks += [(query, 0, lead + query, query, _QUERY, None) for query in range(count)]
    marks += [(token, column, column, token, _CHOSEN_KEY, float(weight)) for column, weight in enumerate(row)]
    marks += [(query, lead + first, lead + first, query, _EDGE, None)
              for query, first in zip(part.edges.tolist(), part.first[part.edges].tolist(), strict=True)]
    marks += [(token, 0, lead + token, token, _ROW, None), (token, lead + token, lead + token, count - 1, _COLUMN, None)]
    if 0 <= key < count:
        marks.append((token, lead + key, lead + key, token, _CELL, float(row[lead + key])))
    query, first, to, until, kind, weight = (list(values) for values in zip(*marks, strict=True))
    address = Picture(_pixels(part), "").address(dark)
    return part.table(query, first, to, until=pd.Categorical.from_codes(until, part.names),
                      weight=np.round(np.array(weight, np.float64), 5), kind=pd.Categorical(kind, MARKS),
                      map=pd.Categorical.from_codes([0] + [1] * (len(marks) - 1), [address, ""]))


def _pixels(part: _Part) -> np.ndarray:
    """The shown part of the map, RGBA, a pixel a cell."""
    values, lead = part.values, part.lead
    full = max(float(values[:, 0].max()), float(values[:, lead:].max()), 1e-24)  # of single places, not of sums
    image = share_pixels(values, full, _FAINTEST)
    image[:, 0, :3] = palette.rgb(palette.SINK)
    image[:, 1, 3] = 0
    query, key = np.indices((len(part.names),) * 2)
    image[:, lead:][key > query] = 0
    image[:, lead:][key < part.first[:, None]] = (*palette.rgb(palette.MUTED), _HIDDEN)
    return image


def _describe(weights: np.ndarray, sink: np.ndarray, labels: Sequence[str], token: int, window: int, note: str,
              to_choose: bool) -> str:
    best = int(weights[token].argmax())
    reach = f"each sees the last {window}" if window else "each sees all before it"
    scale = "; the strongest colour is the largest weight" if to_choose else ""
    where = "at itself" if best == token else f"at “{visible_token(labels[best])}”, {plural(token - best, 'token')} back"
    return (
        f"One head over {plural(len(labels), 'token')}, of which {reach}{', showing ' + note if note else ''}{scale}. "
        f"The sink takes {percent(sink.mean())} of the weight on average. “{visible_token(labels[token])}”, token {token}, "
        f"looks most {where}: weight {weights[token, best]:.3f}.")


@cache
def _reading_spec() -> dict:
    colour = alt.Color("kind:N", legend=None, scale=scale_of(
        {_SINK: palette.SINK, **dict.fromkeys((_EARLIER, _KEY, _EDGE), palette.MOST)}))
    cells = blank_chart().encode(x=_x(_TO_READ, None), y=_y(None)).transform_filter("isValid(datum.weight)").mark_rect(
        tooltip=ROW).encode(color=colour, opacity=alt.Opacity("weight:Q", scale=alt.Scale(
            type="sqrt", domainMin=0, range=[0.08, 1], nice=False), legend=alt.Legend(
            title="weight (square-root scale)", symbolType="square", symbolSize=300, tickCount=4,
            symbolFillColor=palette.MOST, symbolStrokeWidth=0, columns=6)))
    pale = _of_kind(_OUTSIDE).mark_rect(color=palette.IDLE, tooltip=ROW).encode(
        x=_x(_TO_READ), x2=alt.X2("to:N", bandPosition=1), y=_y(None))
    return specification(alt.layer(cells, pale, _edge(_TO_READ, "query")), height=600, canvas=True)


@cache
def _choosing_spec() -> dict:
    clear = {"fillOpacity": 0, "cursor": "pointer"}
    queries = _span(_QUERY).mark_rect(**clear).encode(tooltip=tooltip(("query:N", "query")))
    keys = _span(_CHOSEN_KEY).mark_rect(**clear).encode(tooltip=tooltip(
        ("query:N", "query"), ("key:N", "key"), ("weight:Q", "weight", ".3f")))
    frames = [_span(kind).mark_rect(filled=False, stroke=colour, strokeWidth=3, tooltip=False) for kind, colour in (
        (_ROW, palette.QUERY), (_COLUMN, palette.KEY), (_CELL, palette.ACCENT))]
    image = _span(_IMAGE).mark_image(aspect=False, tooltip=False).encode(url="map:N")
    chart = alt.layer(image, _edge(_TO_CHOOSE, "until"), *frames, queries.add_params(clicks("query", "key")), keys)
    spec = specification(chart, height=430, canvas=True)
    spec["config"] = spec["config"] | {"image": {"smooth": False}}
    return spec


def _of_kind(kind: str) -> alt.Chart:
    return blank_chart().transform_filter(alt.datum.kind == kind)


def _span(kind: str) -> alt.Chart:
    """The marks of one kind, each from the start of its first cell to the end of its last."""
    return _of_kind(kind).encode(x=_x(_TO_CHOOSE), x2=alt.X2("to:N", bandPosition=1), y=_y(),
                                 y2=alt.Y2("until:N", bandPosition=1))


def _edge(title: str, until: str) -> alt.Chart:
    """The line where the window of each query begins."""
    return _of_kind(_EDGE).mark_rule(color=palette.SLIDING, strokeWidth=3, tooltip=False).encode(
        x=_x(title), y=_y(), y2=alt.Y2(f"{until}:N", bandPosition=1))


def _x(title: str, band: float | None = 0) -> alt.X:
    return alt.X("key:N", **_tokens(band, title=title, labelAngle=-90, labelLimit=95))


def _y(band: float | None = 0) -> alt.Y:
    return alt.Y("query:N", **_tokens(band, title="query (token)", labelLimit=110))


def _tokens(band: float | None, **axis: object) -> dict[str, object]:
    return {"sort": "ascending", "scale": alt.Scale(padding=0), **({} if band is None else {"bandPosition": band}),
            "axis": alt.Axis(labelExpr=TOKEN_OF_LABEL, grid=False, domain=False, ticks=False, **axis)}
