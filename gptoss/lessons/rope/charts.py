"""Pictures of RoPE and YaRN: clock hands, tables of cosines, scores by distance, and four ways to stretch wavelengths."""

from __future__ import annotations

import math
from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from gptoss import units
from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, Chart, blank_chart, specification
from gptoss.charts.images import tensor_picture
from gptoss.charts.svg import HEADING_SIZE, Pen
from gptoss.training.schemes import FORMULA, INTERPOLATION, NOTEBOOK, PLAIN, SCHEMES, YARN

_SHOWN_EVERY = 8  # tokens between two points of one place, so that points of all places can be told apart
_CLOSE = 8  # times: the names of two lengths nearer than this would touch
_SMALLEST_SHARE = 1e-17  # stands for zero on a logarithmic axis
_FORMATS = ("float64", "float32", "bfloat16")
_ZONES = ("keeps", "blends", "stretches")
_LARGEST_FACTOR = 64
_THOUSANDS = "format(datum.value, ',')"
_COLOURS = {PLAIN: palette.MUTED, INTERPOLATION: palette.MUTED, YARN: palette.ACCENT, NOTEBOOK: palette.MAGNITUDE}
_DASHED = {"color": palette.MUTED, "strokeWidth": 2, "strokeDash": [6, 4], "tooltip": False}
_SHAPES = {PLAIN: "circle", INTERPOLATION: "triangle-up", YARN: "circle", NOTEBOOK: "square"}
_PLANE_WIDTH, _PLANE_HEIGHT, _UNIT = 540, 400, 106  # px of the large clock, and of an arrow of length 1
_X, _Y = _PLANE_WIDTH / 2, _PLANE_HEIGHT / 2
_TIPS_APART = 32  # degrees between the directions of the two labels
_CELL_WIDTH, _CELL_HEIGHT, _RADIUS = 56, 80, 23  # px of a small clock
_PER_ROW = 8
_HANDS = {"query-hand": palette.QUERY, "key-hand": palette.KEY}
_LABEL_SIZE = 19  # drawings shrink with a narrow page
_TABLE_WIDTH, _LEFT, _TOP, _IMAGE_HEIGHT, _BELOW = 560, 62, 40, 260, 60  # px of a table of cosines or sines
_TICKS = 4  # labels on an axis of a table, its first and last place among them
_SIZE = 20  # px of a table's text

Hands = tuple[np.ndarray, np.ndarray, float]  # x and y of the query, of the key, and the angle between them in degrees


def score_by_distance(frame: pd.DataFrame) -> Chart:
    """One query's and one key's score against their distance: the formula as a line, measured scores as points on it.

    `frame` has the columns `distance` (tokens), `key_at` (the key's position in tokens, or `FORMULA`) and `score`.
    Of each place every eighth point is drawn, in turn. Raises `ValueError` where a column or the formula is missing.
    """
    _require(frame, "distance", "key_at", "score")
    if not (frame["key_at"] == FORMULA).any():
        raise ValueError(f"key_at holds no {FORMULA}: the formula's scores are missing")
    measured = sorted(set(frame["key_at"]) - {FORMULA})
    turn = frame["key_at"].map({place: i * _SHOWN_EVERY // len(measured) for i, place in enumerate(measured)})
    shown = frame[(frame["key_at"] == FORMULA) | (frame["distance"] % _SHOWN_EVERY == turn)]
    data = pd.DataFrame({"distance": shown["distance"].to_numpy(), "key_at": shown["key_at"].to_numpy(),
                         "score": shown["score"].round(5).to_numpy()})
    by_distance = frame[frame["key_at"] != FORMULA].groupby("distance")["score"]
    spread = float((by_distance.max() - by_distance.min()).max())
    share = spread / float(frame["score"].abs().max())
    curve = frame[frame["key_at"] == FORMULA].set_index("distance")["score"]
    text = (f"At distance 0 the score is {units.fixed(curve[0])}, at {curve.index[-1]} it is {units.fixed(curve.iloc[-1])}. "
            f"With the key at {', '.join(f'{place:,}' for place in measured)} the points fall on the same curve: "
            f"scores of one distance differ by at most {units.number(spread, 2)}, {units.percent(share, 2)} of the largest.")
    return Chart(_score_spec(), data, "Score of one query and one key against the distance between them", text)


def spread_by_format(frame: pd.DataFrame) -> Chart:
    """How far scores of one distance lie apart, as a share of the largest score, by number format.

    `frame` has the columns `format` (float64, float32, bfloat16), `spread` and `share`.
    """
    _require(frame, "format", "spread", "share")
    share = frame["share"].astype(float)
    data = pd.DataFrame({
        "format": frame["format"], "spread": frame["spread"], "share": share.clip(lower=_SMALLEST_SHARE),
        "label": [units.number(value, 1) for value in share]})
    text = "Largest spread as a share of the largest score: " + ", ".join(
        f"{name} {units.number(value, 2)}" for name, value in zip(frame["format"], share, strict=True)) + "."
    return Chart(_spread_spec(), data, "Spread of the scores of one distance by number format", text)


def wavelength_by_pair(frame: pd.DataFrame, trained: int, context: int) -> Chart:
    """Tokens that each pair takes for one turn, under plain RoPE and under YaRN, against two context lengths.

    `frame` has the columns `pair`, `scheme` (one of `SCHEMES`; two are drawn) and `wavelength` (tokens). `trained` and
    `context` are lengths in tokens: plain pairs above the first never turn in training.
    """
    _require(frame, "pair", "scheme", "wavelength")
    shown = frame[frame["scheme"].isin((PLAIN, YARN))]
    curves = shown[["pair", "scheme", "wavelength"]].assign(above="", below="")
    data = pd.concat([curves, _length_rows(trained, context)], ignore_index=True)
    data["wavelength"] = data["wavelength"].astype(float).round(2)
    plain = shown[shown["scheme"] == PLAIN]["wavelength"]
    slowest = shown[shown["scheme"] == YARN]["wavelength"].max()
    text = (f"Plain RoPE: a turn of the fastest pair takes {plain.min():.2f} tokens, of the slowest "
            f"{units.spelled(plain.max(), 2)}. "
            f"{int((plain > trained).sum())} of {len(plain)} pairs never turn once in {trained:,} tokens. "
            f"Under YaRN the slowest takes {units.spelled(slowest, 2)}. Where both have the same wavelength, one line lies "
            "on the other.")
    return Chart(_wavelength_spec(), data, "Wavelength of every pair under plain RoPE and YaRN", text)


def stretch_by_pair(frame: pd.DataFrame, low: float, high: float, zones: tuple[int, int, int]) -> Chart:
    """How many times slower each pair turns than under plain RoPE, for every scheme, with YaRN's three zones.

    `frame` has the columns `pair`, `scheme` (one of `SCHEMES`) and `slower`. `low` and `high` are the ends of YaRN's
    ramp in pairs, and `zones` the numbers of pairs that it keeps, blends and stretches. Ends outside the head are
    drawn at its edge.
    """
    _require(frame, "pair", "scheme", "slower")
    pairs = int(frame["pair"].max()) + 1
    points = pd.DataFrame({"pair": frame["pair"], "scheme": frame["scheme"], "slower": frame["slower"].round(4)})
    data = pd.concat([points.assign(zone="", to=points["pair"], label=""), _zone_rows(low, high, zones, pairs)],
                     ignore_index=True)
    ends = {scheme: " to ".join(units.number(rows["slower"].iloc[place], 4) for place in (0, -1))
            for scheme, rows in points.groupby("scheme")}
    text = (f"YaRN keeps {zones[0]} of {pairs} pairs, blends {zones[1]} and slows {zones[2]} by the whole factor; its ramp "
            f"runs from pair {units.fixed(low)} to {units.fixed(high)}. From fastest to slowest pair YaRN slows "
            f"{ends[YARN]} times, the notebook's blend {ends[NOTEBOOK]}, position interpolation {ends[INTERPOLATION]}. "
            "Where YaRN keeps a pair, its line lies on plain RoPE's; where it slows a pair by the whole factor, it lies on "
            "that of position interpolation.")
    return Chart(_stretch_spec(), data, "How many times slower each pair turns, by scheme", text)


def accuracy_by_distance(frame: pd.DataFrame, trained: int) -> Chart:
    """How often a model recalls what it read, against how far back it last stood, under each scheme.

    `frame` has the columns `scheme` (one of `SCHEMES`), `nearest` and `farthest` (tokens, both included), `asked` (answers
    counted) and `accuracy` (0 to 1). A line marks the length that the model was `trained` on, in tokens.
    """
    _require(frame, "scheme", "nearest", "farthest", "asked", "accuracy")
    points = frame[["scheme", "nearest", "farthest", "asked", "accuracy"]].assign(
        distance=(frame["nearest"] + frame["farthest"]) / 2, label="")
    mark = pd.DataFrame([("", 0, 0, 0, 0.0, trained, f"trained on {trained:,}")], columns=[*points])
    data = pd.concat([points, mark], ignore_index=True).round({"accuracy": 4})
    first, last = (frame[frame["nearest"] == place] for place in (frame["nearest"].min(), frame["nearest"].max()))
    near, far = ("; ".join(f"{row.scheme} {row.accuracy:.0%}" for row in rows.itertuples()) for rows in (first, last))
    text = (f"Trained on {trained:,} tokens. Right answers at {_reach(first)}: {near}. At {_reach(last)}: {far}.")
    return Chart(_accuracy_spec(), data, "Accuracy of recall by distance, under each scheme", text)


def _reach(rows: pd.DataFrame) -> str:
    return f"{rows['nearest'].iloc[0]:,} to {rows['farthest'].iloc[0]:,} tokens back ({int(rows['asked'].max()):,} asked)"


def _length_rows(trained: int, context: int) -> pd.DataFrame:
    """A row for each of the two lengths, named above its line; the lower of two close lines is named below."""
    names = {"trained": f"trained: {trained:,}", "context": f"context: {context:,}"}
    if trained == context:
        names = {"trained": f"trained and context: {trained:,}", "context": ""}
    close = trained != context and max(trained, context) < _CLOSE * min(trained, context)
    rows = [(0, name, length, "" if below else names[name], names[name] if below else "")
            for name, length, other in (("trained", trained, context), ("context", context, trained))
            for below in [close and length < other]]
    return pd.DataFrame(rows, columns=["pair", "scheme", "wavelength", "above", "below"])


def _zone_rows(low: float, high: float, zones: tuple[int, int, int], pairs: int) -> pd.DataFrame:
    """A row per zone from `pair` to `to`, named where it is wide enough for its name."""
    edges = [-0.5, *(min(max(end, -0.5), pairs - 0.5) for end in (low, high)), pairs - 0.5]
    rows = [(start, "", 1.0, word, end, f"{word} {count}" if end - start > pairs / 7 else "")
            for word, count, start, end in zip(_ZONES, zones, edges, edges[1:], strict=False)]
    return pd.DataFrame(rows, columns=["pair", "scheme", "slower", "zone", "to", "label"])


def _require(frame: pd.DataFrame, *columns: str) -> None:
    missing = [name for name in columns if name not in frame]
    if missing:
        raise ValueError(f"the frame lacks {', '.join(missing)}; it has {', '.join(frame)}")


def _scheme_channels(*schemes: str) -> dict:
    """Colour and shape by scheme, in one legend."""
    title = alt.Legend(title=None, symbolSize=120, columns=2)
    return {
        "color": alt.Color("scheme:N", legend=title, scale=alt.Scale(
            domain=list(schemes), range=[_COLOURS[scheme] for scheme in schemes])),
        "shape": alt.Shape("scheme:N", legend=title, scale=alt.Scale(
            domain=list(schemes), range=[_SHAPES[scheme] for scheme in schemes])),
    }


def _pair_axis(**scale: int) -> alt.X:
    return alt.X("pair:Q", scale=alt.Scale(nice=False, zero=False, **scale), axis=alt.Axis(
        title="pair (number, fast to slow)", tickMinStep=1, grid=False))


def _curves(layer: alt.Chart, size: int = 70) -> alt.Chart:
    """Lines with a point at every row."""
    return layer.mark_line(strokeWidth=2, point={"filled": True, "size": size, "opacity": 1})


@cache
def _score_spec() -> dict:
    base = blank_chart().encode(
        x=alt.X("distance:Q", scale=alt.Scale(nice=False), axis=alt.Axis(
            title="distance from query back to key (tokens)", grid=False, tickCount=8)),
        y=alt.Y("score:Q", axis=alt.Axis(title="score, q · k / √head size (number)", tickCount=5)))
    line = base.transform_filter(alt.datum.key_at == FORMULA).mark_line(**_DASHED)
    points = base.transform_filter(alt.datum.key_at != FORMULA).mark_point(
        filled=True, size=110, color=palette.ACCENT, opacity=0.9).encode(
        shape=alt.Shape("key_at:O", scale=alt.Scale(range=["circle", "square", "triangle-up", "diamond"]),
                        legend=alt.Legend(title="key at position", labelExpr=_THOUSANDS, columns=4, symbolSize=140,
                                          symbolFillColor=palette.ACCENT, symbolStrokeWidth=0)),
        tooltip=[alt.Tooltip("distance:Q", title="distance (tokens)"),
                 alt.Tooltip("key_at:Q", title="key at position", format=","),
                 alt.Tooltip("score:Q", title="score", format=".5f")])
    return specification(alt.layer(line, points), height=360)


@cache
def _spread_spec() -> dict:
    base = blank_chart().encode(
        y=alt.Y("format:N", sort=list(_FORMATS), axis=alt.Axis(title="number format", ticks=False)),
        x=alt.X("share:Q", scale=alt.Scale(type="log", domain=[_SMALLEST_SHARE, 1]), axis=alt.Axis(
            title="spread (share of the largest score, log scale)", values=[1e-16, 1e-12, 1e-8, 1e-4, 1],
            labelExpr="['10⁻¹⁶', '10⁻¹²', '10⁻⁸', '10⁻⁴', '1'][round(log(datum.value) / LN10 / 4 + 4)]")),
        tooltip=[alt.Tooltip("format:N", title="number format"), alt.Tooltip("spread:Q", title="spread", format=".2~s"),
                 alt.Tooltip("label:N", title="share of the largest score")])
    points = base.mark_point(filled=True, size=160, color=palette.ACCENT)
    numbers = base.mark_text(align="left", dx=12, fontSize=FONT_SIZE).encode(text="label:N")
    return specification(alt.layer(points, numbers), height=170, right=24)


@cache
def _wavelength_spec() -> dict:
    y = alt.Y("wavelength:Q", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(
        title="wavelength (tokens per turn, log scale)", format="~s", values=[10**power for power in range(10)]))
    x = _pair_axis(padding=12)
    drawn = alt.FieldOneOfPredicate("scheme", [PLAIN, YARN])
    curves = _curves(blank_chart().transform_filter(drawn)).encode(
        x=x, y=y, **_scheme_channels(PLAIN, YARN),
        tooltip=[alt.Tooltip("scheme:N", title="scheme"), alt.Tooltip("pair:Q", title="pair"),
                 alt.Tooltip("wavelength:Q", title="wavelength (tokens)", format=",.1f")])
    rules = blank_chart().transform_filter(~drawn)
    never = rules.transform_filter(alt.datum.scheme == "trained").mark_rect(color=palette.IDLE, tooltip=False).encode(
        y=y, y2=alt.value(0))
    lines = rules.mark_rule(**_DASHED).encode(y=y)
    names = [rules.mark_text(align="left", baseline=baseline, dx=-4, dy=dy, fontSize=FONT_SIZE, tooltip=False).encode(
        x=x, y=y, text=f"{side}:N") for side, baseline, dy in (("above", "bottom", -5), ("below", "top", 6))]
    return specification(alt.layer(never, lines, curves, *names), height=390)


@cache
def _stretch_spec() -> dict:
    x = _pair_axis()
    y = alt.Y("slower:Q", scale=alt.Scale(type="log", base=2, domain=[0.9, _LARGEST_FACTOR * 1.9], nice=False),
              axis=alt.Axis(title="slower than plain RoPE (times, log scale)", values=[1, 2, 4, 8, 16, 32, 64], format="d"))
    zones = blank_chart().transform_filter(alt.datum.zone != "")
    shades = zones.mark_rect(tooltip=False, color=palette.MUTED).encode(
        x=x, x2="to:Q", opacity=alt.Opacity("zone:N", legend=None, scale=alt.Scale(
            domain=list(_ZONES), range=[0, 0.13, 0.26])))
    names = zones.transform_calculate(middle="(datum.pair + datum.to) / 2").mark_text(
        baseline="top", fontSize=FONT_SIZE, tooltip=False).encode(x=alt.X("middle:Q"), y=alt.value(6), text="label:N")
    curves = _curves(blank_chart().transform_filter(alt.datum.zone == "")).encode(
        x=x, y=y, **_scheme_channels(*SCHEMES),
        tooltip=[alt.Tooltip("scheme:N", title="scheme"), alt.Tooltip("pair:Q", title="pair"),
                 alt.Tooltip("slower:Q", title="times slower", format=".2f")])
    return specification(alt.layer(shades, curves, names), height=390)


@cache
def _accuracy_spec() -> dict:
    x = alt.X("distance:Q", scale=alt.Scale(domainMin=0, nice=False, padding=12), axis=alt.Axis(
        title="distance back to the answer (tokens)", format="d", grid=False, tickCount=8))
    y = alt.Y("accuracy:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(
        title="right answers (%)", format=".0%", tickCount=5))
    curves = _curves(blank_chart().transform_filter(alt.datum.label == ""), size=110).encode(
        x=x, y=y, **_scheme_channels(*SCHEMES),
        tooltip=[alt.Tooltip("scheme:N", title="scheme"), alt.Tooltip("nearest:Q", title="from (tokens back)"),
                 alt.Tooltip("farthest:Q", title="to (tokens back)"), alt.Tooltip("asked:Q", title="answers asked for"),
                 alt.Tooltip("accuracy:Q", title="right", format=".1%")])
    mark = blank_chart().transform_filter(alt.datum.label != "")
    rule = mark.mark_rule(**_DASHED).encode(x=x)
    name = mark.mark_text(align="left", baseline="bottom", dx=6, dy=-6, fontSize=FONT_SIZE, tooltip=False).encode(
        x=x, y=y, text="label:N")
    return specification(alt.layer(rule, name, curves), height=390)


def clock(before: Hands, after: Hands, pair: int, pairs: int, query_at: int, key_at: int) -> str:
    """One pair's plane as SVG: query and key as pale arrows before both are moved, strong ones after.

    Each of `before` and `after` holds the x and y of the query and of the key, and the angle in degrees from the key to
    the query, counter-clockwise, drawn as a wedge. The dashed circle has the arrows' length before they are turned, 1.
    `query_at` and `key_at` are positions after the move in tokens. Dimensions are named as the model pairs them: `pair`
    with `pair + pairs`.
    """
    pen = Pen()
    pen.path(f"M60 {_Y:g}H{_PLANE_WIDTH - 60}M{_X:g} 4V{_PLANE_HEIGHT - 4}", palette.GRID, width=1.5)
    _circle(pen, _X, _Y, _UNIT, dashed=True)
    _circle(pen, _X, _Y, _UNIT * float(np.hypot(*after[0])))
    for (query, key, apart), reach, strength in ((before, 34, 0.35), (after, 56, 1)):
        _wedge(pen, key, apart, reach, strength)
        _hand(pen, "query-hand", query * _UNIT, 9, strength)
        _hand(pen, "key-hand", key * _UNIT, 5, strength)
    _tip_labels(pen, after, (f"query at {query_at}", f"key at {key_at}"))
    pen.text(4, 20, "pale: before the move", faint=True)
    pen.text(4, _PLANE_HEIGHT - 30, f"across: dimension {pair}", faint=True)
    pen.text(4, _PLANE_HEIGHT - 8, f"up: dimension {pair + pairs}", faint=True)
    pen.text(_PLANE_WIDTH - 4, _PLANE_HEIGHT - 8, f"{abs(after[2]):.1f}° apart", HEADING_SIZE + 4, "end", bold=True)
    label = f"Pair {pair} of {pairs}: query at position {query_at}, key at {key_at}, {abs(after[2]):.1f} degrees apart."
    return pen.picture(_PLANE_WIDTH, _PLANE_HEIGHT, label)


def describe_clock(before: Hands, after: Hands, pair: int, distance: int, step: float, shift: int) -> str:
    """The large clock in words: the angle from `distance` (tokens) and `step` (degrees per token), and that it stayed.

    `shift` says by how many tokens both were moved.
    """
    angle, length = abs(distance * step), float(np.hypot(*after[0]))
    seen = f", seen as {abs(after[2]):.1f}°" if angle > 180 else ""
    long = "Turning keeps their length." if abs(length - 1) < 1e-4 else (
        f"YaRN has made both hands {length:.4f} long; before they were 1 (the dashed circle).")
    return (f"Each position turns pair {pair} by {units.number(step)}° more. So a query and a key that are "
            f"{units.plural(abs(distance), 'token')} apart stand at an angle of {angle:.1f}°{seen}, wherever they are: it "
            f"was {abs(before[2]):.1f}°, and after both have moved by {units.plural(shift, 'token')} it is "
            f"{abs(after[2]):.1f}°. A score depends on this angle "
            f"alone, so it knows how far apart two tokens are, and not where. {long}")


def clock_grid(query: np.ndarray, key: np.ndarray, pair: int) -> str:
    """All pairs of a head as small clocks in SVG, fast ones first; `query` and `key` are (pairs, 2), x and y."""
    pairs = len(query)
    scale = _RADIUS / max(float(np.hypot(*query.T).max()), float(np.hypot(*key.T).max()))
    pen = Pen()
    for i in range(pairs):
        left, top = i % _PER_ROW * _CELL_WIDTH, i // _PER_ROW * _CELL_HEIGHT
        x, y = left + _CELL_WIDTH / 2, top + 4 + _RADIUS
        if i == pair:
            pen.box(left + 1, top + 0.5, _CELL_WIDTH - 2, _CELL_HEIGHT - 2, "none", stroke=palette.ACCENT, stroke_width=3)
        _circle(pen, x, y, _RADIUS)
        for kind, hand, width in (("query-hand", query[i], 6), ("key-hand", key[i], 3)):
            pen.path(f"M{x:g} {y:g}l{hand[0] * scale:.1f} {-hand[1] * scale:.1f}", _HANDS[kind], width=width, kind=kind)
        pen.text(x, y + _RADIUS + _LABEL_SIZE, str(i), _LABEL_SIZE, "middle", bold=i == pair, faint=i != pair)
    label = f"All {pairs} pairs as clocks with a query's and a key's hand, the fastest first; pair {pair} is framed."
    return pen.picture(_PER_ROW * _CELL_WIDTH, math.ceil(pairs / _PER_ROW) * _CELL_HEIGHT, label)


def _circle(pen: Pen, x: float, y: float, radius: float, dashed: bool = False) -> None:
    """A faint circle; as arcs, or dashed as many short ones."""
    if not dashed:
        arc = f"a{radius:g} {radius:g} 0 1 1"
        pen.path(f"M{x - radius:g} {y:g}{arc} {2 * radius:g} 0{arc} {-2 * radius:g} 0", palette.MUTED, width=1.5,
                 opacity=0.6)
        return
    dashes = [_arc(x, y, radius, start, 6) for start in range(0, 360, 12)]
    pen.path("".join(dashes), palette.MUTED, width=1.5, opacity=0.6)


def _arc(x: float, y: float, radius: float, start: float, sweep: float) -> str:
    """The path of an arc from `start` degrees on, counter-clockwise for a positive sweep."""
    (from_x, from_y), (to_x, to_y) = (
        (x + radius * math.cos(math.radians(a)), y - radius * math.sin(math.radians(a))) for a in (start, start + sweep))
    flags = f"{int(abs(sweep) > 180)} {int(sweep < 0)}"
    return f"M{from_x:.1f} {from_y:.1f}A{radius:g} {radius:g} 0 {flags} {to_x:.1f} {to_y:.1f}"


def _wedge(pen: Pen, key: np.ndarray, apart: float, reach: float, strength: float) -> None:
    """The angle between the arrows, from the key to the query."""
    arc = _arc(_X, _Y, reach, math.degrees(math.atan2(key[1], key[0])), apart)
    pen.path(f"{arc}L{_X:g} {_Y:g}Z", "none", palette.fade(palette.ACCENT, 0.25), opacity=strength, kind="angle")
    pen.path(arc, palette.ACCENT, width=4, opacity=strength)


def _hand(pen: Pen, kind: str, to: np.ndarray, width: float, opacity: float) -> None:
    """An arrow from the middle of the large clock in any direction; y counts upwards, as in the plane of the pair."""
    ahead = to / np.hypot(*to)
    aside, neck = np.array((-ahead[1], ahead[0])) * 11, to - ahead * 22
    (x, y), *head = ((_X + x, _Y - y) for x, y in (neck, neck + aside, to, neck - aside))
    pen.path(f"M{_X:g} {_Y:g}L{x:.1f} {y:.1f}", _HANDS[kind], width=width, opacity=opacity, kind=kind)
    pen.path("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in head) + "Z", "none", _HANDS[kind], opacity=opacity)


def _tip_labels(pen: Pen, hands: Hands, labels: tuple[str, str]) -> None:
    """Names beyond the arrows' tips, moved apart where the arrows point nearly the same way."""
    query, key, apart = hands
    too_close = max(_TIPS_APART - abs(apart), 0) / 2 * math.copysign(1, apart)
    for (x, y), words, aside in ((query, labels[0], too_close), (key, labels[1], -too_close)):
        angle = math.atan2(y, x) + math.radians(aside)
        reach, lean = _UNIT * math.hypot(x, y) + 12, math.cos(angle)
        anchor = "middle" if abs(lean) < 0.25 else "start" if lean > 0 else "end"
        # Beside a tip the words are level with it; above and below one they need their own height as well.
        pen.text(_X + reach * lean, _Y - (reach + 6) * math.sin(angle) + 6, words, _LABEL_SIZE, anchor, bold=True)


def rotation_table(values: np.ndarray, name: str, start: int, dark: bool = False) -> str:
    """A matrix (pairs, positions) of cosines or sines as SVG: a row per pair, a column per position from `start` on.

    `name` is what the values are. Blue is negative, orange positive, clear is zero, in the colours of one theme.
    """
    pairs, positions = values.shape
    picture = tensor_picture(values, max_rows=pairs, max_columns=positions, enlarge=False)
    pen, width = Pen(), _TABLE_WIDTH - _LEFT - 10
    pen.image(picture, _LEFT, _TOP, width, _IMAGE_HEIGHT, dark)
    pen.path(f"M{_LEFT} {_TOP}V{_TOP + _IMAGE_HEIGHT}H{_TABLE_WIDTH - 10}", palette.MUTED, width=1.5)
    pen.text(0, 22, "pair", _SIZE, faint=True)
    ends = f"{units.fixed(values.min())} (blue) to {units.fixed(values.max())} (orange)"
    pen.text(_LEFT, 22, f"{name}, {ends}", _SIZE, bold=True)
    for place in _ticks(pairs):
        y = _TOP + (place + 0.5) / pairs * _IMAGE_HEIGHT
        pen.text(_LEFT - 8, y + 7, str(place), _SIZE, "end", faint=True)
    for place in _ticks(positions):
        x = _LEFT + (place + 0.5) / positions * width
        pen.text(x, _TOP + _IMAGE_HEIGHT + 24, f"{start + place:,}", _SIZE,
                 "end" if place == positions - 1 else "start" if place == 0 else "middle", faint=True)
    pen.text(_LEFT + width / 2, _TOP + _IMAGE_HEIGHT + 52, "position (tokens)", _SIZE, "middle", faint=True)
    return pen.picture(_TABLE_WIDTH, _TOP + _IMAGE_HEIGHT + _BELOW, f"{name} by pair and position {start:,} to "
                                                              f"{start + positions - 1:,}. {picture.alt}")


def _ticks(places: int) -> list[int]:
    """Up to four places of an axis, evenly spread from the first to the last."""
    return sorted({round(i * (places - 1) / (_TICKS - 1)) for i in range(_TICKS)})
