"""One token's way through the residual stream: what each half block adds, to its length and to the answer's logit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, ROW, Chart, blank_chart, specification
from gptoss.charts.labels import visible_token

MANY = 20  # stages, above which a chart is taller and leaves the numbers at the bars out
LENS_ROWS = 13  # stages that the logit lens shows
LENS_TOKENS = 3  # most probable tokens of each

LOGIT = "the logit"  # the row that closes the waterfall
NOW, BEFORE = ("as it runs", "with every part")

_HEIGHT, _TALL = 400, 900
_CELL = 0.9  # of a lens cell's width: the longest bar
_SLIDING, _FULL = ("sliding layer", "full layer")
_COLOURS = {
    "embedding": palette.PARTS["embedding"], "attention": palette.PARTS["attention"],
    "experts": palette.PARTS["experts"], LOGIT: palette.PARTS["unembedding"],
    _SLIDING: palette.SLIDING, _FULL: palette.FULL,
}


def stage_table(stages: Sequence[str], windows: Sequence[int]) -> pd.DataFrame:
    """One row a stage: `stage` as named ("embedding", "0 attention", …), `part` ("layer 0 attention", empty for the
    embedding), `kind` (what is drawn in its colour) and `layer` (sliding or full).

    `windows` (layers,) counts tokens, 0 for full attention. Raises `ValueError` where the two do not fit.
    """
    if len(stages) != 1 + 2 * len(windows):
        raise ValueError(f"{len(stages)} stages do not fit {len(windows)} layers; allowed: {1 + 2 * len(windows)}")
    layers = [_SLIDING if window else _FULL for window in windows for _ in range(2)]
    return pd.DataFrame({
        "stage": stages, "part": ["", *(f"layer {stage}" for stage in stages[1:])],
        "kind": ["embedding", *(stage.split(" ")[1] for stage in stages[1:])], "layer": ["", *layers]})


def contribution_waterfall(stages: pd.DataFrame, contributions: np.ndarray, answer: str,
                           whole: np.ndarray | None = None, removed: str = "") -> Chart:
    """What each stage adds to the answer's logit, one bar after the other, and their sum.

    `stages` is a `stage_table`, `contributions` (stages,) the parts of the logit of `answer`, a token. With one part
    `removed` (its name), `whole` (stages,) are the contributions in the whole model, drawn as dashed outlines. A click
    on a row picks its `part` under the name `picked`. Raises `ValueError` where the lengths differ.
    """
    if len(contributions) != len(stages) or whole is not None and len(whole) != len(stages):
        raise ValueError(f"{len(contributions)} contributions do not fit {len(stages)} stages")
    runs = {NOW: contributions} if whole is None else {BEFORE: whole, NOW: contributions}
    data = _bars(stages, runs, removed)
    return Chart(_waterfall_spec(len(stages) > MANY), data, "Contribution of each half block to the answer's logit",
                 _describe_waterfall(stages, contributions, answer, whole, removed))


def journey_bars(stages: pd.DataFrame, before: np.ndarray, added: np.ndarray, cosine: np.ndarray, chosen: int) -> Chart:
    """The stream's length before each stage, the length of what the stage adds, and the cosine between the two.

    All are (stages,); `cosine` is NaN where there is none. `chosen` is the stage in question, whose row is lit. A click
    on a row picks its `stage` under the name `picked`. Raises `ValueError` where the lengths differ.
    """
    if not len(stages) == len(before) == len(added) == len(cosine):
        raise ValueError(f"{len(before)}, {len(added)} and {len(cosine)} numbers do not fit {len(stages)} stages")
    data = stages.drop(columns="part").assign(
        before=before.round(3), added=added.round(3),
        cosine=["cos " + _signed(c) if np.isfinite(c) else "" for c in cosine],
        reach=np.maximum(before, added).round(3), chosen=np.arange(len(stages)) == chosen)
    largest = 1 + int((added[1:] / np.maximum(before[1:], 1e-12)).argmax())
    text = (f"The embedding has length {added[0]:.3g}. Half blocks add lengths of {added[1:].min():.3g} to "
            f"{added[1:].max():.3g}; measured by the stream it meets, {stages['stage'][largest]} adds most, "
            f"{added[largest] / max(before[largest], 1e-12):.0%} of its length.")
    return Chart(_journey_spec(len(stages) > MANY), data, "Length of the stream and of what each stage adds to it", text)


def lens_table(stages: pd.DataFrame, tops: Sequence[Sequence[str]], probabilities: np.ndarray, answers: np.ndarray,
               answer_probabilities: np.ndarray, ranks: np.ndarray, answer: str) -> Chart:
    """The logit lens: for every stage the most probable tokens if the model stopped there, and the answer's place.

    `tops` (stages, k) are tokens, the most probable first, `probabilities` (stages, k) theirs, and `answers`
    (stages, k) tells which of them is the answer. `answer_probabilities` and `ranks` (stages,) are the answer's own.
    Above `LENS_ROWS` stages some are left out evenly, and `note` says so. Raises `ValueError` where shapes differ.
    """
    count = len(stages)
    if not len(tops) == len(probabilities) == len(answers) == len(answer_probabilities) == len(ranks) == count:
        raise ValueError(f"the lens of {len(tops)} stages does not fit {count} stages")
    kept = np.unique(np.linspace(0, count - 1, min(count, LENS_ROWS)).round().astype(int))
    place, rank = np.repeat(kept, probabilities.shape[1]), np.tile(np.arange(probabilities.shape[1]), len(kept))
    longest = probabilities[kept].max()
    data = pd.DataFrame({
        "stage": stages["stage"].to_numpy()[place], "kind": stages["kind"].to_numpy()[place],
        "token": [visible_token(tops[s][r], 10) for s, r in zip(place, rank, strict=True)], "place": rank + 1,
        "probability": probabilities[place, rank].astype(np.float64).round(5),
        "end": (rank + 1 + _CELL * probabilities[place, rank] / longest).astype(np.float64).round(4),
        "what": np.where(answers[place, rank], "the answer", "another token"),
        "words": np.where(rank == 0, [_rank_in_words(r, p) for r, p in zip(
            ranks[place], answer_probabilities[place], strict=True)], "")})
    note = "" if len(kept) == count else f"{len(kept)} of {count} stages"
    text = _describe_lens(stages["stage"].tolist(), ranks, visible_token(answer))
    return Chart(_lens_spec(), data, "Most probable next tokens if the model stopped after each stage", text, note)


def _bars(stages: pd.DataFrame, runs: dict[str, np.ndarray], removed: str) -> pd.DataFrame:
    """For each run its bars, from the sum so far to the next, and the last from zero to the whole."""
    columns = {name: [*stages[name].tolist(), last] for name, last in (
        ("stage", LOGIT), ("part", ""), ("kind", LOGIT), ("layer", ""))}
    columns["next"] = [*columns["stage"][1:], LOGIT]
    columns = {name: values * len(runs) for name, values in columns.items()}
    ends = np.array([np.append(values.cumsum(), values.sum()) for values in runs.values()])
    adds = np.array([np.append(values, values.sum()) for values in runs.values()])
    starts = ends - adds
    columns["words"] = ["removed" if part == removed != "" else _signed(value)
                        for part, value in zip(columns["part"], adds.ravel(), strict=True)]
    reach = np.tile(np.maximum(starts, ends).max(axis=0), len(runs))
    return pd.DataFrame(columns | {
        "what": np.repeat(list(runs), adds.shape[1]), "adds": adds.ravel().round(4), "start": starts.ravel().round(4),
        "end": ends.ravel().round(4), "reach": reach.round(4)})


def _describe_waterfall(stages: pd.DataFrame, contributions: np.ndarray, answer: str, whole: np.ndarray | None,
                        removed: str) -> str:
    names = stages["stage"].tolist()
    most, least = 1 + int(contributions[1:].argmax()), 1 + int(contributions[1:].argmin())
    text = (f"The logit of {visible_token(answer)} is {contributions.sum():.2f}, the sum of {len(names)} parts. Of the half "
            f"blocks, {names[most]} adds most, {_signed(contributions[most])}, and {names[least]} least, "
            f"{_signed(contributions[least])}.")
    if whole is None:
        return text
    return f"Without {removed}, the logit of {visible_token(answer)} goes from {whole.sum():.2f} (dashed) to " + \
        f"{contributions.sum():.2f}. " + text.partition(". ")[2]


def _describe_lens(names: Sequence[str], ranks: np.ndarray, answer: str) -> str:
    start = f"Read after the embedding, the answer {answer} has rank {ranks[0]:,}"
    if ranks[-1] != 1:
        return f"{start}, at the end rank {ranks[-1]:,}."
    elsewhere = np.flatnonzero(ranks != 1)
    settled = elsewhere[-1] + 1 if len(elsewhere) else 0
    return f"{start}; from {names[settled]} on it stays on top, stage {settled} of {len(names) - 1}."


def _signed(number: float) -> str:
    return f"{number:+.2f}".replace("-", "−")


def _rank_in_words(rank: int, probability: float) -> str:
    return f"{rank:,} · {probability:.1%}"


def stage_axis(title: str) -> alt.Y:
    """The stages from top to bottom, in the order of the data, with room for the strip that tells sliding from full."""
    return alt.Y("stage:N", sort=None, scale=alt.Scale(paddingInner=0.25, paddingOuter=0.1), axis=alt.Axis(
        title=title, ticks=False, domain=False, offset=8))


def part_colour() -> alt.Color:
    """The colours of half blocks, which the axis names; the legend tells those of the layers' strip."""
    return _colour("kind")


def layer_strip() -> alt.Chart:
    """A thin strip beside the axis: light blue where the layer slides, vermilion where it sees everything."""
    return blank_chart().transform_filter("datum.layer !== ''").mark_rect(tooltip=False).encode(
        x=alt.value(-8), x2=alt.value(-3), y=stage_axis(""), color=_colour("layer"))


def toggled_by_clicks(field: str) -> alt.Parameter:
    """The selection `picked`, which every click changes: one on what is picked already takes it out again."""
    return alt.selection_point(name="picked", fields=[field], toggle="true", clear=False)


def click_rows(field: str, filtered: str = "true") -> alt.Chart:
    """Invisible rows as wide as the chart, to click on: a bar may be too thin for a finger."""
    return blank_chart().transform_filter(filtered).mark_rect(
        fillOpacity=0, fill=palette.MUTED, cursor="pointer", tooltip=ROW).encode(
        x=alt.value(0), x2=alt.value("width"), y=stage_axis("")).add_params(toggled_by_clicks(field))


def _colour(field: str) -> alt.Color:
    return alt.Color(f"{field}:N", scale=alt.Scale(domain=list(_COLOURS), range=list(_COLOURS.values())), legend=alt.Legend(
        title=None, symbolType="square", symbolStrokeWidth=0, values=[_SLIDING, _FULL]))


@cache
def _waterfall_spec(tall: bool) -> dict:
    y = stage_axis("half block (layer, part)")
    base = blank_chart().encode(y=y)
    now = base.transform_filter(alt.datum.what == NOW)
    x = alt.X("start:Q", axis=alt.Axis(title="the answer's logit (sum so far)", tickCount=6))
    links = now.mark_rule(color=palette.MUTED, strokeWidth=1.5, tooltip=False).encode(x=alt.X("end:Q"), y2="next:N")
    bars = now.mark_bar().encode(x=x, x2="end:Q", color=part_colour())
    ghosts = base.transform_filter(alt.datum.what == BEFORE).mark_bar(
        filled=False, stroke=palette.MUTED, strokeWidth=1.5, strokeDash=[4, 3], tooltip=False).encode(x=x, x2="end:Q")
    numbers = now.mark_text(align="left", dx=6, fontSize=FONT_SIZE).encode(x=alt.X("reach:Q"), text="words:N")
    layers = [links, bars, ghosts, *([] if tall else [numbers]), layer_strip(),
              click_rows("part", f"datum.part !== '' && datum.what === '{NOW}'")]
    return specification(alt.layer(*layers), height=_TALL if tall else _HEIGHT, right=64)


@cache
def _journey_spec(tall: bool) -> dict:
    base = blank_chart().encode(y=stage_axis("half block (layer, part)"))
    lit = base.mark_rect(color=palette.IDLE, tooltip=False).encode(
        x=alt.value(0), x2=alt.value("width"), opacity=alt.condition("datum.chosen", alt.value(1), alt.value(0)))
    x_axis = alt.Axis(title="length (norm): outlined the stream, filled what is added", tickCount=6)
    stream = base.mark_bar(filled=False, stroke=palette.MUTED, strokeWidth=1.5).encode(x=alt.X("before:Q", axis=x_axis))
    added = base.mark_bar(height={"band": 0.55}).encode(x=alt.X("added:Q", axis=x_axis), color=part_colour())
    numbers = base.mark_text(align="left", dx=6, fontSize=FONT_SIZE).encode(x=alt.X("reach:Q"), text="cosine:N")
    layers = [lit, stream, added, *([] if tall else [numbers]), layer_strip(), click_rows("stage")]
    return specification(alt.layer(*layers), height=_TALL if tall else 360, right=70)


@cache
def _lens_spec() -> dict:
    last = LENS_TOKENS + 1
    x_axis = alt.Axis(title="most probable tokens (rank), bars as long as the probability", orient="bottom", grid=False,
                      values=list(range(1, last + 1)), ticks=False, labelAlign="left", labelExpr=(
                          f"datum.value > {LENS_TOKENS} ? 'answer (rank)' : format(datum.value, 'd')"))
    scale = alt.Scale(domain=[1, last + 1], nice=False, zero=False)
    base = blank_chart().encode(y=stage_axis("half block (layer, part)"))
    colour = alt.Color("what:N", legend=alt.Legend(title=None, symbolType="square", symbolStrokeWidth=0), scale=alt.Scale(
        domain=["the answer", "another token"], range=[palette.ACCENT, palette.MAGNITUDE]))
    bars = base.mark_bar(height=5, yOffset=11, tooltip=ROW).encode(
        x=alt.X("place:Q", scale=scale, axis=x_axis), x2="end:Q", color=colour)
    words = base.mark_text(align="left", dy=-1, fontSize=FONT_SIZE, limit={"expr": f"{_CELL} * width / {last}"},
                           tooltip=ROW).encode(x=alt.X("place:Q", scale=scale, axis=x_axis), text="token:N",
                                               color=alt.condition(alt.datum.what == "the answer",
                                                                   alt.value(palette.ACCENT), alt.value(palette.MUTED)))
    answer = base.transform_filter("datum.words !== ''").mark_text(align="left", fontSize=FONT_SIZE).encode(
        x=alt.XDatum(last), text="words:N")
    return specification(alt.layer(bars, words, answer), height=_HEIGHT + 30)
