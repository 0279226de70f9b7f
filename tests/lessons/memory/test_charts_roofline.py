"""Charts of speed: operators stand on the roof, shares add up, lines end where machines are full, words say the figures."""

import numpy as np
import pandas as pd
import pytest
from chart_checks import assert_well_made, axis_titles

from gptoss.lessons.memory.charts.roofline import (
    FITS,
    FITS_NOT,
    experts_touched,
    roofline,
    speed_by_batch,
    time_by_part,
    time_in_words,
    times_on_trial,
    where_time_goes,
)

BANDWIDTH, PEAK = 1e12, 1e14  # the slope meets the ceiling at 100 FLOPs a byte
NAMES = ["qkv", "scores", "router", "mlp1", "unembedding"]


def operators(scale=1.0):
    rows = []
    for phase, intensity in (("prefill", 400.0), ("decode", 2.0)):
        for place, name in enumerate(NAMES, 1):
            flops = scale * place * 1e9
            size = flops / (intensity * place)
            seconds = max(flops / PEAK, size / BANDWIDTH)
            rows.append((phase, name, flops, size, seconds, "compute" if flops / PEAK > size / BANDWIDTH else "memory"))
    return pd.DataFrame(rows, columns=["phase", "operator", "flops", "bytes", "seconds", "binds"])


def roof(scale=1.0, ceilings=None, chosen=("decode", "mlp1")):
    return roofline(operators(scale), "Machine 7", BANDWIDTH, {"bf16": PEAK} if ceilings is None else ceilings, chosen)


def rates(factor=1.0):
    return pd.DataFrame([(name, batch, factor * speed * batch, batch <= room) for name, speed, room in (
        ("slow", 10, 0), ("fast", 100, 2)) for batch in (1, 2, 4)], columns=["machine", "batch", "rate", "fits"])


def touched(batches=(1, 2, 4)):
    return pd.DataFrame({"batch": batches, "experts": [8 * (1 - 0.75**batch) for batch in batches]})


TIMES = pd.DataFrame({"work": ["prefill 1 × 64", "decode 8"], "predicted": [1e-3, 2e-4], "median": [2e-3, 2e-3],
                      "low": [1.9e-3, 1.5e-3], "high": [2.2e-3, 4e-3]})
REASONS = pd.DataFrame({"work": ["prefill 1 × 64", "decode 8"], "bound": [1e-3, 4e-4], "matrices alone": [5e-4, -1e-4],
                        "calls": [3e-4, 5e-4], "all else": [2e-4, 2e-4]})
PHASES = {"prefill": "read 1,024", "decode": "write 1 token"}
PAIRS = {
    "roofline": (roof(), roof(2.0, {}, ("prefill", "qkv"))),
    "time": (time_by_part(operators(), PHASES), time_by_part(operators(3.0), PHASES | {"prefill": "read 2,048"})),
    "speed": (speed_by_batch(rates(), "fast", 1, 4096), speed_by_batch(rates(2), "slow", 4, 128)),
    "touched": (experts_touched(touched(), 8, 2, 1), experts_touched(touched(), 8, 2, 4)),
    "trial": (times_on_trial(TIMES), times_on_trial(TIMES.assign(median=[3e-3, 5e-3]))),
    "reasons": (where_time_goes(REASONS), where_time_goes(REASONS.assign(calls=[1e-3, 1e-3]))),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_is_well_made(kind):
    assert_well_made(*PAIRS[kind])


def test_axes_say_what_and_in_which_unit():
    said = {kind: axis_titles(pair[0].spec) for kind, pair in PAIRS.items()}
    assert said["roofline"] == {"x": "intensity (FLOPs per byte, log scale)", "y": "reachable (TFLOP/s, log scale)"}
    assert said["time"]["x"] == "share of the time (%)" and said["trial"]["x"] == "time (ms, log scale)"
    assert said["speed"] == {"x": "batch (sequences, log scale)", "y": "tokens per second (log scale)"}
    assert said["touched"]["y"] == "experts of a layer (count)"


def test_every_operator_stands_on_the_roof():
    data = roof().data
    marks = data[data["kind"] == "operator"]
    assert len(marks) == 2 * len(NAMES)
    assert np.allclose(marks["rate"] * 1e12, np.minimum(PEAK, BANDWIDTH * marks["intensity"]))
    assert np.allclose(marks.groupby("phase")["share"].sum(), 1, atol=1e-5)
    assert set(marks["mark"]) == {f"{phase} {name}" for phase in ("prefill", "decode") for name in NAMES}


def test_the_roof_has_a_slope_and_a_ceiling_that_meet():
    lines = roof().data.query("kind == 'roof'")
    slope, ceiling = (lines[lines["operator"] == name] for name in ("memory", "bf16"))
    assert np.allclose(slope["rate"] * 1e12, BANDWIDTH * slope["intensity"])
    assert slope["intensity"].max() == ceiling["intensity"].min() == PEAK / BANDWIDTH
    assert set(ceiling["rate"]) == {PEAK / 1e12}
    two = roof(ceilings={"bf16": PEAK, "MXFP4": 4 * PEAK}).data
    assert list(two[two["kind"] == "ceiling"]["label"]) == ["bf16 100 TFLOP/s", "MXFP4 400 TFLOP/s"]


def test_without_a_published_peak_there_is_a_slope_alone():
    chart = roof(ceilings={})
    assert set(chart.data["kind"]) == {"operator", "roof"} and "publishes no arithmetic peaks" in chart.alt
    lines = chart.data.query("kind == 'roof'")
    assert lines["intensity"].max() > chart.data.query("kind == 'operator'")["intensity"].max()


def test_one_operator_is_chosen_and_named():
    data = roof(chosen=("prefill", "router")).data
    assert list(data[data["chosen"]]["mark"]) == ["prefill router"]
    assert list(data[data["kind"] == "operator"]["label"].loc[lambda each: each != ""]) == ["router, prefill"]


def test_the_roofline_says_what_binds():
    assert "Machine 7: 1,000 GB/s; bf16 100 TFLOP/s." in roof().alt
    assert "Prefill: compute binds qkv, scores, router, mlp1, unembedding; the longest is unembedding with 33%" in roof().alt
    assert "Decode: memory binds every operator" in roof().alt


def test_times_are_shares_of_their_phase():
    chart = PAIRS["time"][0]
    assert np.allclose(chart.data.groupby("what")["share"].sum(), 1, atol=1e-5)
    assert set(chart.data["what"]) == {"00 read 1,024: at least 150 µs", "01 write 1 token: at least 2.5 ms"}
    assert "write 1 token: at least 2.5 ms, most of it for attention (20%)" in chart.alt
    assert set(chart.data["part"]) == {"attention", "scores and values", "router", "experts", "unembedding"}


def test_speed_tells_where_memory_ends():
    data = PAIRS["speed"][0].data
    verdicts = data.set_index(["machine", "batch"])["verdict"]
    assert list(verdicts["fast"]) == [FITS, FITS, FITS_NOT] and set(verdicts["slow"]) == {FITS_NOT}
    assert list(data["label"]) == ["", "", "slow", "", "", "fast"] and set(data[data["own"]]["machine"]) == {"fast"}
    assert "for 1 sequence of 4,096 tokens: slow 10 tokens/s (does not fit); fast 100 tokens/s." in PAIRS["speed"][0].alt
    crawling = speed_by_batch(rates(0.01), "slow", 2, 128).alt
    assert "2 sequences of 128 tokens: slow 0.2 tokens/s (does not fit); fast 2 tokens/s." in crawling


def test_touched_names_the_batch_it_stands_at():
    one, four = PAIRS["touched"]
    assert list(one.data["label"]) == ["2 of 8", "", ""] and list(four.data["label"]) == ["", "", "5.47 of 8"]
    assert "1 token reads 2 of 8 experts" in one.alt and "4 tokens read 5.47 of 8 experts" in four.alt


def test_trials_say_how_far_the_bound_is():
    chart = PAIRS["trial"][0]
    assert list(chart.data["figure"]) == ["2 ms · ×2", "2 ms · ×10"]
    assert "2 times the bound at best (prefill 1 × 64) and 10 times at worst (decode 8)" in chart.alt
    assert list(chart.data["predicted"]) == [1.0, 0.2]


def test_reasons_add_up_to_what_was_measured():
    chart = PAIRS["reasons"][0]
    first, second = (rows for _, rows in chart.data.groupby("work"))
    assert np.allclose(first["stop"], [0.5, 0.75, 0.9, 1]) and np.allclose(first["start"], [0, 0.5, 0.75, 0.9])
    assert np.allclose(second["stop"], [0.3, 0.3, 0.8, 1])  # what the matrices spare is cut from the bound
    assert list(second["time"]) == ["400 µs", "−100 µs", "500 µs", "200 µs"]
    assert "Of 3 ms for 2 passes: bound 47%, matrices alone 13%, calls 27%, all else 13%." in chart.alt


@pytest.mark.parametrize(("seconds", "words"), [
    (3e-7, "0.3 µs"), (2.5e-5, "25 µs"), (0.0104, "10.4 ms"), (1.5, "1.5 s"), (119, "119 s"), (600, "10 min"),
    (7200, "2 h"), (90_000, "25 h")])
def test_times_in_words(seconds, words):
    assert time_in_words(seconds) == words
