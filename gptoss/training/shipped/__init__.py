"""Trained models that ship with the app: `classroom`, variants of it that differ in one thing, and a GPT-2.

Each directory beside this file holds a model (OpenAI's layout with MXFP4 experts; Hugging Face's for GPT-2), the list of
its tokens, and the history of its training (`unbalanced` has the history alone, of one seed); `CARDS.md` tells what they
were trained on, and what they can do.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from gptoss.config import GPT2Config, ModelConfig
from gptoss.model import GPT2, Transformer
from gptoss.training.contestants import BASELINE, STUDY, Contestant, contestants
from gptoss.training.evaluation import Evaluation
from gptoss.training.recording import Recording
from gptoss.training.storage import HISTORY, load_model, read_evaluation

CLASSROOM = "classroom"
RECORDING = "recording.npz"
SEEDS = (0, 1)  # every variant was trained from both; the weights of the first ship
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Shipped:
    """One trained model.

    Attributes:
        name: its directory.
        contestant: what it is: its configuration, and whether it has sinks.
    """

    name: str
    contestant: Contestant

    @property
    def config(self) -> ModelConfig | GPT2Config:
        return self.contestant.config

    @property
    def directory(self) -> Path:
        return _HERE / self.name

    def load(self, dtype: torch.dtype = torch.float32) -> Transformer | GPT2:
        """The model, in evaluation mode and without gradients. Raises `CheckpointError` where only a history ships."""
        return load_model(self.directory, dtype).requires_grad_(False)

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
    """Every model that ships, by name, `classroom` first."""
    of_classroom = contestants(ModelConfig.preset(CLASSROOM))
    names = {CLASSROOM: STUDY, BASELINE: BASELINE} | {name: name for name in of_classroom if name != STUDY}
    return {name: Shipped(name, of_classroom[contestant]) for name, contestant in names.items()
            if (_HERE / name / HISTORY).exists()}


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
