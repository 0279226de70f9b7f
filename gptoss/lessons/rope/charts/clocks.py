"""Rotated queries and keys as clock hands: one pair of dimensions large, all pairs of a head small."""

from __future__ import annotations

import math

import numpy as np

from gptoss.charts import palette
from gptoss.charts.svg import HEADING_SIZE, Pen

_WIDTH, _HEIGHT, _UNIT = 540, 400, 106  # px of the large clock, and of an arrow of length 1
_X, _Y = _WIDTH / 2, _HEIGHT / 2
_TIPS_APART = 32  # degrees between the directions of the two labels
_CELL_WIDTH, _CELL_HEIGHT, _RADIUS = 56, 80, 23  # px of a small clock
_PER_ROW = 8
_COLOURS = {"query-hand": palette.QUERY, "key-hand": palette.KEY}

Hands = tuple[np.ndarray, np.ndarray, float]  # x and y of the query, of the key, and the angle between them in degrees
_LABEL_SIZE = 19  # drawings shrink with a narrow page


def clock(before: Hands, after: Hands, pair: int, pairs: int, query_at: int, key_at: int) -> str:
    """One pair's plane as SVG: query and key as pale arrows before both are moved, strong ones after.

    Each of `before` and `after` holds the x and y of the query and of the key, and the angle in degrees from the key to
    the query, counter-clockwise, drawn as a wedge. The dashed circle has the arrows' length before they are turned, 1.
    `query_at` and `key_at` are positions after the move in tokens. Dimensions are named as the model pairs them: `pair`
    with `pair + pairs`.
    """
    pen = Pen()
    pen.path(f"M60 {_Y:g}H{_WIDTH - 60}M{_X:g} 4V{_HEIGHT - 4}", palette.GRID, width=1.5)
    _circle(pen, _X, _Y, _UNIT, dashed=True)
    _circle(pen, _X, _Y, _UNIT * float(np.hypot(*after[0])))
    for (query, key, apart), reach, strength in ((before, 34, 0.35), (after, 56, 1)):
        _wedge(pen, key, apart, reach, strength)
        _hand(pen, "query-hand", query * _UNIT, 9, strength)
        _hand(pen, "key-hand", key * _UNIT, 5, strength)
    _tip_labels(pen, after, (f"query at {query_at}", f"key at {key_at}"))
    pen.text(4, 20, "pale: before the move", faint=True)
    pen.text(4, _HEIGHT - 30, f"across: dimension {pair}", faint=True)
    pen.text(4, _HEIGHT - 8, f"up: dimension {pair + pairs}", faint=True)
    pen.text(_WIDTH - 4, _HEIGHT - 8, f"{abs(after[2]):.1f}° apart", HEADING_SIZE + 4, "end", bold=True)
    label = f"Pair {pair} of {pairs}: query at position {query_at}, key at {key_at}, {abs(after[2]):.1f} degrees apart."
    return pen.picture(_WIDTH, _HEIGHT, label)


def describe_clock(before: Hands, after: Hands, pair: int, distance: int, step: float) -> str:
    """The large clock in words: the angle from `distance` (tokens) and `step` (degrees per token), and that it stayed."""
    angle = abs(distance * step)
    seen = f", seen as {abs(after[2]):.1f}°" if angle > 180 else ""
    return (f"Pair {pair} turns {step:.3g}° per token: {_tokens(abs(distance))} apart make {angle:.1f}°{seen}. "
            f"The angle was {abs(before[2]):.1f}° before both were moved and is {abs(after[2]):.1f}° now. "
            f"Each arrow has length {float(np.hypot(*after[0])):.4f}, before it is turned 1 (the dashed circle).")


def clock_grid(query: np.ndarray, key: np.ndarray, pair: int) -> str:
    """All pairs of a head as small clocks in SVG, fast ones first; `query` and `key` are (pairs, 2), x and y."""
    pairs = len(query)
    scale = _RADIUS / max(float(np.hypot(*query.T).max()), float(np.hypot(*key.T).max()))
    pen = Pen()
    for i in range(pairs):
        left, top = i % _PER_ROW * _CELL_WIDTH, i // _PER_ROW * _CELL_HEIGHT
        x, y = left + _CELL_WIDTH / 2, top + 4 + _RADIUS
        if i == pair:
            pen.box(left + 1, top + 0.5, _CELL_WIDTH - 2, _CELL_HEIGHT - 2, "none", stroke=palette.ACCENT, stroke_width=3)
        _circle(pen, x, y, _RADIUS)
        for kind, hand, width in (("query-hand", query[i], 6), ("key-hand", key[i], 3)):
            pen.path(f"M{x:g} {y:g}l{hand[0] * scale:.1f} {-hand[1] * scale:.1f}", _COLOURS[kind], width=width, kind=kind)
        pen.text(x, y + _RADIUS + _LABEL_SIZE, str(i), _LABEL_SIZE, "middle", bold=i == pair, faint=i != pair)
    label = f"All {pairs} pairs as clocks with a query's and a key's hand, the fastest first; pair {pair} is framed."
    return pen.picture(_PER_ROW * _CELL_WIDTH, math.ceil(pairs / _PER_ROW) * _CELL_HEIGHT, label)


def _tokens(count: int) -> str:
    return "1 token" if count == 1 else f"{count} tokens"


def _circle(pen: Pen, x: float, y: float, radius: float, dashed: bool = False) -> None:
    """A faint circle; as arcs, or dashed as many short ones."""
    if not dashed:
        arc = f"a{radius:g} {radius:g} 0 1 1"
        pen.path(f"M{x - radius:g} {y:g}{arc} {2 * radius:g} 0{arc} {-2 * radius:g} 0", palette.MUTED, width=1.5,
                 opacity=0.6)
        return
    dashes = [_arc(x, y, radius, start, 6) for start in range(0, 360, 12)]
    pen.path("".join(dashes), palette.MUTED, width=1.5, opacity=0.6)


def _arc(x: float, y: float, radius: float, start: float, sweep: float) -> str:
    """The path of an arc from `start` degrees on, counter-clockwise for a positive sweep."""
    (from_x, from_y), (to_x, to_y) = (
        (x + radius * math.cos(math.radians(a)), y - radius * math.sin(math.radians(a))) for a in (start, start + sweep))
    flags = f"{int(abs(sweep) > 180)} {int(sweep < 0)}"
    return f"M{from_x:.1f} {from_y:.1f}A{radius:g} {radius:g} 0 {flags} {to_x:.1f} {to_y:.1f}"


def _wedge(pen: Pen, key: np.ndarray, apart: float, reach: float, strength: float) -> None:
    """The angle between the arrows, from the key to the query."""
    arc = _arc(_X, _Y, reach, math.degrees(math.atan2(key[1], key[0])), apart)
    pen.path(f"{arc}L{_X:g} {_Y:g}Z", "none", palette.fade(palette.ACCENT, 0.25), opacity=strength, kind="angle")
    pen.path(arc, palette.ACCENT, width=4, opacity=strength)


def _hand(pen: Pen, kind: str, to: np.ndarray, width: float, opacity: float) -> None:
    """An arrow from the middle of the large clock in any direction; y counts upwards, as in the plane of the pair."""
    ahead = to / np.hypot(*to)
    aside, neck = np.array((-ahead[1], ahead[0])) * 11, to - ahead * 22
    (x, y), *head = ((_X + x, _Y - y) for x, y in (neck, neck + aside, to, neck - aside))
    pen.path(f"M{_X:g} {_Y:g}L{x:.1f} {y:.1f}", _COLOURS[kind], width=width, opacity=opacity, kind=kind)
    pen.path("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in head) + "Z", "none", _COLOURS[kind], opacity=opacity)


def _tip_labels(pen: Pen, hands: Hands, labels: tuple[str, str]) -> None:
    """Names beyond the arrows' tips, moved apart where the arrows point nearly the same way."""
    query, key, apart = hands
    too_close = max(_TIPS_APART - abs(apart), 0) / 2 * math.copysign(1, apart)
    for (x, y), words, aside in ((query, labels[0], too_close), (key, labels[1], -too_close)):
        angle = math.atan2(y, x) + math.radians(aside)
        reach, lean = _UNIT * math.hypot(x, y) + 12, math.cos(angle)
        anchor = "middle" if abs(lean) < 0.25 else "start" if lean > 0 else "end"
        # Beside a tip the words stand level with it; above and below one they need their own height as well.
        pen.text(_X + reach * lean, _Y - (reach + 6) * math.sin(angle) + 6, words, _LABEL_SIZE, anchor, bold=True)
