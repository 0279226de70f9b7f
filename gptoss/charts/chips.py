"""Tokens as coloured chips with their ids, in HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from gptoss.charts import palette

_COLOURS = tuple(palette.fade(colour, 0.28) for colour in (
    palette.QUERY, palette.KEY, palette.VALUE, palette.SINK, palette.SLIDING))
_STYLE = """<style>
.chips {display: flex; flex-wrap: wrap; gap: 4px 3px; line-height: 1.2; direction: ltr;}
.chips span {border-radius: 5px; padding: 2px 5px 1px; text-align: center; font-family: "Source Code Pro", monospace;
  font-size: 0.9rem; unicode-bidi: isolate; max-width: 100%; overflow-wrap: anywhere;}
.chips small {display: block; font-size: 0.72rem; opacity: 0.75;}
</style>"""


def token_chips(labels: Sequence[str], ids: Sequence[int]) -> str:
    """The tokens of a text in order, each with its id below. Labels are a person's text, so they are escaped."""
    chips = "".join(
        f'<span style="background:{_COLOURS[n % len(_COLOURS)]}" title="token {n}, id {number}">'
        f"{escape(label)}<small>{number}</small></span>"
        for n, (label, number) in enumerate(zip(labels, ids, strict=True)))
    return f'{_STYLE}<div class="chips" role="img" aria-label="{len(labels)} tokens with their ids">{chips}</div>'
