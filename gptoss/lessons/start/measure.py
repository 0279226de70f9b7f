"""What makes GPT-OSS worth a lesson, in figures; and which model the drawing opens on."""

from __future__ import annotations

from typing import NamedTuple

from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import (
    MACHINES,
    Accelerator,
    Load,
    checkpoint_bytes,
    count_parameters,
    is_large,
    tokens_per_second,
    users_at_once,
)

FIRST, UNDER_STUDY = "gpt-oss-20b", "Model under study"
MODELS = (FIRST, "gpt-oss-120b", UNDER_STUDY)
CONTEXT = 8192  # tokens that a laptop is asked to keep


class Reasons(NamedTuple):
    """Why gpt-oss-20b matters: its weights, those that one token uses, and a laptop that runs it.

    `bytes` is its checkpoint, experts in MXFP4. `speed` bounds what the laptop writes, in tokens a second.
    """

    total: int
    active: int
    bytes: int
    laptop: Accelerator
    speed: float


def reasons() -> Reasons:
    """The figures of gpt-oss-20b, and the smallest laptop in the list that keeps it with a text of `CONTEXT` tokens."""
    config, load = PRESETS[FIRST], Load(context=CONTEXT)
    parameters = count_parameters(config)
    laptops = [machine for machine in MACHINES if "laptop" in machine.kind]
    laptop = min((machine for machine in laptops if users_at_once(config, machine.memory, load)),
                 key=lambda machine: machine.memory)
    return Reasons(parameters.total, parameters.active, checkpoint_bytes(config), laptop,
                   tokens_per_second(config, load, laptop))


def first_shown(config: ModelConfig) -> str:
    """Which of `MODELS` is drawn at first: the one under study if it is large, and gpt-oss-20b beside a small one."""
    return UNDER_STUDY if is_large(config) else FIRST
