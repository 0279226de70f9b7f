"""Learning curves: fits and slopes against curves that are known."""

import numpy as np
import pandas as pd
import pytest

from gptoss.lessons.training import measure
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


@pytest.mark.parametrize(("losses", "floor", "shape"), [
    ([8, 1.05, 1.02, 1.01, 1.01, 1, 1], 1, measure.AT_ONCE), ([8, 7, 6, 5, 4, 3, 2], 1, measure.EVENLY),
    ([8, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 2], 1, measure.IN_STAGES),
    ([8, 7.9, 7.8, 7.8, 7.7, 7.7, 7.6], 1, measure.HARDLY),
    ([8, 5, 5, 5, 5, 5, 5], 1, measure.HARDLY)])
def test_the_shape_of_a_curve(losses, floor, shape):
    assert measure.shape_of(np.array(losses, dtype=float), floor) == shape


def test_repetition_alone_of_the_shipped_curves_has_a_plateau():
    floors = measure.shipped_floors("classroom")
    shapes = {domain: measure.shape_of(measure.shipped_curve("classroom", domain)[1], floors[domain])
              for domain in ("arithmetic", "brackets", "recall", "repetition")}
    assert [domain for domain, shape in shapes.items() if shape == measure.IN_STAGES] == ["repetition"]


def test_the_score_of_a_drawn_curve():
    standing = measure.shipped_standing("classroom")
    real = pd.DataFrame({"step": [*standing.evaluations],
                         "loss": [evaluation.loss for evaluation in standing.evaluations.values()]})
    assert measure.score(real, standing) == measure.Score(0.0, pytest.approx(measure.score(real, standing).flat))
    assert measure.score(real, standing).points == 100
    flat = real.assign(loss=real["loss"].iloc[0])
    assert measure.score(flat, standing).points == 0 == measure.score(flat.assign(loss=99.0), standing).points
    near = measure.score(real.assign(loss=real["loss"] + 0.5), standing)
    assert near.off == pytest.approx(0.5) and near.points == round(100 * (1 - 0.5 / near.flat))
    with pytest.raises(ValueError, match="nothing is drawn"):
        measure.score(real.assign(step=10**6), standing)
