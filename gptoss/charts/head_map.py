"""One attention head as a map made for choosing: the cells are one image, so that a move repaints at once."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import Chart, blank_chart, specification
from gptoss.charts.images import Picture
from gptoss.charts.labels import TOKEN_OF_LABEL, axis_keys, visible_token
from gptoss.units import percent, plural

MAX_TOKENS = 80  # of a longer text, the tokens around the chosen one

_IMAGE, _QUERY, _KEY, _EDGE, _ROW, _COLUMN, _CELL = KINDS = (
    "map", "query", "key of the chosen query", "first key in the window", "where the chosen token looks",
    "who looks at the chosen token", "chosen key")
# Columns in front of the tokens, in the shape of `axis_keys` and sorted before them; the gap keeps the sink apart.
_SINK_COLUMN, _GAP_COLUMN, _EARLIER_COLUMN = "   0 sink", "   1 ", "   2 … earlier"
_FAINTEST, _HIDDEN = 15, 30  # of 255: how strong a seen key without weight is drawn, and a key outside the window


def head_map(weights: np.ndarray, sink: np.ndarray, labels: Sequence[str], token: int, key: int, window: int = 0) -> Chart:
    """Map of one head with one token chosen in it: a row per query, a column per key, the sink at the left.

    `weights` (queries, keys) and `sink` (queries,) are the softmax of one head with its sink; together each row sums
    to 1. `labels` are the tokens, `window` counts tokens including the query's own, 0 for full attention. The row of
    `token` is framed, where it looks, its column, who looks at it, and the cell of `key`. A click picks a query, or a
    key of the chosen query (selection `picked`, fields query and key). The table holds the chosen query's weights.

    Above `MAX_TOKENS` tokens those around the chosen one are shown, the weight of all keys before them is summed in a
    column "earlier", and `note` says so. Raises `ValueError` where the shapes do not belong together.
    """
    tokens = len(labels)
    if weights.shape != (tokens, tokens) or sink.shape != (tokens,) or not 0 <= token < tokens:
        raise ValueError(f"weights {weights.shape}, sink {sink.shape} and token {token} do not fit {tokens} labels")
    start = min(max(token - MAX_TOKENS * 3 // 4, 0), max(tokens - MAX_TOKENS, 0))
    stop = min(start + MAX_TOKENS, tokens)
    address = image_address(_cells(weights[start:stop, :stop], sink[start:stop], window, start))
    data = _marks(address, weights[token], sink[token], axis_keys(labels[start:stop], start), token, key, window, start)
    note = "" if stop - start == tokens else f"tokens {start} to {stop - 1} of {tokens}, positions counted from 0"
    return Chart(_spec(), data, "Attention weights of one head, a row per query and a column per key",
                 _describe(weights, sink, labels, token, window, note), note)


def image_address(image: np.ndarray) -> str:
    """An image, uint8 (height, width, 4), as an address that holds all of it, for a mark or an HTML element."""
    return f"data:image/png;base64,{base64.b64encode(Picture(image, '').png()).decode()}"


def _cells(weights: np.ndarray, sink: np.ndarray, window: int, start: int) -> np.ndarray:
    """The shown part of the map, a pixel a cell: sink, gap, the earlier keys in one if there are any, keys.

    `weights` (queries, keys) are the rows of the shown queries up to the last shown key, `start` the first shown token.
    """
    count = len(sink)
    lead = [sink[:, None], np.zeros((count, 1))]
    if start:
        lead.append(weights[:, :start].sum(axis=1, keepdims=True))
    strength = np.sqrt(np.concatenate([*lead, weights[:, start:]], axis=1))
    full = max(float(strength[:, 0].max()), float(strength[:, len(lead):].max()), 1e-12)  # of single places, not of sums
    image = np.empty((*strength.shape, 4), np.uint8)
    image[..., :3] = palette.rgb(palette.MAGNITUDE)
    image[:, 0, :3] = palette.rgb(palette.SINK)
    image[..., 3] = (_FAINTEST + (strength / full).clip(0, 1) * (255 - _FAINTEST)).round()
    image[:, 1, 3] = 0
    query, key = np.indices((count, count))
    keys = image[:, len(lead):]
    keys[key > query] = 0
    if window:
        keys[query - key >= window] = (*palette.rgb(palette.MUTED), _HIDDEN)
    return image


def _marks(address: str, weights: np.ndarray, sink: float, names: list[str], token: int, key: int, window: int,
           start: int) -> pd.DataFrame:
    """The table: the image, a bar to click for each query, the chosen query's row cell by cell, window edges, frames.

    Each mark spans the columns from `key` to `to` and the rows from `query` to `until`, all counted in shown cells.
    """
    count, chosen = len(names), token - start
    columns = [_SINK_COLUMN, _GAP_COLUMN, *([_EARLIER_COLUMN] if start else ()), *names]
    lead = len(columns) - count
    row = [sink, 0.0, *([weights[:start].sum()] if start else ()), *weights[start:start + count]]
    marks = [(0, 0, lead + count - 1, count - 1, _IMAGE, None)]
    marks += [(query, 0, lead + query, query, _QUERY, None) for query in range(count)]
    marks += [(chosen, column, column, chosen, _KEY, float(weight)) for column, weight in enumerate(row)]
    marks += [(query, first, first, query, _EDGE, None) for query in range(count) if window
              for first in [query - window + 1 + lead] if first > lead or (start and first == lead)]
    marks += [(chosen, 0, lead + chosen, chosen, _ROW, None),
              (chosen, lead + chosen, lead + chosen, count - 1, _COLUMN, None)]
    if start <= key < start + count:
        marks.append((chosen, lead + key - start, lead + key - start, chosen, _CELL, float(weights[key])))
    query, first, to, until, kind, weight = (list(values) for values in zip(*marks, strict=True))
    return pd.DataFrame({
        "query": pd.Categorical.from_codes(query, names), "key": pd.Categorical.from_codes(first, columns),
        "to": pd.Categorical.from_codes(to, columns), "until": pd.Categorical.from_codes(until, names),
        "weight": np.round(np.array(weight, np.float64), 5), "kind": pd.Categorical(kind, KINDS),
        "map": pd.Categorical.from_codes([0] + [1] * (len(marks) - 1), [address, ""])})


def _describe(weights: np.ndarray, sink: np.ndarray, labels: Sequence[str], token: int, window: int, note: str) -> str:
    best = int(weights[token].argmax())
    reach = f"a window of {window} tokens" if window else "full attention"
    return (
        f"Attention of one head over {plural(len(labels), 'token')}, {reach}{', showing ' + note if note else ''}; full "
        f"colour is most weight. The sink takes {percent(sink.mean())} on average. The token at position {token}, "
        f"{visible_token(labels[token])}, attends most to {visible_token(labels[best])} at distance {token - best} "
        f"with weight {weights[token, best]:.3f}.")


@cache
def _spec() -> dict:
    click = alt.selection_point(name="picked", fields=["query", "key"])
    clear = {"fillOpacity": 0, "cursor": "pointer"}
    queries = _layer(_QUERY).mark_rect(**clear).encode(tooltip=[alt.Tooltip("query:N", title="query")])
    keys = _layer(_KEY).mark_rect(**clear).encode(tooltip=[
        alt.Tooltip("query:N", title="query"), alt.Tooltip("key:N", title="key"),
        alt.Tooltip("weight:Q", title="weight", format=".3f")])
    edges = _layer(_EDGE, wide=False).mark_rule(color=palette.SLIDING, strokeWidth=3, tooltip=False)
    frames = [_layer(kind).mark_rect(filled=False, stroke=colour, strokeWidth=3, tooltip=False) for kind, colour in (
        (_ROW, palette.QUERY), (_COLUMN, palette.KEY), (_CELL, palette.ACCENT))]
    image = _layer(_IMAGE).mark_image(aspect=False, tooltip=False).encode(url="map:N")
    spec = specification(alt.layer(image, edges, *frames, queries.add_params(click), keys), height=430, canvas=True)
    spec["config"] = spec["config"] | {"image": {"smooth": False}}
    return spec


def _layer(kind: str, wide: bool = True) -> alt.Chart:
    """The marks of one kind, each from the start of its first cell to the end of its last, or no wider than a line."""
    axis = {"labelExpr": TOKEN_OF_LABEL, "grid": False, "domain": False, "ticks": False}
    return blank_chart().transform_filter(alt.datum.kind == kind).encode(
        x=alt.X("key:N", sort="ascending", bandPosition=0, scale=alt.Scale(padding=0), axis=alt.Axis(
            title="key (token), full colour is most weight", labelAngle=-90, labelLimit=95, **axis)),
        **({"x2": alt.X2("to:N", bandPosition=1)} if wide else {}),
        y=alt.Y("query:N", sort="ascending", bandPosition=0, scale=alt.Scale(padding=0), axis=alt.Axis(
            title="query (token)", labelLimit=110, **axis)),
        y2=alt.Y2("until:N", bandPosition=1))
