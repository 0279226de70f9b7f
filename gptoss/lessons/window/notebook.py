"""What a query sees through a window, how far stacked windows reach, and what they save."""

from __future__ import annotations

from collections.abc import Sequence

from gptoss.charts.accounts import CONTEXTS
from gptoss.config import ModelConfig
from gptoss.lessons.window import charts, measure
from gptoss.take_home import show
from gptoss.take_home.here import Here


def values(here: Here) -> dict[str, object]:
    """The window that is drawn, the query, and how many layers a ladder has."""
    return {"window": here.control("w", here.real.sliding_window), "token": here.token(measure.first_token(here.tokens)),
            "layers": here.control("layers", measure.LAYERS_DRAWN)}


def story(config: ModelConfig, labels: Sequence[str], context: int, window: int, token: int, layers: int) -> None:
    """## One query in the text

    Lit is what it sees in a sliding layer; a full layer sees everything before it."""
    sliding, full = (measure.mask(len(labels), size).numpy() for size in (window, 0))
    show(charts.window_in_text(labels, sliding[token], full[token], token))
    show(charts.window_mask(sliding, full, labels, token))

    """## How far a stack of windows reaches

    What has reached one token after each layer, where every layer slides and where every other one does."""
    known = measure.known_by_layer(layers, window, len(labels), token)
    show(charts.reach_ladder(known, labels, token))

    """## What windows save at the real size"""
    show(charts.cache_strip(measure.cache_by_kind(config, context), context))
    frame = measure.costs_by_context(config, CONTEXTS)
    show(charts.context_lines(frame, "bytes", context), charts.context_lines(frame, "scores", context))
