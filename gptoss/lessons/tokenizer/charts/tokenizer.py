"""What a text costs in tokens: by language and tokenizer, and by the size of the vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import altair as alt
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import ROW, Chart, blank_chart, specification

PER_CHARACTER, SAME_STORY, TIMES_O200K = MEASURES = ("tokens per character", "tokens for the story", "times o200k's tokens")
OWN_TEXT = "your text"

O200K, SMALL, GPT2 = MEASURED = ("o200k", "its first 32,000", "GPT-2")
GPT2_ESTIMATE, SMALL_ESTIMATE = ESTIMATED = ("50k: 1.3×", "32k: 1.5×")
CHOSEN, NOTEBOOK = "o200k, cut at the chosen size", "the notebook's estimate"
_COLUMN_OF = {O200K: "o200k", SMALL: "first_32000", GPT2: "gpt2"}
_LOOK = {  # colour and shape; an estimate has those of what it estimates, outlined
    O200K: (palette.ACCENT, "circle"), SMALL: (palette.MAGNITUDE, "triangle-up"), GPT2: (palette.GPT2, "square"),
    GPT2_ESTIMATE: (palette.GPT2, "square"), SMALL_ESTIMATE: (palette.MAGNITUDE, "triangle-up"),
}
_LEFT = {"orient": "left", "minExtent": 50, "maxExtent": 50}  # both panels' axes in line
_PARTS = ["embedding", "unembedding"]
GPT2_SIZE = 50_257
_PLAIN_LABEL = "format(datum.value, ',~r')"
_PARAMETERS_LABEL = "replace(format(datum.value, '~s'), 'G', 'B')"


def language_costs(frame: pd.DataFrame, measure: str, estimates: Mapping[str, float]) -> Chart:
    """A row for every language: what the same story costs by each tokenizer, and by the notebook's estimates.

    `frame` has the columns `language`, `characters`, `o200k`, `gpt2` and `first_32000` (tokens), one row a language;
    the row `OWN_TEXT` is the reader's own. `estimates` maps each of `ESTIMATED` to its multiple of o200k's tokens.
    Raises `ValueError` for a measure that is not one of `MEASURES`.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure={measure!r} is unknown; allowed: {', '.join(MEASURES)}")
    if measure == SAME_STORY:
        frame = frame[frame["language"] != OWN_TEXT]
    per = {PER_CHARACTER: frame["characters"], SAME_STORY: 1, TIMES_O200K: frame["o200k"]}[measure]
    tokens = {kind: frame[_COLUMN_OF[kind]] for kind in MEASURED} | {
        kind: frame["o200k"] * multiple for kind, multiple in estimates.items()}
    # What comes last is drawn on top: o200k.
    data = pd.concat([pd.DataFrame({"language": frame["language"], "kind": kind, "value": (tokens[kind] / per).round(4),
                                    "row": range(len(frame))}) for kind in reversed(tokens)], ignore_index=True)
    return Chart(_language_spec(measure), data, f"{measure.capitalize()} by language and tokenizer",
                 _describe_languages(frame))


def _describe_languages(frame: pd.DataFrame) -> str:
    others = frame[frame["language"] != OWN_TEXT]
    times = (others["gpt2"] / others["o200k"]).to_numpy()
    cut = (others["first_32000"] / others["o200k"]).median()
    least, most = others["language"].iloc[times.argmin()], others["language"].iloc[times.argmax()]
    text = (f"GPT-2 needs {times.min():.2f} times o200k's tokens for {least} and {times.max():.2f} times for {most}, "
            f"{pd.Series(times).median():.2f} times in the middle. o200k's own first 32,000 tokens need {cut:.2f} times as "
            f"many in the middle.")
    own = frame[frame["language"] == OWN_TEXT]
    return text + (f" Your text: {own['o200k'].iloc[0]:,} tokens, GPT-2 {own['gpt2'].iloc[0]:,}." if len(own) else "")


@cache
def _language_spec(measure: str) -> dict:
    title = f"{measure} (log scale)" if measure == TIMES_O200K else measure
    kinds = [*MEASURED, *ESTIMATED]
    colours = [_LOOK[kind][0] for kind in kinds]
    # The same legend on all three channels makes one legend of them.
    legend = alt.Legend(title="outlined: the notebook's estimate", symbolSize=140,
                        columns={"expr": "width > 420 ? 5 : 2"})
    points = blank_chart().mark_point(size=130, strokeWidth=2, opacity=1, tooltip=ROW).encode(
        y=alt.Y("language:N", sort=alt.EncodingSortField("row", op="min"), axis=alt.Axis(
            title="language", grid=True, ticks=False, domain=False, labelOverlap=False)),
        x=alt.X("value:Q", axis=alt.Axis(title=title, tickCount=6, labelExpr=_PLAIN_LABEL),
                scale=alt.Scale(type="log", nice=False, padding=10) if measure == TIMES_O200K else alt.Scale(zero=True)),
        stroke=alt.Stroke("kind:N", legend=legend, scale=alt.Scale(domain=kinds, range=colours)),
        fill=alt.Fill("kind:N", legend=legend, scale=alt.Scale(
            domain=kinds, range=[*colours[:len(MEASURED)], *["transparent"] * len(ESTIMATED)])),
        shape=alt.Shape("kind:N", legend=legend, scale=alt.Scale(domain=kinds, range=[_LOOK[kind][1] for kind in kinds])),
    )
    return specification(points, height=435)


def vocabulary_size(frame: pd.DataFrame, size: int, gpt2: int, estimates: Mapping[int, float]) -> Chart:
    """Above, tokens of one text against the size of the vocabulary; below, parameters of both ends of the model.

    `frame` has the columns `size` (tokens in the vocabulary), `tokens` (of the text), `embedding`, `unembedding` and
    `total` (parameters) and `flops` (of reading the text once), with a row for `size`, the one chosen. GPT-2's own
    count is a point at its size; `estimates` (size -> multiple of the tokens of the largest vocabulary) are outlined.
    Raises `ValueError` where there is no row for `size`.
    """
    if not (frame["size"] == size).any():
        raise ValueError(f"size={size} is not among the sizes of the frame")
    chosen, largest = (_row(frame, at) for at in (size, frame["size"].max()))
    least = largest["tokens"]
    points = [(size, chosen["tokens"], CHOSEN), (GPT2_SIZE, gpt2, GPT2),
              *((at, round(multiple * least, 1), NOTEBOOK) for at, multiple in estimates.items())]
    curve = frame.melt(["size"], ["tokens", *_PARTS], "kind", "value")
    data = pd.concat([curve, pd.DataFrame(points, columns=["size", "value", "kind"])], ignore_index=True)
    return Chart(_size_spec(), data, "Tokens of the text, and parameters of embedding and unembedding, against the size "
                 "of the vocabulary", _describe_size(frame, chosen, least, gpt2))


def _row(frame: pd.DataFrame, size: int) -> dict[str, int]:
    return {name: int(value) for name, value in frame[frame["size"] == size].iloc[0].items()}


def _describe_size(frame: pd.DataFrame, chosen: Mapping[str, int], least: int, gpt2: int) -> str:
    both = chosen["embedding"] + chosen["unembedding"]
    cheapest = _row(frame, frame["size"].iloc[frame["flops"].argmin()])
    times = f", {chosen['tokens'] / least:.2f} times o200k's {least:,}" if least else ""
    return (f"A vocabulary of {chosen['size']:,} needs {chosen['tokens']:,} tokens for the text{times}; GPT-2's own "
            f"{GPT2_SIZE:,} need {gpt2:,}. Embedding and unembedding have {both:,} parameters, "
            f"{both / chosen['total']:.1%} of the model. Reading the text once takes {chosen['flops'] / 1e9:,.4g} GFLOPs; "
            f"the fewest, {cheapest['flops'] / 1e9:,.4g}, with {cheapest['size']:,} tokens in the vocabulary.")


@cache
def _size_spec() -> dict:
    """Two panels in one view, so that they share the axis below and the line at the chosen size."""
    x = alt.X("size:Q", scale=alt.Scale(type="log", domain=[256, 201_088], nice=False), axis=alt.Axis(
        title="vocabulary (tokens, log scale)", values=[256, 1024, 4096, 16_384, 65_536, 201_088], format=",d",
        labelFlush=True, grid=False))
    above = alt.Y("value:Q", scale=alt.Scale(zero=True, range=[alt.expr("0.56 * height"), 0]), axis=alt.Axis(
        title="text (tokens)", format=",d", tickCount=4, grid=True, **_LEFT))
    below = alt.Y("value:Q", stack="zero", scale=alt.Scale(range=[alt.expr("height"), alt.expr("0.64 * height")]),
                  axis=alt.Axis(title="parameters (count)", labelExpr=_PARAMETERS_LABEL, tickCount=3, **_LEFT))
    curve = _rows("tokens").mark_line(color=palette.ACCENT, strokeWidth=3).encode(x=x, y=above)
    kinds = [CHOSEN, GPT2, NOTEBOOK]
    colours = [palette.ACCENT, palette.GPT2, palette.MUTED]
    legend = alt.Legend(title=None, symbolSize=150, columns={"expr": "width > 420 ? 3 : 1"})
    points = _rows(*kinds).mark_point(size=170, strokeWidth=2.5, opacity=1, tooltip=ROW).encode(
        x=x, y=above, stroke=alt.Stroke("kind:N", legend=legend, scale=alt.Scale(domain=kinds, range=colours)),
        fill=alt.Fill("kind:N", legend=legend, scale=alt.Scale(domain=kinds, range=[*colours[:2], "transparent"])),
        shape=alt.Shape("kind:N", legend=legend, scale=alt.Scale(domain=kinds, range=["circle", "square", "diamond"])))
    areas = _rows(*_PARTS).mark_area(opacity=0.9, tooltip=ROW).encode(x=x, y=below, color=alt.Color(
        "kind:N", legend=alt.Legend(title=None, symbolType="square", columns=1, orient="none", legendX=12,
                                    legendY=alt.expr("0.65 * height")),
        scale=alt.Scale(domain=_PARTS, range=[palette.PARTS[part] for part in _PARTS])))
    rule = _rows(CHOSEN).mark_rule(color=palette.MUTED, strokeWidth=2, strokeDash=[2, 3]).encode(x=alt.X("size:Q"))
    chart = alt.layer(areas, alt.layer(curve, points), rule).resolve_scale(y="independent", color="independent")
    return specification(chart, height=385)


def _rows(*kinds: str) -> alt.Chart:
    return blank_chart().transform_filter(alt.FieldOneOfPredicate("kind", list(kinds)))
