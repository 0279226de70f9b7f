"""Running a learner's function on every case of its exercise, and saying in a sentence what is wrong with it.

Only on the learner's own machine: the app does not import this.
"""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gptoss.exercises.compare import difference
from gptoss.exercises.exercise import Case, Exercise, Mistake
from gptoss.units import plural

PASSED, UNWRITTEN, WRONG = "passed", "not written yet", "wrong"


@dataclass(frozen=True)
class Result:
    """What came out of a check.

    Attributes:
        exercise: what was checked.
        state: PASSED, UNWRITTEN or WRONG.
        sentence: what to tell the learner.
        mistake: the name of the mistake that was recognised, or nothing.
    """

    exercise: Exercise
    state: str
    sentence: str
    mistake: str = ""


def check(exercise: Exercise, target: Callable) -> Result:
    """Compare a learner's function, or class, with ours on every case."""
    cases = exercise.cases()
    for case in cases:
        try:
            given, changed = _answer(exercise, target, case)
        except NotImplementedError:
            return Result(exercise, UNWRITTEN, f"{exercise.function} is not written yet: it raises NotImplementedError.")
        except (Exception, SystemExit) as error:
            return Result(exercise, WRONG, f"On the case “{case.label}” {stopped(error, target)}.")
        differs = difference(exercise.ours(*case.arguments), given, exercise.parts)
        if differs:
            mistake = _recognised(exercise, target, given, case, cases)
            explained = f"{mistake.name}. {mistake.why}\n" if mistake else ""
            return Result(exercise, WRONG, f"{explained}On the case “{case.label}”: {differs}",
                          mistake.name if mistake else "")
        if changed:
            return Result(exercise, WRONG, f"On the case “{case.label}” {exercise.function} changes what it was given "
                                           f"(argument {changed}): others still need that. Make a new tensor.")
    return Result(exercise, PASSED, f"{exercise.function} agrees with ours on {plural(len(cases), 'case')}.")


@torch.no_grad()
def _answer(exercise: Exercise, target: Callable, case: Case) -> tuple[object, int]:
    """What `target` makes of a case, and the number of the first argument that it has changed, from 1, or 0."""
    arguments = copy.deepcopy(case.arguments)
    answer = exercise.ask(target, *arguments)
    if exercise.changes_arguments:
        return answer, 0
    pairs = enumerate(zip(arguments, case.arguments, strict=True), 1)
    return answer, next((number for number, (now, before) in pairs
                         if isinstance(now, Tensor) and not torch.equal(now, before)), 0)


def _recognised(exercise: Exercise, target: Callable, given: object, first: Case, cases: Sequence[Case]) -> Mistake | None:
    """The mistake that gives what `target` gives: on every case, or, if only one does so on the first that differs, that."""
    alike = [mistake for mistake in exercise.mistakes if _same(exercise, mistake, first, given)]
    for mistake in alike:
        if all(_same(exercise, mistake, case, _answer_or_error(exercise, target, case)) for case in cases):
            return mistake
    return alike[0] if len(alike) == 1 else None


def _same(exercise: Exercise, mistake: Mistake, case: Case, given: object) -> bool:
    expected = _answer_or_error(exercise, mistake.function, case)
    if isinstance(expected, Exception) or isinstance(given, Exception):
        return type(expected) is type(given)
    return not difference(expected, given, exercise.parts)


def _answer_or_error(exercise: Exercise, target: Callable, case: Case) -> object:
    try:
        return _answer(exercise, target, case)[0]
    except Exception as error:
        return error


def stopped(error: BaseException, *targets: Callable) -> str:
    """What an exception was, and on which of the learner's own lines."""
    name, said = type(error).__name__, str(error).strip().partition("\n")[0].rstrip(".")
    where = _line(error, targets)
    return f"it stopped{f' in {where}' if where else ''} with {name}{f': {said}' if said else ''}"


def _line(error: BaseException, targets: Sequence[Callable]) -> str:
    """The last of the learner's own lines on the way to an exception, or nothing where it came before any."""
    functions = [function for target in targets
                 for function in ([target] if hasattr(target, "__code__") else vars(target).values())]
    files = {function.__code__.co_filename for function in functions if hasattr(function, "__code__")}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    if not frames:
        return ""
    file = Path(frames[-1].filename)
    return f"line {frames[-1].lineno} of {file.name if file.is_file() else 'the cell'}"
