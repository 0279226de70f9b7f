"""The drawing of shared heads, what each way of sharing costs, and the cache as it grows."""

import re

import pandas as pd
import pytest
from chart_checks import assert_well_made, axis_titles

from gptoss.charts import palette
from gptoss.config import PRESETS, divisors_of
from gptoss.cost import count_parameters, kv_cache_bytes, kv_cache_bytes_per_layer
from gptoss.lessons.gqa.charts import cache_film, describe_sharing, head_sharing, kv_head_costs

LARGE, SMALLER, CLASSROOM = (PRESETS[name] for name in ("gpt-oss-120b", "gpt-oss-20b", "classroom"))
HEADS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128]


def costs(config, context):
    rows = []
    for kv_heads in divisors_of(config.num_attention_heads):
        other = config.replace(num_key_value_heads=kv_heads)
        shared = config.num_hidden_layers * 2 * kv_heads * config.head_dim * (config.hidden_size + 1)
        rows.append((kv_heads, kv_cache_bytes(other, context), count_parameters(other).total, shared, other == config))
    return pd.DataFrame(rows, columns=["kv_heads", "cache", "parameters", "shared", "current"])


def growth(config, steps):
    return pd.DataFrame([
        (layer, "sliding" if config.window_of(layer) else "full", step, size)
        for step in (0, min(config.sliding_window, steps), steps)
        for layer, size in enumerate(kv_cache_bytes_per_layer(config, step))], columns=["layer", "kind", "step", "bytes"])


def drawings(svg):
    """The wide and the narrow picture."""
    wide, narrow = re.findall(r"<svg.*?</svg>", svg)
    return wide, narrow


def squares(picture, kind):
    """How many squares each row of a picture has of one kind, and their sides."""
    paths = re.findall(rf'<path class="{kind}" d="([^"]*)"', picture)
    return [path.count("z") for path in paths], {side for path in paths for side in re.findall(r"h(\d[\d.]*)v", path)}


@pytest.mark.parametrize("heads", HEADS)
def test_every_head_is_drawn_once_and_in_one_size(heads):
    for kv_heads in divisors_of(heads):
        for picture in drawings(head_sharing(heads, kv_heads, 64)):
            (queries, sides), (keys, key_sides), (values, value_sides) = (
                squares(picture, kind) for kind in ("query-heads", "key-heads", "value-heads"))
            assert set(queries) == {heads}, "the same query heads in every row"
            assert keys == values and keys[0] == heads and keys[-1] == 1 and kv_heads in keys
            assert len(sides | key_sides | value_sides) == 1, "areas can be compared"
            assert picture.count('class="as-set"') == 1


@pytest.mark.parametrize("heads", HEADS)
def test_squares_stay_inside_the_picture_and_apart(heads):
    for kv_heads in {1, divisors_of(heads)[len(divisors_of(heads)) // 2], heads}:
        for picture in drawings(head_sharing(heads, kv_heads, 64)):
            width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', picture).groups())
            side = float(squares(picture, "query-heads")[1].pop())
            corners = [(float(x), float(y)) for path in re.findall(r'-heads" d="([^"]*)"', picture)
                       for x, y in re.findall(r"M([\d.]+) ([\d.]+)h", path)]
            assert all(0 <= x and x + side <= width and 0 <= y and y + side <= height for x, y in corners)
            assert side >= 5, "still a square on a projector"
            assert len({(round(x), round(y)) for x, y in corners}) == len(corners)
            by_line = {}
            for x, y in corners:
                by_line.setdefault(y, []).append(x)
            for line in by_line.values():
                gaps = [b - a for a, b in zip(sorted(line), sorted(line)[1:], strict=False)]
                assert all(gap > side for gap in gaps)


def test_the_frame_moves_with_the_setting():
    places = [re.search(r'class="as-set" x="2" y="([\d.]+)"', drawings(head_sharing(64, kv_heads, 64))[0]).group(1)
              for kv_heads in (64, 8, 1)]
    assert sorted(places, key=float) == places and len(set(places)) == 3


def test_the_drawing_says_what_a_token_costs():
    svg = head_sharing(64, 8, 64)
    for figure in ("16.00 KiB a token and layer", "2.00 KiB a token and layer", "256 B a token and layer"):
        assert figure in svg
    words = describe_sharing(64, 8, 64)
    assert words in svg and "64 query heads in 8 KV groups" in words and "set to 8 KV groups" in words
    assert all(colour in svg for colour in (palette.QUERY, palette.KEY, palette.VALUE))
    assert "GQA" not in describe_sharing(2, 1, 64) and "MHA" not in describe_sharing(1, 1, 64)


def test_heads_that_cannot_share_are_refused():
    with pytest.raises(ValueError, match="kv_heads=3 is impossible; allowed: 1, 2, 4, 8"):
        head_sharing(8, 3, 64)


def test_cost_panels_are_well_made():
    chart = kv_head_costs(costs(LARGE, 131_072), 131_072)
    assert_well_made(chart, kv_head_costs(costs(LARGE, 65_536), 65_536))
    upper, lower = chart.spec["vconcat"]
    assert axis_titles(upper) == {"y": "KV cache (GiB)"}
    assert axis_titles(lower) == {"x": "KV groups (count)", "y": "parameters (billions)"}


def test_bars_add_up_to_the_costs():
    table = costs(LARGE, 131_072)
    data = kv_head_costs(table, 131_072).data
    sums = data.groupby("kv_heads")[["cache", "parameters"]].sum()
    assert sums["cache"].tolist() == pytest.approx((table["cache"] / 2**30).tolist(), abs=1e-5)
    assert sums["parameters"].tolist() == pytest.approx((table["parameters"] / 1e9).tolist(), abs=1e-5)
    assert data.loc[data["current"], "kv_heads"].unique().tolist() == [8]
    alt = kv_head_costs(table, 131_072).alt
    assert "8 KV groups at 131,072 tokens: 4.50 GiB" in alt
    assert "576.56 MiB to 36.04 GiB" in alt and "116,829,156,672 parameters" in alt


def test_small_models_get_smaller_units():
    spec = kv_head_costs(costs(CLASSROOM, 256), 256).spec
    assert axis_titles(spec["vconcat"][0])["y"] == "KV cache (KiB)"
    assert axis_titles(spec["vconcat"][1])["y"] == "parameters (millions)"


def test_the_film_is_well_made():
    chart = cache_film(growth(LARGE, 256))
    assert_well_made(chart, cache_film(growth(SMALLER, 131_072)))
    assert axis_titles(chart.spec) == {"x": "decode step (tokens so far)", "y": "layer (number)"}


@pytest.mark.parametrize("config", [LARGE.replace(num_hidden_layers=48), CLASSROOM, LARGE.replace(sliding_window=0)],
                         ids=["48 layers", "classroom", "no window"])
def test_rows_of_the_film_are_as_high_as_their_bytes_and_do_not_touch(config):
    frame = growth(config, 1000)
    data = cache_film(frame).data
    high = data["base"] - data["top"]
    assert (high / frame["bytes"].clip(lower=1)).max() == pytest.approx(high.max() / frame["bytes"].max(), rel=1e-3)
    assert high.max() == pytest.approx(0.94) and high.min() == 0
    assert ((data["base"] < data["layer"] + 0.5) & (data["top"] > data["layer"] - 0.5)).all()
    assert data["bend"].any() == (config.sliding_window > 0)


def test_the_film_says_how_large_the_layers_are():
    alt = cache_film(growth(LARGE, 131_072)).alt
    assert "each of 18 sliding layers holds 256.00 KiB and each of 18 full layers holds 256.00 MiB, in all 4.50 GiB" in alt
    assert "stop growing at 128 tokens" in alt
    assert "dotted" not in cache_film(growth(LARGE, 100)).alt
