"""What norms do: vectors in a plane, histograms of activations, the stream's size, number formats and times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from gptoss import units
from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, ROW, Chart, blank_chart, specification

BEFORE, RMS, LAYER = "before", "RMSNorm", "LayerNorm"
BEFORE_NORM, AFTER_NORM = "before", "after"
_CIRCLE, _CORNER, _RAY = "circle", "corner", "line from the origin"
_REACH = 1.75  # of the plane after the norms, in its own units
_PLANE_HEIGHT = 380
_BOTH = alt.Scale(domain=[RMS, LAYER], range=[palette.ACCENT, palette.GPT2])
_AXES = {2: ("feature 1", "feature 2"), 0: ("mean of the features", "spread of the features")}


def worked_by_hand(numbers: Sequence[float], squares: Sequence[float], mean: float, root: float,
                   divided: Sequence[float]) -> str:
    """RMSNorm of a few numbers as a table in HTML: each step a row, with bars where the numbers come in and go out."""
    shown = [units.number(value) for value in squares]
    size = units.number(math.sqrt(sum(value**2 for value in divided) / len(divided)))
    rows = (
        ("The numbers", _cells(numbers, palette.MAGNITUDE, max(map(abs, numbers)))),
        ("Square each", "".join(f"<td>{value}</td>" for value in shown)),
        ("Take the mean", _wide(f"({' + '.join(shown)}) / {len(shown)} = <b>{units.number(mean)}</b>", len(shown))),
        ("Take its root", _wide(f"√{units.number(mean)} = <b>{units.number(root)}</b>, the root mean square", len(shown))),
        ("Divide each by it", _cells(divided, palette.ACCENT, math.sqrt(len(divided)))),
        ("Their size now", _wide(f"root mean square <b>{size}</b>", len(shown))))
    return _HAND_STYLE + '<table class="by-hand">' + "".join(
        f'<tr><th scope="row">{name}</th>{cells}</tr>' for name, cells in rows) + "</table>"


def _cells(values: Sequence[float], colour: str, full: float) -> str:
    """Numbers, each over a bar from the middle of its cell, to the left where it is negative; `full` fills half a cell."""
    parts, colour = [], palette.in_both_themes(colour)
    for value in values:
        width = 50 * min(abs(value) / full, 1) if full else 0
        place = f"left:{50 - (width if value < 0 else 0):.1f}%;width:{width:.1f}%"
        parts.append(f'<td><b>{units.number(value)}</b><i><u style="{place};background:{colour}"></u></i></td>')
    return "".join(parts)


def _wide(words: str, columns: int) -> str:
    return f'<td colspan="{columns}">{words}</td>'


_HAND_STYLE = palette.in_both_themes(f"""<style>
.by-hand {{border-collapse: collapse; width: 100%; max-width: 760px; font-size: 1.1rem; direction: ltr}}
.by-hand th {{text-align: left; font-weight: 400; opacity: 0.85; padding: 8px 10px 8px 0; width: 9.5rem}}
.by-hand td {{text-align: center; padding: 8px; font-variant-numeric: tabular-nums; border-left: 3px solid transparent}}
.by-hand tr {{border-bottom: 1px solid {palette.GRID}}}
.by-hand i {{display: block; position: relative; height: 14px; margin-top: 4px; background: {palette.IDLE}}}
.by-hand i::after {{content: ""; position: absolute; left: 50%; top: -3px; height: 20px;
                    border-left: 2px solid {palette.MUTED}}}
.by-hand u {{position: absolute; top: 0; height: 14px}}
@media (max-width: 640px) {{.by-hand {{font-size: 1rem}} .by-hand th {{width: 5.6rem}} .by-hand td {{padding: 8px 4px}}}}
</style>""")


def plane_before(points: np.ndarray, width: int, marked: Sequence[int] = ()) -> Chart:
    """Vectors as points (count, 2) before a norm; those with the numbers `marked` have a line from the origin.

    `width` is how many features the vectors have: of two, the axes are the features, of more, mean and spread.
    """
    limit = _round_up(float(np.abs(points).max()))
    sizes = np.sqrt(np.square(points).sum(axis=1) / (2 if width == 2 else 1))
    lowest = -limit if width == 2 else 0.0  # a spread is never negative
    corners = np.array([[-limit, lowest], [limit, limit]])
    data = _points([(BEFORE, points), *_rays_to(points, marked), (_CORNER, corners)])
    alt_text = (f"{len(points)} vectors of {width:,} features before a norm. Their root mean square goes from "
                f"{units.number(sizes.min())} to {units.number(sizes.max())}; the axes reach to {units.number(limit)}.")
    return Chart(_before_spec(*_AXES[2 if width == 2 else 0]), data, "Vectors in a plane, before a norm", alt_text)


def plane_after(rms: np.ndarray, layer: np.ndarray, width: int, radius: float, marked: Sequence[int] = ()) -> Chart:
    """The same vectors after RMSNorm and after LayerNorm, and the circle of root mean square 1 with this `radius`."""
    angle = np.linspace(0, 2 * np.pi, 97)
    circle = radius * np.column_stack([np.cos(angle), np.sin(angle)])
    data = _points([(_CIRCLE, circle), (LAYER, layer), (RMS, rms), *_rays_to(rms, marked)])
    distance = np.linalg.norm(rms, axis=1)
    ends = np.array([[1, -1], [-1, 1]]) if width == 2 else np.array([[0, 1]])
    near = (np.abs(layer[:, None] - ends).max(axis=-1).min(axis=-1) < 0.1).sum()
    apart = " to ".join(dict.fromkeys(map(units.number, (distance.min(), distance.max()))))
    alt_text = (f"RMSNorm puts all {len(rms)} vectors at a distance of {apart} from the origin, each in its own direction; "
                f"the dashed circle has a radius of {units.number(radius)}. LayerNorm puts {near} of them on "
                f"{'two points' if width == 2 else 'one point'}, to within 0.1.")
    if width != 2:
        alt_text += f" The median vector keeps a mean of {_short(np.median(rms[:, 0]))} after RMSNorm."
    return Chart(_after_spec(*_AXES[2 if width == 2 else 0]), data, "Vectors in a plane, after both norms", alt_text)


def activations_before(shares: np.ndarray, edges: np.ndarray, mean: float, size: float) -> Chart:
    """Histogram of activations before a norm: `shares` (bins,) of the values between `edges` (bins + 1,)."""
    alt_text = (f"Before the norm the values have mean {_short(mean)} and root mean square {_short(size)}; they lie between "
                f"{_short(edges[0])} and {_short(edges[-1])}.")
    return Chart(_histogram_spec(True), _bins({BEFORE: shares}, edges), "Activations before the norm", alt_text)


def activations_after(rms: np.ndarray, layer: np.ndarray, edges: np.ndarray, means: tuple[float, float]) -> Chart:
    """Histograms of the same activations after RMSNorm and after LayerNorm, between the same `edges`.

    `means` are those of the values after RMSNorm and after LayerNorm.
    """
    outside = max(1 - min(rms.sum(), layer.sum()), 0)
    beyond = f"up to {outside:.2%} of them lie" if outside > 5e-5 else "none lies"
    alt_text = (f"After RMSNorm the values have mean {_short(means[0])}, after LayerNorm {_short(means[1])}; "
                f"{beyond} beyond {_short(edges[0])} and {_short(edges[-1])}.")
    note = f"values from {_short(edges[0])} to {_short(edges[-1])}" if outside > 5e-5 else ""
    return Chart(_histogram_spec(False), _bins({RMS: rms, LAYER: layer}, edges), "Activations after RMSNorm and LayerNorm",
                 alt_text, note)


def stream_size(sizes: pd.DataFrame) -> Chart:
    """The root mean square of the tokens at every norm, before and after it: a range per place with its median.

    `sizes` has the columns place, when (`BEFORE_NORM` or `AFTER_NORM`), smallest, median and largest, in the order
    in which a token meets the norms.
    """
    order = {place: f"{number:02d} {place}" for number, place in enumerate(sizes["place"].unique())}
    data = sizes.assign(place=sizes["place"].map(order)).round({"smallest": 4, "median": 4, "largest": 4})
    before = sizes[sizes["when"] == BEFORE_NORM]
    after = sizes[sizes["when"] == AFTER_NORM]
    alt_text = (f"At {len(before)} norms: before the first the tokens' root mean square has a median of "
                f"{before['median'].iloc[0]:.2f}, before the last {before['median'].iloc[-1]:.2f}. After a norm it lies "
                f"between {after['smallest'].min():.3f} and {after['largest'].max():.3f} everywhere.")
    return Chart(_stream_spec(), data, "Size of the stream before and after every norm", alt_text)


def output_sizes(curve: pd.DataFrame, size: float, outputs: Sequence[float]) -> Chart:
    """Output size against input size, one line per eps, with a mark where the input has `size`.

    `curve` has the columns size, eps and output (the closed form); `outputs` are what RMSNorm gave at `size`, one for
    each eps in the order of the curve.
    """
    names = {eps: f"eps {units.number(eps, 1)}" for eps in curve["eps"].unique()}
    lines = pd.DataFrame({"size": curve["size"], "output": curve["output"].round(5), "eps": curve["eps"].map(names),
                          "what": "closed form"})
    marks = pd.DataFrame({"size": size, "output": np.round(outputs, 5), "eps": list(names.values()), "what": "measured"})
    words = " and ".join(f"of {output:.3f} with {name}" for name, output in zip(names.values(), outputs, strict=True))
    return Chart(_output_spec(tuple(names.values())), pd.concat([lines, marks], ignore_index=True),
                 "Output size of RMSNorm against input size",
                 f"An input with a root mean square of {units.number(size)} leaves with one {words}.")


def format_errors(errors: pd.DataFrame) -> Chart:
    """Median and largest error of outputs for every number format: columns format, median and largest (shares)."""
    percent = errors[["median", "largest"]].clip(lower=1e-6) * 100
    data = errors.assign(**percent.round(6), what=["ours", *["other"] * (len(errors) - 1)])
    words = "; ".join(f"{row.format}: {row.median:.2%}, at most {row.largest:.2%}" for row in errors.itertuples())
    return Chart(_errors_spec(), data, "Errors of RMSNorm's outputs by number format",
                 f"Median error of an output, and the largest. {words}.")


def norm_times(times: pd.DataFrame) -> Chart:
    """Measured times: columns norm, pass (forward, backward), low, median and high, in seconds."""
    data = times.assign(**{name: (times[name] * 1e3).round(4) for name in ("low", "median", "high")})
    data["which"] = np.where(data["norm"].str.startswith("RMSNorm"), RMS, LAYER)
    data["label"] = times["median"].map(units.seconds)
    words = "; ".join(f"{norm}: " + ", ".join(f"{row['pass']} {row['label']}" for _, row in rows.iterrows())
                      for norm, rows in data.groupby("norm", sort=False))
    return Chart(_times_spec(), data, "Measured times of RMSNorm and LayerNorm", f"Median times. {words}.")


def _points(groups: Sequence[tuple]) -> pd.DataFrame:
    """A row a point. A group is its kind, its points (count, 2) and, unless they count from 0, their vectors' numbers."""
    kinds = list(dict.fromkeys(kind for kind, *_ in groups))
    x, y = np.concatenate([points for _, points, *_ in groups]).astype(np.float64).round(5).T
    return pd.DataFrame({
        "x": x, "y": y,
        "kind": pd.Categorical.from_codes(
            np.concatenate([np.full(len(points), kinds.index(kind)) for kind, points, *_ in groups]), kinds),
        "vector": np.concatenate([numbers[0] if numbers else np.arange(len(points)) for _, points, *numbers in groups])})


def _rays_to(points: np.ndarray, marked: Sequence[int]) -> list[tuple]:
    """Lines from the origin: the two ends of each."""
    numbers = np.array(marked, int)
    return [(_RAY, np.zeros((len(numbers), 2)), numbers), (_RAY, points[numbers], numbers)]


def _round_up(value: float) -> float:
    """The next round number, so that axes do not creep."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-12)))
    return next(power * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if power * step >= value)


def _short(value: float) -> str:
    """A number with two decimals, or two digits where it is small and not nothing."""
    return units.number(value, 2) if 0.0005 <= abs(value) < 0.1 else units.fixed(value)


def _bins(shares: dict[str, np.ndarray], edges: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({
        "from": np.tile(edges[:-1], len(shares)).astype(np.float64).round(5),
        "to": np.tile(edges[1:], len(shares)).astype(np.float64).round(5),
        "share": np.concatenate(list(shares.values())).round(6),
        "what": np.repeat(list(shares), len(edges) - 1)})


def _plane_axis(title: str) -> alt.Axis:
    return alt.Axis(title=title, tickCount=5, format=",~r")


def _marks_of(kind: str) -> alt.Chart:
    return blank_chart().transform_filter(alt.datum.kind == kind)


def _rays(x: alt.X, y: alt.Y) -> tuple[alt.Chart, alt.Chart]:
    """The lines from the origin to the marked vectors, and their ends."""
    lines = _marks_of(_RAY).mark_line(color=palette.ACCENT, strokeWidth=2, opacity=0.6, tooltip=False).encode(
        x=x, y=y, detail="vector:N")
    ends = _marks_of(_RAY).transform_filter("datum.x != 0 || datum.y != 0").mark_point(
        color=palette.ACCENT, filled=True, size=130, opacity=1, tooltip=ROW).encode(x=x, y=y)
    return lines, ends


@cache
def _before_spec(across: str, up: str) -> dict:
    free = alt.Scale(nice=False, zero=True)
    x, y = alt.X("x:Q", scale=free, axis=_plane_axis(across)), alt.Y("y:Q", scale=free, axis=_plane_axis(up))
    corners = _marks_of(_CORNER).mark_point(opacity=0, tooltip=False).encode(x=x, y=y)
    points = _marks_of(BEFORE).mark_point(color=palette.MAGNITUDE, filled=True, size=45, opacity=0.6, tooltip=ROW).encode(
        x=x, y=y)
    return specification(alt.layer(corners, points, *_rays(x, y)), height=_PLANE_HEIGHT, canvas=True)


@cache
def _after_spec(across: str, up: str) -> dict:
    x = alt.X("x:Q", scale=_true_to_shape("width", "height"), axis=_plane_axis(across))
    y = alt.Y("y:Q", scale=_true_to_shape("height", "width"), axis=_plane_axis(up))
    circle = _marks_of(_CIRCLE).mark_line(color=palette.MUTED, strokeDash=[6, 4], strokeWidth=2, tooltip=False).encode(
        x=x, y=y, order="vector:Q")
    colour = alt.Color("kind:N", title=None, scale=_BOTH)
    shape = alt.Shape("kind:N", title=None, scale=alt.Scale(domain=[RMS, LAYER], range=["circle", "square"]))
    points = [_marks_of(kind).mark_point(filled=True, opacity=0.55, size=size, tooltip=ROW).encode(
        x=x, y=y, color=colour, shape=shape) for kind, size in ((LAYER, 170), (RMS, 45))]
    return specification(alt.layer(circle, *points, *_rays(x, y)), height=_PLANE_HEIGHT, canvas=True)


def _true_to_shape(along: str, other: str) -> alt.Scale:
    """One unit as long across as up, however wide the page is: a circle is to look like one."""
    reach = f"{_REACH} * max(1, {along} / {other})"
    return alt.Scale(nice=False, domainMin=alt.ExprRef(f"-{reach}"), domainMax=alt.ExprRef(reach))


@cache
def _histogram_spec(before: bool) -> dict:
    x = alt.X("from:Q", bin="binned", scale=alt.Scale(nice=False), axis=alt.Axis(
        title="value of a feature", tickCount=7, format=",~r"))
    y = alt.Y("share:Q", stack=None, axis=alt.Axis(title="values (% of all, per bin)", format=".1~%", tickCount=5))
    scale = alt.Scale(domain=[BEFORE], range=[palette.MAGNITUDE]) if before else _BOTH
    colour = alt.Color("what:N", title=None, legend=None if before else alt.Legend(), scale=scale)
    bars = _named(BEFORE if before else RMS).mark_bar(opacity=0.55, tooltip=ROW, binSpacing=0).encode(
        x=x, x2="to:Q", y=y, color=colour)
    outline = _named(LAYER).mark_line(interpolate="step-after", strokeWidth=3, tooltip=False).encode(x=x, y=y, color=colour)
    return specification(bars if before else alt.layer(bars, outline), height=_PLANE_HEIGHT, canvas=True)


def _named(what: str) -> alt.Chart:
    return blank_chart().transform_filter(alt.datum.what == what)


@cache
def _stream_spec() -> dict:
    whens = [BEFORE_NORM, AFTER_NORM]
    base = blank_chart().encode(
        y=alt.Y("place:N", sort="ascending", axis=alt.Axis(
            title="norm in front of", labelExpr="slice(datum.label, 3)", ticks=False, grid=True)),
        color=alt.Color("when:N", title=None, scale=alt.Scale(domain=whens, range=[palette.MAGNITUDE, palette.ACCENT])))
    ranges = base.mark_rule(strokeWidth=6, opacity=0.45, strokeCap="round", tooltip=ROW).encode(
        x=alt.X("smallest:Q", scale=alt.Scale(zero=True), axis=alt.Axis(title="root mean square of a token", tickCount=6)),
        x2="largest:Q")
    medians = base.mark_point(filled=True, size=130, opacity=1, tooltip=ROW).encode(x="median:Q")
    return specification(alt.layer(ranges, medians), height=_PLANE_HEIGHT)


@cache
def _output_spec(names: tuple[str, ...]) -> dict:
    colour = alt.Color("eps:N", title=None, scale=alt.Scale(domain=list(names), range=[palette.ACCENT, palette.MUTED]))
    x = alt.X("size:Q", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(
        title="root mean square of the input (log scale)", format=",~r", tickCount=5))
    y = alt.Y("output:Q", scale=alt.Scale(domain=[0, 1.05], nice=False), axis=alt.Axis(
        title="root mean square of the output", tickCount=5))
    lines = blank_chart().transform_filter(alt.datum.what == "closed form").mark_line(strokeWidth=3, tooltip=ROW).encode(
        x=x, y=y, color=colour)
    measured = blank_chart().transform_filter(alt.datum.what == "measured")
    rule = measured.mark_rule(color=palette.MUTED, strokeDash=[6, 4], strokeWidth=1.5, tooltip=False).encode(x=x)
    points = measured.mark_point(filled=True, size=160, opacity=1, tooltip=ROW).encode(x=x, y=y, color=colour)
    return specification(alt.layer(rule, lines, points), height=_PLANE_HEIGHT)


@cache
def _errors_spec() -> dict:
    y = alt.Y("format:N", sort=None, axis=alt.Axis(title=None, ticks=False, labelLimit=220))
    colour = alt.Color("what:N", legend=None, scale=alt.Scale(
        domain=["ours", "other"], range=[palette.ACCENT, palette.MUTED]))
    axis = alt.Axis(title="error of an output (%, log)", format=",~r", values=[0.01, 0.1, 1, 10, 100])
    scale = alt.Scale(type="log", domainMin=0.005, domainMax=100, nice=False, clamp=True)
    base = blank_chart().encode(y=y, color=colour, x=alt.X("median:Q", scale=scale, axis=axis))
    ranges = base.mark_rule(strokeWidth=6, opacity=0.45, strokeCap="round", tooltip=ROW).encode(x2="largest:Q")
    medians = base.mark_point(filled=True, size=150, opacity=1, tooltip=ROW)
    return specification(alt.layer(ranges, medians), height=_PLANE_HEIGHT, right=12)


@cache
def _times_spec() -> dict:
    passes = ["forward", "backward"]
    base = blank_chart().encode(
        y=alt.Y("norm:N", sort=None, axis=alt.Axis(title=None, ticks=False, labelExpr="split(datum.label, ', ')")),
        yOffset=alt.YOffset("pass:N", scale=alt.Scale(domain=passes, paddingOuter=0.35)),
        color=alt.Color("which:N", title=None, scale=_BOTH))
    axis = alt.Axis(title="time (ms): median and quartiles", tickCount=6)
    ranges = base.mark_rule(strokeWidth=6, opacity=0.4, strokeCap="round", tooltip=ROW).encode(
        x=alt.X("low:Q", scale=alt.Scale(zero=True), axis=axis), x2="high:Q")
    medians = base.mark_point(size=130, opacity=1, strokeWidth=2.5, tooltip=ROW).encode(
        x="median:Q", fill=alt.Color("which:N", legend=None, scale=_BOTH),
        shape=alt.Shape("pass:N", title=None, scale=alt.Scale(domain=passes, range=["circle", "diamond"]),
                        legend=alt.Legend(symbolFillColor=palette.MUTED, symbolStrokeColor=palette.MUTED)))
    numbers = base.mark_text(align="left", dx=12, fontSize=FONT_SIZE, tooltip=False).encode(
        x="high:Q", text="label:N", color=alt.value(palette.MUTED))
    return specification(alt.layer(ranges, medians, numbers), height=_PLANE_HEIGHT, right=70)
