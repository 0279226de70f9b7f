"""What training the model under study takes: memory of every accelerator, hours, batches, and a real step beside it."""

from __future__ import annotations

from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import ACCELERATORS, Layout, optimizer_steps, training_flops_per_token
from gptoss.cost.scale import fitting_layout
from gptoss.lessons.scale import charts, measure
from gptoss.take_home import show
from gptoss.take_home.here import LARGE, Here


def values(here: Here) -> dict[str, object]:
    """How training is divided, and what it trains on."""
    chosen = {name: here.control(name, default) for name, default in measure.DEFAULTS.items()}
    model = here.published(LARGE)
    if chosen["sequence"] == measure.AS_TRAINED:
        chosen["sequence"] = (PRESETS[model] if model else here.real).initial_context_length
    return chosen | {"model": model}


def story(config: ModelConfig, live: ModelConfig, seed: int, model: str | None, world: int, micro: int, sequence: int,
          tensor: int, expert: int, keep: str, gradients: str, batch: int, tokens: int, utilisation: int, warmup: int,
          peak: float) -> None:
    """## How it is divided

    `model` names a published one, or None for the model under study; the layout is the possible one nearest to what is
    asked for."""
    trained = PRESETS[model] if model else config
    layout, refusals = fitting_layout(trained, Layout(world, tensor, expert))
    setting = measure.Setting(layout, micro, max(sequence, 2), keep, gradients)
    print(layout, *refusals, sep="\n")

    """## What one accelerator holds, and which one is large enough"""
    memories = {machine.name: machine.memory for machine in ACCELERATORS}
    stages = measure.stages(trained, setting)
    show(charts.memory_by_stage(stages, tuple(memories.values())))
    show(charts.what_fits({stage: sum(parts.values()) for stage, parts in stages.items()}, memories))

    """## Hours and compute"""
    show(charts.hours_by_accelerator(measure.hours(trained, setting, tokens, utilisation / 100), layout.world))
    exact = training_flops_per_token(trained, setting.sequence)
    show(charts.compute_parts(exact, measure.thumb_flops(trained), setting.sequence))

    """## Batches and the schedule"""
    possible, accumulation, _ = measure.possible_batch(setting, batch)
    steps = optimizer_steps(tokens, possible)
    rising = min(warmup, steps)
    print(f"{possible:,} tokens a batch, {accumulation} accumulation steps, {steps:,} optimizer steps")
    show(charts.schedule_curve(measure.schedule(steps, rising, peak), rising))

    """## The formula on trial

    One real step of AdamW on the live size, with random weights; every tensor is counted."""
    step = measure.weighed_step(live, seed)
    show(charts.predicted_and_measured(measure.compared(live, step)))
