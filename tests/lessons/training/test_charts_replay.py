"""A head reading a line twice, scores of heads, routing by domain, and a sample."""

import base64
import re
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from chart_checks import assert_well_made, axis_titles
from PIL import Image

from gptoss.charts import palette
from gptoss.lessons.training.charts.replay import (
    BEST,
    INDUCTION,
    LOSS,
    MOST_QUERIES,
    PREVIOUS,
    Line,
    expert_shares,
    line_read_again,
    routing_by_domain,
    scores_chart,
    written,
)

TOKENS = 40
MISSING = {"step", "value", "panel"}


def repeats(first=3, length=12, tokens=TOKENS):
    """Distances of a text in which the line at `first` comes back at once."""
    distance = np.zeros(tokens, dtype=int)
    distance[first + length:min(first + 2 * length, tokens)] = length
    return distance


def words(count=TOKENS):
    return [(" the", "<b>", "\n", " cat")[n % 4] for n in range(count)]


def looks(target, tokens=TOKENS):
    """Weights of a head that gives all its attention to `target(query)`."""
    weights = np.zeros((tokens, tokens), np.float32)
    for query in range(tokens):
        weights[query, target(query)] = 1
    return weights


def pixels(html):
    """The picture inside a piece of HTML as (height, width, 4)."""
    data = base64.b64decode(re.search(r"data:image/png;base64,([^\"]+)", html).group(1))
    return np.asarray(Image.open(BytesIO(data)))


def of(chart, **wanted):
    return chart.data[np.logical_and.reduce([chart.data[name] == value for name, value in wanted.items()])]


def test_the_line_is_the_longest_stretch_that_comes_back():
    distance = repeats(first=10, length=12)
    distance[5:8] = 3
    assert Line.of(distance) == Line(first=10, again=22, stop=34)


def test_two_distances_that_touch_are_two_lines():
    distance = np.array([0, 0, 0, 2, 2, 4, 4, 4, 0])
    assert Line.of(distance) == Line(first=1, again=5, stop=8)


def test_a_long_line_is_cut_and_a_text_without_one_ends_it():
    assert Line.of(repeats(0, 60, 120)) == Line(0, 60, 60 + MOST_QUERIES)
    assert Line.of(np.zeros(TOKENS, int)) == Line(0, TOKENS - MOST_QUERIES, TOKENS)
    assert Line.of(np.zeros(2, int)) == Line(0, 0, 2)


def test_an_induction_head_fills_the_frames():
    distance = repeats()
    html = line_read_again(looks(lambda q: q - distance[q] + 1 if distance[q] else q), words(), distance, "layer 1, head 2")
    assert "layer 1, head 2 gives 100% of its attention to the token that came next" in html
    assert " 0% to the token before" in html
    image = pixels(html)
    cells = image[5::10, 5::10]  # the middles of the cells: frames are at their rims
    assert cells.shape[:2] == (12, 24)
    full = np.argwhere(cells[..., 3] == 255).tolist()
    assert full == [[row, row + 1] for row in range(12)], "the token after the previous occurrence"
    rims = (image[::10, 5::10, :3] == palette.rgb(palette.ACCENT)).all(axis=-1)
    assert np.argwhere(rims).tolist() == full


def test_a_previous_token_head_leaves_the_frames_empty():
    html = line_read_again(looks(lambda q: max(q - 1, 0)), words(), repeats(), "it")
    assert "it gives 0% of its attention to the token that came next" in html and "100% to the token before" in html
    cells = pixels(html)[5::10, 5::10]
    assert np.argwhere(cells[..., 3] == 255).tolist() == [[row, row + 11] for row in range(12)]


def test_keys_after_the_query_are_clear_and_weights_have_one_scale_at_every_moment():
    even = np.tril(np.ones((TOKENS, TOKENS), np.float32))
    even /= even.sum(axis=1, keepdims=True)
    cells = pixels(line_read_again(even, words(), repeats(), "it"))[5::10, 5::10, 3]
    assert (cells[0, 13:] == 0).all() and (cells[0, :13] > 0).all()
    assert cells.max() < 100, "a small weight looks small, however large the others are"


def test_tokens_of_the_map_are_escaped_and_label_rows_and_columns():
    html = line_read_again(looks(lambda q: q), words(), repeats(), "<i>head</i>")
    assert "<b>" not in html and "&lt;b&gt;" in html and "<i>" not in html
    assert html.count("<div>") >= 12 and html.count("<span>") == 24
    wide = line_read_again(looks(lambda q: q, 80), words(80), repeats(0, 28, 80), "it")
    assert wide.count('<span class="unnamed">') == wide.count("<span>") == 28


def test_a_text_that_does_not_repeat_says_so():
    html = line_read_again(looks(lambda q: max(q - 1, 0)), words(), np.zeros(TOKENS, int), "it")
    assert "Nothing in this text comes back" in html and "first time" not in html


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="40 labels"):
        line_read_again(np.zeros((3, 3)), words(), repeats(), "it")
    with pytest.raises(ValueError, match="2 documents"):
        routing_by_domain(np.zeros((1, 2, 4)), ["prose"])


def test_shares_of_experts_count_the_tokens_that_went_there():
    experts = np.random.default_rng(0).integers(0, 5, (3, 4, 7, 2)).astype(np.uint8)
    shares = expert_shares(experts, 6)
    for layer in range(3):
        for document in range(4):
            for expert in range(6):
                assert shares[layer, document, expert] == pytest.approx((experts[layer, document] == expert).sum() / 7)
    np.testing.assert_allclose(shares.sum(axis=2), 2)


def test_routing_is_a_row_per_domain_and_a_block_per_layer():
    shares = np.zeros((2, 3, 4))
    shares[1, 2, 3] = 1.0
    html = routing_by_domain(shares, ["prose", "code", "recall"])
    image = pixels(html)
    assert image.shape[:2] == (3, 2 * 5)
    assert np.argwhere(image[..., 3] == 255).tolist() == [[2, 5 + 3]] and (image[:, [4, 9], 3] == 0).all()
    assert "100% of the tokens of the recall text went to expert 3 of layer 1" in html
    assert html.count("layer 0") == 1 and all(f">{domain}<" in html for domain in ("prose", "code", "recall"))


def test_many_experts_have_no_numbers():
    assert "numbers\"" in routing_by_domain(np.zeros((2, 1, 8)), ["a"])
    assert "numbers\"" not in routing_by_domain(np.zeros((4, 1, 32)), ["a"])


def test_a_sample_marks_what_was_written_and_escapes_it():
    html = written(["A", "⏎", "1", "+"], ["<script>", "␣2", "⏎"], "arithmetic")
    assert "<span>A⏎<br>1+</span><b>&lt;script&gt; 2⏎<br></b>" in html and "arithmetic" in html


def scores(seed=0, moments=6, layers=3, heads=4):
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(size=(moments, layers, heads)) for name in (PREVIOUS, INDUCTION)}


STEPS = [0, 50, 100, 150, 200, 250]


def test_scores_are_well_made():
    chart = scores_chart(STEPS, scores(), 2, (1, 3), dict.fromkeys(STEPS, 4.0))
    other = scores_chart(STEPS, scores(1), 3, (0, 0))
    assert_well_made(chart, other, MISSING & set(chart.data))
    assert axis_titles(chart.spec) == {"x": "training (steps)", "y": "loss, and score (% of attention)"}


def test_the_chosen_head_and_the_best_ones_are_drawn_at_every_moment():
    given = scores()
    chart = scores_chart(STEPS, given, 2, (1, 3))
    for values in given.values():
        drawn = of(chart, kind="chosen head", name="layer 1, head 3")
        assert any(np.allclose(line["value"], values[:, 1, 3], atol=1e-4) for _, line in drawn.groupby("panel"))
    best = {f"layer {n // 4}, head {n % 4}" for n in np.argsort(-given[INDUCTION][-1].ravel())[:BEST]} - {"layer 1, head 3"}
    lower = chart.data["panel"].min()
    assert set(of(chart, kind="other head", panel=lower)["name"]) == best


def test_the_moment_is_marked_through_all_panels():
    losses = dict(zip(STEPS, [8.0, 5.0, 4.5, 3.0, 2.8, 2.7], strict=True))
    chart = scores_chart(STEPS, scores(), 3, (1, 3), losses)
    now, points = of(chart, kind="this moment"), of(chart, kind="value at this moment")
    assert len(now) == 3 and now["x"].nunique() == 1 and set(points["x"]) == set(now["x"]) and set(points["step"]) == {150}
    assert sorted(points["value"]) == sorted([3.0, *(round(each[3, 1, 3], 4) for each in scores().values())])
    assert of(chart, kind="chosen head", name=LOSS)["value"].tolist() == list(losses.values())
    assert "at step 150" in chart.alt and "The loss on repetition is 3.00 nats" in chart.alt


def test_moving_through_the_moments_keeps_the_lines():
    first, second = (scores_chart(STEPS, scores(), moment, (1, 3)) for moment in (0, 5))
    assert first.spec is second.spec
    kinds = ["chosen head", "other head"]
    lines = [chart.data[chart.data["kind"].isin(kinds)].reset_index(drop=True) for chart in (first, second)]
    pd.testing.assert_frame_equal(*(line[["x", "y", "value"]] for line in lines))


def test_a_text_that_does_not_repeat_has_no_induction_scores():
    given = {PREVIOUS: scores()[PREVIOUS], INDUCTION: np.full((6, 3, 4), np.nan)}
    chart = scores_chart(STEPS, given, 1, (0, 0))
    assert list(of(chart, kind="panel")["text"]) == [PREVIOUS] and INDUCTION not in chart.alt


def test_one_moment_can_be_drawn_and_a_head_that_is_not_there_cannot():
    assert len(of(scores_chart([0], scores(moments=1), 0, (2, 3)), kind="chosen head")) == 2
    with pytest.raises(ValueError, match="head 4 of layer 0"):
        scores_chart(STEPS, scores(), 0, (0, 4))
