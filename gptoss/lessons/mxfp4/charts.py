"""MXFP4 drawn: one block on the ticks of its scale, its bytes, errors by block and by format, and what a model notices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, ROW, Chart, blank_chart, scale_of, specification, squares, tooltip
from gptoss.units import fixed, number, percent, signed

KEPT, FALLEN, OUTLIER = "comes back on a tick", "falls to 0", "the value that you move"
_COLOURS = {KEPT: palette.MAGNITUDE, FALLEN: palette.POSITIVE, OUTLIER: palette.ACCENT}
ALONE, UP_TO = "this layer alone", "all layers up to this one"
BINS = 36  # of the histogram of errors
SMALLEST_ERROR = 4e-5  # share; smaller ones are drawn at this end of the axis
_MAGNITUDES = ("0", ".5", "1", "1.5", "2", "3", "4", "6")
# Heights inside the plot: the values at its top, at its bottom their ticks, and the words below those.
_VALUES = 16
_TICKS, _TICK_END, _MULTIPLES, _COUNTS = ({"expr": f"height - {above}"} for above in (84, 60, 44, 18))
_HEIGHT = 330


@dataclass(frozen=True)
class TickedBlock:
    """One block as its picture needs it: all in the weights' own unit.

    Attributes:
        values: what is stored (32,).
        back: what comes back (32,).
        ticks: the fifteen values that the scale allows, from the lowest up.
        exponent: of the scale, a power of two.
        place: of the value that is turned into an outlier.
        frame: what is drawn reaches from -frame to +frame; ticks beyond are left out, values are drawn at the edge.
    """

    values: np.ndarray
    back: np.ndarray
    ticks: Sequence[float]
    exponent: int
    place: int
    frame: float


def block_on_ticks(block: TickedBlock) -> Chart:
    """Each value of a block above, the tick it comes back as below, and a line from the one to the other."""
    fates = [_fate(block, place) for place in range(len(block.values))]
    rows = [("value", fate, place, *_inside((value, back), block.frame), number(value), number(back))
            for place, (fate, value, back) in enumerate(zip(fates, block.values, block.back, strict=True))]
    for place, tick in enumerate(block.ticks):
        if abs(tick) <= block.frame * 1.001:
            stored = int((block.back == tick).sum())
            rows.append((_tick_kind(place), KEPT, place, tick, tick, _multiple(place), str(stored or "")))
    beyond = block.values[block.place]
    if abs(beyond) > block.frame:
        edge = math.copysign(block.frame, beyond)
        rows.append((f"beyond {'right' if beyond > 0 else 'left'}", OUTLIER, block.place, edge, edge, number(beyond), ""))
    rows.append(("frame", KEPT, 0, -block.frame, block.frame, "", ""))
    data = pd.DataFrame(rows, columns=["kind", "fate", "number", "value", "back", "label", "stored"])
    return Chart(_block_spec(), data, "Thirty-two weights of a block, and the tick that each comes back as",
                 _say_block(block, fates))


def _fate(block: TickedBlock, place: int) -> str:
    if place == block.place:
        return OUTLIER
    return FALLEN if block.back[place] == 0 != block.values[place] else KEPT


def _inside(values: Sequence[float], frame: float) -> list[float]:
    return [float(min(max(value, -frame), frame)) for value in values]


def _tick_kind(place: int) -> str:
    """Ticks whose code is odd have their words only where there is room."""
    return "zero" if place == 7 else "even tick" if place % 2 else "odd tick"


def _multiple(place: int) -> str:
    return f"{'−' if place < 7 else ''}{_MAGNITUDES[abs(place - 7)]}"


def _say_block(block: TickedBlock, fates: Sequence[str]) -> str:
    fallen, inside = fates.count(FALLEN), sum(abs(tick) <= block.frame * 1.001 for tick in block.ticks)
    falling = "1 of its 31 neighbours falls" if fallen == 1 else f"{fallen or 'none'} of its 31 neighbours fall"
    return ("Above are the weights, below them the ticks: 0, ±0.5, ±1, ±1.5, ±2, ±3, ±4 and ±6 times the scale, which is "
            f"{scale_in_words(block.exponent)}. The picture has room for {'all' if inside == 15 else f'{inside} of the'} "
            "15, and the number below a tick says how many weights come back there. The value that you move is "
            f"{number(block.values[block.place])} and comes back as {number(block.back[block.place])}; {falling} to 0.")


def scale_in_words(exponent: int) -> str:
    """`2⁻⁵ = 0.03125`."""
    power = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"2{power} = {number(2.0**exponent, 4)}"


@cache
def _block_spec() -> dict:
    x = alt.X("value:Q", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(
        title="weight", grid=False, tickCount={"expr": "width > 500 ? 9 : 3"}, format=",.2~r"))
    colour = alt.Color("fate:N", scale=scale_of(_COLOURS), legend=alt.Legend(
        title=None, symbolType="circle", columns={"expr": "width > 500 ? 3 : 1"}))
    values = blank_chart().transform_filter("datum.kind === 'value'").encode(x=x, color=colour)
    lines = values.mark_rule(strokeWidth=1.5, opacity=0.7).encode(
        x2="back:Q", y=alt.value(_VALUES), y2=alt.value(_TICKS))
    dots = values.mark_point(filled=True, size=130, opacity=0.9).encode(y=alt.value(_VALUES), tooltip=tooltip(
        ("number:Q", "place in the block"), ("label:N", "weight"), ("stored:N", "comes back as"), ("fate:N",)))
    ticks = blank_chart().transform_filter("indexof(datum.kind, 'tick') >= 0 || datum.kind === 'zero'").encode(x=x)
    marks = ticks.mark_rule(color=palette.MUTED, strokeWidth=3).encode(y=alt.value(_TICKS), y2=alt.value(_TICK_END))
    words = [ticks.transform_filter(condition).mark_text(opacity={"expr": opacity}, fontSize=size, color=colour_of).encode(
        y=alt.value(height), text=text)
        for condition, opacity in (("datum.kind !== 'odd tick'", "1"), ("datum.kind === 'odd tick'", "width > 620 ? 1 : 0"))
        for height, text, size, colour_of in ((_MULTIPLES, "label:N", 14, palette.MUTED),
                                              (_COUNTS, "stored:N", FONT_SIZE + 2, palette.ink(palette.MAGNITUDE)))]
    beyond = [blank_chart().transform_filter(f"datum.kind === 'beyond {side}'").mark_text(
        align=align, dx=dx, dy=26, fontSize=FONT_SIZE + 1, color=palette.ACCENT).encode(
        x=x, y=alt.value(_VALUES), text=alt.Text("words:N")).transform_calculate(words=words_of)
        for side, align, dx, words_of in (("left", "left", 8, "'← ' + datum.label"),
                                          ("right", "right", -8, "datum.label + ' →'"))]
    frame = blank_chart().transform_filter("datum.kind === 'frame'").mark_rule(opacity=0).encode(
        x=x, x2="back:Q", y=alt.value(_VALUES))
    return specification(alt.layer(frame, marks, lines, dots, *words, *beyond), height=_HEIGHT, right=16)


_STRIP_STYLE = """<style>
.mx-bytes {display: grid; grid-template-columns: repeat(auto-fit, minmax(94px, 1fr)); gap: 5px; line-height: 1.25}
.mx-bytes div {border-radius: 6px; padding: 4px 6px; font-family: "Source Code Pro", monospace; font-size: 0.88rem;
  text-align: center; white-space: nowrap}
.mx-bytes b {display: block; font-size: 1.02rem}
.mx-bytes i {display: block; font-style: normal}
.mx-bytes small {display: block; font-size: 0.8rem; opacity: 0.8}
</style>"""


def byte_strip(packed: Sequence[int], codes: Sequence[int], scale: int, exponent: int) -> str:
    """A block's seventeen bytes in HTML: the scale, then pairs of codes, each with the multiples of the scale they mean."""
    plain, fallen, accent = map(palette.in_both_themes, (
        palette.fade(palette.MAGNITUDE, 0.22), palette.fade(palette.MUTED, 0.13), palette.fade(palette.ACCENT, 0.25)))
    cells = [f'<div style="grid-column: span 2; background:{accent}" title="the scale: 2 to the power {scale} − 127">'
             f"<b>{scale:02X}</b><i>{scale} − 127</i><small>{scale_in_words(exponent)}</small></div>"]
    for place, byte in enumerate(packed):
        low, high = (int(code) for code in codes[2 * place:2 * place + 2])
        values = " ".join(f"{'−' if code & 8 else ''}{_MAGNITUDES[code & 7]}" for code in (low, high))
        cells.append(f'<div style="background:{plain if low & 7 or high & 7 else fallen}" '
                     f'title="byte {place}: values {2 * place} (low four bits) and {2 * place + 1} (high)">'
                     f"<b>{int(byte):02X}</b><i>{low:04b} {high:04b}</i><small>{values}</small></div>")
    alt_text = f"the scale byte {scale} and {len(packed)} bytes with two codes each: " + " ".join(
        f"{int(byte):02X}" for byte in packed)
    return f'{_STRIP_STYLE}<div class="mx-bytes" role="img" aria-label="{alt_text}">{"".join(cells)}</div>'


def error_histogram(errors: np.ndarray, chosen: float) -> Chart:
    """How many blocks of a matrix have which relative error (shares of each block's own size), and where one lies."""
    top = max(float(errors.max()) * 1.02, 0.05)
    counts, edges = np.histogram(errors, bins=BINS, range=(0, top))
    data = pd.DataFrame({"kind": "bin", "from": edges[:-1], "to": edges[1:], "blocks": counts, "label": ""})
    middle = float(np.median(errors))
    side = "right of it" if chosen < top / 2 else "left of it"  # where there is room for the words
    marks = pd.DataFrame([(side, chosen, chosen, int(counts.max() * 1.12) + 1, f"this block, {percent(chosen)}")],
                         columns=["kind", "from", "to", "blocks", "label"])
    data = pd.concat([data, marks], ignore_index=True).round({"from": 6, "to": 6})
    below = float((errors < chosen).mean())
    return Chart(_histogram_spec(), data, "Blocks of the matrix by their relative error",
                 f"Size is the root of the mean square (rms). Of {len(errors):,} blocks half have an error below "
                 f"{percent(middle)} of their size, and the worst has {percent(errors.max())}. This block's is "
                 f"{percent(chosen)}, more than that of {percent(below, 0)} of the blocks.")


@cache
def _histogram_spec() -> dict:
    x = alt.X("from:Q", scale=alt.Scale(nice=False), axis=alt.Axis(
        title="relative error of a block (% of its rms)", format=".0%", tickCount=5, grid=False))
    y = alt.Y("blocks:Q", axis=alt.Axis(title="blocks (count)", tickCount=4))
    bars = blank_chart().transform_filter("datum.kind === 'bin'").mark_bar(color=palette.MAGNITUDE, tooltip=ROW).encode(
        x=x, x2="to:Q", y=y, y2=alt.datum(0))
    chosen = blank_chart().transform_filter("datum.kind !== 'bin'")
    rule = chosen.mark_rule(color=palette.ACCENT, strokeWidth=4).encode(x=x)
    words = [chosen.transform_filter(f"datum.kind === '{side} of it'").mark_text(
        align=align, dx=dx, fontSize=FONT_SIZE, color=palette.ACCENT).encode(x=x, y=y, text="label:N")
        for side, align, dx in (("right", "left", 8), ("left", "right", -8))]
    return specification(alt.layer(bars, rule, *words), height=330, right=16)


def format_errors(errors: Mapping[str, tuple[float, float]], ours: str) -> Chart:
    """The error of a matrix in each format, on a logarithmic axis. `errors` has (share of the rms, bits a value) by name."""
    data = pd.DataFrame([(name, max(error, SMALLEST_ERROR), name == ours,
                          f"{_error(error)} · {number(bits, 4)} bits") for name, (error, bits) in errors.items()],
                        columns=["format", "error", "ours", "figure"])
    figures = "; ".join(f"{name} {_error(error)} at {number(bits, 4)} bits a weight"
                        for name, (error, bits) in errors.items())
    return Chart(_formats_spec(), data, "Error of the matrix by number format",
                 f"The error of the whole matrix, as a share of its size: {figures}.")


def _error(share: float) -> str:
    return f"{number(share * 100)}%" if share else "exact"


@cache
def _formats_spec() -> dict:
    base = blank_chart().encode(
        y=_format_axis(),
        x=alt.X("error:Q", scale=alt.Scale(type="log", domain=[SMALLEST_ERROR, 0.5], clamp=True), axis=alt.Axis(
            title="rms error (% of the weights' rms, log scale)", values=[1e-4, 1e-3, 1e-2, 1e-1], format=".2~%",
            labelOverlap=True)))
    colour = _our_colour()
    dots = base.mark_point(filled=True, size=220, opacity=1, tooltip=ROW).encode(color=colour)
    rules = base.mark_rule(strokeWidth=3, opacity=0.6).encode(color=colour, x2=alt.value(0))
    figures = base.mark_text(align="left", dx=12, fontSize=FONT_SIZE).encode(text="figure:N")
    return specification(alt.layer(rules, dots, figures), height=330, right=110)


def _format_axis() -> alt.Y:
    return alt.Y("format:N", sort=None, axis=alt.Axis(
        title="format", titleOpacity=0, ticks=False, domain=False, labelLimit=170, labelPadding=14))


def _our_colour() -> alt.Color:
    return alt.Color("ours:N", legend=None, scale=alt.Scale(
        domain=[True, False], range=[palette.ACCENT, palette.MAGNITUDE]))


def divergence_by_layer(alone: Mapping[int, float], up_to: Mapping[int, float], number_format: str, layers: int) -> Chart:
    """KL divergence (nats a token) by layer: its experts alone rounded, and those of all layers up to it."""
    data = pd.DataFrame([(kind, layer, value) for kind, values in ((ALONE, alone), (UP_TO, up_to))
                         for layer, value in values.items()], columns=["rounded", "layer", "divergence"])
    most, least = (pick(alone, key=lambda layer: alone[layer]) for pick in (max, min))
    note = f"{len(alone)} of {layers} layers" if len(alone) < layers else ""
    return Chart(_layers_spec(), data.round({"divergence": 8}), "Divergence of the next-token distribution by layer rounded",
                 f"With the experts of all {layers} layers in {number_format}, the next-token distribution moves by "
                 f"{number(up_to[max(up_to)])} nats a token. Of single layers, layer {most} moves it most, by "
                 f"{number(alone[most])}, and layer {least} least, by {number(alone[least])}." if layers > 1 else
                 f"With the experts of its one layer in {number_format}, the next-token distribution moves by "
                 f"{number(alone[most])} nats a token.", note)


@cache
def _layers_spec() -> dict:
    base = blank_chart().encode(
        x=alt.X("layer:O", axis=alt.Axis(title="layer", labelAngle=0)),
        y=alt.Y("divergence:Q", scale=alt.Scale(zero=True), axis=alt.Axis(
            title="KL divergence (nats a token)", tickCount=5, format=",.2~r")))
    colour = alt.Color("rounded:N", scale=scale_of({ALONE: palette.MAGNITUDE, UP_TO: palette.ACCENT}),
                       legend=squares(columns=1))
    bars = base.transform_filter(f"datum.rounded === '{ALONE}'").mark_bar(
        width={"band": 0.55}, tooltip=ROW).encode(color=colour)
    line = base.transform_filter(f"datum.rounded === '{UP_TO}'").mark_line(
        strokeWidth=3, point={"size": 110, "filled": True}, tooltip=ROW).encode(color=colour)
    return specification(alt.layer(bars, line), height=330)


def loss_changes(changes: Mapping[str, tuple[float, float]], ours: str) -> Chart:
    """Change of the loss by format, with twice its standard error to either side: (mean, standard error) by name."""
    data = pd.DataFrame([(name, mean, mean - 2 * spread, mean + 2 * spread, name == ours,
                          f"{signed(mean, fixed, 4)} ± {fixed(2 * spread, 4)}") for name, (mean, spread) in changes.items()],
                        columns=["format", "change", "low", "high", "ours", "figure"])
    figures = "; ".join(f"{row['format']} {row['figure']}" for row in data.to_dict("records"))
    return Chart(_changes_spec(), data.round({"change": 7, "low": 7, "high": 7}), "Change of the loss by number format",
                 "How much the loss changes, in nats a token. A line reaches twice the standard error to either side: where "
                 f"it crosses 0, the change may be chance. {figures}.")


@cache
def _changes_spec() -> dict:
    axis = alt.Axis(title="change of the loss (nats a token)", tickCount={"expr": "width > 350 ? 5 : 2"}, format=",.2~r")
    colour = _our_colour()
    base = blank_chart().encode(y=_format_axis(), color=colour)
    zero = blank_chart().mark_rule(color=palette.MUTED, strokeDash=[6, 4], strokeWidth=2).encode(x=alt.datum(0))
    spans = base.mark_rule(strokeWidth=4, opacity=0.6).encode(x=alt.X("low:Q", axis=axis), x2="high:Q")
    dots = base.mark_point(filled=True, size=200, opacity=1, tooltip=ROW).encode(x=alt.X("change:Q", axis=axis))
    return specification(alt.layer(zero, spans, dots), height=330, right=16)
