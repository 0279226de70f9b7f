"""Charts of training at scale: bars that add up, verdicts that follow from the figures, words made from the data."""

import math

import pandas as pd
import pytest
from chart_checks import assert_well_made, axis_titles

from gptoss import units
from gptoss.charts import palette
from gptoss.lessons.scale.charts import (
    EXACT,
    FITS,
    FITS_NOT,
    MEASURED,
    PREDICTED,
    THUMB,
    compute_parts,
    hours_by_accelerator,
    memory_by_stage,
    predicted_and_measured,
    schedule_curve,
    what_fits,
)

PARTS = [*palette.TRAINING]
MEMORIES = {"small": 24 * 10**9, "large": 80 * 10**9, "huge": 192 * 10**9}


def stages(scale):
    """Two stages whose bars end at 10 and at 6 times 21 times `scale` bytes."""
    return {"DDP": {part: 10 * scale * n for n, part in enumerate(PARTS, 1)},
            "FSDP": {part: 6 * scale * n for n, part in enumerate(PARTS, 1)}}


def charts(seed):
    hours = pd.DataFrame({"accelerator": ["a", "b"], "hours": [3e6 + seed * 1e5, 1e6 + seed * 1e5], "fits": [False, True]})
    exact, thumb = {"qkv": 2e9 + seed * 1e8, "scores": 1e9, "mlp1": 5e9}, {"qkv": 2e9, "experts": 5e9, "norms": 1e6}
    parts = pd.DataFrame({"part": ["weights", "kept: experts"], "predicted": [4096, 100], "measured": [4096, 150 + seed]})
    return {
        "memory": memory_by_stage(stages(10**8 + seed * 10**7), tuple(MEMORIES.values())),
        "fits": what_fits({"DDP": 100 * 10**9 + seed * 10**11, "FSDP": 20 * 10**9}, MEMORIES),
        "hours": hours_by_accelerator(hours, 64),
        "compute": compute_parts(exact, thumb, 4096),
        "schedule": schedule_curve([(0, 1e-4), (4, 5e-4 + seed * 1e-5), (10, 1e-5)], 5),
        "measured": predicted_and_measured(parts),
    }


FIRST, SECOND = charts(0), charts(1)


@pytest.mark.parametrize("kind", FIRST)
def test_is_well_made(kind):
    assert_well_made(FIRST[kind], SECOND[kind])


def test_axes_say_what_and_in_which_unit():
    titles = {kind: axis_titles(chart.spec) for kind, chart in FIRST.items()}
    assert titles["memory"]["x"] == "memory of one accelerator (bytes)"
    assert titles["hours"]["x"] == "hours of one accelerator"
    assert titles["compute"]["x"] == "training (GFLOPs per token)" and titles["measured"]["x"] == "memory (MiB)"
    assert titles["schedule"] == {"x": "optimizer step", "y": "learning rate"}


def test_parts_are_stacked_without_gaps_and_end_at_the_total():
    chart = memory_by_stage(stages(10**8), tuple(MEMORIES.values()))
    for stage, parts in stages(10**8).items():
        bars = chart.data[(chart.data["kind"] == "part") & (chart.data["stage"] == stage)]
        assert list(bars["part"]) == PARTS and bars["start"].iloc[0] == 0
        assert list(bars["start"].iloc[1:]) == list(bars["stop"].iloc[:-1])
        total = chart.data[(chart.data["kind"] == "total") & (chart.data["stage"] == stage)].iloc[0]
        assert bars["stop"].iloc[-1] == total["stop"] == sum(parts.values())
        assert total["figure"] == units.decimal(sum(parts.values()), "B")
    assert "DDP 21 GB; FSDP 12.6 GB" in chart.alt
    assert "29%, is activations with 3.6 GB" in chart.alt


def test_bars_too_long_for_any_memory_go_on_behind_a_gap_each_as_long_as_its_total_says():
    chart = memory_by_stage(stages(10**10), tuple(MEMORIES.values()))
    limit, totals = 1.25 * 192e9, chart.data[chart.data["kind"] == "total"]
    assert list(totals["figure"]) == ["2.1 TB", "1.26 TB"] and "Right of the gap, from 240 GB on" in chart.alt
    first, second = totals["stop"]
    assert first > second > limit and (first - second) / limit == pytest.approx(0.16 * math.log2(2.1 / 1.26))
    bars = chart.data[chart.data["kind"] == "part"]
    assert not ((bars["start"] < limit) & (bars["stop"] > limit)).any(), "nothing is drawn over the gap"
    assert bars["start"][bars["start"] > limit].min() == pytest.approx(1.04 * limit, rel=1e-6)
    assert memory_by_stage(stages(10**8), tuple(MEMORIES.values())).spec is not chart.spec


def test_memories_out_of_sight_are_left_out():
    def drawn(scale):
        data = memory_by_stage(stages(scale), tuple(MEMORIES.values())).data
        return sorted(data[data["stage"] == " "]["start"])

    assert drawn(10**4) == []
    assert drawn(10**8) == [24e9]  # the longest bar ends at 21 GB
    assert drawn(10**10) == sorted(MEMORIES.values())


def test_what_fits_follows_from_the_memory():
    chart = what_fits({"DDP": 80 * 10**9, "FSDP": 12 * 10**9}, MEMORIES)
    verdicts = chart.data.set_index(["stage", "accelerator"])
    assert list(verdicts.loc["DDP", "verdict"]) == [FITS_NOT, FITS, FITS]
    assert list(verdicts.loc["DDP", "share"]) == ["×3.3", "100%", "42%"]
    assert "DDP: 2 of 3 (large, huge); FSDP: all 3." in chart.alt
    shares = what_fits({"DDP": 24 * 10**11, "FSDP": 1}, MEMORIES).data
    assert list(shares["share"]) == ["×100", "<1%", "×30", "<1%", "×12", "<1%"]
    nowhere = what_fits({"DDP": 10**12}, MEMORIES)
    assert nowhere.alt == "What fits. DDP: 0 of 3."


def test_hours_name_the_fastest_and_its_days():
    chart = FIRST["hours"]
    assert list(chart.data["verdict"]) == [FITS_NOT, FITS]
    assert "The fastest, b, takes 651 days on 64 of them." in chart.alt
    assert "651 days" == chart.data["figure"].iloc[1]
    alone = hours_by_accelerator(pd.DataFrame({"accelerator": ["a"], "hours": [10.0], "fits": [True]}), 1)
    assert "10 h on one of them" in alone.alt
    moment = hours_by_accelerator(pd.DataFrame({"accelerator": ["a"], "hours": [1e-3], "fits": [True]}), 1)
    assert "3.60 s" in moment.alt


def test_compute_is_summed_by_part_and_says_what_the_rule_misses():
    data = FIRST["compute"].data.set_index(["count", "part"])["gflops"]
    assert data[EXACT, "experts"] == 5 and data[THUMB, "norms"] == 0.001 and (THUMB, "scores and values") not in data
    assert "8.00 GFLOP counted exactly, 7.00 GFLOP by 6 × active parameters (−12.5%)" in FIRST["compute"].alt
    assert "take 1.00 GFLOP." in FIRST["compute"].alt


def test_the_schedule_says_where_it_starts_turns_and_ends():
    chart = FIRST["schedule"]
    assert list(chart.data["end of warmup"]) == [False, True, False]
    assert "starts at 0.0001, reaches 0.0005 after 5 of 11 steps (45.5%) and ends at 1 · 10⁻⁵" in chart.alt


def test_predicted_and_measured_tell_every_difference():
    chart = FIRST["measured"]
    assert set(chart.data["kind"]) == {PREDICTED, MEASURED}
    assert "differ in kept: experts by +50 B" in chart.alt and "weights by" not in chart.alt
    same = predicted_and_measured(pd.DataFrame({"part": ["weights"], "predicted": [8], "measured": [8]}))
    assert "Every part agrees to the byte." in same.alt
