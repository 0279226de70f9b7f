"""A training run replayed: where a head looks as it reads a line twice, when heads learn it, routing, and samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from typing import NamedTuple

import altair as alt
import numpy as np

from gptoss.charts import palette
from gptoss.charts.chart import Chart, specification
from gptoss.charts.images import Picture, share_pixels
from gptoss.charts.labels import visible_token
from gptoss.charts.panels import WHOLE_PERCENT, Panel, Scale, frame_layers, grid, of_kind, panel_data, places

PREVIOUS, INDUCTION = "previous-token score", "induction score"
LOSS = "loss on repetition"
BEST = 3  # heads whose scores are drawn beside the chosen one's
MOST_QUERIES = 28  # rows of the attention map, so that each has room for its token
HEIGHT, PLOT = 470, 425

_ROW = 15  # px of a row of a map
_CELL = 10  # pixels of the image's cells, so that a cell can have a rim
_FAINT = 13  # of 255: a key that may be seen and is not looked at
_MANY_COLUMNS = 40  # above which every second key is named
_CHOSEN, _OTHER, _NOW, _POINT = "chosen head", "other head", "this moment", "value at this moment"
# For the pieces of HTML below; apart from them, since a page that gets new styles is laid out anew.
STYLE = palette.in_both_themes(f"""<style>
.replay {{display: grid; grid-template-columns: max-content minmax(0, 1fr); column-gap: 6px; font-size: 14px;
  line-height: {_ROW}px}}
.replay.replay p {{grid-column: 1 / -1; margin: 0.5rem 0 0; font-size: 0.9rem; line-height: 1.4; opacity: 0.8}}
.replay.replay h2 {{grid-column: 1 / -1; margin: 0 0 0.3rem; padding: 0; font-size: 1rem; line-height: 1.3}}
.replay .across {{display: grid; grid-auto-flow: column; grid-auto-columns: minmax(0, 1fr)}}
.replay .down {{text-align: right}}
.replay .down div {{height: {_ROW}px; max-width: 84px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap}}
.replay .keys {{height: 62px; align-items: end}}
.replay .keys span {{writing-mode: vertical-rl; transform: rotate(180deg); max-height: 60px; overflow: hidden;
  line-height: 1; justify-self: center; white-space: nowrap}}
.replay .title {{opacity: 0.8; white-space: nowrap; overflow: hidden; text-align: center}}
.replay .unnamed {{visibility: hidden}}
.replay img {{width: 100%; image-rendering: pixelated; display: block; border-radius: 3px}}
.replay .text {{grid-column: 1 / -1; line-height: 1.5; font-family: "Source Code Pro", monospace; overflow-wrap: anywhere;
  white-space: pre-wrap}}
.replay .text b {{background: {palette.fade(palette.ACCENT, 0.25)}; font-weight: 600; border-radius: 4px; padding: 1px 0}}
.replay .text span {{opacity: 0.7}}
@media (max-width: 760px) {{.replay .keys, .replay .numbers {{visibility: hidden; height: 0}}}}
</style>""")


class Line(NamedTuple):
    """The part of a probe text in which a line comes back: its first token, and the queries that read it again."""

    first: int
    again: int
    stop: int

    @classmethod
    def of(cls, distance: np.ndarray) -> Line:
        """The longest stretch that repeats what is a fixed number of tokens before, up to `MOST_QUERIES` of it.

        `distance` (tokens,) says how far back each token stood before, 0 where it did not. Where nothing comes back, the
        end of the text.
        """
        starts = np.flatnonzero((distance > 1) & (distance != np.append(0, distance[:-1])))
        stops = [start + int(np.argmin(np.append(distance[start:] == distance[start], False))) for start in starts]
        if not stops:
            return cls(max(len(distance) - 2 * MOST_QUERIES, 0), max(len(distance) - MOST_QUERIES, 0), len(distance))
        start, stop = max(zip(starts.tolist(), stops, strict=True), key=lambda ends: ends[1] - ends[0])
        return cls(max(start - int(distance[start]), 0), start, min(stop, start + MOST_QUERIES))


def line_read_again(weights: np.ndarray, labels: Sequence[str], distance: np.ndarray, name: str,
                    dark: bool = False) -> str:
    """Where one head looks while it reads a line for the second time, as HTML: a row per query, a column per key.

    `weights` (queries, keys) are the head's, 0 to 1, `labels` (tokens,) a text's, which are escaped, `distance` (tokens,) as
    in `Line.of`, `name` the head's. Opacity is the square root of the weight, at every moment on the same scale. Framed is
    the token after the previous occurrence, where an induction head looks. Raises `ValueError` where shapes do not fit.
    """
    count = len(labels)
    if weights.shape != (count, count) or distance.shape != (count,):
        raise ValueError(f"weights {weights.shape} and distance {distance.shape} do not fit {count} labels")
    line = Line.of(distance)
    words = [escape(visible_token(label, 12)) for label in labels]
    address = Picture(_map_image(weights, distance, line), "").address(dark)
    alt_text = _describe_map(weights, distance, line, name)
    every = 2 if line.stop - line.first > _MANY_COLUMNS else 1
    keys = "".join(f'<span class="unnamed">{word}</span>' if place % every else f"<span>{word}</span>"
                   for place, word in enumerate(words[line.first:line.stop]))
    queries = "".join(f"<div>{word}</div>" for word in words[line.again:line.stop])
    parts = (("the line, first time", line.again - line.first), ("second time", line.stop - line.again))
    heads = "".join(f'<div class="title" style="grid-column: span {columns}">{title}</div>' for title, columns in parts)
    repeats = bool((distance > 1).any())
    return (f'<div class="replay" role="img" aria-label="{escape(alt_text)}"><h2>Where {escape(name)} looks (columns) '
            f'from each token (rows)</h2><div></div><div class="across">{heads if repeats else ""}</div>'
            f'<div></div><div class="across keys">{keys}</div><div class="down">{queries}</div>'
            f'<img src="{address}" alt="" style="height: {_ROW * (line.stop - line.again)}px">'
            f'<p>{escape(alt_text)}</p></div>')


def _map_image(weights: np.ndarray, distance: np.ndarray, line: Line) -> np.ndarray:
    """The shown cells as RGBA, `_CELL` pixels each, with rims where an induction head looks and a line between the times."""
    queries, keys = np.arange(line.again, line.stop), np.arange(line.first, line.stop)
    shown = weights[line.again:line.stop, line.first:line.stop]
    image = share_pixels(shown.clip(0, 1), faintest=_FAINT)
    image[keys > queries[:, None]] = 0
    image = image.repeat(_CELL, axis=0).repeat(_CELL, axis=1)
    image[:, (line.again - line.first) * _CELL] = (*palette.rgb(palette.MUTED), 150)
    for row, query in enumerate(queries):
        if distance[query] > 1:
            _frame(image, row, int(query - distance[query] + 1 - line.first))
    return image


def _frame(image: np.ndarray, row: int, column: int) -> None:
    """Outline a cell in the accent colour."""
    cell = image[row * _CELL:(row + 1) * _CELL, column * _CELL:(column + 1) * _CELL]
    rim = np.ones(cell.shape[:2], bool)
    rim[1:-1, 1:-1] = False
    cell[rim] = (*palette.rgb(palette.ACCENT), 255)


def _describe_map(weights: np.ndarray, distance: np.ndarray, line: Line, name: str) -> str:
    queries = np.arange(max(line.again, 1), line.stop)
    before = weights[queries, queries - 1].mean()
    again = queries[distance[queries] > 1]
    if not len(again):
        return f"{name} gives {before:.0%} of its attention to the token before. Nothing in this text comes back."
    after = weights[again, again - distance[again] + 1].mean()
    return (f"Reading the line again, {name} gives {after:.0%} of its attention to the token that came next the first time "
            f"(framed), and {before:.0%} to the token before.")


def expert_shares(experts: np.ndarray, count: int) -> np.ndarray:
    """Which part of each document's tokens went to each expert: (layers, documents, `count`), rows adding up to `active`.

    `experts` (layers, documents, tokens, active) holds expert numbers below `count`.
    """
    layers, documents, tokens, _ = experts.shape
    flat = experts.reshape(layers * documents, -1).astype(int) + np.arange(layers * documents)[:, None] * count
    return np.bincount(flat.ravel(), minlength=layers * documents * count).reshape(layers, documents, count) / tokens


def routing_by_domain(shares: np.ndarray, domains: Sequence[str], dark: bool = False) -> str:
    """Which part of its tokens each domain's document sent to each expert, as HTML: a row per domain, a block per layer.

    `shares` (layers, documents, experts) are those of `expert_shares`. An expert is a place, the fuller the more tokens.
    Raises `ValueError` where there is not one domain for each document.
    """
    layers, documents, experts = shares.shape
    if documents != len(domains):
        raise ValueError(f"{documents} documents do not fit the domains {', '.join(domains)}")
    image = np.zeros((documents, layers, experts + 1, 4), np.uint8)  # the last column of a layer keeps it from the next
    image[:, :, :experts, :3] = palette.rgb(palette.MOST)
    image[:, :, :experts, 3] = np.round(_FAINT + shares.transpose(1, 0, 2).clip(0, 1) * (255 - _FAINT))
    image = image.reshape(documents, -1, 4)
    titles = "".join(f'<div class="title">layer {layer}</div>' for layer in range(layers))
    numbers = "".join(f"<span>{number}</span>" for _ in range(layers) for number in [*range(experts), ""])
    alt_text = _describe_routing(shares, domains)
    return (f'<div class="replay" role="img" aria-label="{escape(alt_text)}"><h2>Which expert (columns) each text\'s '
            f'tokens went to</h2><div></div><div class="across">{titles}</div><div class="down">'
            + "".join(f'<div style="height: 22px; line-height: 22px">{escape(domain)}</div>' for domain in domains)
            + f'</div><img src="{Picture(image, "").address(dark)}" alt="" style="height: {22 * documents}px">'
            + (f'<div></div><div class="across numbers" style="text-align: center">{numbers}</div>'
               if layers * experts <= _MANY_COLUMNS else "")
            + f"<p>{escape(alt_text)}</p></div>")


def _describe_routing(shares: np.ndarray, domains: Sequence[str]) -> str:
    layer, document, expert = np.unravel_index(int(shares.argmax()), shares.shape)
    even = shares.sum(axis=2).mean() / shares.shape[2]
    return (f"Most of all, {shares[layer, document, expert]:.0%} of the tokens of the {domains[document]} text went to "
            f"expert {expert} of layer {layer}; even would be {even:.0%}. One text of each domain: random weights prefer "
            "experts too, since each text has other tokens.")


def written(prompt: Sequence[str], continuation: Sequence[str], domain: str) -> str:
    """A sample as HTML: what the model was given, pale, and what it wrote, marked. Labels are escaped."""
    given, wrote = (escape("".join(map(visible_token, labels))).replace("␣", " ").replace("⏎", "⏎<br>")
                    for labels in (prompt, continuation))
    return (f'<div class="replay"><h2>What it writes, given a text of {escape(domain)}</h2>'
            f'<div class="text"><span>{given}</span><b>{wrote}</b></div></div>')


def scores_chart(steps: Sequence[int], scores: Mapping[str, np.ndarray], moment: int, chosen: tuple[int, int],
                 losses: Mapping[int, float] | None = None) -> Chart:
    """When heads learn to look back: two scores of the best heads at every moment, under the loss on repetition if given.

    `scores` are `PREVIOUS` and `INDUCTION`, each (moments, layers, heads), 0 to 1, at the moments after `steps`; one with
    NaN is left out. `moment` is the one that is looked at, `chosen` a layer and a head, `losses` nats by step. Raises
    `ValueError` where there is no such head.
    """
    heads = scores[PREVIOUS].shape[1:]
    if not (0 <= chosen[0] < heads[0] and 0 <= chosen[1] < heads[1]):
        raise ValueError(f"head {chosen[1]} of layer {chosen[0]} has no scores among {heads[0]} layers of {heads[1]} heads")
    known = {name: values for name, values in scores.items() if np.isfinite(values).all()}
    span = Scale(float(min(steps)), float(max(*steps, min(steps) + 1)))
    losses = {step: loss for step, loss in (losses or {}).items() if span.low <= step <= span.high}
    ups = [*([Scale(0.9 * min(losses.values()), 1.1 * max(losses.values()), log=True)] if losses else []),
           *(Scale(0, 1) for _ in known)]
    panels = grid(len(ups), 1, PLOT, span, ups)
    frames, marks = [], []
    if losses:
        frames += panels[0].frame(f"{LOSS} (nats a token)", ticks=(4, 3))
        marks.append(_curve(panels[0], _CHOSEN, LOSS, [*losses], np.array([*losses.values()])))
    for panel, (name, values) in zip(panels[len(marks):], known.items(), strict=True):
        frames += panel.frame(name, write=WHOLE_PERCENT, ticks=(4, 3))
        marks += [_curve(panel, _CHOSEN if head == chosen else _OTHER, f"layer {head[0]}, head {head[1]}", steps,
                         values[:, *head]) for head in _best(values[-1], chosen)]
    here = {"kind": _NOW, "x": float(panels[0].x(steps[moment]))}
    marks += [{**here, "y": panel.bottom, "y2": panel.top} for panel in panels]
    marks += _points(marks, steps[moment])
    return Chart(_scores_spec(), panel_data(frames, marks), "Scores of heads at every recorded step",
                 _describe_scores(steps[moment], {name: values[[moment, -1], *chosen] for name, values in known.items()},
                                  chosen, losses))


def _best(last: np.ndarray, chosen: tuple[int, int]) -> list[tuple[int, int]]:
    """The heads that end with the highest scores, and after them the chosen one, to lie on top."""
    best = [tuple(map(int, np.unravel_index(place, last.shape))) for place in np.argsort(-last, axis=None)[:BEST]]
    return [*(head for head in best if head != chosen), chosen]


def _curve(panel: Panel, kind: str, name: str, steps: Sequence[int], values: np.ndarray) -> dict:
    return {"kind": kind, "name": name, "panel": panel.top, "step": steps, "value": values.round(4), "x": panel.x(steps),
            "y": panel.y(values)}


def _points(marks: list[dict], step: int) -> list[dict]:
    """The points of the chosen head's curves and of the loss at this step."""
    return [{**mark, "kind": _POINT, **{name: mark[name][place] for name in ("step", "value", "x", "y")}}
            for mark in marks if mark["kind"] == _CHOSEN for place in np.flatnonzero(np.asarray(mark["step"]) == step)]


def _describe_scores(step: int, scores: Mapping[str, np.ndarray], chosen: tuple[int, int],
                     losses: Mapping[int, float]) -> str:
    parts = "; ".join(f"{name} {here:.0%}, {last:.0%} in the end" for name, (here, last) in scores.items())
    text = f"Layer {chosen[0]}, head {chosen[1]} at step {step:,}: {parts}."
    return text + (f" The {LOSS} is {losses[step]:.2f} nats." if step in losses else "")


@cache
def _scores_spec() -> dict:
    x, y = places("training (steps)", "loss, and score (% of attention)", room=46)
    detail = alt.Detail(["panel:N", "name:N"])
    tip = [alt.Tooltip("name:N"), alt.Tooltip("step:Q", format=","), alt.Tooltip("value:Q", format=".3f")]
    others = of_kind(_OTHER).mark_line(color=palette.MUTED, strokeWidth=1.5, opacity=0.55, tooltip=False).encode(
        x=x, y=y, detail=detail, order="step:Q")
    line = of_kind(_CHOSEN).mark_line(color=palette.ACCENT, strokeWidth=3, tooltip=False).encode(
        x=x, y=y, detail=detail, order="step:Q")
    points = of_kind(_POINT).mark_point(color=palette.ACCENT, filled=True, size=120, opacity=1).encode(x=x, y=y, tooltip=tip)
    now = of_kind(_NOW).mark_rule(color=palette.MUTED, strokeWidth=2.5, tooltip=False).encode(x=x, y=y, y2="y2:Q")
    return specification(alt.layer(*frame_layers(x, y), now, others, line, points), height=HEIGHT, canvas=True, right=12)
