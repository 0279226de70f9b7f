"""Which weights a study runs with, and what a reader has to know of them. Decided here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import NamedTuple

import torch

from gptoss.app import trained
from gptoss.app.served import CHECKPOINT, served
from gptoss.app.study import DEFAULT_PRESET, DIALS, RANDOM, TRAINED, Study
from gptoss.config import ModelConfig
from gptoss.model import Transformer
from gptoss.tokenizer import CompactVocabulary
from gptoss.training.contestants import Contestant
from gptoss.training.shipped import FAMILIES, OWN_VOCABULARY, Shipped, shipped
from gptoss.units import number

# Beside TRAINED and RANDOM: trained weights under settings that they were not trained with, and the server's checkpoint,
# of which nobody here knows how it was trained.
CHANGED, SERVED = "changed", "served"

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
        words: for a sentence, such as "weights trained on stories, window changed".
        note: what else a reader has to know, in whole sentences.
    """

    kind: str
    name: str
    words: str
    note: str = ""


def weights_of(study: Study) -> Weights:
    """The weights of a study, as its dial and its shape decide.

    Those of the server's checkpoint, where it is the preset and keeps its shape. Those that its dial names, where they are
    there and have its shape; else those that ship for its shape, unless the dial asks for random ones; else random ones.
    """
    if study.runs_checkpoint:
        return _of(CHECKPOINT, Contestant(CHECKPOINT, "", served().config), study, "the server's checkpoint")
    ship = _shipped_for(study.live_config, study.vocabulary, study.sinks != "off")
    if study.weights == RANDOM:
        return _random(study, f"You chose them: for this shape some trained on {ship.trained_on} ship." if ship else "")
    own = trained.get(study.weights)
    missing = "" if study.weights == TRAINED else _why_not(study, own and own.contestant)
    if own and not missing:
        weights = _of(study.weights, own.contestant, study, "weights trained on this server")
        return replace(weights, note=f"They are from this server: “{own.title}”. {weights.note}".strip())
    if ship is None:
        return _random(study, missing and f"{missing} Random ones stand in.")
    weights = _of(ship.name, ship.contestant, study, f"weights trained on {ship.trained_on}")
    return replace(weights, note=f"{missing} The shipped ones stand in. {weights.note}".strip() if missing else weights.note)


def weights_in_words(study: Study) -> str:
    """Which weights a pattern is from: "weights trained on stories, window changed", "random weights, seed 3"."""
    return weights_of(study).words


def back_to_trained(study: Study) -> Study:
    """The nearest study whose weights were trained with its settings: this one, or the fewest dials away.

    From a preset of which nothing ships, the one that the app opens with.
    """
    if study.weights != TRAINED and weights_of(here := replace(study, weights=TRAINED)).kind != RANDOM:
        return here
    if study.preset == CHECKPOINT:
        return Study.of_preset(CHECKPOINT)
    if study.preset not in FAMILIES:
        return Study.of_preset(DEFAULT_PRESET)
    start = Study.of_preset(study.preset).moved(context=study.context, precision=study.precision, seed=study.seed)[0]
    ready = (start.reaching(model.config, model.contestant.sinks) for model in _shipped_transformers()
             if model.family == study.preset)
    return min(filter(None, ready), key=lambda other: sum(getattr(other, dial) != getattr(study, dial) for dial in DIALS))


def load(name: str, shape: ModelConfig, dtype: torch.dtype) -> Transformer:
    """Weights by their name, in a `ModelConfig.shape`. They are the caller's, but for the server's checkpoint."""
    if name == CHECKPOINT:
        return served().model
    if name.startswith(_SEED):
        return Transformer(shape, dtype=dtype, seed=int(name.removeprefix(_SEED)))
    return (shipped().get(name) or trained.get(name)).load(dtype)


class _Setting(NamedTuple):
    """A setting that is not what it was in training: in a word, as the subject of a sentence, and its values."""

    word: str
    subject: str
    then: str
    now: str


def _of(name: str, contestant: Contestant, study: Study, words: str) -> Weights:
    """Trained weights, or those of the server's checkpoint, in `words`, under a study's settings."""
    served_here = name == CHECKPOINT
    where, since = ("the checkpoint", "the same weights") if served_here else ("training", "not retrained")
    different = _differences(contestant, study.live_config, study.sinks != "off")
    if not different:
        return Weights(SERVED if served_here else TRAINED, name, words)
    changes = _and([setting.word for setting in different])
    return Weights(SERVED if served_here else CHANGED, name, f"{words}, {changes} changed",
                   f"{_then(different, where)}: {since}.")


def _then(different: list[_Setting], where: str) -> str:
    """What some settings were, in one clause; of a single one also what it is now."""
    first = different[0]
    if len(different) == 1:
        return f"{first.subject[0].upper()}{first.subject[1:]} was {first.then} in {where} and is {first.now} now"
    return f"In {where} {first.subject} was " + _and([
        first.then, *(f"{setting.subject} {setting.then}" for setting in different[1:])])


def _random(study: Study, note: str) -> Weights:
    return Weights(RANDOM, f"{_SEED}{study.seed}", f"random weights, seed {study.seed}", note)


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
    same = isinstance(trained_as, ModelConfig) and trained_as.shape == config.shape
    return same and (contestant.sinks or not sinks)


def _why_not(study: Study, contestant: Contestant | None) -> str:
    """Why the weights that the dial names cannot run, or nothing."""
    if contestant is None:
        return f"The weights {study.weights} are gone: the server was restarted, or newer ones took their place."
    if study.preset in OWN_VOCABULARY:
        return f"The weights {study.weights} do not fit: they stand for other tokens than those of {study.preset}."
    if _fits(contestant, study.live_config, study.sinks != "off"):
        return ""
    sinks = _fits(contestant, study.live_config, sinks=False)
    why = "they were trained without sinks" if sinks else "they have another shape"
    return f"The weights {study.weights} do not fit: {why}."


@lru_cache(maxsize=256)
def _shipped_for(config: ModelConfig, vocabulary: CompactVocabulary, sinks: bool) -> Shipped | None:
    """The shipped model of this shape and these tokens that was trained under the most similar settings."""
    fitting = [model for model in _shipped_transformers()
               if _fits(model.contestant, config, sinks) and model.vocabulary == vocabulary]
    return min(fitting, key=lambda model: len(_differences(model.contestant, config, sinks)), default=None)


@cache
def _shipped_transformers() -> tuple[Shipped, ...]:
    """What ships of GPT-OSS, without a second model of the same architecture."""
    return tuple(model for model in shipped().values()
                 if isinstance(model.config, ModelConfig) and model.contestant.balanced and model.has_weights)
