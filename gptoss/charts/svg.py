"""A small pen for drawing inline SVG: boxes, lines and text that take the page's own text colour."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape

from gptoss.charts.images import Picture
from gptoss.charts.palette import in_both_themes

TEXT_SIZE = 16
HEADING_SIZE = 18
_CHARACTER_WIDTH = 0.49  # of the text size, on average over Latin text in the app's sans-serif


class Pen:
    """Collects SVG elements. Coordinates are px of the picture's own grid; text is escaped here and only here."""

    def __init__(self) -> None:
        self._elements: list[str] = []

    def box(self, x: float, y: float, width: float, height: float, fill: str, radius: float = 8,
            kind: str = "", stroke: str = "none", stroke_width: float = 1.5) -> None:
        """A rectangle; `kind` becomes its class."""
        self._elements.append(
            f'<rect class="{escape(kind)}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" '
            f'fill="{in_both_themes(fill)}" stroke="{in_both_themes(stroke)}" stroke-width="{stroke_width:g}"/>')

    def path(self, commands: str, stroke: str = "currentColor", fill: str = "none", width: float = 2,
             opacity: float = 1, kind: str = "") -> None:
        """A line or an outline in SVG path commands."""
        self._elements.append(f'<path class="{escape(kind)}" d="{commands}" stroke="{in_both_themes(stroke)}" '
                              f'fill="{in_both_themes(fill)}" stroke-width="{width:g}" opacity="{opacity:g}"/>')

    def arrow(self, x: float, y: float, to_x: float, to_y: float) -> None:
        """A straight arrow along one axis."""
        across, down = (to_x > x) - (to_x < x), (to_y > y) - (to_y < y)
        left, right = (to_x - 7 * across - 5 * down, to_y - 7 * down + 5 * across), (
            to_x - 7 * across + 5 * down, to_y - 7 * down - 5 * across)
        self.path(f"M{x:g} {y:g}L{to_x:g} {to_y:g}M{left[0]:g} {left[1]:g}L{to_x:g} {to_y:g}L{right[0]:g} {right[1]:g}",
                  opacity=0.6)

    def plus(self, x: float, y: float) -> None:
        """The sum that closes a residual branch."""
        self._elements.append(f'<circle class="residual-add" cx="{x:g}" cy="{y:g}" r="11" fill="none" '
                              f'stroke="currentColor" stroke-width="2"/>')
        self.path(f"M{x - 6:g} {y:g}h12M{x:g} {y - 6:g}v12")

    def text(self, x: float, y: float, words: str, size: float = TEXT_SIZE, anchor: str = "start",
             bold: bool = False, faint: bool = False) -> None:
        """One line of text on the baseline `y`."""
        self._elements.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}" fill="currentColor" '
            f'font-weight="{600 if bold else 400}" opacity="{0.75 if faint else 1}">{escape(words)}</text>')

    def image(self, picture: Picture, x: float, y: float, width: float, height: float, dark: bool = False) -> None:
        """A picture stretched to a rectangle, its cells with sharp edges, in the colours of one theme."""
        self._elements.append(
            f'<image href="{picture.address(dark)}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
            f'preserveAspectRatio="none" style="image-rendering:pixelated"/>')

    def paragraph(self, x: float, y: float, words: str, width: float, size: float = TEXT_SIZE,
                  faint: bool = True) -> float:
        """Text broken into lines no wider than `width`, the first on the baseline `y`; returns the next baseline."""
        for line in textwrap.wrap(words, max(8, int(width / (size * _CHARACTER_WIDTH)))):
            self.text(x, y, line, size=size, faint=faint)
            y += size * 1.4
        return y

    @contextmanager
    def link(self, href: str, label: str) -> Iterator[None]:
        """What is drawn meanwhile leads to `href`; `label` says where to. Of class `way`, like all links between pages."""
        outside, self._elements = self._elements, []
        try:
            yield
        finally:
            inside, self._elements = self._elements, outside
        words = escape(label)
        self._elements.append(f'<a class="way" href="{escape(href)}" target="_self" aria-label="{words}">'
                              f"<title>{words}</title>{''.join(inside)}</a>")

    def area(self, x: float, y: float, width: float, height: float) -> None:
        """A rectangle that cannot be seen, so that a link can be hit between its marks."""
        self._elements.append(f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="none" '
                              f'pointer-events="all"/>')

    def put_behind(self, other: Pen) -> None:
        """Draws what `other` holds beneath everything drawn so far."""
        self._elements[:0] = other._elements

    def put_before(self, other: Pen) -> None:
        """Draws what `other` holds on top of everything drawn so far."""
        self._elements += other._elements

    def picture(self, width: float, height: float, label: str) -> str:
        """The finished `<svg>`, as wide as its container, with `label` for those who do not see it."""
        words, body = escape(label), "".join(self._elements)
        role = "group" if "<a " in body else "img"  # what is in an image cannot be reached by a screen reader
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="{role}" '
                f'aria-label="{words}" style="width:100%;height:auto;display:block;font-family:inherit">'
                f"<title>{words}</title>{body}</svg>")


_ONE_OF_TWO = ("<style>.drawing-narrow {display: none} "
               "@media (max-width: 760px) {.drawing-wide {display: none} .drawing-narrow {display: block}}</style>")


def at_both_widths(wide: str, narrow: str) -> str:
    """Two versions of a drawing, of which a screen shows the one that fits it.

    The rule travels with them: what comes before its style would be seen twice, and move the page as one of them goes.
    """
    return f'{_ONE_OF_TWO}<div class="drawing-wide">{wide}</div><div class="drawing-narrow">{narrow}</div>'
