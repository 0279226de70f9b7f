"""What tables share that each step fills by one more column: their look, cells, strips of numbers, and sums written out.

Rows, words, sizes and colours are each lesson's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from gptoss.charts import palette
from gptoss.charts.images import Picture
from gptoss.units import fixed

_EDGE = palette.fade(palette.ACCENT, 0.5)


def sheet_style(sheet: str) -> str:
    """CSS for the worksheet of class `sheet`, in the light theme's colours; a lesson's own rules come after it."""
    return f"""
.{sheet}.{sheet} table {{width: 100%; table-layout: fixed; border-collapse: collapse; margin: 0; border: none}}
.{sheet} td, .{sheet} th {{border: none; font-weight: 400; text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; overflow: hidden; text-overflow: ellipsis}}
.{sheet} tbody th {{text-align: left}}
.{sheet} thead th {{text-align: center; border-bottom: 2px solid {palette.GRID}}}
.{sheet} thead th.now {{opacity: 1; font-weight: 700; color: {palette.PAPER}; background: {palette.ACCENT};
  border-radius: 6px 6px 0 0}}
.{sheet} tbody td.now {{box-shadow: inset 2px 0 {_EDGE}, inset -2px 0 {_EDGE}}}
.{sheet} i {{display: block; border-radius: 2px; box-sizing: border-box; image-rendering: pixelated;
  background-origin: border-box; background-repeat: no-repeat}}
.{sheet} .out th, .{sheet} .out td {{border-top: 2px solid {palette.GRID}; font-weight: 700}}
.{sheet} .bar {{background-size: var(--share) 70%; background-repeat: no-repeat; background-position: 0 50%}}
.{sheet} .formula {{border-left: 4px solid {palette.ACCENT}; background: {palette.fade(palette.ACCENT, 0.08)};
  font-variant-numeric: tabular-nums}}
.{sheet} sup {{line-height: 0; font-size: 0.75em}}
@media (max-width: 760px) {{
  .{sheet} thead th {{white-space: normal; line-height: 1.1; letter-spacing: -0.02em}}
}}
"""


def colgroup(widths: Iterable[int]) -> str:
    """The columns of the table, whose widths are % of it."""
    return "<colgroup>" + "".join(f'<col style="width:{width}%">' for width in widths) + "</colgroup>"


def cell(place: int, step: int, content: str = "", kind: str = "", style: str = "") -> str:
    """A cell of the column that step `place` fills: empty before it, framed while it is being taken."""
    if step < place:
        return "<td></td>"
    kinds = " ".join(filter(None, ("now" if place == step else "", kind)))
    styled = f' style="{style}"' if style else ""
    return f'<td class="{kinds}"{styled}>{content}</td>'


def bar_style(share: float, colour: str) -> str:
    """The style of a cell of class `bar`, of which `colour`, as the light theme has it, fills a `share` of 0 to 1."""
    fill = palette.in_both_themes(colour)
    return f"--share:{share:.1%};background-image:linear-gradient({fill},{fill})"


def strips(sheet: str, names: Sequence[str], image: np.ndarray, dark: bool) -> str:
    """CSS that shows vectors as strips: `<i class="NAME">` is one line of `image`, which all of them share.

    `image` (names, numbers, 4) has at least two lines, coloured as `gptoss.charts.images.signed_pixels` does; the
    strips have the colours of one theme.
    """
    last = len(image) - 1
    lines = "".join(f".{sheet} i.{name}{{background-position:0 {100 * line / last:.3f}%}}"
                    for line, name in enumerate(names))
    return (f".{sheet} i{{background-image:url({Picture(image, '').address(dark)});"
            f"background-size:100% {100 * len(image)}%}}{lines}")


def dot_product(left: np.ndarray, right: np.ndarray) -> str:
    """The sum of the products of two vectors (size,), written out; of more than three terms the middle is left out.

    Raises `ValueError` where their sizes differ.
    """
    terms = [f"{factor(a)} · {factor(b)}" for a, b in zip(left, right, strict=True)]
    if len(terms) > 3:
        terms = [*terms[:2], "…", terms[-1]]
    return " + ".join(terms)


def factor(value: float, decimals: int = 2) -> str:
    """A number inside a product: a negative one in brackets."""
    return f"({fixed(value, decimals)})" if value < 0 else fixed(value, decimals)
