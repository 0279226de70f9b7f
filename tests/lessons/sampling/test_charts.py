"""Where the cuts fall, what is drawn, the table of the dials, and continuations side by side."""

import numpy as np
import pytest
from chart_checks import assert_well_made, axis_titles

from gptoss.lessons.sampling.charts import TOKENS_DRAWN, Continuation, Row, continuations, cumulative, drawn, order

LABELS = [f"t{place}" for place in range(300)]


def distributions(seed, vocab=300):
    model = np.random.default_rng(seed).dirichlet(np.full(vocab, 0.2))
    warm = model**2 / (model**2).sum()
    return model, warm


def left_by(warm, top_p):
    return int(np.searchsorted(np.cumsum(np.sort(warm)[::-1]), top_p)) + 1


def test_the_curves_are_well_made():
    first, second = (cumulative(*each, left_by(each[1], 0.9), 0.9) for each in map(distributions, (1, 2)))
    assert_well_made(first, second)
    assert axis_titles(first.spec) == {"x": "tokens, the most probable first", "y": "probability together (%)"}


@pytest.mark.parametrize("vocab", [1, 2, 300, 201_088])
@pytest.mark.parametrize("left", ["one", "some", "all"])
def test_the_curves_are_sums_by_rank_and_cut_where_it_says(vocab, left):
    model, warm = distributions(5, vocab)
    left = {"one": 1, "some": (vocab + 1) // 2, "all": vocab}[left]
    chart = cumulative(model, warm, left, None)
    data = chart.data
    for name, each in (("the model's own", model), ("at this temperature", warm)):
        curve = data[(data["what"] == "curve") & (data["kind"] == name)]
        assert curve["rank"].iloc[[0, -1]].tolist() == [1, vocab] and left in set(curve["rank"])
        sums = np.cumsum(np.sort(each)[::-1])
        np.testing.assert_allclose(curve["share"], np.minimum(sums[curve["rank"] - 1], 1), atol=1e-5)
    cut = data[data["what"] == "cut"]
    assert cut["rank"].tolist() == [left] and not len(data[data["what"] == "goal"])
    assert ("None is cut" in chart.alt) == (left == vocab)
    label = data[data["what"].isin(("left", "right"))]
    assert label["label"].tolist() == [f"{left:,} token{'s' * (left > 1)} left"]


def test_draws_are_well_made_and_none_is_lost():
    charts = []
    for seed in (1, 2):
        model, _ = distributions(seed)
        ids = np.random.default_rng(seed).choice(300, size=100, p=model)
        charts.append(drawn(LABELS, ids, model))
        data = charts[-1].data
        assert data["drawn"].sum() == 100 and data["expected"].sum() == pytest.approx(100, abs=0.01)
        assert len(data) == TOKENS_DRAWN + 1 and data["token"].iloc[-1].endswith("288 others")
        best = int(model.argmax())
        assert data["token"][0] == f"0001 t{best}" and data["drawn"][0] == (ids == best).sum()
        assert f"100 draws gave {len(set(ids.tolist()))} different tokens" in charts[-1].alt
    assert_well_made(*charts)


def test_a_distribution_of_one_token_is_drawn_without_a_rest():
    chart = drawn(["a", "b"], np.array([1] * 20), np.array([0.0, 1.0]))
    assert chart.data[["token", "drawn", "expected", "label"]].to_numpy().tolist() == [["0001 b", 20, 20.0, "20 (20)"]]
    assert "20 draws gave 1 different token." in chart.alt


def test_the_table_has_a_row_for_each_dial():
    table = order([Row("the model", 4096, 1.0, 3.858, 47.35), Row("<top-k>", 1, 0.2511, 0.0, 1.0)])
    assert table.count("<tr><th") == 3 and "&lt;top-k&gt;" in table
    for cell in ("4,096", "100.0%", "3.86", "47.4", "25.1%"):
        assert f"<td>{cell}</td>" in table


def test_continuations_are_escaped_and_marked_where_they_part():
    html = continuations([Continuation("greedy", "the <b>sea</b>", ""), Continuation("seed 1", "the ", "wide\n<img src=x>")])
    assert html.count("class=greedy") == 1 and html.count("<b>") == 1
    assert "the &lt;b&gt;sea&lt;/b&gt;" in html and "the <b>wide⏎&lt;img src=x&gt;</b>" in html
    assert "<img" not in html
