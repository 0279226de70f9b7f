"""Which query heads share keys and values, what each number of groups costs, and the cache as it grows."""

from __future__ import annotations

from gptoss.config import ModelConfig
from gptoss.lessons.gqa import charts, measure
from gptoss.take_home import show
from gptoss.take_home.here import Here


def values(here: Here) -> dict[str, object]:
    """How many decode steps the cache is followed over."""
    whole = here.control("view", "") == measure.WHOLE
    return {"steps": here.context if whole else measure.steps_shown(here.real, here.context)}


def story(config: ModelConfig, context: int, steps: int) -> None:
    """## Who shares

    Every head a square: as many keys and values as query heads, one for a group of them, and one for all."""
    show(charts.head_sharing(config.num_attention_heads, config.num_key_value_heads, config.head_dim))

    """## What each number of groups costs"""
    costs = measure.costs_by_kv_heads(config, context)
    show(charts.kv_head_costs(costs, context))
    show(costs)

    """## The cache grows

    A row for each layer, as high as its keys and values take bytes: a sliding layer stops at its window."""
    show(charts.cache_film(measure.cache_growth(config, steps)))
