"""The foot of a page: the way on and back, and the component's place in the model. What its links keep is for a browser."""

import re
from html import unescape

import pytest
from reader import assert_fine, move, open_page

from gptoss.app import route
from gptoss.app.book import PAGES


def foot(at):
    return next(html.proto.body for html in at.get("html") if "way-foot" in html.proto.body)


def links(html):
    """What is linked, by its words."""
    found = re.findall(r'<a class="way[^"]*" href="([^"]*)"[^>]*>([^<]*)</a>', html)
    return {unescape(words): href for href, words in found}


@pytest.mark.parametrize("path", ["start", "block", "claims"])
def test_the_foot_leads_on_and_back_and_says_where_one_is(path):
    at = open_page(f"pages/{path}.py")
    assert_fine(at)
    found = links(foot(at))
    before, after = route.previous(path), route.next(path)
    assert not before or found[f"← {before.title}"] == ("./" if before is PAGES[0] else f"./{before.path}")
    assert not after or found[f"{after.title} →"] == f"./{after.path}"
    assert route.where(path) in foot(at)


def test_a_component_is_marked_on_the_map_and_every_other_one_is_a_link():
    at = open_page("pages/gqa.py")
    here = foot(at).split('class="way-map"')[1].split("</nav>")[0]
    assert '<b aria-current="page">Grouped queries</b>' in here
    assert len(links(here)) == 9 and {"Tokenizer", "Attention", "Experts", "Sampling"} <= links(here).keys()
    assert 'class="way-map"' not in foot(open_page("pages/training.py"))


def test_the_foot_stays_as_it_is_when_a_dial_moves():
    at = open_page("pages/gqa.py", preset="gpt-oss-20b")
    before = foot(at)
    move(at, "heads", -1)
    assert foot(at) == before


def test_the_way_on_is_there_where_a_page_has_failed(monkeypatch):
    monkeypatch.setattr("gptoss.app.pictures.show_drawing", None)
    at = open_page("pages/start.py")
    assert at.exception and "Tokenizer →" in links(foot(at))
