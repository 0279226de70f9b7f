"""Three small models that learn when to say nothing: without sinks, with them, and with a gate on each head.

They differ in that alone, and read the same texts (`gptoss.training.echo.corpus`), in which a head has something to fetch
after one word only. `python -m gptoss.training.echo` trains them again; the weights of both seeds ship beside this file.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

from safetensors.torch import load_file

from gptoss.config import ModelConfig
from gptoss.model import LanguageModel
from gptoss.training.contestants import Contestant
from gptoss.training.echo.corpus import VOCABULARY
from gptoss.training.recipe import Recipe

SEEDS = (0, 1)
# One layer that sees everything, so that the first token is in sight of every query.
SHAPE = ModelConfig(
    num_hidden_layers=1, num_experts=4, experts_per_token=2, vocab_size=VOCABULARY, hidden_size=64, intermediate_size=64,
    head_dim=16, num_attention_heads=2, num_key_value_heads=2, sliding_window=0, initial_context_length=64,
    rope_theta=10_000.0, rope_scaling_factor=1.0)
PLAIN, SINKS, GATED = "without sinks", "with sinks", "with gates"
CONTESTANTS = {PLAIN: Contestant("plain", PLAIN, SHAPE, sinks=False), SINKS: Contestant("sinks", SINKS, SHAPE),
               GATED: Contestant("gated", GATED, SHAPE, gated=True)}
RECIPE = Recipe(steps=1500, batch=16, length=64, peak=6e-3, warmup=50, balance=0.01, evaluate_every=100)
_HERE = Path(__file__).parent


def weights_file(name: str, seed: int, directory: Path = _HERE) -> Path:
    """Where the weights of one of `CONTESTANTS` are, in bfloat16."""
    return directory / f"{CONTESTANTS[name].name}-{seed}.safetensors"


def history_file(name: str, seed: int, directory: Path = _HERE) -> Path:
    """Where the record of its training is."""
    return directory / f"{CONTESTANTS[name].name}-{seed}.json"


def load(name: str, seed: int = 0, directory: Path = _HERE) -> LanguageModel:
    """One of `CONTESTANTS` as it was trained from a seed, in evaluation mode and without gradients, in float32."""
    weights = load_file(weights_file(name, seed, directory))
    model = CONTESTANTS[name].on_meta()
    model.load_state_dict({key: tensor.float() for key, tensor in weights.items()}, assign=True)
    return model.eval().requires_grad_(False)


@functools.lru_cache(maxsize=8)
def history(name: str, seed: int = 0) -> dict:
    """The record of its training: recipe, losses by step, seconds, and on which machine."""
    return json.loads(history_file(name, seed).read_text(encoding="utf-8"))
