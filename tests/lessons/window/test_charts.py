"""The charts of the sliding window: each shows the masks, reach and sizes that it was given, and nothing else."""

import re

import numpy as np
import pandas as pd
import pytest
from chart_checks import assert_well_made, axis_titles, nodes

from gptoss.charts import palette
from gptoss.charts.chips import MOST_TOKENS
from gptoss.config import ModelConfig
from gptoss.lessons.window import charts, measure
from gptoss.lessons.window.measure import cache_by_kind, costs_by_context, known_by_layer, mask

CONTEXTS = (128, 4096, 131_072)
DISTANCES = pd.DataFrame({"window": [1, 8, 128, 0], "distance": [0.5, 0.75, 0.0, 0.25]})


def tokens(count):
    return [("The", " cat", "<b>", "\n", "&amp;", " мир")[n % 6] for n in range(count)]


def masks(count, window):
    return mask(count, window).numpy(), mask(count, 0).numpy()


def drawn_mask(count=20, window=5, query=12):
    return charts.window_mask(*masks(count, window), tokens(count), query)


def ladder(count=20, window=5, layers=3, token=15):
    return charts.reach_ladder(known_by_layer(layers, window, count, token), tokens(count), token)


def lines(column, preset="gpt-oss-20b", context=4096):
    return charts.context_lines(costs_by_context(ModelConfig.preset(preset), CONTEXTS), column, context)


def strip(preset="gpt-oss-20b", context=131_072):
    return charts.cache_strip(cache_by_kind(ModelConfig.preset(preset), context), context)


PAIRS = {
    "mask": (drawn_mask(), drawn_mask(31, 8, 3)),
    "ladder": (ladder(), ladder(120, 16, 6, 100)),
    "cache": (lines("bytes"), lines("bytes", "gpt-oss-120b")),
    "scores": (lines("scores"), lines("scores", context=128)),
    "strip": (strip(), strip("gpt-oss-120b", 4096)),
    "outputs": (charts.output_distances(DISTANCES, 128),
                charts.output_distances(DISTANCES.assign(distance=[0.1, 0.0, 0.2, 0.3]), 8)),
}


def test_every_chart_is_well_made_and_its_axes_have_titles_with_units():
    for pair in PAIRS.values():
        assert_well_made(*pair)
    assert {kind: axis_titles(chart.spec) for kind, (chart, _) in PAIRS.items()} == {
        "mask": {"x": "key (position)", "y": "query (position)"},
        "ladder": {"x": "token", "y": "known to the token after"},
        "cache": {"x": "context (tokens, log scale)", "y": "KV cache (MiB, log)"},
        "scores": {"x": "context (tokens, log scale)", "y": "prompt scores (count, log)"},
        "strip": {"x": "KV cache (MiB, linear)", "y": "layers"},
        "outputs": {"x": "window of the sliding layers (tokens)", "y": "total variation (0 to 1)"},
    }


def test_the_patterns_drawn_are_those_measured():
    assert charts.PATTERNS == measure.PATTERNS


@pytest.mark.parametrize(("count", "window"), [(1, 1), (1, 0), (20, 1), (20, 5), (20, 0), (20, 50), (300, 128)])
def test_bars_cover_exactly_the_pairs_of_the_masks(count, window):
    sliding, full = masks(count, window)
    data = charts.window_mask(sliding, full, tokens(count), count - 1).data
    assert len(data) <= 2 * count
    for kind, expected in (("in the window: every layer looks", sliding),
                           ("earlier: only full layers look", full & ~sliding)):
        covered = np.zeros((count, count), int)
        for bar in data[data["kind"] == kind].itertuples():
            covered[bar.query:bar.below, bar.first:bar.to] += 1
            assert bar.keys == bar.to - bar.first
        np.testing.assert_array_equal(covered, expected.astype(int))


def test_a_mask_of_any_form_is_drawn_as_it_is():
    holes = np.array([[True, False, False], [False, True, False], [True, False, True]])
    data = charts.window_mask(holes, np.tril(np.ones((3, 3), bool)), tokens(3), 0).data
    near = data[data["kind"].str.startswith("in the window")]
    assert near[["query", "first", "to"]].to_numpy().tolist() == [[0, 0, 1], [1, 1, 2], [2, 0, 1], [2, 2, 3]]


def test_one_row_is_lit_and_described():
    chart = drawn_mask(32, 8, 31)
    assert set(chart.data.loc[chart.data["lit"], "query"]) == {31} == set(chart.data["chosen"])
    assert "Of 528 query-key pairs a sliding layer keeps 228 (43.2%)" in chart.alt
    assert "sees 8 keys in a sliding layer and 32 keys in a full one" in chart.alt
    assert "sees 1 key in a sliding layer" in drawn_mask(5, 2, 0).alt


def test_clicks_pick_a_token_by_name():
    for kind, field in (("mask", "query"), ("ladder", "position")):
        picks = [param for node in nodes(PAIRS[kind][0].spec) for param in node.get("params", [])]
        assert [(pick["name"], pick["select"]["fields"]) for pick in picks] == [("picked", [field, "chosen"])]


def test_colours_keep_their_meaning():
    scales = {kind: [(node["scale"]["domain"], node["scale"]["range"]) for node in nodes(PAIRS[kind][0].spec)
                     if isinstance(node.get("scale"), dict) and "range" in node["scale"]] for kind in PAIRS}
    assert dict(zip(*scales["strip"][0], strict=True)) == {"sliding": palette.SLIDING, "full": palette.FULL}
    assert dict(zip(*scales["cache"][0], strict=True)) == {
        "every layer full": palette.FULL, "alternating": palette.ACCENT, "every layer sliding": palette.SLIDING}
    assert scales["mask"][0][1] == [palette.SLIDING, palette.FULL]
    assert scales["ladder"][0][1][:3] == [palette.QUERY, palette.SLIDING, palette.FULL]
    assert len(scales["ladder"][0][1]) == len(scales["ladder"][0][0]) == len(charts.REACHED) - 1


@pytest.mark.parametrize(("count", "window", "layers", "token"), [
    (20, 5, 3, 15), (20, 5, 3, 0), (20, 1, 2, 19), (1, 8, 1, 0), (20, 0, 2, 9), (200, 16, 6, 199), (200, 16, 6, 0)])
def test_every_cell_says_when_its_token_became_known(count, window, layers, token):
    panels = known_by_layer(layers, window, count, token)
    chart = charts.reach_ladder(panels, tokens(count), token)
    cells = chart.data[chart.data["what"] != ""]
    shown = min(count, MOST_TOKENS)
    assert len(cells) == 2 * (layers + 1) * shown
    for panel, (windows, known) in enumerate(panels.values()):
        for level in range(layers + 1):
            rung = cells[cells["row"].str.startswith(f"{panel} {layers + 1 - level:02d} ")]
            kinds = dict(zip(rung["position"], rung["what"], strict=True))
            assert len(kinds) == shown and kinds.pop(token) == "the token itself"
            for position, kind in kinds.items():
                assert kind == expected_kind(windows, known, level, position), (panel, level, position)


def expected_kind(windows, known, level, position):
    """In words, from the levels at which the position was known, one at a time."""
    if not known[level, position]:
        return "not reached"
    layer = next(n for n in range(level) if known[n + 1, position])
    kind = "sliding" if windows[layer] else "full"
    return f"new through a {kind} layer" if layer == level - 1 else f"known before ({kind})"


def test_rungs_go_from_the_last_layer_down_to_the_embedding_with_their_counts():
    data = ladder(20, 5, 3, 15).data
    rows = list(data["row"].cat.categories)
    assert rows == sorted(rows)
    assert [row[5:] for row in rows] == [
        "", "layer 2, slides", "layer 1, slides", "layer 0, slides", "embedding",
        "", "layer 2, slides", "layer 1, full", "layer 0, slides", "embedding"]
    assert [count for count in data["count"] if count] == [
        "13 tokens", "9 tokens", "5 tokens", "1 token", "16 tokens", "16 tokens", "5 tokens", "1 token"]
    assert [title for title in data["title"] if title] == [
        "Every layer sliding: 12 tokens back", "Alternating: 15 tokens back, all there are, from layer 1 on"]
    assert [title for title in data["narrow"] if title] == ["All sliding: 12 back", "Alternating: 15 back"]


def test_the_first_token_has_nothing_behind_it():
    chart = ladder(20, 5, 3, 0)
    assert [title for title in chart.data["title"] if title] == [
        "Every layer sliding: 0 tokens back", "Alternating: 0 tokens back"]
    assert "it knows 1, 1, 1, 1 tokens" in chart.alt


@pytest.mark.parametrize("token", [0, 100, 511])
def test_a_long_text_is_cut_around_the_token_with_a_note_and_whole_counts(token):
    chart = ladder(512, 128, 4, token)
    assert token in set(chart.data["position"]) and chart.data["position"].nunique() == MOST_TOKENS
    low, high = chart.data["position"].min(), chart.data["position"].max()
    assert chart.note == f"tokens {low} to {high} of 512, positions counted from 0"
    assert ("1 token" if token == 0 else f"{min(token, 4 * 127) + 1} tokens") in set(chart.data["count"])


def test_lines_hold_the_sizes_they_were_given():
    frame = costs_by_context(ModelConfig.preset("gpt-oss-120b"), CONTEXTS)
    chart = charts.context_lines(frame, "bytes", 131_072)
    np.testing.assert_allclose(chart.data["amount"], frame["bytes"] / 2**20)
    assert chart.data.loc[chart.data["here"], "context"].unique().tolist() == [131_072]
    assert "every layer full, 9.00 GiB; alternating, 4.50 GiB; every layer sliding, 9.00 MiB" in chart.alt
    scores = charts.context_lines(frame, "scores", 128)
    np.testing.assert_allclose(scores.data["amount"], frame["scores"])
    assert f"alternating, {36 * 64 * 128 * 129 // 2 / 1e6:.4g} million" in scores.alt


def test_the_strip_shows_a_thousandfold_and_no_ratio_where_one_kind_is_missing():
    chart = strip("gpt-oss-120b")
    assert chart.data["mib"].tolist() == [4.5, 4608] and chart.data["size"].tolist() == ["4.50 MiB", "4.50 GiB"]
    assert "18 sliding layers hold 4.50 MiB, 18 full layers 4.50 GiB: 1,024 times as much." in chart.alt

    for change in ({"sliding_window": 0}, {"num_hidden_layers": 1}):
        config = ModelConfig.preset("gpt-oss-20b").replace(**change)
        assert "times" not in charts.cache_strip(cache_by_kind(config, 4096), 4096).alt


def test_output_distances_mark_the_models_own_window():
    chart = charts.output_distances(DISTANCES, 128)
    assert chart.data["own"].tolist() == [False, False, True, False]
    assert chart.data["window"].tolist() == ["00 1", "01 8", "02 128", "03 off"]
    assert "at window 8: total variation 0.750" in chart.alt


def chips(html):
    return re.findall(r'<span class="(\w+)"[^>]* title="token (\d+)">(.*?)</span>', html, re.DOTALL)


def test_the_text_shows_and_counts_the_query_its_window_and_the_rest_and_escapes_them():
    sliding, full = masks(12, 4)
    kinds, positions, labels = zip(*chips(charts.window_in_text(tokens(12), sliding[7], full[7], 7)), strict=True)
    assert kinds == ("far",) * 4 + ("near",) * 3 + ("query",) + ("faint",) * 4
    assert [int(position) for position in positions] == list(range(12))
    assert labels[:6] == ("The", " cat", "&lt;b&gt;", "\n", "&amp;amp;", " мир")
    html = charts.window_in_text(["<script>"] * 12, sliding[7], full[7], 7)
    assert "<script>" not in html
    assert "Token 7, “&lt;script&gt;”, sees 4 in its window and 8 in a full layer." in html


@pytest.mark.parametrize("query", [0, 250, 511])
def test_a_long_text_is_cut_around_the_query_and_says_so(query):
    sliding, full = masks(512, 16)
    html = charts.window_in_text(tokens(512), sliding[query], full[query], query)
    kinds, positions, _ = zip(*chips(html), strict=True)
    assert len(kinds) == MOST_TOKENS and kinds.count("query") == 1
    first, last = int(positions[0]), int(positions[-1])
    assert (f"… {first} earlier" in html) == (first > 0) and (f"… {511 - last} later" in html) == (last < 511)
    assert kinds.count("near") == min(query, 15)


@pytest.mark.parametrize("call", [
    lambda: charts.window_mask(*masks(4, 2), tokens(5), 0), lambda: charts.window_mask(*masks(4, 2), tokens(4), 4),
    lambda: charts.reach_ladder(known_by_layer(2, 2, 4, 0), tokens(5), 0),
    lambda: charts.reach_ladder(known_by_layer(2, 2, 4, 0), tokens(4), -1),
    lambda: charts.window_in_text(tokens(5), masks(4, 2)[0][0], masks(4, 2)[1][0], 0),
    lambda: lines("flops"), lambda: lines("bytes", context=100)])
def test_what_does_not_fit_is_refused(call):
    with pytest.raises(ValueError):
        call()


def changes(tokens=12, window=5):
    position = np.arange(tokens)
    loss = np.append(np.full(tokens - 1, 2.0), np.nan)
    return pd.DataFrame({"position": position, "moved": np.where(position < window, 0, 0.5), "loss": loss,
                         "other": np.where(position < window, loss, loss + 0.25)})


def test_what_one_key_too_many_changes_is_drawn_and_said():
    moved, loss = charts.off_by_one(changes(), 5)
    assert_well_made(moved, charts.off_by_one(changes(20, 7), 7)[0])
    assert_well_made(loss, charts.off_by_one(changes(20, 7), 7)[1])
    assert "Up to position 4 the logits differ by 0" in moved.alt
    assert "From position 5 (dashed) on, some logit moves by up to 0.5" in moved.alt
    assert moved.data.loc[moved.data["moved"] > 0, "position"].tolist() == [*range(5, 12)]
    assert "2.0000 nats a token with a window of 5, 2.1364 with 6, +0.1364" in loss.alt
    assert loss.data["change"].tolist() == [0.0] * 5 + [0.25] * 6 + [0.0]


def test_a_text_that_ends_in_its_window_shows_no_difference():
    assert "The text ends before position 30" in charts.off_by_one(changes(), 30)[0].alt


def test_lines_that_lie_on_each_other_are_named():
    frame = costs_by_context(ModelConfig.preset("gpt-oss-20b"), (128, 1024))
    assert "Up to 128 tokens the three lines are one." in charts.context_lines(frame, "bytes", 1024).alt
    assert "one." not in charts.context_lines(frame[frame["context"] > 128], "bytes", 1024).alt
