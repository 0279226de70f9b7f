"""Models to train against each other: the one under study, and the same with one thing changed."""

from __future__ import annotations

from dataclasses import dataclass

from gptoss.config import GPT2Config, ModelConfig
from gptoss.cost.matching import ACTIVE, matched_gpt2
from gptoss.model import GPT2, LanguageModel, Transformer
from gptoss.model.gated import GatedTransformer
from gptoss.training.trainer import initialise_for_training
from gptoss.units import plural


@dataclass(frozen=True)
class Contestant:
    """One model to train.

    Attributes:
        name: a word for addresses and directories.
        title: what a reader sees.
        config: its shape. Where `sinks` is False every sink is minus infinity and stays there.
        balanced: whether the recipe's load-balancing loss applies to it.
        gated: whether its heads have gates instead of sinks, which GPT-OSS has not.
    """

    name: str
    title: str
    config: ModelConfig | GPT2Config
    sinks: bool = True
    balanced: bool = True
    gated: bool = False

    def on_meta(self) -> LanguageModel:
        """The model's parts, names and shapes, without memory."""
        kind = GPT2 if isinstance(self.config, GPT2Config) else GatedTransformer if self.gated else Transformer
        return kind(self.config, device="meta")

    def build(self, seed: int = 0, device: str = "cpu") -> LanguageModel:
        """The model with random weights to train from."""
        model = self.on_meta()
        model.take_memory(device)
        return initialise_for_training(model, seed, self.sinks)


STUDY, BASELINE = "study", "gpt2"


def contestants(config: ModelConfig) -> dict[str, Contestant]:
    """Every contestant that can be made from `config`, by name, itself first. None is there twice."""
    kv = config.num_key_value_heads
    candidates = [Contestant(STUDY, "the model under study", config),
                  Contestant(BASELINE, "GPT-2, equal active parameters", equal_gpt2(config)),
                  Contestant("no-sinks", "without sinks", config, sinks=False),
                  Contestant("all-full", "without windows", config.replace(sliding_window=0)),
                  Contestant("all-sliding", "every layer sliding", config.replace(window_every=1)),
                  Contestant("dense", "a dense MLP of equal compute", dense(config)),
                  Contestant("one-active", "one active expert", config.replace(experts_per_token=1)),
                  Contestant("unbalanced", "without the balancing loss", config, balanced=False)]
    groups = [n for n in (1, 2, 4, 8) if config.num_attention_heads % n == 0 and n != kv]
    candidates += [Contestant(f"kv-{n}", plural(n, "KV group"), config.replace(num_key_value_heads=n)) for n in groups]
    first: dict[tuple, Contestant] = {}
    for one in candidates:
        first.setdefault(_what_it_is(one), one)
    return {one.name: one for one in first.values()}


def _what_it_is(one: Contestant) -> tuple:
    """What makes a contestant another one: its shape with the windows that its layers really have, sinks, and balancing.

    Where every expert is active there is nothing to balance.
    """
    shape, windows = one.config, ()
    if isinstance(shape, ModelConfig):
        windows = tuple(shape.window_of(layer) for layer in range(shape.num_hidden_layers))
        shape = shape.replace(sliding_window=0, window_every=1)
    return shape, windows, one.sinks, one.balanced or one.config.experts_per_token == one.config.num_experts


def dense(config: ModelConfig) -> ModelConfig:
    """One MLP that every token uses, as wide as the active experts together: the same multiplications a token."""
    return config.replace(num_experts=1, experts_per_token=1,
                          intermediate_size=config.intermediate_size * config.experts_per_token)


def equal_gpt2(config: ModelConfig) -> GPT2Config:
    """The GPT-2 nearest in active parameters, with the same vocabulary and positions for the trained context."""
    return matched_gpt2(config, ACTIVE, vocab_size=config.vocab_size, positions=config.initial_context_length).config
