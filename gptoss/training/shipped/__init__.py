"""Trained models that ship with the app: `classroom` and `storyteller`, each with variants that differ in one thing and a
GPT-2 of equal active parameters.

Each directory beside this file holds a model of `classroom`'s family (OpenAI's layout with MXFP4 experts; Hugging Face's
for GPT-2), the list of its tokens, and the history of its training (`unbalanced` has the history alone, of one seed);
`CARDS.md` tells what they were trained on, and what they can do. The family of `storyteller` lies in
`gptoss.training.storyteller`, its variants in folders there, with `CARD.md`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from gptoss.config import GPT2Config, ModelConfig
from gptoss.model import GPT2, Transformer
from gptoss.tokenizer import CompactVocabulary, compact_vocabulary
from gptoss.training.contestants import BASELINE, STUDY, Contestant, contestants
from gptoss.training.evaluation import Evaluation
from gptoss.training.recording import Recording
from gptoss.training.run_directory import RECORDING
from gptoss.training.storage import HISTORY, load_model, read_evaluation
from gptoss.training.storyteller import DIRECTORY, storyteller_vocabulary

CLASSROOM, STORYTELLER = FAMILIES = "classroom", "storyteller"
TRAINED_ON = {CLASSROOM: "tasks and code", STORYTELLER: "stories"}  # in a word or two, by family
OWN_VOCABULARY = (STORYTELLER,)  # presets whose tokens are not the first of `compact_vocabulary`
# The same in a clause.
TEXTS = {CLASSROOM: "documents of 64 tokens: docstrings and code of Python's own library, and four kinds of generated tasks "
                    "(sums, brackets, facts to recall, lines that come back)",
         STORYTELLER: "simple English stories, explanations and conversations that a larger model wrote, and on sentences "
                      "of a small grammar about who has what and is where"}
WEIGHTS = "model.safetensors"
SEEDS = (0, 1)  # every variant of classroom was trained from both; the weights of the first ship
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Shipped:
    """One trained model.

    Attributes:
        name: what it is called: `kv-1` or `storyteller-kv-1`.
        contestant: what it is: its configuration, and whether it has sinks.
        family: one of `FAMILIES`: all of one were trained on the same kinds of texts by the same recipe.
        directory: where it lies.
    """

    name: str
    contestant: Contestant
    family: str
    directory: Path

    @property
    def config(self) -> ModelConfig | GPT2Config:
        return self.contestant.config

    @property
    def trained_on(self) -> str:
        """Its texts, in a word or two: "stories"."""
        return TRAINED_ON[self.family]

    @property
    def vocabulary(self) -> CompactVocabulary:
        """What its rows stand for."""
        return vocabulary_of(self.family, self.config.vocab_size)

    def load(self, dtype: torch.dtype = torch.float32) -> Transformer | GPT2:
        """The model, in evaluation mode and without gradients. Raises `CheckpointError` where only a history ships."""
        return load_model(self.directory, dtype).requires_grad_(False)

    @property
    def has_weights(self) -> bool:
        return (self.directory / WEIGHTS).exists()

    @property
    def texts(self) -> str:
        """The SHA-256 of the texts that the steps of its training were drawn from."""
        return self.history()["corpus"]["fingerprint"]

    def history(self, seed: int = 0) -> dict:
        """The record of its training from one of `SEEDS`, as `python -m gptoss.training` wrote it."""
        return _history(self.directory / (HISTORY if seed == 0 else f"history-{seed}.json"))

    def measured(self, seed: int = 0) -> Evaluation:
        """What the file of that seed does on validation texts, measured after reading it back."""
        return read_evaluation(self.history(seed)["reloaded"])

    def recording(self) -> Recording | None:
        """Attention, routing and samples through its training, where they were kept."""
        return _recording(self.directory / RECORDING)


@functools.cache
def shipped() -> dict[str, Shipped]:
    """Every model that ships, by name: `classroom` first, then its GPT-2 and variants, then `storyteller` and its own."""
    everyone = [Shipped(name, contestant, family, directory) for family in FAMILIES
                for name, contestant, directory in _places(family)]
    return {one.name: one for one in everyone if (one.directory / HISTORY).exists()}


def _places(family: str) -> Iterator[tuple[str, Contestant, Path]]:
    """Every contestant of a family: its name, what it is, and where it lies if it ships."""
    everyone = contestants(ModelConfig.preset(family))
    for contestant in (STUDY, BASELINE, *(name for name in everyone if name not in (STUDY, BASELINE))):
        if family == CLASSROOM:
            name = CLASSROOM if contestant == STUDY else contestant
            yield name, everyone[contestant], _HERE / name
        else:
            own = contestant == STUDY
            yield (family if own else f"{family}-{contestant}", everyone[contestant],
                   DIRECTORY if own else DIRECTORY / contestant)


@functools.cache
def shipped_shapes() -> frozenset[ModelConfig]:
    """The shapes of GPT-OSS for which weights ship: such a model runs as it is, however large."""
    return frozenset(one.config.shape for one in shipped().values()
                     if isinstance(one.config, ModelConfig) and one.has_weights)


def vocabulary_of(preset: str, size: int) -> CompactVocabulary:
    """The tokens of a live model with `size` of them: storyteller's own where it was the preset, else `compact_vocabulary`.

    Raises `ValueError` for a size that is impossible.
    """
    return storyteller_vocabulary().first(size) if preset in OWN_VOCABULARY else compact_vocabulary(size)


@functools.cache
def find(config: ModelConfig, sinks: bool = True) -> Shipped | None:
    """The model that was trained as exactly this architecture, if one ships.

    RoPE's theta and scaling count: a model that rotates otherwise than it was trained is another model. Of two that differ
    only in how they were trained, the balanced one.
    """
    return next((model for model in shipped().values()
                 if (model.config, model.contestant.sinks) == (config, sinks) and model.contestant.balanced), None)


@functools.lru_cache(maxsize=32)
def _history(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


@functools.lru_cache(maxsize=2)
def _recording(path: Path) -> Recording | None:
    return Recording.from_bytes(path.read_bytes()) if path.exists() else None
