"""Memory and compute: what is kept by part and format, machines, the KV cache, the roofline, times, tokens a second."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from gptoss import units
from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, ROW, Chart, blank_chart, scale_of, specification, squares, tooltip
from gptoss.charts.labels import CONTEXT_LABEL, IS_POWER_OF_TEN, apart

PREFILL, DECODE = PHASES = "prefill", "decode"
FITS, FITS_NOT = "fits into its memory", "does not fit"
WEIGHTS, SLIDING, FULL = "weights", "sliding", "full"
CACHE_OF = {SLIDING: "cache: sliding", FULL: "cache: full"}
HEIGHT = 385  # px of each of two charts side by side

_MACHINE_COLOURS = {WEIGHTS: palette.ACCENT, **{part: palette.SERVING[part] for part in CACHE_OF.values()}}
_PARTS = ("attention", "scores and values", "router", "experts", "unembedding")
_LEGEND = {"expr": "width > 560 ? 5 : width > 360 ? 3 : 2"}  # columns of these
_ROOM = 1.35  # times the longest bar: so long are the axes, that figures have room behind bars
_LEAST_SLOTS = 0.5  # where the logarithmic frames of the film begin, so that a single token can be seen
_LEFT, _RIGHT = 2.5, 8  # how far the axis reaches beyond the outermost operators, as factors: at the right for a name
_ABOVE = 2.2  # times a ceiling's height: where its name is
_ABOVE_BAR = {"expr": "-bandwidth('y') / 2 - 3"}  # where a name is over its bar, from the bar's middle
_NAME = 0.08  # of an axis, that the name at the end of a line takes
_BYTES = "format(datum.value, '.3~s') + 'B'"
_ROUND_NUMBER = f"{IS_POWER_OF_TEN} ? format(datum.value, ',~r') : ''"
_WITHOUT_PLACE = "slice(datum.label, 3)"


def memory_by_format(formats: Mapping[str, Mapping[str, int]], chosen: str) -> Chart:
    """All that serving keeps in memory, a bar for each choice of formats, stacked by part.

    `formats` has the bytes of each of `palette.SERVING` by the formats' name; the `chosen` one is drawn full, the others
    pale.
    """
    rows, totals = [], {name: sum(parts.values()) for name, parts in formats.items()}
    for place, (name, parts) in enumerate(formats.items()):
        row, stop = f"{place:02d} {name}", 0
        for part, size in parts.items():
            start, stop = stop, stop + size
            if size:
                rows.append((row, part, float(start), float(stop), units.decimal(size, "B"), name == chosen, ""))
        rows.append((row, "", float(stop), float(stop), "", name == chosen, units.decimal(stop, "B")))
    room = _ROOM * max(totals.values())
    rows.append((row, "room", room, room, "", False, ""))
    data = pd.DataFrame(rows, columns=["formats", "part", "start", "stop", "size", "chosen", "total"])
    figures = "; ".join(f"{name} {units.decimal(total, 'B')}" for name, total in totals.items())
    largest, size = max(formats[chosen].items(), key=lambda part: part[1])
    return Chart(_memory_spec(), data, "Memory of serving by formats and part",
                 f"Memory by formats: {figures}. Of the bar “{chosen}”, {units.percent(size / totals[chosen], 0)} is "
                 f"{largest}.")


@cache
def _memory_spec() -> dict:
    y = alt.Y("formats:N", sort="ascending", scale=alt.Scale(paddingInner=0.5, paddingOuter=0.3), axis=None)
    x = alt.X("start:Q", scale=alt.Scale(nice=False, zero=True), axis=alt.Axis(
        title="memory (bytes)", labelExpr=_BYTES, tickCount=4, grid=False))
    bars = blank_chart().transform_filter("datum.part !== ''").mark_bar(
        opacity={"expr": "datum.chosen ? 1 : 0.4"}).encode(
        y=y, x=x, x2="stop:Q",
        color=alt.Color("part:N", scale=scale_of(palette.SERVING), legend=squares(columns={"expr": "width > 560 ? 4 : 2"})),
        tooltip=tooltip(("part:N",), ("size:N", "memory")))
    ends = blank_chart().transform_filter("datum.total !== ''")
    totals = ends.mark_text(align="left", dx=6, fontSize=FONT_SIZE).encode(y=y, x=x, text="total:N")
    names = ends.transform_calculate(name="slice(datum.formats, 3)").mark_text(
        align="left", baseline="bottom", dy=_ABOVE_BAR, fontSize=FONT_SIZE).encode(y=y, x=alt.value(0), text="name:N")
    return specification(alt.layer(bars, totals, names), height=HEIGHT)


def machines_filled(machines: pd.DataFrame, held: Mapping[str, int], batch: int) -> Chart:
    """How much of each machine's memory the weights and the cache of a batch take, and how many users fit.

    `machines` has the columns `machine`, `memory` (bytes) and `users` (the most that fit); `held` are the bytes of
    "weights" and of each of `CACHE_OF`. What is more than a machine has is cut, and how many times its memory it
    takes is written beside it.
    """
    need = sum(held.values())
    rows = []
    for place, machine in enumerate(machines.itertuples()):
        name, stop = f"{place:02d} {machine.machine} · {units.decimal(machine.memory, 'B')}", 0.0
        fits = machine.users >= batch
        for part, size in held.items():
            start, stop = stop, stop + size / machine.memory
            if size and start < 1:
                rows.append((name, part, round(start, 6), round(min(stop, 1), 6), units.decimal(size, "B"), fits, ""))
        rows.append((name, "", 1.0, 1.0, "", fits, _verdict(machine.users, batch, need / machine.memory)))
    data = pd.DataFrame(rows, columns=["machine", "part", "start", "stop", "size", "fits", "verdict"])
    return Chart(_machines_spec(), data, "Machines and how much of their memory serving takes",
                 _say_machines(machines, batch))


def _verdict(users: int, batch: int, times: float) -> str:
    return units.plural(users, "user") if users >= batch else units.ratio(times, 2 if 1.1 < times < 10 else 3)


def _say_machines(machines: pd.DataFrame, batch: int) -> str:
    fitting = machines[machines["users"] >= batch]
    users = "one user" if batch == 1 else f"{batch:,} users at once"
    if fitting.empty:
        return f"None of the {len(machines)} machines has room for the weights and {users}."
    first = fitting.loc[fitting["memory"].idxmin()]
    most = machines.loc[machines["users"].idxmax()]
    has = "has" if len(fitting) == 1 else "have"
    return (f"{len(fitting)} of the {len(machines)} machines {has} room for the weights and {users}; the smallest of them "
            f"is {first['machine']} with {units.decimal(first['memory'], 'B')}. The most users, "
            f"{most['users']:,}, have room in {most['machine']}.")


@cache
def _machines_spec() -> dict:
    y = alt.Y("machine:N", sort="ascending", scale=alt.Scale(paddingInner=0.25), axis=alt.Axis(
        title="machine", titleOpacity=0, labelExpr=_WITHOUT_PLACE, labelLimit={"expr": "width > 110 ? 230 : 150"},
        labelOverlap=False, ticks=False, domain=False))
    x = alt.X("start:Q", scale=alt.Scale(domain=[0, 1], nice=False), axis=alt.Axis(
        title="of its memory (%)", format="%", tickCount=2, grid=False))
    verdicts = blank_chart().transform_filter("datum.part === ''")
    frames = verdicts.mark_bar(color=palette.IDLE, cornerRadius=2).encode(y=y, x=alt.value(0), x2=alt.value("width"))
    bars = blank_chart().transform_filter("datum.part !== ''").mark_bar(
        opacity={"expr": "datum.fits ? 1 : 0.35"}).encode(
        y=y, x=x, x2="stop:Q",
        color=alt.Color("part:N", legend=None, scale=alt.Scale(
            domain=[*_MACHINE_COLOURS], range=[*_MACHINE_COLOURS.values()])),
        tooltip=tooltip(("part:N",), ("size:N", "memory")))
    words = verdicts.mark_text(align="left", dx=6, fontSize=14, fontWeight="bold", opacity={
        "expr": "datum.fits ? 1 : 0.75"}).encode(y=y, x=alt.value("width"), text="verdict:N")
    return specification(alt.layer(frames, bars, words), height=HEIGHT, canvas=True)


def film_strip(film: pd.DataFrame, context: int) -> Chart:
    """The KV cache layer by layer: a frame for each, filled up to the tokens that it keeps of `context`.

    `film` has the columns `layer`, `kind` ("sliding" or "full"), `slots` (tokens kept now), `slots_at_most` and `bytes`.
    Frames are logarithmic, and as high as the longest context: what a window keeps could not be seen otherwise.
    """
    most = max(int(film["slots_at_most"].max()), context)
    data = pd.DataFrame({
        "layer": film["layer"].map("{:02d}".format), "kind": film["kind"], "bottom": _LEAST_SLOTS, "kept": film["slots"],
        "top": most, "size": [units.size(size) for size in film["bytes"]], "label": ""})
    last = film.groupby("kind")["layer"].transform("max") == film["layer"]
    data.loc[last.to_numpy(), "label"] = [f"{units.size(row.bytes)} each" for row in film[last].itertuples()]
    kinds = "; ".join(_say_kind(kind, rows, context) for kind, rows in film.groupby("kind", sort=False))
    return Chart(_film_spec(), data, "KV cache layer by layer",
                 f"One sequence of {context:,} tokens. {kinds}. A frame is {most:,} tokens high.")


def _say_kind(kind: str, rows: pd.DataFrame, context: int) -> str:
    first = rows.iloc[0]
    layers = units.plural(len(rows), f"{kind} layer")
    grown = "all that there are" if first["slots"] == context else "the last ones" if kind == SLIDING else ""
    return (f"{layers}: {units.plural(int(first['slots']), 'token')} each{f', {grown}' if grown else ''}, "
            f"{units.size(first['bytes'])} a layer and {units.size(rows['bytes'].sum())} in all")


@cache
def _film_spec() -> dict:
    x = alt.X("layer:N", sort="ascending", scale=alt.Scale(paddingInner=0.18), axis=alt.Axis(
        title="layer", labelAngle=0, labelExpr="toNumber(datum.label)", ticks=False, domain=False))
    y = alt.Y("bottom:Q", scale=alt.Scale(type="log", base=2, nice=False), axis=alt.Axis(
        title="tokens kept (log scale)", labelExpr=CONTEXT_LABEL, values=[4**power for power in range(11)], grid=False))
    kinds = scale_of({SLIDING: palette.SLIDING, FULL: palette.FULL})
    frames = blank_chart().mark_bar(color=palette.IDLE, cornerRadius=3).encode(x=x, y=y, y2="top:Q")
    filling = blank_chart().mark_bar(cornerRadius=3).encode(
        x=x, y=y, y2="kept:Q",
        color=alt.Color("kind:N", scale=kinds, legend=squares(columns=2)),
        tooltip=tooltip(("layer:N",), ("kind:N",), ("kept:Q", "tokens kept", ","), ("size:N", "keys and values")))
    named = blank_chart().transform_filter("datum.label !== ''")
    sizes = named.mark_text(align="left", dx=6, fontSize=FONT_SIZE).encode(x=alt.value("width"), y="kept:Q", text="label:N")
    return specification(alt.layer(frames, filling, sizes), height=HEIGHT, canvas=True)


def cache_totals(designs: Mapping[str, int], batch: int, context: int) -> Chart:
    """The whole KV cache of each design, with how many times as large it is as the first: the model as it is.

    `designs` are bytes by design, for `batch` sequences of `context` tokens.
    """
    own_name, own = next(iter(designs.items()))
    rows = [(f"{place:02d} {name}", size / 2**30, units.size(size) + (f" · {units.ratio(size / own)}" if place else ""),
             not place) for place, (name, size) in enumerate(designs.items())]
    data = pd.DataFrame(rows, columns=["design", "size", "figure", "own"])
    figures = "; ".join(f"{name} {units.size(size)}" for name, size in designs.items())
    largest = max(designs, key=designs.get)
    return Chart(_totals_spec(), data, "KV cache of this and other designs",
                 f"KV cache of {units.plural(batch, 'sequence')} of {context:,} tokens: {figures}. “{largest}” takes "
                 f"{units.number(designs[largest] / own)} times as much as “{own_name}”.")


@cache
def _totals_spec() -> dict:
    y = alt.Y("design:N", sort="ascending", scale=alt.Scale(paddingInner=0.5, paddingOuter=0.35), axis=None)
    bars = blank_chart().mark_bar(tooltip=ROW).encode(
        y=y, x=alt.X("size:Q", scale=alt.Scale(nice=False), axis=alt.Axis(title="KV cache (GiB)", tickCount=3, grid=False)),
        color=alt.Color("own:N", legend=None, scale=alt.Scale(
            domain=[True, False], range=[palette.ACCENT, palette.fade(palette.MUTED, 0.45)])))
    names = blank_chart().transform_calculate(name="slice(datum.design, 3) + ': ' + datum.figure").mark_text(
        align="left", baseline="bottom", dy=_ABOVE_BAR, fontSize=FONT_SIZE).encode(y=y, x=alt.value(0), text="name:N")
    return specification(alt.layer(bars, names), height=HEIGHT)


def found_again(missed: pd.DataFrame, asked: Mapping[str, int]) -> Chart:
    """How often a model misses what stood earlier in the text, by how its KV cache is kept, and by kind of text.

    `missed` has the columns `way`, `kind`, `missed` (share, 0 to 1) and `loss` (nats of those tokens); `asked` are the
    tokens of each kind.
    """
    data = missed.assign(
        row=[f"{place:02d} {way}" for place, way in zip(pd.factorize(missed["way"])[0], missed["way"], strict=True)],
        missed=missed["missed"].round(6), loss=missed["loss"].round(4),
        figure=[units.percent(share) for share in missed["missed"]])
    said = "; ".join(f"{way} " + ", ".join(f"{row.figure} in {row.kind}" for row in rows.itertuples())
                     for way, rows in data.groupby("way", sort=False))
    counts = ", ".join(f"{asked[kind]:,} in {kind}" for kind in dict.fromkeys(missed["kind"]))
    return Chart(_found_spec(), data[["row", "kind", "missed", "loss", "figure"]], "What is not found again, by kind of "
                                                                                   "cache",
                 "The model has to find again what stood earlier in its text, by kind of text: tokens asked for "
                 f"{counts}. Not found, by how the cache is kept: {said}.")


@cache
def _found_spec() -> dict:
    kinds = alt.Color("kind:N", sort=None, legend=squares(columns=2), scale=alt.Scale(range=[palette.ACCENT, palette.MUTED]))
    base = blank_chart().encode(
        y=alt.Y("row:N", sort="ascending", scale=alt.Scale(paddingInner=0.3), axis=alt.Axis(
            title="how the cache is kept", titleOpacity=0, labelExpr=_WITHOUT_PLACE, labelLimit=230, labelOverlap=False,
            ticks=False, domain=False)),
        yOffset=alt.YOffset("kind:N", sort=None),
        x=alt.X("missed:Q", scale=alt.Scale(nice=False, zero=True), axis=alt.Axis(
            title="not found again (%)", format=".2~%", tickCount=4, grid=False)))
    bars = base.mark_bar().encode(color=kinds, tooltip=tooltip(
        ("kind:N",), ("missed:Q", "not found", ".2%"), ("loss:Q", "loss (nats)", ".4f")))
    figures = base.mark_text(align="left", dx=6, fontSize=14).encode(text="figure:N")
    return specification(alt.layer(bars, figures), height=HEIGHT, right=60)


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
        "time": operators["seconds"].map(units.seconds)})
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
                 ("ceiling", name, high, _ABOVE * peak / 1e12, f"{name} {units.decimal(peak, 'FLOP/s', 4)}")]
    return pd.DataFrame(rows, columns=["kind", "operator", "intensity", "rate", "label"])


def _say_roofline(points: pd.DataFrame, machine: str, bandwidth: float, ceilings: Mapping[str, float]) -> str:
    peaks = ", ".join(f"{name} {units.decimal(peak, 'FLOP/s', 4)}" for name, peak in ceilings.items())
    sentences = [f"{machine}: {units.decimal(bandwidth, 'B/s', 4)}" + (f"; {peaks}." if peaks else
                 "; its maker publishes no arithmetic peaks, so memory alone bounds.")]
    for phase, rows in points.groupby("phase", sort=False):
        computing = rows[rows["binds"] == "compute"]["operator"]
        longest = rows.loc[rows["share"].idxmax()]
        binds = f"compute binds {', '.join(computing)}" if len(computing) else "memory binds every operator"
        sentences.append(f"{phase.capitalize()}: {binds}; the longest is {longest['operator']} with "
                         f"{units.percent(longest['share'], 0)} of the time.")
    return " ".join(sentences)


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
    shape = alt.Shape("phase:N", legend=None, scale=scale_of({PREFILL: "circle", DECODE: "diamond"}))
    points = marks.mark_point(filled=True, opacity=0.85, cursor="pointer").encode(
        x=x, y=y, size=size, shape=shape,
        color=alt.Color("part:N", scale=scale_of({part: palette.PARTS[part] for part in _PARTS}),
                        legend=squares(columns=_LEGEND)),
        tooltip=tooltip(("operator:N",), ("phase:N",), ("intensity:Q", "FLOPs per byte", ",.3~r"), ("time:N", "at least"),
                        ("share:Q", "of its phase", ".1%"), ("binds:N", "bound by")),
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
    summed["time"] = summed["seconds"].map(units.seconds)
    summed["place"] = summed["part"].map([*palette.PARTS].index)
    summed["what"] = summed["phase"].map({
        phase: f"{place:02d} {words}: at least {units.seconds(totals[phase])}"
        for place, (phase, words) in enumerate(phases.items())})
    bounds = "; ".join(f"{words}: at least {units.seconds(totals[phase])}, most of it for "
                       f"{_largest(summed[summed['phase'] == phase])}" for phase, words in phases.items())
    return Chart(_time_spec(), summed[["what", "part", "share", "time", "place"]],
                 "Least time of prefill and of a decoding step by part of the model", f"{bounds}.")


def _largest(rows: pd.DataFrame) -> str:
    row = rows.loc[rows["share"].idxmax()]
    return f"{row['part']} ({units.percent(row['share'], 0)})"


@cache
def _time_spec() -> dict:
    y = alt.Y("what:N", sort="ascending", scale=alt.Scale(paddingInner=0.5, paddingOuter=0.35), axis=None)
    bars = blank_chart().mark_bar().encode(
        y=y, x=alt.X("share:Q", stack="zero", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(
            title="share of the time (%)", format="%", tickCount=4, grid=False)),
        order="place:Q",
        color=alt.Color("part:N", scale=scale_of(palette.PARTS), legend=squares(values=list(_PARTS), columns=_LEGEND)),
        tooltip=tooltip(("part:N",), ("time:N", "at least"), ("share:Q", "share", ".1%")))
    names = blank_chart().transform_aggregate(number="count()", groupby=["what"]).transform_calculate(
        name="slice(datum.what, 3)").mark_text(
        align="left", baseline="bottom", dy=_ABOVE_BAR, fontSize=FONT_SIZE + 1).encode(y=y, x=alt.value(0), text="name:N")
    return specification(alt.layer(bars, names), height=220, canvas=True)


def speed_by_batch(rates: pd.DataFrame, chosen: str, batch: int, context: int) -> Chart:
    """The most tokens that all sequences gain a second against the batch: a line for each machine, named at its end.

    `rates` has the columns `machine`, `batch`, `rate` (tokens a second) and `fits` (whether weights and cache fit into its
    memory: where they do not the line is thin and dashed). Of machines alike in speed the names are apart all the same.
    """
    data = rates.assign(verdict=np.where(rates["fits"], FITS, FITS_NOT), own=rates["machine"] == chosen,
                        rate=rates["rate"].astype(float).round(6), here=rates["batch"] == batch)
    last = data.groupby("machine")["batch"].transform("max") == data["batch"]
    data["label"] = data["machine"].where(last, "")
    data["named"] = data["rate"]
    data.loc[last, "named"] = np.exp(apart(np.log(data.loc[last, "rate"]), _NAME * np.ptp(np.log(data["rate"]))))
    now = data[data["here"]]
    figures = "; ".join(f"{row.machine} {units.number(row.rate)} tokens/s{'' if row.fits else ' (does not fit)'}"
                        for row in now.itertuples())
    return Chart(_speed_spec(), data[["machine", "batch", "rate", "verdict", "own", "here", "label", "named"]],
                 "Tokens a second against the batch",
                 f"At most, for {units.plural(batch, 'sequence')} of {units.plural(context, 'token')}: {figures}.")


def _batch_axis() -> alt.X:
    return alt.X("batch:Q", scale=alt.Scale(type="log", base=2, nice=False), axis=alt.Axis(
        title="batch (sequences, log scale)", format="d", grid=False, tickCount=6))


def _own_colour() -> alt.Color:
    return alt.Color("own:N", legend=None, scale=scale_of({True: palette.ACCENT, False: palette.MUTED}))


@cache
def _speed_spec() -> dict:
    y, named = (alt.Y(f"{name}:Q", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(
        title="tokens per second (log scale)", labelExpr=_ROUND_NUMBER, labelOverlap=False, grid=False))
        for name in ("rate", "named"))
    base = blank_chart().encode(x=_batch_axis(), y=y, detail="machine:N", color=_own_colour())
    ahead = base.mark_line(strokeWidth=1.5, strokeDash=[5, 4], opacity=0.8)
    fitting = base.transform_filter(f"datum.verdict === '{FITS}'").mark_line(strokeWidth=4)
    points = base.transform_filter("datum.here").mark_point(filled=True, size=110, opacity=1).encode(
        tooltip=tooltip(("machine:N",), ("batch:Q", "sequences", ","), ("rate:Q", "tokens per second", ",.3~r"),
                        ("verdict:N", "memory")))
    names = base.transform_filter("datum.label !== ''").mark_text(align="left", dx=8, fontSize=FONT_SIZE).encode(
        y=named, text="label:N")
    return specification(alt.layer(ahead, fitting, points, names), height=270, canvas=True)


def experts_touched(touched: pd.DataFrame, experts: int, active: int, batch: int) -> Chart:
    """How many different experts of a layer a decoding step reads, against the batch.

    `touched` has the columns `batch` and `experts` (expected number). Lines mark all `experts` and the `active` ones of a
    token.
    """
    data = pd.DataFrame({"batch": touched["batch"], "experts": touched["experts"].round(6), "all": experts, "active": active,
                         "here": touched["batch"] == batch})
    now = data.loc[data["here"], "experts"].iloc[0]
    data["label"] = np.where(data["here"], f"{units.number(now)} of {experts}", "")
    return Chart(_touched_spec(), data, "Experts touched against the batch",
                 f"{units.plural(batch, 'token')} {'reads' if batch == 1 else 'read'} {units.number(now)} of {experts} "
                 f"experts of a layer, if choices are independent and even: each token chooses {active}. Real routers are "
                 "uneven, so they visit fewer.")


@cache
def _touched_spec() -> dict:
    y = alt.Y("experts:Q", scale=alt.Scale(zero=True, nice=False), axis=alt.Axis(
        title="experts of a layer (count)", tickCount=4, tickMinStep=1, format="d"))
    base = blank_chart()
    curve = base.mark_line(color=palette.ACCENT, strokeWidth=4).encode(x=_batch_axis(), y=y, tooltip=tooltip(
        ("batch:Q", "sequences", ","), ("experts:Q", "experts", ".3~r")))
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
    data["figure"] = [f"{units.seconds(median)} · {units.ratio(times_bound, 2)}"
                      for median, times_bound in zip(times["median"], ratio, strict=True)]
    near, far = ratio.idxmin(), ratio.idxmax()
    return Chart(_trial_spec(), data[["work", "predicted", "median", "low", "high", "figure"]],
                 "Predicted and measured times of the live model",
                 f"A measured time is {units.number(ratio[near], 2)} times the bound at best ({times['work'][near]}) and "
                 f"{units.number(ratio[far], 2)} times at worst ({times['work'][far]}).")


@cache
def _trial_spec() -> dict:
    y = alt.Y("work:N", sort="ascending", axis=alt.Axis(
        title="pass", titleOpacity=0, labelExpr=_WITHOUT_PLACE, labelLimit=230, labelOverlap=False, ticks=False,
        domain=False))
    scale = alt.Scale(type="log", nice=True)
    axis = alt.Axis(title="time (ms, log scale)", labelExpr=_ROUND_NUMBER, labelOverlap=False, grid=False)
    base = blank_chart().encode(y=y)
    gaps = base.mark_rule(color=palette.MUTED, strokeWidth=1.5, strokeDash=[3, 3]).encode(
        x=alt.X("predicted:Q", scale=scale, axis=axis), x2="median:Q")
    spread = base.mark_rule(color=palette.MAGNITUDE, strokeWidth=6, opacity=0.5).encode(
        x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q")
    both = tooltip(("predicted:Q", "predicted (ms)", ".3~r"), ("median:Q", "measured (ms)", ".3~r"))
    predicted = base.mark_point(filled=False, size=150, strokeWidth=2.5, color=palette.ACCENT, opacity=1).encode(
        x=alt.X("predicted:Q", scale=scale, axis=axis), tooltip=both)
    measured = base.mark_point(filled=True, size=150, color=palette.MAGNITUDE, opacity=1).encode(
        x=alt.X("median:Q", scale=scale, axis=axis), tooltip=both)
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
            stop, taken = drawn[name].iloc[place] / whole.iloc[place], parts[name].iloc[place]
            rows.append((f"{place:02d} {work}", name, round(start, 6), round(stop, 6), units.seconds(taken),
                         units.percent(taken / whole.iloc[place], 0)))
            start = stop
    data = pd.DataFrame(rows, columns=["work", "part", "start", "stop", "time", "share"])
    sums = parts[names].sum()
    shares = ", ".join(f"{name} {units.percent(sums[name] / whole.sum(), 0)}" for name in names)
    return Chart(_parts_spec(tuple(names)), data, "What the measured times consist of",
                 f"Of {units.seconds(whole.sum())} for {units.plural(len(parts), 'pass', 'passes')}: {shares}.")


@cache
def _parts_spec(names: tuple[str, ...]) -> dict:
    colours = (palette.ACCENT, palette.MAGNITUDE, palette.MUTED, palette.fade(palette.MUTED, 0.35))
    y = alt.Y("work:N", sort="ascending", axis=alt.Axis(
        title="pass", titleOpacity=0, labelExpr=_WITHOUT_PLACE, labelOverlap=False, ticks=False, domain=False))
    bars = blank_chart().mark_bar(tooltip=ROW).encode(
        y=y, x=alt.X("start:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(
            title="share of the measured time (%)", format="%", tickCount=4, grid=False)), x2="stop:Q",
        color=alt.Color("part:N", scale=scale_of(dict(zip(names, colours, strict=True))),
                        legend=squares(columns=2)))
    return specification(alt.layer(bars), height=340)
