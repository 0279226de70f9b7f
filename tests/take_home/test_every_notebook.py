"""Every page's notebook runs from top to bottom, as the page is at first and with dials and widgets moved."""

import ast

import pytest
from taken_home import MOVED, at, run

from gptoss.app.book import PAGES
from gptoss.charts import Chart
from gptoss.take_home.files import script
from gptoss.take_home.recipe import recipe_of

EVERY = pytest.mark.parametrize("path", MOVED)


def numbers(run):
    """All that a notebook showed, but for what never moves: the specifications of its charts."""
    return [thing.data.to_json() if isinstance(thing, Chart) else str(thing) for thing in run.shown], run.words


def test_no_page_is_forgotten():
    assert {page.path for page in PAGES} - MOVED.keys() == {"exercises"}


@EVERY
def test_it_runs_as_it_is_at_first_and_moved_and_shows_another_thing(path):
    dials, widgets = MOVED[path]
    first, moved = run(at(path)), run(at(path, widgets=widgets, **dials))
    assert len(first.shown) == len(moved.shown) >= 1
    assert numbers(first) != numbers(moved)


@EVERY
def test_every_cell_has_a_word_of_its_own_and_no_line_is_too_long_to_read(path):
    recipe = recipe_of(path)
    assert recipe.introduction and recipe.cells and all(cell.words and cell.code for cell in recipe.cells)
    assert all(len(line) <= 125 for line in script(at(path)).splitlines() if not line.startswith("#"))


@EVERY
def test_its_code_is_the_pages_own_and_takes_no_streamlit(path):
    modules = [node.module for node in ast.walk(ast.parse(script(at(path)))) if isinstance(node, ast.ImportFrom)]
    assert any(module.startswith(f"gptoss.lessons.{path}") for module in modules) or path == "build"
    assert not any(module.startswith(("streamlit", "gptoss.app")) for module in modules) or path == "claims"
