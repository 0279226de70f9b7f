"""The operator's own checkpoint: read once for the whole server, from a directory that no visitor names or learns.

The environment variable `GPTOSS_CHECKPOINT` names the directory. What is wrong with it is in the server's log; a
visitor reads one sentence without a path. No Streamlit here.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from functools import cache

import torch

from gptoss.checkpoint import CheckpointError, Reader, require_finite
from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import checkpoint_bytes, count_parameters
from gptoss.model import Transformer
from gptoss.tokenizer import compact_vocabulary

VARIABLE = "GPTOSS_CHECKPOINT"
CHECKPOINT = "checkpoint"  # the preset's name, as the address spells it
PRECISION = "bfloat16"  # that its weights are computed with
UNREADABLE = "This server's own checkpoint could not be read, so it is not among the presets. The server's log says why."
LARGE = 50_000_000  # active parameters, from which a pass takes seconds and passes are counted
MAX_LIVE_TOKENS = 512  # of a text that run live
LARGE_TOKENS = 64  # the same for a large model

_log = logging.getLogger(__name__)
_reading = threading.Lock()


@dataclass(frozen=True, eq=False)
class Served:
    """The checkpoint as it was read. Shared by all sessions and never changed."""

    model: Transformer

    @property
    def config(self) -> ModelConfig:
        return self.model.config

    @property
    def title(self) -> str:
        """What a visitor reads: the published model that it has the configuration of, or what it is."""
        name = published_name(self.config)
        return f"{name}, real weights" if name else "the server's checkpoint"

    @property
    def large(self) -> bool:
        """Whether a pass takes so long that it has to be waited for."""
        return count_parameters(self.config).active > LARGE


def published_name(config: ModelConfig) -> str:
    """The published model that has this configuration; empty where none has."""
    return next((name for name, one in PRESETS.items() if one == config and name.startswith("gpt-oss")), "")


def served() -> Served | None:
    """The operator's checkpoint, or None where there is none or it cannot be read. The first call reads it."""
    with _reading:
        return _served()


def problem() -> str:
    """One sentence for visitors where the operator named a checkpoint that could not be read, or nothing."""
    return UNREADABLE if os.environ.get(VARIABLE) and not served() else ""


def presets() -> dict[str, ModelConfig]:
    """All that a study can begin with, the operator's checkpoint last."""
    own = served()
    return PRESETS | {CHECKPOINT: own.config} if own else PRESETS


def spelt_out(name: str) -> str:
    """A name with a preset in it, as a visitor reads it."""
    own = served()
    return name.replace(CHECKPOINT, own.title) if own else name


def most_live_tokens(vocab_size: int) -> int:
    """How many tokens of a text run in a live model of this vocabulary: fewer where it is a large checkpoint's."""
    own = served()
    return LARGE_TOKENS if own and own.large and vocab_size == own.config.vocab_size else MAX_LIVE_TOKENS


@cache
def _served() -> Served | None:
    directory = os.environ.get(VARIABLE)
    if not directory:
        return None
    try:
        return Served(_read(directory))
    except Exception as error:  # whatever is wrong with it, the app has to go on
        _log.error("%s=%s is left out: %s", VARIABLE, directory, error, exc_info=not isinstance(error, CheckpointError))
        return None


def _read(directory: str) -> Transformer:
    """The model, its experts packed where they are stored so. Raises also where no page could show it."""
    reader = Reader(directory)
    try:
        compact_vocabulary(reader.config.vocab_size)  # or no text could be read
        checkpoint_bytes(reader.config)  # or no page could say its size
    except ValueError as error:
        raise CheckpointError(f"the app cannot show this model: {error}") from error
    packed = len(reader.packed) == 2 * reader.config.num_hidden_layers
    model = Transformer.from_checkpoint(directory, getattr(torch, PRECISION),
                                        experts="packed" if packed else "unpacked")
    if packed:  # whatever is not, was looked at as it was read
        for name, weights in model.state_dict().items():
            require_finite(name, weights)
    return model.eval().requires_grad_(False)
