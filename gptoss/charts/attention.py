"""One attention head as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import ROW, Chart, blank_chart, specification
from gptoss.charts.labels import TOKEN_OF_LABEL, axis_keys, visible_token
from gptoss.units import percent, plural

MAX_TOKENS = 80  # a longer text is cut to this many queries and the keys beside them

_SINK, _GAP, _EARLIER, _KEY, _EDGE, _OUTSIDE = KINDS = (
    "sink", "gap", "earlier keys, summed", "key", "first key in the window", "outside the window")
# Columns in front of the tokens, in the shape of `axis_keys` and sorted before them. The gap, which has no
# weights, keeps the sink apart from the keys.
_SINK_COLUMN, _GAP_COLUMN, _EARLIER_COLUMN = "   0 sink", "   1 ", "   2 … earlier"


def attention_map(weights: np.ndarray, sink: np.ndarray, labels: Sequence[str], window: int = 0,
                  start: int | None = None) -> Chart:
    """Heat map of one head: a row per query, a column per key, and the sink as its own column at the left.

    `weights` (queries, keys) and `sink` (queries,) are the softmax of one head with its sink; together each row
    sums to 1. `labels` are the tokens. `window` counts tokens including the query's own, 0 for full attention:
    keys outside it are pale and its edge is a line; keys after the query are not drawn at all.

    Above `MAX_TOKENS` tokens the map shows `MAX_TOKENS` queries from `start` on (the last ones by default) and the
    keys beside them; the weight of all keys before is summed in a column "earlier", and `note` says so.
    Raises `ValueError` where the shapes do not belong together.
    """
    tokens = len(labels)
    if weights.shape != (tokens, tokens) or sink.shape != (tokens,) or tokens == 0:
        raise ValueError(f"weights {weights.shape} and sink {sink.shape} do not fit {tokens} labels")
    start = min(max(tokens - MAX_TOKENS if start is None else start, 0), max(tokens - MAX_TOKENS, 0))
    stop = min(start + MAX_TOKENS, tokens)
    data = _cells(weights[start:stop], sink[start:stop], axis_keys(labels[start:stop], start), window, start)
    note = "" if stop - start == tokens else f"tokens {start} to {stop - 1} of {tokens}, positions counted from 0"
    return Chart(_spec(), data, "Attention weights of one head, a row per query and a column per key",
                 _describe(weights, sink, labels, window, note), note)


def _cells(weights: np.ndarray, sink: np.ndarray, tokens: list[str], window: int, start: int) -> pd.DataFrame:
    """The tidy table: for each query the sink, the earlier keys in one, its visible keys, and the hidden ones in one.

    A row stands for the keys from `key` to `to`, which are the same but for the hidden ones.
    """
    count = len(tokens)
    rows = np.arange(count)
    lead = [(_SINK_COLUMN, sink, _SINK), (_GAP_COLUMN, np.full(count, np.nan), _GAP)]
    if start:
        lead.append((_EARLIER_COLUMN, weights[:, :start].sum(axis=1), _EARLIER))
    columns = [name for name, _, _ in lead] + tokens
    first = np.maximum(rows - window + 1, 0) if window else np.zeros_like(rows)  # each query's first visible key
    query, key = np.tril_indices(count)
    query, key = (index[key >= first[query]] for index in (query, key))
    kind = np.full(len(query), KINDS.index(_KEY))
    if window:
        kind[(query - key == window - 1) & (key + start > 0)] = KINDS.index(_EDGE)
    hidden = rows[first > 0]
    codes = np.concatenate([*(np.full(count, i) for i in range(len(lead))), key + len(lead),
                            np.full(len(hidden), len(lead))])
    to = np.concatenate([codes[:len(codes) - len(hidden)], first[hidden] - 1 + len(lead)])
    nothing = np.full(len(hidden), np.nan)
    return pd.DataFrame({
        "query": pd.Categorical.from_codes(np.concatenate([rows] * len(lead) + [query, hidden]), tokens),
        "key": pd.Categorical.from_codes(codes, columns),
        "to": pd.Categorical.from_codes(to, columns),
        "weight": np.concatenate(
            [w for _, w, _ in lead] + [weights[query, key + start], nothing]).astype(np.float64).round(5),
        "distance": np.concatenate([np.full(count * len(lead), np.nan), (query - key).astype(np.float64), nothing]),
        "kind": pd.Categorical.from_codes(np.concatenate(
            [*(np.full(count, KINDS.index(k)) for _, _, k in lead), kind,
             np.full(len(hidden), KINDS.index(_OUTSIDE))]), KINDS),
    })


def _describe(weights: np.ndarray, sink: np.ndarray, labels: Sequence[str], window: int, note: str) -> str:
    last = weights[-1]
    best = int(last.argmax())
    reach = f"a window of {window} tokens" if window else "full attention"
    return (
        f"Attention of one head over {plural(len(labels), 'token')}, {reach}{', showing ' + note if note else ''}. "
        f"The sink takes {percent(sink.mean())} of the weight on average. "
        f"The last token, {visible_token(labels[-1])}, attends most to {visible_token(labels[best])} "
        f"at distance {len(labels) - 1 - best} with weight {last[best]:.3f}.")


@cache
def _spec() -> dict:
    token_axis = {"labelExpr": TOKEN_OF_LABEL, "grid": False, "domain": False, "ticks": False}
    x = alt.X("key:N", sort="ascending", scale=alt.Scale(padding=0), axis=alt.Axis(
        title="key (token)", labelAngle=-90, labelLimit=95, **token_axis))
    y = alt.Y("query:N", sort="ascending", scale=alt.Scale(padding=0), axis=alt.Axis(
        title="query (token)", labelLimit=110, **token_axis))
    base = blank_chart().encode(x=x, y=y)
    pale = blank_chart().transform_filter(alt.datum.kind == _OUTSIDE).mark_rect(color=palette.IDLE, tooltip=ROW).encode(
        x=alt.X("key:N", sort="ascending", bandPosition=0), x2=alt.X2("to:N", bandPosition=1), y=y)
    cells = base.transform_filter("isValid(datum.weight)").mark_rect(tooltip=ROW).encode(
        color=_kind_colour(), opacity=alt.Opacity("weight:Q", scale=alt.Scale(
            type="sqrt", domainMin=0, range=[0.08, 1], nice=False), legend=alt.Legend(
            title="weight (square-root scale)", symbolType="square", symbolSize=300, tickCount=4,
            symbolFillColor=palette.MAGNITUDE, symbolStrokeWidth=0, columns=6)))
    edge = blank_chart().transform_filter(alt.datum.kind == _EDGE).mark_rule(
        color=palette.SLIDING, strokeWidth=3, tooltip=False).encode(
        x=alt.X("key:N", sort="ascending", bandPosition=0), y=alt.Y("query:N", sort="ascending", bandPosition=0),
        y2=alt.Y2("query:N", bandPosition=1))
    return specification(alt.layer(cells, pale, edge), height=600, canvas=True)


def _kind_colour() -> alt.Color:
    kinds = [_SINK, _EARLIER, _KEY, _EDGE]
    colours = [palette.SINK, palette.MAGNITUDE, palette.MAGNITUDE, palette.MAGNITUDE]
    return alt.Color("kind:N", legend=None, scale=alt.Scale(domain=kinds, range=colours))
