"""The architecture of one configuration as a drawing: the stack of layers, and one block opened up."""

from __future__ import annotations

import random
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache

from gptoss import units
from gptoss.charts import palette
from gptoss.charts.svg import HEADING_SIZE, TEXT_SIZE, Pen, at_both_widths
from gptoss.config import ModelConfig

_PAD = 18  # px between a card's edge and what is in it
_CARD = palette.fade(palette.MUTED, 0.07)
_PLATE = palette.fade(palette.MUTED, 0.16)
# The pages of the parts, by their addresses.
PARTS = {"tokenizer": "Tokenizer", "block": "Block", "attention": "Attention", "rope": "RoPE and YaRN",
          "gqa": "Grouped queries", "window": "Sliding window", "sinks": "Attention sinks", "rmsnorm": "RMSNorm",
          "experts": "Experts", "sampling": "Sampling"}


@lru_cache(maxsize=32)
def architecture_diagram(config: ModelConfig, live: ModelConfig | None = None, narrow: bool = False) -> str:
    """An inline SVG of `config`: embedding, layers sliding or full, one block in detail, unembedding.

    The block shows the query heads over the key/value head each group of them shares, the sink, the two masks, and
    the experts with as many lit as work on one token (which ones differs from token to token). `live` is the scale
    model that runs in its place, if one does; the drawing then says so. `narrow` stacks everything in one column of
    360 px, for phones; otherwise the drawing is 1,000 px wide. Colours are the palette's and the page's own text
    colour, so that it reads on light and dark.
    """
    pen = Pen()
    if narrow:
        width, height = 360, _draw_narrow(pen, config, live)
    else:
        width, height = 1000, _draw_wide(pen, config, live)
    return pen.picture(width, height, describe_architecture(config, live))


def drawing(config: ModelConfig, live: ModelConfig) -> str:
    """The diagram for wide screens and for narrow ones; each screen shows its own."""
    return at_both_widths(architecture_diagram(config, live), architecture_diagram(config, live, narrow=True))


def describe_architecture(config: ModelConfig, live: ModelConfig | None = None) -> str:
    """The same in words: the diagram's alternative text."""
    sliding = _sliding_layers(config)
    text = (
        f"Architecture: an embedding of {config.vocab_size:,} tokens to width {config.hidden_size:,}; "
        f"{config.num_hidden_layers} layers, {sliding} with a sliding window of {config.sliding_window} tokens and "
        f"{config.num_hidden_layers - sliding} with full attention; in each, {config.num_attention_heads} query heads "
        f"share {config.num_key_value_heads} KV groups, each head has a sink, and a router sends each token to "
        f"{config.experts_per_token} of {config.num_experts} experts; then a norm and an unembedding.")
    return text + (f" {_live_in_words(config, live)}" if live is not None and live != config else "")


def _draw_wide(pen: Pen, config: ModelConfig, live: ModelConfig | None) -> float:
    block_x, block_width = 372, 612
    block_bottom = _block(pen, config, block_x, 16, block_width)
    stack_top, stack_bottom = 196, block_bottom - 134
    pen.text(125, 30, "tokens", anchor="middle", faint=True)
    pen.arrow(125, 38, 125, 58)
    _plate(pen, 20, 60, 210, "Embedding", f"{config.vocab_size:,} × {config.hidden_size:,}", "tokenizer")
    pen.arrow(125, 118, 125, 136)
    with _leading_to(pen, "block", "Layers"):
        _layer_legend(pen, config, 125, 156)
        opened = _layer_column(pen, config, 50, stack_top, 150, stack_bottom - stack_top)
    pen.path(f"M204 {opened:g}L{block_x} 30M204 {opened:g}L{block_x} {block_bottom - 14:g}", width=1.5, opacity=0.3)
    pen.arrow(125, stack_bottom + 2, 125, stack_bottom + 22)
    _plate(pen, 20, stack_bottom + 24, 210, "RMSNorm", f"{config.hidden_size:,}", "rmsnorm", height=34)
    pen.arrow(125, stack_bottom + 58, 125, stack_bottom + 74)
    _plate(pen, 20, stack_bottom + 76, 210, "Unembedding", f"{config.hidden_size:,} × {config.vocab_size:,}", "sampling")
    return _footer(pen, config, live, 20, block_bottom + 32, 964)


def _draw_narrow(pen: Pen, config: ModelConfig, live: ModelConfig | None) -> float:
    pen.text(180, 18, "tokens", anchor="middle", faint=True)
    pen.arrow(180, 26, 180, 44)
    _plate(pen, 10, 46, 340, "Embedding", f"{config.vocab_size:,} × {config.hidden_size:,}", "tokenizer")
    pen.arrow(180, 104, 180, 122)
    with _leading_to(pen, "block", "Layers"):
        _layer_row(pen, config, 10, 126, 340, 46)
        _layer_legend(pen, config, 180, 198)
    block_bottom = _block(pen, config, 4, 240, 352)
    pen.arrow(180, block_bottom + 4, 180, block_bottom + 22)
    _plate(pen, 10, block_bottom + 24, 340, "RMSNorm", f"{config.hidden_size:,}", "rmsnorm", height=34)
    pen.arrow(180, block_bottom + 58, 180, block_bottom + 76)
    _plate(pen, 10, block_bottom + 78, 340, "Unembedding", f"{config.hidden_size:,} × {config.vocab_size:,}", "sampling")
    return _footer(pen, config, live, 10, block_bottom + 164, 340)


def _leading_to(pen: Pen, page: str, name: str) -> AbstractContextManager:
    """What is drawn meanwhile is the part `name`, and leads to its page."""
    return pen.link(f"./{page}", f"{name}: to the page {PARTS[page]}")


def _plate(pen: Pen, x: float, y: float, width: float, name: str, size: str, page: str,
           height: float = 56) -> None:
    """A part with its size, which leads to a page: on two lines, or on one where it is low."""
    with _leading_to(pen, page, name):
        pen.box(x, y, width, height, _PLATE)
        if height < 50:
            pen.text(x + _PAD, y + height / 2 + 6, name, bold=True)
            pen.text(x + width - _PAD, y + height / 2 + 6, size, anchor="end", faint=True)
        else:
            pen.text(x + width / 2, y + 24, name, anchor="middle", bold=True)
            pen.text(x + width / 2, y + 45, size, anchor="middle", faint=True)


def _layer_kind(config: ModelConfig, layer: int) -> tuple[str, str]:
    sliding = config.window_of(layer) > 0
    return ("layer sliding", palette.SLIDING) if sliding else ("layer full", palette.FULL)


def _sliding_layers(config: ModelConfig) -> int:
    return sum(config.window_of(layer) > 0 for layer in range(config.num_hidden_layers))


def _layer_column(pen: Pen, config: ModelConfig, x: float, y: float, width: float, height: float) -> float:
    """The layers as bars, the first at the top; returns the height of the opened one, the first."""
    pitch = min(height / config.num_hidden_layers, 46)
    top = y + (height - pitch * config.num_hidden_layers) / 2
    if top > y + 1:
        pen.path(f"M{x + width / 2:g} {y:g}V{y + height:g}", opacity=0.6)
    for layer in range(config.num_hidden_layers):
        kind, colour = _layer_kind(config, layer)
        pen.box(x, top + layer * pitch + pitch * 0.12, width, pitch * 0.76, colour, min(4, pitch / 4), kind)
    return top + pitch / 2


def _layer_row(pen: Pen, config: ModelConfig, x: float, y: float, width: float, height: float) -> None:
    """The layers as bars, the first at the left."""
    pitch = min(width / config.num_hidden_layers, 46)
    left = x + (width - pitch * config.num_hidden_layers) / 2
    for layer in range(config.num_hidden_layers):
        kind, colour = _layer_kind(config, layer)
        pen.box(left + layer * pitch + pitch * 0.12, y, pitch * 0.76, height, colour, min(4, pitch / 4), kind)


def _layer_legend(pen: Pen, config: ModelConfig, middle: float, y: float) -> None:
    """How many layers there are, and of each kind: two centred lines, the first on the baseline `y`."""
    sliding = _sliding_layers(config)
    pen.text(middle, y, units.plural(config.num_hidden_layers, "layer"), HEADING_SIZE, anchor="middle", bold=True)
    for left, colour, words in ((middle - 100, palette.SLIDING, f"{sliding} sliding"),
                                (middle + 24, palette.FULL, f"{config.num_hidden_layers - sliding} full")):
        pen.box(left, y + 14, 14, 14, colour, 3)
        pen.text(left + 20, y + 26, words)


def _block(pen: Pen, config: ModelConfig, x: float, y: float, width: float) -> float:
    """One block opened up: two cards, each a branch off the residual stream; returns the lower edge."""
    stream = x + 30
    card_x, card_width = x + 62, width - 62 - 14
    background = Pen()
    name = f"One block, {config.num_hidden_layers} times" if config.num_hidden_layers > 1 else "The only block"
    with _leading_to(pen, "block", name):
        pen.text(card_x, y + 30, name, HEADING_SIZE, bold=True)
    attention_top = y + 46
    attention_bottom = _card(pen, config, card_x, attention_top, card_width, _attention)
    experts_top = attention_bottom + 40
    experts_bottom = _card(pen, config, card_x, experts_top, card_width, _experts)
    bottom = experts_bottom + 46
    start = y + 30
    for top, low in ((attention_top, attention_bottom), (experts_top, experts_bottom)):
        add = low + 16
        pen.path(f"M{stream:g} {start:g}V{add - 11:g}", opacity=0.6)
        pen.arrow(stream, top + 26, card_x - 3, top + 26)
        pen.path(f"M{card_x + 40:g} {low:g}V{add:g}", opacity=0.6)
        pen.arrow(card_x + 40, add, stream + 12, add)
        pen.plus(stream, add)
        start = add + 11
    pen.arrow(stream, start, stream, bottom - 4)
    background.box(x, y, width, bottom - y, _CARD, 14)
    pen.put_behind(background)
    return bottom


def _card(pen: Pen, config: ModelConfig, x: float, y: float, width: float, content) -> float:
    """A branch of the block on its card, which begins with the norm; returns the lower edge."""
    inside = Pen()
    with _leading_to(inside, "rmsnorm", "RMSNorm"):
        inside.area(x, y, width, 44)
        inside.text(x + _PAD, y + 31, "RMSNorm", bold=True)
        inside.text(x + width - _PAD, y + 31, f"width {config.hidden_size:,}", anchor="end", faint=True)
    inside.path(f"M{x + _PAD:g} {y + 44:g}H{x + width - _PAD:g}", width=1, opacity=0.25)
    bottom = content(inside, config, x + _PAD, y + 72, width - 2 * _PAD) + 6
    pen.box(x, y, width, bottom - y, _CARD, 10)
    pen.put_before(inside)
    return bottom


def _attention(pen: Pen, config: ModelConfig, x: float, y: float, width: float) -> float:
    with _leading_to(pen, "attention", "Attention"):
        pen.area(x - _PAD, y - 26, width / 3 + _PAD, 34)
        pen.text(x, y, "Attention", HEADING_SIZE, bold=True)
    turned = "queries and keys turned by RoPE" if width > 400 else "turned by RoPE"
    with _leading_to(pen, "rope", turned):
        pen.text(x + width, y, turned, anchor="end", faint=True)
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    with _leading_to(pen, "gqa", "Query heads in KV groups"):
        y = pen.paragraph(x, y + 25, f"{units.plural(heads, 'query head')} in {units.plural(groups, 'KV group')}, "
                                     f"{config.group_size} to each; head size {config.head_dim}", width)
        top, y = y, _head_groups(pen, config, x, y - 8, width) + 28
        pen.area(x, top - 52, width, y - top + 36)
    y = _legend_row(pen, x, y, width, (
        (palette.QUERY, "query", ""), (palette.KEY, "key", ""), (palette.VALUE, "value", ""),
        (palette.SINK, "sink: a logit per query head", "sinks")))
    with _leading_to(pen, "window", "Masks"):
        bottom = _masks(pen, config, x, y + 2, width)
        pen.area(x, y, width, bottom - y)
    return bottom


def _head_groups(pen: Pen, config: ModelConfig, x: float, y: float, width: float) -> float:
    """Query heads as squares with their sink, each group over the key and value it shares; returns the lower edge."""
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    rows = min(config.group_size, 1 if heads <= 16 else 2 if width > 400 else 4)
    columns = -(-config.group_size // rows)
    pitch = min(width / (groups * (columns + 0.35)), 30)
    side, group_width = pitch * 0.82, pitch * columns
    for group in range(groups):
        left = x + group * pitch * (columns + 0.35)
        for head in range(config.group_size):
            head_x, head_y = left + head % columns * pitch, y + head // columns * pitch
            pen.box(head_x, head_y, side, side, palette.QUERY, side / 5, f"query-head group-{group}")
            pen.box(head_x, head_y, side * 0.28, side, palette.SINK, side / 8, "sink")
        below, inner = y + rows * pitch + 8, group_width - pitch + side
        pen.path(f"M{left + inner / 2:g} {below - 8 - pitch + side:g}V{below:g}", width=1.5, opacity=0.5)
        pen.box(left, below, inner, 12, palette.KEY, 2, "key-head")
        pen.box(left, below + 14, inner, 12, palette.VALUE, 2, "value-head")
    return y + rows * pitch + 34


def _legend_row(pen: Pen, x: float, y: float, width: float, entries: tuple[tuple[str, str, str], ...]) -> float:
    """Colours and their names, some of which lead to a page, on as many lines as it takes; returns the next baseline."""
    left = x
    for colour, words, page in entries:
        needed = 20 + len(words) * TEXT_SIZE * 0.55
        if left > x and left + needed > x + width:
            left, y = x, y + 26
        with _leading_to(pen, page, words) if page else nullcontext():
            pen.box(left, y - 12, 14, 14, colour, 3)
            pen.text(left + 20, y, words)
        left += needed + 14
    return y + 26


def _masks(pen: Pen, config: ModelConfig, x: float, y: float, width: float) -> float:
    """What a query may see in a layer of each kind, as small masks with their reach; returns the lower edge."""
    kinds = [(palette.FULL, "full", "every token so far", 0)]
    if _sliding_layers(config):
        kinds.insert(0, (palette.SLIDING, "sliding", f"the last {units.plural(config.sliding_window, 'token')}", 3))
    side_by_side = width > 400
    for place, (colour, name, reach, band) in enumerate(kinds):
        left = x + width / 2 * place if side_by_side else x
        top = y if side_by_side else y + 62 * place
        _mask(pen, left, top, 48, colour, band)
        pen.text(left + 62, top + 20, name, bold=True)
        pen.text(left + 62, top + 41, reach, faint=True)
    return y + (62 if side_by_side else 62 * len(kinds))


def _mask(pen: Pen, x: float, y: float, side: float, colour: str, band: int, steps: int = 8) -> None:
    """A causal mask in `steps` steps, cut to a band of `band` cells if that is not 0: a sign, not to scale."""
    cell = side / steps
    pen.box(x, y, side, side, palette.IDLE, 3)
    for query in range(steps):
        first = max(0, query - band + 1) if band else 0
        pen.box(x + first * cell, y + query * cell, (query - first + 1) * cell, cell, colour, 0, "mask-row")


def _experts(pen: Pen, config: ModelConfig, x: float, y: float, width: float) -> float:
    experts, active = config.num_experts, config.experts_per_token
    with _leading_to(pen, "experts", "Router and experts"):
        top = y - 28
        pen.text(x, y, "Router and experts", HEADING_SIZE, bold=True)
        way = f"{config.hidden_size:,}\u00a0→\u00a0{config.intermediate_size:,}\u00a0→\u00a0{config.hidden_size:,}"
        y = pen.paragraph(x, y + 25, f"each token goes to {active} of {units.plural(experts, 'expert')}; an expert is "
                                     f"SwiGLU, {way}", width)
        columns = 32 if experts > 48 and width > 400 else 16
        rows = -(-experts // columns)
        pitch = min(width / columns, 30)
        lit = random.Random(0).sample(range(experts), active)  # some place for each; the router has no such order
        for expert in range(experts):
            on = expert in lit
            pen.box(x + expert % columns * pitch, y - 8 + expert // columns * pitch, pitch * 0.82, pitch * 0.82,
                    palette.ACCENT if on else palette.fade(palette.ACCENT, 0.16), pitch * 0.16,
                    "expert lit" if on else "expert idle")
        bottom = y - 8 + rows * pitch + 8
        pen.area(x - _PAD, top, width + 2 * _PAD, bottom - top)
    return bottom


def _footer(pen: Pen, config: ModelConfig, live: ModelConfig | None, x: float, y: float, width: float) -> float:
    if live is None or live == config:
        return y - 16
    return pen.paragraph(x, y, _live_in_words(config, live), width) + 4


def _live_in_words(config: ModelConfig, live: ModelConfig) -> str:
    return (f"Running live: a scale model with {live.num_hidden_layers} of "
            f"{units.plural(config.num_hidden_layers, 'layer')}, width {live.hidden_size:,} of {config.hidden_size:,}.")
