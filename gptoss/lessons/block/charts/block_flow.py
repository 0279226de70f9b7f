"""The inside of one block: its tensors in the order in which they come to be, and one addition as two arrows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from gptoss.charts import palette
from gptoss.charts.svg import Pen

# The steps of a block, each with the tensors that it makes, and the colour of each.
_STEPS = (
    ("Attention reads", ("attn.norm",)), ("projects", ("attn.q", "attn.k", "attn.v")),
    ("turns", ("attn.q_rope", "attn.k_rope")), ("compares", ("attn.weights", "attn.sink_mass")),
    ("averages", ("attn.mixed",)), ("adds", ("attn.out", "after_attn")),
    ("The experts read", ("mlp.norm",)), ("route", ("mlp.router_logits", "mlp.experts", "mlp.expert_weights")),
    ("answer", ("mlp.expert_outputs",)), ("add", ("mlp.out", "after_mlp")))
_COLOURS = {
    "attn.norm": palette.PARTS["norms"], "mlp.norm": palette.PARTS["norms"], "norm": palette.PARTS["norms"],
    "attn.q": palette.QUERY, "attn.q_rope": palette.QUERY, "attn.k": palette.KEY, "attn.k_rope": palette.KEY,
    "attn.v": palette.VALUE, "attn.mixed": palette.VALUE, "attn.weights": palette.MAGNITUDE,
    "attn.sink_mass": palette.SINK, "attn.out": palette.PARTS["attention"],
    "mlp.router_logits": palette.PARTS["router"], "mlp.experts": palette.PARTS["router"],
    "mlp.expert_weights": palette.PARTS["router"], "mlp.expert_outputs": palette.PARTS["experts"],
    "mlp.out": palette.PARTS["experts"], "logits": palette.PARTS["unembedding"],
}
_STYLE = f"""<style>
.flow {{display: flex; flex-wrap: wrap; gap: 10px 6px; align-items: flex-start; direction: ltr; line-height: 1.25}}
.flow .step {{display: flex; flex-direction: column; gap: 3px}}
.flow .step > b {{font-size: 0.85rem; font-weight: 400; opacity: 0.75; min-height: 1.1rem}}
.flow span {{border-left: 6px solid; border-radius: 4px; padding: 2px 7px; background: {palette.IDLE}; font-size: 0.9rem}}
.flow span.here {{outline: 3px solid {palette.ACCENT}; font-weight: 700}}
.flow small {{display: block; font-size: 0.78rem; opacity: 0.8; font-weight: 400}}
.flow i {{margin-top: 1.7rem; opacity: 0.6; font-style: normal}}
</style>"""

_WIDTH, _HEIGHT, _MARGIN = 420, 260, 30


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
    said = f"The tensors of a pass, those of block {layer} step by step; {here} has the shape {shapes.get(here, '')}"
    return f'{_STYLE}<div class="flow" role="img" aria-label="{escape(said)}">{drawn}</div>'


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
    said = (f"{stage}: the stream of length {before:.2f} and an addition of length {added:.2f}"
            + (f" at {math.degrees(angle):.0f} degrees" if math.isfinite(cosine) else "")
            + f" make a stream of length {after:.2f}.")
    return pen.picture(_WIDTH, _HEIGHT, said)


def _chip(name: str, shape: str, here: bool) -> str:
    short = name.split(".", 2)[2] if name.startswith("block.") else name
    colour = _COLOURS.get(short, palette.PARTS["embedding"])
    return (f'<span{" class=here" if here else ""} style="border-color:{colour}" title="{escape(name)}">'
            f"{escape(short.rpartition('.')[2])}<small>{escape(shape)}</small></span>")


def _fit(points: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    """The points moved and scaled into the picture's lower part, y upwards."""
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    top = _MARGIN + 50  # below the lengths in words
    scale = min((_WIDTH - 2 * _MARGIN) / max(right - left, 1e-9), (_HEIGHT - _MARGIN - top) / max(high - low, 1e-9))
    return [(_MARGIN + (x - left) * scale, _HEIGHT - _MARGIN - (y - low) * scale) for x, y in points]


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
