"""The pictures of the sampling page: where the cuts fall, what is drawn, and continuations side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from html import escape
from typing import NamedTuple

import altair as alt
import numpy as np
import pandas as pd

from gptoss import units
from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, ROW, Chart, blank_chart, specification
from gptoss.charts.labels import TOKEN_OF_LABEL, axis_keys, visible_token

TOKENS_DRAWN = 12  # rows of tokens that were drawn; the others are summed in one more

_MODEL, _DIALS = LINES = "the model's own", "at this temperature"
_POINTS = 90  # of each curve
_REST_ROW = "9999 {} others"
_STYLE = palette.in_both_themes(f"""<style>
.continuations {{display: grid; grid-template-columns: repeat(auto-fill, minmax(min(15.5rem, 100%), 1fr)); gap: 10px}}
.continuations div {{border: 1px solid {palette.GRID}; border-radius: 8px; padding: 7px 11px; overflow-wrap: anywhere;
  unicode-bidi: plaintext; line-height: 1.35}}
.continuations small {{display: block; color: {palette.MUTED}}}
.continuations b {{background: {palette.fade(palette.ACCENT, 0.22)}; border-radius: 4px; font-weight: inherit}}
.continuations .greedy {{border: 2px solid {palette.MUTED}}}
</style>""")

_TABLE = palette.in_both_themes(f"""<style>
.order {{width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; line-height: 1.3}}
.order th, .order td {{padding: 6px 4px; text-align: right; border-bottom: 1px solid {palette.GRID}; font-weight: 400}}
.order th:first-child {{text-align: left; padding-left: 0}}
.order thead th {{color: {palette.MUTED}; vertical-align: bottom; font-size: 0.9em}}
.order tbody tr:last-child {{font-weight: 700}}
@media (max-width: 360px) {{.order {{font-size: 0.78em}} .order th, .order td {{padding: 6px 2px}}}}
</style>""")


def cumulative(model: np.ndarray, warm: np.ndarray, left: int, top_p: float | None) -> Chart:
    """How much the first tokens hold together, by rank: the model's curve, that of this temperature, and where it is cut.

    `model` and `warm` (vocab,) are probabilities in the vocabulary's order, the second after temperature alone. `left` is
    the number of tokens that remain after the cuts, and `top_p` the share at which top-p cuts, None where it is off.
    """
    held = {name: np.cumsum(np.sort(each.astype(np.float64))[::-1]) for name, each in zip(LINES, (model, warm), strict=True)}
    ranks = _ranks(len(model), left)
    lines = [pd.DataFrame({"what": "curve", "kind": name, "rank": ranks, "share": np.minimum(sums[ranks - 1], 1.0)})
             for name, sums in held.items()]
    share, own = (min(float(held[name][left - 1]), 1.0) for name in (_DIALS, _MODEL))
    side = "right" if left**2 < len(model) else "left"  # of the line at the cut, where there is more room
    marks = [("cut", _DIALS, left, share, ""), (side, _DIALS, left, 0.05, f"{units.plural(left, 'token')} left")]
    if top_p is not None:
        marks.append(("goal", _DIALS, 1, top_p, ""))
    data = pd.concat([*lines, pd.DataFrame(marks, columns=["what", "kind", "rank", "share", "label"])], ignore_index=True)
    most = "most probable holds" if left == 1 else f"{left:,} most probable hold"
    rest = len(model) - left
    return Chart(_cumulative_spec(), data.fillna({"label": ""}).round({"share": 5}),
                 "Share of the probability that the most probable tokens hold together, by rank",
                 f"Of {len(model):,} tokens the {most} {units.percent(share)} at this temperature, {units.percent(own)} as "
                 f"the model gave {'it' if left == 1 else 'them'}. "
                 + (f"The {rest:,} right of the dot are never drawn." if rest else "None is cut.")
                 + (" Dashed: where top-p cuts." if top_p is not None else ""))


def _ranks(vocab: int, left: int) -> np.ndarray:
    """Ranks that stand evenly on a logarithmic axis, the last and the cut among them."""
    return np.unique([*np.geomspace(1, vocab, _POINTS).round().astype(int), left])


def drawn(labels: Sequence[str], ids: np.ndarray, probabilities: np.ndarray) -> Chart:
    """How often each token was drawn, beside how often its probability says.

    `labels` are the tokens of the vocabulary, `ids` (draws,) what was drawn, `probabilities` (vocab,) what from.
    """
    counts = np.bincount(ids, minlength=len(probabilities))
    expected = probabilities.astype(np.float64) * len(ids)
    likely = np.argsort(-probabilities, kind="stable")[:TOKENS_DRAWN]
    shown = [token for token in likely.tolist() if probabilities[token] > 0]
    rows = list(zip(axis_keys([labels[token] for token in shown], 1), counts[shown], expected[shown], strict=True))
    others = int((probabilities > 0).sum()) - len(shown)
    if others:
        rows.append((_REST_ROW.format(f"{others:,}"), len(ids) - counts[shown].sum(), len(ids) - expected[shown].sum()))
    data = pd.DataFrame(rows, columns=["token", "drawn", "expected"]).astype({"drawn": int})
    data["end"] = data[["drawn", "expected"]].max(axis=1)
    data["label"] = [f"{row['drawn']:,} ({units.number(row['expected'], 2)})" for row in data.to_dict("records")]
    first, kinds = shown[0], len(np.unique(ids))
    return Chart(_drawn_spec(), data.round({"expected": 4, "end": 4}), "Tokens drawn, beside what their probabilities say",
                 f"{units.plural(len(ids), 'draw')} gave {units.plural(kinds, 'different token')}. "
                 f"“{visible_token(labels[first])}” came {counts[first]:,} times; from its probability of "
                 f"{units.percent(float(probabilities[first]))} one expects {units.number(expected[first], 3)}.")


class Row(NamedTuple):
    """One dial in its turn: its name, and what it leaves."""

    name: str
    left: int
    held: float  # 0 to 1
    entropy: float  # nats
    as_many_as: float


def order(rows: Sequence[Row]) -> str:
    """The dials in the order in which they are applied, as a table in HTML that a phone has room for."""
    cells = "".join(f"<tr><th scope=row>{escape(row.name)}</th><td>{row.left:,}</td><td>{units.percent(row.held)}</td>"
                    f"<td>{units.fixed(row.entropy)}</td><td>{units.number(row.as_many_as, 3)}</td></tr>" for row in rows)
    return (f"{_TABLE}<table class=order><thead><tr><th scope=col>In this order<th scope=col>tokens left"
            "<th scope=col>held together<th scope=col>entropy (nats)<th scope=col>as hard as among</tr></thead>"
            f"<tbody>{cells}</tbody></table>")


class Continuation(NamedTuple):
    """A text that was written, and who wrote it."""

    name: str
    shared: str  # its beginning, as far as it is the greedy text's
    own: str  # what follows


def continuations(texts: Sequence[Continuation]) -> str:
    """Texts side by side, in HTML: marked from where they leave the first, which is the greedy one. All of it is escaped."""
    cards = "".join(f'<div{"" if place else " class=greedy"}><small>{escape(text.name)}</small>{_visible(text.shared)}'
                    f"{f'<b>{_visible(text.own)}</b>' if text.own else ''}</div>" for place, text in enumerate(texts))
    return f'{_STYLE}<div class="continuations" dir="auto">{cards}</div>'


def _visible(text: str) -> str:
    """A text for a card, its line ends shown; other control characters as their code."""
    return escape("".join("⏎" if letter == "\n" else letter if letter == " " else visible_token(letter) for letter in text))


@cache
def _cumulative_spec() -> dict:
    x = alt.X("rank:Q", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(
        title="tokens, the most probable first", format="~s", tickCount=4, grid=False))
    y = alt.Y("share:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(
        title="probability together (%)", format=".0%", tickCount=4))
    colour = alt.Color("kind:N", legend=alt.Legend(title=None, symbolType="stroke"), scale=alt.Scale(
        domain=list(LINES), range=[palette.MUTED, palette.ACCENT]))
    base = blank_chart().encode(x=x, y=y)
    curves = base.transform_filter(alt.datum.what == "curve").mark_line(strokeWidth=3, tooltip=ROW).encode(color=colour)
    goal = base.transform_filter(alt.datum.what == "goal").mark_rule(
        color=palette.FULL, strokeWidth=2, strokeDash=[6, 4], tooltip=False).encode(x=alt.value(0), x2=alt.value("width"))
    cut = base.transform_filter(alt.datum.what == "cut")
    line = cut.mark_rule(color=palette.FULL, strokeWidth=2, tooltip=False).encode(y2=alt.value("height"))
    dot = cut.mark_point(filled=True, size=200, opacity=1, color=palette.FULL, tooltip=ROW)
    labels = [base.transform_filter(alt.datum.what == side).mark_text(align=align, dx=dx, fontSize=FONT_SIZE).encode(
        text="label:N") for side, align, dx in (("right", "left", 8), ("left", "right", -8))]
    return specification(alt.layer(curves, goal, line, dot, *labels), height=360)


@cache
def _drawn_spec() -> dict:
    amount = alt.Axis(title="times drawn, outlined: expected", tickCount=4, format="~s", tickMinStep=1)
    base = blank_chart().encode(
        y=alt.Y("token:N", sort="ascending", scale=alt.Scale(paddingInner=0.2), axis=alt.Axis(
            title="next token", labelExpr=TOKEN_OF_LABEL, labelLimit=110, ticks=False)),
        tooltip=[alt.Tooltip("token:N", title="rank, token"), alt.Tooltip("drawn:Q"),
                 alt.Tooltip("expected:Q", format=".2f")])
    bars = base.mark_bar(color=palette.ACCENT).encode(x=alt.X("drawn:Q", scale=alt.Scale(zero=True), axis=amount))
    outlines = base.mark_bar(filled=False, stroke=palette.MUTED, strokeWidth=1.5, strokeDash=[4, 3]).encode(
        x=alt.X("expected:Q", axis=amount))
    numbers = base.mark_text(align="left", dx=6, fontSize=FONT_SIZE).encode(x=alt.X("end:Q", axis=amount), text="label:N")
    return specification(alt.layer(bars, outlines, numbers), height=420, right=75)
