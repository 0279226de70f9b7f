"""Timing: what counts, in which order, and what is said of it."""

import itertools
import time

import pytest

from gptoss.timing import Stopped, in_turn, seconds, spread


def test_a_spread_is_the_median_and_the_quartiles():
    assert spread([5.0, 1.0, 2.0, 4.0, 3.0]) == (3.0, 2.0, 4.0)
    assert spread([1.0, 2.0]) == (1.5, 1.25, 1.75)


def test_contestants_take_turns_and_the_first_rounds_do_not_count():
    calls, shares = [], []
    taken = in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3, warm=2,
                    progress=shares.append)
    assert "".join(calls) == "ab" * 5
    assert [len(times) for times in taken.values()] == [3, 3] and all(time >= 0 for time in taken["a"])
    assert shares == [0.0, 0.0, 1 / 3, 2 / 3, 1.0]


def test_rounds_go_on_while_the_budget_lasts():
    assert len(in_turn({"a": lambda: None}, rounds=1, budget=0.01)["a"]) > 1


def test_progress_ends_at_one_where_time_runs_out_between_two_looks_at_the_clock(monkeypatch):
    ticks = itertools.count(step=0.3)
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    shares = []
    taken = in_turn({"a": lambda: None}, rounds=1, budget=1.0, warm=0, progress=shares.append)
    assert shares == pytest.approx([0.9, 1.0]) and len(taken["a"]) == 2


def test_a_measurement_ends_before_the_next_call_when_it_is_told_to():
    calls = []
    with pytest.raises(Stopped):
        in_turn({"a": lambda: calls.append(1)}, rounds=9, should_stop=lambda: len(calls) == 2)
    assert len(calls) == 2


def test_seconds_pass_while_something_works():
    assert seconds(lambda: sum(range(10_000))) > 0
