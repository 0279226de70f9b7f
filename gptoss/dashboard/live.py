"""The live model: built from the study, shared between sessions, never changed, and run on a text."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import streamlit as st
import torch

from gptoss.config import ModelConfig
from gptoss.dashboard.study import SEEDS, Study
from gptoss.model import Transformer
from gptoss.trace import Trace, trace

# Every build or pass in flight holds tens of megabytes and a core: two at a time, the others wait their turn.
HEAVY = threading.BoundedSemaphore(2)

# One measurement of time on the server, whichever page takes it: a second one beside it would be measured too.
MEASURING = threading.Lock()

MAX_LIVE_TOKENS = 512
CACHED_ATTENTION_CELLS = 1_000_000  # traces with more attention weights than this (4 MB) are not kept

_ANY = ModelConfig()

# A frozen configuration is its own key: its hash is faster than Streamlit's walk through its fields.
cached = partial(st.cache_resource, show_spinner=False, hash_funcs={ModelConfig: hash, tuple: hash})


@dataclass(frozen=True)
class LiveModel:
    """A model that runs on the spot, and what drawing its weights took."""

    model: Transformer
    build_seconds: float


@dataclass(frozen=True)
class LiveRun:
    """One traced forward pass, and what it took."""

    trace: Trace
    run_seconds: float


def live_model(study: Study) -> LiveModel:
    """The scale model of `study`, in evaluation mode and without gradients, since other sessions use it too."""
    return _live_model(study.live_config, study.seed, study.precision, study.sink_override)


def live_run(study: Study, tokens: tuple[int, ...], layer: int) -> LiveRun:
    """Run the live model on `tokens`, recording the inside of one layer and the stream after every half block."""
    cells = len(tokens) ** 2 * study.heads
    run = _cached_run if cells <= CACHED_ATTENTION_CELLS else _run
    return run(study.live_config, study.seed, study.precision, study.sink_override, tokens, layer)


def twin(study: Study) -> Study:
    """The same model with other random weights, never trained: what chance alone looks like in this shape."""
    return replace(study, seed=(study.seed + 1) % SEEDS)


def shape_of(config: ModelConfig) -> ModelConfig:
    """The configuration with everything that does not change a weight's shape set to one and the same value."""
    kept = ("sliding_window", "window_every", "rope_theta", "rope_scaling_factor", "rope_ntk_alpha", "rope_ntk_beta",
            "initial_context_length", "swiglu_limit")
    return config.replace(experts_per_token=1, **{name: getattr(_ANY, name) for name in kept})


@cached(max_entries=6)
def _weights(shape: ModelConfig, seed: int, precision: str) -> tuple[Callable[..., Transformer], float]:
    """Weights of one shape: a function that gives models which share them, and the seconds it took to draw them."""
    with HEAVY:
        start = time.perf_counter()
        weights = Transformer(shape, dtype=getattr(torch, precision), seed=seed).eval().requires_grad_(False)
        seconds = time.perf_counter() - start

    @lru_cache(maxsize=8)  # held by the weights, so that no model outlives them in a cache
    def sharing(config: ModelConfig, sinks: float | None) -> Transformer:
        return weights.sharing_weights(config, sinks).eval().requires_grad_(False)

    return sharing, seconds


def _live_model(config: ModelConfig, seed: int, precision: str, sinks: float | None) -> LiveModel:
    sharing, seconds = _weights(shape_of(config), seed, precision)
    return LiveModel(sharing(config, sinks), seconds)


def _run(config: ModelConfig, seed: int, precision: str, sinks: float | None, tokens: tuple[int, ...],
         layer: int) -> LiveRun:
    model = _live_model(config, seed, precision, sinks).model
    with HEAVY:
        start = time.perf_counter()
        result = trace(model, torch.tensor([tokens]), layers=[layer], keep=lambda name: not name.endswith("scores"))
        return LiveRun(result, time.perf_counter() - start)


_cached_run = cached(max_entries=16)(_run)
