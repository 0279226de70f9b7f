"""What serving a model takes: its bytes by part and format, the KV cache, every operator's bound, and tokens a second."""

from __future__ import annotations

from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import Load, count_parameters, is_large
from gptoss.cost.accelerators import BY_NAME
from gptoss.lessons.memory import accounts
from gptoss.take_home import show
from gptoss.take_home.here import SMALL, Here


def values(here: Here) -> dict[str, object]:
    """What is asked of which model on which machine: at first of the one under study, if it is large."""
    chosen = {name: here.control(name, default) for name, default in accounts.DEFAULTS.items()}
    context = here.control("context", here.context if is_large(here.real) else accounts.LONGEST)
    return chosen | {"model": here.published(SMALL), "context": context,
                     "prompt": min(chosen["prompt"], context)}


def story(config: ModelConfig, model: str | None, batch: int, prompt: int, context: int, experts: str, rest: str, kv: int,
          machine: str, phase: str, operator: str) -> None:
    """## What is asked

    `model` names a published one, or None for the model under study. MXFP4 needs whole blocks of 32 values."""
    served = PRESETS[model] if model else config
    possible, refusal = accounts.possible_experts(served, experts)
    load = Load(batch, prompt, context, possible.lower(), rest, kv)
    setting = accounts.Setting(model or "the model under study", served, load)
    print(f"{setting.name}: {count_parameters(served).total:,} parameters, {setting.formats}. {refusal}")

    """## What is kept in memory, and which machine holds it"""
    show(*accounts.memory_charts(setting))

    """## The KV cache, layer by layer, and against other designs"""
    show(*accounts.cache_charts(setting))

    """## The roofline

    Every operator under the machine's roof, and one of them with its numbers put in."""
    on = BY_NAME[machine]
    show(accounts.roofline_chart(setting, on, phase, operator))
    print(accounts.worked_out(setting, on, phase, operator).replace("**", ""))

    """## How fast it can be at best"""
    show(accounts.time_chart(setting, on), accounts.speed_chart(setting, on), accounts.touched_chart(served, batch))
