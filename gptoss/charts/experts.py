"""Which experts the tokens went to, and how often each was used. An expert is a place, never a quantity."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, ROW, Chart, blank_chart, clicks, scale_of, specification, tooltip
from gptoss.charts.labels import TOKEN_OF_LABEL, axis_keys, visible_token
from gptoss.units import percent, plural

MAX_TOKENS = 80
MAX_CELLS = 3000  # choices in one map; with many active experts fewer tokens fit

SELECTED, OTHER = "selected expert", "other experts"


def routing_map(chosen: np.ndarray, weights: np.ndarray, num_experts: int, labels: Sequence[str],
                selected_expert: int | None = None, start: int = 0, selected_token: int | None = None) -> Chart:
    """The experts each token went to: a column per token, a row per expert, full where the router's weight is high.

    `chosen` (tokens, k) holds expert numbers, `weights` (tokens, k) the router's softmax over the k kept logits,
    `labels` the tokens. One expert can be selected and is drawn in the accent colour, one token has a mark above it,
    and a click picks both under the name `picked`. Above `MAX_TOKENS` tokens or `MAX_CELLS` choices those from `start`
    on are shown, and `note` says so. Raises `ValueError` where the shapes do not fit or an expert's number is
    not below `num_experts`.
    """
    tokens = len(labels)
    if chosen.shape != weights.shape or chosen.ndim != 2 or len(chosen) != tokens or tokens == 0:
        raise ValueError(f"chosen {chosen.shape} and weights {weights.shape} do not fit {tokens} labels")
    if chosen.min() < 0 or chosen.max() >= num_experts:
        raise ValueError(f"chosen holds experts {chosen.min()} to {chosen.max()}; allowed: 0 to {num_experts - 1}")
    start, stop = _shown(tokens, chosen.shape[1], start)
    shown, active = chosen[start:stop], chosen.shape[1]
    data = pd.DataFrame({
        "token": pd.Categorical.from_codes(np.repeat(np.arange(stop - start), active),
                                           axis_keys(labels[start:stop], start)),
        "expert": shown.reshape(-1),
        "weight": weights[start:stop].reshape(-1).astype(np.float64).round(4),
        "what": pd.Categorical.from_codes((shown.reshape(-1) != selected_expert).astype(int), [SELECTED, OTHER]),
        "here": np.repeat(np.arange(start, stop) == selected_token, active),
    })
    note = "" if stop - start == tokens else f"tokens {start} to {stop - 1} of {tokens}, positions counted from 0"
    return Chart(_routing_spec(num_experts), data, "Experts chosen for each token",
                 _describe_routing(chosen, num_experts, labels, selected_expert, selected_token, note), note)


def expert_load(counts: np.ndarray, tokens: int, selected: int | None = None) -> Chart:
    """How often each expert was used: a bar per expert, and a line where all would end if the load were even.

    `counts` (experts,) counts the tokens that went to each expert, out of `tokens`. Raises `ValueError` where
    there is no token or a count is above `tokens`.
    """
    if tokens < 1 or counts.ndim != 1 or len(counts) == 0 or counts.max() > tokens:
        raise ValueError(f"counts {counts.shape} do not fit {tokens} tokens: at most one visit per token and expert")
    share = counts / tokens
    even = float(share.mean())
    experts = np.arange(len(counts))
    data = pd.DataFrame({
        "expert": experts, "tokens": counts, "share": share.round(5), "even": np.full(len(counts), round(even, 5)),
        "what": pd.Categorical.from_codes((experts != selected).astype(int), [SELECTED, OTHER]),
    })
    return Chart(_load_spec(), data, "Share of the tokens that went to each expert", _describe_load(counts, tokens))


def _shown(tokens: int, active: int, start: int) -> tuple[int, int]:
    """The first token shown and the one after the last."""
    most = min(MAX_TOKENS, max(MAX_CELLS // active, 1))
    start = min(max(start, 0), max(tokens - most, 0))
    return start, min(start + most, tokens)


def _describe_routing(chosen: np.ndarray, num_experts: int, labels: Sequence[str], selected: int | None,
                      token: int | None, note: str) -> str:
    used = len(np.unique(chosen))
    whole = "every expert is chosen at least once" if used == num_experts else (
        f"{plural(used, 'expert')} {'is' if used == 1 else 'are'} chosen at all")
    text = (f"{plural(len(chosen), 'token')}, each sent to {chosen.shape[1]} of {plural(num_experts, 'expert')}"
            f"{', showing ' + note if note else ''}; {whole}.")
    if selected is not None:
        text += f" Expert {selected} is chosen by {plural(int((chosen == selected).any(axis=1).sum()), 'token')}."
    if token is not None:
        best = ", ".join(map(str, chosen[token][:8])) + (", …" if chosen.shape[1] > 8 else "")
        where = f"experts {best}, best first" if chosen.shape[1] > 1 else f"expert {best}"
        text += f" Token {token}, “{visible_token(labels[token])}”, goes to {where}."
    return text


def _describe_load(counts: np.ndarray, tokens: int) -> str:
    most, least = int(counts.argmax()), int(counts.argmin())
    return (f"Of {plural(len(counts), 'expert')} number {most} was used most, for {percent(counts[most] / tokens)} of "
            f"{plural(tokens, 'token')}, and number {least} least, for {percent(counts[least] / tokens)}; an even load "
            f"would be {percent(counts.mean() / tokens)}. {_idle(int((counts == 0).sum()))}")


def _idle(count: int) -> str:
    return f"{plural(count, 'expert')} had nothing to do." if count else "Every expert had something to do."


def expert_colour() -> alt.Color:
    """The selected expert in the accent colour, all others alike, by the column `what`."""
    return alt.Color("what:N", legend=None, scale=scale_of({SELECTED: palette.ACCENT, OTHER: palette.MAGNITUDE}))


@cache
def _routing_spec(num_experts: int) -> dict:
    """The experts are the rows, used or not, so their number belongs to the structure."""
    many = num_experts > 32
    x = alt.X("token:N", sort="ascending", scale=alt.Scale(paddingInner=0.08, paddingOuter=0), axis=alt.Axis(
        title="token", labelExpr=TOKEN_OF_LABEL, labelAngle=-90, labelLimit=95, ticks=False))
    y = alt.Y("expert:O", scale=alt.Scale(domain=list(range(num_experts)), paddingInner=0 if many else 0.08,
                                          paddingOuter=0), axis=alt.Axis(title="expert (number)", grid=False, ticks=False))
    # The rows of many experts are a pixel or two: a rim keeps the selected one in sight.
    cells = blank_chart().mark_rect(tooltip=ROW, strokeWidth=2 if many else 0).encode(
        color=expert_colour(),
        stroke=alt.Stroke("what:N", legend=None, scale=scale_of({SELECTED: palette.ACCENT, OTHER: "transparent"})),
        opacity=alt.Opacity("weight:Q", scale=alt.Scale(
            type="sqrt", domainMin=0, range=[0.12, 1], nice=False), legend=alt.Legend(
            title="router weight (square-root scale)", symbolType="square", symbolSize=300, offset=14,
            tickCount=4, columns=6, symbolFillColor=palette.MAGNITUDE, symbolStrokeWidth=0)),
    ).add_params(clicks("expert", "token"))
    mark = blank_chart().transform_filter("datum.here").transform_aggregate(groupby=["token"]).mark_point(
        shape="triangle-down", filled=True, size=110, color=palette.ACCENT, opacity=1, tooltip=False).encode(y=alt.value(-7))
    chart = alt.layer(cells, mark, encoding=alt.SharedEncoding(x=x, y=y))
    spec = specification(chart, height=400 if num_experts <= 16 else 520, canvas=True)
    return {**spec, "view": {"fill": palette.IDLE}}


@cache
def _load_spec() -> dict:
    bars = blank_chart().mark_bar().encode(
        x=alt.X("expert:O", axis=alt.Axis(title="expert (number)", labelAngle=0, ticks=False)),
        y=alt.Y("share:Q", axis=alt.Axis(title="tokens (% of all)", format=".0%", tickCount=5)),
        color=expert_colour(),
        tooltip=tooltip(("expert:O", "expert"), ("tokens:Q", "tokens (count)"), ("share:Q", "share of the tokens", ".1%"),
                        ("even:Q", "even load", ".1%")))
    rule = blank_chart().mark_rule(color=palette.MUTED, strokeWidth=2, strokeDash=[6, 4]).encode(y="mean(even):Q")
    label = blank_chart().transform_aggregate(even="mean(even)").transform_calculate(
        label="'┄ even load ' + format(datum.even, '.1%')").mark_text(
        align="right", baseline="bottom", fontSize=FONT_SIZE).encode(
        x=alt.value("width"), y=alt.value(-4), text="label:N")
    return specification(alt.layer(bars, rule, label), height=260)
