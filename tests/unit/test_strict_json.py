"""JSON as the standard has it."""

import json
import math

import pytest

from gptoss import strict_json


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_pythons_own_words_are_no_json(constant):
    for text in (constant, f'{{"x": [1, {constant}]}}'):
        with pytest.raises(ValueError, match=f"{constant} is no number of JSON") as caught:
            strict_json.read(text)
        assert strict_json.obstacle(caught.value) == f"{constant} is no number of JSON"


def test_a_long_number_is_json_though_it_is_not_read():
    with pytest.raises(ValueError) as caught:
        strict_json.read("1" * 5000)
    assert strict_json.obstacle(caught.value) == "a number in it is too long, or it is nested too deeply"
    assert strict_json.read("[" + "1" * 5000 + ", 1e999]", digits=False) == ["1" * 5000, "1e999"]


def test_what_json_has_no_word_for_is_null():
    written = strict_json.write({"a": [math.nan, (math.inf, 1.5)], "b": {"c": -math.inf, "d": None}}, indent=1)
    assert json.loads(written) == {"a": [None, [None, 1.5]], "b": {"c": None, "d": None}}
