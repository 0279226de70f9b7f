"""A text as its tokens, each on a background that says something of it, in HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from gptoss.charts import palette
from gptoss.units import plural

MOST_TOKENS = 80  # of a text in which one token is looked at

_COLOURS = tuple(palette.fade(colour, 0.28) for colour in (
    palette.QUERY, palette.KEY, palette.VALUE, palette.SINK, palette.SLIDING))
STYLE = """<style>
.chips {display: flex; flex-wrap: wrap; gap: 4px 3px; line-height: 1.25; direction: ltr; font-size: 0.9rem}
.chips span {border-radius: 1px; padding: 2px 5px 1px; text-align: center; font-family: "Source Code Pro", monospace;
  unicode-bidi: isolate; max-width: 100%; overflow-wrap: anywhere; border: 0 solid transparent}
.chips .faint {opacity: 0.68}
.chips small {display: block; font-size: 0.72rem; opacity: 0.75}
.chips.close {gap: 4px 1px}
.chips.close span {padding: 2px 3px}
.chips.framed {gap: 5px 3px; font-size: 1rem}
.chips.framed span {border-width: 2px}
.chips.legend {margin-bottom: 10px; font-size: 0.9rem}
.chips.legend span {font-family: inherit}
</style>"""


class Shade(NamedTuple):
    """How a token is shown.

    `colour` is its background; `ink` that of bold letters on it, where it is strong; `frame` that of its border in a text
    of the kind `framed`. `below` are small lines under it, `title` is what it says under the pointer, and `kind` is its
    class: "faint" for what is there and takes no part.
    """

    colour: str = ""
    ink: str = ""
    frame: str = ""
    kind: str = ""
    title: str = ""
    below: tuple[str, ...] = ()


FAINT = Shade(kind="faint")


def changing(place: int) -> str:
    """The background of the token at this place of a text, where neighbours have to differ."""
    return _COLOURS[place % len(_COLOURS)]


def chip(label: str, shade: Shade) -> str:
    """One token. What it says is a person's text, so it is escaped."""
    rules = [f"background:{shade.colour}"] * bool(shade.colour) + [f"border-color:{shade.frame}"] * bool(shade.frame)
    rules += [f"color:{shade.ink};font-weight:700"] * bool(shade.ink)
    style = palette.in_both_themes(";".join(rules))
    attributes = (f' class="{shade.kind}"' * bool(shade.kind) + f' style="{style}"' * bool(rules)
                  + f' title="{escape(shade.title)}"' * bool(shade.title))
    return f"<span{attributes}>{escape(label)}{''.join(f'<small>{escape(line)}</small>' for line in shade.below)}</span>"


def shaded_text(labels: Sequence[str], shades: Sequence[Shade], words: str, kind: str = "", start: int = 0,
                most: int | None = None) -> str:
    """The tokens of a text in order, each with its shade; `words` are its alternative text.

    `kind` is "close" for chips that nearly touch and "framed" for chips with room for a border. Of a text of more than
    `most` tokens those from `start` on are shown, as far as there are so many, and a line says how many are left out.
    Raises `ValueError` unless there is one shade a token.
    """
    count = len(labels)
    start = min(max(start, 0), max(count - most, 0)) if most else 0
    stop = min(start + most, count) if most else count
    chips = [chip(label, shade) for label, shade in zip(labels, shades, strict=True)][start:stop]
    before, after = (chip(f"… {left} {where}", FAINT) if left else ""
                     for left, where in ((start, "earlier"), (count - stop, "later")))
    return (f'{STYLE}<div class="chips {kind}" role="img" aria-label="{escape(words)}">'
            f"{before}{''.join(chips)}{after}</div>")


def legend(shades: Sequence[tuple[str, Shade]]) -> str:
    """What the shades of a framed text mean."""
    return f'<div class="chips framed legend">{"".join(chip(words, shade) for words, shade in shades)}</div>'


def token_chips(labels: Sequence[str], ids: Sequence[int], most: int | None = None) -> str:
    """The tokens of a text, each with its id below; of a text with more than `most` tokens the first."""
    shades = [Shade(changing(place), title=f"token {place}, id {number}", below=(str(number),))
              for place, number in enumerate(ids)]
    return shaded_text(labels, shades, f"{plural(len(labels), 'token')} with their ids", most=most)
