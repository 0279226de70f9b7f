"""The way through the pages."""

import pytest

from gptoss.app import route
from gptoss.app.book import BAR, BOOK, LECTURES, PAGES


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
    assert route.where("attention") == f"3 of {len(PAGES)} · Components · Attention"
    assert route.where(PAGES[-1].path).startswith(f"{len(PAGES)} of {len(PAGES)} · ")
    assert all(page in BOOK[route.section(page.path)] for page in PAGES)


def test_what_a_page_presupposes_is_a_page_before_it():
    needed = {page.path: route.needed(page.path) for page in PAGES}
    assert needed["start"] is None and needed["block"].path == "experts"
    for path, page in needed.items():
        assert page is None or PAGES.index(page) < PAGES.index(route.page_at(path)), path


def test_a_page_for_lecturers_is_found_and_is_no_step_of_the_way():
    assert route.find("lecture") not in PAGES and route.previous("lecture") is route.next("lecture") is None
    assert route.where("lecture") == "Lectures" and not route.beside_title("lecture")
    assert [*BAR] == [*BOOK, "Lecture"] and route.section("lecture") == "Lecture"


def pages_of(minutes):
    return [stop.path for stop in LECTURES[minutes].stops]


def test_every_stop_of_the_short_lecture_is_of_the_core_and_the_core_is_the_long_one():
    assert set(pages_of(45)) < set(pages_of(90)) == {page.path for page in PAGES if page.core}
    assert route.kind(route.page_at("attention")) == "core, 8\u00a0min"
    assert route.kind(route.page_at("exercises")).startswith("further, ")
    assert route.kind(route.page_at("lecture")) == "for lecturers"


@pytest.mark.parametrize("minutes", LECTURES)
def test_a_lecture_stops_first_where_a_later_stop_presupposes_it(minutes):
    """What a stop needs was a stop before, or is a page that goes further than this lecture."""
    paths = pages_of(minutes)
    for path in paths:
        page = route.needed(path)
        assert page is None or page.path not in paths or paths.index(page.path) < paths.index(path), path


def test_an_unknown_address_is_no_place_on_the_way():
    with pytest.raises(KeyError):
        route.next("nowhere")
