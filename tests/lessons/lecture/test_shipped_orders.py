"""The lectures that ship: every address opens and is understood whole, every experiment and question is there."""

from urllib.parse import parse_qsl

import pytest
from reader import assert_fine, open_page

from gptoss.app.book import LECTURES, PAGES
from gptoss.app.hall import orders
from gptoss.app.route import page_at
from gptoss.room.order import REVEAL, SET, SHIPPED, TRY, VOTE

STOPS = {stop.address: stop for order in LECTURES.values() for stop in order.stops}  # both have the same but for beats


def test_nothing_is_wrong_with_the_shipped_orders():
    for text in SHIPPED.values():
        order = orders.read(text)
        assert not order.problems and not [stop.problem for stop in order.stops if stop.problem]


@pytest.mark.parametrize("address", STOPS)
def test_a_stop_opens_as_its_address_says_and_has_what_its_beats_name(address):
    beats = {beat for order in LECTURES.values() for stop in order.stops if stop.address == address for beat in stop.beats}
    moved = [STOPS[address].query | dict(parse_qsl(beat.value)) for beat in beats if beat.kind == SET]
    for state in (STOPS[address].query, *moved):
        at = open_page(f"pages/{page_at(STOPS[address].path).file}", **state)
        assert_fine(at)
        assert not at.warning, at.warning[0].value
    labels = {button.label for button in at.button}
    assert {beat.value for beat in beats if beat.kind == TRY} <= labels
    asked = any(str(button.key).endswith("_commit") for button in at.button)
    own = STOPS[address].vote is not None
    assert asked or own or not any(beat.kind in (REVEAL, VOTE) for beat in beats)


@pytest.mark.parametrize("minutes", LECTURES)
def test_every_lesson_of_a_lecture_is_asked_about(minutes):
    """Every stop but where the room types a text, and the questions at the end."""
    stops = [stop for stop in LECTURES[minutes].stops if not any(beat.kind == VOTE for beat in stop.beats)]
    assert [stop.path for stop in stops] == ["build", "start"]


def test_the_experiments_that_a_page_names_are_found_in_its_program():
    assert {page.path for page in PAGES if not orders.experiments(page.path)} == {"start", "build", "exercises"}
