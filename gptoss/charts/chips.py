"""Tokens as coloured chips with their ids, in HTML: one tokenization, or two of the same text side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from gptoss.charts import palette

_COLOURS = tuple(palette.fade(colour, 0.28) for colour in (
    palette.QUERY, palette.KEY, palette.VALUE, palette.SINK, palette.SLIDING))
_OTHER = palette.fade(palette.GPT2, 0.3)
_SPECIAL = palette.fade(palette.ACCENT, 0.3)
_BYTES_SHOWN = 8

_STYLE = """<style>
.chips {display: flex; flex-wrap: wrap; gap: 4px 3px; line-height: 1.2; direction: ltr;}
.chips span {border-radius: 5px; padding: 2px 5px 1px; text-align: center; font-family: "Source Code Pro", monospace;
  font-size: 0.9rem; unicode-bidi: isolate; max-width: 100%; overflow-wrap: anywhere;}
.chips small {display: block; font-size: 0.72rem; opacity: 0.75;}
</style>"""
_PAIR_STYLE = """<style>
.chips.pairs {gap: 8px 4px; align-items: stretch; max-height: 430px; overflow-y: auto;}
.chips .pair {display: flex; flex-direction: column; gap: 2px; max-width: 100%; min-width: 0;}
.chips .row {display: flex; flex-wrap: wrap; gap: 2px; justify-content: center;}
.chips .row span {flex: 1 0 auto; min-width: 1.2em;}
.chips .same {font-family: "Source Code Pro", monospace; font-size: 0.72rem; opacity: 0.6; text-align: center;}
.chips small {white-space: nowrap;}
</style>"""


class Chip(NamedTuple):
    """One token to show: its printable form, its id, its bytes, and whether it is a special token."""

    label: str
    id: int
    data: bytes
    special: bool = False


def token_chips(labels: Sequence[str], ids: Sequence[int]) -> str:
    """The tokens of a text in order, each with its id below. Labels are a person's text, so they are escaped."""
    chips = "".join(
        f'<span style="background:{_COLOURS[n % len(_COLOURS)]}" title="token {n}, id {number}">'
        f"{escape(label)}<small>{number}</small></span>"
        for n, (label, number) in enumerate(zip(labels, ids, strict=True)))
    return f'{_STYLE}<div class="chips" role="img" aria-label="{len(labels)} tokens with their ids">{chips}</div>'


def detailed_chips(pieces: Iterable[tuple[Sequence[Chip], Sequence[Chip]]], show_bytes: bool = True,
                   compared: bool = True) -> str:
    """The tokens of a text with ids and, on demand, bytes; below each piece another tokenizer's tokens of it, grey.

    `pieces` are the shortest stretches that both tokenizers have borders around: (o200k's tokens, GPT-2's). Where both
    have the same one token, only GPT-2's id is written.
    """
    pieces = list(pieces)
    html, place = [], 0
    for ours, theirs in pieces:
        row = "".join(_chip(chip, place + n, show_bytes) for n, chip in enumerate(ours))
        below = _other_row(ours, theirs) if compared else ""
        html.append(f'<div class="pair"><div class="row">{row}</div>{below}</div>')
        place += len(ours)
    said = f"{place} tokens of o200k with their ids" + (
        f", above {sum(len(theirs) for _, theirs in pieces)} of GPT-2" if compared else "")
    return f'{_STYLE}{_PAIR_STYLE}<div class="chips pairs" role="img" aria-label="{said}">{"".join(html)}</div>'


def spelt_bytes(data: bytes, limit: int = _BYTES_SHOWN) -> str:
    """Bytes in hexadecimal, the first `limit` of them: `20 73 74 …`."""
    return data[:limit].hex(" ").upper() + (" …" if len(data) > limit else "")


def _chip(chip: Chip, place: int, show_bytes: bool) -> str:
    colour = _SPECIAL if chip.special else _COLOURS[place % len(_COLOURS)]
    spelt = f"<small>{spelt_bytes(chip.data)}</small>" if show_bytes else ""
    return (f'<span style="background:{colour}" title="token {place}, id {chip.id}, bytes {spelt_bytes(chip.data, 128)}">'
            f"{escape(chip.label)}<small>{chip.id}</small>{spelt}</span>")


def _other_row(ours: Sequence[Chip], theirs: Sequence[Chip]) -> str:
    if len(ours) == len(theirs) == 1:
        return f'<div class="same" title="GPT-2 has the same token, id {theirs[0].id}">={theirs[0].id}</div>'
    chips = "".join(f'<span style="background:{_OTHER}" title="GPT-2, id {chip.id}, bytes {spelt_bytes(chip.data, 128)}">'
                    f"{escape(chip.label)}<small>{chip.id}</small></span>" for chip in theirs)
    return f'<div class="row">{chips}</div>'
