"""How a pre-token is built from its bytes: a wall of merges, and the row of tokens that the next merge chooses from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from gptoss.charts import palette


class Brick(NamedTuple):
    """A token that a merge made: which bytes it spans (`start` to `end`), its rank and how to write it."""

    start: int
    end: int
    rank: int
    label: str


class Gap(NamedTuple):
    """A token, and the rank that it would have joined to the one on its right: None where that is no token."""

    label: str
    rank: int | None = None


_STYLE = """<style>
.wall {display: grid; gap: 3px; overflow-x: auto; direction: ltr; line-height: 1.15; padding: 0.6rem 0 2px;}
.wall div {border-radius: 5px; text-align: center; padding: 3px 1px; font-family: "Source Code Pro", monospace;
  font-size: 0.95rem; unicode-bidi: isolate; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  min-width: 0; box-sizing: border-box;}
.wall small {display: block; font-size: 0.8rem; opacity: 0.8;}
.wall.long {gap: 3px 2px;}
.wall.long div, .wall.long small {font-size: 0.78rem;}
.gaps {display: flex; flex-wrap: wrap; align-items: center; gap: 6px 5px; direction: ltr; line-height: 1.2;
  font-family: "Source Code Pro", monospace;}
.gaps b {font-weight: 600; font-size: 1.15rem; border-radius: 5px; padding: 4px 8px; unicode-bidi: isolate;
  overflow-wrap: anywhere;}
.gaps i {font-style: normal; font-size: 0.85rem; opacity: 0.75; padding: 1px 4px; border-radius: 4px;}
</style>"""
_LONG = 20  # bytes beyond which columns and letters are small
_TOKEN = palette.fade(palette.MAGNITUDE, 0.3)
_NEW = palette.fade(palette.ACCENT, 0.4)


def brick_label(printed: str) -> str:
    """What `gptoss.tokenizer.printable` wrote, with stray bytes in bare hexadecimal: `<0xE0><0xA4>` is `E0 A4`."""
    return re.sub(r"(?:<0x[0-9A-F]{2}>)+", lambda run: " ".join(re.findall(r"0x(..)", run[0])), printed)


def merge_wall(letters: Sequence[str], bricks: Sequence[Brick], step: int) -> str:
    """Bytes as the upper row and below them what each of the first `step` merges made of what stands above it.

    `letters` are the bytes as they are written and `bricks` all merges in order, so that the wall keeps its height
    from step to step. The newest brick is in gpt-oss's colour. Raises `ValueError` unless 0 <= step <= len(bricks).
    """
    if not 0 <= step <= len(bricks):
        raise ValueError(f"step {step} is not one of the steps 0 to {len(bricks)}")
    levels = _levels(len(letters), bricks)
    long = len(letters) > _LONG
    cells = [_cell(at, at + 1, 1, escape(letter), palette.IDLE, f"byte {at}") for at, letter in enumerate(letters)]
    for number, (brick, level) in enumerate(zip(bricks[:step], levels, strict=False), 1):
        label = brick.label.replace(" ", "") if long else brick.label
        cells.append(_cell(brick.start, min(brick.end, len(letters)), 1 + level,
                           f"{escape(label)}<small>{brick.rank}</small>", _NEW if number == step else _TOKEN,
                           f"merge {number}: {brick.label}, rank and id {brick.rank}"))
    rows, least = max(levels, default=0), "1.05rem" if long else "1.5rem"
    grid = (f"grid-template-columns: repeat({len(letters)}, minmax({least}, 5.5rem)); "
            f"grid-template-rows: auto{f' repeat({rows}, 2.6rem)' if rows else ''}")
    kind = "wall long" if long else "wall"
    said = f"{len(letters)} bytes after {step} of {len(bricks)} merges"
    return f'{_STYLE}<div class="{kind}" role="img" aria-label="{said}" style="{grid}">{"".join(cells)}</div>'


def merge_candidates(tokens: Sequence[Gap]) -> str:
    """The tokens as they stand, and between neighbours the rank of the two together: the lowest is merged next."""
    ranked = [(gap.rank, place) for place, gap in enumerate(tokens) if gap.rank is not None]
    lowest, chosen = min(ranked, default=(None, None))
    html = []
    for place, gap in enumerate(tokens):
        html.append(f'<b style="background:{_TOKEN}">{escape(gap.label)}</b>')
        style = f' style="background:{_NEW};opacity:1;font-weight:700"' if place == chosen else ""
        html.append(f"<i{style}>{'·' if gap.rank is None else gap.rank}</i>")
    said = f"{len(tokens)} tokens" + (f"; the lowest rank of two neighbours together is {lowest}" if ranked else "")
    return f'{_STYLE}<div class="gaps" role="img" aria-label="{said}">{"".join(html[:-1])}</div>'


def _levels(width: int, bricks: Sequence[Brick]) -> list[int]:
    """For each brick the row below the deepest brick that it covers; the bytes are row 0."""
    deepest = [0] * width
    levels = []
    for brick in bricks:
        level = 1 + max(deepest[brick.start:brick.end])
        deepest[brick.start:brick.end] = [level] * len(deepest[brick.start:brick.end])
        levels.append(level)
    return levels


def _cell(start: int, end: int, row: int, content: str, colour: str, title: str) -> str:
    return (f'<div style="grid-column: {start + 1} / {end + 1}; grid-row: {row}; background: {colour}" '
            f'title="{escape(title)}">{content}</div>')
