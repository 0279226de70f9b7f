"""What a room has answered, as bars and as dots."""

import numpy as np
import pytest
from chart_checks import assert_well_made, axis_titles
from hypothesis import given
from hypothesis import strategies as some

from gptoss.charts.votes import choice_bars, number_dots

FIRST, SECOND = {"long": 6, "short": 2, "<b>": 0}, {"long": 1, "short": 7, "<b>": 2}
NUMBERS = some.lists(some.floats(-1e15, 1e15).map(lambda value: value if abs(value) > 1e-300 else 0.0), max_size=40)


def of(chart, kind):
    return chart.data[chart.data["kind"] == kind]


def test_both_charts_are_well_made():
    assert_well_made(choice_bars([FIRST]), choice_bars([SECOND], "short"), may_be_missing={"x2"})
    one, other = number_dots([[1, 2, 9]], 3.0, "GB"), number_dots([[4, 5], [6, 6]], None, "GB")
    assert_well_made(one, other, may_be_missing={"value", "x2", "y2"})
    assert axis_titles(one.spec) == {"x": "answer (GB)", "y": "answers (count)"}


def test_a_bar_is_the_share_of_the_answers_and_the_true_one_is_told_by_more_than_its_colour():
    bars = of(choice_bars([FIRST], "short"), "share")
    assert bars["x"].tolist() == [0.75, 0.25, 0] and bars["text"].tolist() == ["75% · 6", "25% · 2", "0% · 0"]
    assert bars["what"].tolist() == ["another choice", "the answer", "another choice"]
    words = of(choice_bars([FIRST], "short"), "choice")["text"].tolist()
    assert words == ["long", "✓ short", "<b>"]
    assert [*of(choice_bars([FIRST]), "share")["what"].unique()] == ["another choice"]


def test_of_several_rounds_the_last_two_are_beside_each_other():
    bars = of(choice_bars([{"a": 9, "b": 0}, {"a": 3, "b": 1}, {"a": 1, "b": 3}], "b"), "share")
    assert bars["round"].tolist() == [2, 3, 2, 3] and bars["x"].tolist() == [0.75, 0.25, 0.25, 0.75]
    assert [text.split()[-1] for text in bars["text"]] == ["before", "now"] * 2
    assert (bars["shade"] < 1).tolist() == [True, False] * 2 and (bars["y2"].values[:-1] < bars["y"].values[1:]).all()
    dots = number_dots([[1], [2, 3], [4, 5, 6]])
    assert of(dots, "answer").groupby("round", observed=True).size().to_dict() == {"before": 2, "now": 3}
    assert "2 answers from 2 to 3" in dots.alt and "3 answers from 4 to 6, median 5" in dots.alt


def test_of_many_choices_those_of_most_answers_are_shown_and_the_answer():
    counts = {f"part {place}": place for place in range(20)}
    chart = choice_bars([counts], "part 3")
    shown = of(chart, "share")["choice"].tolist()
    assert shown == ["part 3", *(f"part {place}" for place in range(13, 20))]
    assert chart.note == "8 of 20 choices, those of most answers"


def test_many_bars_are_low_and_have_their_figures_above_them():
    first, second = ({f"choice {place}": count for place in range(8)} for count in (1, 3))
    chart = choice_bars([first, second], "choice 2")
    assert_well_made(chart, choice_bars([second, first]), may_be_missing={"x2"})
    words, bars = of(chart, "choice"), of(chart, "share")
    assert words["text"].iloc[2] == "✓ 12% before, 12% now · 3: choice 2" and (bars["text"] == "").all()
    assert bars["y"].iloc[0] == words["y"].iloc[0] and bars["y2"].max() < 8 * 56
    assert of(choice_bars([first]), "choice")["text"].iloc[0] == "12% · 1: choice 0"


def test_alike_answers_are_a_heap_and_the_true_value_stands_where_they_do():
    chart = number_dots([[5.0, 5.0, 5.0, 9.0]], 5.0, "GB")
    dots, true = of(chart, "answer"), of(chart, "true value").iloc[0]
    assert np.allclose(dots["x"].iloc[:3], true["x"], atol=1e-4) and dots["y"].iloc[:3].is_monotonic_increasing
    assert dots["x"].iloc[3] > true["x"] and "true: 5 GB" in [*chart.data["name"]] and "It is 5 GB." in chart.alt


def test_a_strip_counts_in_whole_answers():
    for many in range(1, 60):
        data = number_dots([[7.0] * many]).data
        assert all(words.isdigit() for words in data.loc[data["kind"] == "number at the left", "text"]), many


def test_one_wild_answer_does_not_push_the_others_together():
    chart = number_dots([[*range(10, 30), 1e9, -1e9]], 20.0)
    x = of(chart, "answer")["x"].to_numpy()
    assert np.ptp(x[:20]) > 0.6 and x[20] == x.max() and x[21] == x.min()
    assert chart.note == "2 answers far off at the end of the axis"


def test_sizes_that_differ_many_times_get_equal_room_for_equal_ratios():
    dots = of(number_dots([[1, 10, 100, 1000]]), "answer")["x"].to_numpy()
    assert np.allclose(np.diff(dots), np.diff(dots)[0], atol=0.05)
    assert np.ptp(np.diff(of(number_dots([[1, 10, 19, 28]]), "answer")["x"].to_numpy())) < 0.05


@given(NUMBERS, NUMBERS, some.none() | some.floats(-1e15, 1e15))
def test_whatever_is_answered_can_be_drawn(before, now, true):
    if not before and not now:
        with pytest.raises(ValueError, match="no answer"):
            number_dots([before, now], true)
        return
    chart = number_dots([before, now], true)
    dots = of(chart, "answer")
    assert len(dots) == len(before) + len(now) and dots[["x", "y"]].stack().between(0, 1).all()
    assert np.isfinite(dots["size"]).all() and chart.alt


def test_a_thousand_answers_stay_within_their_strip():
    chart = number_dots([[7.0] * 1000, [7.0] * 1000], 7.0)
    assert of(chart, "answer")["y"].between(0, 1).all() and len(chart.data) < 3000


def test_nothing_to_choose_from_is_refused():
    with pytest.raises(ValueError, match="no choice"):
        choice_bars([{}])
    with pytest.raises(ValueError, match="no choice"):
        choice_bars([])
