"""Pictures of tokens: chips, the wall of merges, a harmony stream, and what texts cost by language and vocabulary."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from html import escape
from itertools import groupby
from typing import NamedTuple

import altair as alt
import pandas as pd

from gptoss import units
from gptoss.charts import palette
from gptoss.charts.chart import ROW, Chart, blank_chart, specification
from gptoss.charts.chips import STYLE, Shade, changing, chip
from gptoss.charts.labels import COUNT_LABEL
from gptoss.tokenizer import printable, token_bytes, token_label
from gptoss.tokenizer.harmony import Stream
from gptoss.tokenizer.languages import NOTEBOOK_ESTIMATES, SMALL_VOCABULARY
from gptoss.tokenizer.merges import Merge
from gptoss.tokenizer.text import Token, spelt_bytes

PER_CHARACTER, SAME_STORY, TIMES_O200K = MEASURES = ("tokens per character", "tokens for the story", "times o200k's tokens")
OWN_TEXT = "your text"

O200K, SMALL, GPT2 = MEASURED = ("o200k", "its first 32,000", "GPT-2")
GPT2_ESTIMATE, SMALL_ESTIMATE = ESTIMATED = ("50k: 1.3×", "32k: 1.5×")
ESTIMATES = {GPT2_ESTIMATE: NOTEBOOK_ESTIMATES[50_257], SMALL_ESTIMATE: NOTEBOOK_ESTIMATES[SMALL_VOCABULARY]}
CHOSEN, NOTEBOOK = "o200k, cut at the chosen size", "the notebook's estimate"
_COLUMN_OF = {O200K: "o200k", SMALL: "first_32000", GPT2: "gpt2"}
_LOOK = {  # colour and shape; an estimate has those of what it estimates, outlined
    O200K: (palette.ACCENT, "circle"), SMALL: (palette.MAGNITUDE, "triangle-up"), GPT2: (palette.GPT2, "square"),
    GPT2_ESTIMATE: (palette.GPT2, "square"), SMALL_ESTIMATE: (palette.MAGNITUDE, "triangle-up"),
}
_LEFT = {"orient": "left", "minExtent": 50, "maxExtent": 50}  # both panels' axes in line
_PARTS = ["embedding", "unembedding"]
GPT2_SIZE = 50_257
_PLAIN_LABEL = "format(datum.value, ',~r')"
_PAIRS_STYLE = """<style>
.chips.pairs {gap: 8px 4px; align-items: stretch;}
details.more {margin-top: 8px;}
details.more summary {cursor: pointer; font-size: 0.9rem; margin-bottom: 8px;}
.chips .pair {display: flex; flex-direction: column; gap: 2px; max-width: 100%; min-width: 0;}
.chips .row {display: flex; flex-wrap: wrap; gap: 2px; justify-content: center;}
.chips .row span {flex: 1 0 auto; min-width: 1.2em;}
.chips .same {font-family: "Source Code Pro", monospace; font-size: 0.72rem; opacity: 0.7; text-align: center;}
.chips small {white-space: nowrap;}
@media (max-width: 760px) {.chips.pairs {gap: 5px 3px; font-size: 0.8rem;} .chips .pair > .same {display: none;}}
</style>"""
_AT_ONCE = 96  # tokens that are drawn before a reader asks for more
_BYTES_SHOWN = 8  # of a token, below its id
_MOST_IDS = 1500  # tokens of a stream that have their ids drawn
_HEAD, _TAIL = 12, 5  # tokens of a long content that are drawn
_MERGES_STYLE = """<style>
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
_TOKEN = palette.in_both_themes(palette.fade(palette.MAGNITUDE, 0.3))
_NEW = palette.in_both_themes(palette.fade(palette.ACCENT, 0.4))
_BYTE = palette.in_both_themes(palette.IDLE)
_STREAM_STYLE = palette.in_both_themes(f"""<style>
.stream {{font-family: "Source Code Pro", monospace; font-size: 0.88rem; line-height: 1.65; direction: ltr;}}
.stream .message {{padding: 2px 8px; margin: 0 0 4px; border-left: 4px solid {palette.GRID}; white-space: pre-wrap;
  overflow-wrap: anywhere; border-radius: 3px;}}
.stream .chosen {{border-left-color: {palette.ACCENT}; background: {palette.IDLE};}}
.stream .absent {{opacity: 0.68; border-left-style: dashed; font-style: italic;}}
.stream b {{background: {palette.fade(palette.ACCENT, 0.24)}; border-radius: 5px; padding: 1px 5px; margin: 0 2px;
  box-shadow: inset 0 0 0 1px {palette.fade(palette.ACCENT, 0.7)}; font-weight: 600; white-space: nowrap;}}
.stream small {{font-size: 0.72rem; opacity: 0.75; font-weight: 400; margin-left: 4px;}}
.stream i {{font-style: normal; font-weight: 600;}}
.stream span.token {{background: {palette.IDLE}; border-radius: 4px; padding: 0 3px; margin: 0 1px; unicode-bidi: isolate;
  display: inline-block; max-width: 100%;}}
.stream em {{opacity: 0.7; font-size: 0.8rem; padding: 0 4px;}}
.stream .wrong {{outline: 3px dashed {palette.MUTED}; outline-offset: 1px;}}
.stream .wrong::before {{content: "⚠\\00a0";}}
</style>""")


def language_costs(frame: pd.DataFrame, measure: str, estimates: Mapping[str, float]) -> Chart:
    """A row for every language: what the same story costs by each tokenizer, and by the notebook's estimates.

    `frame` has the columns `language`, `characters`, `o200k`, `gpt2` and `first_32000` (tokens), one row a language;
    the row `OWN_TEXT` is the reader's own. `estimates` maps each of `ESTIMATED` to its multiple of o200k's tokens.
    Raises `ValueError` for a measure that is not one of `MEASURES`.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure={measure!r} is unknown; allowed: {', '.join(MEASURES)}")
    if measure == SAME_STORY:
        frame = frame[frame["language"] != OWN_TEXT]
    per = {PER_CHARACTER: frame["characters"], SAME_STORY: 1, TIMES_O200K: frame["o200k"]}[measure]
    tokens = {kind: frame[_COLUMN_OF[kind]] for kind in MEASURED} | {
        kind: frame["o200k"] * multiple for kind, multiple in estimates.items()}
    # What comes last is drawn on top: o200k.
    data = pd.concat([pd.DataFrame({"language": frame["language"], "kind": kind, "value": (tokens[kind] / per).round(4),
                                    "row": range(len(frame))}) for kind in reversed(tokens)], ignore_index=True)
    return Chart(_language_spec(measure), data, f"{measure.capitalize()} by language and tokenizer",
                 _describe_languages(frame))


def _describe_languages(frame: pd.DataFrame) -> str:
    others = frame[frame["language"] != OWN_TEXT]
    times = (others["gpt2"] / others["o200k"]).to_numpy()
    cut = (others["first_32000"] / others["o200k"]).median()
    least, most = others["language"].iloc[times.argmin()], others["language"].iloc[times.argmax()]
    text = (f"Where o200k needs one token, GPT-2 needs {times.min():.2f} in {least} and {times.max():.2f} in {most}; the "
            f"median over all languages is {pd.Series(times).median():.2f}. With its own first 32,000 tokens alone, o200k "
            f"needs {cut:.2f}.")
    own = frame[frame["language"] == OWN_TEXT]
    return text + (f" Your text takes {units.plural(int(own['o200k'].iloc[0]), 'token')} in o200k and "
                   f"{own['gpt2'].iloc[0]:,} in GPT-2." if len(own) else "")


@cache
def _language_spec(measure: str) -> dict:
    title = f"{measure} (log scale)" if measure == TIMES_O200K else measure
    kinds = [*MEASURED, *ESTIMATED]
    colours = [_LOOK[kind][0] for kind in kinds]
    # The same legend on all three channels makes one legend of them.
    legend = alt.Legend(title="outlined: the notebook's estimate", symbolSize=140,
                        columns={"expr": "width > 420 ? 5 : 2"})
    points = blank_chart().mark_point(size=130, strokeWidth=2, opacity=1, tooltip=ROW).encode(
        y=alt.Y("language:N", sort=alt.EncodingSortField("row", op="min"), axis=alt.Axis(
            title="language", grid=True, ticks=False, domain=False, labelOverlap=False)),
        x=alt.X("value:Q", axis=alt.Axis(title=title, tickCount=6, labelExpr=_PLAIN_LABEL),
                scale=alt.Scale(type="log", nice=False, padding=10) if measure == TIMES_O200K else alt.Scale(zero=True)),
        stroke=alt.Stroke("kind:N", legend=legend, scale=alt.Scale(domain=kinds, range=colours)),
        fill=alt.Fill("kind:N", legend=legend, scale=alt.Scale(
            domain=kinds, range=[*colours[:len(MEASURED)], *["transparent"] * len(ESTIMATED)])),
        shape=alt.Shape("kind:N", legend=legend, scale=alt.Scale(domain=kinds, range=[_LOOK[kind][1] for kind in kinds])),
    )
    return specification(points, height=435)


def vocabulary_size(frame: pd.DataFrame, size: int, gpt2: int, estimates: Mapping[int, float]) -> Chart:
    """Above, tokens of one text against the size of the vocabulary; below, parameters of both ends of the model.

    `frame` has the columns `size` (tokens in the vocabulary), `tokens` (of the text), `embedding`, `unembedding` and
    `total` (parameters) and `flops` (of reading the text once), with a row for `size`, the one chosen. GPT-2's own
    count is a point at its size; `estimates` (size -> multiple of the tokens of the largest vocabulary) are outlined.
    Raises `ValueError` where there is no row for `size`.
    """
    if not (frame["size"] == size).any():
        raise ValueError(f"size={size} is not among the sizes of the frame")
    chosen, largest = (_row(frame, at) for at in (size, frame["size"].max()))
    least = largest["tokens"]
    points = [(size, chosen["tokens"], CHOSEN), (GPT2_SIZE, gpt2, GPT2),
              *((at, round(multiple * least, 1), NOTEBOOK) for at, multiple in estimates.items())]
    curve = frame.melt(["size"], ["tokens", *_PARTS], "kind", "value")
    data = pd.concat([curve, pd.DataFrame(points, columns=["size", "value", "kind"])], ignore_index=True)
    return Chart(_size_spec(), data, "Tokens of the text, and parameters of embedding and unembedding, against the size "
                 "of the vocabulary", _describe_size(frame, chosen, least, gpt2))


def _row(frame: pd.DataFrame, size: int) -> dict[str, int]:
    return {name: int(value) for name, value in frame[frame["size"] == size].iloc[0].items()}


def _describe_size(frame: pd.DataFrame, chosen: Mapping[str, int], least: int, gpt2: int) -> str:
    both = chosen["embedding"] + chosen["unembedding"]
    cheapest = _row(frame, frame["size"].iloc[frame["flops"].argmin()])
    times = f", {chosen['tokens'] / least:.2f} times o200k's {least:,}" if least else ""
    return (f"A vocabulary of {chosen['size']:,} needs {units.plural(chosen['tokens'], 'token')} for the text{times}; "
            f"GPT-2's own {GPT2_SIZE:,} need {gpt2:,}. Embedding and unembedding have {both:,} parameters, "
            f"{both / chosen['total']:.1%} of the model. Reading the text once takes {units.flops(chosen['flops'])}; it "
            f"would take least, {units.flops(cheapest['flops'])}, with a vocabulary of {cheapest['size']:,}.")


@cache
def _size_spec() -> dict:
    """Two panels in one view, so that they share the axis below and the line at the chosen size."""
    x = alt.X("size:Q", scale=alt.Scale(type="log", domain=[256, 201_088], nice=False), axis=alt.Axis(
        title="vocabulary (tokens, log scale)", values=[256, 1024, 4096, 16_384, 65_536, 201_088], format=",d",
        labelFlush=True, grid=False))
    above = alt.Y("value:Q", scale=alt.Scale(zero=True, range=[alt.expr("0.56 * height"), 0]), axis=alt.Axis(
        title="text (tokens)", format=",d", tickCount=4, grid=True, **_LEFT))
    below = alt.Y("value:Q", stack="zero", scale=alt.Scale(range=[alt.expr("height"), alt.expr("0.64 * height")]),
                  axis=alt.Axis(title="parameters (count)", labelExpr=COUNT_LABEL, tickCount=3, **_LEFT))
    curve = _rows("tokens").mark_line(color=palette.ACCENT, strokeWidth=3).encode(x=x, y=above)
    kinds = [CHOSEN, GPT2, NOTEBOOK]
    colours = [palette.ACCENT, palette.GPT2, palette.MUTED]
    legend = alt.Legend(title=None, symbolSize=150, columns={"expr": "width > 420 ? 3 : 1"})
    points = _rows(*kinds).mark_point(size=170, strokeWidth=2.5, opacity=1, tooltip=ROW).encode(
        x=x, y=above, stroke=alt.Stroke("kind:N", legend=legend, scale=alt.Scale(domain=kinds, range=colours)),
        fill=alt.Fill("kind:N", legend=legend, scale=alt.Scale(domain=kinds, range=[*colours[:2], "transparent"])),
        shape=alt.Shape("kind:N", legend=legend, scale=alt.Scale(domain=kinds, range=["circle", "square", "diamond"])))
    areas = _rows(*_PARTS).mark_area(opacity=0.9, tooltip=ROW).encode(x=x, y=below, color=alt.Color(
        "kind:N", legend=alt.Legend(title=None, symbolType="square", columns=1, orient="none", legendX=12,
                                    legendY=alt.expr("0.65 * height")),
        scale=alt.Scale(domain=_PARTS, range=[palette.PARTS[part] for part in _PARTS])))
    rule = _rows(CHOSEN).mark_rule(color=palette.MUTED, strokeWidth=2, strokeDash=[2, 3]).encode(x=alt.X("size:Q"))
    chart = alt.layer(areas, alt.layer(curve, points), rule).resolve_scale(y="independent", color="independent")
    return specification(chart, height=385)


def _rows(*kinds: str) -> alt.Chart:
    return blank_chart().transform_filter(alt.FieldOneOfPredicate("kind", list(kinds)))


def paired_chips(pieces: Iterable[tuple[Sequence[Token], Sequence[Token]]], show_bytes: bool = True,
                 compared: bool = True) -> str:
    """The tokens of a text with ids and, on demand, bytes; below each piece another tokenizer's tokens of it, grey.

    `pieces` are the shortest stretches that both tokenizers have borders around: (o200k's tokens, GPT-2's). Where both
    have the same one token, only GPT-2's id is written.
    """
    pieces = list(pieces)
    first, later, place = [], [], 0
    for ours, theirs in pieces:
        row = "".join(_o200k_chip(token, place + number, show_bytes) for number, token in enumerate(ours))
        below = _gpt2_row(ours, theirs) if compared else ""
        (first if place < _AT_ONCE else later).append(f'<div class="pair"><div class="row">{row}</div>{below}</div>')
        place += len(ours)
    words = f"{units.plural(place, 'token')} of o200k with their ids" + (
        f", above {sum(len(theirs) for _, theirs in pieces)} of GPT-2" if compared else "")
    more = (f'<details class="more"><summary>The tokens after the first {_AT_ONCE}</summary><div class="chips pairs" '
            f'role="img" aria-label="The later tokens">{"".join(later)}</div></details>') if later else ""
    return (f'{STYLE}{_PAIRS_STYLE}<div class="chips pairs" role="img" aria-label="{words}">'
            f'{"".join(first)}</div>{more}')


def _o200k_chip(token: Token, place: int, show_bytes: bool) -> str:
    spelt = (spelt_bytes(token.data, _BYTES_SHOWN),) if show_bytes else ()
    return chip(token_words(token.data), Shade(
        palette.fade(palette.ACCENT, 0.3) if token.special else changing(place),
        title=f"token {place}, id {token.id}, bytes {spelt_bytes(token.data)}", below=(str(token.id), *spelt)))


def _gpt2_row(ours: Sequence[Token], theirs: Sequence[Token]) -> str:
    if len(ours) == len(theirs) == 1:
        return f'<div class="same" title="GPT-2 has the same token, id {theirs[0].id}">={theirs[0].id}</div>'
    chips = "".join(chip(token_words(token.data), Shade(
        palette.fade(palette.GPT2, 0.3), title=f"GPT-2, id {token.id}, bytes {spelt_bytes(token.data)}",
        below=(str(token.id),))) for token in theirs)
    return f'<div class="row">{chips}</div>'


def token_words(data: bytes) -> str:
    """A token as `printable` writes it, with stray bytes in bare hexadecimal: `<0xE0><0xA4>` is `E0 A4`."""
    return re.sub(r"(?:<0x[0-9A-F]{2}>)+", lambda run: " ".join(re.findall(r"0x(..)", run[0])), printable(data))


def merge_wall(data: bytes, made: Sequence[Merge], step: int, width: int) -> str:
    """Bytes as the upper row and below them what each of the first `step` merges made of what is above it.

    `data` are a pre-token's bytes, of which the first `width` are drawn, and `made` all merges in order, so that the wall
    keeps its height from step to step. The newest brick is in gpt-oss's colour. Raises `ValueError` unless
    0 <= step <= len(made).
    """
    if not 0 <= step <= len(made):
        raise ValueError(f"step {step} is not one of the steps 0 to {len(made)}")
    width = min(width, len(data))
    levels, long = _levels(width, made), width > _LONG
    cells = [_cell(at, at + 1, 1, escape(token_words(data[at:at + 1])), _BYTE, f"byte {at}") for at in range(width)]
    for number, (merge, level) in enumerate(zip(made[:step], levels, strict=False), 1):
        words = token_words(data[merge.start:merge.end])
        cells.append(_cell(merge.start, min(merge.end, width), 1 + level,
                           f"{escape(words.replace(' ', '') if long else words)}<small>{merge.rank}</small>",
                           _NEW if number == step else _TOKEN, f"merge {number}: {words}, rank and id {merge.rank}"))
    rows, least = max(levels, default=0), "1.05rem" if long else "1.5rem"
    grid = (f"grid-template-columns: repeat({width}, minmax({least}, 5.5rem)); "
            f"grid-template-rows: auto{f' repeat({rows}, 2.6rem)' if rows else ''}")
    words = f"{units.plural(width, 'byte')} after {step} of {units.plural(len(made), 'merge')}"
    return (f'{_MERGES_STYLE}<div class="{"wall long" if long else "wall"}" role="img" aria-label="{words}" '
            f'style="{grid}">{"".join(cells)}</div>')


def merge_candidates(tokens: Sequence[bytes], ranks: Sequence[int | None]) -> str:
    """The tokens as they are, and between neighbours the rank of the two together: the lowest is merged next.

    `ranks` (tokens - 1,) are None where two neighbours together are no token.
    """
    known = [(rank, place) for place, rank in enumerate(ranks) if rank is not None]
    lowest, chosen = min(known, default=(None, None))
    html = []
    for place, token in enumerate(tokens):
        html.append(f'<b style="background:{_TOKEN}">{escape(token_words(token))}</b>')
        if place < len(ranks):
            style = f' style="background:{_NEW};opacity:1;font-weight:700"' if place == chosen else ""
            html.append(f"<i{style}>{'·' if ranks[place] is None else ranks[place]}</i>")
    words = units.plural(len(tokens), "token") + (
        f"; the lowest rank of two neighbours together is {lowest}" if known else "")
    return f'{_MERGES_STYLE}<div class="gaps" role="img" aria-label="{words}">{"".join(html)}</div>'


def _levels(width: int, made: Sequence[Merge]) -> list[int]:
    """For each merge the row below the deepest brick that it covers; the bytes are row 0."""
    deepest = [0] * width
    levels = []
    for merge in made:
        level = 1 + max(deepest[merge.start:merge.end])
        deepest[merge.start:merge.end] = [level] * len(deepest[merge.start:merge.end])
        levels.append(level)
    return levels


def _cell(start: int, end: int, row: int, content: str, colour: str, title: str) -> str:
    return (f'<div style="grid-column: {start + 1} / {end + 1}; grid-row: {row}; background: {colour}" '
            f'title="{escape(title)}">{content}</div>')


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


def stream_spans(stream: Stream, ids: bool, wrong: Collection[int] = ()) -> Iterator[Span]:
    """A stream for drawing: as pieces, or with `ids` token by token as far as there is room.

    `wrong` are the places of tokens at which the format is broken.
    """
    first = 0
    for piece in stream.pieces:
        marked = first in wrong
        if ids and piece.kind in ("header", "content", "outside") and first < _MOST_IDS:
            yield from (Span(piece.kind, token_label(token), (token,), piece.message, first + n, marked and n == 0)
                        for n, token in enumerate(piece.ids))
        elif piece.ids:
            # White space between two messages would be invisible.
            text = printable(piece.text.encode()) if piece.kind == "outside" else piece.text
            yield Span(piece.kind, text, piece.ids, piece.message, first, marked)
        first += len(piece.ids)


def folded(stream: Stream, chosen: int | None) -> Stream:
    """A stream for drawing, with the middle of long contents, but of the message `chosen`, replaced by how much it was."""
    pieces = []
    for piece in stream.pieces:
        hidden = len(piece.ids) - _HEAD - _TAIL
        if piece.kind != "content" or piece.message == chosen or hidden < _TAIL:
            pieces.append(piece)
            continue
        head, middle, tail = piece.ids[:_HEAD], piece.ids[_HEAD:-_TAIL], piece.ids[-_TAIL:]
        pieces += [replace(piece, text=_on_one_line(head), ids=head),
                   replace(piece, kind="folded", text=f"… {hidden} tokens …", ids=middle),
                   replace(piece, text=_on_one_line(tail), ids=tail)]
    return Stream(tuple(pieces))


def beginning(spans: Iterable[Span], most: int) -> list[Span]:
    """The first spans of a stream, `most` tokens in all; the last is cut where it has more."""
    shown = []
    for span in spans:
        if most <= 0:
            break
        cut = span.ids[:most]
        text = span.text if cut == span.ids else b"".join(map(token_bytes, cut)).decode("utf-8", "replace") + " …"
        shown.append(span._replace(text=text, ids=cut))
        most -= len(span.ids)
    return shown


def _on_one_line(ids: tuple[int, ...]) -> str:
    return b"".join(map(token_bytes, ids)).decode("utf-8", "replace").replace("\n", "⏎")


def harmony_stream(spans: Iterable[Span], chosen: int | None = None, ids: bool = False) -> str:
    """The stream in HTML, one line a message. Special tokens have their id behind them, and with `ids` so has every
    span of one token. The message `chosen` stands out. Whatever a person wrote is escaped.
    """
    spans = list(spans)
    lines = "".join(_message(list(group), number == chosen, ids)
                    for number, group in groupby(spans, key=lambda span: span.message))
    special = sum(span.kind == "special" for span in spans)
    total = sum(len(span.ids) for span in spans)
    words = f"A stream of {units.plural(total, 'token')}, {special} of them special"
    return f'{_STREAM_STYLE}<div class="stream" role="group" aria-label="{words}">{lines}</div>'


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
