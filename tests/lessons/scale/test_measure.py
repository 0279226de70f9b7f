"""Tables of training at scale: the rule of thumb by part, batches, the schedule's ends, and a step weighed to the byte."""

import pytest

from gptoss.config import PRESETS
from gptoss.cost import Layout, learning_rate, rule_of_thumb, scale_model
from gptoss.cost.activations import FUSED
from gptoss.lessons.scale.measure import (
    CURVE_POINTS,
    FLOOR,
    Setting,
    activations_off,
    compared,
    possible_batch,
    schedule,
    state_off,
    thumb_flops,
    weighed_step,
)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_rule_of_thumb_by_part_adds_up_to_six_flops_an_active_parameter(preset):
    assert sum(thumb_flops(PRESETS[preset]).values()) == rule_of_thumb(PRESETS[preset])


@pytest.mark.parametrize(("wanted", "batch", "steps"), [(2**19, 2**19, 4), (2**19 + 1, 2**19, 4), (1, 2**17, 1)])
def test_a_batch_is_a_whole_number_of_micro_steps(wanted, batch, steps):
    setting = Setting(Layout(8), micro_batch=16, sequence=1024, keep=FUSED, gradients="bf16")
    tokens, accumulation, refusal = possible_batch(setting, wanted)
    assert (tokens, accumulation) == (batch, steps) and bool(refusal) == (wanted != batch)


@pytest.mark.parametrize(("steps", "warmup"), [(19_073, 715), (3, 3), (1, 0)])
def test_the_schedule_is_drawn_from_its_first_step_to_its_last_by_way_of_its_peak(steps, warmup):
    points = dict(schedule(steps, warmup, 6e-4))
    assert min(points) == 0 and max(points) == steps - 1 and len(points) <= CURVE_POINTS + 2
    assert max(points.values()) == points[max(warmup, 1) - 1]
    assert all(rate == learning_rate(step, steps, 6e-4, warmup, FLOOR) for step, rate in points.items())


def test_a_step_weighs_what_the_closed_forms_say():
    config = scale_model(PRESETS["classroom"])
    step = weighed_step(config, seed=1)
    assert state_off(config, step) == 0 and not any(activations_off(config, step).values())
    table = compared(config, step).set_index("part")
    assert table.loc["weights", "measured"] == table.loc["weights", "predicted"] == step.weights
    assert table.loc["optimizer states", "measured"] - table.loc["optimizer states", "predicted"] == step.step_counters
