"""What one neuron of an expert computes, and what a mixture of experts costs beside dense MLPs."""

from __future__ import annotations

import math
from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, ROW, Chart, blank_chart, specification
from gptoss.units import plural

HEIGHT = 400  # px of a page's main picture
LINE, PLOT = 18, 310  # px of a line of a label, and of all there is between the axes
LEFT, RIGHT = 0.45, 0.9  # room for labels beside the points, as parts of the way from the first to the last
MAX_NEURONS = 200  # dots; a wider expert shows its first ones

_CURVE, _OTHER_CURVE, _COMPARED = "gpt-oss, as chosen", "other linear halves", "compared with"
_NEURON = "real neurons"
_TOTAL, _ACTIVE = "all parameters", "active for one token"
# On a log axis the powers of ten are enough; 1e9 is a billion parameters, not a giga.
_IS_POWER_OF_TEN = "abs(log(datum.value) / LN10 - round(log(datum.value) / LN10)) < 1e-6"
_COUNT_LABEL = f"{_IS_POWER_OF_TEN} ? replace(format(datum.value, '~s'), 'G', 'B') : ''"
_POWERS = {"grid": False, "tickCount": 30, "labelOverlap": False, "tickSize": 3}
_FLOP_LABEL = f"{_IS_POWER_OF_TEN} ? format(datum.value, '~s') : ''"


def swiglu_curves(curves: pd.DataFrame, chosen: pd.DataFrame, compared: pd.DataFrame, variant: str,
                  neurons: pd.DataFrame) -> Chart:
    """The gated activation against its gate: one curve in colour, some pale ones, one dashed, and real neurons as dots.

    All frames have columns `gate` and `output`, the first three also `linear`: `curves` some values of it, `chosen` one,
    `compared` the same one in another `variant` of the activation. `neurons` are what an expert's neurons really got and
    gave for one token, with a column `clamped`; above `MAX_NEURONS` the first are drawn, and `note` says so.
    """
    shown = neurons.head(MAX_NEURONS)
    linear = chosen["linear"].iloc[0]
    parts = ((curves, [_linear(value) for value in curves["linear"]], _OTHER_CURVE), (compared, variant, _COMPARED),
             (chosen, "as chosen", _CURVE), (shown, "neuron", _NEURON))
    data = pd.concat([frame[["gate", "linear", "output"]].round(4).assign(curve=curve, what=what)
                      for frame, curve, what in parts], ignore_index=True)
    ends = data.groupby("curve").tail(1).index
    data["label"] = data["curve"].where(data.index.isin(ends) & (data["what"] == _OTHER_CURVE), "")
    end, other = chosen.iloc[-1], compared["output"].iloc[-1]
    gates, clamped = neurons["gate"], int(neurons["clamped"].sum())
    text = (f"{_linear(linear).capitalize()}: at gate {end['gate']:g} the output is {end['output']:.2f}; {variant} it would "
            f"be {other:.2f}. The {plural(len(neurons), 'neuron')} of this token's best expert have gates from "
            f"{gates.min():.2f} to {gates.max():.2f}; {clamped} of them are clamped.")
    note = f"{MAX_NEURONS} of {len(neurons)} neurons" if len(neurons) > MAX_NEURONS else ""
    return Chart(_swiglu_spec(), data, "SwiGLU: the output of a neuron against its gate", text, note)


def mixture_against_dense(frame: pd.DataFrame) -> Chart:
    """Parameters against compute of the MLPs: the mixture as it is, and dense ones, which all lie on one line.

    `frame` has a row per design, the mixture first: `design`, `parameters` (count) and `flops` (for one token). Designs
    that fall on one point share a label. Raises `ValueError` for an empty frame.
    """
    if frame.empty:
        raise ValueError("there is no design to draw")
    mixture = frame.iloc[0]
    dense = frame.iloc[1:]
    slope = dense["parameters"].iloc[0] / dense["flops"].iloc[0]
    span = max(frame["flops"].max() / frame["flops"].min(), 4)
    ends = [frame["flops"].min() / span**LEFT, frame["flops"].max() * span**RIGHT]
    points = _apart(_with_labels(frame), line=math.log(span) * (1 + LEFT + RIGHT) * LINE / PLOT)
    line = pd.DataFrame({"design": "every dense MLP", "kind": "line", "flops": ends,
                         "parameters": [flops * slope for flops in ends], "label": ["", "every dense MLP"]})
    sides = pd.DataFrame([
        {"design": row.design, "kind": f"to {row.design}", "flops": flops, "parameters": parameters}
        for row in dense.itertuples() if "equal" in row.design
        for flops, parameters in ((mixture["flops"], mixture["parameters"]), (row.flops, row.parameters))])
    data = pd.concat([points, line, sides], ignore_index=True)
    data["label"] = data["label"].fillna("")
    sizes = f"{_count(mixture['parameters'])} parameters and takes {_flop(mixture['flops'])} a token. "
    text = f"The mixture has {sizes}" + " ".join(
        f"Against {row.design}: {_times(mixture['parameters'] / row.parameters)} parameters, "
        f"{_times(mixture['flops'] / row.flops)} compute." for row in dense.itertuples())
    return Chart(_against_dense_spec(), data, "Parameters against compute of the MLPs, mixture and dense", text)


def growth_by_experts(frame: pd.DataFrame, experts: int) -> Chart:
    """Parameters of the whole model against its number of experts, all of them and those that one token uses.

    `frame` has columns `experts`, `total` and `active`. Points mark `experts`. Raises `ValueError` where it is missing.
    """
    if experts not in frame["experts"].tolist():
        raise ValueError(f"experts={experts} is not in the frame: {frame['experts'].tolist()}")
    data = frame.melt("experts", ["total", "active"], "what", "parameters")
    data["what"] = data["what"].map({"total": _TOTAL, "active": _ACTIVE})
    data["here"] = data["experts"] == experts
    row = frame[frame["experts"] == experts].iloc[0]
    text = (f"With {plural(experts, 'expert')} the model has {_count(row['total'])} parameters, of which "
            f"{_count(row['active'])} ({row['active'] / row['total']:.1%}) work on one token.")
    return Chart(_growth_spec(), data, "All and active parameters against the number of experts", text)


def _with_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """The designs as points: the mixture with its sizes, a dense one with how it differs from the mixture.

    Of those on nearly one point the first takes all the names.
    """
    data = frame[["design", "parameters", "flops"]].assign(kind=["mixture"] + ["dense"] * (len(frame) - 1))
    mixture, labels = frame.iloc[0], []
    for row in data.itertuples():
        same = data[_near(data["flops"], row.flops) & _near(data["parameters"], row.parameters)]
        if row.kind == "mixture":
            lines = ["mixture" if len(same) == 1 else "mixture = dense", _count(row.parameters), _flop(row.flops)]
        else:
            lines = [" =\n".join(same["design"]).replace("dense, ", ""), _ratio(row.parameters, mixture, "parameters"),
                     _ratio(row.flops, mixture, "flops")]
        labels.append("\n".join(filter(None, lines)) if same.index[0] == row.Index else "")
    return data.assign(label=labels)


def _near(values: pd.Series, value: float) -> pd.Series:
    return (values / value).between(1 / 1.1, 1.1)


def _apart(points: pd.DataFrame, line: float) -> pd.DataFrame:
    """The labels of dense points, of which a lower one begins with empty lines where it would run into the one above.

    `line` is the height of a line of text, in natural logarithms of parameters.
    """
    taken = np.inf
    for place in points[(points["kind"] == "dense") & (points["label"] != "")].sort_values("parameters").index[::-1]:
        top = math.log(points.loc[place, "parameters"]) / line
        empty = max(math.ceil(top - taken), 0) if taken < np.inf else 0
        taken = top - empty - points.loc[place, "label"].count("\n") - 1
        points.loc[place, "label"] = "\n" * empty + points.loc[place, "label"]
    return points


def _ratio(value: float, mixture: pd.Series, column: str) -> str:
    """How many times more or less than the mixture's; nothing for about the same."""
    ratio, words = value / mixture[column], {"parameters": "parameters", "flops": "compute"}[column]
    if 0.95 < ratio < 1.05:
        return ""
    return f"×{ratio:.3g} {words}" if ratio > 1 else f"÷{1 / ratio:.3g} {words}"


def _times(ratio: float) -> str:
    if 0.95 < ratio < 1.05:
        return "the same"
    return f"{ratio:.3g} times the" if ratio > 1 else f"1/{1 / ratio:.3g} of the"


def _linear(value: float) -> str:
    return f"linear {value:g}".replace("-", "−")


def _count(number: float) -> str:
    return _scaled(number, ((1e9, " B"), (1e6, " M"), (1e3, " K")))


def _flop(number: float) -> str:
    return _scaled(number, ((1e12, " TFLOP"), (1e9, " GFLOP"), (1e6, " MFLOP"), (1e3, " kFLOP")))


def _scaled(number: float, units: tuple[tuple[float, str], ...]) -> str:
    return next((f"{number / unit:.3g}{name}" for unit, name in units if number >= unit), f"{number:.0f}")


@cache
def _swiglu_spec() -> dict:
    names = {_CURVE: palette.ACCENT, _COMPARED: palette.POSITIVE, _OTHER_CURVE: palette.MUTED, _NEURON: palette.MAGNITUDE}
    base = blank_chart().encode(
        x=alt.X("gate:Q", scale=alt.Scale(domain=[-5, 10], nice=False), axis=alt.Axis(title="gate (value)", tickCount=8)),
        y=alt.Y("output:Q", axis=alt.Axis(title="output of the neuron (value)", tickCount=6)),
        color=alt.Color("what:N", scale=alt.Scale(domain=list(names), range=list(names.values())), legend=alt.Legend(
            title=None, symbolType="square", symbolStrokeWidth=0, symbolSize=220)))
    looks = {_OTHER_CURVE: {"strokeWidth": 2, "opacity": 0.5}, _COMPARED: {"strokeWidth": 3, "strokeDash": [8, 5]},
             _CURVE: {"strokeWidth": 4}}
    others, compared, chosen = (
        base.transform_filter(alt.datum.what == what).mark_line(tooltip=False, **look).encode(detail="curve:N")
        for what, look in looks.items())
    labels = base.transform_filter("datum.label != ''").mark_text(align="right", dy=-9, fontSize=FONT_SIZE).encode(
        text="label:N", color=alt.value(palette.MUTED))
    dots = base.transform_filter(alt.datum.what == _NEURON).mark_point(filled=True, size=45, opacity=0.7, tooltip=ROW)
    return specification(alt.layer(others, labels, compared, chosen, dots), height=HEIGHT, canvas=True)


@cache
def _against_dense_spec() -> dict:
    base = blank_chart().encode(
        x=alt.X("flops:Q", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(
            title="MLP compute (FLOPs per token, log scale)", labelExpr=_FLOP_LABEL, **_POWERS)),
        y=alt.Y("parameters:Q", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(
            title="MLP parameters (count, log scale)", labelExpr=_COUNT_LABEL, **_POWERS)))
    line = base.transform_filter("datum.kind == 'line'").mark_line(
        color=palette.MUTED, strokeWidth=2, opacity=0.6, tooltip=False)
    sides = base.transform_filter("indexof(datum.kind, 'to ') == 0").mark_line(
        color=palette.MUTED, strokeWidth=2, strokeDash=[6, 5], tooltip=False).encode(detail="kind:N")
    dense = base.transform_filter("datum.kind == 'dense'").mark_point(
        size=220, strokeWidth=3, filled=False, color=palette.MUTED, opacity=1, tooltip=ROW)
    mixture = base.transform_filter("datum.kind == 'mixture'").mark_point(
        size=320, filled=True, color=palette.ACCENT, opacity=1, tooltip=ROW)
    words = {"fontSize": FONT_SIZE, "lineBreak": "\n", "lineHeight": LINE}
    end = base.transform_filter("datum.kind == 'line' && datum.label != ''").mark_text(
        align="right", baseline="middle", dx=-14, dy=4, **words).encode(text="label:N")
    right = base.transform_filter("datum.kind == 'dense' && datum.label != ''").mark_text(
        align="left", baseline="top", dx=16, dy=-6, **words).encode(text="label:N")
    left = base.transform_filter("datum.kind == 'mixture'").mark_text(
        align="right", baseline="bottom", dx=-12, dy=-8 - 2 * LINE, color=palette.ACCENT, **words).encode(text="label:N")
    # On canvas, since empty lines of a text take no height in SVG.
    return specification(alt.layer(line, sides, dense, mixture, end, right, left), height=HEIGHT, canvas=True)


@cache
def _growth_spec() -> dict:
    names = {_TOTAL: palette.MAGNITUDE, _ACTIVE: palette.ACCENT}
    base = blank_chart().encode(
        x=alt.X("experts:Q", scale=alt.Scale(type="log", base=2, nice=False, padding=14), axis=alt.Axis(
            title="experts (count, log scale)", tickCount=9, format="d", grid=False)),
        y=alt.Y("parameters:Q", scale=alt.Scale(type="log"), axis=alt.Axis(
            title="model parameters (count, log scale)", labelExpr=_COUNT_LABEL, **_POWERS)),
        color=alt.Color("what:N", scale=alt.Scale(domain=list(names), range=list(names.values())), legend=alt.Legend(
            title=None, symbolType="square", symbolStrokeWidth=0, symbolSize=220)))
    lines = base.mark_line(strokeWidth=3, tooltip=False)
    points = base.transform_filter("datum.here").mark_point(size=200, filled=True, opacity=1, tooltip=ROW)
    return specification(alt.layer(lines, points), height=HEIGHT)
