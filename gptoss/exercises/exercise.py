"""What an exercise is: story, stub, hints, solution, cases to check it on, and mistakes that are recognised."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gptoss import syntax

EASY, MEDIUM, HARD = DIFFICULTIES = ("easy", "medium", "hard")

# What every learner's file begins with, and all that a solution needs.
PREAMBLE = """\
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from gptoss import cost
from gptoss.config import ModelConfig
"""


@dataclass(frozen=True)
class Case:
    """Arguments on which a learner's function is compared with ours, and what is special about them in a few words."""

    label: str
    arguments: tuple


@dataclass(frozen=True)
class Mistake:
    """A way to be wrong that the check recognises: its name, an explanation, and a function that makes it."""

    name: str
    why: str
    function: Callable


def call(target: Callable, *arguments: object) -> object:
    """The plain way to ask a learner's function."""
    return target(*arguments)


@dataclass(frozen=True)
class Exercise:
    """One function, or one class, for a learner to write.

    Attributes:
        name: what commands and files call it.
        title: what readers see.
        pages: addresses of the app's pages about it.
        difficulty: one of `DIFFICULTIES`.
        minutes: how long it takes somebody who knows torch.
        story: why the model needs it, in Markdown.
        hints: three, each giving more away than the one before.
        solution: a way to write it, with the learner's name and signature; its docstring is the stub's.
        ours: what the repository itself computes for the arguments of a case.
        cases: makes the cases afresh.
        mistakes: those that are recognised.
        parts: names of what is returned, where it is several things.
        ask: how a case's arguments are put to a function like the learner's.
        changes_arguments: whether it is meant to, as a training step changes its model.
    """

    name: str
    title: str
    pages: tuple[str, ...]
    difficulty: str
    minutes: int
    story: str
    hints: tuple[str, str, str]
    solution: Callable
    ours: Callable
    cases: Callable[[], Sequence[Case]]
    mistakes: tuple[Mistake, ...]
    parts: tuple[str, ...] = ()
    ask: Callable = call
    changes_arguments: bool = False

    @property
    def function(self) -> str:
        """The name that the learner's function or class has to have."""
        return self.solution.__name__

    @property
    def file(self) -> str:
        """The name of the learner's file."""
        return f"{self.name}.py"

    @property
    def solved(self) -> str:
        """The source of the solution."""
        return textwrap.dedent(syntax.source_of(self.solution))

    @property
    def stub(self) -> str:
        """The solution without what it does: signature, docstring, and an error that says it is not written yet."""
        lines = self.solved.splitlines()
        top = syntax.parse(self.solved).body[0]
        functions = [top] if isinstance(top, ast.FunctionDef) else [
            node for node in top.body if isinstance(node, ast.FunctionDef)]
        for node in reversed(functions):
            described = node.body[0]
            lines[described.end_lineno:node.end_lineno] = [" " * described.col_offset + "raise NotImplementedError"]
        return "\n".join(lines) + "\n"
