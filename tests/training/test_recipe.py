"""Recipes: what is impossible is refused by name, and the schedule is that of the settings."""

import math

import pytest

from gptoss.cost import learning_rate
from gptoss.training.recipe import Recipe


@pytest.mark.parametrize(("changes", "words"), [
    ({"steps": 0}, "steps=0 is impossible; allowed: 1 or more"),
    ({"batch": 0}, "batch=0"),
    ({"length": -1}, "length=-1"),
    ({"accumulation": 0}, "accumulation=0"),
    ({"evaluate_every": 0}, "evaluate_every=0"),
    ({"batch": 16, "accumulation": 3}, "accumulation=3 is impossible; allowed: a divisor of batch=16"),
    ({"batch": 2, "accumulation": 4}, "allowed: a divisor of batch=2"),
    ({"warmup": -1}, "warmup=-1"),
    ({"steps": 10, "warmup": 11}, "warmup=11 is impossible; allowed: 0 to steps=10"),
    ({"peak": 0}, "peak=0 is impossible; allowed: a finite number above 0"),
    ({"peak": math.nan}, "peak=nan"),
    ({"peak": math.inf}, "peak=inf"),
    ({"clip": 0}, "clip=0"),
    ({"weight_decay": -0.1}, "weight_decay=-0.1 is impossible; allowed: 0 or a finite number above"),
    ({"balance": math.nan}, "balance=nan"),
    ({"floor": 1.1}, "floor=1.1 is impossible; allowed: 0 to 1"),
    ({"mxfp4_from": -0.1}, "mxfp4_from=-0.1"),
    ({"yarn_from": 2}, "yarn_from=2"),
    ({"beta1": 1.0}, "beta1=1.0 is impossible; allowed: 0 to below 1"),
    ({"beta2": -0.5}, "beta2=-0.5"),
    ({"seed": -1}, "seed=-1 is impossible; allowed: 0 or more"),
    ({"precision": "float16"}, "precision='float16' is impossible; allowed: float32 or bfloat16"),
])
def test_impossible_settings_are_refused_by_name(changes, words):
    with pytest.raises(ValueError, match=words):
        Recipe(**changes)
    if len(changes) == 1:
        with pytest.raises(ValueError, match=words):
            Recipe().replace(**changes)


@pytest.mark.parametrize("changes", [
    {"warmup": 0}, {"steps": 1, "warmup": 1}, {"floor": 0}, {"floor": 1}, {"weight_decay": 0}, {"mxfp4_from": 0},
    {"yarn_from": 1}, {"batch": 12, "accumulation": 12}, {"beta1": 0}, {"precision": "bfloat16"}])
def test_the_far_ends_are_allowed(changes):
    recipe = Recipe(**changes)
    assert {name: getattr(recipe, name) for name in changes} == changes


def test_the_default_recipe_has_the_schedule_and_the_tokens_of_its_settings():
    recipe = Recipe()
    assert recipe.learning_rate(77) == learning_rate(77, recipe.steps, recipe.peak, recipe.warmup, recipe.floor)
    assert recipe.tokens == 300 * 16 * 64
