"""Learning curves: fits and slopes against curves that are known."""

import numpy as np
import pytest

from gptoss.lessons.training.measure import nearest_decay, noise, steepest


def test_a_decay_is_found_again():
    steps = np.arange(0, 500, 25)
    losses = 2.5 + 5.5 * np.exp(-steps / 80)
    found = nearest_decay(steps, losses)
    assert found.low == pytest.approx(2.5, abs=0.02)
    assert found.height == pytest.approx(5.5, abs=0.05)
    assert found.scale == pytest.approx(80, rel=0.03)
    np.testing.assert_allclose(found.fitted, losses, atol=0.03)


def test_no_decay_follows_a_cliff():
    steps = np.arange(0, 500, 25)
    losses = np.where(steps < 300, 5.0, 3.0)
    assert np.abs(nearest_decay(steps, losses).fitted - losses).max() > 0.4


def test_the_steepest_part_counts_steps_and_not_moments():
    steps, losses = np.array([0, 10, 20, 120]), np.array([8.0, 7.0, 4.0, 0.0])
    assert steepest(steps, losses) == (10, 20)


def test_noise_is_that_of_the_draws_and_does_not_see_a_slow_fall():
    draws = np.random.default_rng(0).normal(scale=0.3, size=4000)
    assert noise(draws) == pytest.approx(0.3, rel=0.05)
    assert noise(draws - np.linspace(0, 5, 4000)) == pytest.approx(0.3, rel=0.05)
    assert np.isnan(noise(draws[:1]))


@pytest.mark.parametrize("points", [0, 1, 2])
def test_too_few_points_are_refused(points):
    with pytest.raises(ValueError, match="too few for a decay"):
        nearest_decay(np.arange(points), np.zeros(points))
    if points < 2:
        with pytest.raises(ValueError, match="no slope"):
            steepest(np.arange(points), np.zeros(points))
