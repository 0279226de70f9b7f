"""One query's way through an attention head as a worksheet: a table of its real numbers, filled in step by step, in HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from gptoss.charts import palette
from gptoss.charts.head_map import image_address
from gptoss.charts.labels import visible_token
from gptoss.lessons.attention.charts.worked import number, sentence, token_name, worked_formula

if TYPE_CHECKING:
    from gptoss.lessons.attention.measure import QuerySteps

PRODUCT, SCALE, MASK, SOFTMAX, MIX = STEPS = (1, 2, 3, 4, 5)
STEP_NAMES = ("q · k", "÷ √d", "mask", "softmax", "values")

_EDGE = palette.fade(palette.ACCENT, 0.5)
_TINTS = 10  # steps of strength behind a number
_TINT_RULES = "".join(f".qs .{kind}{n} {{background-color: {palette.fade(colour, round(0.5 * n / _TINTS, 3))}}}\n"
                      for kind, colour in (("n", palette.NEGATIVE), ("p", palette.POSITIVE)) for n in range(1, _TINTS + 1))
_STYLE = f"""
.qs {{font-size: 0.9rem; line-height: 1.25}}
.qs p {{margin: 0 0 0.35rem}}
.stHtml .qs table {{width: 100%; table-layout: fixed; border-collapse: collapse; margin: 0; border: none}}
.qs td, .qs th {{padding: 1px 4px; height: 1.38rem; border: none; font-weight: 400; text-align: right;
  font-variant-numeric: tabular-nums; white-space: nowrap; overflow: hidden; text-overflow: ellipsis}}
.qs tbody th {{text-align: left; line-height: 1; font-family: "Source Code Pro", monospace; font-size: 0.8rem}}
.qs tbody th small, .qs .why {{opacity: 0.7; font-size: 0.78rem}}
.qs thead th {{text-align: center; font-size: 0.82rem; opacity: 0.7; padding: 1px; border-bottom: 2px solid {palette.GRID}}}
.qs thead th.now {{opacity: 1; font-weight: 700; color: white; background: {palette.ACCENT}; border-radius: 6px 6px 0 0}}
.qs tbody td.now {{box-shadow: inset 2px 0 {_EDGE}, inset -2px 0 {_EDGE}}}
.qs i {{display: block; height: 1rem; border-radius: 2px; box-sizing: border-box; image-rendering: pixelated;
  background-origin: border-box; background-repeat: no-repeat}}
.qs .q i {{border: 2px solid {palette.QUERY}}}
.qs .k i {{border: 2px solid {palette.KEY}}}
.qs .v i {{border: 2px solid {palette.VALUE}}}
.qs .out i {{border: 2px solid {palette.ACCENT}; height: 1.3rem}}
.qs .sink th {{color: {palette.SINK}; font-weight: 700}}
.qs tbody .out th {{font-family: inherit; font-size: 0.85rem}}
.qs .out th, .qs .out td {{border-top: 2px solid {palette.GRID}; font-weight: 700}}
.qs .hidden .s4, .qs .hidden .v {{opacity: 0.25}}
.qs .hidden .s3 {{color: {palette.FULL}; font-weight: 700}}
.qs .chosen > * {{background-color: {palette.fade(palette.ACCENT, 0.13)}; font-weight: 700}}
.qs .bar {{background-size: var(--share) 70%; background-repeat: no-repeat; background-position: 0 50%}}
.qs .formula {{min-height: 3.1rem; margin: 0.4rem 0 0; padding: 0.35rem 0.6rem; border-left: 4px solid {palette.ACCENT};
  background: {palette.fade(palette.ACCENT, 0.08)}; font-size: 0.95rem; font-variant-numeric: tabular-nums}}
.qs .formula b {{white-space: nowrap}}
.qs sup {{line-height: 0; font-size: 0.75em}}
.qs .query {{color: {palette.QUERY}; font-weight: 700}}
.qs .key {{color: {palette.KEY}; font-weight: 700}}
.qs .value {{color: {palette.VALUE}; font-weight: 700}}
.qs .sink-word {{color: {palette.SINK}; font-weight: 700}}
@keyframes qs-appear {{from {{opacity: 0; transform: translateY(-6px)}}}}
@media (prefers-reduced-motion: no-preference) {{.qs.playing .now > * {{animation: qs-appear 0.7s}}}}
@media (max-width: 760px) {{
  .qs td, .qs th {{padding: 1px 2px; font-size: 0.8rem}}
  .qs tbody th {{font-size: 0.78rem}}
  .qs thead th {{font-size: 0.75rem; white-space: normal; line-height: 1.1; letter-spacing: -0.02em}}
  .qs span.why, .qs tbody th small {{display: none}}
}}
{_TINT_RULES}"""
_WIDTHS = (22, 14, 12, 11, 13, 14, 14)  # % of the table: token, key, q · k, score, mask, weight, value
_COLUMNS = "<colgroup>" + "".join(f'<col style="width:{width}%">' for width in _WIDTHS) + "</colgroup>"


def query_worksheet(steps: QuerySteps, shown: Sequence[int], chosen: int, labels: Sequence[str], step: int = MIX,
                    playing: bool = False) -> str:
    """The worksheet of one query, filled in up to `step`, one of `STEPS`.

    A row for each key in `shown`, one for the seen keys left out, one for the sink, and the output below. The key
    `chosen` is marked, and the step's formula stands below with that key's numbers put in. Vectors are strips: blue
    is negative, orange positive. `labels` are the tokens, a person's text, so they are escaped. While `playing` the
    new column fades in. Raises `ValueError` for a step that there is not.
    """
    if step not in STEPS:
        raise ValueError(f"step {step} is impossible; allowed: {', '.join(map(str, STEPS))}")
    rows = [_query_row(steps, labels)]
    rows += [_key_row(steps, key, labels[key], step, key == chosen, place) for place, key in enumerate(shown)]
    rows += [_others_row(steps, shown, step), _sink_row(steps, step), _output_row(steps, step)]
    table = (f'<table aria-label="{escape(describe_query(steps, labels))}">{_COLUMNS}{_header(steps, step)}'
             f'<tbody>{"".join(rows)}</tbody></table>')
    formula = f'<p class="formula">{worked_formula(steps, chosen, labels, step)}</p>'
    return (f'<style>{_STYLE}{_strips(steps, shown)}</style><div class="qs{" playing" if playing else ""}">'
            f"<p>{sentence(steps, step)}</p>{table}{formula}</div>")


def describe_query(steps: QuerySteps, labels: Sequence[str]) -> str:
    """The worksheet in a sentence or two: its alternative text."""
    best = steps.best_key
    return (f"Attention of one head for the query {visible_token(labels[steps.position])} at position {steps.position}: "
            f"{int(steps.seen.sum())} of {len(labels)} keys are seen. The largest weight, {steps.weights[best]:.3f}, goes "
            f"to {visible_token(labels[best])} at position {best}; the sink takes {steps.sink_weight:.3f}.")


def _header(steps: QuerySteps, step: int) -> str:
    names = ("q · k", f"÷ √{steps.head_dim}", "mask", "softmax", "× value")
    cells = (f'<th colspan="{2 if place == PRODUCT else 1}" class="{"now" if place == step else ""}">{place} '
             f"{name}</th>" for place, name in zip(STEPS, names, strict=True))
    return f"<thead><tr><th></th>{''.join(cells)}</tr></thead>"


def _cell(place: int, step: int, content: str = "", kind: str = "", style: str = "") -> str:
    """A cell of the column that step `place` fills: empty before it, framed while it is being taken."""
    if step < place:
        return "<td></td>"
    kinds = " ".join(filter(None, (f"s{place}", "now" if place == step else "", kind)))
    styled = f' style="{style}"' if style else ""
    return f'<td class="{kinds}"{styled}>{content}</td>'


def _query_row(steps: QuerySteps, labels: Sequence[str]) -> str:
    words = '← the <span class="query">query</span>; below it the <span class="key">keys</span>'
    return (f'<tr class="q"><th><b>{_token(labels[steps.position], steps.position)}</b></th><td><i class="q0"></i></td>'
            f'<td colspan="5" style="text-align:left">{words}</td></tr>')


def _key_row(steps: QuerySteps, key: int, label: str, step: int, chosen: bool, place: int) -> str:
    seen = bool(steps.seen[key])
    kinds = f'{"chosen" if chosen else ""} {"" if seen or step < MASK else "hidden"}'
    mark, why = ("✓", "") if seen else ("−∞", "later" if key > steps.position else "far")
    largest = _largest(steps.products)
    return (f'<tr class="{kinds}"><th>{_token(label, key)}</th>'
            f'<td class="k"><i class="k{place}"></i></td>'
            + _tinted(PRODUCT, step, float(steps.products[key]), largest)
            + _tinted(SCALE, step, float(steps.scores[key]), largest)
            + _cell(MASK, step, f'{mark} <span class="why">{why}</span>')
            + _weight(steps, float(steps.weights[key]), step, palette.MAGNITUDE)
            + _cell(MIX, step, f'<i class="v{place}"></i>', "v") + "</tr>")


def _others_row(steps: QuerySteps, shown: Sequence[int], step: int) -> str:
    """The keys that are seen but have no row of their own, so that the weights add up."""
    count = int(steps.seen.sum()) - sum(bool(steps.seen[key]) for key in shown)
    if not count:
        return ""
    weight = float(steps.weights.sum() - steps.weights[list(shown)].sum())
    more = (f"<td></td>{_cell(PRODUCT, step, '…')}{_cell(SCALE, step, '…')}{_cell(MASK, step, '✓')}"
            f"{_cell(SOFTMAX, step, f'{weight:.3f}')}{_cell(MIX, step, '…')}")
    return f'<tr><th title="{count} more keys that are seen">+ {count} seen</th>{more}</tr>'


def _sink_row(steps: QuerySteps, step: int) -> str:
    """The sink enters with the softmax; before, its row stays empty, so that the table keeps its height."""
    if step < SOFTMAX:
        return '<tr><th>&nbsp;</th><td colspan="6"></td></tr>'
    return (f'<tr class="sink"><th>sink</th><td class="why">no key</td><td></td>'
            f'<td title="the learned logit of the sink">{number(steps.sink_logit)}</td><td></td>'
            f'{_weight(steps, steps.sink_weight, step, palette.SINK)}{_cell(MIX, step, "no value", "why")}</tr>')


def _output_row(steps: QuerySteps, step: int) -> str:
    words = "output of the head for this token" if step == MIX else "&nbsp;"
    total = f"{float(steps.weights.sum()) + steps.sink_weight:.3f}"
    return (f'<tr class="out"><th colspan="5">{words}</th>{_cell(SOFTMAX, step, total)}'
            + _cell(MIX, step, '<i class="o0"></i>') + "</tr>")


def _tinted(place: int, step: int, value: float, largest: float) -> str:
    """A number on a ground whose colour is its sign and whose strength its size, on one scale for both columns."""
    return _cell(place, step, number(value), f"{'n' if value < 0 else 'p'}{round(_TINTS * abs(value) / (largest or 1))}")


def _weight(steps: QuerySteps, weight: float, step: int, colour: str) -> str:
    share = weight / max(float(steps.weights.max()), steps.sink_weight, 1e-12)
    fill = palette.fade(colour, 0.55)
    return _cell(SOFTMAX, step, f"{weight:.3f}", "bar",
                 f"--share:{share:.1%};background-image:linear-gradient({fill},{fill})")


def _token(label: str, position: int) -> str:
    return f"{token_name(label)} <small>{position}</small>"


def _largest(*arrays: np.ndarray) -> float:
    return max(float(np.abs(array).max()) for array in arrays)


def _strips(steps: QuerySteps, shown: Sequence[int]) -> str:
    """Style rules for every vector as a row of cells: all are lines of one image, and each strip shows one line of it.

    Blue is below zero, orange above, clear is zero. Full colour is the largest number of all queries and keys of the
    head, or of all its values; the output is on the scale of the values.
    """
    vectors = {"q0": steps.query} | {f"k{place}": steps.keys[key] for place, key in enumerate(shown)}
    matching = _colours(np.stack(list(vectors.values())), _largest(steps.query, steps.keys))
    mixed = {f"v{place}": steps.values[key] for place, key in enumerate(shown)} | {"o0": steps.output}
    image = np.concatenate([matching, _colours(np.stack(list(mixed.values())), _largest(steps.values))])
    last = len(image) - 1
    lines = "".join(f".qs i.{name}{{background-position:0 {100 * line / last:.3f}%}}"
                    for line, name in enumerate([*vectors, *mixed]))
    return f".qs i{{background-image:url({image_address(image)});background-size:100% {100 * len(image)}%}}{lines}"


def _colours(vectors: np.ndarray, largest: float) -> np.ndarray:
    """RGBA (vectors, numbers, 4) of vectors (vectors, numbers)."""
    image = np.empty((*vectors.shape, 4), np.uint8)
    image[..., :3] = np.where((vectors < 0)[..., None], palette.rgb(palette.NEGATIVE), palette.rgb(palette.POSITIVE))
    image[..., 3] = np.round(np.abs(vectors) * (255 / (largest or 1))).clip(0, 255)
    return image
