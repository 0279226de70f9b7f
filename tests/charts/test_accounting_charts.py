"""Parameters, KV cache and FLOPs as drawn, against gptoss.cost."""

import numpy as np
import pandas as pd
import pytest
from chart_inputs import flops_frame, kv_frame, parts

from gptoss.charts import flops_area, kv_cache_lines, palette, parameters_by_part
from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import count_parameters, forward_flops, kv_cache_bytes
from gptoss.units import flops

LARGE, SMALL = ModelConfig.preset("gpt-oss-120b"), ModelConfig.preset("gpt-oss-20b")


@pytest.mark.parametrize("name", PRESETS)
def test_bars_add_up_to_total_and_active(name):
    config = ModelConfig.preset(name)
    counts = count_parameters(config)
    chart = parameters_by_part(*parts(config))
    sums = chart.data.groupby("bar")["parameters"].sum()
    assert sums["total"] == counts.total and sums["active"] == counts.active
    in_use = chart.data[(chart.data["bar"] == "total") & (chart.data["use"] == "active for each token")]
    assert in_use["parameters"].sum() == counts.active
    assert f"{counts.total:,} parameters, of which one token uses {counts.active:,}" in chart.alt


def test_the_pinned_model_is_drawn_below():
    chart = parameters_by_part(*parts(LARGE), *parts(SMALL))
    sums = chart.data.groupby("bar")["parameters"].sum()
    assert sums["total, pinned"] == 20_914_757_184 and sums["total"] == 116_829_156_672
    assert chart.spec is not parameters_by_part(*parts(LARGE)).spec
    assert "The pinned model has 20,914,757,184" in chart.alt


def test_impossible_parameters_are_refused():
    with pytest.raises(ValueError, match="must not be more"):
        parameters_by_part({"experts": 1}, {"experts": 2})
    with pytest.raises(ValueError, match="allowed: embedding"):
        parameters_by_part({"flux": 1}, {})
    with pytest.raises(ValueError, match="empty"):
        parameters_by_part({}, {})


def test_kv_cache_is_drawn_in_gib():
    chart = kv_cache_lines(kv_frame(LARGE), 131_072)
    here = chart.data[chart.data["here"] & (chart.data["sharing"] == "GQA")].set_index("windows")["gib"]
    assert here["windows as set"] == pytest.approx(kv_cache_bytes(LARGE, 131_072) / 2 ** 30)
    assert here["every layer full"] == pytest.approx(9)
    assert "GQA, windows as set: 4.50 GiB" in chart.alt and "at 131,072 tokens" in chart.alt


def test_pinned_lines_do_not_enter_the_words():
    both = pd.concat([kv_frame(LARGE), kv_frame(SMALL, "pinned")])
    chart = kv_cache_lines(both, 1024)
    assert set(chart.data["model"]) == {"current", "pinned"}
    assert chart.alt == kv_cache_lines(kv_frame(LARGE), 1024).alt


def test_flops_are_summed_by_part():
    chart = flops_area(flops_frame(SMALL), 4096)
    needed = forward_flops(SMALL, 1, 4096).needed
    here = chart.data[chart.data["here"]].set_index("part")["gflops"]
    assert here["scores and values"] * 1e9 == pytest.approx(needed["scores"] + needed["values"])
    assert here.sum() * 1e9 == pytest.approx(sum(needed.values()))
    assert set(here.index) <= set(palette.PARTS)
    assert flops(1e9 * here.sum()) in chart.alt and here.idxmax() in chart.alt


@pytest.mark.parametrize("draw", [flops_area, kv_cache_lines])
def test_frames_that_lack_something_are_refused(draw):
    frame = flops_frame(SMALL).merge(kv_frame(SMALL), on="context")
    with pytest.raises(ValueError, match="context=3"):
        draw(frame, 3)
    with pytest.raises(ValueError, match="lacks the columns"):
        draw(frame[["context"]], 128)


def test_the_smallest_model_has_no_line_at_minus_infinity():
    chart = kv_cache_lines(kv_frame(ModelConfig.preset("classroom")), 128)
    assert (chart.data["gib"] > 0).all() and np.isfinite(np.log(chart.data["gib"])).all()
