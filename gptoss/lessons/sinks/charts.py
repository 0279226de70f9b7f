"""What a sink does to one head: the gate that its logit turns, and the weights that all shrink by one factor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, ROW, Chart, blank_chart, clicks, scale_of, specification, squares, tooltip
from gptoss.charts.labels import TOKEN_OF_LABEL, axis_keys, visible_token
from gptoss.units import fixed, number, plural

KEYS_SHOWN = 9  # bars of single keys; the others are summed in one more

_CHOSEN, _OTHER, _NOW, _HALF, _OWN = "this head", "other heads", "now", "half", "as in the model"
_LOGITS = (-8, 8)
_KEY, _REST, _SINK = "key", "other keys", "sink"
# Rows after the tokens, in the shape of `axis_keys` and sorted behind them.
_REST_ROW, _SINK_ROW = "9998 … {} more", "9999 sink"

# On what a head spends itself, each in its colour: what says something strong, what says nothing apart from it.
_SPENT = {"word before": palette.KEY, "other tokens": palette.fade(palette.KEY, 0.3), "first token": palette.MAGNITUDE,
          "sink": palette.SINK, "gate shut": palette.MUTED}
_APART = 0.09  # between two models' bars, as a share of a bar's whole length


def sink_gate(curves: pd.DataFrame, sinks: np.ndarray, mass: np.ndarray, halving: float, head: int,
              own: float | None = None) -> Chart:
    """Mass on real keys against the sink logit: one head's curve large, those of the other heads pale behind it.

    `curves` has the columns `head`, `logit` and `mass` (0 to 1). `sinks` (heads,) are the logits at this moment and
    `mass` (heads,) what the keys get at them: a dot on each curve. `halving` is the logit at which the chosen
    `head` gives half of its attention away. `own` is its logit as it is in the model, where `sinks` holds another.
    A head can be chosen by a click on its dot: the selection `picked`. Logits beyond the axis are drawn at its end.
    """
    chosen = curves["head"] == head
    rest = np.arange(len(sinks)) != head
    kinds = np.where(chosen, _CHOSEN, _OTHER), np.where(rest, _OTHER, _NOW)
    whats, marked, heads, logits, masses, labels = zip(*_marks(head, halving, own), strict=True)
    plain = [""] * (len(curves) + len(sinks))
    data = pd.DataFrame({  # as one table from the start: to join three took longer than all else on the page
        "kind": [*kinds[0], *kinds[1], *marked],
        "head": np.concatenate((curves["head"], np.arange(len(sinks)), heads)),
        "logit": np.concatenate((curves["logit"], np.clip(sinks, *_LOGITS), logits)).round(4),
        "mass": np.concatenate((curves["mass"], mass, masses)).round(5),
        "what": ["curve"] * len(curves) + ["dot"] * len(sinks) + [*whats], "label": [*plain, *labels]})
    return Chart(_gate_spec(), data, "Attention on real keys against the sink logit, a curve for every head",
                 _describe_gate(float(sinks[head]), float(mass[head]), halving, head, len(sinks)))


def _marks(head: int, halving: float, own: float | None) -> list[tuple]:
    """Rows of the marks at one half and at the model's own logit, and of their labels, where the head's curve is not."""
    low, high = _LOGITS
    half = f"half at {fixed(halving)}"
    rows = [("rule", _HALF, head, 0.0, 0.5, "")]
    if halving > high:
        rows.append(("label", _HALF, head, high - 0.5, 0.56, f"{half}, right of here"))
    elif halving < low:
        rows.append(("label after", _HALF, head, low + 0.5, 0.56, f"{half}, left of here"))
    elif halving > 0:  # the curve comes from the upper left and leaves to the lower right
        rows += [("diamond", _HALF, head, halving, 0.5, ""), ("label", _HALF, head, halving - 0.6, 0.43, half)]
    else:
        rows += [("diamond", _HALF, head, halving, 0.5, ""), ("label after", _HALF, head, halving + 0.6, 0.57, half)]
    if own is not None and low <= own <= high:
        what, place = ("label", own - 0.4) if own > 0 else ("label after", own + 0.4)
        rows += [("own", _OWN, head, own, 0.0, ""), (what, _OWN, head, place, 0.06 if own < halving else 0.94, "its own")]
    return rows


def gated_weights(weights: np.ndarray, without: np.ndarray, labels: Sequence[str], first: int = 0) -> Chart:
    """The weights of one query in one head: filled with its sink, outlined without it, and the factor between them.

    `weights` and `without` (keys,) are in the order of the text, `labels` their tokens, the first of which is at
    position `first`. Above `KEYS_SHOWN` keys the heaviest are shown and the others summed; the sink has the last
    row. Raises `ValueError` where the lengths differ or there is no key.
    """
    if not len(weights) == len(without) == len(labels) or len(labels) == 0:
        raise ValueError(f"weights {weights.shape} and without {without.shape} do not fit {len(labels)} labels")
    weights, without = weights.astype(np.float64), without.astype(np.float64)
    shown = np.sort(np.argsort(-without, kind="stable")[:KEYS_SHOWN])
    rest = len(labels) - len(shown)
    names = np.array(axis_keys(labels, first), dtype=object)[shown].tolist()
    rows = list(zip(names, weights[shown], without[shown], [_KEY] * len(shown), strict=True))
    if rest:
        others = np.setdiff1d(np.arange(len(labels)), shown)
        rows.append((_REST_ROW.format(rest), weights[others].sum(), without[others].sum(), _REST))
    rows.append((_SINK_ROW, max(0.0, 1 - weights.sum()), 0.0, _SINK))
    names, gated, ungated, kinds = zip(*rows, strict=True)
    data = pd.DataFrame({
        "token": names, "with": np.round(gated, 6), "without": np.round(ungated, 6), "kind": kinds,
        "end": np.maximum(gated, ungated).round(6),
        "kept": [f"× {number(now / before)}" if before else f"{now:.1%}" for _, now, before, _ in rows]})
    note = f"the {KEYS_SHOWN} heaviest of {len(labels)} keys, the others summed" if rest else ""
    return Chart(_weights_spec(), data,
                 "Attention weights of one query with its sink and without it", _describe_weights(weights, without, labels),
                 note)


def sink_share(shares: pd.DataFrame) -> Chart:
    """What the sinks take from the query at each position, beside 1 / (n + 1), one share among n equal keys.

    `shares` has the columns `position`, `keys`, `mean`, `low`, `high` and `even`, shares from 0 to 1.
    """
    data = shares.round({"mean": 5, "low": 5, "high": 5, "even": 5})
    last = shares.iloc[-1]
    return Chart(_share_spec(), data, "What the sinks take from the query at each position",
                 f"The query at position {last['position']:.0f} sees {plural(int(last['keys']), 'key')}. The sinks take "
                 f"{last['mean']:.1%} of it on average over the heads; 1 / (n + 1) would be {last['even']:.1%}. "
                 f"At position 0 they take {shares.iloc[0]['mean']:.1%}, where it would be {shares.iloc[0]['even']:.1%}.")


def spent_rows(models: Mapping[str, np.ndarray], kinds: Sequence[str], labels: Sequence[str],
               asking: Sequence[bool]) -> Chart:
    """A row for each token of a text, and in it a bar for each model: on what one of its heads spends itself there.

    `models` maps names to shares (tokens, kinds) that add up to 1; `kinds` are those of `_SPENT` in the columns' order,
    and `asking` says at which tokens there is something to fetch. Raises `ValueError` where the lengths differ.
    """
    if any(shares.shape != (len(labels), len(kinds)) for shares in models.values()) or len(asking) != len(labels):
        raise ValueError(f"{ {name: shares.shape for name, shares in models.items()} } do not fit {len(labels)} labels")
    order = [kinds.index(kind) for kind in _SPENT]
    frames = []
    for place, shares in enumerate(models.values()):
        ends = place * (1 + _APART) + shares[:, order].cumsum(axis=1)
        frames.append(pd.DataFrame({
            "token": np.repeat(axis_keys(labels), len(_SPENT)), "model": [*models][place], "kind": [*_SPENT] * len(labels),
            "share": shares[:, order].ravel().round(5), "start": (ends - shares[:, order]).ravel().round(5),
            "end": ends.ravel().round(5), "asks": np.repeat(np.asarray(asking), len(_SPENT))}))
    data = pd.concat(frames, ignore_index=True)
    data = data[data["share"] > 0].reset_index(drop=True)
    short = [name.replace("without", "no").replace("with ", "") for name in models]
    titles = pd.DataFrame({"model": [*models], "short": short, "kind": "", "token": "", "asks": False,
                           "start": [place * (1 + _APART) for place in range(len(models))]})
    return Chart(_spent_spec(len(models)), pd.concat([data.assign(short=""), titles], ignore_index=True).fillna(
        {"share": 0, "end": 0}),
                 "On what a head of each model spends itself, token by token", _describe_spent(models, kinds, asking))


# Where a head's weight goes that it does not need.
_GOES = {"first token": "to the first token", "sink": "to the sink", "gate shut": "is lost behind the gate"}


def _describe_spent(models: Mapping[str, np.ndarray], kinds: Sequence[str], asking: Sequence[bool]) -> str:
    """For each model which one place takes most where there is nothing to fetch, and what is fetched where there is."""
    asks, before = np.asarray(asking), kinds.index("word before")
    places = [kinds.index(kind) for kind in ("first token", "sink", "gate shut")]
    said = [f"{name}, {idle.max():.0%} {_GOES[kinds[places[int(idle.argmax())]]]}" for name, shares in models.items()
            for idle in [shares[~asks][:, places].mean(axis=0)]]
    fetched = ", ".join(f"{shares[asks, before].mean():.0%}" for shares in models.values()) if asks.any() else ""
    return (f"Where there is nothing to fetch, a head's weight goes, on average: {'; '.join(said)}."
            + (f" Where there is something to fetch, the word before gets {fetched}." if fetched else ""))


def _describe_gate(sink: float, mass: float, halving: float, head: int, heads: int) -> str:
    at = f"a sink logit of {fixed(sink)}" if math.isfinite(sink) else "no sink"
    return (f"Head {head}, of heads 0 to {heads - 1}: with {at} the real keys get {mass:.1%} of this query's attention "
            f"(blue), the sink {1 - mass:.1%} (pink). "
            f"A sink logit of {fixed(halving)} would take exactly half.")


def _describe_weights(weights: np.ndarray, without: np.ndarray, labels: Sequence[str]) -> str:
    factors = weights[without > 0] / without[without > 0]
    spread = float(factors.max() / factors.min() - 1) if factors.min() > 0 else 0.0
    best, query = int(without.argmax()), visible_token(labels[-1])
    if np.all(factors == 1):
        return (f"Seen from “{query}”, each of {plural(len(labels), 'key')} keeps all of its weight, because there is no "
                f"sink. The heaviest key, “{visible_token(labels[best])}”, has {weights[best]:.1%}.")
    return (f"Seen from “{query}”, each of {plural(len(labels), 'key')} keeps {factors.mean():.2%} of its weight, because "
            f"the sink takes the rest. That share is the same for every key: rounding alone makes it differ, by "
            f"{number(spread, 1)} of itself at most. The heaviest key, “{visible_token(labels[best])}”, has "
            f"{weights[best]:.1%} instead of {without[best]:.1%}.")


@cache
def _gate_spec() -> dict:
    x = alt.X("logit:Q", scale=alt.Scale(domain=list(_LOGITS), nice=False), axis=alt.Axis(
        title="sink logit", tickCount=8))
    y = alt.Y("mass:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(
        title="attention on real keys (%)", format=".0%", tickCount=4))
    base = blank_chart().encode(x=x, y=y)
    chosen = base.transform_filter((alt.datum.what == "curve") & (alt.datum.kind == _CHOSEN))
    below = chosen.mark_area(color=palette.MAGNITUDE, opacity=0.25, tooltip=False)
    above = chosen.transform_calculate(all="1").mark_area(color=palette.SINK, opacity=0.25, tooltip=False).encode(y2="all:Q")
    others = base.transform_filter((alt.datum.what == "curve") & (alt.datum.kind == _OTHER)).mark_line(
        color=palette.MUTED, strokeWidth=1, opacity=0.2, interpolate="monotone", tooltip=False).encode(detail="head:N")
    curve = chosen.mark_line(color=palette.ACCENT, strokeWidth=4, tooltip=False)
    return specification(alt.layer(above, below, others, curve, *_gate_marks(base), *_gate_dots(base)),
                         height=410, canvas=True)


def _gate_marks(base: alt.Chart) -> list[alt.Chart]:
    """One half across, and down to the logit that takes it; the logit of the model itself, where another is tried."""
    dashes = {"color": palette.MUTED, "strokeWidth": 2, "strokeDash": [6, 4], "tooltip": False}
    across, half, own, labels, after = (
        base.transform_filter(alt.datum.what == what) for what in ("rule", "diamond", "own", "label", "label after"))
    return [
        across.mark_rule(**dashes).encode(x=alt.value(0), x2=alt.value("width")),
        half.mark_rule(**dashes).encode(y2=alt.value("height")),
        half.mark_point(shape="diamond", filled=True, color=palette.MUTED, size=140, opacity=1, tooltip=ROW),
        own.mark_rule(color=palette.SINK, strokeWidth=3, strokeDash=[2, 3], tooltip=False).encode(
            y=alt.value(0), y2=alt.value("height")),
        labels.mark_text(align="right", fontSize=FONT_SIZE).encode(text="label:N"),
        after.mark_text(align="left", fontSize=FONT_SIZE).encode(text="label:N"),
    ]


def _gate_dots(base: alt.Chart) -> list[alt.Chart]:
    picked = clicks("head", on="click", empty=False)
    dots = base.transform_filter(alt.datum.what == "dot")
    others = dots.transform_filter(alt.datum.kind == _OTHER).mark_point(
        filled=True, color=palette.MUTED, size=90, opacity=0.45, cursor="pointer", tooltip=ROW).add_params(picked)
    now = dots.transform_filter(alt.datum.kind == _NOW).mark_point(
        filled=True, color=palette.SINK, size=260, opacity=1, stroke=palette.ACCENT, strokeWidth=3, tooltip=ROW)
    return [others, now]


@cache
def _weights_spec() -> dict:
    y = alt.Y("token:N", sort="ascending", axis=alt.Axis(
        title="key (token)", labelExpr=TOKEN_OF_LABEL, labelLimit=110, ticks=False))
    scale = alt.Scale(zero=True, nice=False)
    axis = alt.Axis(title="weight (%), outlined: without the sink", format=".0~%", tickCount=4)
    tip = tooltip(("token:N", "position, token"), ("with:Q", "with", ".3%"), ("without:Q", "without", ".3%"))
    base = blank_chart().encode(y=y)
    filled = base.mark_bar().encode(x=alt.X("with:Q", scale=scale, axis=axis), tooltip=tip, color=alt.Color(
        "kind:N", legend=None, scale=scale_of({_KEY: palette.MAGNITUDE, _REST: palette.MAGNITUDE, _SINK: palette.SINK})))
    outlined = base.mark_bar(fillOpacity=0, stroke=palette.MUTED, strokeWidth=2).encode(
        x=alt.X("without:Q", scale=scale, axis=axis), tooltip=tip)
    numbers = base.mark_text(align="left", dx=7, fontSize=FONT_SIZE).encode(
        x=alt.X("end:Q", scale=scale, axis=axis), text="kept:N")
    return specification(alt.layer(filled, outlined, numbers), height=410, right=70)


@cache
def _share_spec() -> dict:
    x = alt.X("position:Q", axis=alt.Axis(title="position of the query (token)", tickMinStep=1, format="d"),
              scale=alt.Scale(nice=False))
    title = {"title": "attention taken (%)", "format": ".0%", "tickCount": 5}
    y = alt.Y("mean:Q", scale=alt.Scale(zero=True), axis=alt.Axis(**title))
    base = blank_chart().encode(x=x)
    band = base.mark_area(color=palette.SINK, opacity=0.25, tooltip=False).encode(
        y=alt.Y("low:Q", axis=alt.Axis(**title)), y2="high:Q")
    line = base.mark_line(color=palette.SINK, strokeWidth=3, point={"size": 50, "filled": True, "color": palette.SINK},
                          tooltip=ROW).encode(y=y)
    even = base.mark_line(color=palette.MUTED, strokeWidth=3, strokeDash=[6, 4], tooltip=False).encode(
        y=alt.Y("even:Q", axis=alt.Axis(**title)))
    return specification(alt.layer(band, even, line), height=300)


@cache
def _spent_spec(models: int) -> dict:
    whole = models + _APART * (models - 1)
    scale = alt.Scale(domain=[0, whole], nice=False)
    base = blank_chart().encode(y=alt.Y("token:N", sort="ascending", scale=alt.Scale(paddingInner=0.12), axis=alt.Axis(
        title="query (token)", labelExpr=TOKEN_OF_LABEL, labelLimit=110, labelOverlap=False, ticks=False, domain=False,
        grid=False)))
    bars = base.transform_filter("datum.kind !== ''").mark_bar().encode(
        x=alt.X("start:Q", scale=scale, axis=None), x2="end:Q",
        opacity=alt.condition("datum.asks", alt.value(1), alt.value(0.75)),
        color=alt.Color("kind:N", legend=squares(symbolStrokeWidth=0, columns={"expr": "width > 520 ? 5 : 2"}),
                        scale=scale_of(_SPENT)),
        tooltip=tooltip(("model:N",), ("token:N", "position, token"), ("kind:N", "goes to"), ("share:Q", "share", ".1%")))
    titles = base.transform_filter("datum.kind === ''").transform_calculate(
        title="width > 360 ? datum.model : datum.short").mark_text(align="left", baseline="middle", tooltip=False).encode(
        x=alt.X("start:Q", scale=scale, axis=None), text="title:N")
    return specification(alt.layer(bars, titles), height=560)
