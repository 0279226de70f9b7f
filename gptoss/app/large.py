"""Passes of a model so large that each takes seconds: one at a time on the server, shown as it goes, and remembered.

Every picture of a text is then taken from one and the same pass, which records all layers. A reader who moves on ends a
pass in between two tensors; what it had computed is lost, and nobody waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import streamlit as st
import torch

from gptoss.app.cache import Cache
from gptoss.model import Transformer
from gptoss.trace import Trace, trace

PASSES_KEPT = 3  # of 64 tokens of gpt-oss-20b each is 0.2 GB
GLANCE = 0.2  # s between two looks whether it is our turn

_turn = threading.Lock()


class TooLong(Exception):
    """What would take dozens of passes of a large model, in a sentence for the reader."""


@dataclass(frozen=True)
class Pass:
    """A pass that recorded everything, and what it took."""

    trace: Trace
    seconds: float


_passes: Cache[Pass] = Cache(PASSES_KEPT)


@contextmanager
def turn() -> Iterator[st.delta_generator.DeltaGenerator]:
    """Wait until no other pass of a large model runs, saying so; then a place on the page to show progress in."""
    place = st.empty()
    while not _turn.acquire(timeout=GLANCE):
        place.progress(0.0, "Another pass of the server's checkpoint is running: this one is next.")
    try:
        place.progress(0.0, "The server's checkpoint computes. This can take a minute.")
        yield place
    finally:
        _turn.release()
        place.empty()


def whole_pass(key: object, model: Transformer, tokens: tuple[int, ...]) -> Pass:
    """Every tensor of a pass over `tokens` but the attention scores, all layers' insides included.

    `key` says which model it is: with the tokens, what the pass is remembered by.
    """
    recorded = _passes.get((key, tokens))
    if recorded is not None:
        return recorded
    with turn() as place:
        return _passes.of((key, tokens), lambda: _record(model, tokens, place), alone=False)


def part_of(whole: Trace, layers: Collection[int] | None, keep: Callable[[str], bool] = lambda name: True) -> Trace:
    """What `gptoss.trace.trace` would have kept for these `layers` and `keep`, from a pass that recorded everything."""
    def recorded(name: str) -> bool:
        inside = ".attn." in name or ".mlp." in name
        return not inside or layers is None or int(name.split(".")[1]) in layers

    return Trace({name: value for name, value in whole.items() if recorded(name) and keep(name)})


def _record(model: Transformer, tokens: tuple[int, ...], place: st.delta_generator.DeltaGenerator) -> Pass:
    start = time.perf_counter()
    everything = trace(model, torch.tensor([tokens]), keep=_with_progress(place, len(model.block)))
    return Pass(everything, time.perf_counter() - start)


def _with_progress(place: st.delta_generator.DeltaGenerator, layers: int) -> Callable[[str], bool]:
    """What a pass keeps; being asked for every tensor, it shows how far the pass has come, and lets the reader end it."""
    def keep(name: str) -> bool:
        if name.endswith("after_mlp"):
            done = int(name.split(".")[1]) + 1
            place.progress(done / (layers + 1), f"The server's checkpoint reads the text: layer {done} of {layers}.")
        return not name.endswith("scores")

    return keep
