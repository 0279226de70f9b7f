"""Training at scale: memory by stage and what fits, hours, where compute goes, the schedule, a step that was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache

import altair as alt
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, ROW, Chart, blank_chart, scale_of, specification, squares, tooltip
from gptoss.units import decimal, fixed, flops, number, percent, plural, ratio, seconds, signed, spelled

FITS, FITS_NOT = "fits", "does not fit"
EXACT, THUMB = "exactly", "6 × active"
PREDICTED, MEASURED = "predicted", "measured"

_ABOVE = " "  # the row above the stages, where memories are written
_BEYOND = 1.25  # from this many times the largest memory on, which nothing longer fits into, the axis is logarithmic
_GAP, _DOUBLING = 0.04, 0.16  # between both parts of that axis, and for a doubling there: shares of its linear part
_DAY = 86_400  # s
_NEAR = 2.0  # a memory is drawn where it is at most this many times the longest bar
_AMOUNT = "datum.value < 1000 ? format(datum.value, '.3~r') : replace(format(datum.value, '.3~s'), 'G', 'B')"
_BYTES = "format(datum.value, '.3~s') + 'B'"


def memory_by_stage(stages: Mapping[str, Mapping[str, int]], memories: Sequence[int]) -> Chart:
    """What one accelerator holds at each stage of dividing, stacked by part, against memories that can be bought.

    `stages` has the bytes of each of `palette.TRAINING` by stage; `memories` are bytes. Where a bar is longer than any
    memory could hold, the axis goes on behind a gap, and there each doubling takes the same length.
    """
    totals = {stage: sum(parts.values()) for stage, parts in stages.items()}
    longest = max(totals.values())
    limit = _BEYOND * max(memories)
    limit = limit if longest > limit else 0.0
    rows = [row for stage, parts in stages.items() for row in _stacked(stage, parts, limit)]
    rows += [("total", stage, "", end := _along(total, limit), end, decimal(total, "B")) for stage, total in totals.items()]
    near = [memory for memory in sorted({*memories}) if memory <= _NEAR * longest]
    rows += [(f"memory {place % 2}", _ABOVE, "", memory, memory, decimal(memory, "B")) for place, memory in enumerate(near)]
    data = pd.DataFrame(rows, columns=["kind", "stage", "part", "start", "stop", "figure"])
    return Chart(_memory_spec(tuple(stages), limit), data, "Memory of one accelerator by stage of dividing",
                 _say_memory(stages, totals, limit))


def _along(size: float, limit: float) -> float:
    """Where an amount of bytes is along the axis: at its own, or behind the gap. Without a limit there is none."""
    if not limit or size <= limit:
        return float(size)
    return limit * (1 + _GAP + _DOUBLING * math.log2(size / limit))


def _stacked(stage: str, parts: Mapping[str, int], limit: float) -> list[tuple]:
    """The bars of a stage; one that crosses the gap is two."""
    rows, stop = [], 0
    for part, size in parts.items():
        start, stop = stop, stop + size
        if not size:
            continue
        ends = [(start, stop)] if not limit or stop <= limit or start >= limit else [(start, limit), (limit + 1, stop)]
        rows += [("part", stage, part, _along(low, limit), _along(high, limit), decimal(size, "B")) for low, high in ends]
    return rows


def _say_memory(stages: Mapping[str, Mapping[str, int]], totals: Mapping[str, int], limit: float) -> str:
    figures = "; ".join(f"{stage} {decimal(total, 'B')}" for stage, total in totals.items())
    last = [*stages][-1]
    largest, size = max(stages[last].items(), key=lambda part: part[1])
    return (f"Memory of one accelerator: {figures}. Under {last} most of it, {percent(size / totals[last], 0)}, is "
            f"{largest} with {decimal(size, 'B')}." + (
                f" Right of the gap, from {decimal(limit, 'B')} on, each doubling is as long as the last." if limit else ""))


@cache
def _memory_spec(stages: tuple[str, ...], limit: float) -> dict:
    order = [_ABOVE, *stages]
    y = alt.Y("stage:N", sort=order, scale=alt.Scale(domain=order, paddingInner=0.35), axis=alt.Axis(
        title="how training is divided", titleOpacity=0, ticks=False, domain=False))
    x = alt.X("start:Q", scale=alt.Scale(nice=False, zero=True), axis=alt.Axis(
        title="memory of one accelerator (bytes)", grid=False, **(_broken_ticks(limit) if limit else {
            "labelExpr": _BYTES, "tickCount": 5})))
    bars = blank_chart().transform_filter("datum.kind === 'part'").mark_bar().encode(
        y=y, x=x, x2="stop:Q",
        color=alt.Color("part:N", scale=scale_of(palette.TRAINING), legend=squares(columns={"expr": "width > 420 ? 3 : 2"})),
        tooltip=tooltip(("stage:N",), ("part:N",), ("figure:N", "memory")))
    totals = blank_chart().transform_filter("datum.kind === 'total'").mark_text(
        align="left", dx=6, fontSize=FONT_SIZE).encode(y=y, x=alt.value("width"), text="figure:N")  # off the rules
    memories = blank_chart().transform_filter("datum.stage === ' '")
    rules = memories.mark_rule(color=palette.MUTED, strokeDash=[5, 4], opacity=0.7).encode(
        x=x, y=alt.value(40), y2=alt.value("height"))
    names = [memories.transform_filter(f"datum.kind === 'memory {level}'").mark_text(
        align="center", dy=dy, fontSize=14, opacity={"expr": "width > 220 ? 1 : 0"}).encode(y=y, x=x, text="figure:N")
        for level, dy in ((0, -9), (1, 9))]
    return specification(alt.layer(rules, bars, totals, *names), height=370, right=80)


def _broken_ticks(limit: float) -> dict:
    """Where the axis with a gap has its labels, and what they say."""
    step = max(digit * 10.0**power for power in range(9, 14) for digit in (1, 2, 5) if digit * 10.0**power <= limit / 4)
    before = [step * count for count in range(math.ceil(limit / step)) if step * count < 0.9 * limit]
    behind = [digit * 10.0**power for power in range(9, 17) for digit in (1, 2, 5) if digit * 10.0**power > 1.3 * limit]
    size = f"{limit} * pow(2, (datum.value / {limit} - {1 + _GAP}) / {_DOUBLING})"
    return {"values": [*before, *(_along(size, limit) for size in behind)], "ticks": False, "labelExpr": (
        f"datum.value > domain('x')[1] ? '' : replace(format(datum.value <= {limit} ? datum.value : {size}, '.3~s'), "
        "/$/, 'B')")}


def what_fits(needs: Mapping[str, int], accelerators: Mapping[str, int]) -> Chart:
    """Which accelerator holds the training step at which stage: `needs` are bytes by stage, `accelerators` their memory.

    A full circle fits, with the share of the memory that it takes; a ring does not, with how many times too large it is.
    """
    rows = [(f"{place:02d} {name} · {decimal(memory, 'B')}", stage, FITS if need <= memory else FITS_NOT,
             _share(need, memory))
            for place, (name, memory) in enumerate(accelerators.items()) for stage, need in needs.items()]
    data = pd.DataFrame(rows, columns=["accelerator", "stage", "verdict", "share"])
    fitting = "; ".join(f"{stage}: {_fitting(need, accelerators)}" for stage, need in needs.items())
    return Chart(_fits_spec(tuple(needs)), data, "Accelerators that hold their part of a training step",
                 f"What fits. {fitting}.")


def _share(need: int, memory: int) -> str:
    """The part of the memory that is taken; above 100% how many times it would be needed."""
    times = need / memory
    return percent(times, 0) if times <= 1 else ratio(times, 2 if 1.1 < times < 99.5 else 3)


def _fitting(need: int, accelerators: Mapping[str, int]) -> str:
    names = [name for name, memory in accelerators.items() if need <= memory]
    if len(names) == len(accelerators):
        return f"all {len(names)}"
    return f"{len(names)} of {len(accelerators)}" + (f" ({', '.join(names)})" if names else "")


@cache
def _fits_spec(stages: tuple[str, ...]) -> dict:
    base = blank_chart().encode(
        y=alt.Y("accelerator:N", sort="ascending", axis=alt.Axis(
            title="accelerator", titleOpacity=0, labelExpr="slice(datum.label, 3)", labelLimit=190, ticks=False,
            domain=False)),
        x=alt.X("stage:N", sort=list(stages), axis=alt.Axis(
            title="how training is divided", titleOpacity=0, labelAngle=0, orient="top", ticks=False, domain=False)))
    colours = scale_of({FITS: palette.ACCENT, FITS_NOT: palette.fade(palette.MUTED, 0)})
    strokes = scale_of({FITS: palette.ACCENT, FITS_NOT: palette.MUTED})
    marks = base.mark_point(size=170, filled=True, tooltip=ROW, xOffset=-22, strokeWidth=1.5, opacity=1).encode(
        fill=alt.Fill("verdict:N", scale=colours, legend=None), stroke=alt.Stroke("verdict:N", scale=strokes, legend=None))
    shares = base.mark_text(align="left", xOffset=-11, fontSize=14).encode(text="share:N", opacity=alt.Opacity(
        "verdict:N", scale=scale_of({FITS: 1, FITS_NOT: 0.75}), legend=None))
    return specification(alt.layer(marks, shares), height=370)


def hours_by_accelerator(hours: pd.DataFrame, world: int) -> Chart:
    """Hours of one accelerator that the whole training takes, and days on `world` of them.

    `hours` has the columns `accelerator`, `hours` and `fits` (whether its memory holds the step under FSDP).
    """
    days = hours["hours"] / world / 24
    on_all = f"{world:,}" if world > 1 else "one"
    data = pd.DataFrame({
        "accelerator": hours["accelerator"], "hours": hours["hours"].round(6),
        "verdict": [FITS if fits else FITS_NOT for fits in hours["fits"]],
        "figure": [seconds(_DAY * day) for day in days]})
    fastest = hours["hours"].idxmin()
    figures = "; ".join(f"{row.accelerator} {spelled(float(f'{row.hours:.3g}'))}" for row in hours.itertuples())
    return Chart(_hours_spec(), data, "Hours of training by accelerator",
                 f"Accelerator hours: {figures}. The fastest, {hours.loc[fastest, 'accelerator']}, takes "
                 f"{seconds(_DAY * days[fastest])} on {on_all} of them.")


@cache
def _hours_spec() -> dict:
    base = blank_chart().encode(
        y=alt.Y("accelerator:N", sort=None, axis=alt.Axis(title="accelerator", titleOpacity=0, ticks=False)),
        x=alt.X("hours:Q", axis=alt.Axis(
            title="hours of one accelerator", labelExpr=_AMOUNT, tickCount={"expr": "width > 300 ? 5 : 1"})))
    bars = base.mark_bar(tooltip=ROW).encode(color=alt.Color("verdict:N", legend=squares(), scale=scale_of(
        {FITS: palette.ACCENT, FITS_NOT: palette.fade(palette.MUTED, 0.4)})))
    figures = base.mark_text(align="left", dx=6, fontSize=FONT_SIZE).encode(text="figure:N")
    return specification(alt.layer(bars, figures), height=350, right=110)


def compute_parts(exact: Mapping[str, float], thumb: Mapping[str, float], sequence: int) -> Chart:
    """Where the compute of one token goes, counted exactly and by the rule of thumb, stacked by part of the model.

    `exact` has the FLOPs by operator, `thumb` by weight; the token is one of a sequence of `sequence`.
    """
    parts = pd.DataFrame([(count, palette.part_of(name), flops) for count, by_name in ((EXACT, exact), (THUMB, thumb))
                          for name, flops in by_name.items()], columns=["count", "part", "flops"])
    summed = parts.groupby(["count", "part"], sort=False)["flops"].sum()
    data = (summed / 1e9).round(9).rename("gflops").reset_index()
    data["place"] = data["part"].map([*palette.PARTS].index)
    totals = data.groupby("count")["gflops"].sum()
    attention = summed.get((EXACT, "scores and values"), 0.0) / 1e9
    off = signed(totals[THUMB] / totals[EXACT] - 1, percent)
    return Chart(_compute_spec(), data, "Training compute of one token, exactly and by the rule of thumb",
                 f"One token of a sequence of {sequence:,}: {flops(1e9 * totals[EXACT])} counted exactly, "
                 f"{flops(1e9 * totals[THUMB])} by 6 × active parameters ({off}). Attention's scores and values, which have "
                 f"no parameters, take {flops(1e9 * attention)}.")


@cache
def _compute_spec() -> dict:
    bars = blank_chart().mark_bar().encode(
        y=alt.Y("count:N", sort=[EXACT, THUMB], scale=alt.Scale(paddingInner=0.3), axis=alt.Axis(
            title="how it is counted", titleOpacity=0, ticks=False, domain=False)),
        x=alt.X("gflops:Q", stack="zero", axis=alt.Axis(title="training (GFLOPs per token)", tickCount=5)),
        order="place:Q",
        color=alt.Color("part:N", scale=scale_of(palette.PARTS),
                        legend=squares(values=[
                            "attention", "scores and values", "router", "experts", "norms", "unembedding"],
                            columns={"expr": "width > 760 ? 6 : width > 360 ? 3 : 2"})),
        tooltip=tooltip(("count:N", "how"), ("part:N",), ("gflops:Q", "GFLOPs per token", ",.4~r")))
    return specification(alt.layer(bars), height=210)


def schedule_curve(rates: Sequence[tuple[int, float]], warmup: int) -> Chart:
    """The learning rate by optimizer step: `rates` are (step, rate) in order, `warmup` the steps that it rises."""
    data = pd.DataFrame(rates, columns=["step", "rate"])
    peak, steps = data["rate"].max(), int(data["step"].iloc[-1]) + 1
    data["end of warmup"] = data["step"] == max(warmup, 1) - 1
    return Chart(_schedule_spec(), data, "Learning rate by step",
                 f"The learning rate starts at {number(data['rate'].iloc[0])}, reaches {number(peak)} after {warmup:,} of "
                 f"{plural(steps, 'step')} ({percent(warmup / steps)}) and ends at {number(data['rate'].iloc[-1])}.")


@cache
def _schedule_spec() -> dict:
    base = blank_chart().encode(
        x=alt.X("step:Q", scale=alt.Scale(nice=False), axis=alt.Axis(
            title="optimizer step", labelExpr=_AMOUNT, tickCount=6)),
        y=alt.Y("rate:Q", axis=alt.Axis(title="learning rate", format=".2~e", tickCount=5)),
        tooltip=tooltip(("step:Q", "step", ","), ("rate:Q", "learning rate", ".3~e")))
    line = base.mark_line(color=palette.ACCENT, strokeWidth=3)
    top = base.transform_filter("datum['end of warmup']").mark_point(color=palette.ACCENT, filled=True, size=90, opacity=1)
    return specification(alt.layer(line, top), height=310, right=20)


def predicted_and_measured(parts: pd.DataFrame) -> Chart:
    """Bytes of each part of a training step: predicted as outlines, measured filled.

    `parts` has the columns `part`, `predicted` and `measured` (bytes).
    """
    data = pd.concat([pd.DataFrame({
        "part": parts["part"], "kind": kind, "bytes": parts[kind].astype(float),
        "figure": [f"{size:,} B" for size in parts[kind]]}) for kind in (MEASURED, PREDICTED)], ignore_index=True)
    data["share"] = (data["bytes"] / 2**20).round(6)
    off = parts["measured"] - parts["predicted"]
    apart = "; ".join(f"{part} by {signed(by, fixed, 0)} B"
                      for part, by in zip(parts["part"], off, strict=True) if by)
    return Chart(_measured_spec(), data[["part", "kind", "share", "figure"]], "Memory of a step, predicted and measured",
                 f"Predicted {parts['predicted'].sum():,} B, measured {parts['measured'].sum():,} B. "
                 + (f"They differ in {apart}." if apart else "Every part agrees to the byte."))


@cache
def _measured_spec() -> dict:
    base = blank_chart().encode(
        y=alt.Y("part:N", sort=None, scale=alt.Scale(paddingInner=0.3), axis=alt.Axis(
            title="part of the step", titleOpacity=0, labelLimit=200, ticks=False, domain=False)),
        x=alt.X("share:Q", axis=alt.Axis(title="memory (MiB)", tickCount=5)))
    measured = base.transform_filter(f"datum.kind === '{MEASURED}'").mark_bar(
        color=palette.MAGNITUDE, tooltip=ROW)
    predicted = base.transform_filter(f"datum.kind === '{PREDICTED}'").mark_bar(
        filled=False, stroke=palette.ACCENT, strokeWidth=2.5, strokeDash=[6, 3])
    figures = base.transform_filter(f"datum.kind === '{MEASURED}'").mark_text(
        align="left", dx=6, fontSize=FONT_SIZE).encode(text="figure:N")
    return specification(alt.layer(measured, predicted, figures), height=290, right=120)
