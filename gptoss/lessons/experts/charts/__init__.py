"""What the experts page draws: load against chance, one token's router, a batch's experts, SwiGLU, and costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from gptoss import units
from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, ROW, Chart, blank_chart, clicks, scale_of, specification, squares
from gptoss.charts.experts import OTHER, SELECTED, expert_colour
from gptoss.charts.images import Picture, share_pixels
from gptoss.charts.labels import COUNT_LABEL, IS_POWER_OF_TEN, TOKEN_OF_LABEL, axis_keys, visible_token
from gptoss.units import plural

HEIGHT = 400  # px of a page's main picture
MAX_ROWS = 16  # kept experts whose weights are drawn
MAX_NEURONS = 200  # dots; a wider expert shows its first ones
LINE, PLOT = 18, 310  # px of a line of a label, and of all there is between the axes
LEFT, RIGHT = 0.45, 0.9  # room for labels beside the points, as parts of the way from the first to the last
BY_RANK, BY_NUMBER = ORDERS = ("busiest first", "by number")
VARIATION, ENTROPY = MEASURES = ("variation", "entropy")

_LIVE, _TWIN, _CHANCE = "this model", "untrained twin", "chance, 5–95%"
_GPT_OSS, _SOFTMAX_FIRST = "top-k first (gpt-oss)", "softmax first"
_RESIDENT, _FORMULA, _TEXT, _DRAWS = "resident", "formula", "this text, mean", "this text, 5–95% of draws"
_KEPT, _DROPPED = "chosen", "not chosen"
_CURVE, _OTHER_CURVE, _COMPARED, _NEURON = "gpt-oss, as chosen", "other linear halves", "compared with", "real neurons"
_TOTAL, _ACTIVE = "all parameters", "active for one token"
_BAND = palette.fade(palette.MUTED, 0.3)
# On a log axis the powers of ten are enough.
_COUNT_LABEL = f"{IS_POWER_OF_TEN} ? {COUNT_LABEL} : ''"
_POWERS = {"grid": False, "tickCount": 30, "labelOverlap": False, "tickSize": 3}
_FLOP_LABEL = f"{IS_POWER_OF_TEN} ? format(datum.value, '~s') : ''"


def load_against_uniform(experts: np.ndarray, counts: np.ndarray, band: np.ndarray, tokens: int, order: str,
                         selected: int | None = None, twin: np.ndarray | None = None) -> Chart:
    """The load of one layer: a bar per expert over the band in which blind routing would leave it.

    `experts` (n,) are the experts' numbers from left to right, `counts` (n,) the tokens of each, `band` (n, 2) the 5th
    and 95th percentile at each place, `order` one of `ORDERS`. `twin` (n,) are a twin's loads, in an order by rank only:
    its experts are others. A click picks an expert under the name `picked`. Raises `ValueError` where shapes do not fit.
    """
    fits = experts.shape == counts.shape == band.shape[:1] and (twin is None or twin.shape == counts.shape)
    if not fits or tokens < 1:
        raise ValueError(f"counts {counts.shape} and band {band.shape} do not fit {experts.shape} experts")
    data = pd.DataFrame({
        "place": axis_keys([f"{expert}" for expert in experts], 1), "expert": experts, "tokens": counts,
        "share": (counts / tokens).round(5), "low": (band[:, 0] / tokens).round(5), "high": (band[:, 1] / tokens).round(5),
        "twin": (twin / tokens).round(5) if twin is not None else np.nan,
        "what": pd.Categorical.from_codes((experts != selected).astype(int), [SELECTED, _LIVE]),
    })
    outside = int(((counts < band[:, 0]) | (counts > band[:, 1])).sum())
    most, least, even = (units.percent(share / tokens) for share in (counts.max(), counts.min(), counts.mean()))
    text = (f"Of {plural(tokens, 'token')} expert {experts[counts.argmax()]} got {most} and expert "
            f"{experts[counts.argmin()]} got {least}; with an even load each would get {even}. {outside} of "
            f"{plural(len(counts), 'bar')} end outside the band of chance.")
    return Chart(_load_spec(order), data, "Load of the experts against uniform routing", text)


@cache
def _load_spec(order: str) -> dict:
    ranked = order == BY_RANK
    colours = {_LIVE: palette.MAGNITUDE, SELECTED: palette.ACCENT, _CHANCE: _BAND}
    colours |= {_TWIN: palette.MUTED} if ranked else {}
    base = blank_chart().encode(x=alt.X(
        "place:N", sort="ascending", scale=alt.Scale(paddingInner=0, paddingOuter=0.1), axis=alt.Axis(
            title="expert (its number, busiest first)" if ranked else "expert (number)", labelExpr=TOKEN_OF_LABEL,
            labelAngle=0, labelOverlap="greedy", ticks=False, grid=False)))
    y = {"scale": alt.Scale(zero=True), "axis": alt.Axis(title="tokens (% of all)", format=".0%", tickCount=5)}
    bars = base.mark_bar(tooltip=ROW, width={"band": 0.85}).encode(
        y=alt.Y("share:Q", stack=None, **y), color=_colour(colours)).add_params(clicks("expert"))
    band = base.mark_bar(tooltip=False, width={"band": 1}).encode(
        y=alt.Y("low:Q", stack=None, **y), y2="high:Q", color=alt.ColorDatum(_CHANCE))
    twin = base.mark_line(tooltip=False, strokeWidth=3, interpolate="step").encode(
        y=alt.Y("twin:Q", **y), color=alt.ColorDatum(_TWIN))
    return specification(alt.layer(bars, band, *([twin] if ranked else [])), height=HEIGHT, canvas=True)


def load_by_layer(frame: pd.DataFrame, measure: str, layer: int) -> Chart:
    """How uneven every layer's load is, of this model and of its twin, over what uniform routing gives.

    `frame` has a row per layer: `layer`, `live`, `twin`, and uniform routing's `mean`, `low` and `high`; `measure` is one
    of `MEASURES`. Raises `ValueError` for another measure or a layer that is not in the frame.
    """
    if measure not in MEASURES or layer not in frame["layer"].tolist():
        raise ValueError(f"measure={measure!r} of layer {layer} cannot be drawn; allowed: {', '.join(MEASURES)}")
    kinds = {_LIVE: "live", _TWIN: "twin", _CHANCE: "mean"}
    band = frame[["layer", "low", "high"]]
    data = pd.concat([band.assign(what=what, value=frame[column]) for what, column in kinds.items()], ignore_index=True)
    data = data.round(5).assign(here=(data["layer"] == layer) & (data["what"] == _LIVE))
    row = frame[frame["layer"] == layer].iloc[0]
    unit = " bits" if measure == ENTROPY else ""
    text = (f"In layer {layer} the load's {measure} is {row['live']:.2f}{unit}, and in the untrained twin it is "
            f"{row['twin']:.2f}. Blind choice gives {row['mean']:.2f}, nine times in ten between {row['low']:.2f} and "
            f"{row['high']:.2f}.")
    return Chart(_by_layer_spec(measure), data, f"The load's {measure} in every layer against uniform routing", text)


@cache
def _by_layer_spec(measure: str) -> dict:
    title = "variation (standard deviation / mean)" if measure == VARIATION else "entropy (bits)"
    colours = {_LIVE: palette.MAGNITUDE, _TWIN: palette.MUTED, _CHANCE: _BAND}
    base = blank_chart().encode(
        x=alt.X("layer:O", scale=alt.Scale(paddingInner=0, paddingOuter=0), axis=alt.Axis(
            title="layer (number)", labelAngle=0, ticks=False)),
        y=alt.Y("value:Q", scale=alt.Scale(zero=measure == VARIATION, nice=True), axis=alt.Axis(
            title=title, tickCount=5, format=".2f")),
        color=_colour(colours, columns=1))
    band = base.transform_filter(alt.datum.what == _CHANCE).mark_bar(tooltip=False, width={"band": 1}).encode(
        y=alt.Y("low:Q", stack=None), y2="high:Q")
    mean = base.transform_filter(alt.datum.what == _CHANCE).mark_tick(
        tooltip=ROW, thickness=3, width={"band": 0.7}, color=palette.MUTED).encode(color=alt.value(palette.MUTED))
    twin = base.transform_filter(alt.datum.what == _TWIN).mark_point(
        tooltip=ROW, size=170, strokeWidth=3, filled=False, opacity=1)
    live = base.transform_filter(alt.datum.what == _LIVE).mark_point(tooltip=ROW, size=200, filled=True, opacity=1)
    here = base.transform_filter("datum.here").mark_point(
        tooltip=ROW, size=560, strokeWidth=3, filled=False, opacity=1).encode(color=alt.value(palette.ACCENT))
    return specification(alt.layer(band, mean, twin, live, here), height=HEIGHT)


def router_scores(logits: np.ndarray, chosen: np.ndarray, token: str, selected: int | None = None) -> Chart:
    """One token's router: a bar per expert's logit, the chosen ones filled, the others pale.

    `logits` (experts,), `chosen` (k,) expert numbers. A click picks an expert under the name `picked`. Raises
    `ValueError` where an expert was chosen that has no logit.
    """
    if logits.ndim != 1 or chosen.max() >= len(logits):
        raise ValueError(f"chosen experts up to {chosen.max()} do not fit logits {logits.shape}")
    experts = np.arange(len(logits))
    is_chosen, least = np.isin(experts, chosen), float(logits[chosen].min())
    data = pd.DataFrame({
        "expert": experts, "logit": logits.astype(np.float64).round(4), "bar": np.where(is_chosen, _KEPT, _DROPPED),
        "what": pd.Categorical.from_codes((experts != selected).astype(int), [SELECTED, OTHER]),
        "threshold": np.full(len(logits), round(least, 4)),
    })
    text = (f"For “{visible_token(token)}” the router chooses {len(chosen)} of {plural(len(logits), 'expert')}, with a "
            f"logit of {units.fixed(least)} or more; the best is expert {chosen[0]} with {units.fixed(logits[chosen[0]])}.")
    return Chart(_scores_spec(), data, "The router's logit of every expert for one token", text)


@cache
def _scores_spec() -> dict:
    base = blank_chart().encode(x=alt.X("expert:O", scale=alt.Scale(paddingInner=0.15), axis=alt.Axis(
        title="expert (number)", labelAngle=0, ticks=False, grid=False, orient="bottom")))
    y = alt.Y("logit:Q", axis=alt.Axis(title="router logit", tickCount=5))
    bars = base.mark_bar(tooltip=ROW, strokeWidth=2).encode(y=y, color=expert_colour(), stroke=alt.Stroke(
        "what:N", legend=None, scale=scale_of({SELECTED: palette.ACCENT, OTHER: "transparent"})),
        opacity=alt.Opacity("bar:O", sort=[_KEPT, _DROPPED], scale=scale_of({_KEPT: 1, _DROPPED: 0.28}), legend=squares(
            symbolStrokeWidth=0, symbolSize=220, symbolFillColor=palette.MAGNITUDE))).add_params(clicks("expert"))
    line = blank_chart().mark_rule(color=palette.MUTED, strokeWidth=2, strokeDash=[6, 4], tooltip=False).encode(
        y="mean(threshold):Q")
    return specification(alt.layer(bars, line), height=HEIGHT, canvas=True)


def router_weights(orders: pd.DataFrame, selected: int | None = None) -> Chart:
    """The chosen experts' weights of one token in two orders of top-k and softmax, best first.

    `orders` has the columns `expert`, `top-k, softmax`, `softmax, top-k` and `renormalised`. Above `MAX_ROWS` experts the
    best are drawn, and `note` says so; the sums in the text are of all.
    """
    shown = orders.head(MAX_ROWS)
    columns = {_GPT_OSS: "top-k, softmax", _SOFTMAX_FIRST: "softmax, top-k"}
    labels = axis_keys([f"{expert}" for expert in shown["expert"]], 1)
    what = np.where(shown["expert"] == selected, SELECTED, OTHER)
    data = pd.concat([
        pd.DataFrame({"expert": labels, "order": name, "weight": shown[column].astype(float).round(5), "what": what})
        for name, column in columns.items()], ignore_index=True)
    gap = (orders["renormalised"] - orders["top-k, softmax"]).abs().max()
    ours, theirs = orders["top-k, softmax"].sum(), orders["softmax, top-k"].sum()
    text = (f"The {plural(len(orders), 'weight')} of gpt-oss sum to {ours:.2f}. With the softmax first, over all experts, "
            f"they sum to {theirs:.2f}; divided by that sum they are gpt-oss's again (largest difference "
            f"{units.number(gap, 1)}).")
    note = f"the {MAX_ROWS} best of {len(orders)} chosen experts" if len(orders) > MAX_ROWS else ""
    return Chart(_weights_spec(), data, "Weights of the chosen experts in two orders of top-k and softmax", text, note)


@cache
def _weights_spec() -> dict:
    colours = {_GPT_OSS: palette.MAGNITUDE, _SOFTMAX_FIRST: "transparent"}
    chart = blank_chart().mark_bar(tooltip=ROW, strokeWidth=2).encode(
        y=alt.Y("expert:N", sort="ascending", scale=alt.Scale(paddingInner=0.25), axis=alt.Axis(
            title="chosen expert (number, best first)", labelExpr=TOKEN_OF_LABEL, ticks=False)),
        x=alt.X("weight:Q", scale=alt.Scale(zero=True), axis=alt.Axis(title="weight (share)", tickCount=4)),
        yOffset=alt.YOffset("order:N", sort=list(colours)),
        color=alt.Color("order:N", scale=scale_of(colours), legend=squares(
            symbolStrokeColor=palette.MAGNITUDE, symbolStrokeWidth=2, symbolSize=200, columns=1)),
        stroke=alt.Stroke("what:N", legend=None, scale=scale_of({SELECTED: palette.ACCENT, OTHER: palette.MAGNITUDE})))
    return specification(chart, height=HEIGHT)


def touched_experts(frame: pd.DataFrame, experts: int, batch: int) -> Chart:
    """Experts that a batch of tokens visits in one layer: by the formula, in the reader's text, and all there are.

    `frame` has a row per batch size: `batch` (tokens), `formula`, `touched`, `low` and `high` (experts), the last three
    missing where the text is shorter. `experts` lie in memory; `batch` is the one picked out. Raises `ValueError`
    where that batch is not in the frame.
    """
    if batch not in frame["batch"].tolist():
        raise ValueError(f"batch={batch} is not in the frame: {frame['batch'].tolist()}")
    kinds = {_RESIDENT: experts, _FORMULA: frame["formula"], _TEXT: frame["touched"], _DRAWS: np.nan}
    band = frame[["batch", "low", "high"]]
    data = pd.concat([band.assign(what=what, experts=values) for what, values in kinds.items()], ignore_index=True)
    data = data[data["experts"].notna() | ((data["what"] == _DRAWS) & data["low"].notna())]
    data = data.round(3).assign(here=(data["batch"] == batch) & (data["what"] == _FORMULA))
    row = frame[frame["batch"] == batch].iloc[0]
    here = "The text has fewer tokens." if np.isnan(row["touched"]) else (
        f"Drawn from this text, whose tokens are not independent, it touches {row['touched']:.1f} on average, and nine "
        f"times in ten {_span(row['low'], row['high'])}.")
    text = (f"A batch of {plural(batch, 'token')} touches {row['formula']:.1f} of the {plural(experts, 'expert')} in "
            f"memory, if its tokens are independent (the formula). {here}")
    return Chart(_touched_spec(), data, "Experts touched by a batch of tokens", text)


def _span(low: float, high: float) -> str:
    return f"{low:.0f}" if f"{low:.0f}" == f"{high:.0f}" else f"{low:.0f} to {high:.0f}"


@cache
def _touched_spec() -> dict:
    colours = {_RESIDENT: palette.MUTED, _FORMULA: palette.ACCENT, _TEXT: palette.MAGNITUDE, _DRAWS: _BAND}
    base = blank_chart().encode(
        x=alt.X("batch:Q", scale=alt.Scale(type="log", base=2, nice=False, padding=12), axis=alt.Axis(
            title="batch (tokens, log scale)", tickCount=10, format="d", grid=False)),
        y=alt.Y("experts:Q", scale=alt.Scale(zero=True), axis=alt.Axis(title="experts of one layer (count)", tickCount=5)),
        color=_colour(colours))
    band = base.transform_filter(alt.datum.what == _DRAWS).mark_area(tooltip=False).encode(
        y=alt.Y("low:Q", stack=None), y2="high:Q")
    resident = base.transform_filter(alt.datum.what == _RESIDENT).mark_line(tooltip=False, strokeWidth=3)
    formula = base.transform_filter(alt.datum.what == _FORMULA).mark_line(tooltip=False, strokeWidth=3, strokeDash=[8, 5])
    text = base.transform_filter(alt.datum.what == _TEXT).mark_point(tooltip=ROW, size=110, filled=True, opacity=1)
    here = base.transform_filter("datum.here").mark_point(tooltip=ROW, size=420, strokeWidth=3, filled=False, opacity=1)
    return specification(alt.layer(band, resident, formula, text, here), height=HEIGHT)


def routing_picture(chosen: np.ndarray, weights: np.ndarray, num_experts: int, selected: int | None = None) -> Picture:
    """All tokens of a long text at once, a column each, and a row per expert: opacity is the router's weight.

    `chosen` and `weights` (tokens, k). The selected expert's row is in the accent colour, and taller than its share
    where there are many experts. The alternative text has the same numbers as the map's.
    """
    tokens, active = chosen.shape
    image = np.zeros((num_experts, tokens, 4), np.uint8)
    image[..., :3] = palette.rgb(palette.MOST)
    image[..., 3] = 20
    largest = max(float(weights.max()), 1e-12)
    image[chosen, np.arange(tokens)[:, None]] = share_pixels(weights, largest, faintest=40)
    if selected is not None:
        reach = num_experts // 128
        rows = slice(max(selected - reach, 0), selected + reach + 1)
        image[rows] = image[selected]
        image[rows, :, :3] = palette.rgb(palette.ACCENT)
    text = (f"All {plural(tokens, 'token')} from left to right, {active} of {plural(num_experts, 'expert')} each; "
            f"{len(np.unique(chosen))} experts are used.")
    if selected is not None:
        text += f" Expert {selected} is chosen for {int((chosen == selected).any(axis=1).sum())} tokens."
    return Picture(image, text)


def swiglu_curves(curves: pd.DataFrame, chosen: pd.DataFrame, compared: pd.DataFrame, variant: str,
                  neurons: pd.DataFrame) -> Chart:
    """The gated activation against its gate: one curve in colour, some pale ones, one dashed, and real neurons as dots.

    All frames have columns `gate` and `output`, the first three also `linear`: `curves` some values of it, `chosen` one,
    `compared` the same one in another `variant` of the activation. `neurons` are what an expert's neurons really got and
    gave for one token, with a column `clamped`; above `MAX_NEURONS` the first are drawn, and `note` says so.
    """
    shown = neurons.head(MAX_NEURONS)
    linear = chosen["linear"].iloc[0]
    names = [f"linear {units.number(value)}" for value in curves["linear"]]
    parts = ((curves, names, _OTHER_CURVE), (compared, variant, _COMPARED), (chosen, "as chosen", _CURVE),
             (shown, "neuron", _NEURON))
    data = pd.concat([frame[["gate", "linear", "output"]].round(4).assign(curve=curve, what=what)
                      for frame, curve, what in parts], ignore_index=True)
    ends = data.groupby("curve").tail(1).index
    data["label"] = data["curve"].where(data.index.isin(ends) & (data["what"] == _OTHER_CURVE), "")
    end, other = chosen.iloc[-1], compared["output"].iloc[-1]
    gates, clamped = neurons["gate"], int(neurons["clamped"].sum())
    lowest, highest = units.fixed(gates.min()), units.fixed(gates.max())
    text = (f"With a linear half of {units.number(linear)} and a gate of {units.number(end['gate'])} the output is "
            f"{units.fixed(end['output'])}; {variant if variant.startswith('without') else f'in {variant}'} it would be "
            f"{units.fixed(other)}. The "
            f"{plural(len(neurons), 'neuron')} of this token's best expert have gates from {lowest} to {highest}; "
            f"{clamped or 'none'} of them {'is' if clamped < 2 else 'are'} clamped.")
    note = f"{MAX_NEURONS} of {len(neurons)} neurons" if len(neurons) > MAX_NEURONS else ""
    return Chart(_swiglu_spec(), data, "SwiGLU: the output of a neuron against its gate", text, note)


@cache
def _swiglu_spec() -> dict:
    names = {_CURVE: palette.ACCENT, _COMPARED: palette.POSITIVE, _OTHER_CURVE: palette.MUTED, _NEURON: palette.MAGNITUDE}
    base = blank_chart().encode(
        x=alt.X("gate:Q", scale=alt.Scale(domain=[-5, 10], nice=False), axis=alt.Axis(title="gate (value)", tickCount=8)),
        y=alt.Y("output:Q", axis=alt.Axis(title="output of the neuron (value)", tickCount=6)),
        color=_colour(names))
    looks = {_OTHER_CURVE: {"strokeWidth": 2, "opacity": 0.5}, _COMPARED: {"strokeWidth": 3, "strokeDash": [8, 5]},
             _CURVE: {"strokeWidth": 4}}
    others, compared, chosen = (
        base.transform_filter(alt.datum.what == what).mark_line(tooltip=False, **look).encode(detail="curve:N")
        for what, look in looks.items())
    labels = base.transform_filter("datum.label != ''").mark_text(align="right", dy=-9, fontSize=FONT_SIZE).encode(
        text="label:N", color=alt.value(palette.MUTED))
    dots = base.transform_filter(alt.datum.what == _NEURON).mark_point(filled=True, size=45, opacity=0.7, tooltip=ROW)
    return specification(alt.layer(others, labels, compared, chosen, dots), height=HEIGHT, canvas=True)


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
    data = pd.concat([points, line, sides], ignore_index=True).fillna({"label": ""})
    sizes = f"{units.count(mixture['parameters'])} parameters and takes {units.flops(mixture['flops'])} a token. "
    text = f"The mixture has {sizes}" + " ".join(
        f"Compared with “{row.design}” it has {_times(mixture['parameters'] / row.parameters)} parameters and takes "
        f"{_times(mixture['flops'] / row.flops)} compute." for row in dense.itertuples())
    return Chart(_against_dense_spec(), data, "Parameters against compute of the MLPs, mixture and dense", text)


def _with_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """The designs as points: the mixture with its sizes, a dense one with how it differs from the mixture.

    Of those on nearly one point the first takes all the names.
    """
    data = frame[["design", "parameters", "flops"]].assign(kind=["mixture"] + ["dense"] * (len(frame) - 1))
    mixture, labels = frame.iloc[0], []
    for row in data.itertuples():
        ratios = data[["flops", "parameters"]] / [row.flops, row.parameters]
        same = data[((ratios >= 1 / 1.1) & (ratios <= 1.1)).all(axis=1)]
        if row.kind == "mixture":
            lines = ["mixture" if len(same) == 1 else "mixture = dense", units.count(row.parameters), units.flops(row.flops)]
        else:
            lines = [" =\n".join(same["design"]).replace("dense, ", ""), _ratio(row.parameters, mixture, "parameters"),
                     _ratio(row.flops, mixture, "flops")]
        labels.append("\n".join(filter(None, lines)) if same.index[0] == row.Index else "")
    return data.assign(label=labels)


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
    ratio = value / mixture[column]
    return "" if 0.95 < ratio < 1.05 else f"{units.ratio(ratio)} {'compute' if column == 'flops' else column}"


def _times(ratio: float) -> str:
    if 0.95 < ratio < 1.05:
        return "the same"
    return f"{units.number(ratio)} times the" if ratio > 1 else f"1/{units.number(1 / ratio)} of the"


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
    text = (f"With {plural(experts, 'expert')} the model has {units.count(row['total'])} parameters, of which "
            f"{units.count(row['active'])} ({units.percent(row['active'] / row['total'])}) work on one token.")
    return Chart(_growth_spec(), data, "All and active parameters against the number of experts", text)


@cache
def _growth_spec() -> dict:
    names = {_TOTAL: palette.MAGNITUDE, _ACTIVE: palette.ACCENT}
    base = blank_chart().encode(
        x=alt.X("experts:Q", scale=alt.Scale(type="log", base=2, nice=False, padding=14), axis=alt.Axis(
            title="experts (count, log scale)", tickCount=9, format="d", grid=False)),
        y=alt.Y("parameters:Q", scale=alt.Scale(type="log"), axis=alt.Axis(
            title="model parameters (count, log scale)", labelExpr=_COUNT_LABEL, **_POWERS)),
        color=_colour(names))
    lines = base.mark_line(strokeWidth=3, tooltip=False)
    points = base.transform_filter("datum.here").mark_point(size=200, filled=True, opacity=1, tooltip=ROW)
    return specification(alt.layer(lines, points), height=HEIGHT)


def _colour(names: Mapping[str, str], columns: int = 2) -> alt.Color:
    """One colour scale for all layers of a chart, and the legend that explains it: `columns` where there is the width."""
    return alt.Color("what:N", scale=scale_of(names), legend=squares(
        symbolStrokeWidth=0, symbolSize=220, columns={"expr": f"width > 330 ? {columns} : 1"}))
