"""What serving a model keeps in memory: by part and format, on machines, and the KV cache layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import altair as alt
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, ROW, Chart, blank_chart, specification
from gptoss.lessons.scale.charts import amount

HEIGHT = 385  # px of each of two charts side by side
WEIGHTS, SLIDING, FULL = "weights", "sliding", "full"
CACHE_OF = {SLIDING: "cache: sliding", FULL: "cache: full"}

_MACHINE_COLOURS = {WEIGHTS: palette.ACCENT, **{part: palette.SERVING[part] for part in CACHE_OF.values()}}
ABOVE_BAR = {"expr": "-bandwidth('y') / 2 - 3"}  # where a name stands over its bar, from the bar's middle
_ROOM = 1.35  # times the longest bar: so long are the axes, that figures have room behind bars
_LEAST_SLOTS = 0.5  # where the logarithmic frames of the film begin, so that a single token can be seen
_UNITS = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))
_BYTES = "format(datum.value, '.3~s') + 'B'"
_TOKENS = "datum.value >= 1024 ? format(datum.value / 1024, '~g') + 'k' : datum.value"
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
                rows.append((row, part, float(start), float(stop), amount(size, "B"), name == chosen, ""))
        rows.append((row, "", float(stop), float(stop), "", name == chosen, amount(stop, "B")))
    room = _ROOM * max(totals.values())
    rows.append((row, "room", room, room, "", False, ""))
    data = pd.DataFrame(rows, columns=["formats", "part", "start", "stop", "size", "chosen", "total"])
    said = "; ".join(f"{name} {amount(total, 'B')}" for name, total in totals.items())
    parts = formats[chosen]
    largest = max(parts, key=parts.get)
    return Chart(_memory_spec(), data, "Memory of serving by formats and part",
                 f"Memory: {said}. With {chosen}, {parts[largest] / totals[chosen]:.0%} of it is {largest}.")


@cache
def _memory_spec() -> dict:
    y = alt.Y("formats:N", sort="ascending", scale=alt.Scale(paddingInner=0.5, paddingOuter=0.3), axis=None)
    x = alt.X("start:Q", scale=alt.Scale(nice=False, zero=True), axis=alt.Axis(
        title="memory (bytes)", labelExpr=_BYTES, tickCount=4, grid=False))
    bars = blank_chart().transform_filter("datum.part !== ''").mark_bar(
        opacity={"expr": "datum.chosen ? 1 : 0.4"}).encode(
        y=y, x=x, x2="stop:Q",
        color=alt.Color("part:N", scale=alt.Scale(domain=[*palette.SERVING], range=[*palette.SERVING.values()]),
                        legend=alt.Legend(title=None, symbolType="square", columns=2)),
        tooltip=[alt.Tooltip("part:N"), alt.Tooltip("size:N", title="memory")])
    ends = blank_chart().transform_filter("datum.total !== ''")
    totals = ends.mark_text(align="left", dx=6, fontSize=FONT_SIZE).encode(y=y, x=x, text="total:N")
    names = ends.transform_calculate(name="slice(datum.formats, 3)").mark_text(
        align="left", baseline="bottom", dy=ABOVE_BAR, fontSize=FONT_SIZE).encode(y=y, x=alt.value(0), text="name:N")
    return specification(alt.layer(bars, totals, names), height=HEIGHT)


def machines_filled(machines: pd.DataFrame, held: Mapping[str, int], batch: int) -> Chart:
    """How much of each machine's memory the weights and the cache of a batch take, and how many users fit.

    `machines` has the columns `machine`, `memory` (bytes) and `users` (the most that fit); `held` are the bytes of
    "weights" and of each of `CACHE_OF`. What is more than a machine has is cut, and how many times its memory it
    takes stands beside it.
    """
    need = sum(held.values())
    rows = []
    for place, machine in enumerate(machines.itertuples()):
        name, stop = f"{place:02d} {machine.machine} · {amount(machine.memory, 'B')}", 0.0
        fits = machine.users >= batch
        for part, size in held.items():
            start, stop = stop, stop + size / machine.memory
            if size and start < 1:
                rows.append((name, part, round(start, 6), round(min(stop, 1), 6), amount(size, "B"), fits, ""))
        rows.append((name, "", 1.0, 1.0, "", fits, _verdict(machine.users, batch, need / machine.memory)))
    data = pd.DataFrame(rows, columns=["machine", "part", "start", "stop", "size", "fits", "verdict"])
    return Chart(_machines_spec(), data, "Machines and how much of their memory serving takes",
                 _say_machines(machines, batch))


def _verdict(users: int, batch: int, times: float) -> str:
    if users >= batch:
        return "1 user" if users == 1 else f"{users:,} users"
    return f"×{times:.{2 if times > 1.1 else 3}g}" if times < 10 else f"×{times:,.0f}"


def _say_machines(machines: pd.DataFrame, batch: int) -> str:
    fitting = machines[machines["users"] >= batch]
    users = "1 user fits" if batch == 1 else f"{batch:,} users at once fit"
    if fitting.empty:
        return f"{users} into none of {len(machines)} machines."
    first = fitting.loc[fitting["memory"].idxmin()]
    most = machines.loc[machines["users"].idxmax()]
    return (f"{users} into {len(fitting)} of {len(machines)} machines, the smallest of them {first['machine']} with "
            f"{amount(first['memory'], 'B')}. The most users, {most['users']:,}, fit into {most['machine']}.")


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
        tooltip=[alt.Tooltip("part:N"), alt.Tooltip("size:N", title="memory")])
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
        "top": most, "size": [_binary(size) for size in film["bytes"]], "label": ""})
    last = film.groupby("kind")["layer"].transform("max") == film["layer"]
    data.loc[last.to_numpy(), "label"] = [f"{_binary(row.bytes)} each" for row in film[last].itertuples()]
    said = "; ".join(_say_kind(kind, rows, context) for kind, rows in film.groupby("kind", sort=False))
    return Chart(_film_spec(), data, "KV cache layer by layer",
                 f"One sequence of {context:,} tokens. {said}. Frames end at {most:,} tokens.")


def _say_kind(kind: str, rows: pd.DataFrame, context: int) -> str:
    first = rows.iloc[0]
    layers = f"{len(rows)} {kind} {'layer' if len(rows) == 1 else 'layers'}"
    grown = "as many as there are" if first["slots"] == context else "the ring is full" if kind == SLIDING else ""
    return (f"{layers}: {int(first['slots']):,} tokens each{f', {grown}' if grown else ''}, {_binary(first['bytes'])} a "
            f"layer and {_binary(rows['bytes'].sum())} in all")


@cache
def _film_spec() -> dict:
    x = alt.X("layer:N", sort="ascending", scale=alt.Scale(paddingInner=0.18), axis=alt.Axis(
        title="layer", labelAngle=0, labelExpr="toNumber(datum.label)", ticks=False, domain=False))
    y = alt.Y("bottom:Q", scale=alt.Scale(type="log", base=2, nice=False), axis=alt.Axis(
        title="tokens kept (log scale)", labelExpr=_TOKENS, values=[4**power for power in range(11)], grid=False))
    kinds = alt.Scale(domain=[SLIDING, FULL], range=[palette.SLIDING, palette.FULL])
    frames = blank_chart().mark_bar(color=palette.IDLE, cornerRadius=3).encode(x=x, y=y, y2="top:Q")
    filling = blank_chart().mark_bar(cornerRadius=3).encode(
        x=x, y=y, y2="kept:Q",
        color=alt.Color("kind:N", scale=kinds, legend=alt.Legend(title=None, symbolType="square", columns=2)),
        tooltip=[alt.Tooltip("layer:N"), alt.Tooltip("kind:N"), alt.Tooltip("kept:Q", title="tokens kept", format=","),
                 alt.Tooltip("size:N", title="keys and values")])
    named = blank_chart().transform_filter("datum.label !== ''")
    sizes = named.mark_text(align="left", dx=6, fontSize=FONT_SIZE).encode(x=alt.value("width"), y="kept:Q", text="label:N")
    return specification(alt.layer(frames, filling, sizes), height=HEIGHT, canvas=True)


def cache_totals(designs: Mapping[str, int], batch: int, context: int) -> Chart:
    """The whole KV cache of each design, with how many times as large it is as the first: the model as it is.

    `designs` are bytes by design, for `batch` sequences of `context` tokens.
    """
    own_name, own = next(iter(designs.items()))
    rows = [(f"{place:02d} {name}", size / 2**30, _binary(size) + (f" · {_times(size / own)}" if place else ""), not place)
            for place, (name, size) in enumerate(designs.items())]
    data = pd.DataFrame(rows, columns=["design", "size", "figure", "own"])
    said = "; ".join(f"{name} {_binary(size)}" for name, size in designs.items())
    sequences = "1 sequence" if batch == 1 else f"{batch:,} sequences"
    largest = max(designs, key=designs.get)
    return Chart(_totals_spec(), data, "KV cache of this and other designs",
                 f"KV cache of {sequences} of {context:,} tokens: {said}. {largest} takes {_times(designs[largest] / own)} "
                 f"of {own_name}.")


def _times(ratio: float) -> str:
    return f"×{ratio:.3g}" if ratio >= 1 else f"÷{1 / ratio:.3g}"


def _binary(size: float) -> str:
    """Bytes in the largest binary unit of which there is one: `256 MiB`."""
    unit, name = next((each for each in _UNITS if size >= each[0]), _UNITS[-1])
    return f"{size / unit:.3g} {name}"


@cache
def _totals_spec() -> dict:
    y = alt.Y("design:N", sort="ascending", scale=alt.Scale(paddingInner=0.5, paddingOuter=0.35), axis=None)
    bars = blank_chart().mark_bar(tooltip=ROW).encode(
        y=y, x=alt.X("size:Q", scale=alt.Scale(nice=False), axis=alt.Axis(title="KV cache (GiB)", tickCount=3, grid=False)),
        color=alt.Color("own:N", legend=None, scale=alt.Scale(
            domain=[True, False], range=[palette.ACCENT, palette.fade(palette.MUTED, 0.45)])))
    names = blank_chart().transform_calculate(name="slice(datum.design, 3) + ': ' + datum.figure").mark_text(
        align="left", baseline="bottom", dy=ABOVE_BAR, fontSize=FONT_SIZE).encode(y=y, x=alt.value(0), text="name:N")
    return specification(alt.layer(bars, names), height=HEIGHT)
