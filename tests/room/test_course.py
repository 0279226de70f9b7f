"""What a place of an order shows follows from the order alone, and places and addresses find each other."""

import pytest

from gptoss.room import course
from gptoss.room.order import Beat, Order, Stop, read_order

SINKS = Stop("sinks?preset=storyteller&training_who=a&training_who=b", 5, "Sinks", "They drain.", hide=("dials", "tries"),
             beats=(Beat("reveal"), Beat("try", "Close one head"), Beat("vote"), Beat("reveal"),
                    Beat("set", "sinks_logit=8&preset=classroom"), Beat("set", "sinks_view=By+position"), Beat("reveal")))
ORDER = Order("", (Stop("start", 1, "", ""), SINKS, Stop("", 1, "", "", problem="No address."),
                   Stop("sinks?layer=2", 1, "", ""), Stop("rope", 1, "", "", beats=(Beat("reveal"),))))
SHIPPED = {"preset": ["storyteller"], "training_who": ["a", "b"], "hide": ["dials,tries"]}


@pytest.mark.parametrize("beat, moved, attempt, revealed", [
    (0, {}, "", course.NOT),
    (1, {}, "", course.AFTER),
    (2, {}, "Close one head", course.BEFORE),
    (3, {}, "Close one head", course.BEFORE),
    (4, {}, "Close one head", course.AFTER),
    (5, {"sinks_logit": ["8"], "preset": ["classroom"]}, "", course.AFTER),
    (6, {"sinks_view": ["By position"]}, "", course.NOT),  # another view asks another question
    (7, {"sinks_view": ["By position"]}, "", course.AFTER)])
def test_a_place_shows_the_stops_address_and_the_last_move_and_what_was_revealed_of_it(beat, moved, attempt, revealed):
    assert course.at(ORDER, (1, beat)) == course.View("sinks", SHIPPED | moved, attempt, revealed)


def test_an_address_is_written_as_a_browser_reads_it():
    assert course.at(ORDER, (3, 0)).address == "sinks?layer=2" and course.at(ORDER, (0, 0)).address == "start"
    assert course.at(ORDER, (1, 0)).address.endswith("training_who=a&training_who=b&hide=dials%2Ctries")


def test_where_there_is_no_page_there_is_nothing_to_open():
    assert course.at(ORDER, (2, 0)) is course.at(ORDER, (9, 0)) is course.at(read_order(""), (0, 0)) is None


def test_only_an_answer_or_a_vote_leaves_the_page_as_it_is():
    assert [course.stays(ORDER, (1, beat - 1), (1, beat)) for beat in range(1, 8)] == [
        True, False, True, True, False, False, True]
    assert not course.stays(ORDER, (1, 0), (3, 0)) and not course.stays(ORDER, (1, 3), (1, 1))


@pytest.mark.parametrize("place, path, where", [
    ((0, 0), "sinks", (1, 0)), ((4, 1), "sinks", (3, 0)), ((1, 4), "sinks", (1, 4)), ((2, 0), "sinks", (3, 0)),
    ((0, 0), "rope", (4, 0)), ((0, 0), "memory", None)])
def test_a_page_that_was_clicked_is_the_nearest_of_its_stops(place, path, where):
    assert course.found(ORDER, place, path) == where


@pytest.mark.parametrize("place, path, query", [
    ((0, 0), "sinks", SHIPPED), ((1, 0), "sinks", SHIPPED | {"sinks_logit": ["8"], "preset": ["classroom"]}),
    ((1, 7), "sinks", {"layer": ["2"]}), ((3, 0), "rope", {})])
def test_what_comes_next_is_what_shows_anything_else_and_needs_no_press(place, path, query):
    ahead = course.coming(ORDER, place)
    assert (ahead.path, ahead.query, ahead.attempt) == (path, query, "")


def test_after_the_last_stop_nothing_comes():
    assert course.coming(ORDER, (4, 0)) is course.coming(read_order(""), (0, 0)) is None


@pytest.mark.parametrize("bad", ["", "5", "0.0", "-1.0", "1.-1", "1.0.0", "٣.0", "1e1.0", "x.y", "9" * 9 + ".0"])
def test_a_place_is_read_as_it_is_written_and_nothing_else_is_one(bad):
    assert all(course.read(course.written(place)) == place for place in ((0, 0), (11, 3)))
    assert course.read(bad) is None
