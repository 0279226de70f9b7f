"""What the block page draws: what each part adds and what its removal does, one token's way, the logit lens, the tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from typing import NamedTuple

import altair as alt
import numpy as np
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, ROW, Chart, blank_chart, clicks, figures, scale_of, specification, squares
from gptoss.charts.labels import visible_token
from gptoss.charts.svg import Pen
from gptoss.units import fixed, number, percent, signed

MANY = 20  # stages, above which a chart is taller and leaves the numbers at the bars out
LENS_ROWS = 13  # stages that the logit lens shows
LENS_TOKENS = 3  # most probable tokens of each
LOGIT = "the logit"  # the row that closes the waterfall
NOW, BEFORE = ("as it runs", "with every part")
HEAD, EXPERT = PIECES = ("head", "expert")

_STAGES = "half block (layer, part)"
_HEIGHT, _TALL = 400, 900
_CELL = 0.9  # of a lens cell's width: the longest bar
_DASHED = {"filled": False, "stroke": palette.MUTED, "strokeWidth": 1.5, "strokeDash": [4, 3]}  # what is not, or no longer
_CHOSEN, _REST, _REMOVED = ("chosen", "others", "removed")
_SLIDING, _FULL = ("sliding layer", "full layer")
_COLOURS = {
    "embedding": palette.PARTS["embedding"], "attention": palette.PARTS["attention"],
    "experts": palette.PARTS["experts"], LOGIT: palette.PARTS["unembedding"],
    _SLIDING: palette.SLIDING, _FULL: palette.FULL,
}

# The steps of a block, each with the tensors that it makes, and the colour of each.
_STEPS = (
    ("Attention reads", ("attn.norm",)), ("projects", ("attn.q", "attn.k", "attn.v")),
    ("turns", ("attn.q_rope", "attn.k_rope")), ("compares", ("attn.weights", "attn.sink_mass")),
    ("averages", ("attn.mixed",)), ("adds", ("attn.out", "after_attn")),
    ("The experts read", ("mlp.norm",)), ("route", ("mlp.router_logits", "mlp.experts", "mlp.expert_weights")),
    ("answer", ("mlp.expert_outputs",)), ("add", ("mlp.out", "after_mlp")))
_TENSOR_COLOURS = {
    "attn.norm": palette.PARTS["norms"], "mlp.norm": palette.PARTS["norms"], "norm": palette.PARTS["norms"],
    "attn.q": palette.QUERY, "attn.q_rope": palette.QUERY, "attn.k": palette.KEY, "attn.k_rope": palette.KEY,
    "attn.v": palette.VALUE, "attn.mixed": palette.VALUE, "attn.weights": palette.MAGNITUDE,
    "attn.sink_mass": palette.SINK, "attn.out": palette.PARTS["attention"],
    "mlp.router_logits": palette.PARTS["router"], "mlp.experts": palette.PARTS["router"],
    "mlp.expert_weights": palette.PARTS["router"], "mlp.expert_outputs": palette.PARTS["experts"],
    "mlp.out": palette.PARTS["experts"], "logits": palette.PARTS["unembedding"],
}
_FLOW_STYLE = palette.in_both_themes(f"""<style>
.flow {{display: flex; flex-wrap: wrap; gap: 10px 6px; align-items: flex-start; direction: ltr; line-height: 1.25}}
.flow .step {{display: flex; flex-direction: column; gap: 3px}}
.flow .step > b {{font-size: 0.85rem; font-weight: 400; opacity: 0.75; min-height: 1.1rem}}
.flow span {{border-left: 6px solid; border-radius: 4px; padding: 2px 7px; background: {palette.IDLE}; font-size: 0.9rem}}
.flow span.here {{outline: 3px solid {palette.ACCENT}; font-weight: 700}}
.flow small {{display: block; font-size: 0.78rem; opacity: 0.8; font-weight: 400}}
.flow i {{margin-top: 1.7rem; opacity: 0.7; font-style: normal}}
</style>""")
_WAY_STYLE = palette.in_both_themes(f"""<style>
.way-of-token {{border-collapse: collapse; width: 100%; direction: ltr; line-height: 1.3}}
.way-of-token th, .way-of-token td {{text-align: left; font-weight: 400; padding: 4px 10px}}
.way-of-token tbody th {{white-space: nowrap}}
.way-of-token thead th {{font-size: 0.9rem; opacity: 0.8}}
.way-of-token tr {{border-bottom: 1px solid {palette.GRID}}}
.way-of-token .share {{opacity: 0.75; font-size: 0.9rem; margin-left: 4px}}
.way-of-token td b {{color: {palette.ACCENT}}}
@media (max-width: 640px) {{.way-of-token .grew {{display: none}} .way-of-token th, .way-of-token td {{padding: 4px}}}}
</style>""")
WAY_LAYERS = 8  # of a token's way
_PLANE, _MARGIN = (420, 260), 30  # px of the drawing of one addition


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


def _bars(stages: pd.DataFrame, runs: dict[str, np.ndarray], removed: str) -> pd.DataFrame:
    """For each run its bars, from the sum so far to the next, and the last from zero to the whole."""
    columns = {name: [*stages[name].tolist(), last] for name, last in (
        ("stage", LOGIT), ("part", ""), ("kind", LOGIT), ("layer", ""))}
    columns["next"] = [*columns["stage"][1:], LOGIT]
    columns = {name: values * len(runs) for name, values in columns.items()}
    ends = np.array([np.append(values.cumsum(), values.sum()) for values in runs.values()])
    adds = np.array([np.append(values, values.sum()) for values in runs.values()])
    starts = ends - adds
    columns["words"] = ["removed" if part == removed != "" else signed(value)
                        for part, value in zip(columns["part"], adds.ravel(), strict=True)]
    reach = np.tile(np.maximum(starts, ends).max(axis=0), len(runs))
    return pd.DataFrame(columns | {
        "what": np.repeat(list(runs), adds.shape[1]), "adds": adds.ravel().round(4), "start": starts.ravel().round(4),
        "end": ends.ravel().round(4), "reach": reach.round(4)})


def _describe_waterfall(stages: pd.DataFrame, contributions: np.ndarray, answer: str, whole: np.ndarray | None,
                        removed: str) -> str:
    names = stages["stage"].tolist()
    most, least = 1 + int(contributions[1:].argmax()), 1 + int(contributions[1:].argmin())
    token, logit = f"“{visible_token(answer)}”", fixed(contributions.sum())
    start = (f"The logit of {token} is {logit}, the sum of {len(names)} parts." if whole is None else
             f"Without {removed}, the logit of {token} goes from {fixed(whole.sum())} (dashed) to {logit}.")
    return (f"{start} Of the half blocks, layer {names[most]} adds most, {signed(contributions[most])}, and layer "
            f"{names[least]} least, {signed(contributions[least])}.")


@cache
def _waterfall_spec(tall: bool) -> dict:
    y = _stage_axis(_STAGES)
    base = blank_chart().encode(y=y)
    now = base.transform_filter(alt.datum.what == NOW)
    x = alt.X("start:Q", axis=alt.Axis(title="the answer's logit (sum so far)", tickCount=6))
    links = now.mark_rule(color=palette.MUTED, strokeWidth=1.5, tooltip=False).encode(x=alt.X("end:Q"), y2="next:N")
    bars = now.mark_bar().encode(x=x, x2="end:Q", color=_colour("kind"))
    ghosts = base.transform_filter(alt.datum.what == BEFORE).mark_bar(**_DASHED, tooltip=False).encode(x=x, x2="end:Q")
    numbers = [] if tall else [figures(now, x="reach:Q", text="words:N")]
    layers = [links, bars, ghosts, *numbers, _layer_strip(),
              _click_rows("part", f"datum.part !== '' && datum.what === '{NOW}'")]
    return specification(alt.layer(*layers), height=_TALL if tall else _HEIGHT, right=64)


def piece_bars(piece: str, contributions: np.ndarray, used: np.ndarray, chosen: int, removed: int | None = None) -> Chart:
    """What each head or expert of a layer adds to the answer's logit: a bar per `piece`, one of `PIECES`.

    `contributions` (pieces,) are parts of the logit and `used` (pieces,) says which pieces worked at all. The
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
    text = (f"{who} together add {signed(contributions[working].sum())}. {piece.capitalize()} {most} adds most, "
            f"{signed(contributions[most])}; {piece} {least} least, {signed(contributions[least])}.")
    return Chart(_piece_spec(piece), data, f"Contribution of each {piece} to the answer's logit", text)


@cache
def _piece_spec(piece: str) -> dict:
    colour = palette.PARTS["attention" if piece == HEAD else "experts"]
    x = alt.X("number:O", axis=alt.Axis(title=f"{piece} (number)", labelAngle=0, ticks=False))
    y = alt.Y("adds:Q", axis=alt.Axis(title="added to logit", tickCount=5))
    bars = blank_chart().transform_filter(alt.datum.state != _REMOVED).mark_bar(color=colour, tooltip=ROW).encode(
        x=x, y=y, opacity=alt.Opacity("state:N", legend=None, scale=scale_of({_CHOSEN: 1, _REST: 0.5})))
    outline = blank_chart().transform_filter(alt.datum.state == _REMOVED).mark_bar(**_DASHED, tooltip=ROW).encode(x=x, y=y)
    zero = blank_chart().mark_rule(color=palette.MUTED, strokeWidth=1, tooltip=False).encode(y=alt.YDatum(0))
    columns = _clicked(blank_chart(), "number").encode(x=x, y=alt.value(0), y2=alt.value("height"))
    return specification(alt.layer(bars, outline, zero, columns), height=210)


def removal_effects(stages: pd.DataFrame, whole: float, measured: np.ndarray, foreseen: np.ndarray, answer: str) -> Chart:
    """The answer's probability after removing each half block in turn: measured by running the rest again, and foreseen.

    `stages` is a `stage_table`, of which the embedding is left out; `measured` and
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
    alone = "for the same part" if worst == expected else f"without layer {data['stage'][expected]}"
    text = (f"“{visible_token(answer)}” has {percent(whole, 2)} with every part in place. Without layer "
            f"{data['stage'][worst]} it keeps least, {percent(measured[worst], 2)}. The bars alone foresee the least "
            f"{alone}: {percent(foreseen[expected], 2)}.")
    return Chart(_effects_spec(len(data) > MANY), data, "The answer's probability after removing each half block", text)


@cache
def _effects_spec(tall: bool) -> dict:
    base = blank_chart().encode(y=_stage_axis("half block removed (layer, part)"))
    axis = alt.Axis(title="the answer's probability without it (%)", format=".2~%", tickCount=5)
    measured = base.mark_bar(height={"band": 0.6}, tooltip=ROW).encode(
        x=alt.X("measured:Q", axis=axis), color=_colour("kind"))
    foreseen = base.mark_bar(**_DASHED, tooltip=ROW).encode(x=alt.X("foreseen:Q", axis=axis))
    whole = blank_chart().mark_rule(color=palette.MUTED, strokeWidth=2, strokeDash=[2, 3], tooltip=False).encode(
        x="max(whole):Q")
    numbers = [] if tall else [figures(base, x="reach:Q", text=alt.Text("measured:Q", format=".2%"))]
    layers = [measured, foreseen, whole, *numbers, _layer_strip(), _click_rows("part")]
    return specification(alt.layer(*layers), height=_TALL if tall else _HEIGHT, right=56)


def journey_bars(stages: pd.DataFrame, before: np.ndarray, added: np.ndarray, cosine: np.ndarray, chosen: int) -> Chart:
    """The stream's length before each stage, the length of what the stage adds, and the cosine between the two.

    All are (stages,); `cosine` is NaN where there is none. `chosen` is the stage in question, whose row is lit. A click
    on a row picks its `stage` under the name `picked`. Raises `ValueError` where the lengths differ.
    """
    if not len(stages) == len(before) == len(added) == len(cosine):
        raise ValueError(f"{len(before)}, {len(added)} and {len(cosine)} numbers do not fit {len(stages)} stages")
    data = stages.drop(columns="part").assign(
        before=before.round(3), added=added.round(3),
        cosine=["cos " + signed(c) if np.isfinite(c) else "" for c in cosine],
        reach=np.maximum(before, added).round(3), chosen=np.arange(len(stages)) == chosen)
    largest = 1 + int((added[1:] / np.maximum(before[1:], 1e-12)).argmax())
    text = (f"The embedding has length {number(added[0])}. A half block adds between {number(added[1:].min())} and "
            f"{number(added[1:].max())}. Compared with the stream that it meets, layer {stages['stage'][largest]} adds "
            f"most: {added[largest] / max(before[largest], 1e-12):.0%} of the stream's length.")
    return Chart(_journey_spec(len(stages) > MANY), data, "Length of the stream and of what each stage adds to it", text)


@cache
def _journey_spec(tall: bool) -> dict:
    base = blank_chart().encode(y=_stage_axis(_STAGES))
    lit = base.mark_rect(color=palette.IDLE, tooltip=False).encode(
        x=alt.value(0), x2=alt.value("width"), opacity=alt.condition("datum.chosen", alt.value(1), alt.value(0)))
    x_axis = alt.Axis(title=["length (norm), outlined: the", "stream, filled: what is added"], tickCount=6)
    stream = base.mark_bar(filled=False, stroke=palette.MUTED, strokeWidth=1.5).encode(x=alt.X("before:Q", axis=x_axis))
    added = base.mark_bar(height={"band": 0.55}).encode(x=alt.X("added:Q", axis=x_axis), color=_colour("kind"))
    numbers = [] if tall else [figures(base, x="reach:Q", text="cosine:N")]
    layers = [lit, stream, added, *numbers, _layer_strip(), _click_rows("stage")]
    return specification(alt.layer(*layers), height=_TALL if tall else 360, right=70)


def addition_triangle(before: float, added: float, cosine: float, stage: str, kind: str) -> str:
    """The stream, what one stage adds, and their sum as three arrows in SVG, true to length and angle.

    Two vectors of any width span a plane, and this is that plane: nothing is projected away. `before` and `added` are
    norms, `cosine` that of the angle between them (NaN where one of them is zero), `kind` what adds: "embedding",
    "attention" or "experts".
    """
    angle = math.acos(cosine) if math.isfinite(cosine) else 0.0
    tip, end = (before, 0.0), (before + added * math.cos(angle), added * math.sin(angle))
    places = _fit(((0.0, 0.0), tip, end))
    after = math.hypot(*end)
    pen = Pen()
    colours = (palette.MUTED, palette.PARTS[kind], "currentColor")
    if before:
        _arrow(pen, places[0], places[1], colours[0])
        _arrow(pen, places[0], places[2], colours[2])
    _arrow(pen, places[1], places[2], colours[1])
    words = (f"stream before: {before:.2f}", f"what is added: {added:.2f}", f"stream after: {after:.2f}")
    for row, (line, colour) in enumerate(zip(words, colours, strict=True)):
        pen.path(f"M4 {19 + 25 * row}h26", stroke=colour, width=5)
        pen.text(40, 24 + 25 * row, line)
    sentence = (f"{stage}: the stream of length {before:.2f} and an addition of length {added:.2f}"
                + (f" at {math.degrees(angle):.0f} degrees" if math.isfinite(cosine) else "")
                + f" make a stream of length {after:.2f}.")
    return pen.picture(*_PLANE, sentence)


class Step(NamedTuple):
    """One row of a token's way: a stage, what it did, and what the model would say next if it stopped there."""

    stage: str  # "embedding", "0 attention"
    kind: str  # "embedding", "attention" or "experts"
    did: Sequence[tuple[str, float]]  # who was looked at or asked, and how much of the whole: shares from 0 to 1
    grew: float  # length of what was added, as a share of the stream that it met; NaN where there was none
    says: str  # the most probable next token
    sure: float  # its probability


def one_tokens_way(steps: Sequence[Step], token: str, answer: str) -> tuple[str, str]:
    """The way of one token through all blocks as a table in HTML, and what was left out of it in words.

    Above `LENS_ROWS` steps those of some layers are shown, evenly. Labels are a person's text, so they are escaped. Where
    the model would give the `answer`, it is marked.
    """
    layers = (len(steps) - 1) // 2
    shown = np.unique(np.linspace(0, layers - 1, min(layers, WAY_LAYERS)).round().astype(int))
    kept = [steps[0], *(steps[1 + 2 * layer + half] for layer in shown for half in (0, 1))]
    rows = "".join(_way_row(step, token, answer) for step in kept)
    head = ('<th scope="col">layer, part</th><th scope="col">what it does at this token</th>'
            '<th scope="col" class="grew">adds</th><th scope="col">next token, if it stopped here</th>')
    note = "" if len(shown) == layers else f"{len(shown)} of {layers} layers"
    return f'{_WAY_STYLE}<table class="way-of-token"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>', note


def _way_row(step: Step, token: str, answer: str) -> str:
    verb = {"embedding": "looks up", "attention": "looks at", "experts": "asks"}[step.kind]
    did = f"{verb} the numbers of “{escape(token)}”" if step.kind == "embedding" else verb + " " + ", ".join(
        f'{escape(who)}<span class="share">{percent(share, 0)}</span>' for who, share in step.did)
    grew = f"{step.grew:.0%}" if math.isfinite(step.grew) else ""
    colour = palette.in_both_themes(_COLOURS[step.kind])
    says = f"“{escape(step.says)}” {percent(step.sure, 0)}"
    return (f'<tr><th scope="row" style="border-left: 6px solid {colour}">{escape(step.stage)}</th><td>{did}</td>'
            f'<td class="grew">{grew}</td><td>{f"<b>{says}</b>" if step.says == answer else says}</td></tr>')


def _fit(points: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    """The points moved and scaled into the picture's lower part, y upwards."""
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    (width, height), top = _PLANE, _MARGIN + 50  # below the lengths in words
    scale = min((width - 2 * _MARGIN) / max(right - left, 1e-9), (height - _MARGIN - top) / max(high - low, 1e-9))
    return [(_MARGIN + (x - left) * scale, height - _MARGIN - (y - low) * scale) for x, y in points]


def _arrow(pen: Pen, start: tuple[float, float], stop: tuple[float, float], colour: str) -> None:
    """An arrow in any direction, with a head of fixed size."""
    across, down = stop[0] - start[0], stop[1] - start[1]
    length = math.hypot(across, down)
    if length < 1:
        return
    across, down = across / length, down / length
    barbs = [(stop[0] - 13 * across + side * 6 * down, stop[1] - 13 * down - side * 6 * across) for side in (1, -1)]
    pen.path(f"M{start[0]:.1f} {start[1]:.1f}L{stop[0]:.1f} {stop[1]:.1f}M{barbs[0][0]:.1f} {barbs[0][1]:.1f}"
             f"L{stop[0]:.1f} {stop[1]:.1f}L{barbs[1][0]:.1f} {barbs[1][1]:.1f}", stroke=colour, width=4)


def lens_table(stages: pd.DataFrame, tops: Sequence[Sequence[str]], probabilities: np.ndarray, answers: np.ndarray,
               answer_probabilities: np.ndarray, ranks: np.ndarray, answer: str) -> Chart:
    """The logit lens: for every stage the most probable tokens if the model stopped there, and the answer's place.

    `tops` (stages, k) are tokens, the most probable first, `probabilities` (stages, k) theirs, and `answers`
    (stages, k) says which of them is the answer. `answer_probabilities` and `ranks` (stages,) are the answer's own.
    Above `LENS_ROWS` stages some are left out evenly, and `note` says so. Raises `ValueError` where shapes differ.
    """
    count = len(stages)
    if not len(tops) == len(probabilities) == len(answers) == len(answer_probabilities) == len(ranks) == count:
        raise ValueError(f"the lens of {len(tops)} stages does not fit {count} stages")
    shown = np.unique(np.linspace(0, count - 1, min(count, LENS_ROWS)).round().astype(int))
    place, rank = np.repeat(shown, probabilities.shape[1]), np.tile(np.arange(probabilities.shape[1]), len(shown))
    longest = probabilities[shown].max() or 1.0  # a recording's shares may all be too small for its 16 bits
    data = pd.DataFrame({
        "stage": stages["stage"].to_numpy()[place], "kind": stages["kind"].to_numpy()[place],
        "token": [visible_token(tops[s][r], 10) for s, r in zip(place, rank, strict=True)], "place": rank + 1,
        "probability": probabilities[place, rank].astype(np.float64).round(5),
        "end": (rank + 1 + _CELL * probabilities[place, rank] / longest).astype(np.float64).round(4),
        "what": np.where(answers[place, rank], "the answer", "another token"),
        "words": np.where(rank == 0, [f"{r:,} · {percent(p)}" for r, p in zip(
            ranks[place], answer_probabilities[place], strict=True)], "")})
    note = "" if len(shown) == count else f"{len(shown)} of {count} stages"
    text = _describe_lens(stages["stage"].tolist(), ranks, f"“{visible_token(answer)}”")
    return Chart(_lens_spec(), data, "Most probable next tokens if the model stopped after each stage", text, note)


def _describe_lens(names: Sequence[str], ranks: np.ndarray, answer: str) -> str:
    start = f"Read after the embedding, the answer {answer} has rank {ranks[0]:,}"
    if ranks[-1] != 1:
        return f"{start}, at the end rank {ranks[-1]:,}."
    elsewhere = np.flatnonzero(ranks != 1)
    settled = elsewhere[-1] + 1 if len(elsewhere) else 0
    return f"{start}; from {names[settled]} on it stays on top, stage {settled} of {len(names) - 1}."


_NARROW = "width < 260"  # a plot on a phone, where a rank has no room for its probability


@cache
def _lens_spec() -> dict:
    last = LENS_TOKENS + 1
    x_axis = alt.Axis(title=["most probable tokens (rank),", "bars as long as the probability"], orient="bottom", grid=False,
                      values=list(range(1, last + 1)), ticks=False, labelAlign="left", labelExpr=(
                          f"datum.value <= {LENS_TOKENS} ? format(datum.value, 'd') : {_NARROW} ? 'rank' : 'answer (rank)'"))
    scale = alt.Scale(domain=[1, last + 1], nice=False, zero=False)
    base = blank_chart().encode(y=_stage_axis(_STAGES))
    colour = alt.Color("what:N", legend=squares(symbolStrokeWidth=0), scale=scale_of(
        {"the answer": palette.ACCENT, "another token": palette.MAGNITUDE}))
    bars = base.mark_bar(height=5, yOffset=11, tooltip=ROW).encode(
        x=alt.X("place:Q", scale=scale, axis=x_axis), x2="end:Q", color=colour)
    words = base.mark_text(align="left", dy=-1, fontSize=FONT_SIZE, limit={"expr": f"{_CELL} * width / {last}"},
                           tooltip=ROW).encode(x=alt.X("place:Q", scale=scale, axis=x_axis), text="token:N",
                                               color=alt.condition(alt.datum.what == "the answer",
                                                                   alt.value(palette.ACCENT), alt.value(palette.MUTED)))
    answer = base.transform_filter("datum.words !== ''").transform_calculate(
        short=f"{_NARROW} ? split(datum.words, ' · ')[0] : datum.words").mark_text(align="left", fontSize=FONT_SIZE).encode(
        x=alt.XDatum(last), text="short:N")
    return specification(alt.layer(bars, words, answer), height=_HEIGHT + 30)


def block_flow(shapes: Mapping[str, str], layer: int, here: str) -> str:
    """The tensors of a pass in HTML, step by step, each with its shape; the one called `here` is framed.

    `shapes` maps the names of a trace (`embedding`, `block.2.attn.q`, …) to their shapes in words; of the blocks only
    `layer` is drawn. Raises `ValueError` where the trace lacks one of that layer's tensors.
    """
    missing = [name for _, names in _STEPS for name in names if f"block.{layer}.{name}" not in shapes]
    if missing:
        raise ValueError(f"the trace lacks {', '.join(missing)} of block {layer}")
    steps = [("Embedding", ["embedding"])]
    steps += [(words, [f"block.{layer}.{name}" for name in names]) for words, names in _STEPS]
    steps += [("The end reads", ["norm"]), ("scores", ["logits"])]
    drawn = "<i>→</i>".join(
        f'<div class="step"><b>{words}</b>{"".join(_chip(name, shapes[name], name == here) for name in names)}</div>'
        for words, names in steps)
    words = f"The tensors of a pass, those of block {layer} step by step; {here} has the shape {shapes.get(here, '')}"
    return f'{_FLOW_STYLE}<div class="flow" role="img" aria-label="{escape(words)}">{drawn}</div>'


def _chip(name: str, shape: str, here: bool) -> str:
    short = name.split(".", 2)[2] if name.startswith("block.") else name
    colour = palette.in_both_themes(_TENSOR_COLOURS.get(short, palette.PARTS["embedding"]))
    return (f'<span{" class=here" if here else ""} style="border-color:{colour}" title="{escape(name)}">'
            f"{escape(short.rpartition('.')[2])}<small>{escape(shape)}</small></span>")


def _stage_axis(title: str) -> alt.Y:
    """The stages from top to bottom, in the order of the data, with room for the strip of sliding and full layers."""
    return alt.Y("stage:N", sort=None, scale=alt.Scale(paddingInner=0.25, paddingOuter=0.1), axis=alt.Axis(
        title=title, ticks=False, domain=False, offset=8))


def _layer_strip() -> alt.Chart:
    """A thin strip beside the axis: light blue where the layer slides, vermilion where it sees everything."""
    return blank_chart().transform_filter("datum.layer !== ''").mark_rect(tooltip=False).encode(
        x=alt.value(-8), x2=alt.value(-3), y=_stage_axis(""), color=_colour("layer"))


def _clicked(base: alt.Chart, field: str) -> alt.Chart:
    """Invisible areas to click on, since a bar may be too thin for a finger. A second click takes the first one back."""
    return base.mark_rect(fillOpacity=0, fill=palette.MUTED, cursor="pointer", tooltip=ROW).add_params(
        clicks(field, toggle="true", clear=False))


def _click_rows(field: str, filtered: str = "true") -> alt.Chart:
    """Rows to click on, as wide as the chart."""
    return _clicked(blank_chart().transform_filter(filtered), field).encode(
        x=alt.value(0), x2=alt.value("width"), y=_stage_axis(""))


def _colour(field: str) -> alt.Color:
    """The colours of half blocks, which the axis names, or of layers, which the legend does."""
    return alt.Color(f"{field}:N", scale=scale_of(_COLOURS), legend=squares(symbolStrokeWidth=0, values=[_SLIDING, _FULL]))
