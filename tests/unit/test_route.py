"""The way through the pages."""

import pytest

from gptoss.app import route
from gptoss.app.book import BOOK, LECTURES, PAGES


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


@pytest.mark.parametrize("minutes", LECTURES)
def test_the_minutes_of_a_lecture_add_up_and_leave_time_for_questions(minutes):
    stops = route.lecture(minutes)
    assert [stop.page for stop in stops] == [page for page in PAGES if page.path in LECTURES[minutes]], "in the book's order"
    assert stops[0].page is PAGES[0] and stops[0].begins == 0
    assert all(after.begins == before.ends for before, after in zip(stops, stops[1:], strict=False))
    assert stops[-1].ends == sum(stop.page.minutes for stop in stops)
    assert 0.05 * minutes <= minutes - stops[-1].ends <= 0.15 * minutes


def test_every_stop_of_the_short_lecture_is_of_the_core_and_the_core_is_the_long_one():
    assert set(LECTURES[45]) < set(LECTURES[90]) == {page.path for page in PAGES if page.core}
    assert route.kind(route.page_at("attention")) == "core, 8\u00a0min"
    assert route.kind(route.page_at("exercises")).startswith("further, ")


@pytest.mark.parametrize("minutes", LECTURES)
def test_a_lecture_stops_first_where_a_later_stop_presupposes_it(minutes):
    """What a stop needs was a stop before, or is a page that goes further than this lecture."""
    paths = LECTURES[minutes]
    for path in paths:
        page = route.needed(path)
        assert page is None or page.path not in paths or paths.index(page.path) < paths.index(path), path


def test_an_unknown_address_is_no_place_on_the_way():
    with pytest.raises(KeyError):
        route.next("nowhere")
