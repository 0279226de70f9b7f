"""Prose and code that every machine has: the docstrings and sources of the running Python's own standard library."""

from __future__ import annotations

import ast
import functools
import sysconfig
import warnings
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from gptoss import syntax

PROSE, CODE = LIBRARY = "prose", "code"

_LEFT_OUT = {"test", "tests", "site-packages", "dist-packages", "idlelib", "lib2to3", "turtledemo", "ensurepip"}
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_BLOCKS = "body", "handlers", "orelse", "finalbody", "cases"  # what of a statement holds others, in the parser's order


@functools.cache
def source_files() -> tuple[Path, ...]:
    """The library's modules in order, those of its packages too; none where Python came without its sources."""
    root = Path(sysconfig.get_path("stdlib"))
    paths = (path for pattern in ("*.py", "*/*.py") for path in root.glob(pattern))
    return tuple(sorted(path for path in paths if not _LEFT_OUT.intersection(path.relative_to(root).parts)))


def texts_of(path: Path) -> dict[str, list[str]]:
    """The texts of one module by kind: every docstring, and the source of every function and class without docstrings.

    A module that cannot be read or parsed has none.
    """
    try:
        source = path.read_text(encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the library's own sources are warned of is no concern of ours
            tree = syntax.parse(source)
    except (OSError, ValueError, SyntaxError):
        return {PROSE: [], CODE: []}
    documented = [node for node in _statements(tree) if isinstance(node, (ast.Module, *_DEFINITIONS))
                  and ast.get_docstring(node)]
    without = {line for node in documented for line in range(node.body[0].lineno, node.body[0].end_lineno + 1)}
    lines = source.split("\n")  # as the parser counts them: a form feed ends no line
    code = ["\n".join(lines[number - 1] for number in range(node.lineno, node.end_lineno + 1) if number not in without)
            for node in tree.body if isinstance(node, _DEFINITIONS)]
    return {PROSE: [ast.get_docstring(node) for node in documented], CODE: code}


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """The module and every statement in it, in the order of `ast.walk`, which also looks into expressions."""
    coming = deque([tree])
    while coming:
        node = coming.popleft()
        yield node
        for block in _BLOCKS:
            coming.extend(getattr(node, block, ()))
