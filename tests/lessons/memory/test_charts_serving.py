"""Charts of memory while serving: bars that add up, verdicts that follow from the figures, frames filled as far as told."""

import numpy as np
import pandas as pd
import pytest
from chart_checks import assert_well_made, axis_titles

from gptoss.charts import palette
from gptoss.lessons.memory.charts.serving import CACHE_OF, cache_totals, film_strip, machines_filled, memory_by_format

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


PAIRS = {
    "memory": (memory_by_format(formats(10**8), "small"), memory_by_format(formats(10**9), "large")),
    "machines": (machines_filled(MACHINES, HELD, 1), machines_filled(MACHINES, HELD | {FULL_CACHE: 10**11}, 64)),
    "film": (film_strip(film(131_072), 131_072), film_strip(film(64, layers=48), 64)),
    "designs": (cache_totals(DESIGNS, 1, 131_072),
                cache_totals({name: 7 * size for name, size in DESIGNS.items()}, 7, 4096)),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_is_well_made(kind):
    assert_well_made(*PAIRS[kind])


def test_axes_say_what_and_in_which_unit():
    said = {kind: axis_titles(pair[0].spec) for kind, pair in PAIRS.items()}
    assert said["memory"] == {"x": "memory (bytes)"} and said["designs"]["x"] == "KV cache (GiB)"
    assert said["film"] == {"x": "layer", "y": "tokens kept (log scale)"}
    assert said["machines"]["x"] == "of its memory (%)"


def test_parts_are_stacked_without_gaps_and_end_at_the_total():
    chart = memory_by_format(formats(10**8), "small")
    for place, (name, parts) in enumerate(formats(10**8).items()):
        rows = chart.data[chart.data["formats"] == f"{place:02d} {name}"]
        bars, end = rows[rows["part"].isin(PARTS)], rows[rows["total"] != ""].iloc[0]
        assert list(bars["part"]) == PARTS and bars["start"].iloc[0] == 0
        assert list(bars["start"].iloc[1:]) == list(bars["stop"].iloc[:-1])
        assert bars["stop"].iloc[-1] == end["stop"] == sum(parts.values())
    assert "small 2.8 GB; large 5.6 GB" in chart.alt and "25% of it is activations" in chart.alt
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
    (1, "1 user fits into 1 of 2 machines, the smallest of them large with 80 GB. The most users, 12, fit into large."),
    (12, "12 users at once fit into 1 of 2 machines"), (13, "13 users at once fit into none of 2 machines.")])
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
    assert "2 sliding layers: 128 tokens each, the ring is full, 256 KiB a layer and 512 KiB in all" in chart.alt
    assert "2 full layers: 131,072 tokens each, as many as there are, 256 MiB a layer and 512 MiB in all" in chart.alt
    assert list(chart.data["label"]) == ["", "", "256 KiB each", "256 MiB each"]
    assert set(chart.data["top"]) == {131_072}


def test_a_film_of_one_kind_has_one_name():
    only = film(4096, window=4096).assign(kind="full")
    chart = film_strip(only, 4096)
    assert (chart.data["label"] != "").sum() == 1 and "4 full layers" in chart.alt and "sliding" not in chart.alt


def test_designs_are_compared_with_the_model_as_it_is():
    chart = cache_totals(DESIGNS, 1, 131_072)
    assert list(chart.data["figure"]) == ["3 GiB", "24 GiB · ×8", "384 MiB · ÷8"]
    assert np.allclose(chart.data["size"], [3, 24, 0.375]) and list(chart.data["own"]) == [True, False, False]
    assert "KV cache of 1 sequence of 131,072 tokens" in chart.alt and "MHA takes ×8 of as it is." in chart.alt
