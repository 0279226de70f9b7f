"""The ladder from GPT-2 to GPT-OSS: a waterfall of what the rungs change, and the block that they make."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import NamedTuple

import altair as alt
import pandas as pd

from gptoss import units
from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE, ROW, Chart, blank_chart, scale_of, specification, squares
from gptoss.charts.svg import TEXT_SIZE, Pen
from gptoss.ladder import RUNGS, LadderConfig

GPT2_ITSELF, RESULT = "GPT-2", "Result"
STEPS = (GPT2_ITSELF, *(rung.title for rung in RUNGS.values()), RESULT)

_ADDS, _TAKES, _NOTHING = "adds", "takes away", "nothing"
_COLOURS = {GPT2_ITSELF: palette.GPT2, _ADDS: palette.POSITIVE, _TAKES: palette.NEGATIVE, RESULT: palette.ACCENT,
            _NOTHING: palette.MUTED}

class Quantity(NamedTuple):
    """A measure of the ladder: what its axis says, what writes its values, and its units, the largest first."""

    axis: str
    write: Callable[[float], str]
    units: dict[str, float]


_COUNTS = {"trillions": 1e12, "billions": 1e9, "millions": 1e6, "thousands": 1e3, "count": 1}
MEASURES = {
    "Parameters": Quantity("parameters", units.count, _COUNTS),
    "Active parameters": Quantity("active parameters", units.count, _COUNTS),
    "KV cache": Quantity("KV cache of one sequence", units.size,
                         {"TiB": 2**40, "GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "B": 1}),
    "FLOPs per token": Quantity("compute for one token", units.flops,
                                {"TFLOP": 1e12, "GFLOP": 1e9, "MFLOP": 1e6, "kFLOP": 1e3, "FLOP": 1}),
    "Measured time": Quantity("one forward pass", units.seconds, {"s": 1.0, "ms": 1e-3, "µs": 1e-6}),
}

_WIDTH = 404.0  # px of the drawing's own grid
_STREAM, _LEFT, _PAD, _GAP = 22.0, 50.0, 10.0, 9.0
_CHIP, _LINE = 25.0, 30.0  # px a chip is high, and from one line of chips to the next
_NAMES = 106.0  # px that the names of parts take


def waterfall_chart(frame: pd.DataFrame, measure: str) -> Chart:
    """Bars from GPT-2's value over each rung's change to the result, one of `MEASURES`.

    `frame` has a row for every one of `STEPS`, with `start` and `stop` in parameters, bytes, FLOPs or seconds, and
    `taken`. Of a rung that is not taken no bar is drawn; its change is shown in brackets, if it has one. Columns `low`
    and `high`, where there are any, are the spread around `stop`, drawn as a line.
    """
    quantity, spread = MEASURES[measure], "low" in frame
    largest = frame.loc[frame["taken"], ["start", "stop"]].to_numpy().max()
    unit = next((name for name, scale in quantity.units.items() if largest >= scale), [*quantity.units][-1])
    scale, rows = quantity.units[unit], []
    for row in frame.itertuples(index=False):
        stop = row.stop if row.taken else row.start
        ends = (row.low, row.high) if spread and row.taken else (stop, stop)
        rows.append((row.step, row.start / scale, stop / scale, *(end / scale for end in ends),
                     max(row.start, stop, ends[1]) / scale, _kind(row), _label(row, quantity.write)))
    columns = ["step", "start", "stop", "low", "high", "edge", "kind", "change"]
    data = pd.DataFrame(rows, columns=columns).round(9)
    return Chart(_waterfall_spec(measure, unit, spread), data, f"{measure} from GPT-2 over each rung to the result",
                 _describe(frame, measure))


def _kind(row) -> str:
    if row.step in (GPT2_ITSELF, RESULT):
        return row.step
    if not row.taken or row.stop == row.start:
        return _NOTHING
    return _ADDS if row.stop > row.start else _TAKES


def _label(row, write: Callable[[float], str]) -> str:
    """The value of an end, or the change of a rung with its sign; in brackets where it is not taken."""
    if row.step in (GPT2_ITSELF, RESULT):
        return write(row.stop)
    change = row.stop - row.start
    if not change:
        return "no change" if row.taken else "not taken"
    return units.signed(change, write) if row.taken else f"({units.signed(change, write)})"


def _times(ratio: float) -> str:
    if ratio == 1:
        return "the same"
    return "nearly the same" if f"{ratio:.3g}" == "1" else f"{units.number(ratio)} times as much"


def _describe(frame: pd.DataFrame, measure: str) -> str:
    write = MEASURES[measure].write
    first, last = frame["stop"].iloc[0], frame["stop"].iloc[-1]
    taken = frame[frame["taken"]].iloc[1:-1]
    text = f"{measure}: {write(first)} in GPT-2, {write(last)} in the result"
    if taken.empty:
        return f"{text}. No rung is taken."
    change = taken["stop"] - taken["start"]
    extremes = (("Most is added by", change.idxmax(), change.max() > 0),
                ("Most is taken away by", change.idxmin(), change.min() < 0))
    parts = [f"{words} {taken.loc[place, 'step']} ({units.signed(change[place], write)})."
             for words, place, exists in extremes if exists]
    return f"{text}, {_times(last / first)}. {' '.join(parts) or 'No rung changes it.'}"


@cache
def _waterfall_spec(measure: str, unit: str, spread: bool) -> dict:
    colour = alt.Color("kind:N", scale=scale_of(_COLOURS), legend=squares(
        values=[_ADDS, _TAKES], columns=2))
    title = f"{MEASURES[measure].axis} ({unit})"
    base = blank_chart().encode(y=alt.Y("step:N", scale=alt.Scale(domain=list(STEPS)), axis=alt.Axis(
        title="rungs, in this order", ticks=False, labelLimit=160, domain=False)))
    x = alt.X("start:Q", scale=alt.Scale(zero=True, nice=False), axis=alt.Axis(title=title, tickCount=4, format="~r"))
    bars = base.mark_bar(height={"band": 0.72}, tooltip=ROW).encode(x=x, x2="stop:Q", color=colour)
    level = base.mark_tick(thickness=2, color=palette.MUTED, tooltip=ROW).encode(x="stop:Q")
    numbers = base.mark_text(align="left", dx=7, fontSize=FONT_SIZE, tooltip=ROW).encode(x="edge:Q", text="change:N")
    spreads = [base.mark_rule(color=palette.MUTED, strokeWidth=3, tooltip=ROW).encode(x="low:Q", x2="high:Q")]
    return specification(alt.layer(bars, level, *(spreads if spread else []), numbers), height=392, right=90)


class Chip(NamedTuple):
    """A property of a part, and the rung that brought it; none where it is GPT-2's own."""

    words: str
    rung: str = ""


@lru_cache(maxsize=256)
def block_drawing(config: LadderConfig) -> str:
    """An inline SVG of the model as it is, from tokens to logits: GPT-2's own parts grey, taken rungs violet."""
    entry, norm, attention, norm2, mlp, answer = _parts(config)
    pen, frame = Pen(), Pen()
    begins = _part(pen, entry, 2, _WIDTH, left=2)
    top = begins + _GAP
    y = top + 26
    pen.text(_WIDTH - 16, top + 20, f"× {units.plural(config.num_hidden_layers, 'layer')}", anchor="end", bold=True)
    for small, large in ((norm, attention), (norm2, mlp)):
        y = _half_block(pen, small, large, y)
    frame.box(2, top, _WIDTH - 4, y - top, palette.IDLE, 10)
    y += _GAP
    frame.path(f"M{_STREAM} {begins:g}V{y:g}", width=2, opacity=0.6)
    pen.put_behind(frame)
    return pen.picture(_WIDTH, _part(pen, answer, y, _WIDTH, left=2) + 2, describe_block(config))


def _half_block(pen: Pen, norm: tuple[str, list[Chip]], work: tuple[str, list[Chip]], y: float) -> float:
    """From the stream through a norm and what it feeds, back to a sum on the stream. Returns where the next may begin."""
    pen.arrow(_STREAM, y + 15, _LEFT - 2, y + 15)
    below = _part(pen, norm, y, _WIDTH - 10)
    pen.arrow((_LEFT + _WIDTH) / 2, below, (_LEFT + _WIDTH) / 2, below + _GAP)
    y = _part(pen, work, below + _GAP, _WIDTH - 10)
    pen.arrow(_LEFT, y - 18, _STREAM + 14, y - 18)
    pen.plus(_STREAM, y - 18)
    return y + _GAP


def describe_block(config: LadderConfig) -> str:
    """The drawing in words: its alternative text."""
    taken = ", ".join(rung.title for name, rung in RUNGS.items() if name in config) or "none"
    parts = "; ".join(f"{title}: {', '.join(chip.words for chip in chips)}" for title, chips in _parts(config))
    return f"{units.plural(config.num_hidden_layers, 'layer')}. {parts}. Rungs taken: {taken}."


def _parts(config: LadderConfig) -> list[tuple[str, list[Chip]]]:
    """Every part from top to bottom with what it is now."""
    norm = [Chip("RMSNorm", "rmsnorm") if "rmsnorm" in config else Chip("LayerNorm")]
    entry = [_chip(config, "o200k", f"{config.vocab_size:,} {'o200k' if 'o200k' in config else 'GPT-2'} tokens")]
    if "rope" not in config:
        entry.append(Chip(f"+ {config.max_context_length:,} learned positions"))
    last = _chip(config, "untied", "own unembedding" if "untied" in config else "the embedding again")
    return [("Embedding", entry), ("Norm", norm), ("Attention", _attention(config)), ("Norm", norm), ("MLP", _mlp(config)),
            ("Logits", [*norm, last])]


def _chip(config: LadderConfig, rung: str, words: str) -> Chip:
    return Chip(words, rung if rung in config else "")


def _attention(config: LadderConfig) -> list[Chip]:
    heads, shared = config.num_attention_heads, config.num_key_value_heads
    chips = [_chip(config, "head_dim", f"{heads} heads of {config.head_dim}"),
             _chip(config, "gqa", f"{shared} KV groups" if "gqa" in config else "a KV head for each")]
    if "rope" in config:
        chips.append(Chip("RoPE", "rope"))
    if "yarn" in config:
        chips.append(Chip(f"YaRN {units.ratio(config.rotary.rope_scaling_factor)}", "yarn"))
    window = f"window {config.sliding_window:,}" if config.sliding_window else "sees everything"
    return [*chips, _chip(config, "window", window), _chip(config, "sinks", "sink" if "sinks" in config else "no sink")]


def _mlp(config: LadderConfig) -> list[Chip]:
    wide = f"{config.intermediate_size:,} wide"
    if "experts" in config:
        shape = [Chip(f"{config.experts_per_token} of {config.num_experts} experts", "experts"), Chip(wide, "experts")]
    else:
        shape = [Chip("one, dense"), _chip(config, "swiglu", wide)]
    return [*shape, _chip(config, "swiglu", "SwiGLU" if "swiglu" in config else "GELU")]


def _part(pen: Pen, part: tuple[str, list[Chip]], y: float, right: float, left: float = _LEFT) -> float:
    """One part: its name and its chips, in as many lines as they need. Returns its lower edge."""
    title, chips = part
    start = left + _NAMES
    placed, x, line = [], start, 0
    for chip in chips:
        if x + _width(chip.words) + _PAD > right - 2 and x > start:
            x, line = start, line + 1
        placed.append((chip, x, y + 4 + line * _LINE))
        x += _width(chip.words) + 2 * _PAD - 4
    height = (line + 1) * _LINE + 4
    pen.box(left, y, right - left - 2, height, palette.fade(palette.GPT2, 0.1), 8, "part",
            palette.fade(palette.MUTED, 0.5))
    pen.text(left + _PAD, y + 22, title, bold=True)
    for chip, x, top in placed:
        colour = palette.ACCENT if chip.rung else palette.GPT2
        # Flat, for it is no button: the rungs are chosen beside the drawing.
        pen.box(x - 2, top, _width(chip.words) + 10, _CHIP, palette.fade(colour, 0.28), 2, "taken" if chip.rung else "own")
        pen.text(x + 3, top + 18, chip.words)
    return y + height


def _width(words: str) -> float:
    """About as wide as these words are set, in px."""
    return TEXT_SIZE * sum(0.3 if letter in " ,.il+" else 0.74 if letter.isupper() or letter in "mw" else 0.56
                           for letter in words)
