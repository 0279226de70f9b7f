"""What a learner calls, in a notebook or by `python -m gptoss.exercises`: check, hint, solution, together.

This runs the learner's code, and therefore only on the learner's own machine: the app does not import this.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

from gptoss.exercises import check as checking
from gptoss.exercises.catalogue import EXERCISES, find
from gptoss.exercises.check import PASSED, Result
from gptoss.exercises.together import put_together

SIGNS = {PASSED: "✓", checking.UNWRITTEN: "·", checking.WRONG: "✗"}


class Unreadable(Exception):
    """A learner's file cannot be used. The message says which and why."""


def check(name: str, function: Callable) -> None:
    """Say whether a function does what the exercise `name` asks for."""
    print(in_words(checking.check(find(name), function)))


def hint(name: str, number: int = 1) -> None:
    """Say one of the three hints of an exercise; the third gives most away."""
    print(hint_in_words(name, number, "hint({!r}, {})", "solution({!r})"))


def solution(name: str) -> None:
    """Print a way to write it."""
    print(find(name).solved)


def together(**parts: Callable) -> None:
    """Put the parts together, each under the name of its exercise, and run the trained weights."""
    for name in parts:
        find(name)
    print(put_together(parts).sentence)


def in_words(result: Result) -> str:
    """A result on a line or two."""
    return f"{SIGNS[result.state]} {result.exercise.name}: {result.sentence}"


def hint_in_words(name: str, number: int, call: str, end: str) -> str:
    """One hint, and how to get the next, or the solution. Raises `ValueError` for a number that there is not."""
    hints = find(name).hints
    if not 1 <= number <= len(hints):
        raise ValueError(f"There is no hint {number} of {name}; there are: 1 to {len(hints)}.")
    last = number == len(hints)
    more = f"The last one. Then: {end.format(name)}" if last else f"The next one: {call.format(name, number + 1)}"
    return f"Hint {number} of {len(hints)}: {hints[number - 1]}\n{more}"


def load(file: Path, name: str) -> Callable:
    """What a learner wrote for an exercise in a file. Raises `Unreadable`; the file's own code runs."""
    wanted = find(name).function
    if not file.is_file():
        raise Unreadable(f"There is no file {file}.")
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location(f"learners_{name}", file))
    try:
        module.__spec__.loader.exec_module(module)
    except SyntaxError as error:
        raise Unreadable(f"Line {error.lineno} of {file.name} is no Python: {error.msg}.") from error
    except (Exception, SystemExit) as error:
        lines = [line for code, line in _lines(error) if code == str(file)]
        where = f"Line {lines[-1]} of {file.name}" if lines else file.name
        raise Unreadable(f"{where} stopped with {type(error).__name__}: {error}.") from error
    if not callable(getattr(module, wanted, None)):
        raise Unreadable(f"{file.name} has no {wanted}: keep the name that the stub had.")
    return getattr(module, wanted)


def _lines(error: BaseException) -> Iterator[tuple[str, int]]:
    trace = error.__traceback__
    while trace:
        yield trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next


def results(folder: Path) -> Iterator[tuple[str, Result | str]]:
    """Name of each exercise that has a file in a folder -> what came of its check, or why its file cannot be used."""
    for name, exercise in EXERCISES.items():
        if (folder / exercise.file).exists():
            try:
                yield name, checking.check(exercise, load(folder / exercise.file, name))
            except Unreadable as why:
                yield name, str(why)


def parts_of(folder: Path) -> dict[str, Callable]:
    """All that can be loaded from a folder, by the name of the exercise."""
    parts = {}
    for name, exercise in EXERCISES.items():
        if (folder / exercise.file).exists():
            parts[name] = load(folder / exercise.file, name)
    return parts
