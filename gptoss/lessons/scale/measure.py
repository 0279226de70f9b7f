"""Training at scale in tables: memory by stage, hours, compute, batches, the schedule, and a real step weighed."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from gptoss.config import ModelConfig
from gptoss.cost import (
    ACCELERATORS,
    Layout,
    accelerator_hours,
    accumulation_steps,
    activation_bytes,
    count_parameters,
    learning_rate,
    training_bytes,
    training_flops_per_token,
    training_memory,
)
from gptoss.cost.activations import FUSED, WRITTEN_OUT
from gptoss.cost.scale import FSDP, STAGES, Indivisible
from gptoss.model import Transformer
from gptoss.training.step_memory import MeasuredStep, random_tokens, training_step

STEP_BATCH, STEP_TOKENS = 4, 96  # the step that is measured: sequences, and tokens of each
AS_TRAINED = "as trained"  # the model's own initial context
DEFAULTS = {"world": 64, "micro": 1, "sequence": AS_TRAINED, "tensor": 1, "expert": 1, "keep": FUSED, "gradients": "bf16",
            "batch": 2**22, "tokens": 10**12, "utilisation": 40, "warmup": 2000, "peak": 3e-4}  # of the page's controls
FLOOR = 0.1  # share of the peak at which the schedule ends
CURVE_POINTS = 240


@dataclass(frozen=True)
class Setting:
    """How training is divided, and what one accelerator reads and keeps at once."""

    layout: Layout
    micro_batch: int  # sequences
    sequence: int  # tokens
    keep: str  # for the backward pass, one of `gptoss.cost.activations.KEEPS`
    gradients: str  # the number format in which they are added up


def stages(config: ModelConfig, setting: Setting) -> dict[str, dict[str, int]]:
    """Stage -> part -> bytes on one accelerator."""
    return {stage: training_bytes(config, setting.layout, stage, setting.micro_batch, setting.sequence, setting.keep,
                                  setting.gradients) for stage in STAGES}


def training_flops(config: ModelConfig, sequence: int, tokens: int) -> float:
    """FLOPs of a whole training on `tokens`, in sequences of `sequence` tokens."""
    return tokens * sum(training_flops_per_token(config, sequence).values())


def hours(config: ModelConfig, setting: Setting, tokens: int, utilisation: float) -> pd.DataFrame:
    """Hours of one accelerator for the whole training, and whether its memory holds the step under FSDP.

    `utilisation` is the share of the data sheet's peak, 0 to 1. Columns `accelerator`, `hours` and `fits`.
    """
    flops = training_flops(config, setting.sequence, tokens)
    need = sum(stages(config, setting)[FSDP].values())
    return pd.DataFrame([(machine.name, accelerator_hours(flops, machine, utilisation), need <= machine.memory)
                         for machine in ACCELERATORS], columns=["accelerator", "hours", "fits"])


def thumb_flops(config: ModelConfig) -> dict[str, int]:
    """FLOPs of one token by what is active in it: 6 for each parameter."""
    counts = count_parameters(config)
    active = {part: number for part, number in counts.by_part.items()
              if part not in ("embedding", "mlp1", "mlp2", "expert biases")} | {"experts": counts.active_experts}
    return {part: 6 * number for part, number in active.items()}


def possible_batch(setting: Setting, wanted: int) -> tuple[int, int, str]:
    """Tokens of the batch nearest to the `wanted` one, its micro steps, and a sentence where it is another one."""
    whole = setting.micro_batch, setting.sequence, setting.layout.data
    try:
        return wanted, accumulation_steps(wanted, *whole), ""
    except Indivisible as refusal:
        return refusal.nearest, accumulation_steps(refusal.nearest, *whole), str(refusal)


def schedule(steps: int, warmup: int, peak: float) -> list[tuple[int, float]]:
    """(step, learning rate) over a run, at as many steps as a chart can show, the end of the warmup among them."""
    shown = {round(place * (steps - 1) / CURVE_POINTS) for place in range(CURVE_POINTS + 1)} | {max(warmup, 1) - 1}
    return [(step, learning_rate(step, steps, peak, warmup, FLOOR)) for step in sorted(shown)]


def weighed_step(config: ModelConfig, seed: int) -> MeasuredStep:
    """One real step of a model with random weights, in fp32, and the bytes of everything that it held."""
    model = Transformer(config, seed=seed)
    return training_step(model, random_tokens(model, STEP_BATCH, STEP_TOKENS, seed))


def state_bytes(config: ModelConfig) -> int:
    """Bytes of weights, master weights, gradients and optimizer states of a training in mixed precision, all together."""
    return sum(training_memory(config).values())


def compared(config: ModelConfig, step: MeasuredStep) -> pd.DataFrame:
    """Part, predicted and measured bytes. Nothing that was measured enters the prediction."""
    memory = training_memory(config, "fp32")
    measured = {"weights": step.weights, "gradients": step.gradients,
                "optimizer states": step.optimizer_states + step.step_counters}
    rows = [(part, memory[part], size) for part, size in measured.items()]
    rows += [(f"kept: {part}", size, step.activations[part]) for part, size in _kept(config).items()]
    return pd.DataFrame(rows, columns=["part", "predicted", "measured"])


def activations_off(config: ModelConfig, step: MeasuredStep) -> dict[str, int]:
    """By part: bytes kept beyond the closed form that knows which rows routing gave to the experts."""
    return {part: step.activations[part] - size for part, size in _kept(config, step.padded_rows).items()}


def state_off(config: ModelConfig, step: MeasuredStep) -> int:
    """Bytes by which weights, gradients and AdamW's moments differ from their closed forms, added up."""
    memory = training_memory(config, "fp32")
    held = {"weights": step.weights, "gradients": step.gradients, "optimizer states": step.optimizer_states}
    return sum(abs(size - memory[part]) for part, size in held.items())


def _kept(config: ModelConfig, padded_rows: tuple[int | None, ...] | None = None) -> dict[str, int]:
    return activation_bytes(config, STEP_BATCH, STEP_TOKENS, "fp32", WRITTEN_OUT, padded_rows)
