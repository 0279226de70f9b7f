"""What people say, and whether it is so: one tile for each claim, in order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import altair as alt
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, Chart, blank_chart, clicks, scale_of, specification

FALSE, PARTLY, TRUE, OPEN = VERDICTS = tuple(palette.VERDICTS)

_WORDS = {FALSE: "false", PARTLY: "part", TRUE: "true", OPEN: "?"}  # short enough for a tile on a phone
_COLUMNS = 10
_TILE = 58  # px a row of tiles is high
_ON_COLOUR, _ON_PALE = "on colour", "on pale"  # what is behind a tile's words


class Tile(NamedTuple):
    """One claim: its short name, what it says, one of `VERDICTS`, and whether it is among those looked for."""

    claim: str
    says: str
    verdict: str
    found: bool = True


def verdict_strip(tiles: Sequence[Tile], chosen: str) -> Chart:
    """A tile for each claim in order, row by row, coloured and lettered by its verdict; the `chosen` one is framed.

    Claims that are not looked for are pale. A click picks a `claim` under the name `picked`. Raises `ValueError` where
    there is no tile, or none for `chosen`.
    """
    if chosen not in {tile.claim for tile in tiles}:
        raise ValueError(f"there is no claim {chosen!r} among {len(tiles)} tiles")
    data = pd.DataFrame([(
        tile.claim, tile.says, tile.verdict, _WORDS[tile.verdict], place % _COLUMNS + 1, place // _COLUMNS + 1,
        int(tile.claim == chosen), int(tile.found), _ON_COLOUR if tile.found and tile.verdict != OPEN else _ON_PALE)
        for place, tile in enumerate(tiles)],
        columns=["claim", "says", "verdict", "word", "column", "row", "chosen", "found", "ink"])
    return Chart(_spec(-(-len(tiles) // _COLUMNS)), data, "Verdict on each claim", _describe(tiles, chosen))


def _describe(tiles: Sequence[Tile], chosen: str) -> str:
    counted = {verdict: sum(tile.verdict == verdict for tile in tiles) for verdict in VERDICTS}
    listed = ", ".join(f"{count} {verdict}" for verdict, count in counted.items() if count)
    looked_for = sum(tile.found for tile in tiles)
    pale = "" if looked_for == len(tiles) else f" Looked for: {looked_for}, the others are pale."
    return f"{len(tiles)} claims: {listed}.{pale} Framed: claim {chosen}."


@cache
def _spec(rows: int) -> dict:
    x = alt.X("column:O", scale=alt.Scale(domain=[*range(1, _COLUMNS + 1)], paddingInner=0.08, paddingOuter=0.04),
              axis=alt.Axis(title="claims by number, row by row", labels=False, ticks=False, domain=False))
    y = alt.Y("row:O", axis=None, scale=alt.Scale(domain=[*range(1, rows + 1)], paddingInner=0.1, paddingOuter=0.05))
    base = blank_chart().encode(x=x, y=y)
    fills = base.mark_rect(cornerRadius=6).encode(
        fill=alt.Fill("verdict:N", scale=scale_of(palette.VERDICTS), legend=None),
        opacity=alt.Opacity("found:Q", scale=scale_of({0: 0.22, 1: 1}), legend=None))
    ink = alt.Color("ink:N", scale=scale_of({_ON_COLOUR: "black", _ON_PALE: palette.MUTED}), legend=None)
    words = [base.mark_text(dy=dy, fontSize=size, tooltip=False).encode(text=f"{field}:N", color=ink)
             for field, dy, size in (("claim", -9, FONT_SIZE + 2), ("word", 11, FONT_SIZE - 1))]
    frames = base.mark_rect(cornerRadius=6, fillOpacity=0, stroke=palette.ACCENT, strokeWidth=5, cursor="pointer").encode(
        strokeOpacity=alt.StrokeOpacity("chosen:Q", scale=scale_of({0: 0, 1: 1}), legend=None),
        tooltip=["claim:N", "says:N", "verdict:N"]).add_params(clicks("claim"))
    return specification(alt.layer(fills, *words, frames), height=_TILE * rows + 40)
