"""Parameters, bytes and FLOPs of the real sizes under study."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import altair as alt
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import Chart, blank_chart, figures, scale_of, specification, tooltip
from gptoss.charts.labels import CONTEXT_LABEL, COUNT_LABEL, IS_POWER_OF_TEN
from gptoss.units import count, flops, percent, size

CURRENT, PINNED = "current", "pinned"
_SHARING_COLOURS = {"MHA": palette.MUTED, "GQA": palette.ACCENT, "MQA": palette.VALUE}
SHARINGS = tuple(_SHARING_COLOURS)
WINDOWED, EVERY_LAYER_FULL = WINDOWS = ("windows as set", "every layer full")

_ACTIVE, _IDLE = "active for each token", "idle"
_GIB = 2 ** 30
_PARTS_WITH_FLOPS = [part for part in palette.PARTS if part not in ("embedding", "norms")]
_PLAIN_NUMBER = "format(datum.value, ',~r')"


def parameters_by_part(total: Mapping[str, int], active: Mapping[str, int],
                       pinned_total: Mapping[str, int] | None = None,
                       pinned_active: Mapping[str, int] | None = None) -> Chart:
    """Two bars stacked by part of the model: all parameters, and those that one token uses.

    The mappings give a number of parameters by name; names are those of `palette.PARTS`, or the finer ones of
    `gptoss.cost`, which are added up to parts. A part that `active` leaves out is idle as a whole. What the token
    leaves idle is pale in the upper bar; the bars of a pinned model are below, paler. Raises
    `ValueError` for an unknown name, no parameters at all, or more active parameters than parameters in a part.
    """
    rows = _parameter_rows(_by_part(total), _by_part(active), "")
    if pinned_total is not None:
        rows += _parameter_rows(_by_part(pinned_total), _by_part(pinned_active or {}), ", pinned")
    data = pd.DataFrame(rows, columns=["bar", "part", "use", "parameters", "sum", "model"])
    data["label"] = data["sum"].map(count)
    return Chart(_parameters_spec(pinned_total is not None), data,
                 "Parameters by part of the model, all of them and those one token uses",
                 _describe_parameters(_by_part(total), _by_part(active), pinned_total))


def kv_cache_lines(frame: pd.DataFrame, context: int) -> Chart:
    """Size of the KV cache against context length, for each way of sharing heads, with and without windows.

    `frame` has the columns `context` (tokens), `bytes`, `sharing` (one of `SHARINGS`), `windows` (one of `WINDOWS`)
    and optionally `model` (`current` or `pinned`, drawn thin and pale). Points mark the row of the current
    `context`. Raises `ValueError` where a column, or that context, is missing.
    """
    _require(frame, ("context", "bytes", "sharing", "windows"), context)
    models = frame["model"].tolist() if "model" in frame else [CURRENT] * len(frame)
    contexts, sharings, windows = (frame[name].tolist() for name in ("context", "sharing", "windows"))
    sizes = frame["bytes"].tolist()
    here = [value == context for value in contexts]
    data = pd.DataFrame({
        "context": contexts, "gib": [round(amount / _GIB, 9) for amount in sizes], "size": [*map(size, sizes)],
        "sharing": sharings, "windows": windows, "model": models, "here": here})
    words = "; ".join(f"{sharing}, {layers}: {size(amount)}" for sharing, layers, amount, model, now
                      in zip(sharings, windows, sizes, models, here, strict=True) if now and model == CURRENT)
    return Chart(_kv_cache_spec(), data, "Size of the KV cache against context length",
                 f"KV cache of one sequence at {context:,} tokens. {words}.")


def flops_area(frame: pd.DataFrame, context: int) -> Chart:
    """FLOPs for one token by operator against context length, stacked.

    `frame` has the columns `context` (tokens), `operator`, `flops` and optionally `model`: the pinned model is a
    dashed line at its total. A line marks the current `context`. Raises `ValueError` where a column, or that
    context, is missing.
    """
    _require(frame, ("context", "operator", "flops"), context)
    sums: dict[tuple, float] = {}
    models = frame["model"].tolist() if "model" in frame else [CURRENT] * len(frame)
    for at, name, amount, model in zip(frame["context"].tolist(), frame["operator"].tolist(), frame["flops"].tolist(),
                                       models, strict=True):
        key = (at, palette.part_of(name), model)
        sums[key] = sums.get(key, 0) + amount / 1e9
    data = pd.DataFrame([(*key, round(gflops, 9), flops(1e9 * gflops), key[0] == context) for key, gflops in sums.items()],
                        columns=["context", "part", "model", "gflops", "figure", "here"])
    now = {part: gflops for (at, part, model), gflops in sums.items() if at == context and model == CURRENT}
    largest, total = max(now, key=lambda part: now[part]), sum(now.values())
    text = (f"One token at a context of {context:,} tokens costs {flops(1e9 * total)}, "
            f"most of it, {percent(now[largest] / total)}, for {largest}.")
    return Chart(_flops_spec(), data, "FLOPs for one token by part of the model against context length", text)


def _by_part(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts added up to parts of the model, in the order of `palette.PARTS`."""
    sums = dict.fromkeys(palette.PARTS, 0)
    for name, parameters in counts.items():
        sums[palette.part_of(name)] += parameters
    return {part: parameters for part, parameters in sums.items() if parameters}


def _describe_parameters(total: dict[str, int], active: dict[str, int], pinned: Mapping[str, int] | None) -> str:
    everything, used = sum(total.values()), sum(active.values())
    largest = max(total, key=lambda part: total[part])
    text = (f"{everything:,} parameters, of which one token uses {used:,} ({percent(used / everything)}). "
            f"The largest part is {largest} with {percent(total[largest] / everything)}.")
    return text + (f" The pinned model has {sum(pinned.values()):,}." if pinned is not None else "")


def _parameter_rows(total: Mapping[str, int], active: Mapping[str, int], suffix: str) -> list[tuple]:
    if not total or any(active[part] > total.get(part, 0) for part in active):
        raise ValueError(f"active {active} must not be more than total {total}, and total must not be empty")
    model = PINNED if suffix else CURRENT
    everything, used = sum(total.values()), sum(active.values())
    upper = [("total" + suffix, part, use, number, everything, model) for part in total
             for use, number in ((_ACTIVE, active.get(part, 0)), (_IDLE, total[part] - active.get(part, 0)))]
    return upper + [("active" + suffix, part, _ACTIVE, active[part], used, model) for part in active]


def _require(frame: pd.DataFrame, columns: tuple[str, ...], context: int) -> None:
    missing = [name for name in columns if name not in frame]
    if missing:
        raise ValueError(f"frame lacks the columns {', '.join(missing)}; it has {', '.join(map(str, frame.columns))}")
    if not (frame["context"] == context).any():
        raise ValueError(f"context={context} is not among the contexts of the frame")


def _part_colour(parts: list[str] | None = None) -> alt.Color:
    """The colours of parts; the legend names `parts`, or all."""
    legend = alt.Legend(title="part of the model", symbolType="square", values=parts or list(palette.PARTS),
                        columns={"expr": "width > 600 ? 7 : 2"})
    return alt.Color("part:N", legend=legend, scale=scale_of(palette.PARTS))


# Stacks in the order of the data's way through the model, which is also the legend's.
_PLACE_OF_PART = f"indexof({list(palette.PARTS)}, datum.part)"


@cache
def _parameters_spec(pinned: bool) -> dict:
    order = ["total", "active", *(["total, pinned", "active, pinned"] if pinned else [])]
    base = blank_chart().encode(y=alt.Y("bar:N", scale=alt.Scale(domain=order), axis=alt.Axis(title="", ticks=False)))
    opacity = {"expr": f"datum.use === '{_IDLE}' ? 0.2 : datum.model === '{PINNED}' ? 0.5 : 1"}
    bars = base.transform_calculate(place=_PLACE_OF_PART).mark_bar(fillOpacity=opacity).encode(
        x=alt.X("parameters:Q", stack="zero", axis=alt.Axis(
            title="parameters (count)", labelExpr=COUNT_LABEL, tickCount=4)),
        color=_part_colour(), order=alt.Order("place:Q"),
        tooltip=tooltip(("bar:N", "bar"), ("part:N", "part"), ("use:N", "use"), ("parameters:Q", "parameters", ",")))
    sums = figures(base.transform_aggregate(sum="max(sum)", groupby=["bar", "label"]), x="sum:Q", text="label:N")
    return specification(alt.layer(bars, sums), height=290 if pinned else 220, right=40)


def _context_axis() -> alt.X:
    return alt.X("context:Q", scale=alt.Scale(type="log", base=2, nice=False), axis=alt.Axis(
        title="context (tokens, log scale)", labelExpr=CONTEXT_LABEL, grid=False, tickCount=6))


@cache
def _kv_cache_spec() -> dict:
    colour = alt.Color("sharing:N", legend=alt.Legend(title="heads", columns=3), scale=scale_of(_SHARING_COLOURS))
    base = blank_chart().transform_filter("datum.gib > 0").encode(
        x=_context_axis(), color=colour,
        y=alt.Y("gib:Q", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(
            title="KV cache (GiB, log scale)", labelOverlap=False,
            labelExpr=f"{IS_POWER_OF_TEN} ? {_PLAIN_NUMBER} : ''",
            gridOpacity={"condition": {"test": IS_POWER_OF_TEN, "value": 1}, "value": 0})),
        tooltip=tooltip(("context:Q", "context (tokens)", ","), ("sharing:N", "heads"), ("windows:N", "layers"),
                        ("size:N", "KV cache"), ("model:N", "model")))
    lines = base.mark_line().encode(
        strokeDash=alt.StrokeDash("windows:O", legend=alt.Legend(
            title="layers", symbolSize=500, symbolStrokeWidth=3, orient="bottom"),
            scale=scale_of({WINDOWED: [1, 0], EVERY_LAYER_FULL: [7, 5]})),
        strokeWidth=_by_model("strokeWidth", 3, 1.5), opacity=_by_model("opacity", 1, 0.55))
    points = base.transform_filter(f"datum.here && datum.model === '{CURRENT}'").mark_point(
        filled=True, size=90, opacity=1)
    return specification(alt.layer(_here_rule(), lines, points), height=420)


def _by_model(channel: str, current: float, pinned: float) -> alt.StrokeWidth | alt.Opacity:
    kind = alt.StrokeWidth if channel == "strokeWidth" else alt.Opacity
    return kind("model:O", legend=None, scale=scale_of({CURRENT: current, PINNED: pinned}))


def _here_rule() -> alt.Chart:
    """A line at the current context, over the whole height."""
    return blank_chart().transform_filter("datum.here").mark_rule(
        color=palette.MUTED, strokeWidth=1.5, strokeDash=[2, 3]).encode(x=alt.X("mean(context):Q"))


@cache
def _flops_spec() -> dict:
    y_axis = alt.Axis(title="compute (GFLOPs per token)", labelExpr=_PLAIN_NUMBER, tickCount=5)
    area = blank_chart().transform_filter(alt.datum.model == CURRENT).transform_calculate(
        place=_PLACE_OF_PART).mark_area(opacity=0.9).encode(
        x=_context_axis(), y=alt.Y("gflops:Q", stack="zero", axis=y_axis), order="place:Q",
        color=_part_colour(_PARTS_WITH_FLOPS),
        tooltip=tooltip(("part:N", "part"), ("context:Q", "context (tokens)", ","), ("figure:N", "compute per token")))
    pinned = blank_chart().transform_filter(alt.datum.model == PINNED).mark_line(
        color=palette.MUTED, strokeWidth=3, strokeDash=[7, 5]).encode(
        x=_context_axis(), y=alt.Y("sum(gflops):Q", axis=y_axis))
    return specification(alt.layer(area, pinned, _here_rule()), height=380)
