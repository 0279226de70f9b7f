"""What a command line is given, looked at before work begins: files of a bounded size, and a run that memory can hold."""

from __future__ import annotations

import os
from bisect import bisect_right
from pathlib import Path

from gptoss.checkpoint.room import available_bytes
from gptoss.config import GPT2Config, ModelConfig
from gptoss.training.contest import activations_needed, state_needed
from gptoss.training.corpus import SHORTEST
from gptoss.training.recipe import Recipe
from gptoss.units import size

WORKERS_A_CORE = 4  # processes that prepare documents; more of them only wait for each other, and each takes memory


def require_file(path: Path, option: str, most: int | None = None) -> None:
    """Raise `ValueError` that names the option where there is no such file, of `most` bytes where that is bounded.

    What is no file, such as a pipe into which nobody writes, would be waited for without an end.
    """
    try:
        if not path.is_file():
            raise ValueError(f"{option} {path}: there is no such file")
        if most is not None and path.stat().st_size > most:
            raise ValueError(f"{option} {path} has {path.stat().st_size:,} bytes; allowed: {most:,} at most")
    except OSError as error:
        raise ValueError(f"{option} {path} cannot be read: {error.strerror}") from None


def require_workers(workers: int) -> None:
    """Raise `ValueError` for more processes than the machine's cores could keep busy."""
    most = WORKERS_A_CORE * (os.cpu_count() or 1)
    if workers > most:
        raise ValueError(f"--workers {workers} are too many for this machine; allowed: {most} at most")


def require_memory(config: ModelConfig | GPT2Config, recipe: Recipe) -> None:
    """Raise `ValueError`, before anything is made, for a run in float32 on the CPU that is beyond the memory that is free.

    The closed forms say what a step keeps at least, so that nothing is refused that would have gone. The sentence names the
    longest documents that such batches could have.
    """
    available = available_bytes()
    if available is None or (needed := _needed(config, recipe)) <= available:
        return
    fitting = bisect_right(range(SHORTEST, recipe.length), available,
                           key=lambda length: _needed(config, recipe.replace(length=length)))
    longest = f"documents of {SHORTEST + fitting - 1:,} tokens are the longest that fit in such batches" if fitting else (
        "not even the shortest documents fit in such batches")
    raise ValueError(f"--batch {recipe.batch} --length {recipe.length}: a step of this model would keep {size(needed)}, and "
                     f"{size(available)} of memory are free; {longest}, and more --accumulation takes less")


def _needed(config: ModelConfig | GPT2Config, recipe: Recipe) -> int:
    return state_needed(config) + activations_needed(config, recipe)
