"""Charts of RoPE and YaRN: scores by distance, wavelengths, and what each way of stretching does to them."""

from __future__ import annotations

from functools import cache

import altair as alt
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, Chart, blank_chart, specification
from gptoss.training.schemes import FORMULA, INTERPOLATION, NOTEBOOK, PLAIN, SCHEMES, YARN

_SHOWN_EVERY = 8  # tokens between two points of one place, so that points of all places can be told apart
_CLOSE = 8  # times: the names of two lengths nearer than this would touch
_SMALLEST_SHARE = 1e-17  # stands for zero on a logarithmic axis
_FORMATS = ("float64", "float32", "bfloat16")
_ZONES = ("keeps", "blends", "stretches")
_LARGEST_FACTOR = 64
_THOUSANDS = "format(datum.value, ',')"
_COLOURS = {PLAIN: palette.MUTED, INTERPOLATION: palette.MUTED, YARN: palette.ACCENT, NOTEBOOK: palette.MAGNITUDE}
_SHAPES = {PLAIN: "circle", INTERPOLATION: "triangle-up", YARN: "circle", NOTEBOOK: "square"}


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
    text = (f"At distance 0 the score is {curve[0]:.2f}, at {curve.index[-1]} it is {curve.iloc[-1]:.2f}. "
            f"With the key at {', '.join(f'{place:,}' for place in measured)} the points fall on the same curve: "
            f"scores of one distance differ by at most {spread:.2g}, {share:.2%} of the largest.").replace("-", "−")
    return Chart(_score_spec(), data, "Score of one query and one key against the distance between them", text)


def spread_by_format(frame: pd.DataFrame) -> Chart:
    """How far scores of one distance lie apart, as a share of the largest score, by number format.

    `frame` has the columns `format` (float64, float32, bfloat16), `spread` and `share`.
    """
    _require(frame, "format", "spread", "share")
    share = frame["share"].astype(float)
    data = pd.DataFrame({
        "format": frame["format"], "spread": frame["spread"], "share": share.clip(lower=_SMALLEST_SHARE),
        "label": [f"{value:.0e}".replace("e-0", "e-") if value else "0" for value in share]})
    text = "Largest spread as a share of the largest score: " + ", ".join(
        f"{name} {value:.1e}" for name, value in zip(frame["format"], share, strict=True)) + "."
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
    text = (f"Plain RoPE: a turn of the fastest pair takes {plain.min():.2f} tokens, of the slowest {_many(plain.max())}. "
            f"{int((plain > trained).sum())} of {len(plain)} pairs never turn once in {trained:,} tokens. "
            f"Under YaRN the slowest takes {_many(slowest)}.")
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
    ends = {scheme: [f"{rows['slower'].iloc[place]:.4g}" for place in (0, -1)] for scheme, rows in points.groupby("scheme")}
    text = (f"YaRN keeps {zones[0]} of {pairs} pairs, blends {zones[1]} and slows {zones[2]} by the whole factor; its ramp "
            f"runs from pair {low:.2f} to {high:.2f}. From fastest to slowest pair YaRN slows {' to '.join(ends[YARN])} "
            f"times, the notebook's blend {' to '.join(ends[NOTEBOOK])}, position interpolation "
            f"{' to '.join(ends[INTERPOLATION])}.").replace(" -", " −")
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


def _many(tokens: float) -> str:
    return f"{tokens / 1e6:.1f} million" if tokens >= 1e6 else f"{tokens:,.0f}"


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


@cache
def _score_spec() -> dict:
    base = blank_chart().encode(
        x=alt.X("distance:Q", scale=alt.Scale(nice=False), axis=alt.Axis(
            title="distance from query back to key (tokens)", grid=False, tickCount=8)),
        y=alt.Y("score:Q", axis=alt.Axis(title="score, q · k / √head size (number)", tickCount=5)))
    line = base.transform_filter(alt.datum.key_at == FORMULA).mark_line(
        color=palette.MUTED, strokeWidth=2, strokeDash=[6, 4], tooltip=False)
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
            title="spread (share of the largest score, log scale)", format=".0e", values=[1e-16, 1e-12, 1e-8, 1e-4, 1])),
        tooltip=[alt.Tooltip("format:N", title="number format"), alt.Tooltip("spread:Q", title="spread", format=".2e"),
                 alt.Tooltip("share:Q", title="share of the largest score", format=".2e")])
    points = base.mark_point(filled=True, size=160, color=palette.ACCENT)
    numbers = base.mark_text(align="left", dx=12, fontSize=FONT_SIZE).encode(text="label:N")
    return specification(alt.layer(points, numbers), height=170, right=24)


@cache
def _wavelength_spec() -> dict:
    y = alt.Y("wavelength:Q", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(
        title="wavelength (tokens per turn, log scale)", format="~s", values=[10**power for power in range(10)]))
    x = alt.X("pair:Q", scale=alt.Scale(nice=False, zero=False, padding=12), axis=alt.Axis(
        title="pair (number, fast to slow)", tickMinStep=1, grid=False))
    drawn = alt.FieldOneOfPredicate("scheme", [PLAIN, YARN])
    curves = blank_chart().transform_filter(drawn).mark_line(
        strokeWidth=2, point={"filled": True, "size": 70, "opacity": 1}).encode(
        x=x, y=y, **_scheme_channels(PLAIN, YARN),
        tooltip=[alt.Tooltip("scheme:N", title="scheme"), alt.Tooltip("pair:Q", title="pair"),
                 alt.Tooltip("wavelength:Q", title="wavelength (tokens)", format=",.1f")])
    rules = blank_chart().transform_filter(~drawn)
    never = rules.transform_filter(alt.datum.scheme == "trained").mark_rect(color=palette.IDLE, tooltip=False).encode(
        y=y, y2=alt.value(0))
    lines = rules.mark_rule(color=palette.MUTED, strokeWidth=2, strokeDash=[6, 4], tooltip=False).encode(y=y)
    names = [rules.mark_text(align="left", baseline=baseline, dx=-4, dy=dy, fontSize=FONT_SIZE, tooltip=False).encode(
        x=x, y=y, text=f"{side}:N") for side, baseline, dy in (("above", "bottom", -5), ("below", "top", 6))]
    return specification(alt.layer(never, lines, curves, *names), height=390)


@cache
def _stretch_spec() -> dict:
    x = alt.X("pair:Q", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(
        title="pair (number, fast to slow)", tickMinStep=1, grid=False))
    y = alt.Y("slower:Q", scale=alt.Scale(type="log", base=2, domain=[0.9, _LARGEST_FACTOR * 1.9], nice=False),
              axis=alt.Axis(title="slower than plain RoPE (times, log scale)", values=[1, 2, 4, 8, 16, 32, 64], format="d"))
    zones = blank_chart().transform_filter(alt.datum.zone != "")
    shades = zones.mark_rect(tooltip=False, color=palette.MUTED).encode(
        x=x, x2="to:Q", opacity=alt.Opacity("zone:N", legend=None, scale=alt.Scale(
            domain=list(_ZONES), range=[0, 0.13, 0.26])))
    names = zones.transform_calculate(middle="(datum.pair + datum.to) / 2").mark_text(
        baseline="top", fontSize=FONT_SIZE, tooltip=False).encode(x=alt.X("middle:Q"), y=alt.value(6), text="label:N")
    curves = blank_chart().transform_filter(alt.datum.zone == "").mark_line(
        strokeWidth=2, point={"filled": True, "size": 70, "opacity": 1}).encode(
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
    curves = blank_chart().transform_filter(alt.datum.label == "").mark_line(
        strokeWidth=2, point={"filled": True, "size": 110, "opacity": 1}).encode(
        x=x, y=y, **_scheme_channels(*SCHEMES),
        tooltip=[alt.Tooltip("scheme:N", title="scheme"), alt.Tooltip("nearest:Q", title="from (tokens back)"),
                 alt.Tooltip("farthest:Q", title="to (tokens back)"), alt.Tooltip("asked:Q", title="answers asked for"),
                 alt.Tooltip("accuracy:Q", title="right", format=".1%")])
    mark = blank_chart().transform_filter(alt.datum.label != "")
    rule = mark.mark_rule(color=palette.MUTED, strokeWidth=2, strokeDash=[6, 4], tooltip=False).encode(x=x)
    name = mark.mark_text(align="left", baseline="bottom", dx=6, dy=-6, fontSize=FONT_SIZE, tooltip=False).encode(
        x=x, y=y, text="label:N")
    return specification(alt.layer(rule, name, curves), height=390)
