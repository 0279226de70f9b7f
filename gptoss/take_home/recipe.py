"""A page's recipe read as cells: the function that draws the page's pictures is the notebook's code.

A recipe is the file `notebook.py` in a page's folder. Its docstring is the introduction; the body of its function `story`
is the code, in which each string that stands alone begins a new cell, with the string above it as text. The parameters of
`story` are what the cells need: names that `gptoss.take_home.files` sets up for every page, and those that the recipe's
function `values` gives.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from gptoss import syntax
from gptoss.take_home.here import Here

_ELSEWHERE = {"claims": "gptoss.claims.notebook"}  # the register imports every lesson, so no lesson can import it


class Cell(NamedTuple):
    """Text in Markdown, and the code that follows it. Either can be empty."""

    words: str
    code: str = ""


@dataclass(frozen=True)
class Recipe:
    """What one page takes home: an introduction, the imports, the names that must be there before, and the cells."""

    introduction: str
    imports: tuple[str, ...]
    needs: tuple[str, ...]
    cells: tuple[Cell, ...]


def values_of(here: Here) -> Mapping[str, object]:
    """What the page's own controls say, by the names that its story knows them under."""
    return _module(here.path).values(here)


@lru_cache(maxsize=64)
def recipe_of(path: str) -> Recipe:
    """The recipe of the page with this address. Raises `ModuleNotFoundError` where it has none."""
    module = _module(path)
    source = syntax.source_of(module)
    tree = syntax.parse(source)
    story = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "story")
    used = {node.id for statement in story.body for node in ast.walk(statement) if isinstance(node, ast.Name)}
    return Recipe(inspect.cleandoc(module.__doc__), tuple(_imports(tree, used)),
                  tuple(argument.arg for argument in story.args.args), tuple(_cells(story, source.splitlines())))


def _module(path: str):
    return importlib.import_module(_ELSEWHERE.get(path, f"gptoss.lessons.{path}.notebook"))


def _imports(tree: ast.Module, used: set[str]) -> Iterator[str]:
    """The imports of names that the story uses."""
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [name for name in node.names if (name.asname or name.name).split(".")[0] in used]
            if names:
                yield ast.unparse(type(node)(**{**vars(node), "names": names}))


def _cells(story: ast.FunctionDef, lines: list[str]) -> Iterator[Cell]:
    """The body cut at its strings. Comments and empty lines stay with the code that they stand in."""
    marks = [node for node in story.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
             and isinstance(node.value.value, str)]
    ends = [mark.lineno - 1 for mark in marks[1:]] + [story.end_lineno]
    for mark, end in zip(marks, ends, strict=True):
        code = textwrap.dedent("\n".join(lines[mark.end_lineno:end])).strip()
        yield Cell(inspect.cleandoc(mark.value.value), code)
