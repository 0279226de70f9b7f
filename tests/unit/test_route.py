"""The way through the pages."""

import pytest

from gptoss.app import route
from gptoss.app.book import BOOK, PAGES


def test_one_way_leads_from_the_first_page_through_all_to_the_last_and_back():
    forward = [PAGES[0]]
    while route.next(forward[-1].path):
        forward.append(route.next(forward[-1].path))
    assert tuple(forward) == PAGES
    back = [PAGES[-1]]
    while route.previous(back[-1].path):
        back.append(route.previous(back[-1].path))
    assert tuple(reversed(back)) == PAGES


def test_where_counts_from_one_and_names_the_section():
    assert route.where("start") == f"1 of {len(PAGES)} · GPT-OSS, live"
    assert route.where("attention") == f"4 of {len(PAGES)} · Components · Attention"
    assert route.where(PAGES[-1].path).startswith(f"{len(PAGES)} of {len(PAGES)} · ")
    assert all(page in BOOK[route.section(page.path)] for page in PAGES)


def test_what_a_page_presupposes_is_a_page_before_it():
    needed = {page.path: route.needed(page.path) for page in PAGES}
    assert needed["start"] is None and needed["attention"].path == "block"
    for path, page in needed.items():
        assert page is None or PAGES.index(page) < PAGES.index(route.page_at(path)), path


def test_an_unknown_address_is_no_place_on_the_way():
    with pytest.raises(KeyError):
        route.next("nowhere")
