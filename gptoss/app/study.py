"""The model under study: what the sidebar's dials say, what they allow, and how an address spells it.

No Streamlit here: a `Study` is a value, so that every rule about dials and addresses can be tested by itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

from gptoss.app import served
from gptoss.app.markdown import shortened
from gptoss.app.served import CHECKPOINT
from gptoss.config import ModelConfig, divisors_of
from gptoss.cost import scale_model
from gptoss.tokenizer import CompactVocabulary
from gptoss.training.shipped import CLASSROOM, OWN_VOCABULARY, shipped_shapes, vocabulary_of

DEFAULT_PRESET = "storyteller"
YOURS = "your model"  # what sentences call the model under study once a dial has left its preset
SEEDS = 10  # sets of random weights to choose from
TRAINED, RANDOM = "trained", "random"  # positions of the dial of weights; a third is the id of a run
RUN = re.compile(r"run-([0-9a-f]{4}){1,4}")  # how the id of a model trained on this server is spelt, shorter in old links
CONTEXTS = tuple(2**power for power in range(7, 18))  # 128 to 131,072 tokens
NO_SINK = -math.inf  # a sink logit that takes nothing


@dataclass(frozen=True)
class Study:
    """A preset and the position of every dial. Immutable; `moved` gives the next one with all dials in agreement."""

    preset: str
    layers: int
    hidden: int
    heads: int
    kv: int
    window: int
    experts: int
    active: int
    context: int
    theta: int
    factor: int
    every: int = 2
    sinks: str = "on"
    precision: str = "float32"
    weights: str = TRAINED
    seed: int = 0
    scaled: bool = False  # no dial: a scale model has to do in place of anything larger, see `small` and `scale`

    @classmethod
    def of_preset(cls, preset: str) -> Study:
        """The preset as it is published, accounted for at the full context it is made for, or at the step nearest to that.

        Raises `ValueError` for a name that is not in `presets()`.
        """
        config = _config_of(preset)
        return cls(
            preset=preset, layers=config.num_hidden_layers, hidden=config.hidden_size,
            heads=config.num_attention_heads, kv=config.num_key_value_heads, window=config.sliding_window,
            experts=config.num_experts, active=config.experts_per_token,
            context=nearest(config.max_context_length, CONTEXTS),
            theta=_whole(config.rope_theta), factor=_whole(config.rope_scaling_factor), every=config.window_every,
            **({"precision": served.PRECISION} if preset == CHECKPOINT else {}))

    @cached_property
    def config(self) -> ModelConfig:
        """The architecture at its real size. Expert width keeps the preset's ratio to the hidden size."""
        preset = _config_of(self.preset)
        return preset.replace(
            num_hidden_layers=self.layers, hidden_size=self.hidden,
            intermediate_size=preset.intermediate_size * self.hidden // preset.hidden_size,
            num_attention_heads=self.heads, num_key_value_heads=self.kv, sliding_window=self.window,
            window_every=self.every, num_experts=self.experts, experts_per_token=self.active, rope_theta=self.theta,
            rope_scaling_factor=self.factor)

    @cached_property
    def live_config(self) -> ModelConfig:
        """The model that runs: the server's checkpoint and whatever ships whole, or else a scale model."""
        whole = self.runs_checkpoint or not self.scaled and self.config.shape in shipped_shapes()
        return self.config if whole else scale_model(self.config)

    @property
    def vocabulary(self) -> CompactVocabulary:
        """The tokens of the model that runs: its preset's own, or as many as it has of the most useful ones."""
        return vocabulary_of(self.preset, self.live_config.vocab_size)

    @property
    def runs_checkpoint(self) -> bool:
        """Whether the weights are those of the server's checkpoint: as long as the dials leave it its shape."""
        moved = any(DIALS[name].effect == "new shape" for name in self.changes)
        return self.preset == CHECKPOINT and self.weights == TRAINED and not moved and not self.scaled

    @property
    def is_large(self) -> bool:
        """Whether what runs is so large that every pass has to be waited for."""
        return self.runs_checkpoint and served.served().large

    @property
    def small(self) -> Study:
        """This study, or where it runs something large, the same with a scale model and its random weights.

        For what builds models of its own or passes a model dozens of times.
        """
        return replace(self, scaled=True) if self.is_large else self

    @cached_property
    def scale(self) -> Study:
        """This study with a scale model, whatever ships: for pages on which nothing is trained."""
        return replace(self, scaled=True)

    @cached_property
    def in_classroom(self) -> Study:
        """In place of storyteller `classroom` with the same dials moved, and otherwise `small`.

        For what storyteller cannot show: its training takes a GPU, and its weights ship as MXFP4 has rounded them.
        """
        return Study.of_preset(CLASSROOM).moved(**self.changes)[0] if self.preset in OWN_VOCABULARY else self.small

    @property
    def as_trained(self) -> Study | None:
        """The preset's own dials with these weights and this seed; None where that runs in another shape."""
        own = replace(Study.of_preset(self.preset), weights=self.weights, seed=self.seed)
        return own if own.live_config.shape == self.live_config.shape else None

    @property
    def in_words(self) -> str:
        """Its preset and the dials that differ: "gpt-oss-20b with Layers 12"."""
        changes = ", ".join(f"{DIALS[name].label} {DIALS[name].show(value)}" for name, value in self.changes.items())
        preset = served.spelt_out(self.preset)
        return f"{preset} with {changes}" if changes else preset

    @property
    def sink_override(self) -> float | None:
        """The logit that replaces every sink, or None to leave them as they are."""
        return NO_SINK if self.sinks == "off" else None

    def reaching(self, config: ModelConfig, sinks: bool) -> Study | None:
        """This study with its dials where exactly `config` runs live, or None where no position of them does that."""
        shape = {"heads": config.num_attention_heads, "kv": config.num_key_value_heads, "experts": config.num_experts}
        settings = {"window": config.sliding_window, "active": config.experts_per_token, "theta": config.rope_theta,
                    "factor": config.rope_scaling_factor, "every": config.window_every, "sinks": "on" if sinks else "off"}
        whole = {"layers": config.num_hidden_layers, "hidden": config.hidden_size}
        for sizes in ({}, whole):  # a scale model is smaller than what the dials of layers and width say
            study, reasons = self.moved(**shape, **settings, **sizes)
            if not reasons and study.live_config == config:
                return study
        return None

    @property
    def changes(self) -> dict[str, object]:
        """The dials that differ from the preset's position."""
        preset = Study.of_preset(self.preset)
        return {name: getattr(self, name) for name in DIALS if getattr(self, name) != getattr(preset, name)}

    @property
    def choice(self) -> str:
        """What the list of presets is at: `gpt-oss-20b`, or `custom, from gpt-oss-20b` once a dial has left it."""
        return f"custom, from {self.preset}" if self.changes else self.preset

    @property
    def name(self) -> str:
        """What sentences call it: its preset, with the title of the server's checkpoint, or "your model"."""
        return YOURS if self.changes else served.spelt_out(self.preset)

    def moved(self, **dials: object) -> tuple[Study, dict[str, str]]:
        """The study after moving some dials, and a sentence for every dial that had to follow or was out of range."""
        values = {field.name: getattr(self, field.name) for field in fields(self)} | dials
        reasons: dict[str, str] = {}
        for dial in DIALS.values():  # each dial's limits depend only on dials before it
            allowed = dial.options(values)
            value = values[dial.name]
            if value in allowed:
                values[dial.name] = next(position for position in allowed if position == value)  # 1 even for 1.0
            else:
                values[dial.name] = nearest(value, allowed)
                reasons[dial.name] = (f"{dial.label} went from {dial.spell(value)} to "
                                      f"{dial.spell(values[dial.name])}: {dial.why(values)}")
        return Study(**values), reasons

    def to_query(self) -> dict[str, str]:
        """The address's part: always the preset, and every dial that differs from it."""
        return {"preset": self.preset} | {name: DIALS[name].spell(value) for name, value in self.changes.items()}

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> tuple[Study, list[str]]:
        """The study that an address names, and a sentence for every part of it that could not be understood."""
        problems = []
        preset = query.get("preset", DEFAULT_PRESET)
        if preset not in served.presets():
            problems.append(f"There is no preset “{shortened(preset)}”; this is {DEFAULT_PRESET}.")
            preset = DEFAULT_PRESET
        study = cls.of_preset(preset)
        dials = {}
        for name, dial in DIALS.items():
            if name in query:
                try:
                    dials[name] = dial.read(query[name])
                except ValueError:
                    problems.append(f"{dial.label} cannot be “{shortened(query[name])}”; it stays at "
                                    f"{dial.spell(getattr(study, name))}.")
        study, reasons = study.moved(**dials)
        return study, problems + [f"{sentence}." for sentence in reasons.values()]

    def to_text(self) -> str:
        """The study in one word of an address, for the pinned model: `gpt-oss-20b,heads=32`."""
        parts = self.to_query()
        return ",".join([parts.pop("preset"), *(f"{name}={value}" for name, value in parts.items())])

    @classmethod
    def from_text(cls, text: str) -> tuple[Study, list[str]]:
        """Read what `to_text` wrote."""
        preset, *parts = text.split(",")
        dials = dict(part.partition("=")[::2] for part in parts)
        study, problems = cls.from_query({"preset": preset} | dials)
        return study, problems + unknown_settings([name for name in dials if name not in DIALS])


@dataclass(frozen=True)
class Dial:
    """One control of the sidebar: what it is called, its positions, and what a move does to the weights."""

    name: str
    label: str
    options: Callable[[Mapping[str, object]], Sequence]
    effect: str  # "weights kept", "new shape", "other weights" or "accounting"
    help: str
    why: Callable[[Mapping[str, object]], str] = lambda values: "the nearest position there is"

    def spell(self, value: object) -> str:
        """A position as the address spells it."""
        if self.name == "window" and value == 0:
            return "off"
        return str(value)

    def show(self, value: object) -> str:
        """A position as the slider shows it."""
        return f"{value:,}" if isinstance(value, int) and value else self.spell(value)

    def read(self, text: str) -> object:
        """The value an address means; `ValueError` where it is no number, or no word this dial knows."""
        if self.name in WORDS:
            if text in self.options({self.name: text}):
                return text
            raise ValueError(text)
        if self.name == "window" and text == "off":
            return 0
        value = float(text)
        if not 0 <= value <= LARGEST:
            raise ValueError(text)
        return int(value) if value.is_integer() else value


WORDS = ("sinks", "precision", "weights")
LARGEST = 1e12  # no number in an address means more


def _steps(*values) -> Callable[[Mapping[str, object]], Sequence]:
    return lambda _: values


def _kv_options(values: Mapping) -> list[int]:
    return divisors_of(values["heads"])


def _active_options(values: Mapping) -> list[int]:
    steps = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
    return [step for step in steps if step <= values["experts"]]


def _weights_options(values: Mapping | None) -> tuple[str, ...]:
    """The two words, and the id of a run where the dial is at one: whether its weights are there is asked later."""
    here = str((values or {}).get("weights"))
    return (TRAINED, RANDOM, here) if RUN.fullmatch(here) else (TRAINED, RANDOM)


def _precision_options(values: Mapping) -> tuple[str, ...]:
    return (served.PRECISION,) if values.get("preset") == CHECKPOINT else ("float32", "bfloat16")


def _config_of(preset: str) -> ModelConfig:
    known = served.presets()
    return known[preset] if preset in known else ModelConfig.preset(preset)


def _whole(number: float) -> float:
    return int(number) if number == int(number) else number


def _with_the_checkpoints_own(dial: Dial) -> Dial:
    """The dial with one more position, for the server's checkpoint, as long as that is the preset."""
    def options(values: Mapping | None) -> Sequence:
        steps = dial.options(values)
        if not values or values.get("preset") != CHECKPOINT:
            return steps
        own = getattr(Study.of_preset(CHECKPOINT), dial.name)
        if own in steps or dial.name == "active" and own > values["experts"]:
            return steps
        return sorted([*steps, own], key=lambda step: (step == 0, step))  # a window of 0 is the widest

    complete = ("kv", "context", *WORDS)
    return dial if dial.name in complete else replace(dial, options=options)


# In an order in which each dial's limits depend only on those before it.
_DIALS = (
    Dial("layers", "Layers", _steps(*range(1, 49)), "new shape",
         "Blocks in the stack. In gpt-oss even ones slide, odd ones see everything."),
    Dial("hidden", "Hidden size", _steps(64, 128, 256, 512, 768, 1024, 1536, 2048, 2880, 4096, 5760), "new shape",
         "Width of the residual stream. Expert width follows in the preset's ratio."),
    Dial("heads", "Query heads", _steps(1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128), "new shape",
         "Heads that ask. Their size is the preset's and does not depend on the hidden size."),
    Dial("kv", "KV groups", _kv_options, "new shape",
         "Query heads that share keys and values, one KV head a group: as many groups as query heads is MHA, 1 is MQA.",
         lambda values: f"it must divide {values['heads']} query heads"),
    Dial("window", "Sliding window", _steps(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 0), "weights kept",
         "Tokens that the sliding layers see, the query's own included. Off: every layer sees everything."),
    Dial("experts", "Experts", _steps(1, 2, 4, 8, 16, 32, 64, 128, 256), "new shape",
         "Expert MLPs in every block."),
    Dial("active", "Active experts", _active_options, "weights kept",
         "Experts that the router chooses for each token.",
         lambda values: f"no more than {values['experts']} experts can be active"),
    Dial("context", "Context length", _steps(*CONTEXTS), "accounting",
         "Tokens for which memory and compute are accounted. The text that runs live is not changed by it."),
    Dial("theta", "RoPE theta", _steps(1_000, 10_000, 150_000, 500_000, 1_000_000), "weights kept",
         "Base of the rotation's wavelengths."),
    Dial("factor", "YaRN factor", _steps(1, 2, 4, 8, 16, 32, 64), "weights kept",
         "How far YaRN stretches the trained context; 1 is plain RoPE."),
    Dial("every", "A window in every", _steps(1, 2, 3, 4), "weights kept",
         "One in so many layers slides, layer 0 first: 2 in gpt-oss. 1 makes every layer slide."),
    Dial("sinks", "Sinks", _steps("on", "off"), "weights kept",
         "Off sets every head's sink logit to minus infinity: plain softmax attention."),
    Dial("precision", "Precision", _precision_options, "weights kept",
         "The number format that the live model computes in: the same weights, rounded. The server's checkpoint has one.",
         lambda values: "that is the format of the server's checkpoint"),
    Dial("weights", "Weights", _weights_options, "other weights",
         "Trained ones run wherever a model of this shape was trained, random ones elsewhere. Random: always, to see what "
         "chance looks like in this shape."),
    Dial("seed", "Seed", _steps(*range(SEEDS)), "other weights",
         "Which random weights are drawn, and which text is sampled. It does nothing to trained weights."),
)
DIALS: dict[str, Dial] = {dial.name: _with_the_checkpoints_own(dial) for dial in _DIALS}


def nearest(value: object, allowed: Sequence) -> object:
    """The allowed position nearest to `value` by ratio; of two equally near, the larger. Words fall back to the first."""
    if not isinstance(value, (int, float)):
        return allowed[0]
    if value <= 0:
        return min(allowed)
    return min((step for step in allowed if step > 0), key=lambda step: (abs(math.log(step) - math.log(value)), -step))


def unknown_settings(names: Sequence[str]) -> list[str]:
    """A sentence about settings of an address that there are not, or nothing."""
    if not names:
        return []
    first = ", ".join(f"“{shortened(name)}”" for name in names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return [f"The address has settings unknown here: {first}{more}."]
