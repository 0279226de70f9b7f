"""The live model: built from the study, shared between sessions, never changed, and run on a text."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import nn

from gptoss.app import large
from gptoss.app.cache import Cache
from gptoss.app.served import CHECKPOINT, served
from gptoss.app.study import RANDOM, SEEDS, Study
from gptoss.app.turns import HEAVY
from gptoss.app.weights import load, weights_of
from gptoss.config import ModelConfig
from gptoss.model import Transformer
from gptoss.trace import Trace, trace

CACHED_ATTENTION_CELLS = 1_000_000  # traces with more attention weights than this (4 MB) are not kept

NO_TWIN = "No twin with random weights stands beside the server's checkpoint: it would have to be as large."


class ModelKey(ABC):
    """What a model is made from, hashable: all that decides its numbers, and so a part of the key of every cache of them."""

    @property
    @abstractmethod
    def model(self) -> nn.Module:
        """The model, in evaluation mode, without gradients, shared between sessions and never changed."""

    @property
    def is_large(self) -> bool:
        """Whether a pass of this model has to be waited for."""
        return False


@dataclass(frozen=True)
class Running(ModelKey):
    """What runs for a study."""

    config: ModelConfig
    weights: str  # the name of the weights
    precision: str
    sinks: float | None  # the logit that replaces every sink

    @property
    def model(self) -> Transformer:
        return model_of(self).model

    @property
    def is_large(self) -> bool:
        return self.weights == CHECKPOINT and served().large


@dataclass(frozen=True)
class Built(ModelKey):
    """A model that a page builds beside the one under study: by a function, from hashable values."""

    build: Callable[..., nn.Module]
    values: tuple

    @property
    def model(self) -> nn.Module:
        return _built.of(self, self._make)

    def _make(self) -> nn.Module:
        with HEAVY:
            return self.build(*self.values).eval().requires_grad_(False)


_weights: Cache[tuple[Callable[..., Transformer], float]] = Cache(6)
_built: Cache[nn.Module] = Cache(8)


@dataclass(frozen=True)
class LiveModel:
    """A model that runs on the spot, and what drawing or reading its weights took."""

    model: Transformer
    build_seconds: float


@dataclass(frozen=True)
class LiveRun:
    """One traced forward pass, and what it took."""

    trace: Trace
    run_seconds: float


_runs: Cache[LiveRun] = Cache(16)


def running(study: Study) -> Running:
    """What runs for a study at this moment."""
    return Running(study.live_config, weights_of(study).name, study.precision, study.sink_override)


def live_model(study: Study) -> LiveModel:
    """The model of `study` at its live size, in evaluation mode, without gradients: other sessions use it too."""
    return model_of(running(study))


def model_of(running: Running) -> LiveModel:
    """The model behind a key."""
    key = running.weights, running.config.shape, running.precision
    sharing, seconds = _weights.of(key, lambda: _shared(*key))
    return LiveModel(sharing(running.config, running.sinks), seconds)


def live_run(study: Study, tokens: tuple[int, ...], layer: int) -> LiveRun:
    """Run the live model on `tokens`, recording the inside of one layer and the stream after every half block."""
    key = running(study)
    if key.is_large:
        whole = _whole_pass(key, tokens)
        return LiveRun(large.part_of(whole.trace, [layer]), whole.seconds)
    if len(tokens) ** 2 * study.heads > CACHED_ATTENTION_CELLS:
        return _run(key, tokens, layer)
    return _runs.of((key, tokens, layer), lambda: _run(key, tokens, layer))


@contextmanager
def turn(*keys: object) -> Iterator[None]:
    """Wait for a place among what is computed at this moment: one of two, or the only one there is for a large model."""
    with large.turn() if any(isinstance(key, ModelKey) and key.is_large for key in keys) else HEAVY:
        yield


def pass_over(running: Running, tokens: tuple[int, ...], layers: Collection[int] | None = None,
              keep: Callable[[str], bool] = lambda name: True) -> Trace:
    """`gptoss.trace.trace` of the model behind a key, in its turn; of a large model from the one pass that is remembered."""
    if running.is_large:
        return large.part_of(_whole_pass(running, tokens).trace, layers, keep)
    model = model_of(running).model
    with HEAVY:
        return trace(model, torch.tensor([tokens]), layers=layers, keep=keep)


def has_twin(study: Study) -> bool:
    """Whether a model of the same shape with random weights can be shown beside it: not where it is too large for that."""
    return twin(study).live_config == study.live_config


def twin(study: Study) -> Study:
    """The same model with random weights, never trained: what chance alone looks like in this shape.

    Beside a model that has random weights itself it is the next set of them.
    """
    seed = (study.seed + 1) % SEEDS if weights_of(study).kind == RANDOM else study.seed
    return replace(study, weights=RANDOM, seed=seed)


def _shared(name: str, shape: ModelConfig, precision: str) -> tuple[Callable[..., Transformer], float]:
    """Weights by their name: a function that gives models which share them, and the seconds it took to have them."""
    with HEAVY:
        start = time.perf_counter()
        weights = load(name, shape, getattr(torch, precision)).eval().requires_grad_(False)
        seconds = time.perf_counter() - start

    @lru_cache(maxsize=8)  # held by the weights, so that no model outlives them in a cache
    def sharing(config: ModelConfig, sinks: float | None) -> Transformer:
        return weights.sharing_weights(config, sinks).eval().requires_grad_(False)

    return sharing, seconds


def _run(running: Running, tokens: tuple[int, ...], layer: int) -> LiveRun:
    model = model_of(running).model
    with HEAVY:
        start = time.perf_counter()
        result = trace(model, torch.tensor([tokens]), layers=[layer], keep=lambda name: not name.endswith("scores"))
        return LiveRun(result, time.perf_counter() - start)


def _whole_pass(running: Running, tokens: tuple[int, ...]) -> large.Pass:
    return large.whole_pass(running, model_of(running).model, tokens)
