"""What the model expects to come next."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, Chart, blank_chart, specification
from gptoss.charts.labels import TOKEN_OF_LABEL, axis_keys, visible_token
from gptoss.units import percent


def next_token(labels: Sequence[str], probabilities: np.ndarray, top: int = 10) -> Chart:
    """The `top` most probable next tokens as bars, the most probable first.

    `labels` are tokens and `probabilities` (tokens,) theirs, in any order: all of the vocabulary or a part of it.
    Raises `ValueError` where the two differ in length or there is none.
    """
    if len(labels) != len(probabilities) or len(labels) == 0:
        raise ValueError(f"{len(labels)} labels do not fit {len(probabilities)} probabilities")
    count = min(top, len(labels))
    best = np.argpartition(-probabilities, count - 1)[:count]
    best = best[np.argsort(-probabilities[best], kind="stable")]
    shown = [labels[i] for i in best]
    data = pd.DataFrame({"token": axis_keys(shown, 1), "probability": probabilities[best].astype(np.float64).round(6)})
    alt_text = (f"The most probable next token is {visible_token(shown[0])} with {percent(probabilities[best[0]])}; "
                f"the {count} shown hold {percent(probabilities[best].sum())} of the probability.")
    return Chart(_spec(top), data, "Most probable next tokens", alt_text)


@cache
def _spec(top: int) -> dict:
    base = blank_chart().encode(
        y=alt.Y("token:N", sort="ascending", axis=alt.Axis(title="next token", labelExpr=TOKEN_OF_LABEL, ticks=False)),
        x=alt.X("probability:Q", scale=alt.Scale(zero=True), axis=alt.Axis(
            title="probability (%)", format=".1~%", tickCount=4)),
        tooltip=[alt.Tooltip("token:N", title="rank, token"),
                 alt.Tooltip("probability:Q", title="probability", format=".3%")],
    )
    bars = base.mark_bar(color=palette.ACCENT)
    numbers = base.mark_text(align="left", dx=6, fontSize=FONT_SIZE).encode(
        text=alt.Text("probability:Q", format=".1%"))
    return specification(alt.layer(bars, numbers), height=90 + 27 * top, right=24)
