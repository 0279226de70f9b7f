"""What happens when a part of the model is taken out: the next tokens, the pieces of a layer, and every removal."""

from __future__ import annotations

from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, ROW, Chart, blank_chart, specification
from gptoss.charts.labels import visible_token
from gptoss.lessons.block.charts.residual import MANY, click_rows, layer_strip, part_colour, stage_axis, toggled_by_clicks

HEADS, EXPERTS = PIECES = ("head", "expert")

_MEASURED, _FORESEEN = ("measured", "foreseen by its bar")
_CHOSEN, _REST, _REMOVED = ("chosen", "others", "removed")


def piece_bars(piece: str, contributions: np.ndarray, used: np.ndarray, chosen: int, removed: int | None = None) -> Chart:
    """What each head or expert of a layer adds to the answer's logit: a bar per `piece`, one of `PIECES`.

    `contributions` (pieces,) are parts of the logit and `used` (pieces,) tells which pieces worked at all. The
    `chosen` one is in full colour, the `removed` one an outline. A click picks a `number` under the name `picked`.
    Raises `ValueError` for another piece or where the lengths differ.
    """
    if piece not in PIECES or contributions.shape != used.shape:
        raise ValueError(f"piece={piece!r} with {contributions.shape} contributions and {used.shape} uses is impossible")
    numbers = np.arange(len(contributions))
    data = pd.DataFrame({"number": numbers, "adds": np.where(used, contributions, 0).astype(np.float64).round(4),
                         "state": np.where(numbers == removed, _REMOVED, np.where(numbers == chosen, _CHOSEN, _REST))})
    working = np.flatnonzero(used)
    most = working[int(contributions[working].argmax())]
    least = working[int(contributions[working].argmin())]
    who = f"All {len(numbers)} {piece}s" if len(working) == len(numbers) else (
        f"{len(working)} of {len(numbers)} {piece}s worked on this token and")
    text = (f"{who} together add {contributions[working].sum():+.2f}. {piece.capitalize()} {most} adds most, "
            f"{contributions[most]:+.2f}; {piece} {least} least, {contributions[least]:+.2f}.").replace("-", "−")
    return Chart(_piece_spec(piece), data, f"Contribution of each {piece} to the answer's logit", text)


def removal_effects(stages: pd.DataFrame, whole: float, measured: np.ndarray, foreseen: np.ndarray, answer: str) -> Chart:
    """The answer's probability after removing each half block in turn: measured by running the rest again, and foreseen.

    `stages` is a `stage_table` (see `residual`), of which the embedding is left out; `measured` and
    `foreseen` (half blocks,) are probabilities, `whole` that of the whole model. Foreseen is what is left if the
    part's own bar goes and nothing else changes. A click on a row picks its `part` under the name `picked`. Raises
    `ValueError` where the lengths differ.
    """
    if not len(measured) == len(foreseen) == len(stages) - 1:
        raise ValueError(f"{len(measured)} and {len(foreseen)} probabilities do not fit {len(stages) - 1} half blocks")
    data = stages[1:].assign(
        measured=measured.astype(np.float64).round(6), foreseen=foreseen.astype(np.float64).round(6), whole=round(whole, 6),
        reach=np.maximum(measured, foreseen).astype(np.float64).round(6)).reset_index(drop=True)
    worst, expected = int(measured.argmin()), int(foreseen.argmin())
    text = (f"{visible_token(answer)} has {whole:.2%} with every part in place. Without {data['stage'][worst]} it keeps "
            f"{measured[worst]:.2%}, the least. By the bars alone it would be {data['stage'][expected]}, with "
            f"{foreseen[expected]:.2%}.")
    return Chart(_effects_spec(len(data) > MANY), data, "The answer's probability after removing each half block", text)


@cache
def _piece_spec(piece: str) -> dict:
    colour = palette.PARTS["attention" if piece == HEADS else "experts"]
    x = alt.X("number:O", axis=alt.Axis(title=f"{piece} (number)", labelAngle=0, ticks=False))
    y = alt.Y("adds:Q", axis=alt.Axis(title="added to logit", tickCount=5))
    bars = blank_chart().transform_filter(alt.datum.state != _REMOVED).mark_bar(color=colour, tooltip=ROW).encode(
        x=x, y=y, opacity=alt.Opacity("state:N", legend=None, scale=alt.Scale(
            domain=[_CHOSEN, _REST], range=[1, 0.5])))
    outline = blank_chart().transform_filter(alt.datum.state == _REMOVED).mark_bar(
        filled=False, stroke=palette.MUTED, strokeWidth=1.5, strokeDash=[4, 3], tooltip=ROW).encode(x=x, y=y)
    zero = blank_chart().mark_rule(color=palette.MUTED, strokeWidth=1, tooltip=False).encode(y=alt.YDatum(0))
    clicks = blank_chart().mark_rect(fillOpacity=0, fill=palette.MUTED, cursor="pointer", tooltip=ROW).encode(
        x=x, y=alt.value(0), y2=alt.value("height")).add_params(toggled_by_clicks("number"))
    return specification(alt.layer(bars, outline, zero, clicks), height=210)


@cache
def _effects_spec(tall: bool) -> dict:
    base = blank_chart().encode(y=stage_axis("half block removed (layer, part)"))
    axis = alt.Axis(title="the answer's probability without it (%)", format=".2~%", tickCount=5)
    measured = base.mark_bar(height={"band": 0.6}, tooltip=ROW).encode(x=alt.X("measured:Q", axis=axis), color=part_colour())
    foreseen = base.mark_bar(filled=False, stroke=palette.MUTED, strokeWidth=1.5, strokeDash=[4, 3], tooltip=ROW).encode(
        x=alt.X("foreseen:Q", axis=axis))
    whole = blank_chart().mark_rule(color=palette.MUTED, strokeWidth=2, strokeDash=[2, 3], tooltip=False).encode(
        x=alt.X("max(whole):Q"))
    numbers = base.mark_text(align="left", dx=6, fontSize=FONT_SIZE).encode(
        x=alt.X("reach:Q"), text=alt.Text("measured:Q", format=".2%"))
    layers = [measured, foreseen, whole, *([] if tall else [numbers]), layer_strip(), click_rows("part")]
    return specification(alt.layer(*layers), height=900 if tall else 400, right=56)
