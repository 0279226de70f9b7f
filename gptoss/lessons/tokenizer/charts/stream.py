"""A harmony stream as a person can read it: special tokens as chips, text as text, a line a message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from typing import NamedTuple

from gptoss.charts import palette

_STYLE = f"""<style>
.stream {{font-family: "Source Code Pro", monospace; font-size: 0.88rem; line-height: 1.65; direction: ltr;}}
.stream .message {{padding: 2px 8px; margin: 0 0 4px; border-left: 4px solid {palette.GRID}; white-space: pre-wrap;
  overflow-wrap: anywhere; border-radius: 3px;}}
.stream .chosen {{border-left-color: {palette.ACCENT}; background: {palette.IDLE};}}
.stream .absent {{opacity: 0.55; border-left-style: dashed; font-style: italic;}}
.stream b {{background: {palette.fade(palette.ACCENT, 0.24)}; border-radius: 5px; padding: 1px 5px; margin: 0 2px;
  box-shadow: inset 0 0 0 1px {palette.fade(palette.ACCENT, 0.7)}; font-weight: 600; white-space: nowrap;}}
.stream small {{font-size: 0.72rem; opacity: 0.75; font-weight: 400; margin-left: 4px;}}
.stream i {{font-style: normal; font-weight: 600;}}
.stream span.token {{background: {palette.IDLE}; border-radius: 4px; padding: 0 3px; margin: 0 1px; unicode-bidi: isolate;
  display: inline-block; max-width: 100%;}}
.stream em {{opacity: 0.7; font-size: 0.8rem; padding: 0 4px;}}
.stream .wrong {{outline: 3px dashed {palette.MUTED}; outline-offset: 1px;}}
.stream .wrong::before {{content: "⚠\\00a0";}}
</style>"""


class Span(NamedTuple):
    """A stretch of a stream: a special token, or a piece of text with the tokens it is made of.

    `kind` is "special", "header", "content", "outside", "folded" for words that stand in for tokens which are not drawn,
    or "absent" for those that stand in for a message which is not in the stream. `text` is shown as it is. `message`
    counts from 0. `first` is the place of the first token in the stream. `wrong` marks a spot where the format is
    broken.
    """

    kind: str
    text: str
    ids: tuple[int, ...]
    message: int
    first: int = 0
    wrong: bool = False


def harmony_stream(spans: Iterable[Span], chosen: int | None = None, ids: bool = False) -> str:
    """The stream in HTML, one line a message. Special tokens have their id behind them, and with `ids` so has every
    span of one token. The message `chosen` stands out. Whatever a person wrote is escaped.
    """
    spans = list(spans)
    lines = "".join(_message(list(group), number == chosen, ids)
                    for number, group in groupby(spans, key=lambda span: span.message))
    special = sum(span.kind == "special" for span in spans)
    total = sum(len(span.ids) for span in spans)
    said = f"A stream of {total} tokens, {special} of them special"
    return f'{_STYLE}<div class="stream" role="group" aria-label="{said}">{lines}</div>'


def _message(spans: Sequence[Span], chosen: bool, ids: bool) -> str:
    kind = " absent" if spans[0].kind == "absent" else " chosen" if chosen else ""
    return f'<div class="message{kind}">{"".join(_span(span, ids) for span in spans)}</div>'


def _span(span: Span, ids: bool) -> str:
    wrong = " wrong" if span.wrong else ""
    if span.kind == "special":
        return (f'<b class="{wrong.strip()}" title="token {span.first}, id {span.ids[0]}">{escape(span.text)}'
                f"<small>{span.ids[0]}</small></b>")
    text = escape(span.text)
    if span.kind == "folded":
        return f"<em>{text}</em>"
    if span.kind == "header":
        text = f"<i>{text}</i>"
    if ids and len(span.ids) == 1:
        return (f'<span class="token{wrong}" title="token {span.first}, id {span.ids[0]}">{text}'
                f"<small>{span.ids[0]}</small></span>")
    return f'<span class="{wrong.strip()}">{text}</span>'
