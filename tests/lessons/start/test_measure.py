"""The figures that say why GPT-OSS matters, against published ones and another computation."""

from gptoss.config import PRESETS
from gptoss.cost import MACHINES, Load, checkpoint_bytes, kv_cache_bytes, tokens_per_second
from gptoss.lessons.start.measure import CONTEXT, FIRST, MODELS, UNDER_STUDY, first_shown, reasons


def test_figures_are_those_that_openai_published():
    why = reasons()
    assert f"{why.total / 1e9:.0f} {why.active / 1e9:.1f} {why.bytes / 2**30:.1f}" == "21 3.6 12.8"


def test_the_laptop_is_the_smallest_that_keeps_the_weights_and_a_cache():
    why, config = reasons(), PRESETS[FIRST]
    needed = checkpoint_bytes(config) + kv_cache_bytes(config, CONTEXT)
    laptops = {machine.memory for machine in MACHINES if "laptop" in machine.kind}
    assert why.laptop.memory == min(memory for memory in laptops if memory >= needed)
    assert why.speed == tokens_per_second(config, Load(context=CONTEXT), why.laptop)


def test_a_small_model_under_study_stands_behind_gpt_oss():
    assert first_shown(PRESETS["classroom"]) == FIRST
    assert first_shown(PRESETS["gpt-oss-120b"]) == UNDER_STUDY
    assert {name for name in MODELS if name != UNDER_STUDY} <= PRESETS.keys()
