"""The sliding window: what a query sees, how far stacked windows reach, and what they save."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import NamedTuple

import altair as alt
import numpy as np
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, ROW, Chart, blank_chart, clicks, scale_of, specification, squares, tooltip
from gptoss.charts.chips import FAINT, MOST_TOKENS, Shade, legend, shaded_text
from gptoss.charts.labels import CONTEXT_LABEL, COUNT_LABEL, TOKEN_OF_LABEL, axis_keys, visible_token
from gptoss.units import fixed, number, plural, signed, size, spelled

HEIGHT = 400  # px of a page's main picture

EVERY_LAYER_FULL, ALTERNATING, EVERY_LAYER_SLIDING = PATTERNS = (
    "every layer full", "alternating", "every layer sliding")
_PATTERN_COLOURS = dict(zip(PATTERNS, (palette.FULL, palette.ACCENT, palette.SLIDING), strict=True))

_IN_WINDOW, _BEFORE = _SEEN = ("in the window: every layer looks", "earlier: only full layers look")

# What a cell of a ladder can be, and its place among these; a title's line is no cell.
REACHED = ("the token itself", "new through a sliding layer", "new through a full layer", "known before (sliding)",
           "known before (full)", "not reached", "")
_THIS, _BY_SLIDING, _BY_FULL, _OLD_SLIDING, _OLD_FULL, _UNKNOWN, _NOTHING = range(len(REACHED))
_REACHED_COLOURS = dict(zip(REACHED, (
    palette.QUERY, palette.SLIDING, palette.FULL, palette.fade(palette.SLIDING, 0.4), palette.fade(palette.FULL, 0.4),
    palette.IDLE), strict=False))

# The row's own number taken off; on a narrow screen also what kind of layer it is.
_ROW_LABEL = "split(slice(datum.label, 5), width > 300 ? '|' : ',')[0]"

_TEXT_KEY = {
    "query": Shade(palette.QUERY, palette.PAPER, kind="query"),
    "in its window": Shade(palette.fade(palette.SLIDING, 0.55), frame=palette.SLIDING, kind="near"),
    "earlier: full layers only": Shade(palette.fade(palette.FULL, 0.13), kind="far"),
    "later: hidden": FAINT,
}


def window_in_text(labels: Sequence[str], near: np.ndarray, seen: np.ndarray, query: int) -> str:
    """The text itself with one query's window lit in it, in HTML.

    `labels` are the tokens; `near` and `seen` (tokens,) are the query's rows of a sliding layer's mask and of a full
    one's. Above `MOST_TOKENS` tokens those around the query are shown, and a line says how many are left out. Labels
    are a person's text, so they are escaped. Raises `ValueError` where the rows do not fit the labels.
    """
    tokens = len(labels)
    if near.shape != (tokens,) or seen.shape != (tokens,) or not 0 <= query < tokens:
        raise ValueError(f"rows {near.shape} and {seen.shape} of query {query} do not fit {tokens} labels")
    words = (f"{plural(tokens, 'token')}. Token {query}, “{labels[query]}”, sees {int(near.sum())} in its window and "
             f"{int(seen.sum())} in a full layer.")
    chosen, window, earlier, later = _TEXT_KEY.values()
    shades = [(chosen if place == query else window if near[place] else earlier if seen[place] else later)._replace(
        title=f"token {place}") for place in range(tokens)]
    return legend([*_TEXT_KEY.items()]) + shaded_text(labels, shades, words, "framed", query - 3 * MOST_TOKENS // 4,
                                                      MOST_TOKENS)


def window_mask(sliding: np.ndarray, full: np.ndarray, labels: Sequence[str], query: int) -> Chart:
    """Which key each query may look at, in a sliding layer and in a full one, with one query's row lit.

    `sliding` and `full` (queries, keys) are the two masks, True where a query may look; `labels` are the tokens.
    Neighbouring keys of a row are one bar, so that a long text costs no more than a few bars a token. A click picks
    a query under the name `picked`. Raises `ValueError` where the shapes do not belong together.
    """
    tokens = len(labels)
    if sliding.shape != (tokens, tokens) or full.shape != (tokens, tokens) or not 0 <= query < tokens:
        raise ValueError(f"masks {sliding.shape} and {full.shape} with query {query} do not fit {tokens} labels")
    near, far = _runs(sliding), _runs(full & ~sliding)
    row, first, to = (np.concatenate(both) for both in zip(near, far, strict=True))
    data = pd.DataFrame({
        "query": row, "token": pd.Categorical.from_codes(row, axis_keys(labels)), "first": first, "to": to,
        "keys": to - first, "below": row + 1, "lit": row == query, "chosen": query,
        "kind": pd.Categorical.from_codes(np.repeat([0, 1], [len(near[0]), len(far[0])]), _SEEN)})
    left, pairs = int(sliding.sum()), int(full.sum())
    text = (f"Of {pairs:,} query-key pairs a sliding layer keeps {left:,} ({left / pairs:.1%}). Token {query}, "
            f"“{visible_token(labels[query])}”, sees {plural(int(sliding[query].sum()), 'key')} in a sliding layer and "
            f"{plural(int(full[query].sum()), 'key')} in a full one.")
    return Chart(_mask_spec(), data, "The mask: which key each query may look at in sliding and in full layers", text)


def reach_ladder(panels: Mapping[str, tuple[Sequence[int], np.ndarray]], labels: Sequence[str], token: int) -> Chart:
    """Which tokens have reached one token after each layer, a ladder for each way of choosing windows.

    `panels` maps a pattern's name to its windows (layers,) in tokens, 0 for full, and to what is known, boolean
    (layers + 1, tokens): row d says which embeddings the token's stream depends on after d layers. What a layer adds
    is in that layer's colour, what was known before is paler. Above `MOST_TOKENS` tokens those that end shortly after
    the token are shown, and `note` says so; the counts are of all. A click picks a token under the name `picked`.
    Raises `ValueError` where the shapes do not belong together.
    """
    tokens = len(labels)
    if any(known.shape != (len(windows) + 1, tokens) for windows, known in panels.values()) or not 0 <= token < tokens:
        raise ValueError(f"{ {name: known.shape for name, (_, known) in panels.items()} } with token {token} do not fit "
                         f"{tokens} labels")
    # A few tokens after the chosen one, the rest before it, unless the text begins or ends there.
    start = min(max(token - MOST_TOKENS + 5, 0), max(tokens - MOST_TOKENS, 0))
    stop = min(start + MOST_TOKENS, tokens)
    rungs = [rung for panel, (name, (windows, known)) in enumerate(panels.items())
             for rung in _ladder(panel, name, windows, known, token, start, stop)]
    data = _rungs_as_table(rungs, axis_keys(labels[start:stop], start), start).assign(chosen=token)
    note = "" if stop - start == tokens else f"tokens {start} to {stop - 1} of {tokens}, positions counted from 0"
    alt_text = f"Token {token}, “{visible_token(labels[token])}”. " + " ".join(
        f"{name.capitalize()}: layer by layer it knows {', '.join(str(int(row.sum())) for row in known)} tokens."
        for name, (_, known) in panels.items())
    return Chart(_reach_spec(), data, "Tokens that have reached one token after each layer", alt_text, note)


def context_lines(frame: pd.DataFrame, column: str, context: int) -> Chart:
    """KV cache or scores against context, for every layer full, alternating layers, and every layer sliding.

    `frame` has the columns `context` (tokens), `layers` (one of `PATTERNS`), and `column`: "bytes", drawn in MiB, or
    "scores", a count. Points mark the current `context`. Raises `ValueError` for another column or where that context
    is missing.
    """
    if column not in _QUANTITIES:
        raise ValueError(f"column={column!r} is unknown; allowed: {', '.join(_QUANTITIES)}")
    if not (frame["context"] == context).any():
        raise ValueError(f"context={context} is not among the contexts of the frame")
    data = frame[["context", "layers"]].copy()
    data["amount"] = frame[column] / (2**20 if column == "bytes" else 1)
    data["here"] = data["context"] == context
    in_words = size if column == "bytes" else partial(spelled, digits=4)
    now = frame[frame["context"] == context]
    sizes = "; ".join(f"{name}, {in_words(value)}" for name, value in zip(now["layers"], now[column], strict=True))
    words = _QUANTITIES[column]
    alike = frame.groupby("context")[column].nunique().eq(1)
    same = f" Up to {alike.index[alike].max():,} tokens the three lines are one." if alike.any() else ""
    return Chart(_context_spec(column), data, f"{words} against context length",
                 f"{words} at {context:,} tokens: {sizes}.{same}")


def cache_strip(kinds: Mapping[str, tuple[int, int]], context: int) -> Chart:
    """Two bars on one linear scale: the KV cache of all sliding layers and that of all full layers.

    `kinds` maps "sliding" and "full" to (layers, bytes) at `context` tokens.
    """
    rows = [(f"{layers} {kind}", kind, total / 2**20, size(total)) for kind, (layers, total) in kinds.items()]
    data = pd.DataFrame(rows, columns=["layers", "kind", "mib", "size"])
    (sliding, small), (full, large) = kinds["sliding"], kinds["full"]
    text = f"KV cache at {context:,} tokens: {plural(sliding, 'sliding layer')} "
    text += f"{'holds' if sliding == 1 else 'hold'} {size(small)}, {plural(full, 'full layer')} {size(large)}"
    times = "as much" if large == small else f"{number(large / small, 4)} times as much" if small and large else ""
    text += f": {times}." if times else "."
    return Chart(_strip_spec(), data, "KV cache of the sliding layers and of the full layers", text)


def output_distances(frame: pd.DataFrame, own: int) -> Chart:
    """How far the next-token distribution moves from that of the model's own window, for each other window.

    `frame` has the columns `window` (tokens, 0 for none) and `distance` (total variation, 0 to 1).
    """
    names = ["off" if window == 0 else f"{window:,}" for window in frame["window"]]
    data = pd.DataFrame({
        "order": range(len(frame)), "window": [f"{n:02d} {name}" for n, name in enumerate(names)],
        "distance": frame["distance"].round(6), "own": (frame["window"] == own).to_numpy()})
    largest = frame["distance"].idxmax()
    text = (f"With the same weights the next-token distribution differs most from that of the model's own window at "
            f"window {names[largest]}: total variation {frame['distance'][largest]:.3f}.")
    return Chart(_outputs_spec(), data, "Change of the next-token distribution by window", text)


def off_by_one(changes: pd.DataFrame, window: int) -> tuple[Chart, Chart]:
    """What one key too many changes, token by token: the logits, and the loss of the text's own next token.

    `changes` has the columns `position`, `moved` (largest change of any logit), `loss` and `other` (nats, NaN where there is
    no next token). `window` is the right one in tokens: from that position on a query sees one key more.
    """
    data = pd.DataFrame({"position": changes["position"], "moved": changes["moved"].round(6),
                         "change": (changes["other"] - changes["loss"]).fillna(0).round(6), "window": window})
    data["what"] = np.where(data["change"] > 0, "more loss", "less loss")
    before, after = data[data["position"] < window]["moved"], data[data["position"] >= window]["moved"]
    if len(after):
        moved = (f"Up to position {window - 1} the logits differ by {number(before.max(), 2)}, because no query sees more "
                 f"than it should. From position {window} (dashed) on, some logit moves by up to {number(after.max())}; "
                 f"the median over positions is {number(after.median())}.")
    else:
        moved = f"The text ends before position {window}, the first that would see one key more, so nothing differs."
    right, wrong = changes["loss"].mean(), changes["other"].mean()
    loss = (f"Mean loss of the text: {right:.4f} nats a token with a window of {window}, {wrong:.4f} with {window + 1}, "
            f"{signed(wrong - right, fixed, 4)}. Nothing breaks, so nothing tells you.")
    return (Chart(_moved_spec(), data, "How far the logits move with one key too many", moved),
            Chart(_change_spec(), data, "What one key too many does to the loss of each next token", loss))


def _runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The stretches of True in the rows of a mask: their rows, their first columns, and the columns after their last."""
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, first = np.nonzero(edges == 1)
    return rows, first, np.nonzero(edges == -1)[1]


class _Rung(NamedTuple):
    """One row of the picture: its name on the axis, its cells as places in `REACHED`, and texts beside or above them."""

    row: str
    cells: np.ndarray
    count: str = ""
    title: str = ""
    narrow: str = ""


def _ladder(panel: int, name: str, windows: Sequence[int], known: np.ndarray, token: int, start: int,
            stop: int) -> list[_Rung]:
    """A title, then the rungs from the last layer down to the embedding: what each brought, and what was known before."""
    levels = len(known)
    wide, narrow = _panel_titles(name, known, token)
    rungs = [_Rung(f"{panel} 00 ", np.array([_NOTHING]), title=wide, narrow=narrow)]
    born = np.where(known[-1], known.argmax(axis=0), levels)[start:stop]  # the first level at which each token is known
    slides = np.array([True, *(window > 0 for window in windows), True])[born]
    new, old = np.where(slides, _BY_SLIDING, _BY_FULL), np.where(slides, _OLD_SLIDING, _OLD_FULL)
    for level in reversed(range(levels)):
        cells = np.select([born > level, born == level], [_UNKNOWN, new], old)
        cells[token - start] = _THIS
        layer = f"layer {level - 1}, {'slides' if windows[level - 1] else 'full'}" if level else "embedding"
        rungs.append(_Rung(f"{panel} {levels - level:02d} {layer}", cells, plural(int(known[level].sum()), 'token')))
    return rungs


def _rungs_as_table(rungs: Sequence[_Rung], keys: list[str], start: int) -> pd.DataFrame:
    """A line for every cell; a rung's texts are in the line of its first cell."""
    sizes = [len(rung.cells) for rung in rungs]
    key = np.concatenate([np.arange(size) for size in sizes])
    row = np.repeat(np.arange(len(rungs)), sizes)
    texts = {name: np.full(len(key), "", dtype=object) for name in ("count", "title", "narrow")}
    for name, column in texts.items():
        column[key == 0] = [getattr(rung, name) for rung in rungs]
    return pd.DataFrame({
        "row": pd.Categorical.from_codes(row, [rung.row for rung in rungs]),
        "key": pd.Categorical.from_codes(key, keys), "position": key + start,
        "what": pd.Categorical.from_codes(np.concatenate([rung.cells for rung in rungs]), REACHED), **texts})


def _panel_titles(name: str, known: np.ndarray, token: int) -> tuple[str, str]:
    """How far back a ladder reaches, in a line for wide screens and in one for narrow ones."""
    back = token - int(known[-1].argmax())
    complete = known[:, :token + 1].all(axis=1)
    wide = f"{name.capitalize()}: {plural(back, 'token')} back"
    if complete.any() and back:
        wide += f", all there are, from layer {int(complete.argmax()) - 1} on"
    return wide, f"{name.replace('every layer', 'all').capitalize()}: {back} back"


_QUANTITIES = {"bytes": "KV cache of one sequence", "scores": "Scores of one prompt"}
_AXES = {"bytes": "KV cache (MiB, log)", "scores": "prompt scores (count, log)"}
_SHORT = "datum.label === 'alternating' ? datum.label : 'all ' + slice(datum.label, 12)"
_POWERS_OF_TEN = [10.0**power for power in range(-4, 22)]


def _pick(field: str) -> alt.Parameter:
    """A click's selection. It names the token chosen before too: after a slider's move the same click is a new one."""
    return clicks(field, "chosen")


@cache
def _mask_spec() -> dict:
    axis = {"grid": False, "tickMinStep": 1, "tickCount": 8, "format": "d"}
    x = alt.X("first:Q", scale=alt.Scale(nice=False, zero=True), axis=alt.Axis(title="key (position)", **axis))
    y = alt.Y("query:Q", scale=alt.Scale(nice=False, zero=True, reverse=True), axis=alt.Axis(
        title="query (position)", **axis))
    keys = {"x": x, "x2": "to:Q", "color": alt.Color(
        "kind:N", scale=scale_of({_IN_WINDOW: palette.SLIDING, _BEFORE: palette.FULL}),
        legend=squares(symbolSize=120, symbolStrokeWidth=0, columns=1)), "tooltip": tooltip(
        ("token:N", "query (position, token)"), ("kind:N", "these keys"), ("first:Q", "first key (position)"),
        ("keys:Q", "keys (count)"))}
    bars = blank_chart().mark_rect(opacity=0.42).encode(y=y, y2="below:Q", **keys).add_params(_pick("query"))
    lit = blank_chart().transform_filter("datum.lit").transform_calculate(middle="datum.query + 0.5")
    row = lit.mark_rule(strokeWidth=9, opacity=1).encode(y="middle:Q", **keys)
    query = lit.transform_aggregate(middle="max(middle)").mark_point(
        filled=True, size=230, color=palette.QUERY, opacity=1, tooltip=False).encode(x="middle:Q", y="middle:Q")
    hidden = blank_chart().transform_aggregate(number="count()").mark_text(
        text="later keys: hidden", align="right", baseline="top", tooltip=False).encode(
        x=alt.value("width"), y=alt.value(8))
    return specification(alt.layer(bars, row, query, hidden), height=HEIGHT, canvas=True, right=12)


@cache
def _reach_spec() -> dict:
    y = alt.Y("row:N", sort="ascending", scale=alt.Scale(paddingInner=0.12, paddingOuter=0), axis=alt.Axis(
        title="known to the token after", labelExpr=_ROW_LABEL, grid=False, ticks=False, domain=False,
        labelOverlap=False))
    x = alt.X("key:N", sort="ascending", scale=alt.Scale(paddingInner=0.08, paddingOuter=0), axis=alt.Axis(
        title="token", labelExpr=TOKEN_OF_LABEL, labelAngle=-90, labelLimit=90, grid=False, ticks=False, domain=False))
    colour = alt.Color("what:N", scale=scale_of(_REACHED_COLOURS), legend=squares(
        values=list(REACHED[:_BY_FULL + 1]), columns={"expr": "width > 600 ? 3 : 1"}))
    cells = blank_chart().transform_filter("datum.what !== ''").mark_rect().encode(x=x, y=y, color=colour, tooltip=tooltip(
        ("key:N", "token (position, token)"), ("row:N", "row"), ("what:N", "state"))).add_params(_pick("position"))
    counts = blank_chart().transform_filter("datum.count !== ''").mark_text(align="left", dx=6, tooltip=False).encode(
        x=alt.value("width"), y=y, text="count:N")
    titles = blank_chart().transform_filter("datum.title !== ''").mark_text(
        align="left", baseline="middle", dy=3, limit={"expr": "width"}, tooltip=False,
        text={"expr": "width > 450 ? datum.title : datum.narrow"}).encode(x=alt.value(0), y=y)
    return specification(alt.layer(cells, counts, titles), height=HEIGHT, canvas=True)


@cache
def _context_spec(column: str) -> dict:
    x = alt.X("context:Q", scale=alt.Scale(type="log", base=2, nice=False), axis=alt.Axis(
        title="context (tokens, log scale)", labelExpr=CONTEXT_LABEL, grid=False, tickCount=6))
    label = "format(datum.value, ',~r')" if column == "bytes" else COUNT_LABEL
    y = alt.Y("amount:Q", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(
        title=_AXES[column], labelExpr=label, values=_POWERS_OF_TEN))
    base = blank_chart().transform_filter("datum.amount > 0").encode(x=x, y=y, color=alt.Color(
        "layers:N", scale=scale_of(_PATTERN_COLOURS),
        legend=alt.Legend(title=None, columns=3, labelExpr=_SHORT, symbolType="stroke", symbolSize=400,
                          symbolStrokeWidth=4)), tooltip=tooltip(
        ("layers:N", "layers"), ("context:Q", "context (tokens)", ","),
        ("amount:Q", "MiB" if column == "bytes" else "scores", ",.4~r")))
    here = blank_chart().transform_filter("datum.here").mark_rule(
        color=palette.MUTED, strokeWidth=1.5, strokeDash=[2, 3]).encode(x="mean(context):Q")
    points = base.transform_filter("datum.here").mark_point(filled=True, size=110, opacity=1)
    return specification(alt.layer(here, base.mark_line(strokeWidth=3), points), height=255, right=14)


@cache
def _strip_spec() -> dict:
    base = blank_chart().encode(
        x=alt.X("mib:Q", scale=alt.Scale(nice=False), axis=alt.Axis(
            title="KV cache (MiB, linear)", tickCount=5, format=",~r")),
        y=alt.Y("layers:N", sort=None, axis=alt.Axis(title="layers", ticks=False)))
    bars = base.mark_bar(tooltip=ROW).encode(color=alt.Color("kind:N", legend=None, scale=scale_of(
        {"sliding": palette.SLIDING, "full": palette.FULL})))
    sizes = base.mark_text(align="left", dx=6, fontSize=FONT_SIZE + 2, tooltip=False).encode(text="size:N")
    return specification(alt.layer(bars, sizes), height=125)


@cache
def _outputs_spec() -> dict:
    base = blank_chart().encode(
        x=alt.X("window:N", sort="ascending", axis=alt.Axis(
            title="window of the sliding layers (tokens)", labelExpr="slice(datum.label, 3)", labelAngle=0, ticks=False)),
        y=alt.Y("distance:Q", axis=alt.Axis(title="total variation (0 to 1)", tickCount=4), scale=alt.Scale(zero=True)),
        tooltip=tooltip(("window:N", "order, window (tokens)"), ("distance:Q", "total variation", ".4f")))
    bars = base.mark_bar(color=palette.SLIDING)
    own = base.transform_filter("datum.own").mark_point(shape="diamond", filled=True, size=200, color=palette.ACCENT,
                                                        opacity=1)
    return specification(alt.layer(bars, own), height=240)


def _first_that_differs() -> alt.Chart:
    return blank_chart().mark_rule(color=palette.MUTED, strokeWidth=1.5, strokeDash=[6, 4], tooltip=False).encode(
        x="max(window):Q")


@cache
def _moved_spec() -> dict:
    x = alt.X("position:Q", scale=alt.Scale(nice=False), axis=alt.Axis(
        title="token (position)", grid=False, tickMinStep=1, format="d"))
    bars = blank_chart().mark_rule(color=palette.SLIDING, strokeWidth=4, tooltip=ROW).encode(
        x=x, y=alt.Y("moved:Q", scale=alt.Scale(zero=True), axis=alt.Axis(title="largest change of a logit", tickCount=5)))
    return specification(alt.layer(bars, _first_that_differs()), height=300)


@cache
def _change_spec() -> dict:
    x = alt.X("position:Q", scale=alt.Scale(nice=False), axis=alt.Axis(
        title="token (position)", grid=False, tickMinStep=1, format="d", offset=4))
    bars = blank_chart().mark_rule(strokeWidth=4, tooltip=ROW).encode(
        x=x, y=alt.Y("change:Q", axis=alt.Axis(title="change of the loss (nats)", tickCount=5)), color=alt.Color(
            "what:N", legend=squares(symbolStrokeWidth=8, symbolSize=60),
            scale=scale_of({"more loss": palette.POSITIVE, "less loss": palette.NEGATIVE})))
    return specification(alt.layer(bars, _first_that_differs()), height=300)
