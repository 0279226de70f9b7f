"""What a learner takes away: a file for each exercise, and notebooks. Text only: nothing of it runs here."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from html import escape

from gptoss import ipynb
from gptoss.exercises.catalogue import EXERCISES
from gptoss.exercises.exercise import PREAMBLE, Exercise
from gptoss.ipynb import NotebookCell
from gptoss.units import plural

FOLDER = "my_gptoss"  # what a learner's folder is called unless told otherwise
STUB, CHECK = "stub", "check"  # how the ids of an exercise's code cells end
# The cell with which a notebook begins. A `repository` that is not "." is on the machine on which the notebook was written.
_START = """\
import importlib.util
import sys

sys.path.insert(0, {repository!r})  # the folder of the repository, in which app.py is
if importlib.util.find_spec("gptoss") is None:
    raise ModuleNotFoundError("Put this file into the folder of the repository, beside app.py.")

from gptoss.exercises.learner import check, hint, solution, together

"""


def code_file(exercise: Exercise, folder: str = FOLDER) -> str:
    """A learner's file in a folder: the story, how to check it, and the stub to fill in."""
    return (f'"""{exercise.title}.\n\n{exercise.story}\n\nIn the folder of the repository:\n\n'
            f"python -m gptoss.exercises check {folder}/{exercise.file}\npython -m gptoss.exercises hint {exercise.name}\n"
            f'"""\n\n{PREAMBLE}\n\n{exercise.stub}')


def folder_files(folder: str = FOLDER) -> dict[str, str]:
    """A folder of all exercises: file name -> content."""
    return {exercise.file: code_file(exercise, folder) for exercise in EXERCISES.values()}


def folder_zip() -> bytes:
    """The same as one file to download."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in folder_files().items():
            # A fixed date, so that the same exercises are the same file.
            archive.writestr(zipfile.ZipInfo(f"{FOLDER}/{name}", (2026, 1, 1, 0, 0, 0)), content)
    return data.getvalue()


def notebook(exercises: Sequence[Exercise] = tuple(EXERCISES.values()), repository: str = ".") -> str:
    """One notebook: of each exercise the story, the stub, hints in folds, and a cell that checks.

    `repository` is where the project is; a notebook that holds all exercises ends by putting the parts together.
    """
    cells = [NotebookCell("welcome", _welcome(exercises)),
             NotebookCell("start", _START.format(repository=repository) + PREAMBLE.rstrip(), is_code=True)]
    for exercise in exercises:
        cells += [NotebookCell(f"{exercise.name}-{kind}", words, kind in (STUB, CHECK))
                  for kind, words in _cells(exercise).items()]
    if len(exercises) == len(EXERCISES):
        parts = ", ".join(f"{exercise.name}={exercise.function}" for exercise in exercises)
        cells += [NotebookCell("ending", _ENDING), NotebookCell("together", f"together({parts})", is_code=True)]
    return ipynb.written(cells)


def _welcome(exercises: Sequence[Exercise]) -> str:
    minutes = sum(exercise.minutes for exercise in exercises)
    title = "Build GPT-OSS yourself" if len(exercises) > 1 else exercises[0].title
    return (f"# {title}\n\n{plural(len(exercises), 'exercise')}, about {minutes} minutes. Each has a story, a function to "
            "write, three hints that you open one by one, and a cell that compares your function with the one that runs in "
            "the dashboard. What you need is imported by the next cell: run it first. "
            f"`hint({exercises[0].name!r}, 1)` prints a hint too, and `solution({exercises[0].name!r})` a way to write that "
            "one.")


_ENDING = """\
# Your GPT-OSS

Run the cells of all exercises first, also of those that you left empty. Then run this one: your parts become one model,
which reads the trained weights of *classroom*, the smallest trained model of the dashboard, and is compared with ours.
What you have not written yet is ours."""


def _cells(exercise: Exercise) -> dict[str, str]:
    """The cells of one exercise by the end of their id."""
    return {
        "story": f"## {exercise.title}\n\n*{exercise.difficulty}, about {exercise.minutes} minutes*\n\n{exercise.story}",
        STUB: exercise.stub.rstrip(),
        "hints": "\n\n".join(_fold(number, words) for number, words in enumerate(exercise.hints, 1)),
        CHECK: f"check({exercise.name!r}, {exercise.function})",
    }


def _fold(number: int, words: str) -> str:
    """A hint that opens with a click. Inside HTML, Markdown's backquotes mean nothing: code is marked by hand."""
    pieces = [escape(piece, quote=False) for piece in words.split("`")]
    shown = "".join(f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces))
    return f"<details><summary>Hint {number}</summary>{shown}</details>"
