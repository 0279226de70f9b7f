"""GPT-2 beside GPT-OSS: sizes, next tokens, heads, tensors in parallel columns, a table with corrections, clocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from html import escape
from types import MappingProxyType
from typing import Protocol

import altair as alt
import numpy as np
import pandas as pd

from gptoss import units
from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, ROW, Chart, blank_chart, specification
from gptoss.charts.images import Picture, head_grid
from gptoss.charts.labels import TOKEN_OF_LABEL
from gptoss.charts.prediction import next_token

GPT_OSS, GPT_2 = "GPT-OSS", "GPT-2"
FALSE = "false"  # the verdict on a claim that is struck through
_UNITS = {"parameters": units.count, "bytes": units.size, "FLOPs": units.flops, "tokens": "{:,.0f}".format}
COLOURS = {GPT_OSS: palette.ACCENT, GPT_2: palette.GPT2}

_STYLE = palette.in_both_themes(f"""<style>
.beside {{width: 100%; border-collapse: collapse; font-size: 1rem; line-height: 1.35}}
.beside.beside th, .beside.beside td {{text-align: left; vertical-align: top; padding: 4px 10px; border: 0;
  border-bottom: 1px solid {palette.GRID}; overflow-wrap: anywhere}}
.beside th {{font-weight: 600}}
.beside thead th {{white-space: nowrap; overflow-wrap: normal}}
.beside.named {{table-layout: fixed}}
.beside.named thead th:nth-child(1) {{width: 14%}}
.beside.named thead th:nth-child(2) {{width: 24%}}
.beside.named thead th:nth-child(4) {{width: 18%}}
.beside .gpt-2 {{border-left: 4px solid {palette.GPT2} !important}}
.beside .gpt-oss {{border-left: 4px solid {palette.ACCENT} !important}}
.beside .none {{opacity: 0.68; border-left-style: dashed !important}}
.beside small {{opacity: 0.75; font-size: 0.88rem; font-weight: 400}}
.beside details, .beside.beside small {{font-size: 0.88rem}}
.beside details {{opacity: 0.85}}
.beside summary {{cursor: pointer; min-height: 24px}}
.beside .wrong {{text-decoration: line-through; text-decoration-thickness: 1px}}
.beside code {{font-size: 0.9rem; background: none; color: inherit; padding: 0}}
@media (max-width: 640px) {{
  .beside, .beside :is(thead, tbody) {{display: block}}
  .beside tr {{display: grid; grid-template-columns: 1fr 1fr; column-gap: 8px}}
  .beside tbody th {{order: -1}}
  .beside tbody th {{grid-column: 1 / -1}}
  .beside.named td:last-child {{display: none}}
  .beside.named thead th:nth-child(n) {{width: auto}}
  .beside details, .beside.beside small {{font-size: 0.72rem}}
  .beside.named thead th:is(:first-child, :last-child), .beside:not(.named) thead th:nth-child(2) {{display: none}}
  .beside.beside td, .beside.beside th {{border-bottom: 0; padding: 1px 6px; font-size: 0.75rem; line-height: 1.25}}
  .beside.beside tr {{border-bottom: 1px solid {palette.GRID}; padding: 4px 0}}
}}
</style>""")


class Row(Protocol):
    """A row of the comparison, as `measure.Row` has it."""

    name: str
    gpt2: str
    gptoss: str
    source: str
    claims: tuple[str, ...]


def figure(value: float, unit: str) -> str:
    """A quantity as a reader sees it."""
    return _UNITS[unit](value)


def size_bars(sizes: pd.DataFrame, show: Callable[[float, str], str]) -> Chart:
    """Both models' sizes, two bars a quantity, each as a share of the larger of the two, with its figure.

    `sizes` has the columns `quantity`, `model` ("GPT-OSS" or "GPT-2"), `value` and `unit`; `show(value, unit)` writes a
    figure.
    """
    largest = sizes.groupby("quantity")["value"].transform("max").clip(lower=1)
    data = sizes.assign(share=(sizes["value"] / largest).round(6), place=pd.factorize(sizes["quantity"])[0],
                        figure=[show(value, unit) for value, unit in zip(sizes["value"], sizes["unit"], strict=True)])
    data["place"] = data["place"].map("{:04d} ".format) + data["quantity"]
    pairs = data.pivot(index="quantity", columns="model", values="figure").loc[data["quantity"].unique()]
    words = "; ".join(f"{name} {row[GPT_OSS]} and {row[GPT_2]}" for name, row in pairs.iterrows())
    return Chart(_sizes_spec(), data[["place", "quantity", "model", "share", "figure"]], "Sizes of GPT-OSS and GPT-2",
                 f"GPT-OSS and GPT-2: {words}.")


@cache
def _sizes_spec() -> dict:
    base = blank_chart().encode(
        y=alt.Y("place:N", sort="ascending", scale=alt.Scale(paddingInner=0.3), axis=alt.Axis(
            title="what is compared", titleOpacity=0, labelExpr=TOKEN_OF_LABEL, labelLimit=120, ticks=False, domain=False)),
        yOffset=alt.YOffset("model:N", sort=[GPT_OSS, GPT_2]),
        x=alt.X("share:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(
            title="share of the larger one (%)", format="%", values=[0, 0.25, 0.5, 0.75, 1])),
        tooltip=[alt.Tooltip("quantity:N"), alt.Tooltip("model:N"), alt.Tooltip("figure:N")])
    bars = base.mark_bar().encode(color=_model_colour())
    figures = base.mark_text(align="left", dx=6, fontSize=FONT_SIZE).encode(text="figure:N")
    return specification(alt.layer(bars, figures), height=370, right=100)


def _model_colour() -> alt.Color:
    return alt.Color("model:N", scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())),
                     legend=alt.Legend(title=None, symbolType="square"))


def likely_tokens(model: str, labels: Sequence[str], probabilities: np.ndarray, bits: float) -> Chart:
    """The most probable next tokens of one model, in its colour, and the entropy of the whole distribution in words.

    `labels` and `probabilities` (vocabulary,) belong together; `bits` is the distribution's entropy. Raises `ValueError`
    where they differ in length or there is none.
    """
    chart = next_token(labels, probabilities, top=8, model=model, colour=COLOURS[model], decimals=2)
    return chart._replace(alt=f"{chart.alt} Entropy {bits:.2f} bits of at most {np.log2(len(labels)):.2f}, as if "
                              f"{2**bits:,.0f} of {len(labels):,} tokens were equally likely.")


def all_heads(model: str, weights: np.ndarray, sink: np.ndarray | None) -> Picture:
    """The attention of all heads of one layer in one image: `weights` (heads, queries, keys), `sink` (heads, queries).

    Without a sink its strip at the left of each head stays clear.
    """
    heads, queries, _ = weights.shape
    strip = np.zeros((heads, queries)) if sink is None else sink
    columns = int(np.ceil(np.sqrt(heads * 1.7)))  # wider than high
    picture = head_grid(np.concatenate([strip[..., None], weights], axis=-1), columns=columns, width=640, enlarge=False)
    first = weights[:, -1, 0].mean()
    words = "no sink" if sink is None else f"sinks that take {sink.mean():.1%} on average"
    return Picture(picture.image, (
        f"{model}: attention weights of {units.plural(heads, 'head')} over {units.plural(queries, 'token')}, with {words}. "
        f"The last query gives its first token {units.percent(first, 2)} on average."))


def tensor_columns(tensors: pd.DataFrame) -> str:
    """The tensors of both models in parallel columns, as an HTML table: what one model lacks is left open.

    `tensors` has the columns `tensor`, `what it is`, "GPT-2" and "GPT-OSS" (shapes, empty where there is none).
    """
    rows = "".join(
        f"<tr>{_shape(GPT_2, row[GPT_2])}<th><code>{escape(row['tensor'])}</code><br><small>{escape(row['what it is'])}"
        f"</small></th>{_shape(GPT_OSS, row[GPT_OSS])}</tr>" for _, row in tensors.iterrows())
    return _table((GPT_2, "Tensor", GPT_OSS), rows, f"{len(tensors)} tensors of one layer of both models and their shapes")


def _shape(model: str, shape: str) -> str:
    kind = model.lower() if shape else f"{model.lower()} none"
    return f'<td class="{kind}">{escape(shape) or f"not in {model}"}</td>'


def comparison_table(rows: Iterable[Row],
                     verdicts: Mapping[str, tuple[str, str, str, str]] = MappingProxyType({}), name: str = GPT_OSS) -> str:
    """GPT-2 and the model of this `name` row by row, as an HTML table, with what people say about a row and what came of it.

    `verdicts` has claims of the rows by their numbers: who says so, the claim, the verdict and its sentence.
    """
    rows = list(rows)
    body = "".join(
        f"<tr><th>{escape(row.name)}</th>"
        f'<td class="gpt-2">{escape(row.gpt2)}</td><td class="gpt-oss">{escape(row.gptoss)}'
        + "".join(_verdict(*verdicts[claim]) for claim in row.claims if claim in verdicts)
        + f"</td><td><small>{escape(row.source)}</small></td></tr>" for row in rows)
    return _table(("Part", GPT_2, name, "Where it comes from"), body,
                  f"{len(rows)} ways in which GPT-2 and {name} differ", "named")


def _verdict(source: str, claim: str, verdict: str, sentence: str) -> str:
    """What people say and what became of it; why, unfolds."""
    kind = "wrong" if verdict == FALSE else "said"
    said = (f'{escape(source[:1].upper() + source[1:])}: <span class="{kind}">{escape(claim)}</span>. '
            f"{escape(verdict.capitalize())}.")
    return (f"<details><summary>{said}</summary>{escape(sentence)}</details>" if sentence else f"<br><small>{said}</small>")


def _table(titles: Iterable[str], body: str, words: str, kind: str = "") -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    return (f'{_STYLE}<div role="region" aria-label="{escape(words)}">'
            f'<table class="beside {kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>')


def clock_spread(times: pd.DataFrame) -> Chart:
    """What was measured: a point for each median, a line from the lower to the upper quartile, on a logarithmic axis.

    `times` has the columns `work`, `model`, `median`, `low` and `high`, in seconds.
    """
    data = times.assign(**{name: (times[name] * 1000).round(4) for name in ("median", "low", "high")})
    data["label"] = times["median"].map(units.seconds)
    words = "; ".join(f"{row.work}, {row.model}: {units.seconds(row.median)} (half of them {units.seconds(row.low)} to "
                      f"{units.seconds(row.high)})" for row in times.itertuples())
    return Chart(_clocks_spec(), data[["work", "model", "median", "low", "high", "label"]],
                 "Measured times of GPT-OSS and GPT-2", f"{words}.")


@cache
def _clocks_spec() -> dict:
    base = blank_chart().encode(
        y=alt.Y("work:N", sort=None, axis=alt.Axis(title="work", titleOpacity=0, labelLimit=120, ticks=False)),
        yOffset=alt.YOffset("model:N", sort=[GPT_OSS, GPT_2]), color=_model_colour())
    x = alt.Axis(title="time (ms, logarithmic)", values=[0.1, 1, 10, 100, 1000, 10_000])
    scale = alt.Scale(type="log", nice=True)
    lines = base.mark_rule(strokeWidth=5, opacity=0.5).encode(
        x=alt.X("low:Q", scale=scale, axis=x), x2="high:Q")
    points = base.mark_point(filled=True, size=160, opacity=1, tooltip=ROW).encode(x=alt.X("median:Q", scale=scale, axis=x))
    labels = base.mark_text(align="left", dx=10, fontSize=FONT_SIZE).encode(
        x=alt.X("high:Q", scale=scale, axis=x), text="label:N", color=alt.value(palette.MUTED))
    return specification(alt.layer(lines, points, labels), height=300, right=90)
