"""What a room has answered: bars where it chose, a strip of dots where it named a number, two rounds beside each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

import altair as alt
import numpy as np

from gptoss.charts import palette
from gptoss.charts.chart import Chart, scale_of, specification, tooltip
from gptoss.charts.panels import Panel, Scale, frame_layers, grid, of_kind, panel_data, places
from gptoss.units import number, percent, plural, with_unit

ROUNDS = 2  # that are shown, the last ones
MOST = 8  # choices that are shown
NOW, BEFORE = "now", "before"
_LETTERS = 16  # px
_BAR, _LINE, _GAP, _BELOW = 24, 26, 12, 52  # px of a bar, of the words above a choice's bars, between choices, of the axis
_LOW_BAR, _LOW_LINE, _LOW_GAP, _LOW_BELOW = 10, 24, 8, 26  # the same where there are many
_LOW_LETTERS = 14  # px
_MANY = 12  # lines of words and bars from which on all are low: more would not fit a small projector
_HEIGHT, _PLOT = 420, 355  # px of the strips in all, and of what is left beside the axis title
_COLUMNS = 44  # of dots, along a strip
_DOT, _SMALL = 16, 9  # px across, at most and at least
_LEAST = 8.0  # answers for which a strip is tall enough
_FEW = 12.0  # answers up to which four ticks would be at halves
_ROOM = 0.06  # of an axis, beyond its ends
_MIDDLE, _FENCE = (0.1, 0.9), 2.0  # an answer this many times their width off the middle ones stands at the axis's end
_WIDE, _MOST_POSITIVE = 15.0, 0.9  # ratio of answers, and share of positive ones, from which on an axis is logarithmic
_CHOICE, _SHARE = "choice", "share"
_TRUE, _OTHER = "the answer", "another choice"
_ANSWER, _TRUTH, _AT_LEFT, _AT_RIGHT = "answer", "true value", "its name at the left", "its name at the right"


def choice_bars(rounds: Sequence[Mapping[str, int]], answer: str | None = None) -> Chart:
    """How many chose what: a bar for each choice, and of two rounds two of them, the earlier one pale.

    Each of `rounds` has a count for every choice; the last `ROUNDS` are shown, and of many choices `MOST`. The `answer`,
    once it is to be known, has a colour of its own and a tick before its words. Raises `ValueError` without a choice.
    """
    shown = rounds[-ROUNDS:]
    if not shown or not shown[-1]:
        raise ValueError("there is no choice to draw")
    choices = _foremost(shown[-1], answer)
    low = is_low(len(choices), len(shown))
    bar, line, gap = (_LOW_BAR, _LOW_LINE, _LOW_GAP) if low else (_BAR, _LINE, _GAP)
    tall, marks = line + bar * len(shown) + gap, []
    for place, choice in enumerate(choices):
        top, true = float(place * tall), choice == answer
        words = f"{_in_words(shown, choice)}: {choice}" if low else choice
        marks.append({"kind": _CHOICE, "x": 0.0, "y": top + line, "text": f"✓ {words}" if true else words})
        for turn, counts in enumerate(shown):
            now, y = turn == len(shown) - 1, top + line + bar * turn
            share = _shares(counts)[choice]
            words = [f"{percent(share, 0)} · {counts[choice]:,}", *([NOW if now else BEFORE] if len(shown) > 1 else [])]
            marks.append({"kind": _SHARE, "choice": choice, "what": _TRUE if true else _OTHER, "x": round(share, 4),
                          "round": len(rounds) - len(shown) + turn + 1, "count": counts[choice],
                          "shade": 1.0 if now else 0.45, "y": y, "y2": y + bar - (2 if low else 4),
                          "text": "" if low else " ".join(words)})
    data = panel_data([], marks).fillna({name: 0.0 for name in ("round", "count", "shade")})
    note = f"{len(choices)} of {len(shown[-1])} choices, those of most answers" if len(choices) < len(shown[-1]) else ""
    spec = _bars(tall * len(choices), low)
    return Chart(spec, data, "Answers of the room by choice", _describe_choices(shown, answer), note)


def is_low(choices: int, rounds: int) -> bool:
    """Whether bars of so many choices are drawn low, with their figures among the words above them."""
    return min(choices, MOST) * (1 + min(rounds, ROUNDS)) > _MANY


def number_dots(rounds: Sequence[Sequence[float]], answer: float | None = None, unit: str = "") -> Chart:
    """A dot for every answer, heaped where answers are alike; of two rounds two strips, the earlier one above.

    The last `ROUNDS` of `rounds` are shown. The `answer`, once it is to be known, is a line across. An axis of positive
    numbers that lie far apart is logarithmic. Raises `ValueError` where nobody has answered in any of them.
    """
    shown = [np.asarray(each, float) for each in rounds[-ROUNDS:]]
    values = np.concatenate(shown) if shown else np.empty(0)
    if not len(values):
        raise ValueError("there is no answer to draw")
    across, beyond = _axis(values, answer)
    heaps = [_heaped(across, each, answer) for each in shown]
    most = max(_LEAST, *(float(up.max(initial=0)) + 1 for _, up in heaps))
    panels = grid(len(shown), 1, _PLOT, across, [Scale(0, most)] * len(shown))
    names = [""] if len(shown) == 1 else [BEFORE, NOW]
    lines = 4 if most > _FEW else 3
    frames = [row for panel, each, name in zip(panels, shown, names, strict=True)
              for row in panel.frame(f"{plural(len(each), 'answer')} {name}".strip(), _median(each, unit), ticks=(6, lines))]
    marks = [mark for panel, each, (x, up), name in zip(panels, shown, heaps, names, strict=True)
             for mark in _strip(panel, each, x, up, name or NOW, most)]
    marks += _truth(panels, answer, unit)
    note = f"{plural(beyond, 'answer')} far off at the end of the axis" if beyond else ""
    return Chart(_dots(unit), panel_data(frames, marks).fillna({"size": 0.0}), "Answers of the room as numbers",
                 _describe_numbers(shown, answer, unit), note)


def _axis(values: np.ndarray, answer: float | None) -> tuple[Scale, int]:
    """From where to where answers are drawn, with the true one among them; and how many are beyond that.

    On a logarithmic axis what is not positive is beyond it.
    """
    true = np.array([] if answer is None else [answer])
    log = _lie_far_apart(values, true)
    drawn = np.log(values[values > 0]) if log else values
    true = np.log(true) if log else true
    low, high = np.quantile(drawn, _MIDDLE)
    reach = _FENCE * (high - low) or np.inf
    ends = np.append(drawn[(drawn >= low - reach) & (drawn <= high + reach)], true)
    room = _ROOM * (ends.max() - ends.min()) or max(0.1 * abs(float(ends[0])), 0.1)
    first, last = float(ends.min() - room), float(ends.max() + room)
    beyond = len(values) - int(((drawn >= first) & (drawn <= last)).sum())
    return (Scale(math.exp(first), math.exp(last), log=True) if log else Scale(first, last)), beyond


def _lie_far_apart(values: np.ndarray, true: np.ndarray) -> bool:
    """Whether equal ratios are to be seen as equal: nearly all are positive, the true one too, and they differ in size."""
    known = np.append(values[values > 0], true)
    if len(known) < _MOST_POSITIVE * (len(values) + len(true)) or (true <= 0).any():
        return False
    low, high = np.quantile(known, (0.05, 0.95))
    return bool(high / low > _WIDE)


def _heaped(across: Scale, values: np.ndarray, answer: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Where along the axis each answer stands, from 0 to 1, and how many are below it. One column is at the true value."""
    least = across.low if across.log else -np.inf
    middle = 0.5 if answer is None else float(across.share(answer) * _COLUMNS % 1)
    columns = np.round(across.share(np.maximum(values, least)).clip(0, 1) * _COLUMNS - middle).astype(int)
    columns = np.clip(columns, 0, _COLUMNS - 1)
    up, heaps = np.zeros(len(values)), np.zeros(_COLUMNS, int)
    for place, column in enumerate(columns):
        up[place], heaps[column] = heaps[column], heaps[column] + 1
    return (columns + middle) / _COLUMNS, up


def _strip(panel: Panel, values: np.ndarray, x: np.ndarray, up: np.ndarray, when: str, most: float) -> list[dict]:
    """The dots of one round: as large as the highest heap leaves room for."""
    across = min(max((panel.top - panel.bottom) * _PLOT / most, _SMALL), _DOT)
    return [{"kind": _ANSWER, "round": when, "value": values.round(6), "x": panel.left + x * (panel.right - panel.left),
             "y": panel.y(up + 0.5), "size": round(across ** 2, 1)}] if len(values) else []


def _truth(panels: Sequence[Panel], answer: float | None, unit: str) -> list[dict]:
    """The line of the true value through every strip, and its name beside it, where there is room."""
    if answer is None:
        return []
    x = float(panels[0].x(answer))
    name = {"kind": _AT_RIGHT if x < 0.6 else _AT_LEFT, "name": f"true: {_written(answer, unit)}", "x": x,
            "y": panels[0].top}
    return [*({"kind": _TRUTH, "value": answer, "x": x, "y": panel.bottom, "y2": panel.top} for panel in panels), name]


def _written(value: float, unit: str) -> str:
    return with_unit(number(value, 4), unit)


def _in_words(rounds: Sequence[Mapping[str, int]], choice: str) -> str:
    """How many chose it, and in the round before."""
    *earlier, last = (percent(_shares(counts)[choice], 0) for counts in rounds)
    shares = f"{earlier[0]} {BEFORE}, {last} {NOW}" if earlier else last
    return f"{shares} · {rounds[-1][choice]:,}"


def _foremost(counts: Mapping[str, int], answer: str | None) -> list[str]:
    """The choices that are shown, in their own order."""
    by_count = sorted(counts, key=lambda choice: (choice != answer, -counts[choice]))
    return [choice for choice in counts if choice in by_count[:MOST]]


def _median(values: np.ndarray, unit: str) -> str:
    return f"median {_written(float(np.median(values)), unit)}" if len(values) else ""


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    total = max(sum(counts.values()), 1)
    return {choice: count / total for choice, count in counts.items()}


def _describe_choices(rounds: Sequence[Mapping[str, int]], answer: str | None) -> str:
    said = "; ".join(f"“{choice}” {percent(share, 0)}" for choice, share in _shares(rounds[-1]).items())
    sentences = [f"{plural(sum(rounds[-1].values()), 'answer')}: {said}."]
    if answer in rounds[-1]:
        before = [f"In the round before, {percent(_shares(counts)[answer], 0)} chose it." for counts in rounds[:-1]]
        sentences += [f"The answer is “{answer}”.", *before]
    return " ".join(sentences)


def _describe_numbers(rounds: Sequence[np.ndarray], answer: float | None, unit: str) -> str:
    said = [f"{plural(len(each), 'answer')} from {_written(float(each.min()), unit)} to "
            f"{_written(float(each.max()), unit)}, {_median(each, unit)}" for each in rounds if len(each)]
    return "; then ".join(said) + "." + ("" if answer is None else f" It is {_written(answer, unit)}.")


@cache
def _bars(height: int, low: bool) -> dict:
    """`height` is that of all choices with their bars, which are `low` where there are many."""
    down = alt.Scale(domain=[0, height], reverse=True, nice=False, zero=False)
    y = alt.Y("y:Q", scale=down, axis=None)
    x = alt.X("x:Q", scale=alt.Scale(zero=True, nice=False), axis=alt.Axis(
        title="answers (% of all)", format=".0~%", tickCount=4, grid=False, labels=not low, ticks=not low))
    colour = alt.Color("what:N", legend=None, scale=scale_of({_TRUE: palette.VALUE, _OTHER: palette.MAGNITUDE}))
    words = of_kind(_CHOICE).mark_text(
        align="left", baseline="bottom", dy=-2, fontSize=_LOW_LETTERS if low else _LETTERS, tooltip=False,
        limit={"expr": "width + 120"}).encode(x=alt.value(0), y=y, text="text:N")
    shares = of_kind(_SHARE)
    bars = shares.mark_bar(cornerRadiusEnd=3).encode(
        x=x, x2=alt.datum(0), y=y, y2="y2:Q", color=colour, opacity=alt.Opacity("shade:Q", scale=None, legend=None),
        tooltip=tooltip(("choice:N",), ("round:Q",), ("count:Q", "answers"), ("x:Q", "of all", ".1%")))
    figures = shares.transform_calculate(middle="(datum.y + datum.y2) / 2").mark_text(
        align="left", baseline="middle", fontSize=_LETTERS, dx=8, fontWeight="normal", tooltip=False).encode(
        x=x, y=alt.Y("middle:Q", scale=down, axis=None), text="text:N")
    return specification(alt.layer(words, bars, figures), height=height + (_LOW_BELOW if low else _BELOW), right=130)


@lru_cache(maxsize=32)
def _dots(unit: str) -> dict:
    x, y = places(f"answer ({unit})" if unit else "answer", "answers (count)", room=40)
    dots = of_kind(_ANSWER).mark_point(filled=True, color=palette.MAGNITUDE, opacity=0.9).encode(
        x=x, y=y, size=alt.Size("size:Q", scale=None, legend=None),
        tooltip=tooltip(("value:Q", "answer", ",.4~r"), ("round:N",)))
    truth = of_kind(_TRUTH).mark_rule(color=palette.VALUE, strokeWidth=4).encode(
        x=x, y=y, y2="y2:Q", tooltip=tooltip(("value:Q", "true value", ",.4~r")))
    names = [of_kind(kind).mark_text(align=align, baseline="top", dx=dx, dy=4, fontSize=_LETTERS, tooltip=False,
                                     color=palette.ink(palette.VALUE)).encode(x=x, y=y, text="name:N")
             for kind, align, dx in ((_AT_RIGHT, "left", 8), (_AT_LEFT, "right", -8))]
    return specification(alt.layer(*frame_layers(x, y), truth, dots, *names), height=_HEIGHT, right=14)
