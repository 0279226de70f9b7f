"""The live model: built from the study, shared between sessions, never changed, and run on a text."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import NamedTuple

import streamlit as st
import torch

from gptoss.app import large, trained
from gptoss.app.served import CHECKPOINT, served
from gptoss.app.study import DIALS, RANDOM, SEEDS, TRAINED, Study
from gptoss.config import ModelConfig
from gptoss.model import Transformer
from gptoss.trace import Trace, trace
from gptoss.training.contestants import Contestant
from gptoss.training.shipped import CLASSROOM, shipped
from gptoss.units import number

# Every build or pass in flight holds tens of megabytes and a core: two at a time, the others wait their turn.
HEAVY = threading.BoundedSemaphore(2)

# One measurement of time on the server, whichever page takes it: a second one beside it would be measured too.
MEASURING = threading.Lock()

MAX_LIVE_TOKENS = 512
CACHED_ATTENTION_CELLS = 1_000_000  # traces with more attention weights than this (4 MB) are not kept
# Beside TRAINED and RANDOM: trained weights under settings that they were not trained with, and the server's checkpoint,
# of which nobody here knows how it was trained.
CHANGED, SERVED = "changed", "served"

NO_TWIN = "No twin with random weights stands beside the server's checkpoint: it would have to be as large."

_ANY = ModelConfig()
_SEED = "seed "  # what the name of random weights begins with

# What changes no weight's shape, by its field of the configuration: in a word, and in a sentence.
_SETTINGS = {
    "sliding_window": ("window", "the window"),
    "window_every": ("sliding layers", "the step from one sliding layer to the next"),
    "experts_per_token": ("active experts", "the number of active experts"),
    "rope_theta": ("RoPE theta", "RoPE's theta"),
    "rope_scaling_factor": ("YaRN factor", "YaRN's factor"),
    "rope_ntk_alpha": ("YaRN alpha", "YaRN's alpha"),
    "rope_ntk_beta": ("YaRN beta", "YaRN's beta"),
    "initial_context_length": ("trained context", "the trained context"),
    "swiglu_limit": ("SwiGLU limit", "SwiGLU's limit"),
}


@dataclass(frozen=True)
class Weights:
    """Which weights a study runs with, and what to say of them.

    Attributes:
        kind: `TRAINED`, `CHANGED`, `RANDOM` or `SERVED`.
        name: the shipped model or the run that they are, `checkpoint`, or `seed 3`: what tells them from others of their
            shape.
        words: for a sentence, such as "trained weights, window changed".
        said: what else a reader has to know, in whole sentences.
    """

    kind: str
    name: str
    words: str
    said: str = ""


@dataclass(frozen=True)
class Running:
    """What runs for a study: all that decides its model's numbers, and so the key of every cache of them."""

    config: ModelConfig
    weights: str  # the name of the weights
    precision: str
    sinks: float | None  # the logit that replaces every sink


# A frozen configuration is its own key: its hash is faster than Streamlit's walk through its fields.
cached = partial(st.cache_resource, show_spinner=False, hash_funcs={ModelConfig: hash, Running: hash, tuple: hash})


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


def weights_of(study: Study) -> Weights:
    """The weights of a study, decided here and nowhere else.

    Those of the server's checkpoint, where it is the preset and keeps its shape. Those that its dial names, where they are
    there and have its shape; else those that ship for its shape, unless the dial asks for random ones; else random ones.
    """
    if study.runs_checkpoint:
        return _of_the_checkpoint(study)
    if study.weights == RANDOM:
        other = _shipped_for(study.live_config, study.sinks != "off")
        return _random(study, "You chose them: for this shape trained ones ship." if other else "")
    kept = trained.get(study.weights)
    missing = "" if study.weights == TRAINED else _why_not(study, kept and kept.contestant)
    if kept and not missing:
        found = _of(study.weights, kept.contestant, study)
        return replace(found, said=f"They are from this server: “{kept.title}”. {found.said}".strip())
    ship = _shipped_for(study.live_config, study.sinks != "off")
    if ship is None:
        return _random(study, missing and f"{missing} Random ones stand in.")
    found = _of(ship, shipped()[ship].contestant, study)
    return replace(found, said=f"{missing} The shipped ones stand in. {found.said}".strip()) if missing else found


def weights_in_words(study: Study) -> str:
    """Which weights a pattern is from: "trained weights, window changed", "random weights, seed 3" and the like."""
    return weights_of(study).words


def running(study: Study) -> Running:
    """What runs for a study at this moment."""
    return Running(study.live_config, weights_of(study).name, study.precision, study.sink_override)


def live_model(study: Study) -> LiveModel:
    """The model of `study` at its live size, in evaluation mode, without gradients: other sessions use it too."""
    return model_of(running(study))


def model_of(running: Running) -> LiveModel:
    """The model behind a key."""
    sharing, seconds = _weights(running.weights, shape_of(running.config), running.precision)
    return LiveModel(sharing(running.config, running.sinks), seconds)


def live_run(study: Study, tokens: tuple[int, ...], layer: int) -> LiveRun:
    """Run the live model on `tokens`, recording the inside of one layer and the stream after every half block."""
    cells = len(tokens) ** 2 * study.heads
    if study.is_large:
        whole = _whole_pass(running(study), tokens)
        return LiveRun(large.part_of(whole.trace, [layer]), whole.seconds)
    run = _cached_run if cells <= CACHED_ATTENTION_CELLS else _run
    return run(running(study), tokens, layer)


@contextmanager
def turn(running: Running) -> Iterator[None]:
    """Wait for a place among what is computed at this moment: one of two, or the only one there is for a large model."""
    with large.turn() if is_large(running) else HEAVY:
        yield


def is_large(running: Running) -> bool:
    """Whether a pass of this model has to be waited for."""
    return running.weights == CHECKPOINT and served().large


def pass_over(running: Running, tokens: tuple[int, ...], layers: Collection[int] | None = None,
              keep: Callable[[str], bool] = lambda name: True) -> Trace:
    """`gptoss.trace.trace` of the model behind a key, in its turn; of a large model from the one pass that is remembered."""
    if is_large(running):
        return large.part_of(_whole_pass(running, tokens).trace, layers, keep)
    model = model_of(running).model
    with HEAVY:
        return trace(model, torch.tensor([tokens]), layers=layers, keep=keep)


def make_ready(running: Running, tokens: tuple[int, ...]) -> None:
    """Have a large model's pass, before a function needs it whose cache would keep the signs of its progress too."""
    if is_large(running):
        _whole_pass(running, tokens)


def refuse_if_large(study: Study, what: str) -> None:
    """Raise `TooLong` where a large model runs: `what` begins the sentence that says so."""
    if study.is_large:
        raise large.TooLong(f"{what} takes dozens of passes, too many for a model as large as the server's checkpoint. "
                            "Choose another preset to see it.")


def has_twin(study: Study) -> bool:
    """Whether a model of the same shape with random weights can stand beside it: not where it is too large for that."""
    return twin(study).live_config == study.live_config


def twin(study: Study) -> Study:
    """The same model with random weights, never trained: what chance alone looks like in this shape.

    Beside a model that has random weights itself it is the next set of them.
    """
    seed = (study.seed + 1) % SEEDS if weights_of(study).kind == RANDOM else study.seed
    return replace(study, weights=RANDOM, seed=seed)


def back_to_trained(study: Study) -> Study:
    """The nearest study whose weights were trained as it stands: this one, or the fewest dials of `classroom` away."""
    if study.weights != TRAINED and weights_of(here := replace(study, weights=TRAINED)).kind != RANDOM:
        return here
    if study.preset == CHECKPOINT:
        return Study.of_preset(CHECKPOINT)
    start = Study.of_preset(CLASSROOM).moved(context=study.context, precision=study.precision, seed=study.seed)[0]
    if study.preset != CLASSROOM:
        return Study.of_preset(CLASSROOM)
    ready = (start.reaching(model.config, model.contestant.sinks) for model in _shipped_transformers().values())
    return min(filter(None, ready), key=lambda other: sum(getattr(other, dial) != getattr(study, dial) for dial in DIALS))


def shape_of(config: ModelConfig) -> ModelConfig:
    """The configuration with everything that does not change a weight's shape set to one and the same value."""
    return config.replace(**{name: getattr(_ANY, name) for name in _SETTINGS} | {"experts_per_token": 1})


class _Setting(NamedTuple):
    """A setting that is not what it was in training: in a word, as the subject of a sentence, and its values."""

    word: str
    subject: str
    then: str
    now: str


def _of(name: str, contestant: Contestant, study: Study) -> Weights:
    """Trained weights under a study's settings."""
    different = _differences(contestant, study.live_config, study.sinks != "off")
    if not different:
        return Weights(TRAINED, name, "trained weights")
    words = _and([setting.word for setting in different])
    return Weights(CHANGED, name, f"trained weights, {words} changed", f"{_then(different, 'training')}: not retrained.")


def _of_the_checkpoint(study: Study) -> Weights:
    """The weights of the server's checkpoint under a study's settings."""
    different = _differences(Contestant(CHECKPOINT, "", served().config), study.live_config, study.sinks != "off")
    if not different:
        return Weights(SERVED, CHECKPOINT, "the server's checkpoint")
    words = _and([setting.word for setting in different])
    return Weights(SERVED, CHECKPOINT, f"the server's checkpoint, {words} changed",
                   f"{_then(different, 'the checkpoint')}: the same weights.")


def _then(different: list[_Setting], where: str) -> str:
    """What some settings were, in one clause; of a single one also what it is now."""
    first = different[0]
    if len(different) == 1:
        return f"{first.subject[0].upper()}{first.subject[1:]} was {first.then} in {where} and is {first.now} now"
    return f"In {where} {first.subject} was " + _and([
        first.then, *(f"{setting.subject} {setting.then}" for setting in different[1:])])


def _random(study: Study, said: str) -> Weights:
    return Weights(RANDOM, f"{_SEED}{study.seed}", f"random weights, seed {study.seed}", said)


def _and(parts: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _differences(contestant: Contestant, config: ModelConfig, sinks: bool) -> list[_Setting]:
    """The settings that differ from those in training. Which layers slide is none where no window is left."""
    was = contestant.config
    skipped = () if config.sliding_window else ("window_every",)
    pairs = [_Setting(*words, _spelt(getattr(was, name)), _spelt(getattr(config, name)))
             for name, words in _SETTINGS.items() if name not in skipped]
    pairs.append(_Setting("sinks", "the switch of the sinks", *("on" if on else "off" for on in (contestant.sinks, sinks))))
    return [setting for setting in pairs if setting.then != setting.now]


def _spelt(value: float) -> str:
    return number(value, 9) if value else "off"


def _fits(contestant: Contestant, config: ModelConfig, sinks: bool) -> bool:
    """Whether a contestant's weights can run under a configuration. Of one without sinks none can be switched on."""
    trained_as = contestant.config
    same = isinstance(trained_as, ModelConfig) and shape_of(trained_as) == shape_of(config)
    return same and (contestant.sinks or not sinks)


def _why_not(study: Study, contestant: Contestant | None) -> str:
    """Why the weights that the dial names cannot run, or nothing."""
    if contestant is None:
        return f"The weights {study.weights} are gone: the server was restarted, or newer ones took their place."
    if _fits(contestant, study.live_config, study.sinks != "off"):
        return ""
    sinks = _fits(contestant, study.live_config, sinks=False)
    why = "they were trained without sinks" if sinks else "they have another shape"
    return f"The weights {study.weights} do not fit: {why}."


@lru_cache(maxsize=256)
def _shipped_for(config: ModelConfig, sinks: bool) -> str | None:
    """The name of the shipped model of this shape that was trained under the most similar settings."""
    fitting = {name: model.contestant for name, model in _shipped_transformers().items()
               if _fits(model.contestant, config, sinks)}
    return min(fitting, key=lambda name: len(_differences(fitting[name], config, sinks)), default=None)


def _shipped_transformers() -> dict:
    """What ships of GPT-OSS, without a second model of the same architecture."""
    return {name: model for name, model in shipped().items()
            if isinstance(model.config, ModelConfig) and model.contestant.balanced}


@cached(max_entries=6)
def _weights(name: str, shape: ModelConfig, precision: str) -> tuple[Callable[..., Transformer], float]:
    """Weights by their name: a function that gives models which share them, and the seconds it took to have them."""
    with HEAVY:
        start = time.perf_counter()
        weights = _made(name, shape, getattr(torch, precision)).eval().requires_grad_(False)
        seconds = time.perf_counter() - start

    @lru_cache(maxsize=8)  # held by the weights, so that no model outlives them in a cache
    def sharing(config: ModelConfig, sinks: float | None) -> Transformer:
        return weights.sharing_weights(config, sinks).eval().requires_grad_(False)

    return sharing, seconds


def _made(name: str, shape: ModelConfig, dtype: torch.dtype) -> Transformer:
    if name == CHECKPOINT:
        return served().model
    if name.startswith(_SEED):
        return Transformer(shape, dtype=dtype, seed=int(name.removeprefix(_SEED)))
    return (shipped().get(name) or trained.get(name)).load(dtype)


def _run(running: Running, tokens: tuple[int, ...], layer: int) -> LiveRun:
    model = model_of(running).model
    with HEAVY:
        start = time.perf_counter()
        result = trace(model, torch.tensor([tokens]), layers=[layer], keep=lambda name: not name.endswith("scores"))
        return LiveRun(result, time.perf_counter() - start)


def _whole_pass(running: Running, tokens: tuple[int, ...]) -> large.Pass:
    return large.whole_pass(running, model_of(running).model, tokens)


_cached_run = cached(max_entries=16)(_run)
