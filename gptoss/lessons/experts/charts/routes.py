"""How well plain predictors foresee the route, and what that says of experts as specialists."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import altair as alt
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, ROW, Chart, blank_chart, scale_of, specification, squares
from gptoss.units import percent

MODEL, TWIN = "this model", "untrained twin"
_HEIGHT = 330


def foreseen_routes(model: Mapping[str, float], twin: Mapping[str, float] | None, layer: int) -> Chart:
    """A bar for each predictor: the share of the router's choices in one layer that it names, 0 to 1.

    `model` maps the predictors' names to their shares, `twin` does for a model of the same shape that never learned.
    """
    said = [f"{percent(share, 0)}" + (f" ({percent(twin[name], 0)})" if twin else "") for name, share in model.items()]
    data = pd.DataFrame({"predictor": list(model), "share": list(model.values()),
                         "twin": [twin[name] if twin else None for name in model], "label": said, "what": MODEL,
                         "other": TWIN}).astype({"twin": float})
    data["end"] = data[["share", "twin"]].max(axis=1)
    (first, share), *others = model.items()
    text = (f"Layer {layer}: {first} foresees {percent(share, 0)} of the router's choices, "
            + ", ".join(f"{name} {percent(share, 0)}" for name, share in others)
            + (". In brackets, and as a line: the same of the untrained twin." if twin else "."))
    return Chart(_spec(tuple(model)), data.round({"share": 4, "twin": 4, "end": 4}),
                 "Share of the routes that each predictor foresees", text)


@cache
def _spec(predictors: tuple[str, ...]) -> dict:
    colours = {MODEL: palette.MAGNITUDE, TWIN: palette.MUTED}
    colour = {"scale": scale_of(colours), "legend": squares(symbolStrokeWidth=0, symbolSize=220)}
    axis = alt.Axis(title="choices foreseen (% of all)", format=".0%", tickCount=5)
    scale = alt.Scale(domain=[0, 1])
    base = blank_chart().encode(y=alt.Y("predictor:N", sort=list(predictors), scale=alt.Scale(paddingInner=0.3),
                                        axis=alt.Axis(title=None, ticks=False, labelLimit=130)))
    bars = base.mark_bar(tooltip=ROW).encode(x=alt.X("share:Q", scale=scale, axis=axis), color=alt.Color("what:N", **colour))
    ticks = base.mark_tick(thickness=4, height={"band": 1.25}, tooltip=False).encode(
        x=alt.X("twin:Q", scale=scale, axis=axis), color=alt.Color("other:N", **colour))
    numbers = base.mark_text(align="left", dx=8, fontSize=FONT_SIZE).encode(
        x=alt.X("end:Q", scale=scale, axis=axis), text="label:N")
    return specification(alt.layer(bars, ticks, numbers), height=_HEIGHT, right=80)


def specialists(model: Mapping[str, float], chance: str, kind: str, token: str) -> str:
    """Whether experts are specialists for kinds of text: what the kind tells beyond chance, beside what the token tells.

    `chance`, `kind` and `token` are the names of three predictors.
    """
    by_kind, by_token = (model[name] - model[chance] for name in (kind, token))
    if by_token <= 0.01:
        return "Neither the kind of text nor the token tells where it goes."
    if by_kind < by_token / 2:
        return ("**These experts are no specialists for a kind of text**: beyond chance, to know the token tells "
                f"{by_token / max(by_kind, 0.001):.1f} times as much as to know the kind of text.")
    return (f"**Here experts do divide the kinds of text among them**: beyond chance, the kind of text tells "
            f"{percent(by_kind / by_token, 0)} of what the token tells.")
