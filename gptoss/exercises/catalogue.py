"""All exercises, in the order in which a model comes together."""

from __future__ import annotations

from gptoss.exercises.exercise import Exercise
from gptoss.exercises.tasks.accounting import MEMORY, PARAMETERS
from gptoss.exercises.tasks.attention import ATTENTION, SINKS, WINDOW
from gptoss.exercises.tasks.cache import CACHE
from gptoss.exercises.tasks.experts import EXPERTS, ROUTER, SWIGLU
from gptoss.exercises.tasks.harmony import HARMONY
from gptoss.exercises.tasks.mxfp4 import MXFP4, PACK
from gptoss.exercises.tasks.norm import RMSNORM
from gptoss.exercises.tasks.positions import ROPE, YARN
from gptoss.exercises.tasks.sampling import SAMPLING
from gptoss.exercises.tasks.training import TRAINING

EXERCISES: dict[str, Exercise] = {exercise.name: exercise for exercise in (
    RMSNORM, ROPE, YARN, ATTENTION, WINDOW, SINKS, ROUTER, SWIGLU, EXPERTS, CACHE, MXFP4, PACK, SAMPLING, HARMONY, TRAINING,
    PARAMETERS, MEMORY)}


def find(name: str) -> Exercise:
    """The exercise called `name`. Raises `ValueError` that lists all names for any other."""
    if name not in EXERCISES:
        raise ValueError(f"There is no exercise {name!r}; there are: {', '.join(EXERCISES)}.")
    return EXERCISES[name]


def of_page(path: str) -> list[Exercise]:
    """Those about what the page with this address shows."""
    return [exercise for exercise in EXERCISES.values() if path in exercise.pages]
