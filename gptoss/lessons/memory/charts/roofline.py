"""How fast a model can run at best: its operators under a machine's roof, time by part, tokens a second, experts touched."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, ROW, Chart, blank_chart, specification
from gptoss.lessons.memory.charts.serving import ABOVE_BAR

PREFILL, DECODE = PHASES = "prefill", "decode"
FITS, FITS_NOT = "fits into its memory", "does not fit"

_PARTS = ("attention", "scores and values", "router", "experts", "unembedding")
_LEFT, _RIGHT = 2.5, 8  # how far the axis reaches beyond the outermost operators, as factors: at the right for a name
_ABOVE = 2.2  # times its height above a ceiling stands its name
_POWER_OF_TEN = "abs(log(datum.value) / LN10 - round(log(datum.value) / LN10)) < 1e-6"
_ROUND_NUMBER = f"{_POWER_OF_TEN} ? format(datum.value, ',~r') : ''"
_TIMES = ((1, "s"), (1e-3, "ms"), (1e-6, "µs"))


def time_in_words(seconds: float) -> str:
    """`1.2 s`, `340 ms`, `12 µs`: three digits, and minutes or hours where there are some."""
    if seconds >= 120:
        return f"{seconds / 3600:.3g} h" if seconds >= 7200 else f"{seconds / 60:.3g} min"
    unit, name = next((each for each in _TIMES if seconds >= each[0]), _TIMES[-1])
    return f"{seconds / unit:.3g} {name}"


def roofline(operators: pd.DataFrame, machine: str, bandwidth: float, ceilings: Mapping[str, float],
             chosen: tuple[str, str]) -> Chart:
    """Operators under a machine's roof: FLOPs a byte across, the rate it allows up, both logarithmic.

    `operators` has the columns `phase` ("prefill" or "decode"), `operator` (a name of `gptoss.cost`), `flops`, `bytes`,
    `seconds` (the bound) and `binds` ("memory" or "compute"). A mark's area is its share of its phase's time. `bandwidth`
    is in bytes/s; `ceilings` are the peaks in FLOP/s by number format, and may be empty. `chosen` is (phase, operator).
    A click adds a mark to the selection `picked`, or takes it out, by the column `mark`: the phase and the operator.
    """
    points = pd.DataFrame({
        "kind": "operator", "mark": operators["phase"] + " " + operators["operator"], "phase": operators["phase"],
        "operator": operators["operator"],
        "part": operators["operator"].map(palette.part_of), "intensity": operators["flops"] / operators["bytes"],
        "rate": operators["flops"] / operators["seconds"] / 1e12, "binds": operators["binds"],
        "share": operators["seconds"] / operators.groupby("phase")["seconds"].transform("sum"),
        "time": operators["seconds"].map(time_in_words)})
    points["chosen"] = (points["phase"] == chosen[0]) & (points["operator"] == chosen[1])
    points["label"] = np.where(points["chosen"], points["operator"] + ", " + points["phase"], "")
    roof = _roof(points["intensity"], bandwidth, ceilings)
    blank = {"mark": "", "phase": "", "part": "", "binds": "", "time": "", "share": 0.0, "chosen": False}
    data = pd.concat([points, roof.assign(**blank)], ignore_index=True)
    data["share"] = data["share"].round(6)
    return Chart(_roofline_spec(), data, "Operators under a machine's roofline",
                 _say_roofline(points, machine, bandwidth, ceilings))


def _roof(intensities: pd.Series, bandwidth: float, ceilings: Mapping[str, float]) -> pd.DataFrame:
    """Lines of the roof: the slope of the memory, and a ceiling for each format from where the slope meets it."""
    ridges = {name: peak / bandwidth for name, peak in ceilings.items()}
    low = min(intensities.min(), 1.0) / _LEFT
    high = max(intensities.max(), *ridges.values(), 1.0) * _RIGHT
    end = max(ridges.values(), default=high)
    rows = [("roof", "memory", low, low * bandwidth / 1e12, ""), ("roof", "memory", end, end * bandwidth / 1e12, "")]
    for name, peak in ceilings.items():
        rows += [("roof", name, ridges[name], peak / 1e12, ""), ("roof", name, high, peak / 1e12, ""),
                 ("ceiling", name, high, _ABOVE * peak / 1e12, f"{name} {peak / 1e12:,.4g} TFLOP/s")]
    return pd.DataFrame(rows, columns=["kind", "operator", "intensity", "rate", "label"])


def _say_roofline(points: pd.DataFrame, machine: str, bandwidth: float, ceilings: Mapping[str, float]) -> str:
    peaks = ", ".join(f"{name} {peak / 1e12:,.4g} TFLOP/s" for name, peak in ceilings.items())
    said = [f"{machine}: {bandwidth / 1e9:,.4g} GB/s" + (f"; {peaks}." if peaks else
            "; its maker publishes no arithmetic peaks, so memory alone bounds.")]
    for phase, rows in points.groupby("phase", sort=False):
        computing = rows[rows["binds"] == "compute"]["operator"]
        longest = rows.loc[rows["share"].idxmax()]
        binds = f"compute binds {', '.join(computing)}" if len(computing) else "memory binds every operator"
        said.append(f"{phase.capitalize()}: {binds}; the longest is {longest['operator']} with {longest['share']:.0%} of "
                    f"the time.")
    return " ".join(said)


@cache
def _roofline_spec() -> dict:
    x = alt.X("intensity:Q", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(
        title="intensity (FLOPs per byte, log scale)", labelExpr=_ROUND_NUMBER, labelOverlap=False, grid=False))
    y = alt.Y("rate:Q", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(
        title="reachable (TFLOP/s, log scale)", labelExpr=_ROUND_NUMBER, labelOverlap=False, grid=False))
    picked = alt.selection_point(name="picked", fields=["mark"], toggle="true", clear=False)
    lines = blank_chart().transform_filter("datum.kind === 'roof'").mark_line(
        color=palette.MUTED, strokeWidth=2.5, tooltip=False).encode(x=x, y=y, detail="operator:N")
    ceilings = blank_chart().transform_filter("datum.kind === 'ceiling'").mark_text(
        align="right", baseline="top", fontSize=14, tooltip=False).encode(x=x, y=y, text="label:N")
    marks = blank_chart().transform_filter("datum.kind === 'operator'")
    size = alt.Size("share:Q", scale=alt.Scale(domain=[0, 0.7], range=[120, 1500], clamp=True), legend=None)
    shape = alt.Shape("phase:N", legend=None, scale=alt.Scale(domain=list(PHASES), range=["circle", "diamond"]))
    points = marks.mark_point(filled=True, opacity=0.85, cursor="pointer").encode(
        x=x, y=y, size=size, shape=shape,
        color=alt.Color("part:N", scale=alt.Scale(domain=list(_PARTS), range=[palette.PARTS[part] for part in _PARTS]),
                        legend=alt.Legend(title=None, symbolType="square", columns={"expr": "width > 450 ? 5 : 2"})),
        tooltip=[alt.Tooltip("operator:N"), alt.Tooltip("phase:N"),
                 alt.Tooltip("intensity:Q", title="FLOPs per byte", format=",.3~r"), alt.Tooltip("time:N", title="at least"),
                 alt.Tooltip("share:Q", title="of its phase", format=".1%"), alt.Tooltip("binds:N", title="bound by")],
    ).add_params(picked)
    ring = marks.transform_filter("datum.chosen").mark_point(
        filled=False, strokeWidth=4, color=palette.FULL, opacity=1, tooltip=False).encode(x=x, y=y, size=size, shape=shape)
    name = marks.transform_filter("datum.chosen").mark_text(
        align="left", baseline="top", dx=12, dy=14, fontSize=FONT_SIZE, tooltip=False).encode(x=x, y=y, text="label:N")
    phases = marks.transform_aggregate(number="count()").mark_text(
        text=f"● {PREFILL}   ◆ {DECODE}", align="left", baseline="top", fontSize=FONT_SIZE, tooltip=False).encode(
        x=alt.value(6), y=alt.value(6))
    return specification(alt.layer(lines, ceilings, points, ring, name, phases), height=400, canvas=True)


def time_by_part(operators: pd.DataFrame, phases: Mapping[str, str]) -> Chart:
    """Where the time goes: a bar for each phase, stacked by part of the model as shares, with its bound in time.

    `operators` has the columns `phase`, `operator` and `seconds`; `phases` says what each phase is, in a few words.
    """
    summed = operators.assign(part=operators["operator"].map(palette.part_of)).groupby(
        ["phase", "part"], sort=False)["seconds"].sum().reset_index()
    totals = operators.groupby("phase")["seconds"].sum()
    summed["share"] = (summed["seconds"] / summed["phase"].map(totals)).round(6)
    summed["time"] = summed["seconds"].map(time_in_words)
    summed["place"] = summed["part"].map([*palette.PARTS].index)
    summed["what"] = summed["phase"].map({
        phase: f"{place:02d} {words}: at least {time_in_words(totals[phase])}"
        for place, (phase, words) in enumerate(phases.items())})
    said = "; ".join(f"{words}: at least {time_in_words(totals[phase])}, most of it for "
                     f"{_largest(summed[summed['phase'] == phase])}" for phase, words in phases.items())
    return Chart(_time_spec(), summed[["what", "part", "share", "time", "place"]],
                 "Least time of prefill and of a decoding step by part of the model", f"{said}.")


def _largest(rows: pd.DataFrame) -> str:
    row = rows.loc[rows["share"].idxmax()]
    return f"{row['part']} ({row['share']:.0%})"


@cache
def _time_spec() -> dict:
    y = alt.Y("what:N", sort="ascending", scale=alt.Scale(paddingInner=0.5, paddingOuter=0.35), axis=None)
    bars = blank_chart().mark_bar().encode(
        y=y, x=alt.X("share:Q", stack="zero", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(
            title="share of the time (%)", format="%", tickCount=4, grid=False)),
        order="place:Q",
        color=alt.Color("part:N", scale=alt.Scale(domain=[*palette.PARTS], range=[*palette.PARTS.values()]),
                        legend=alt.Legend(title=None, symbolType="square", values=list(_PARTS),
                                          columns={"expr": "width > 450 ? 5 : 2"})),
        tooltip=[alt.Tooltip("part:N"), alt.Tooltip("time:N", title="at least"),
                 alt.Tooltip("share:Q", title="share", format=".1%")])
    names = blank_chart().transform_aggregate(number="count()", groupby=["what"]).transform_calculate(
        name="slice(datum.what, 3)").mark_text(align="left", baseline="bottom", dy=ABOVE_BAR, fontSize=FONT_SIZE + 1).encode(
        y=y, x=alt.value(0), text="name:N")
    return specification(alt.layer(bars, names), height=220, canvas=True)


def speed_by_batch(rates: pd.DataFrame, chosen: str, batch: int, context: int) -> Chart:
    """The most tokens that all sequences gain a second against the batch: a line for each machine, named at its end.

    `rates` has the columns `machine`, `batch`, `rate` (tokens a second) and `fits` (whether weights and cache fit into its
    memory: where they do not the line is thin and dashed). Machines alike in speed share a name's place, so hand in few.
    """
    data = rates.assign(verdict=np.where(rates["fits"], FITS, FITS_NOT), own=rates["machine"] == chosen,
                        rate=rates["rate"].astype(float).round(6), here=rates["batch"] == batch)
    last = data.groupby("machine")["batch"].transform("max") == data["batch"]
    data["label"] = data["machine"].where(last, "")
    now = data[data["here"]]
    said = "; ".join(f"{row.machine} {_rate(row.rate)}{'' if row.fits else ' (does not fit)'}" for row in now.itertuples())
    sequences = "1 sequence" if batch == 1 else f"{batch:,} sequences"
    return Chart(_speed_spec(), data[["machine", "batch", "rate", "verdict", "own", "here", "label"]],
                 "Tokens a second against the batch", f"At most, for {sequences} of {context:,} tokens: {said}.")


def _rate(rate: float) -> str:
    return f"{rate:,.0f} tokens/s" if rate >= 10 else f"{rate:.2g} tokens/s"


def _batch_axis() -> alt.X:
    return alt.X("batch:Q", scale=alt.Scale(type="log", base=2, nice=False), axis=alt.Axis(
        title="batch (sequences, log scale)", format="d", grid=False, tickCount=6))


def _own_colour() -> alt.Color:
    return alt.Color("own:N", legend=None, scale=alt.Scale(domain=[True, False], range=[palette.ACCENT, palette.MUTED]))


@cache
def _speed_spec() -> dict:
    y = alt.Y("rate:Q", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(
        title="tokens per second (log scale)", labelExpr=_ROUND_NUMBER, labelOverlap=False, grid=False))
    base = blank_chart().encode(x=_batch_axis(), y=y, detail="machine:N", color=_own_colour())
    ahead = base.mark_line(strokeWidth=1.5, strokeDash=[5, 4], opacity=0.8)
    fitting = base.transform_filter(f"datum.verdict === '{FITS}'").mark_line(strokeWidth=4)
    points = base.transform_filter("datum.here").mark_point(filled=True, size=110, opacity=1).encode(tooltip=[
        alt.Tooltip("machine:N"), alt.Tooltip("batch:Q", title="sequences", format=","),
        alt.Tooltip("rate:Q", title="tokens per second", format=",.3~r"), alt.Tooltip("verdict:N", title="memory")])
    names = base.transform_filter("datum.label !== ''").mark_text(align="left", dx=8, fontSize=FONT_SIZE).encode(
        text="label:N")
    return specification(alt.layer(ahead, fitting, points, names), height=270, canvas=True)


def experts_touched(touched: pd.DataFrame, experts: int, active: int, batch: int) -> Chart:
    """How many different experts of a layer a decoding step reads, against the batch.

    `touched` has the columns `batch` and `experts` (expected number). Lines mark all `experts` and the `active` ones of a
    token.
    """
    data = pd.DataFrame({"batch": touched["batch"], "experts": touched["experts"].round(6), "all": experts, "active": active,
                         "here": touched["batch"] == batch})
    now = data.loc[data["here"], "experts"].iloc[0]
    data["label"] = np.where(data["here"], f"{now:.3g} of {experts}", "")
    sequences = "1 token reads" if batch == 1 else f"{batch:,} tokens read"
    return Chart(_touched_spec(), data, "Experts touched against the batch",
                 f"{sequences} {now:.3g} of {experts} experts a layer if choices are independent and even; {active} are "
                 "active for each. Real routers are uneven and visit fewer.")


@cache
def _touched_spec() -> dict:
    y = alt.Y("experts:Q", scale=alt.Scale(zero=True, nice=False), axis=alt.Axis(
        title="experts of a layer (count)", tickCount=4, tickMinStep=1, format="d"))
    base = blank_chart()
    curve = base.mark_line(color=palette.ACCENT, strokeWidth=4).encode(x=_batch_axis(), y=y, tooltip=[
        alt.Tooltip("batch:Q", title="sequences", format=","), alt.Tooltip("experts:Q", title="experts", format=".3~r")])
    limits = [base.mark_rule(color=palette.MUTED, strokeDash=[5, 4], strokeWidth=1.5).encode(y=f"max({name}):Q")
              for name in ("all", "active")]
    here = base.transform_filter("datum.here")
    point = here.mark_point(color=palette.ACCENT, filled=True, size=130, opacity=1).encode(x=_batch_axis(), y=y)
    label = here.mark_text(align={"expr": "datum.batch > 32 ? 'right' : 'left'"}, dx=8, dy=18,
                           fontSize=FONT_SIZE + 1).encode(
        x=_batch_axis(), y=y, text="label:N")
    return specification(alt.layer(*limits, curve, point, label), height=270, canvas=True)


def times_on_trial(times: pd.DataFrame) -> Chart:
    """Predicted and measured times of passes, on a logarithmic axis: predicted as rings, measured as dots with quartiles.

    `times` has the columns `work` (which pass), `predicted`, `median`, `low` and `high`, all in seconds.
    """
    data = times.assign(work=[f"{place:02d} {work}" for place, work in enumerate(times["work"])],
                        **{name: (times[name] * 1000).round(6) for name in ("predicted", "median", "low", "high")})
    ratio = times["median"] / times["predicted"]
    data["figure"] = [f"{time_in_words(median)} · ×{each:.2g}" for median, each in zip(times["median"], ratio, strict=True)]
    near, far = ratio.idxmin(), ratio.idxmax()
    return Chart(_trial_spec(), data[["work", "predicted", "median", "low", "high", "figure"]],
                 "Predicted and measured times of the live model",
                 f"Measured times are {ratio[near]:.2g} times the bound at best ({times['work'][near]}) and "
                 f"{ratio[far]:.2g} times at worst ({times['work'][far]}).")


@cache
def _trial_spec() -> dict:
    y = alt.Y("work:N", sort="ascending", axis=alt.Axis(
        title="pass", titleOpacity=0, labelExpr="slice(datum.label, 3)", labelLimit=230, labelOverlap=False, ticks=False,
        domain=False))
    scale = alt.Scale(type="log", nice=True)
    axis = alt.Axis(title="time (ms, log scale)", labelExpr=_ROUND_NUMBER, labelOverlap=False, grid=False)
    base = blank_chart().encode(y=y)
    gaps = base.mark_rule(color=palette.MUTED, strokeWidth=1.5, strokeDash=[3, 3]).encode(
        x=alt.X("predicted:Q", scale=scale, axis=axis), x2="median:Q")
    spread = base.mark_rule(color=palette.MAGNITUDE, strokeWidth=6, opacity=0.5).encode(
        x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q")
    tooltip = [alt.Tooltip("predicted:Q", title="predicted (ms)", format=".3~r"),
               alt.Tooltip("median:Q", title="measured (ms)", format=".3~r")]
    predicted = base.mark_point(filled=False, size=150, strokeWidth=2.5, color=palette.ACCENT, opacity=1).encode(
        x=alt.X("predicted:Q", scale=scale, axis=axis), tooltip=tooltip)
    measured = base.mark_point(filled=True, size=150, color=palette.MAGNITUDE, opacity=1).encode(
        x=alt.X("median:Q", scale=scale, axis=axis), tooltip=tooltip)
    figures = base.mark_text(align="left", fontSize=14, dx=8).encode(x=alt.value("width"), text="figure:N")
    return specification(alt.layer(gaps, spread, predicted, measured, figures), height=340)


def where_time_goes(parts: pd.DataFrame) -> Chart:
    """What measured times consist of, each as shares of its whole: a bar for each pass, stacked.

    `parts` has the column `work`, and one of seconds for each part in the order in which it comes on top of those before;
    a part that spares time has less than 0, and cuts what it is spared from.
    """
    names = [name for name in parts if name != "work"]
    ends = parts[names].cumsum(axis=1)
    drawn = ends[names[::-1]].cummin(axis=1)[names].clip(lower=0)  # nothing ends behind what comes after it
    whole = ends[names[-1]]
    rows = []
    for place, work in enumerate(parts["work"]):
        start = 0.0
        for name in names:
            stop = drawn[name].iloc[place] / whole.iloc[place]
            rows.append((f"{place:02d} {work}", name, round(start, 6), round(stop, 6),
                         _signed(parts[name].iloc[place]), f"{parts[name].iloc[place] / whole.iloc[place]:.0%}"))
            start = stop
    data = pd.DataFrame(rows, columns=["work", "part", "start", "stop", "time", "share"])
    sums = parts[names].sum()
    said = ", ".join(f"{name} {sums[name] / whole.sum():.0%}" for name in names)
    return Chart(_parts_spec(tuple(names)), data, "What the measured times consist of",
                 f"Of {time_in_words(whole.sum())} for {len(parts)} passes: {said}.")


def _signed(seconds: float) -> str:
    return time_in_words(seconds) if seconds >= 0 else f"−{time_in_words(-seconds)}"


@cache
def _parts_spec(names: tuple[str, ...]) -> dict:
    colours = (palette.ACCENT, palette.MAGNITUDE, palette.MUTED, palette.fade(palette.MUTED, 0.35))
    y = alt.Y("work:N", sort="ascending", axis=alt.Axis(
        title="pass", titleOpacity=0, labelExpr="slice(datum.label, 3)", labelOverlap=False, ticks=False, domain=False))
    bars = blank_chart().mark_bar(tooltip=ROW).encode(
        y=y, x=alt.X("start:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(
            title="share of the measured time (%)", format="%", tickCount=4, grid=False)), x2="stop:Q",
        color=alt.Color("part:N", scale=alt.Scale(domain=list(names), range=list(colours)),
                        legend=alt.Legend(title=None, symbolType="square", columns=2)))
    return specification(alt.layer(bars), height=340)
