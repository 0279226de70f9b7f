"""All exercises in the order in which a model comes together: how long each takes, and how hard it is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import altair as alt
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import ROW, Chart, blank_chart, clicks, figures, scale_of, specification
from gptoss.units import plural

_OPACITIES = {"easy": 0.4, "medium": 0.7, "hard": 1.0}
_OTHER, _CHOSEN = "other", "chosen"
_ROW_HEIGHT, _NAMES, _FIGURES = 25, 120, 40  # px


class Row(NamedTuple):
    """One exercise: what commands call it, what readers see, minutes, and one of the difficulties."""

    name: str
    title: str
    minutes: int
    difficulty: str


def minutes_chart(rows: Sequence[Row], chosen: str) -> Chart:
    """A bar for each exercise, as long as it takes in minutes and the darker the harder; the `chosen` one is in colour.

    A click picks a `name` under the name `picked`. Raises `ValueError` where there is none called `chosen`.
    """
    if chosen not in {row.name for row in rows}:
        raise ValueError(f"there is no exercise {chosen!r} among {len(rows)} rows")
    data = pd.DataFrame(rows, columns=Row._fields)
    data["which"] = [_CHOSEN if row.name == chosen else _OTHER for row in rows]
    data["figure"] = [f"{row.minutes} min, {row.difficulty}" for row in rows]
    return Chart(_spec(len(rows)), data, "Minutes and difficulty of each exercise", _describe(rows, chosen))


def _describe(rows: Sequence[Row], chosen: str) -> str:
    hard = {word: sum(row.difficulty == word for row in rows) for word in _OPACITIES}
    counted = ", ".join(f"{number} {word}" for word, number in hard.items() if number)
    row = next(row for row in rows if row.name == chosen)
    return (f"{plural(len(rows), 'exercise')}, {sum(row.minutes for row in rows)} minutes in all for somebody who knows "
            f"torch: {counted}. In colour: {row.title}, {row.minutes} minutes, {row.difficulty}.")


@cache
def _spec(rows: int) -> dict:
    base = blank_chart().encode(
        y=alt.Y("title:N", sort=None, axis=alt.Axis(title=None, labelLimit=_NAMES, ticks=False, domain=False)),
        x=alt.X("minutes:Q", axis=alt.Axis(title="minutes", grid=False, tickCount=5)))
    bars = base.mark_bar(cornerRadius=3, cursor="pointer", tooltip=ROW).encode(
        color=alt.Color("which:N", scale=scale_of({_OTHER: palette.MAGNITUDE, _CHOSEN: palette.ACCENT}), legend=None),
        opacity=alt.Opacity("difficulty:N", scale=scale_of(_OPACITIES), legend=None)).add_params(clicks("name"))
    words = figures(base, text="figure:N")
    return specification(alt.layer(bars, words), height=_ROW_HEIGHT * rows + 60, right=_FIGURES)
