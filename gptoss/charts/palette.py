"""The colours of every picture: one meaning, one colour, from this one place.

Named meanings take the hues of Okabe and Ito's colour-blind-safe set ("Color Universal Design", 2008); parts of the
model, of which there are more than that set has colours left, those of Paul Tol's "muted" set ("Colour Schemes", 2021).
No single colour is readable on white and on near-black, so every colour here is the one for the light theme and has a
twin of the same hue for the dark one, in `DARK`. A mark or line has at least 3:1 to its own ground, a colour that writes
(`ink`) at least 4.5:1, by the relative luminance of WCAG 2.2.

Who draws names only the light colours. What is sent swaps them: `in_both_themes` for HTML and SVG, where the browser
takes the right one, `in_dark` for a chart's specification and `gptoss.charts.images` for pixels, where the server knows
the theme. Large areas of "more or less of something" go from clear to `MOST`, so that the background, whichever it is,
means zero, and most is what stands out most from it.
"""

from __future__ import annotations

import json
import re

QUERY = "#005E9C"
KEY = "#B87800"
VALUE = "#009068"
SINK = "#BF6199"
SLIDING = "#2A8FD0"
FULL = "#D05A00"
GPT2 = "#7F7F7F"
ACCENT = "#5D3BE3"  # gpt-oss itself, and whatever a person has selected
MAGNITUDE = "#4F7CB8"  # sizes of values, and bars and marks of whatever has no colour of its own
MOST = "#0F3F7F"  # the end of the ramp of heat maps: attention weights, routing weights
MUTED = "#66656E"  # text and lines inside a picture
NEGATIVE, POSITIVE = "#004E8C", "#A83F00"  # the two ends of a diverging scale
PAPER = "#FFFFFF"  # the ground itself: words on a full colour

PARTS = {
    "embedding": "#8A8A8A",
    "attention": "#2F9485",
    "scores and values": "#117733",
    "router": "#9C8826",
    "experts": ACCENT,
    "norms": "#AA4499",
    "unembedding": MAGNITUDE,
}

# Models trained against each other, in this order; a GPT-2 among them is grey.
CONTESTANTS = (ACCENT, "#AA7A00", "#009988")

# What a training step holds in memory: a copy of the weights is a paler violet, other states take colours left over.
TRAINING = {
    "weights": ACCENT,
    "master weights": "#8F79F0",
    "gradients": "#CC6677",
    "optimizer states": "#8A8A2E",
    "block at work": MUTED,
    "activations": MAGNITUDE,
}

# What a serving machine holds: weights by part, the cache by the kind of its layers, and what passes through.
SERVING = {
    "experts": PARTS["experts"],
    "attention": PARTS["attention"],
    "router and norms": PARTS["router"],
    "embeddings": PARTS["embedding"],
    "cache: sliding": SLIDING,
    "cache: full": FULL,
    "activations": TRAINING["activations"],
}

# Words in a colour that is strong enough for a mark on white, and too weak for letters.
_INKS = {KEY: "#8A5A00", VALUE: "#007A58", SINK: "#9C4578", SLIDING: "#1A70A8", FULL: "#B34700", GPT2: "#696969",
         MAGNITUDE: "#44699C"}

_TWINS = {
    QUERY: "#4DA9E0", KEY: "#F0AE1E", VALUE: "#1FC998", SINK: "#E6A3C6", SLIDING: "#6CC3F2", FULL: "#FF8A47",
    GPT2: "#A6A6A6", ACCENT: "#A48FFF", MAGNITUDE: "#8DB5EA", MOST: "#B4D8FF", MUTED: "#A9A7B2", NEGATIVE: "#7CC8FF",
    POSITIVE: "#FFA15C", PAPER: "#121216",
    PARTS["embedding"]: "#B0B0B0", PARTS["attention"]: "#5CC7B6", PARTS["scores and values"]: "#4DB36B",
    PARTS["router"]: "#E5D685", PARTS["norms"]: "#D57FC9", TRAINING["master weights"]: "#C9BDFF",
    TRAINING["gradients"]: "#E58A98", TRAINING["optimizer states"]: "#BDBD55",
    CONTESTANTS[1]: "#E0A92E", CONTESTANTS[2]: "#2BC4B2",
}
DARK = _TWINS | {ink: _TWINS[colour] for colour, ink in _INKS.items()}  # what each colour is in the dark theme
WRITTEN = frozenset({QUERY, ACCENT, MUTED, MOST, NEGATIVE, POSITIVE, *_INKS.values()})  # colours that words may have

# The finer names that `gptoss.cost` gives to weights and operators, and the part each belongs to.
_PART_OF = {
    "qkv": "attention", "sinks": "attention", "out": "attention",
    "scores": "scores and values", "values": "scores and values",
    "positions": "embedding", "mlp1": "experts", "mlp2": "experts", "expert biases": "experts",
}

ALL = frozenset(DARK)

_ANY_COLOUR = re.compile(r"#[0-9A-F]{6}\b|rgba\((\d+), (\d+), (\d+), ([0-9.e-]+)\)")


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of a colour written `#RRGGBB`."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def fade(colour: str, alpha: float) -> str:
    """The CSS colour that lets the background through: `alpha` 0 is clear, 1 is `colour`."""
    red, green, blue = rgb(colour)
    return f"rgba({red}, {green}, {blue}, {alpha:g})"


def ink(colour: str) -> str:
    """A colour of this palette as letters have it: the same hue, dark enough to be read."""
    return _INKS.get(colour, colour)


def in_dark(specification: dict) -> dict:
    """A chart's specification, which holds no data, with the dark theme's colours in the place of the light ones'."""
    return json.loads(_ANY_COLOUR.sub(lambda found: _dark(found) or found[0], json.dumps(specification)))


def in_both_themes(code: str) -> str:
    """CSS, or one colour of it, in which the browser takes each colour of this palette as its theme has it.

    `code` is the program's own: a person's words in it could name a colour too.
    """
    return _ANY_COLOUR.sub(lambda found: f"light-dark({found[0]}, {dark})" if (dark := _dark(found)) else found[0], code)


def _dark(found: re.Match) -> str | None:
    """What a colour found in a text is in the dark theme; nothing for one that is not of this palette."""
    if found[1] is None:
        return DARK.get(found[0])
    twin = DARK.get("#{:02X}{:02X}{:02X}".format(*map(int, found.group(1, 2, 3))))
    return fade(twin, float(found[4])) if twin else None


def part_of(name: str) -> str:
    """The part of the model, one of `PARTS`, that a weight or operator of `gptoss.cost` belongs to.

    Raises `ValueError` for a name that is neither.
    """
    part = _PART_OF.get(name, name)
    if part not in PARTS:
        raise ValueError(f"part {name!r} has no colour; allowed: {', '.join([*PARTS, *_PART_OF])}")
    return part


GRID = fade(MUTED, 0.25)
IDLE = fade(MUTED, 0.13)  # what exists but takes no part
VERDICTS = {"false": FULL, "partly true": KEY, "true": VALUE, "not measured yet": IDLE}  # on a claim
