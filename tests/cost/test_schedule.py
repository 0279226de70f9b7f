"""The learning rate against torch's own schedulers, and at the places where it can be told by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from gptoss.cost import learning_rate


def rates_by_torch(steps, peak, warmup, floor):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    rise = LinearLR(optimizer, 1 / warmup, 1.0, total_iters=warmup - 1)
    fall = CosineAnnealingLR(optimizer, steps - warmup, eta_min=floor * peak)
    schedule = SequentialLR(optimizer, [rise, fall], [warmup - 1])
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize(("steps", "warmup"), [(100, 10), (300, 2), (7, 3), (50, 49)])
def test_every_step_is_torchs(steps, warmup):
    ours = [learning_rate(step, steps, 3e-4, warmup, 0.1) for step in range(steps)]
    assert ours == pytest.approx(rates_by_torch(steps, 3e-4, warmup, 0.1))


@given(steps=st.integers(2, 500), data=st.data(), peak=st.floats(1e-6, 1), floor=st.floats(0, 1))
def test_it_rises_to_the_peak_and_falls_to_the_floor(steps, data, peak, floor):
    warmup = data.draw(st.integers(0, steps - 1))
    rates = [learning_rate(step, steps, peak, warmup, floor) for step in range(steps)]
    top = max(warmup, 1) - 1
    assert rates[top] == pytest.approx(peak) and rates[-1] == pytest.approx(floor * peak)
    assert rates[:top + 1] == sorted(rates[:top + 1])
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in zip(rates[top:], rates[top + 1:], strict=False))
    assert rates[0] == pytest.approx(peak / warmup if warmup else peak)


def test_halfway_down_the_cosine_is_halfway_between_peak_and_floor():
    assert learning_rate(59, 110, 1.0, 10, 0.1) == pytest.approx(0.55)


def test_runs_of_one_step_and_runs_that_only_warm_up():
    assert learning_rate(0, 1, 0.5, 0, 0.1) == learning_rate(0, 1, 0.5, 1, 0.1) == 0.5
    assert [learning_rate(step, 4, 1.0, 4, 0.1) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(("arguments", "words"), [
    ((-1, 10, 1.0, 0, 0.1), "step=-1"), ((10, 10, 1.0, 0, 0.1), "step=10 .* 0 to 9"), ((0, 0, 1.0, 0, 0.1), "steps=0"),
    ((0, 10, 1.0, 11, 0.1), "warmup=11 .*steps=10"), ((0, 10, 1.0, -1, 0.1), "warmup=-1"),
    ((0, 10, 0.0, 0, 0.1), "peak=0.0"), ((0, 10, float("nan"), 0, 0.1), "peak=nan"),
    ((0, 10, 1.0, 0, 1.1), "floor=1.1"), ((0.5, 10, 1.0, 0, 0.1), "step=0.5"),
])
def test_impossible_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        learning_rate(*arguments)
