"""What the attention page draws: a query's worksheet with its formulas, the text in colour, and heads side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from html import escape
from typing import NamedTuple, Protocol

import altair as alt
import numpy as np
import pandas as pd

from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, Chart, blank_chart, clicks, scale_of, specification, tooltip
from gptoss.charts.chips import FAINT, MOST_TOKENS, Shade, shaded_text
from gptoss.charts.images import Picture, head_grid, signed_pixels
from gptoss.charts.labels import visible_token
from gptoss.charts.worksheet import bar_style, cell, colgroup, dot_product, factor, sheet_style, strips
from gptoss.training.head_names import NamedHead
from gptoss.units import fixed, number, plural

PRODUCT, SCALE, MASK, SOFTMAX, MIX = STEPS = (1, 2, 3, 4, 5)
MOST_HEADS = 8

_LABEL_LENGTH = 9  # characters of a token
_QUERY, _KEY, _VALUE, _SINK = (f'<span class="{kind}">{word}</span>' for kind, word in (
    ("query", "query"), ("key", "key"), ("value", "value"), ("sink-word", "sink")))
_TINTS = 10  # steps of strength behind a number
_TINT_RULES = "".join(f".qs .{kind}{n} {{background-color: {palette.fade(colour, round(0.5 * n / _TINTS, 3))}}}\n"
                      for kind, colour in (("n", palette.NEGATIVE), ("p", palette.POSITIVE)) for n in range(1, _TINTS + 1))
_SHEET_STYLE = palette.in_both_themes(f"""{sheet_style("qs")}
.qs {{font-size: 0.9rem; line-height: 1.25}}
.qs p {{margin: 0 0 0.35rem}}
.qs.qs h2 {{font-size: 1.1rem; margin: 0; padding: 0 0 0.15rem}}
.qs mark {{color: inherit; background: {palette.fade(palette.ACCENT, 0.2)}; border-radius: 5px; padding: 0 5px}}
.qs td, .qs th {{padding: 1px 4px; height: 1.38rem}}
.qs td.s3 {{white-space: normal; line-height: 1}}
.qs tbody th {{line-height: 1; font-family: "Source Code Pro", monospace; font-size: 0.8rem}}
.qs tbody th small, .qs .why {{opacity: 0.7; font-size: 0.78rem}}
.qs thead th {{font-size: 0.82rem; opacity: 0.7; padding: 1px}}
.qs i {{height: 1rem}}
.qs .q i {{border: 2px solid {palette.QUERY}}}
.qs .k i {{border: 2px solid {palette.KEY}}}
.qs .v i {{border: 2px solid {palette.VALUE}}}
.qs .out i {{border: 2px solid {palette.ACCENT}; height: 1.3rem}}
.qs .sink th {{color: {palette.ink(palette.SINK)}; font-weight: 700}}
.qs tbody .out th {{font-family: inherit; font-size: 0.85rem}}
.qs .hidden .s4 {{opacity: 0.66}}
.qs .hidden .s3 .why {{opacity: 1}}
.qs .hidden .v {{opacity: 0.25}}
.qs .hidden .s3 {{color: {palette.ink(palette.FULL)}; font-weight: 700}}
.qs .chosen > * {{background-color: {palette.fade(palette.ACCENT, 0.13)}; font-weight: 700}}
.qs .formula {{min-height: 3.1rem; margin: 0.4rem 0 0; padding: 0.35rem 0.6rem; font-size: 0.95rem}}
.qs .formula b {{white-space: nowrap}}
.qs .query {{color: {palette.QUERY}; font-weight: 700}}
.qs .key {{color: {palette.ink(palette.KEY)}; font-weight: 700}}
.qs .value {{color: {palette.ink(palette.VALUE)}; font-weight: 700}}
.qs .sink-word {{color: {palette.ink(palette.SINK)}; font-weight: 700}}
@keyframes qs-appear {{from {{opacity: 0; transform: translateY(-6px)}}}}
@media (prefers-reduced-motion: no-preference) {{.qs.playing .now > * {{animation: qs-appear 0.7s}}}}
@media (max-width: 760px) {{
  .qs td, .qs th {{padding: 1px 2px; font-size: 0.8rem}}
  .qs tbody th {{font-size: 0.78rem}}
  .qs thead th {{font-size: 0.75rem}}
  .qs span.why, .qs tbody th small {{display: none}}
}}
{_TINT_RULES}""")
_COLGROUP = colgroup((22, 14, 12, 11, 13, 14, 14))  # % of the table: token, key, q · k, score, mask, weight, value
_COLUMNS = 4
_TILE_CELLS = 84  # cells of a small map's side; more are averaged
_SHADES = 12  # steps of strength in the text
# How the chosen token is shown, and the colour of the others, where it looks and where it is looked at.
_LOOKING = Shade(palette.QUERY, palette.PAPER, kind="query"), palette.KEY
_SEEN = Shade(palette.KEY, "black", kind="key"), palette.QUERY
_LOOKS_STYLE = """<style>
.looks {display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 320px), 1fr)); gap: 1rem 2rem}
.looks p {margin: 0.4rem 0 0; font-size: 0.9rem; opacity: 0.8}
.looks.looks h2 {padding: 0 0 0.5rem; margin: 0; font-size: 1.25rem}
</style>"""


class QuerySteps(Protocol):
    """What the worksheet needs of one query's way through one head, as `measure.QuerySteps` has it."""

    position: int
    window: int
    query: np.ndarray  # (head_dim,), as are the rows of keys and values and the output
    keys: np.ndarray  # (tokens, head_dim)
    values: np.ndarray
    products: np.ndarray  # (tokens,), as are scores, seen and weights
    scores: np.ndarray
    seen: np.ndarray
    weights: np.ndarray
    sink_logit: float
    sink_weight: float
    output: np.ndarray
    head_dim: int
    denominator: float
    best_key: int


def query_worksheet(steps: QuerySteps, shown: Sequence[int], chosen: int, labels: Sequence[str], step: int = MIX,
                    playing: bool = False, dark: bool = False, head: str = "") -> str:
    """The worksheet of one query, filled in up to `step`, one of `STEPS`, below what is known of the `head` in HTML.

    A row for each key in `shown`, one for the seen keys left out, one for the sink, and the output below. The key
    `chosen` is marked, and below is the step's formula with that key's numbers put in. Vectors are strips: blue
    is negative, orange positive. `labels` are the tokens, a person's text, so they are escaped. While `playing` the
    new column fades in. The strips have the colours of one theme. Raises `ValueError` for a step that there is not.
    """
    if step not in STEPS:
        raise ValueError(f"step {step} is impossible; allowed: {', '.join(map(str, STEPS))}")
    rows = [_query_row(steps, labels)]
    rows += [_key_row(steps, key, labels[key], step, key == chosen, place) for place, key in enumerate(shown)]
    rows += [_others_row(steps, shown, step), _sink_row(steps, step), _output_row(steps, step)]
    table = (f'<table aria-label="{escape(describe_query(steps, labels))}">{_COLGROUP}{_header(steps, step)}'
             f'<tbody>{"".join(rows)}</tbody></table>')
    formula = f'<p class="formula">{worked_formula(steps, chosen, labels, step)}</p>'
    return (f'<style>{_SHEET_STYLE}{_strips(steps, shown, dark)}</style><div class="qs{" playing" if playing else ""}">'
            f"{head}<p>{_step_in_words(steps, step)}</p>{table}{formula}</div>")


def head_in_words(layer: int, head: int, named: NamedHead | None, random: bool) -> str:
    """Which head this is and what it is known to do on the text, in HTML; `random` is for weights that learned nothing."""
    if named:
        return (f'<h2>Layer {layer}, head {head}: <mark>{named.name}</mark></h2><p>It {named.words}; an even '
                f"look would give that {named.chance:.0%}.</p>")
    known = "Its weights are random: what it looks at is chance." if random else (
        "It shows no habit that has a name on this text.")
    return f"<h2>Layer {layer}, head {head}</h2><p>{known}</p>"


def describe_query(steps: QuerySteps, labels: Sequence[str]) -> str:
    """The worksheet in a sentence or two: its alternative text."""
    best = steps.best_key
    return (f"Attention of one head for the query “{visible_token(labels[steps.position])}” at position {steps.position}: "
            f"it sees {int(steps.seen.sum())} of {plural(len(labels), 'key')}. The largest weight, "
            f"{steps.weights[best]:.3f}, goes to “{visible_token(labels[best])}” at position {best}; the sink takes "
            f"{steps.sink_weight:.3f}.")


def _header(steps: QuerySteps, step: int) -> str:
    names = ("q · k", f"÷ √{steps.head_dim}", "mask", "softmax", "× value")
    cells = (f'<th colspan="{2 if place == PRODUCT else 1}" class="{"now" if place == step else ""}">{place} '
             f"{name}</th>" for place, name in zip(STEPS, names, strict=True))
    return f"<thead><tr><td></td>{''.join(cells)}</tr></thead>"


def _cell(place: int, step: int, content: str = "", kind: str = "", style: str = "") -> str:
    """A cell that says by its class, `s1` to `s5`, which step fills it."""
    return cell(place, step, content, f"s{place} {kind}".rstrip(), style)


def _query_row(steps: QuerySteps, labels: Sequence[str]) -> str:
    words = '← the <span class="query">query</span>; below it the <span class="key">keys</span>'
    return (f'<tr class="q"><th><b>{_token(labels[steps.position], steps.position)}</b></th><td><i class="q0"></i></td>'
            f'<td colspan="5" style="text-align:left">{words}</td></tr>')


def _key_row(steps: QuerySteps, key: int, label: str, step: int, chosen: bool, place: int) -> str:
    seen = bool(steps.seen[key])
    kinds = f'{"chosen" if chosen else ""} {"" if seen or step < MASK else "hidden"}'
    mark, why = ("✓", "") if seen else ("−∞", "later" if key > steps.position else "far")
    largest = _largest(steps.products)
    return (f'<tr class="{kinds}"><th>{_token(label, key)}</th>'
            f'<td class="k"><i class="k{place}"></i></td>'
            + _tinted(PRODUCT, step, float(steps.products[key]), largest)
            + _tinted(SCALE, step, float(steps.scores[key]), largest)
            + _cell(MASK, step, f'{mark} <span class="why">{why}</span>')
            + _weight(steps, float(steps.weights[key]), step, palette.MAGNITUDE)
            + _cell(MIX, step, f'<i class="v{place}"></i>', "v") + "</tr>")


def _others_row(steps: QuerySteps, shown: Sequence[int], step: int) -> str:
    """The keys that are seen but have no row of their own, so that the weights add up."""
    count = int(steps.seen.sum()) - sum(bool(steps.seen[key]) for key in shown)
    if not count:
        return ""
    weight = float(steps.weights.sum() - steps.weights[list(shown)].sum())
    more = (f"<td></td>{_cell(PRODUCT, step, '…')}{_cell(SCALE, step, '…')}{_cell(MASK, step, '✓')}"
            f"{_cell(SOFTMAX, step, f'{weight:.3f}')}{_cell(MIX, step, '…')}")
    return f'<tr><th title="{count} more keys that are seen">+ {count} seen</th>{more}</tr>'


def _sink_row(steps: QuerySteps, step: int) -> str:
    """The sink enters with the softmax; before, its row stays empty, so that the table keeps its height."""
    if step < SOFTMAX:
        return '<tr><td>&nbsp;</td><td colspan="6"></td></tr>'
    return (f'<tr class="sink"><th>sink</th><td class="why">no key</td><td></td>'
            f'<td title="the learned logit of the sink">{fixed(steps.sink_logit)}</td><td></td>'
            f'{_weight(steps, steps.sink_weight, step, palette.SINK)}{_cell(MIX, step, "no value", "why")}</tr>')


def _output_row(steps: QuerySteps, step: int) -> str:
    name = '<th colspan="5">output of the head for this token</th>' if step == MIX else '<td colspan="5">&nbsp;</td>'
    total = f"{float(steps.weights.sum()) + steps.sink_weight:.3f}"
    return (f'<tr class="out">{name}{_cell(SOFTMAX, step, total)}'
            + _cell(MIX, step, '<i class="o0"></i>') + "</tr>")


def _tinted(place: int, step: int, value: float, largest: float) -> str:
    """A number on a ground whose colour is its sign and whose strength its size, on one scale for both columns."""
    return _cell(place, step, fixed(value), f"{'n' if value < 0 else 'p'}{round(_TINTS * abs(value) / (largest or 1))}")


def _weight(steps: QuerySteps, weight: float, step: int, colour: str) -> str:
    share = weight / max(float(steps.weights.max()), steps.sink_weight, 1e-12)
    return _cell(SOFTMAX, step, f"{weight:.3f}", "bar", bar_style(share, palette.fade(colour, 0.55)))


def _token(label: str, position: int) -> str:
    return f"{token_name(label)} <small>{position}</small>"


def _largest(*arrays: np.ndarray) -> float:
    return max(float(np.abs(array).max()) for array in arrays)


def _strips(steps: QuerySteps, shown: Sequence[int], dark: bool) -> str:
    """Style rules for every vector as a row of cells.

    Blue is below zero, orange above, clear is zero. Full colour is the largest number of all queries and keys of the
    head, or of all its values; the output is on the scale of the values.
    """
    matching = {"q0": steps.query} | {f"k{place}": steps.keys[key] for place, key in enumerate(shown)}
    mixed = {f"v{place}": steps.values[key] for place, key in enumerate(shown)} | {"o0": steps.output}
    image = np.concatenate([signed_pixels(np.stack(list(matching.values())), _largest(steps.query, steps.keys)),
                            signed_pixels(np.stack(list(mixed.values())), _largest(steps.values))])
    return strips("qs", [*matching, *mixed], image, dark)


def _step_in_words(steps: QuerySteps, step: int) -> str:
    """What step 1 to 5 does, in words."""
    return (
        f"Multiply {_QUERY} and {_KEY} number by number, and add up.",
        f"Divide by √{steps.head_dim}, the root of the head size, to keep scores small.",
        "Later tokens, and those outside the window, get −∞: no weight.",
        f"Softmax: e<sup>score</sup> over the sum of them all, the {_SINK}'s too.",
        f"Each {_VALUE} counts by its weight: the sum is what the head says.",
    )[step - 1]


def worked_formula(steps: QuerySteps, key: int, labels: Sequence[str], step: int) -> str:
    """Step 1 to 5 for one key, with its numbers put in. The key's label is escaped."""
    name = f'<span class="key">{token_name(labels[key])}</span>'
    return (_product, _scaling, _masking, _softmax, _mixing)[step - 1](steps, key, name)


def token_name(label: str) -> str:
    """A token as it is to be read, short and escaped."""
    return escape(visible_token(label, _LABEL_LENGTH))


def _product(steps: QuerySteps, key: int, name: str) -> str:
    return (f'<span class="query">q</span> · <span class="key">k</span> for {name} = '
            f"{dot_product(steps.query, steps.keys[key])} = <b>{fixed(steps.products[key])}</b>")


def _scaling(steps: QuerySteps, key: int, name: str) -> str:
    product = fixed(steps.products[key])
    return (f"Score of {name} = {product} / √{steps.head_dim} = {product} / {number(math.sqrt(steps.head_dim), 4)} = "
            f"<b>{fixed(steps.scores[key])}</b>")


def _masking(steps: QuerySteps, key: int, name: str) -> str:
    where = f"{name} stands at {key}, the query at {steps.position}: "
    back = steps.position - key
    if back < 0:
        return f"{where}it comes later, so its score becomes <b>−∞</b>"
    if not steps.seen[key]:
        return (f"{where}{back} back, and a window of {steps.window} reaches {steps.window - 1} back. "
                "Its score becomes <b>−∞</b>")
    reach = f"within the window of {steps.window}" if steps.window else "and this layer has no window"
    return f"{where}{back} back, {reach}. Its score stays <b>{fixed(steps.scores[key])}</b>"


def _softmax(steps: QuerySteps, key: int, name: str) -> str:
    total, sink = steps.denominator, math.exp(steps.sink_logit)
    if not steps.seen[key]:
        return f"Weight of {name} = e<sup>−∞</sup> / {number(total)} = <b>0</b>"
    return (f"Weight of {name} = e<sup>{fixed(steps.scores[key])}</sup> / ({plural(int(steps.seen.sum()), 'key')}: "
            f'{number(total - sink)} + <span class="sink-word">sink: {number(sink)}</span>) = '
            f"{number(math.exp(steps.scores[key]))} / {number(total)} = <b>{steps.weights[key]:.3f}</b>")


def _mixing(steps: QuerySteps, key: int, name: str) -> str:
    value, output = float(steps.values[key, 0]), float(steps.output[0])
    share = float(steps.weights[key]) * value
    return (f"First of {steps.head_dim} numbers: {name} gives {steps.weights[key]:.3f} · "
            f'<span class="value">{factor(value)}</span> = {fixed(share, 3)}, the other keys {fixed(output - share, 3)}, '
            f"the sink nothing. Sum <b>{fixed(output, 3)}</b>")


def looks_in_text(row: np.ndarray, column: np.ndarray, token: int, labels: Sequence[str]) -> str:
    """Where a token looks, and who looks at it: twice the text itself, each token coloured by its share, in HTML.

    `row` and `column` (tokens,) are the token's row and column of a head's map, NaN where the mask keeps two tokens
    apart; strength is the square root of the share. Above `MOST_TOKENS` tokens those around the chosen one are shown, and a
    line says how many are left out. Labels are a person's text, so they are escaped. Raises `ValueError` where the
    shares do not fit.
    """
    count = len(labels)
    if row.shape != (count,) or column.shape != (count,) or not 0 <= token < count:
        raise ValueError(f"row {row.shape} and column {column.shape} of token {token} do not fit {count} labels")
    ahead = MOST_TOKENS // 4
    return (f'{_LOOKS_STYLE}<div class="looks">'
            + _text("Where this token looks", row, token, labels, _LOOKING, token - (MOST_TOKENS - ahead),
                    describe_row(row, token, labels))
            + _text("Who looks at this token", column, token, labels, _SEEN, token - ahead,
                    describe_column(column, token, labels)) + "</div>")


def describe_row(row: np.ndarray, token: int, labels: Sequence[str]) -> str:
    """Where a token looks, in a sentence."""
    best = int(np.nanargmax(row))
    there = "at itself" if best == token else f"at “{visible_token(labels[best])}”, position {best}"
    return f"“{visible_token(labels[token])}” looks most {there}: that gets {_weight_in_words(row[best])} of its weight."


def describe_column(column: np.ndarray, token: int, labels: Sequence[str]) -> str:
    """Who looks at a token, in a sentence."""
    best, able = int(np.nanargmax(column)), int((~np.isnan(column)).sum())
    name = visible_token(labels[token])
    if able == 1:
        return f"No other token can look at “{name}”. It gives itself {_weight_in_words(column[best])} of its weight."
    who = "it looks at itself" if best == token else f"“{visible_token(labels[best])}” at position {best} looks at it"
    return (f"{able} tokens, itself included, can look at “{name}”. Of these {who} most, with "
            f"{_weight_in_words(column[best])} of its weight.")


def _weight_in_words(weight: float) -> str:
    return "less than 0.001" if weight < 0.0005 else f"{weight:.3f}"


def _text(title: str, shares: np.ndarray, token: int, labels: Sequence[str], shades: tuple[Shade, str], start: int,
          sentence: str) -> str:
    """One of the two texts, from `start` on; NaN is what the mask hides, and never the chosen token itself."""
    chosen, colour = shades
    steps = np.round(np.sqrt(np.nan_to_num(shares) / (np.nanmax(shares) or 1)) * _SHADES)
    shown = [FAINT if np.isnan(share) else chosen._replace(title=f"{share:.3f}") if place == token else
             Shade(palette.fade(colour, round(0.8 * float(step) / _SHADES, 3)), title=f"{share:.3f}")
             for place, (share, step) in enumerate(zip(shares, steps, strict=True))]
    return (f"<div><h2>{title}</h2>{shaded_text(labels, shown, sentence, 'close', start, MOST_TOKENS)}"
            f"<p>{escape(sentence)}</p></div>")


class HeadTile(NamedTuple):
    """One head for the gallery: its number, its entropy in bits, and its map as the address of an image."""

    head: int
    entropy: float
    image: str


def head_tile(head: int, entropy: float, weights: np.ndarray, sink: np.ndarray, dark: bool = False) -> HeadTile:
    """A tile of one head's softmax, `weights` (queries, keys) and `sink` (queries,), in the colours of one theme."""
    picture = head_grid(np.concatenate([sink[:, None], weights], axis=1)[None], columns=1, width=_TILE_CELLS, enlarge=False)
    image = picture.image.copy()
    image[..., 3] = (image[..., 3].astype(int) + 8) // 17 * 17  # 16 steps of opacity compress well
    return HeadTile(head, entropy, Picture(image, "").address(dark))


def head_gallery(tiles: Sequence[HeadTile], selected: int | None = None) -> Chart:
    """Up to `MOST_HEADS` heads as small maps, in the order given, each with its number and how many places it spreads over.

    2 to the power of the entropy counts places: 4 bits are what an even look at 16 places would have. The sink's
    column, a place of its own, is apart at the left of each map. A click picks a head (selection `picked`, field
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
    text = (f"{plural(len(tiles), 'head')} by entropy: over how many places a head spreads its look. Head {first.head} "
            f"spreads it over about {2**first.entropy:.1f} ({first.entropy:.2f} bits), head {last.head} over about "
            f"{2**last.entropy:.1f} ({last.entropy:.2f} bits).")
    return Chart(_gallery_spec(), data, "Attention maps of up to eight heads, from most focused to most spread", text)


def spread_in_words(entropies: np.ndarray, even: float, weights: str, twin: np.ndarray | None = None) -> str:
    """How widely heads look, in places, beside an even look and, where it is given, beside another set of weights.

    `entropies` and `twin` (heads,) and `even` are in bits; `weights` names the model's weights ("random weights, seed 0").
    """
    text = (f"A head that looked evenly at all it sees would spread over {2**even:.1f} places. The {len(entropies)} heads "
            f"of this layer, with {weights}, spread over {_range_of_places(entropies)}, because they prefer some tokens.")
    if twin is not None:
        text += f" Those of the twin, never trained, spread over {_range_of_places(twin)}."
    return text


def _range_of_places(entropies: np.ndarray) -> str:
    return f"{2 ** float(entropies.min()):.1f} to {2 ** float(entropies.max()):.1f}"


@cache
def _gallery_spec() -> dict:
    x = alt.X("column:O", scale=alt.Scale(domain=[*range(1, _COLUMNS + 1)], paddingInner=0.12, paddingOuter=0.02),
              axis=alt.Axis(title="most focused first (rank)", labels=False, ticks=False,
                            domain=False))
    base = blank_chart().encode(x=x, y=_row())
    maps = base.mark_image(aspect=False, width={"band": 1}, height={"band": 1}).encode(url="map:N")
    frames = base.mark_rect(fillOpacity=0, stroke=palette.ACCENT, strokeWidth=5, cursor="pointer").encode(
        strokeOpacity=alt.StrokeOpacity("chosen:Q", scale=scale_of({0: 0, 1: 1}), legend=None),
        tooltip=tooltip(("head:Q", "head"), ("entropy:Q", "entropy (bits)"), ("places:Q", "places (2 to the entropy)"),
                        ("rank:Q", "rank"))).add_params(clicks("head"))
    titles, words = (
        base.mark_text(dy=dy, fontSize=FONT_SIZE, tooltip=False).encode(
            y=_row(place), text=f"{field}:N")
        for field, place, dy in (("title", 0, -11), ("words", 1, 13)))
    return specification(alt.layer(maps, titles, words, frames), height=400)


def _row(place: float = 0.5) -> alt.Y:
    """The rows of the gallery, with room between them for words; `place` 0 is a row's top, 1 its bottom."""
    rows = [*range(1, MOST_HEADS // _COLUMNS + 1)]
    return alt.Y("row:O", bandPosition=place, axis=None, scale=alt.Scale(domain=rows, paddingInner=0.36, paddingOuter=0.2))
