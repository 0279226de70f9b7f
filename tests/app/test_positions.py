"""What a control makes of an address: what it can be, the nearest position, and the sentence on the difference."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss.app.positions import Choice, Range, Switch, Words, read

TEMPERATURE = Range(0.0, 2.0, 0.1)
BATCH = Choice((1, 2, 4, 8, 1024), "{:,}".format)
TOKEN = Choice((*range(9), "last"), numbers={"last": 9})
TOP_K = Choice((1, 2, 5, 10, "all"))
VIEW = Choice(("Attention", "Next token"))
RUNGS = Choice(("norm", "rope", "moe"), str.upper, several=True, may_be_empty=True)
KINDS = (TEMPERATURE, Range(1, 200, 1), BATCH, TOKEN, TOP_K, VIEW, RUNGS, Switch(), Words(9))


def positions(kind):
    """Everything that a control can be, as the address spells it; None where that is any text."""
    if isinstance(kind, Range):
        count = round((kind.high - kind.low) / kind.step)
        return {f"{round(kind.low + place * kind.step, 9):g}" for place in range(count + 1)}
    return {str(kind.show(option)) for option in kind.options} if isinstance(kind, Choice) else (
        {"true", "false"} if isinstance(kind, Switch) else None)


@pytest.mark.parametrize("kind, said, place", [
    (TEMPERATURE, "0.5", "0.5"), (TEMPERATURE, "1.0", "1"), (TEMPERATURE, "5e-1", "0.5"), (BATCH, "1,024", "1,024"),
    (BATCH, "1024", "1,024"), (BATCH, "8.0", "8"), (TOKEN, "last", "last"), (TOKEN, "9", "last"),
    (VIEW, "next TOKEN", "Next token"), (RUNGS, "norm", "NORM"),
    (Switch(), "1", "true"), (Switch(), "Off", "false"), (Words(9), "<b>", "<b>")])
def test_what_a_control_can_be_is_taken_without_a_word(kind, said, place):
    assert read("It", kind, [said]).spelt == (place,)
    assert read("It", kind, [said]).problem == ""


@pytest.mark.parametrize("kind, said, place", [
    (TEMPERATURE, "9", "2"), (TEMPERATURE, "-1e400", "0"), (TEMPERATURE, "0.52", "0.5"), (TEMPERATURE, "9" * 400, "2"),
    (BATCH, "100", "8"), (BATCH, "-5", "1"), (BATCH, "1e400", "1,024"), (TOKEN, "99", "last"), (TOKEN, "-3", "0"),
    (TOP_K, "7", "5"), (TOP_K, "1000", "10"), (VIEW, "Atention", "Attention")])
def test_what_it_cannot_be_goes_to_the_nearest_and_is_named(kind, said, place):
    reading = read("It", kind, [said])
    assert reading.spelt == (place,)
    assert reading.problem.startswith("It cannot be “") and reading.problem.endswith(f"it goes to “{place}”.")


@pytest.mark.parametrize("kind, said", [
    (TEMPERATURE, "NaN"), (TEMPERATURE, "warm"), (BATCH, "many"), (VIEW, "Bogus"), (VIEW, "3"), (Switch(), "2"),
    (RUNGS, "x")])
def test_where_nothing_is_near_it_stays_and_says_so(kind, said):
    reading = read("It", kind, [said])
    assert reading.spelt == ()
    assert said in reading.problem and reading.problem.endswith("it stays as it is.")


def test_what_is_empty_is_nothing_chosen_or_named():
    assert read("It", RUNGS, [""]) == read("It", RUNGS, ["", ""]) == read("It", Words(9), [""])
    assert read("It", RUNGS, [""]).spelt == ("",) and not read("It", RUNGS, [""]).problem
    for kind in (TEMPERATURE, BATCH, VIEW, Switch()):
        assert read("It", kind, [""]).spelt == () and "It is empty in the address" in read("It", kind, [""]).problem


def test_of_what_is_said_twice_the_last_counts_and_is_named():
    assert read("It", BATCH, ["2", "4"]).problem == "It is in the address 2 times; the last one counts: “4”."
    assert read("It", BATCH, ["4", "4"]).problem == ""
    assert read("It", RUNGS, ["NORM", "x", "MOE"]).spelt == ("NORM", "MOE")
    assert read("It", RUNGS, ["NORM", "x", "MOE"]).problem == "It cannot be “x”."


def test_a_long_text_is_cut_and_named():
    assert read("It", Words(9), ["a" * 10]).spelt == ("a" * 9,)
    assert "9 characters" in read("It", Words(9), ["a" * 10]).problem


@given(st.sampled_from(KINDS), st.lists(st.text(max_size=90) | st.floats().map(str) | st.integers().map(str), min_size=1))
def test_whatever_is_said_ends_at_a_position_or_in_a_short_sentence(kind, said):
    reading = read("It", kind, said)
    known = positions(kind)
    assert known is None or set(reading.spelt) <= known | {""}
    assert reading.spelt or reading.problem
    assert len(reading.problem) < 300
    assert read("It", kind, reading.spelt).problem == "" or reading.spelt == ()
