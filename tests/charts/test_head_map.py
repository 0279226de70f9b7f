"""One head as a map, to read and to choose from."""

import base64
import io

import numpy as np
import pytest
from chart_checks import assert_well_made
from chart_inputs import attention, tokens
from PIL import Image

from gptoss.charts import head_map, palette
from gptoss.charts.head_map import MAX_TOKENS


def pixels(address):
    file = io.BytesIO(base64.b64decode(address.removeprefix("data:image/webp;base64,")))
    return np.asarray(Image.open(file).convert("RGBA"))


def test_rows_hold_the_weights_they_were_given():
    weights, sink = attention(9)
    data = head_map(weights, sink, tokens(9)).data
    keys = data[data["kind"] == "key"]
    query, key = keys["query"].str[:4].astype(int).to_numpy(), keys["key"].str[:4].astype(int).to_numpy()
    assert len(keys) == 9 * 10 / 2
    np.testing.assert_allclose(keys["weight"], weights[query, key], atol=1e-5)
    np.testing.assert_array_equal(keys["distance"], query - key)
    np.testing.assert_allclose(data[data["kind"] == "sink"]["weight"], sink, atol=1e-5)
    np.testing.assert_allclose(data.groupby("query", observed=True)["weight"].sum(), 1, atol=1e-4)


@pytest.mark.parametrize("chosen", [None, (6, 6)])
def test_a_window_marks_the_first_key_of_each_query(chosen):
    chart = head_map(*attention(10, window=4), tokens(10), chosen=chosen, window=4)
    edges = chart.data[chart.data["kind"] == "first key in the window"]
    assert [(query[:4], key[:4]) for query, key in zip(edges["query"], edges["key"], strict=True)] == [
        (f"{n:04d}", f"{n - 3:04d}") for n in range(4, 10)]


def test_a_window_hides_what_is_outside():
    weights, sink = attention(10, window=4)
    data = head_map(weights, sink, tokens(10), window=4).data
    outside = data[data["kind"] == "outside the window"]
    # One bar for each of the last six queries, from the first key to the last one before its window.
    assert outside["weight"].isna().all() and outside["key"].cat.codes.nunique() == 1
    assert list(outside["query"].cat.codes) == [4, 5, 6, 7, 8, 9]
    assert list(outside["to"].cat.codes - outside["key"].cat.codes) == [0, 1, 2, 3, 4, 5]


def test_equal_tokens_keep_their_own_places():
    weights, sink = attention(3)
    data = head_map(weights, sink, [" the"] * 3).data
    assert list(data["query"].cat.categories) == ["0000 ·the", "0001 ·the", "0002 ·the"]


def test_columns_sort_as_sink_gap_earlier_tokens():
    weights, sink = attention(116)
    columns = head_map(weights, sink, tokens(116)).data["key"].cat.categories
    assert list(columns) == sorted(columns)
    assert [name[5:] for name in columns[:4]] == ["sink", "", "… earlier", "The"]


@pytest.mark.parametrize("count", [1, 2, 80, 81, 512])
def test_long_texts_are_cut_with_a_note_and_lose_no_weight(count):
    weights, sink = attention(count, window=min(count, 128) // 2)
    chart = head_map(weights, sink, tokens(count), window=min(count, 128) // 2)
    assert len(chart.data["query"].unique()) == min(count, 80)
    assert len(chart.data) <= 80 * 3 + 80 * 81 / 2
    assert chart.note == ("" if count <= 80 else f"tokens {count - 80} to {count - 1} of {count}, "
                                                 "positions counted from 0")
    np.testing.assert_allclose(chart.data.groupby("query", observed=True)["weight"].sum(), 1, atol=1e-3)


@pytest.mark.parametrize("chosen", [None, (1, 0)])
def test_its_words_hold_the_sinks_mean_the_window_and_what_a_token_attends_to(chosen):
    weights, sink = np.array([[0.5, 0], [0.125, 0.625]]), np.array([0.5, 0.25])
    text = head_map(weights, sink, ["a", " b"], window=2, chosen=chosen).alt
    assert "37.5%" in text and "each sees the last 2" in text
    assert "“·b”, token 1, looks most at itself: weight 0.625" in text


@pytest.mark.parametrize("labels, chosen", [(3, None), (4, (-1, 0)), (4, (4, 0))])
def test_labels_and_tokens_that_do_not_fit_the_weights_are_refused(labels, chosen):
    with pytest.raises(ValueError, match=f"do not fit {labels} labels"):
        head_map(*attention(4), tokens(labels), chosen=chosen)


# To choose from


def drawn(chart, kind):
    return chart.data[chart.data["kind"] == kind]


def test_the_map_is_well_made():
    weights, sink = attention(12, window=5)
    other = attention(15)
    assert_well_made(head_map(weights, sink, tokens(12), window=5, chosen=(7, 4)),
                     head_map(*other, tokens(15), chosen=(3, 1)), may_be_missing=("weight",))


def test_each_cell_of_the_map_is_one_pixel_as_strong_as_the_root_of_its_weight():
    weights, sink = attention(9, window=4)
    address = drawn(head_map(weights, sink, tokens(9), chosen=(5, 5), window=4), "map")["map"].iloc[0]
    image = pixels(address).astype(float)
    assert image.shape == (9, 2 + 9, 4)
    largest = max(weights.max(), sink.max())
    query, key = np.indices((9, 9))
    seen = (key <= query) & (query - key < 4)
    np.testing.assert_allclose(image[:, 2:, 3][seen], 15 + 240 * np.sqrt(weights[seen] / largest), atol=0.51)
    np.testing.assert_allclose(image[:, 0, 3], 15 + 240 * np.sqrt(sink / largest), atol=0.51)
    assert (image[:, 1, 3] == 0).all() and (image[:, 2:, 3][key > query] == 0).all()
    assert {tuple(colour) for colour in image[:, 2:, :3][(key <= query) & ~seen]} == {palette.rgb(palette.MUTED)}
    assert {tuple(colour) for colour in image[:, 0, :3]} == {palette.rgb(palette.SINK)}


def test_the_map_frames_the_row_the_column_and_the_key():
    chart = head_map(*attention(10), tokens(10), chosen=(6, 2))
    row, column, cell = (drawn(chart, kind).iloc[0] for kind in (
        "where the chosen token looks", "who looks at the chosen token", "chosen key"))
    corners = [[frame[side].strip()[:4] for side in ("query", "key", "to", "until")] for frame in (row, column, cell)]
    assert corners == [["0006", "0 si", "0006", "0006"], ["0006", "0006", "0006", "0009"], ["0006", "0002", "0002", "0006"]]


def test_every_query_and_every_key_of_the_chosen_one_can_be_clicked():
    weights, sink = attention(10)
    chart = head_map(weights, sink, tokens(10), chosen=(6, 2))
    assert [name[:4] for name in drawn(chart, "query")["query"]] == [f"{n:04d}" for n in range(10)]
    keys = drawn(chart, "key of the chosen query")
    assert set(keys["query"].str[:4]) == {"0006"}
    np.testing.assert_allclose(keys["weight"], [sink[6], 0, *weights[6]], atol=1e-5)
    params = [param for part in chart.spec["layer"] for param in part.get("params", [])] + chart.spec.get("params", [])
    assert [(param["name"], param["select"]["fields"]) for param in params] == [("picked", ["query", "key"])]


@pytest.mark.parametrize("token", [0, 50, 110, 199])
def test_a_long_map_shows_the_tokens_around_the_chosen_one(token):
    weights, sink = attention(200)
    chart = head_map(weights, sink, tokens(200), chosen=(token, 0))
    shown = [int(name[:4]) for name in chart.data["query"].cat.categories]
    assert len(shown) == MAX_TOKENS and token in shown and shown == list(range(shown[0], shown[0] + MAX_TOKENS))
    assert chart.note == f"tokens {shown[0]} to {shown[-1]} of 200, positions counted from 0"
    keys = drawn(chart, "key of the chosen query")
    later = weights[token, shown[-1] + 1:].sum()
    assert keys["weight"].sum() + later == pytest.approx(1, abs=1e-3)
    assert len(drawn(chart, "chosen key")) == (0 in shown)
    assert pixels(drawn(chart, "map")["map"].iloc[0]).shape[:2] == (80, 82 + (shown[0] > 0))
    assert len(chart.data) < 300
