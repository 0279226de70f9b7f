"""Charts of MXFP4: values and ticks where they belong, bins that count all blocks, words made from the data."""

import numpy as np
import pytest
from chart_checks import assert_well_made, axis_titles

from gptoss.lessons.mxfp4.charts import (
    ALONE,
    BINS,
    FALLEN,
    KEPT,
    OUTLIER,
    SMALLEST_ERROR,
    UP_TO,
    TickedBlock,
    block_on_ticks,
    byte_strip,
    divergence_by_layer,
    error_histogram,
    format_errors,
    loss_changes,
    scale_in_words,
)

MAGNITUDES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
TICKS = np.concatenate([-MAGNITUDES[:0:-1], MAGNITUDES])


def ticked(exponent=0, outlier=5.0, frame=8.0, place=3):
    """Values 0.1 apart around 0 and one outlier, each on the nearest tick."""
    values = np.linspace(-1.6, 1.5, 32)
    values[place] = outlier
    ticks = TICKS * 2.0**exponent
    back = ticks[np.abs(values[:, None] - ticks).argmin(axis=1)]
    return TickedBlock(values, back, ticks.tolist(), exponent, place, frame)


def charts(seed):
    errors = np.abs(np.random.default_rng(seed).normal(0.1, 0.02, 500))
    return {
        "block": block_on_ticks(ticked(seed, 5.0 + seed)),
        "histogram": error_histogram(errors, errors[0]),
        "formats": format_errors({"MXFP4": (0.11 + seed / 100, 4.25), "bf16": (0.0, 16)}, "MXFP4"),
        "layers": divergence_by_layer({0: 0.2 + seed, 1: 0.1}, {0: 0.2 + seed, 1: 0.4}, "MXFP4", 2),
        "changes": loss_changes({"MXFP4": (0.01 + seed, 0.004), "bf16": (0.0, 0.0)}, "MXFP4"),
    }


FIRST, SECOND = charts(0), charts(1)


@pytest.mark.parametrize("kind", FIRST)
def test_is_well_made(kind):
    assert_well_made(FIRST[kind], SECOND[kind])


def test_axes_say_what_and_in_which_unit():
    titles = {kind: axis_titles(chart.spec) for kind, chart in FIRST.items()}
    assert titles["block"]["x"] == "weight" and titles["histogram"]["y"] == "blocks (count)"
    assert titles["formats"]["x"] == "rms error (% of the weights' rms, log scale)"
    assert titles["layers"] == {"x": "layer", "y": "KL divergence (nats a token)"}
    assert titles["changes"]["x"] == "change of the loss (nats a token)"


def test_every_value_has_a_line_to_its_tick_and_a_fate():
    block = ticked()
    data = block_on_ticks(block).data
    values = data[data["kind"] == "value"]
    np.testing.assert_allclose(values["value"], block.values)
    np.testing.assert_allclose(values["back"], block.back)
    fallen = [number for number in range(32) if block.back[number] == 0 and number != 3 and block.values[number] != 0]
    assert list(values[values["fate"] == FALLEN]["number"]) == fallen and len(fallen) == 4
    assert list(values[values["fate"] == OUTLIER]["number"]) == [3]
    assert (values["fate"] == KEPT).sum() == 27  # one of them is 0 already


def test_ticks_tell_how_many_values_they_store():
    block = ticked()
    data = block_on_ticks(block).data
    ticks = data[data["kind"].str.contains("tick|zero")]
    assert list(ticks["value"]) == TICKS.tolist()
    assert list(ticks["label"]) == ["−6", "−4", "−3", "−2", "−1.5", "−1", "−.5", "0", ".5", "1", "1.5", "2", "3", "4", "6"]
    assert sum(int(stored or 0) for stored in ticks["stored"]) == 32
    assert set(ticks[ticks["kind"] == "even tick"]["label"].str.lstrip("−")) == {"1", "2", "4"}


def test_what_lies_outside_the_frame_stands_at_its_edge_and_says_so():
    chart = block_on_ticks(ticked(exponent=3, outlier=-40.0))
    value = chart.data[(chart.data["kind"] == "value") & (chart.data["number"] == 3)].iloc[0]
    assert value["value"] == -8 and value["label"] == "−40"
    assert list(chart.data[chart.data["kind"] == "beyond left"]["label"]) == ["−40"]
    assert len(chart.data[chart.data["kind"].str.contains("tick|zero")]) == 5  # 0, ±4 and ±8
    assert "has room for 5 of the 15" in chart.alt and "30 of its 31 neighbours fall to 0" in chart.alt
    assert not block_on_ticks(ticked()).data["kind"].str.startswith("beyond").any()


def test_a_block_of_zeros_has_nothing_to_fall():
    chart = block_on_ticks(TickedBlock(np.zeros(32), np.zeros(32), (TICKS * 2.0**-127).tolist(), -127, 0, 8 * 2.0**-127))
    assert FALLEN not in set(chart.data["fate"]) and "none of its 31 neighbours fall to 0" in chart.alt


def test_the_strip_has_seventeen_bytes_in_hexadecimal_and_in_codes():
    codes = [15, 1, *[8] * 30]
    html = byte_strip([0x1F, *[0x88] * 15], codes, 124, -3)
    assert html.count("<div style") == 17 and "<b>7C</b><i>124 − 127</i><small>2⁻³ = 0.125</small>" in html
    assert "<b>1F</b><i>1111 0001</i><small>−6 .5</small>" in html
    assert html.count("<b>88</b><i>1000 1000</i><small>−0 −0</small>") == 15
    assert 'aria-label="the scale byte 124 and 16 bytes with two codes each: 1F 88' in html


@pytest.mark.parametrize(("exponent", "words"), [
    (-5, "2⁻⁵ = 0.03125"), (0, "2⁰ = 1"), (12, "2¹² = 4,096"), (-127, "2⁻¹²⁷ = 5.877 · 10⁻³⁹")])
def test_scales_in_words(exponent, words):
    assert scale_in_words(exponent) == words


@pytest.mark.parametrize(("chosen", "side"), [(0.01, "right of it"), (0.19, "left of it")])
def test_the_histogram_counts_every_block_and_finds_room_for_its_words(chosen, side):
    errors = np.linspace(0, 0.2, 401)
    chart = error_histogram(errors, chosen)
    bins = chart.data[chart.data["kind"] == "bin"]
    assert bins["blocks"].sum() == 401 and len(bins) == BINS
    assert list(bins["from"].iloc[1:]) == list(bins["to"].iloc[:-1])
    mark = chart.data[chart.data["kind"] == side].iloc[0]
    assert mark["from"] == chosen and mark["label"] == f"this block, {chosen:.1%}"
    assert "below 10.0% of their size, and the worst has 20.0%" in chart.alt
    assert f"more than that of {(errors < chosen).mean():.0%}" in chart.alt


def test_a_matrix_without_error_has_a_histogram_too():
    chart = error_histogram(np.zeros(64), 0.0)
    assert chart.data[chart.data["kind"] == "bin"]["blocks"].iloc[0] == 64
    assert "the worst has 0.0%" in chart.alt


def test_exact_formats_stand_at_the_end_of_the_axis_and_say_so():
    data = FIRST["formats"].data.set_index("format")
    assert data.loc["bf16", "error"] == SMALLEST_ERROR and data.loc["bf16", "figure"] == "exact · 16 bits"
    assert data.loc["MXFP4", "figure"] == "11% · 4.25 bits" and data.loc["MXFP4", "ours"]
    assert "MXFP4 11% at 4.25 bits a weight; bf16 exact at 16 bits a weight" in FIRST["formats"].alt


def test_layers_alone_and_together():
    chart = FIRST["layers"]
    assert list(chart.data[chart.data["rounded"] == ALONE]["divergence"]) == [0.2, 0.1]
    assert list(chart.data[chart.data["rounded"] == UP_TO]["divergence"]) == [0.2, 0.4]
    assert "of all 2 layers in MXFP4, the next-token distribution moves by 0.4 nats" in chart.alt and not chart.note
    assert "layer 0 moves it most, by 0.2, and layer 1 least, by 0.1" in chart.alt
    assert divergence_by_layer({0: 0.0, 9: 0.0}, {0: 0.0, 9: 0.0}, "bf16", 10).note == "2 of 10 layers"


def test_changes_have_two_standard_errors_to_either_side():
    row = FIRST["changes"].data.iloc[0]
    assert (row["low"], row["change"], row["high"]) == (0.002, 0.01, 0.018)
    assert "MXFP4 +0.0100 ± 0.0080; bf16 0.0000 ± 0.0000" in FIRST["changes"].alt
