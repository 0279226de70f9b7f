"""What the address keeps: every control that is bound to it is declared with its page, and nothing else is."""

import re
from pathlib import Path

import pytest
from page_controls import show, views
from reader import open_page
from streamlit.runtime.state.query_params import QueryParams

from gptoss.app.book import ALL_PAGES, SHARED_KEYS, TABS
from gptoss.app.study import DIALS

ROOT = Path(__file__).parents[2]


def sources(page):
    """The program text of a page and its folder."""
    files = [ROOT / f"pages/{page.file}", *(ROOT / f"gptoss/lessons/{page.path}").rglob("*.py")]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


@pytest.fixture
def bound(monkeypatch):
    """Every key that Streamlit is asked to keep in the address."""
    keys, bind = set(), QueryParams.bind_widget
    monkeypatch.setattr(QueryParams, "bind_widget",
                        lambda params, param_key, **rest: keys.add(param_key) or bind(params, param_key, **rest))
    return keys


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.path)
def test_a_page_binds_what_it_declares(page, bound):
    at = open_page(f"pages/{page.file}", preset="classroom")
    switch, options = views(at, page.path)
    for view in options:
        show(at, switch, view)
    assert bound - {*page.controls, *SHARED_KEYS} == set(), "not declared in gptoss/app/book.py"
    names = {key: key.removeprefix(f"{page.path}_") for key in page.controls if key != f"{page.path}_{TABS}"}
    program = sources(page)
    unused = {key for key, name in names.items() if key not in bound and not re.search(rf"[\"_}}]{name}\"", program)}
    assert not unused, "declared, but no control has it"


def test_no_key_has_two_meanings():
    keys = [key for page in ALL_PAGES for key in page.controls]
    assert len(keys) == len(set(keys)) and not set(keys) & {*SHARED_KEYS, *DIALS, "preset", "pinned", "text", "sample"}
    assert all(key.startswith(f"{page.path}_") for page in ALL_PAGES for key in page.controls
               if not (page.bare and not key.endswith(TABS)))


def test_what_the_address_keeps_is_read_by_one_rule():
    programs = [path for folder in ("gptoss", "pages") for path in (ROOT / folder).rglob("*.py")]
    own = [str(path.relative_to(ROOT)) for path in programs if '"query-params"' in path.read_text(encoding="utf-8")]
    assert own == ["gptoss/app/kept.py"], "draw it by gptoss.app.kept, which names what an address says and cannot be done"
