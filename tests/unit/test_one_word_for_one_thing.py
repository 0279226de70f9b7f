"""On the screen one thing has one name: what the other names are, and that no text of the app uses them."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*ROOT.glob("pages/*.py"), *ROOT.glob("gptoss/app/*.py"), *ROOT.glob("gptoss/charts/*.py"),
                  *ROOT.glob("gptoss/lessons/**/*.py"), *ROOT.glob("gptoss/exercises/**/*.py")])
# What is said, and what is not said for it.
SAID = {
    "KV group; one KV head a group": r"\bKV heads\b|^KV head$|\b[Kk]ey[/-]value heads?\b|\bkey and value heads?\b",
    "active experts": r"\b(?:activated|selected) experts\b",
    "sliding layer": r"\b(?:local|windowed|sliding[- ]window) layers?\b",
    "full layer": r"\b(?:global|full[- ]attention|unwindowed) layers?\b",
    "hidden size": r"\b(?:model|embedding) (?:dimension|width)\b|\bhidden dimension\b",
    "learned": r"\blearnt\b",
    "mixture of experts": r"\bMoE\b",
}


@cache
def texts(path):
    """The strings of a file that may come to the screen, with their lines: no docstrings, and nothing of one word."""
    found, tree = [], ast.parse(path.read_text(encoding="utf-8"))
    silent = {id(node.body[0].value) for node in ast.walk(tree)
              if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body
              and isinstance(node.body[0], ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent and " " in node.value:
            found.append((node.lineno, node.value))
    return found


@pytest.mark.parametrize("name", SAID)
def test_no_text_of_the_app_says_it_otherwise(name):
    found = [f"{path.relative_to(ROOT)}:{line}: {match[0]}" for path in SOURCES for line, text in texts(path)
             for match in re.finditer(SAID[name], text)]
    assert not found, f"say “{name}” instead"
