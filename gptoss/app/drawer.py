"""The drawer at the foot of every page: all words of the glossary, and what the letters of the formulas mean."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from html import escape

from gptoss.app import route
from gptoss.app.glossary import WORDS, anchor, row
from gptoss.notation import NOTATION, Symbol

_SCRIPT = {"H": "ℋ", "L": "ℒ"}


@cache
def drawer() -> str:
    """Its HTML, which never changes: the browser asks for the numbers when somebody opens a word, or all of them."""
    words = "".join(_word(name) for name in sorted(WORDS, key=str.lower))
    return ('<details class="words" id="words"><summary>Words and letters</summary>'
            f"<dl>{words}</dl><table><caption>Letters in formulas, the same on all pages</caption>"
            '<thead><tr><th scope="col">letter</th><th scope="col">means</th><th scope="col">here</th>'
            '<th scope="col">in the configuration</th></tr></thead>'
            f"<tbody>{''.join(map(_row, NOTATION))}</tbody></table></details>")


def letter(latex: str) -> str:
    r"""A symbol of the table in HTML: `\mathbf q` in bold, `s_{ij}` with its index below."""
    style, name, index = re.fullmatch(r"(?:\\(mathbf|mathcal) )?\\?(\w+?)(?:_\{?(\w+)\}?)?", latex).groups()
    shown = _SCRIPT[name] if style == "mathcal" else _sign(name)
    shown = f"<b>{shown}</b>" if style == "mathbf" else f"<i>{shown}</i>"
    return shown + (f"<sub><i>{index}</i></sub>" if index else "")


def _sign(name: str) -> str:
    """A letter as itself, of Greek ones by what LaTeX calls it. KeyError for a name that is none."""
    if len(name) == 1 or name == "ell":
        return name if len(name) == 1 else "ℓ"
    kind, spelt = "CAPITAL" if name[0].isupper() else "SMALL", name.removeprefix("var").upper().replace("LAMBDA", "LAMDA")
    return unicodedata.lookup(f"GREEK {kind} LETTER {spelt}")


def _word(name: str) -> str:
    word = WORDS[name]
    return (f'<div id="{anchor(name)}"><dt>{escape(name)}</dt><dd>{escape(word.says)} <span class="word-live"></span> '
            f"{route.link(route.page_at(word.page), f'See {route.page_at(word.page).title}')}</dd></div>")


def _row(symbol: Symbol) -> str:
    """One letter; where it is a field, the place of its value in the model under study."""
    place, field = (f' id="{row(symbol)}"', f"<code>{symbol.field}</code>") if symbol.field else ("", "")
    return (f"<tr{place}><td>{letter(symbol.latex)}</td><td>{escape(symbol.meaning)}</td>"
            f'<td class="word-live"></td><td>{field}</td></tr>')
