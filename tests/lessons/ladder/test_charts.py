"""The waterfall's bars and words, and the block drawn for any rungs."""

import re

import pandas as pd
import pytest
from chart_checks import assert_well_made, axis_titles

from gptoss.charts import palette
from gptoss.config import ModelConfig
from gptoss.ladder import RUNGS, LadderConfig
from gptoss.lessons.ladder.charts import MEASURES, STEPS, block_drawing, describe_block, waterfall_chart

LARGE, CLASSROOM = ModelConfig.preset("gpt-oss-120b"), ModelConfig.preset("classroom")


def frame(values, missing=(), **columns):
    """A waterfall through `values`, one for each step but the result; a rung in `missing` is not taken."""
    rows, level = [], 0
    for step, value in zip(STEPS, values, strict=False):
        rows.append((step, level, value, step not in missing))
        level = level if step in missing else value
    rows.append((STEPS[-1], 0, level, True))
    return pd.DataFrame(rows, columns=["step", "start", "stop", "taken"]).assign(**columns)


UP_AND_DOWN = [2e9, 2e9, 1.5e9, 1.5e9, 3e9, 3e9, 3e9, 3e9, 3e9, 9e9, 9e9, 9.5e9]


@pytest.mark.parametrize("measure", MEASURES)
def test_a_waterfall_is_well_made(measure):
    chart = waterfall_chart(frame(UP_AND_DOWN), measure)
    other = waterfall_chart(frame([value * 1.05 for value in UP_AND_DOWN]), measure)
    assert_well_made(chart, other)
    titles = axis_titles(chart.spec)
    assert titles["y"] == "rungs, in this order" and re.search(r"\(\w+\)$", titles["x"])
    assert chart.data["step"].tolist() == list(STEPS)


def test_bars_are_told_by_their_kind_and_their_change():
    data = waterfall_chart(frame(UP_AND_DOWN), "Parameters").data.set_index("step")
    assert data["kind"].tolist() == ["GPT-2", "nothing", "takes away", "nothing", "adds", "nothing", "nothing", "nothing",
                                     "nothing", "adds", "nothing", "adds", "Result"]
    assert data.loc["RoPE", ["start", "stop", "edge"]].tolist() == [2, 1.5, 2]
    assert data["change"].iloc[[0, 1, 2, 9, 12]].tolist() == ["2.00 B", "no change", "−500.00 M", "+6.00 B", "9.50 B"]


def test_a_rung_left_out_has_words_in_brackets_and_no_bar():
    chart = waterfall_chart(frame(UP_AND_DOWN, missing=("Experts", "Untied", "o200k vocabulary")), "Parameters")
    experts = chart.data.set_index("step").loc["Experts"]
    assert experts["start"] == experts["stop"] == 3 and experts["kind"] == "nothing" and experts["change"] == "(+6.00 B)"
    assert "3.00 B in the result, 1.5 times as much" in chart.alt and "added by SwiGLU (+1.50 B)" in chart.alt
    assert "taken away by RoPE (−500.00 M)" in chart.alt
    nothing = waterfall_chart(frame([5.0] * 12, missing=STEPS[1:-1]), "Parameters")
    assert "No rung is taken" in nothing.alt and set(nothing.data["change"].iloc[1:-1]) == {"not taken"}
    assert "No rung changes it" in waterfall_chart(frame([5.0] * 12), "Parameters").alt


def test_a_measured_time_has_its_spread():
    times = frame([value / 1e11 for value in UP_AND_DOWN])
    chart = waterfall_chart(times.assign(low=times["stop"] * 0.9, high=times["stop"] * 1.2), "Measured time")
    last = chart.data.iloc[-1]
    assert (last["low"], last["stop"], last["high"], last["edge"]) == pytest.approx((85.5, 95, 114, 114))
    assert last["change"] == "95 ms"
    assert any((layer["mark"] if isinstance(layer["mark"], str) else layer["mark"]["type"]) == "rule"
               for layer in chart.spec["layer"])


@pytest.mark.parametrize("top", [LARGE, CLASSROOM])
def test_gpt2s_parts_are_grey_and_all_of_gpt_oss_is_violet(top):
    bottom, climbed = block_drawing(LadderConfig(top)), block_drawing(LadderConfig.climbed(top))
    assert bottom.count('class="taken"') == 0 and palette.ACCENT not in bottom and bottom.count('class="own"') == 13
    assert climbed.count('class="own"') == 0 and climbed.count('class="taken"') == 14
    for words in ("LayerNorm", "GELU", "learned positions", "no sink", "sees everything", "the embedding again"):
        assert words in bottom and words not in climbed


@pytest.mark.parametrize(("rung", "words"), [
    ("rmsnorm", "RMSNorm"), ("rope", "RoPE"), ("swiglu", "7,680 wide"), ("head_dim", "64 heads of 64"),
    ("gqa", "9 KV groups"), ("window", "window 128"), ("sinks", ">sink<"), ("experts", "4 of 128 experts"),
    ("untied", "own unembedding"), ("o200k", "201,088 o200k tokens")])
def test_one_rung_redraws_its_own_part_alone(rung, words):
    svg = block_drawing(LadderConfig(LARGE, {rung}))
    assert words in svg and words not in block_drawing(LadderConfig(LARGE))
    assert svg.count('class="taken"') == {"rmsnorm": 3, "swiglu": 2, "experts": 2}.get(rung, 1)
    assert f"Rungs taken: {RUNGS[rung].title}." in describe_block(LadderConfig(LARGE, {rung}))


@pytest.mark.parametrize("top", [
    LARGE.replace(num_attention_heads=128, num_key_value_heads=128, num_experts=256, experts_per_token=128,
                  hidden_size=5760, intermediate_size=5760), CLASSROOM])
@pytest.mark.parametrize("rungs", [(), ("rope", "yarn", "gqa", "sinks"), tuple(RUNGS)])
def test_every_chip_lies_inside_the_picture(top, rungs):
    svg = block_drawing(LadderConfig(top, rungs))
    width, height = (float(size) for size in re.search(r'viewBox="0 0 (\S+) (\S+)"', svg).groups())
    boxes = re.findall(r'<rect class="[^"]*" x="(\S+)" y="(\S+)" width="(\S+)" height="(\S+)"', svg)
    assert len(boxes) > 15
    for x, y, wide, high in (map(float, box) for box in boxes):
        assert x >= 0 and y >= 0 and x + wide <= width and y + high <= height
