"""What happens when a part of the model is taken out: the next tokens, the pieces of a layer, and every removal."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, ROW, Chart, blank_chart, specification
from gptoss.charts.labels import TOKEN_OF_LABEL, axis_keys, visible_token
from gptoss.lessons.block.charts.residual import MANY, click_rows, layer_strip, part_colour, stage_axis, toggled_by_clicks

HEADS, EXPERTS = PIECES = ("head", "expert")

_ANSWER, _OTHER = ("the answer", "another token")
_MEASURED, _FORESEEN = ("measured", "foreseen by its bar")
_CHOSEN, _REST, _REMOVED = ("chosen", "others", "removed")


def next_tokens_before_and_after(labels: Sequence[str], now: np.ndarray, answer: int, whole: np.ndarray | None = None,
                                 top: int = 6) -> Chart:
    """The answer and the most probable next tokens; with a part removed (`now`) also what they had in the `whole` model.

    `labels` are the vocabulary's tokens, `now` and `whole` (vocab,) probabilities, `answer` the place of the answer,
    which stands first. Bars are the model as it runs, dashed outlines the whole one. Raises `ValueError` where the
    lengths differ.
    """
    if not len(labels) == len(now) == len(now if whole is None else whole):
        raise ValueError(f"{len(now)} probabilities do not fit {len(labels)} labels")
    shown = [answer, *(token for token in _most_probable(now, top) if token != answer)][:top]
    before = now if whole is None else whole
    data = pd.DataFrame({
        "token": axis_keys([labels[i] for i in shown], 1), "probability": now[shown].astype(np.float64).round(6),
        "before": before[shown].astype(np.float64).round(6), "removed": whole is not None,
        "what": [_ANSWER if i == answer else _OTHER for i in shown]})
    data["reach"] = data[["probability", "before"]].max(axis=1)
    return Chart(_next_spec(top), data, "Most probable next tokens, before and after a removal",
                 _describe_next(labels, now, answer, whole))


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


def _most_probable(probabilities: np.ndarray, top: int) -> list[int]:
    count = min(top, len(probabilities))
    best = np.argpartition(-probabilities, count - 1)[:count]
    return best[np.argsort(-probabilities[best], kind="stable")].tolist()


def _describe_next(labels: Sequence[str], now: np.ndarray, answer: int, whole: np.ndarray | None) -> str:
    best = int(now.argmax())
    top = f"The most probable next token is {visible_token(labels[best])} with {now[best]:.1%}"
    if whole is None:
        return f"{top}."
    return (f"{visible_token(labels[answer])} goes from {whole[answer]:.2%} to {now[answer]:.2%}, "
            f"rank {1 + int((now > now[answer]).sum()):,}. {top}, before {whole[best]:.2%}.")


@cache
def _next_spec(top: int) -> dict:
    y = alt.Y("token:N", sort=None, scale=alt.Scale(paddingInner=0.3), axis=alt.Axis(
        title="next token", labelExpr=TOKEN_OF_LABEL, ticks=False, labelLimit=110))
    axis = alt.Axis(title="probability (%)", format=".1~%", tickCount=3)
    base = blank_chart().encode(y=y)
    bars = base.mark_bar(tooltip=ROW).encode(
        x=alt.X("probability:Q", axis=axis), color=alt.Color("what:N", legend=alt.Legend(
            title=None, symbolType="square", symbolStrokeWidth=0), scale=alt.Scale(
            domain=[_ANSWER, _OTHER], range=[palette.ACCENT, palette.MAGNITUDE])))
    ghosts = base.transform_filter("datum.removed").mark_bar(
        filled=False, stroke=palette.MUTED, strokeWidth=1.5, strokeDash=[4, 3], tooltip=False).encode(
        x=alt.X("before:Q", axis=axis))
    numbers = base.mark_text(align="left", dx=6, fontSize=FONT_SIZE).encode(
        x=alt.X("reach:Q"), text=alt.Text("probability:Q", format=".1%"))
    return specification(alt.layer(bars, ghosts, numbers), height=110 + 24 * top, right=44)


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
