"""The colours of every picture: one meaning, one colour, from this one place.

Named meanings use the colour-blind-safe set of Okabe and Ito ("Color Universal Design", 2008); parts of the model,
of which there are more than that set has colours left, use the "muted" set of Paul Tol ("Colour Schemes", 2021).
Every colour here can be seen on both a white and a near-black background, since a picture is made once for
Streamlit's light and dark themes. Large areas of "more or less of something" are `MAGNITUDE`, from clear to full,
so that the background, whichever it is, means zero.
"""

from __future__ import annotations

QUERY = "#0072B2"
KEY = "#E69F00"
VALUE = "#009E73"
SINK = "#CC79A7"
SLIDING = "#56B4E9"
FULL = "#D55E00"
GPT2 = "#8C8C8C"
ACCENT = "#7C5CFF"  # gpt-oss itself, and whatever a person has selected
MAGNITUDE = "#6A8FC0"  # attention weights, routing weights, sizes of values
MUTED = "#787878"  # text and lines inside a picture: near 4.4:1 on white and on #0e1117 alike
NEGATIVE = QUERY  # the two ends of a diverging scale
POSITIVE = FULL

PARTS = {
    "embedding": "#999999",
    "attention": "#44AA99",
    "scores and values": "#117733",
    "router": "#DDCC77",
    "experts": ACCENT,
    "norms": "#AA4499",
    "unembedding": MAGNITUDE,
}

# Models trained against each other, in this order; a GPT-2 among them is grey.
CONTESTANTS = (ACCENT, "#BB8800", "#009988")

# What a training step holds in memory: a copy of the weights is a paler violet, other states take colours left over.
TRAINING = {
    "weights": ACCENT,
    "master weights": "#A894FF",
    "gradients": "#CC6677",
    "optimizer states": "#999933",
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

# The finer names that `gptoss.cost` gives to weights and operators, and the part each belongs to.
_PART_OF = {
    "qkv": "attention", "sinks": "attention", "out": "attention",
    "scores": "scores and values", "values": "scores and values",
    "positions": "embedding", "mlp1": "experts", "mlp2": "experts", "expert biases": "experts",
}

ALL = frozenset({QUERY, KEY, VALUE, SINK, SLIDING, FULL, GPT2, ACCENT, MAGNITUDE, MUTED, *PARTS.values(),
                 *TRAINING.values(), *CONTESTANTS})


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of a colour written `#RRGGBB`."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def fade(colour: str, alpha: float) -> str:
    """The CSS colour that lets the background through: `alpha` 0 is clear, 1 is `colour`."""
    red, green, blue = rgb(colour)
    return f"rgba({red}, {green}, {blue}, {alpha:g})"


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
