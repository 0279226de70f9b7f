"""Specifications for a projector: every length grows, and nothing that counts something else."""

import pytest

from gptoss.charts.enlarge import FACTOR, enlarged

SPEC = {
    "height": 200, "padding": {"left": 10, "top": 5, "right": 5, "bottom": 5},
    "config": {"axis": {"labelFontSize": 20, "grid": True},
               "legend": {"columns": {"expr": "width > 100 ? 2 : 1"}, "symbolSize": 100}},
    "layer": [
        {"mark": {"type": "point", "size": 100, "strokeWidth": 2, "opacity": 0.5}},
        {"mark": {"type": "bar", "size": 10}},
        {"mark": {"type": "text", "fontSize": {"expr": "width / 20"}, "dx": -6},
         "encoding": {"x": {"field": "x", "scale": {"domain": [0, 10], "padding": 0.1}, "axis": {"offset": 4}}}}],
    "params": [{"name": "step", "value": 3}],
}


def test_lengths_grow_and_areas_by_the_square():
    large = enlarged(SPEC)
    assert large["height"] == pytest.approx(200 * FACTOR) and large["padding"]["left"] == pytest.approx(10 * FACTOR)
    assert large["config"]["axis"]["labelFontSize"] == pytest.approx(20 * FACTOR)
    point, bar, text = (layer["mark"] for layer in large["layer"])
    assert point["size"] == pytest.approx(100 * FACTOR**2, abs=0.01) and point["strokeWidth"] == pytest.approx(2 * FACTOR)
    assert large["config"]["legend"]["symbolSize"] == pytest.approx(100 * FACTOR**2, abs=0.01)
    assert bar["size"] == pytest.approx(10 * FACTOR) and text["dx"] == pytest.approx(-6 * FACTOR)
    assert large["layer"][2]["encoding"]["x"]["axis"]["offset"] == pytest.approx(4 * FACTOR)


def test_larger_letters_need_more_width_before_more_fits():
    assert enlarged(SPEC)["config"]["legend"]["columns"] == {"expr": f"width > {100 * FACTOR:.0f} ? 2 : 1"}


def test_what_is_no_length_stays():
    large = enlarged(SPEC)
    assert large["params"] == SPEC["params"] and large["layer"][0]["mark"]["opacity"] == 0.5
    assert large["config"]["axis"]["grid"] is True
    assert large["layer"][2]["encoding"]["x"]["scale"] == SPEC["layer"][2]["encoding"]["x"]["scale"]
    assert large["layer"][2]["mark"]["fontSize"] == {"expr": "width / 20"}


def test_a_specification_is_enlarged_once_and_is_itself_left_alone():
    before = str(SPEC)
    assert enlarged(SPEC) is enlarged(SPEC) and str(SPEC) == before
    twin = {**SPEC}
    assert enlarged(twin) is not enlarged(SPEC) and enlarged(twin) == enlarged(SPEC)
