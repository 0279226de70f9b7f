"""The chart of all exercises."""

import pytest
from chart_checks import assert_well_made

from gptoss.lessons.exercises.charts import Row, minutes_chart

ROWS = [Row("norm", "RMSNorm", 8, "easy"), Row("rope", "Rotation", 12, "hard"), Row("sink", "Sink", 10, "easy")]


def test_every_exercise_has_a_bar_as_long_as_it_takes_and_the_chosen_one_is_marked():
    chart = minutes_chart(ROWS, "rope")
    assert_well_made(chart, minutes_chart(ROWS[::-1], "norm"))
    assert chart.data[["name", "minutes", "figure", "which"]].to_numpy().tolist() == [
        ["norm", 8, "8 min, easy", "other"], ["rope", 12, "12 min, hard", "chosen"], ["sink", 10, "10 min, easy", "other"]]
    assert chart.alt == ("3 exercises, 30 minutes in all for somebody who knows torch: 2 easy, 1 hard. In colour: Rotation, "
                         "12 minutes, hard.")


def test_there_is_no_bar_for_an_exercise_that_is_not_there():
    with pytest.raises(ValueError, match="no exercise 'yarn' among 3 rows"):
        minutes_chart(ROWS, "yarn")
