"""Attention heads: where a token looks and who looks at it, in the text itself, and several heads side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from html import escape
from typing import NamedTuple

import altair as alt
import numpy as np
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, Chart, blank_chart, specification
from gptoss.charts.head_map import image_address
from gptoss.charts.images import head_grid
from gptoss.charts.labels import visible_token

MAX_TOKENS = 80  # of a longer text, the tokens around the chosen one
MOST_HEADS = 8

_COLUMNS = 4
_TILE_CELLS = 84  # cells of a small map's side; more are averaged
_SHADES = 12  # steps of strength in the text
_SHADE_RULES = "".join(
    f".looks .{kind}{n} {{background: {palette.fade(colour, round(0.8 * n / _SHADES, 3))}}}\n"
    for kind, colour in (("k", palette.KEY), ("q", palette.QUERY)) for n in range(1, _SHADES + 1))
_STYLE = f"""<style>
.looks {{display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 320px), 1fr)); gap: 1rem 2rem}}
.looks p {{margin: 0.4rem 0 0; font-size: 0.9rem; opacity: 0.8}}
.stHtml .looks h3 {{padding: 0 0 0.5rem; margin: 0; font-size: 1.25rem}}
.looks div div {{display: flex; flex-wrap: wrap; gap: 3px 1px; line-height: 1.25; direction: ltr}}
.looks span {{border-radius: 4px; padding: 2px 3px; font-family: "Source Code Pro", monospace; font-size: 0.9rem;
  unicode-bidi: isolate; max-width: 100%; overflow-wrap: anywhere}}
.looks .query {{background: {palette.QUERY}; color: white; font-weight: 700}}
.looks .key {{background: {palette.KEY}; color: black; font-weight: 700}}
.looks .out {{opacity: 0.4}}
{_SHADE_RULES}</style>"""


def looks_in_text(row: np.ndarray, column: np.ndarray, token: int, labels: Sequence[str]) -> str:
    """Where a token looks, and who looks at it: twice the text itself, each token coloured by its share, in HTML.

    `row` and `column` (tokens,) are the token's row and column of a head's map, NaN where the mask keeps two tokens
    apart; strength is the square root of the share. Above `MAX_TOKENS` tokens those around the chosen one are shown, and a
    line says how many are left out. Labels are a person's text, so they are escaped. Raises `ValueError` where the
    shares do not fit.
    """
    count = len(labels)
    if row.shape != (count,) or column.shape != (count,) or not 0 <= token < count:
        raise ValueError(f"row {row.shape} and column {column.shape} of token {token} do not fit {count} labels")
    ahead = MAX_TOKENS // 4
    return (f'{_STYLE}<div class="looks">'
            + _text("Where this token looks", row, token, labels, ("query", "k"), token - (MAX_TOKENS - ahead),
                    describe_row(row, token, labels))
            + _text("Who looks at this token", column, token, labels, ("key", "q"), token - ahead,
                    describe_column(column, token, labels)) + "</div>")


def describe_row(row: np.ndarray, token: int, labels: Sequence[str]) -> str:
    """Where a token looks, in a sentence."""
    best = int(np.nanargmax(row))
    return (f"{visible_token(labels[token])} gives most of its attention to {visible_token(labels[best])} at position "
            f"{best}: {row[best]:.3f}.")


def describe_column(column: np.ndarray, token: int, labels: Sequence[str]) -> str:
    """Who looks at a token, in a sentence."""
    best, able = int(np.nanargmax(column)), int((~np.isnan(column)).sum())
    return (f"Of {able} token{'' if able == 1 else 's'} that can look at {visible_token(labels[token])}, "
            f"{visible_token(labels[best])} at position {best} does so most: {column[best]:.3f}.")


def _text(title: str, shares: np.ndarray, token: int, labels: Sequence[str], kinds: tuple[str, str], start: int,
          said: str) -> str:
    """One of the two texts; `kinds` are the classes of the chosen token and of the others."""
    count = len(labels)
    start = min(max(start, 0), max(count - MAX_TOKENS, 0))
    stop = min(start + MAX_TOKENS, count)
    shades = np.sqrt(np.nan_to_num(shares) / (np.nanmax(shares) or 1)) * _SHADES
    chips = "".join(_chip(labels[n], shares[n], kinds[0] if n == token else f"{kinds[1]}{round(float(shades[n]))}")
                    for n in range(start, stop))
    before, after = (f'<span class="out">… {left} {where}</span>' if left else ""
                     for left, where in ((start, "earlier"), (count - stop, "later")))
    return (f'<div><h3>{title}</h3><div role="img" aria-label="{escape(said)}">{before}{chips}{after}</div>'
            f"<p>{escape(said)}</p></div>")


def _chip(label: str, share: float, kind: str) -> str:
    if np.isnan(share):  # hidden by the mask, or, for the chosen token itself, never
        return f'<span class="out">{escape(label)}</span>'
    return f'<span class="{kind}" title="{share:.3f}">{escape(label)}</span>'


class HeadTile(NamedTuple):
    """One head for the gallery: its number, its entropy in bits, and its map as the address of an image."""

    head: int
    entropy: float
    image: str


def head_tile(head: int, entropy: float, weights: np.ndarray, sink: np.ndarray) -> HeadTile:
    """A tile of one head's softmax, `weights` (queries, keys) and `sink` (queries,)."""
    picture = head_grid(np.concatenate([sink[:, None], weights], axis=1)[None], columns=1, width=_TILE_CELLS, enlarge=False)
    image = picture.image.copy()
    image[..., 3] = (image[..., 3].astype(int) + 8) // 17 * 17  # 16 steps of opacity compress well
    return HeadTile(head, entropy, image_address(image))


def head_gallery(tiles: Sequence[HeadTile], selected: int | None = None) -> Chart:
    """Up to `MOST_HEADS` heads as small maps, in the order given, each with its number and how many places it spreads over.

    2 to the power of the entropy counts places: 4 bits are what an even look at 16 places would have. The sink's
    column, a place of its own, stands apart at the left of each map. A click picks a head (selection `picked`, field
    head); the selected one is framed. Raises `ValueError` for no head or too many.
    """
    if not 0 < len(tiles) <= MOST_HEADS:
        raise ValueError(f"{len(tiles)} heads; allowed: 1 to {MOST_HEADS}")
    count = np.arange(len(tiles))
    data = pd.DataFrame({
        "rank": count + 1, "column": count % _COLUMNS + 1, "row": count // _COLUMNS + 1,
        "head": [tile.head for tile in tiles], "entropy": [round(tile.entropy, 3) for tile in tiles],
        "places": [round(2**tile.entropy, 1) for tile in tiles], "title": [f"head {tile.head}" for tile in tiles],
        "words": [f"≈ {2**tile.entropy:.1f} places" for tile in tiles],
        "chosen": [float(tile.head == selected) for tile in tiles],
        "map": [tile.image for tile in tiles]})
    first, last = tiles[0], tiles[-1]
    text = (f"{len(tiles)} heads by entropy. The first, head {first.head}, spreads over about {2**first.entropy:.1f} places "
            f"({first.entropy:.2f} bits), the last, head {last.head}, over {2**last.entropy:.1f} ({last.entropy:.2f} bits).")
    return Chart(_gallery_spec(), data, "Attention maps of up to eight heads, from most focused to most spread", text)


def spread_in_words(entropies: np.ndarray, even: float, weights: str, twin: np.ndarray | None = None) -> str:
    """How widely heads look, in places, beside an even look and, where it is given, beside another set of weights.

    `entropies` and `twin` (heads,) and `even` are in bits; `weights` names the model's weights ("random weights, seed 0").
    """
    text = (f"A head that looked evenly at all it sees would have {2**even:.1f} places; with these {weights}, "
            f"{len(entropies)} heads have {_range_of_places(entropies)}.")
    if twin is not None:
        text += f" Its twin, never trained, has {_range_of_places(twin)}."
    return text


def _range_of_places(entropies: np.ndarray) -> str:
    return f"{2 ** float(entropies.min()):.1f} to {2 ** float(entropies.max()):.1f}"


@cache
def _gallery_spec() -> dict:
    x = alt.X("column:O", scale=alt.Scale(domain=[*range(1, _COLUMNS + 1)], paddingInner=0.12, paddingOuter=0.02),
              axis=alt.Axis(title="from most focused to most spread, row by row (rank)", labels=False, ticks=False,
                            domain=False))
    base = blank_chart().encode(x=x, y=_row())
    tooltip = [alt.Tooltip("head:Q", title="head"), alt.Tooltip("entropy:Q", title="entropy (bits)"),
               alt.Tooltip("places:Q", title="places (2 to the entropy)"), alt.Tooltip("rank:Q", title="rank")]
    maps = base.mark_image(aspect=False, width={"band": 1}, height={"band": 1}).encode(url="map:N")
    frames = base.mark_rect(fillOpacity=0, stroke=palette.ACCENT, strokeWidth=5, cursor="pointer").encode(
        strokeOpacity=alt.StrokeOpacity("chosen:Q", scale=alt.Scale(domain=[0, 1], range=[0, 1]), legend=None),
        tooltip=tooltip).add_params(alt.selection_point(name="picked", fields=["head"]))
    titles, words = (
        base.mark_text(dy=dy, fontSize=FONT_SIZE, tooltip=False).encode(
            y=_row(place), text=f"{field}:N")
        for field, place, dy in (("title", 0, -11), ("words", 1, 13)))
    return specification(alt.layer(maps, titles, words, frames), height=400)


def _row(place: float = 0.5) -> alt.Y:
    """The rows of the gallery, with room between them for words; `place` 0 is a row's top, 1 its bottom."""
    rows = [*range(1, MOST_HEADS // _COLUMNS + 1)]
    return alt.Y("row:O", bandPosition=place, axis=None, scale=alt.Scale(domain=rows, paddingInner=0.36, paddingOuter=0.2))
