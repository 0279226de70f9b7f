"""What a model expects to come next, alone or beside what it expected before a change."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from gptoss import units
from gptoss.charts import palette
from gptoss.charts.chart import Chart, blank_chart, figures, scale_of, specification, squares
from gptoss.charts.labels import TOKEN_OF_LABEL, axis_keys, visible_token

_ANSWER, _OTHER = "the answer", "another token"


def next_token(labels: Sequence[str], now: np.ndarray, top: int = 10, *, before: np.ndarray | None = None,
               without: str = "", answer: int | None = None, model: str = "", colour: str = palette.ACCENT,
               decimals: int = 1) -> Chart:
    """The `top` most probable next tokens as bars, the most probable first.

    `labels` are tokens and `now` (tokens,) their probabilities, in any order: all of the vocabulary or a part of it.
    Outlined and in brackets is what they had `before` (tokens,), in words `without`, "before the dials"; the best of both
    are shown. The place of an `answer` puts that token first, in its own colour, and leaves the others to `now`. `model`
    names whose tokens they are. Raises `ValueError` where lengths differ or there is no token.
    """
    if not len(labels) or not len(labels) == len(now) == len(now if before is None else before):
        raise ValueError(f"{len(labels)} labels do not fit {len(now)} probabilities, or those before")
    shown = _best(now, top)
    if answer is not None:
        shown = [answer, *(token for token in shown if token != answer)][:top]
    elif before is not None:
        shown = sorted({*shown, *_best(before, top)}, key=lambda token: -now[token])
    then = now if before is None else before
    data = pd.DataFrame({
        "token": axis_keys([labels[token] for token in shown], 1), "probability": now[shown].astype(np.float64),
        "before": then[shown].astype(np.float64), "changed": before is not None,
        "what": [_ANSWER if token == answer else _OTHER for token in shown]}).round({"probability": 6, "before": 6})
    data["reach"] = data[["probability", "before"]].max(axis=1)
    data["label"] = [units.percent(share, decimals) + (f" ({units.percent(bare, decimals)})" if without else "")
                     for share, bare in zip(data["probability"], data["before"], strict=True)]
    rows = 2 * top if without else top
    return Chart(_spec(rows, model, colour, without.partition(" ")[0], answer is not None), data,
                 f"Most probable next tokens{model and f' of {model}'}",
                 _describe(labels, now, before, shown, without, answer, model))


def _best(probabilities: np.ndarray, top: int) -> list[int]:
    count = min(top, len(probabilities))
    best = np.argpartition(-probabilities, count - 1)[:count]
    return best[np.argsort(-probabilities[best], kind="stable")].tolist()


def _describe(labels: Sequence[str], now: np.ndarray, before: np.ndarray | None, shown: list[int], without: str,
              answer: int | None, model: str) -> str:
    first = int(now.argmax())
    text = (f"The most probable next token{model and f' of {model}'} is “{visible_token(labels[first])}” with "
            f"{units.percent(now[first])}")
    if before is None:
        return f"{text}." if answer is not None else (
            f"{text}; the {len(shown)} shown hold {units.percent(float(now[shown].sum()))} of the probability.")
    if answer is not None:
        return (f"“{visible_token(labels[answer])}” goes from {units.percent(before[answer], 2)} to "
                f"{units.percent(now[answer], 2)}, rank {1 + int((now > now[answer]).sum()):,}. {text}, before "
                f"{units.percent(before[first], 2)}.")
    bare = int(before.argmax())
    was = "it was the same token" if first == bare else f"it was “{visible_token(labels[bare])}”"
    return f"{text}; {without} {was} with {units.percent(before[bare])}."


@cache
def _spec(rows: int, model: str, colour: str, outlined: str, answer: bool) -> dict:
    amount = alt.Axis(title=f"probability (%){outlined and f', outlined: {outlined}'}", format=".2~%", tickCount=4)
    base = blank_chart().encode(
        y=alt.Y("token:N", sort="ascending", scale=alt.Scale(paddingInner=0.2), axis=alt.Axis(
            title=f"next token{model and f' of {model}'}", labelExpr=TOKEN_OF_LABEL, labelLimit=110, ticks=False)),
        tooltip=[alt.Tooltip("token:N", title="rank, token"), alt.Tooltip("probability:Q", format=".3%"),
                 *([alt.Tooltip("before:Q", format=".3%")] if outlined or answer else [])])
    bars = base.mark_bar(color=colour).encode(x=alt.X("probability:Q", scale=alt.Scale(zero=True), axis=amount))
    if answer:
        bars = bars.encode(color=alt.Color("what:N", legend=squares(symbolStrokeWidth=0),
                                           scale=scale_of({_ANSWER: colour, _OTHER: palette.MAGNITUDE})))
    outlines = base.transform_filter("datum.changed").mark_bar(
        filled=False, stroke=palette.MUTED, strokeWidth=1.5, strokeDash=[4, 3]).encode(x=alt.X("before:Q", axis=amount))
    numbers = figures(base, x=alt.X("reach:Q", axis=amount), text="label:N")
    layers = [bars, outlines, numbers] if outlined or answer else [bars, numbers]
    return specification(alt.layer(*layers), height=90 + 27 * rows, right=70 if outlined else 44)
