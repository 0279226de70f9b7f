"""The heat map of one head, and the pixels of many."""

import io

import numpy as np
import pytest
from chart_inputs import attention, tokens
from PIL import Image

from gptoss.charts import attention_map, head_grid, palette


def test_rows_hold_the_weights_they_were_given():
    weights, sink = attention(9)
    data = attention_map(weights, sink, tokens(9)).data
    keys = data[data["kind"] == "key"]
    query, key = keys["query"].str[:4].astype(int).to_numpy(), keys["key"].str[:4].astype(int).to_numpy()
    assert len(keys) == 9 * 10 / 2
    np.testing.assert_allclose(keys["weight"], weights[query, key], atol=1e-5)
    np.testing.assert_array_equal(keys["distance"], query - key)
    np.testing.assert_allclose(data[data["kind"] == "sink"]["weight"], sink, atol=1e-5)
    np.testing.assert_allclose(data.groupby("query", observed=True)["weight"].sum(), 1, atol=1e-4)


def test_window_hides_what_is_outside_and_marks_its_edge():
    weights, sink = attention(10, window=4)
    data = attention_map(weights, sink, tokens(10), window=4).data
    outside, edge = (data[data["kind"] == kind] for kind in ("outside the window", "first key in the window"))
    # One bar for each of the last six queries, from the first key to the last one before its window.
    assert outside["weight"].isna().all() and outside["key"].cat.codes.nunique() == 1
    assert list(outside["query"].cat.codes) == [4, 5, 6, 7, 8, 9]
    assert list(outside["to"].cat.codes - outside["key"].cat.codes) == [0, 1, 2, 3, 4, 5]
    assert (edge["distance"] == 3).all() and len(edge) == 6


def test_equal_tokens_keep_their_own_places():
    weights, sink = attention(3)
    data = attention_map(weights, sink, [" the"] * 3).data
    assert list(data["query"].cat.categories) == ["0000 ·the", "0001 ·the", "0002 ·the"]


def test_columns_sort_as_sink_gap_earlier_tokens():
    weights, sink = attention(116)
    columns = attention_map(weights, sink, tokens(116)).data["key"].cat.categories
    assert list(columns) == sorted(columns)
    assert [name[5:] for name in columns[:4]] == ["sink", "", "… earlier", "The"]


@pytest.mark.parametrize("count", [1, 2, 80, 81, 512])
def test_long_texts_are_cut_with_a_note_and_lose_no_weight(count):
    weights, sink = attention(count, window=min(count, 128) // 2)
    chart = attention_map(weights, sink, tokens(count), window=min(count, 128) // 2)
    assert len(chart.data["query"].unique()) == min(count, 80)
    assert len(chart.data) <= 80 * 3 + 80 * 81 / 2
    assert chart.note == ("" if count <= 80 else f"tokens {count - 80} to {count - 1} of {count}, "
                                                 "positions counted from 0")
    np.testing.assert_allclose(chart.data.groupby("query", observed=True)["weight"].sum(), 1, atol=1e-3)


def test_start_chooses_the_queries():
    weights, sink = attention(200)
    data = attention_map(weights, sink, tokens(200), start=0).data
    assert data["query"].cat.categories[0].startswith("0000") and "earlier keys, summed" not in set(data["kind"])


def test_alternative_text_names_the_facts():
    weights, sink = np.array([[0.5, 0], [0.125, 0.625]]), np.array([0.5, 0.25])
    text = attention_map(weights, sink, ["a", " b"], window=2).alt
    assert "2 tokens" in text and "37.5%" in text and "window of 2" in text
    assert "·b, attends most to ·b at distance 0 with weight 0.625" in text


def test_shapes_that_do_not_fit_are_refused():
    weights, sink = attention(4)
    with pytest.raises(ValueError, match="do not fit 3 labels"):
        attention_map(weights, sink, tokens(3))


def heads(count, length, window=0):
    """Weights (heads, queries, 1 + keys), the sink first."""
    return np.stack([np.column_stack([sink, weights]) for weights, sink in (
        attention(length, window, seed) for seed in range(count))])


@pytest.mark.parametrize(("count", "length"), [(1, 1), (1, 7), (8, 16), (64, 64), (3, 512)])
def test_head_grid_is_one_image_within_its_width(count, length):
    picture = head_grid(heads(count, length), columns=8, selected=0)
    assert picture.image.dtype == np.uint8 and picture.image.shape[2] == 4
    assert picture.image.shape[1] <= 1024
    assert f"{count} heads over {length} tokens" in picture.alt
    assert ("mean of up to" in picture.alt) == (length * min(count, 8) > 900)


def test_head_grid_is_clear_where_nothing_is_attended_and_full_at_the_largest_weight():
    image = head_grid(np.array([[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]), selected=0, width=8).image
    inside = image[1:-1, 1:-1]  # 2 of sink, 1 gap, 2 keys
    assert inside.shape == (2, 5, 4)
    np.testing.assert_array_equal(inside[:, 3:, 3], [[255, 0], [0, 255]])
    assert (inside[:, :3, 3] == 0).all()
    assert tuple(image[0, 0]) == (*palette.rgb(palette.ACCENT), 255)


def test_head_grid_takes_a_text_shown_to_be_the_sinks_mean():
    weights = heads(5, 6)
    most = weights[:, :, 0].mean(axis=1).argmax()
    assert f"Head {most} gives most to its sink, {weights[most, :, 0].mean():.1%}" in head_grid(weights).alt


def test_png_is_the_image():
    picture = head_grid(heads(4, 9), columns=2)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(picture.png()))), picture.image)
