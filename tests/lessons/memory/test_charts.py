"""Charts of memory and compute: bars that add up, verdicts that follow from figures, operators on the roof, times."""

import numpy as np
import pandas as pd
import pytest
from chart_checks import assert_well_made, axis_titles

from gptoss.charts import palette
from gptoss.lessons.memory.charts import (
    CACHE_OF,
    FITS,
    FITS_NOT,
    cache_totals,
    experts_touched,
    film_strip,
    found_again,
    machines_filled,
    memory_by_format,
    roofline,
    speed_by_batch,
    time_by_part,
    times_on_trial,
    where_time_goes,
)

PARTS = [*palette.SERVING]
SLIDING_CACHE, FULL_CACHE = CACHE_OF.values()
MACHINES = pd.DataFrame({"machine": ["small", "large"], "memory": [8 * 10**9, 80 * 10**9], "users": [0, 12]})
HELD = {"weights": 12 * 10**9, SLIDING_CACHE: 10**9, FULL_CACHE: 3 * 10**9}
DESIGNS = {"as it is": 3 * 2**30, "MHA": 24 * 2**30, "MQA": 384 * 2**20}


def formats(scale):
    return {"small": {part: scale * n for n, part in enumerate(PARTS, 1)},
            "large": {part: 2 * scale * n for n, part in enumerate(PARTS, 1)}}


def film(context, window=128, layers=4):
    slots = [min(context, window) if layer % 2 == 0 else context for layer in range(layers)]
    return pd.DataFrame({"layer": range(layers), "kind": ["sliding", "full"] * (layers // 2), "slots": slots,
                         "slots_at_most": [window, 131_072] * (layers // 2), "bytes": [2048 * each for each in slots]})
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
    "memory": (memory_by_format(formats(10**8), "small"), memory_by_format(formats(10**9), "large")),
    "machines": (machines_filled(MACHINES, HELD, 1), machines_filled(MACHINES, HELD | {FULL_CACHE: 10**11}, 64)),
    "film": (film_strip(film(131_072), 131_072), film_strip(film(64, layers=48), 64)),
    "designs": (cache_totals(DESIGNS, 1, 131_072),
                cache_totals({name: 7 * size for name, size in DESIGNS.items()}, 7, 4096)),
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
    titles = {kind: axis_titles(pair[0].spec) for kind, pair in PAIRS.items()}
    assert titles["memory"] == {"x": "memory (bytes)"} and titles["designs"]["x"] == "KV cache (GiB)"
    assert titles["film"] == {"x": "layer", "y": "tokens kept (log scale)"}
    assert titles["machines"]["x"] == "of its memory (%)"
    assert titles["roofline"] == {"x": "intensity (FLOPs per byte, log scale)", "y": "reachable (TFLOP/s, log scale)"}
    assert titles["time"]["x"] == "share of the time (%)" and titles["trial"]["x"] == "time (ms, log scale)"
    assert titles["speed"] == {"x": "batch (sequences, log scale)", "y": "tokens per second (log scale)"}
    assert titles["touched"]["y"] == "experts of a layer (count)"


def test_parts_are_stacked_without_gaps_and_end_at_the_total():
    chart = memory_by_format(formats(10**8), "small")
    for place, (name, parts) in enumerate(formats(10**8).items()):
        rows = chart.data[chart.data["formats"] == f"{place:02d} {name}"]
        bars, end = rows[rows["part"].isin(PARTS)], rows[rows["total"] != ""].iloc[0]
        assert list(bars["part"]) == PARTS and bars["start"].iloc[0] == 0
        assert list(bars["start"].iloc[1:]) == list(bars["stop"].iloc[:-1])
        assert bars["stop"].iloc[-1] == end["stop"] == sum(parts.values())
    assert "small 2.8 GB; large 5.6 GB" in chart.alt and "25% is activations" in chart.alt
    assert set(chart.data[chart.data["chosen"]]["formats"]) == {"00 small"}


def test_a_part_of_nothing_is_not_drawn():
    without = {name: parts | {"activations": 0} for name, parts in formats(10**8).items()}
    assert "activations" not in set(memory_by_format(without, "small").data["part"])


def test_machines_are_filled_up_to_their_memory_and_say_who_fits():
    data = machines_filled(MACHINES, HELD, 1).data
    small, large = (rows for _, rows in data.groupby("machine"))
    assert list(small["part"]) == ["weights", ""] and small["stop"].iloc[0] == 1  # cut where the memory ends
    assert list(small["verdict"]) == ["", "×2"] and not small["fits"].any()
    assert list(large["stop"].iloc[:3]) == [0.15, 0.1625, 0.2] and large["fits"].all()
    assert large["verdict"].iloc[-1] == "12 users"


@pytest.mark.parametrize(("batch", "words"), [
    (1, "1 of the 2 machines has room for the weights and one user; the smallest of them is large with 80 GB. The most "
        "users, 12, have room in large."),
    (12, "1 of the 2 machines has room for the weights and 12 users at once"),
    (13, "None of the 2 machines has room for the weights and 13 users at once.")])
def test_machines_in_words(batch, words):
    assert words in machines_filled(MACHINES, HELD, batch).alt


def test_a_single_user_is_one():
    one = MACHINES.assign(users=[0, 1])
    assert machines_filled(one, HELD, 1).data["verdict"].iloc[-1] == "1 user"


def test_far_too_large_is_told_in_whole_times():
    data = machines_filled(MACHINES, {"weights": 10**12}, 1).data
    assert list(data[data["part"] == ""]["verdict"]) == ["×125", "12 users"]


def test_frames_fill_with_the_context_and_rings_stop():
    kept = {context: film_strip(film(context), context).data["kept"].tolist() for context in (64, 128, 256, 131_072)}
    assert kept == {64: [64] * 4, 128: [128] * 4, 256: [128, 256] * 2, 131_072: [128, 131_072] * 2}
    chart = film_strip(film(131_072), 131_072)
    assert "2 sliding layers: 128 tokens each, the last ones, 256.00 KiB a layer and 512.00 KiB in all" in chart.alt
    assert "2 full layers: 131,072 tokens each, all that there are, 256.00 MiB a layer and 512.00 MiB in all" in chart.alt
    assert list(chart.data["label"]) == ["", "", "256.00 KiB each", "256.00 MiB each"]
    assert set(chart.data["top"]) == {131_072}


def test_a_film_of_one_kind_has_one_name():
    only = film(4096, window=4096).assign(kind="full")
    chart = film_strip(only, 4096)
    assert (chart.data["label"] != "").sum() == 1 and "4 full layers" in chart.alt and "sliding" not in chart.alt


def test_designs_are_compared_with_the_model_as_it_is():
    chart = cache_totals(DESIGNS, 1, 131_072)
    assert list(chart.data["figure"]) == ["3.00 GiB", "24.00 GiB · ×8", "384.00 MiB · ÷8"]
    assert np.allclose(chart.data["size"], [3, 24, 0.375]) and list(chart.data["own"]) == [True, False, False]
    assert "KV cache of 1 sequence of 131,072 tokens" in chart.alt
    assert "“MHA” takes 8 times as much as “as it is”." in chart.alt


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
    assert "Machine 7: 1 TB/s; bf16 100 TFLOP/s." in roof().alt
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
    named = data[data["label"] != ""]
    assert np.allclose(named["named"], named["rate"])
    alike = rates().replace({"machine": {"slow": "other", "fast": "third"}}).assign(rate=lambda rows: rows["rate"] / 1.02)
    several = speed_by_batch(pd.concat([rates(), alike]), "slow", 2, 128).data.query("label != ''").sort_values("named")
    steps = np.diff(np.log(several["named"])) / np.ptp(np.log(several["rate"]))
    assert several["machine"].tolist() == ["other", "slow", "third", "fast"] and steps.min() > 0.07
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


def test_what_is_not_found_again():
    rows = pd.DataFrame({"way": ["bf16", "bf16", "FP8", "FP8"], "kind": ["recall", "repetition"] * 2,
                         "missed": [0.0, 0.01, 0.0, 0.125], "loss": [0.001, 0.01, 0.002, 0.3]})
    chart = found_again(rows, {"recall": 300, "repetition": 1000})
    assert_well_made(chart, found_again(rows.assign(missed=0.5), {"recall": 3, "repetition": 10}))
    assert chart.data["row"].tolist() == ["00 bf16", "00 bf16", "01 FP8", "01 FP8"]
    assert "300 in recall, 1,000 in repetition" in chart.alt and "FP8 0.0% in recall, 12.5% in repetition" in chart.alt
