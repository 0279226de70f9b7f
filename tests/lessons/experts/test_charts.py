"""Routing, load, the router of one token, experts touched, SwiGLU and costs: the pictures against what they draw."""

import numpy as np
import pandas as pd
import pytest
import torch
from chart_checks import assert_well_made, axis_titles, nodes
from chart_inputs import routing, tokens

from gptoss.charts import palette, routing_map
from gptoss.config import ModelConfig
from gptoss.lessons.experts import charts, measure


def routed(count=40, experts=16, active=3, seed=0):
    return measure.route(torch.randn(count, experts, generator=torch.Generator().manual_seed(seed)), active)


def load(order=charts.BY_RANK, seed=0, experts=16, count=40, selected=2):
    here, null = routed(count, experts, min(3, experts), seed), measure.uniform_routing(count, experts, min(3, experts))
    if order == charts.BY_NUMBER:
        band = np.tile([null.one_expert.low, null.one_expert.high], (experts, 1))
        return here, charts.load_against_uniform(np.arange(experts), here.counts, band, count, order, selected)
    ranks = np.argsort(-here.counts, kind="stable")
    twin = -np.sort(-routed(count, experts, min(3, experts), seed + 1).counts)
    return here, charts.load_against_uniform(ranks, here.counts[ranks], null.ranked[:, ::2], count, order, selected, twin)


def by_layer(unit, layer=1, seed=0):
    live, twin = ([routed(seed=seed + n) for n in range(start, start + 3)] for start in (0, 10))
    frame = measure.unevenness(live, twin, unit)
    return frame, charts.load_by_layer(frame, unit, layer)


def scores(seed=0, experts=16):
    here = routed(experts=experts, active=min(3, experts), seed=seed)
    return here, charts.router_scores(here.logits[4], here.chosen[4], " cat", selected=int(here.chosen[4, 0]))


def weights(seed=0, experts=16, active=3):
    orders = measure.routing_orders(routed(experts=experts, seed=seed).logits[0], active)
    return orders, charts.router_weights(orders, selected=int(orders["expert"][1]))


def touched(seed=0, batch=32, count=40):
    config = ModelConfig(num_experts=16, experts_per_token=3)
    frame = measure.touched_by_batch(routed(count, seed=seed), config, [1, 4, 8, 32, 64])
    return frame, charts.touched_experts(frame, 16, batch)


def curves(linear=1.0, variant=measure.ACTIVATIONS[1], neurons=9):
    random = np.random.default_rng(0)
    real = pd.DataFrame({"gate": random.normal(size=neurons), "linear": random.normal(size=neurons),
                         "output": random.normal(size=neurons), "clamped": np.arange(neurons) < 2})
    chosen = measure.activation_curves((linear,), 7.0, measure.AS_IN_GPT_OSS)
    others, compared = measure.activation_curves((-1.0, 0.0, 3.0), 7.0), measure.activation_curves((linear,), 7.0, variant)
    return chosen, charts.swiglu_curves(others, chosen, compared, variant, real)


def designs(experts=32, active=4):
    frame = measure.against_dense(ModelConfig(num_experts=experts, experts_per_token=active))
    return frame, charts.mixture_against_dense(frame)


def growth(preset="gpt-oss-20b", experts=32):
    frame = measure.by_number_of_experts(ModelConfig.preset(preset))
    return frame, charts.growth_by_experts(frame, experts)


# Of each kind of chart: how it is made, with which settings and with which others, and the titles of its axes.
KINDS = {
    "load by rank": (load, {}, {"seed": 3}, "expert (its number, busiest first)", "tokens (% of all)"),
    "load by number": (load, {"order": charts.BY_NUMBER}, {"seed": 3}, "expert (number)", "tokens (% of all)"),
    "variation": (by_layer, {"unit": "variation"}, {"seed": 3, "layer": 0}, "layer (number)",
                  "variation (standard deviation / mean)"),
    "entropy": (by_layer, {"unit": "entropy"}, {"seed": 3, "layer": 0}, "layer (number)", "entropy (bits)"),
    "scores": (scores, {}, {"seed": 3}, "expert (number)", "router logit"),
    "weights": (weights, {}, {"seed": 3, "active": 5}, "weight (share)", "chosen expert (number, best first)"),
    "touched": (touched, {}, {"seed": 3, "batch": 4}, "batch (tokens, log scale)", "experts of one layer (count)"),
    "swiglu": (curves, {}, {"linear": -2.5, "variant": measure.ACTIVATIONS[2]}, "gate (value)",
               "output of the neuron (value)"),
    "designs": (designs, {}, {"experts": 128}, "MLP compute (FLOPs per token, log scale)",
                "MLP parameters (count, log scale)"),
    "growth": (growth, {}, {"preset": "gpt-oss-120b", "experts": 128}, "experts (count, log scale)",
               "model parameters (count, log scale)"),
}
MISSING = {"load by number": ["twin"], "touched": ["low", "high", "experts"]}


@pytest.mark.parametrize("kind", KINDS)
def test_every_chart_is_well_made(kind):
    make, one, other, *titles = KINDS[kind]
    chart, second = make(**one)[1], make(**one | other)[1]
    assert_well_made(chart, second, may_be_missing=MISSING.get(kind, ()))
    assert axis_titles(chart.spec) == dict(zip("xy", titles, strict=True))
    if kind != "designs":
        assert any(node.get("legend") for node in nodes(chart.spec)), "its colours are explained"


@pytest.mark.parametrize("order", charts.ORDERS)
def test_load_has_a_bar_per_expert_over_the_band_of_chance(order):
    here, chart = load(order)
    data = chart.data.set_index("expert")
    assert (data["tokens"].sort_index() == here.counts).all()
    np.testing.assert_allclose(data["share"], data["tokens"] / 40, atol=1e-5)
    assert (data["what"] == "selected expert").sum() == 1 and data.loc[2, "what"] == "selected expert"
    outside = ((data["share"] < data["low"]) | (data["share"] > data["high"])).sum()
    assert f"{outside} of 16 bars end outside" in chart.alt
    assert f"expert {here.counts.argmax()} got {here.counts.max() / 40:.1%}" in chart.alt
    numbers = np.argsort(-here.counts, kind="stable") if order == charts.BY_RANK else np.arange(16)
    assert [int(place.split()[1]) for place in sorted(chart.data["place"])] == numbers.tolist(), "a bar has another's number"
    if order == charts.BY_RANK:
        assert (chart.data["share"].diff()[1:] <= 0).all() and (chart.data["twin"].diff()[1:] <= 0).all()
    else:
        assert chart.data["twin"].isna().all(), "a twin's experts are others"


@pytest.mark.parametrize("order", charts.ORDERS)
def test_load_has_a_bar_for_each_of_few_and_of_many_experts(order):
    for experts in (1, 2, 256):
        assert len(load(order, experts=experts, selected=0)[1].data) == experts


@pytest.mark.parametrize("unit", charts.MEASURES)
def test_layers_show_model_twin_and_chance(unit):
    frame, chart = by_layer(unit)
    shown = chart.data.pivot(index="layer", columns="what", values="value")
    np.testing.assert_allclose(shown["this model"], frame["live"], atol=1e-5)
    np.testing.assert_allclose(shown["untrained twin"], frame["twin"], atol=1e-5)
    np.testing.assert_allclose(shown["chance, 5–95%"], frame["mean"], atol=1e-5)
    assert chart.data["here"].sum() == 1 and chart.data.loc[chart.data["here"], "layer"].item() == 1
    assert f"{frame['live'][1]:.2f}" in chart.alt and f"{frame['low'][1]:.2f} and {frame['high'][1]:.2f}" in chart.alt
    assert ("bits" in chart.alt) == (unit == "entropy")


@pytest.mark.parametrize(("draw", "message"), [
    (lambda: charts.load_against_uniform(np.arange(4), np.ones(3), np.ones((4, 2)), 5, charts.BY_NUMBER),
     r"counts \(3,\) and band \(4, 2\)"),
    (lambda: charts.load_by_layer(by_layer("entropy")[0], "mean of ids", 0), "cannot be drawn"),
    (lambda: charts.load_by_layer(by_layer("entropy")[0], "entropy", 3), "cannot be drawn"),
    (lambda: touched(batch=7), "batch=7 is not"), (lambda: growth(experts=33), "experts=33")])
def test_what_does_not_fit_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_scores_separate_the_chosen_from_the_others():
    here, chart = scores()
    assert set(chart.data.loc[chart.data["bar"] == "chosen", "expert"]) == set(here.chosen[4])
    np.testing.assert_allclose(chart.data["logit"], here.logits[4], atol=1e-4)
    least = here.logits[4][here.chosen[4]].min()
    assert chart.data["threshold"].unique() == pytest.approx([least], abs=1e-4)
    assert ((chart.data["logit"] >= chart.data["threshold"]) == (chart.data["bar"] == "chosen")).all()
    assert f"best is expert {here.chosen[4, 0]} with {here.logits[4].max():.2f}" in chart.alt and "·cat" in chart.alt


def test_the_weights_of_both_orders_are_drawn_and_their_sums_given():
    orders, chart = weights()
    shown = chart.data.pivot(index="expert", columns="order", values="weight")
    assert [int(label.split()[1]) for label in shown.index] == orders["expert"].tolist()
    np.testing.assert_allclose(shown["top-k first (gpt-oss)"], orders["top-k, softmax"], atol=1e-5)
    np.testing.assert_allclose(shown["softmax first"], orders["softmax, top-k"], atol=1e-5)
    assert f"sum to {orders['softmax, top-k'].sum():.2f}" in chart.alt and "sum to 1.00" in chart.alt and not chart.note


def test_of_many_weights_the_best_are_drawn_and_it_says_so():
    orders, chart = weights(experts=256, active=128)
    assert len(chart.data) == 2 * charts.MAX_ROWS and chart.note == "the 16 best of 128 chosen experts"
    assert "The 128 weights" in chart.alt and f"{orders['softmax, top-k'].sum():.2f}" in chart.alt


def test_touched_shows_formula_text_and_residents():
    frame, chart = touched()
    shown = chart.data.pivot(index="batch", columns="what", values="experts")
    np.testing.assert_allclose(shown["formula"], frame["formula"], atol=1e-3)
    assert (shown["resident"] == 16).all() and shown["this text, mean"].isna().tolist() == [False] * 4 + [True]
    row = frame.set_index("batch").loc[32]
    assert f"touches {row['formula']:.1f}" in chart.alt and f"{row['touched']:.1f}" in chart.alt
    assert "fewer tokens" in touched(batch=64)[1].alt


def test_curves_hold_the_activation_and_real_neurons():
    chosen, chart = curves()
    shown = chart.data[chart.data["what"] == "gpt-oss, as chosen"]
    np.testing.assert_allclose(shown["output"], chosen["output"], atol=1e-4)
    assert sorted(chart.data["label"].unique()) == ["", "linear 0", "linear 3", "linear −1"]
    for words in ("without the clamp it would be 20.00", "The 9 neurons", "2 of them are clamped"):
        assert words in chart.alt
    assert not chart.note
    many = curves(neurons=charts.MAX_NEURONS + 5)[1]
    assert (many.data["what"] == "real neurons").sum() == charts.MAX_NEURONS and str(charts.MAX_NEURONS + 5) in many.note


def test_designs_are_where_their_costs_say_and_dense_ones_on_the_line():
    frame, chart = designs()
    points = chart.data[chart.data["kind"].isin(["mixture", "dense"])]
    assert points["flops"].tolist() == frame["flops"].tolist()
    assert points["parameters"].tolist() == frame["parameters"].tolist()
    line = chart.data[chart.data["kind"] == "line"]
    slope = line["parameters"] / line["flops"]
    dense = points[points["kind"] == "dense"]
    np.testing.assert_allclose(dense["parameters"] / dense["flops"], slope.iloc[0], rtol=1e-3)
    assert points["parameters"].iloc[0] / points["flops"].iloc[0] > 7 * slope.iloc[0], "the mixture lies above the line"
    assert points["label"].tolist() == ["mixture\n28.68 B\n7.17 GFLOP", "equal compute\n÷8 parameters",
                                        "equal size\n×7.99 compute", "one expert\n÷32 parameters\n÷4 compute"]
    assert frame["parameters"].iloc[0] == pytest.approx(28.7e9, rel=2e-3)
    assert "Compared with “dense, equal compute” it has 8 times the parameters and takes the same compute" in chart.alt


def test_designs_on_one_point_share_a_label_and_labels_of_near_ones_keep_apart():
    labels = designs(experts=1, active=1)[1].data["label"].tolist()[:4]
    assert labels[0].startswith("mixture = dense\n") and labels[1:] == ["", "", ""]
    labels = designs(experts=8, active=1)[1].data["label"].tolist()[:4]
    assert labels[1].startswith("equal compute =\none expert\n") and labels[3] == ""
    labels = designs(experts=256, active=128)[1].data["label"].tolist()
    assert labels[1].startswith("\n") and not labels[2].startswith("\n") and not labels[3].startswith("\n")


def test_growth_has_both_lines_and_marks_the_model():
    frame, chart = growth()
    shown = chart.data.pivot(index="experts", columns="what", values="parameters")
    assert shown["all parameters"].tolist() == frame["total"].tolist()
    assert shown["active for one token"].tolist() == frame["active"].tolist()
    assert set(chart.data.loc[chart.data["here"], "experts"]) == {32}
    assert "20.91 B" in chart.alt and "(17.3%)" in chart.alt


@pytest.mark.parametrize(("count", "experts", "active"), [(512, 256, 128), (512, 8, 1), (5, 4, 4)])
def test_the_map_stays_small_marks_a_token_and_says_where_it_went_and_what_was_left_out(count, experts, active):
    chosen, shares = routing(count, active, experts)
    chart = routing_map(chosen, shares, experts, tokens(count), selected_expert=0, start=200, selected_token=count - 1)
    assert len(chart.data) <= 3000 and bool(chart.note) == (count == 512)
    first = int(chart.data["token"].cat.categories[0].split()[0])
    shown = len(chart.data) // active
    assert first == min(200, max(count - shown, 0))
    np.testing.assert_array_equal(chart.data["expert"], chosen[first:first + shown].ravel())
    chart = routing_map(chosen, shares, experts, tokens(count), selected_token=4)
    assert set(chart.data.loc[chart.data["here"], "token"]) == {chart.data["token"].cat.categories[4]}
    names = [*map(str, chosen[4, :8]), *("…" for _ in range(active > 8))]
    where = f"experts {', '.join(names)}, best first." if active > 1 else f"expert {names[0]}."
    assert f"goes to {where}" in chart.alt


def test_a_click_picks_an_expert_and_where_there_are_tokens_a_token():
    chosen, shares = routing(6, 2, 8)
    for chart, fields in ((routing_map(chosen, shares, 8, tokens(6)), ["expert", "token"]), (load()[1], ["expert"]),
                          (load(charts.BY_NUMBER)[1], ["expert"]), (scores()[1], ["expert"])):
        assert [p["select"]["fields"] for p in chart.spec["params"] if p["name"] == "picked"] == [fields]


def test_the_picture_of_a_long_text_is_every_choice():
    chosen, shares = routing(300, 2, 16)
    picture = charts.routing_picture(chosen, shares, 16, selected=3)
    assert picture.image.shape == (16, 300, 4)
    lit = picture.image[..., 3] > 30
    expected = np.zeros((16, 300), bool)
    expected[chosen, np.arange(300)[:, None]] = True
    np.testing.assert_array_equal(lit, expected)
    assert (picture.image[3, :, :3] == palette.rgb(palette.ACCENT)).all()
    assert (np.delete(picture.image, 3, axis=0)[..., :3] == palette.rgb(palette.MOST)).all()
    assert f"{(chosen == 3).any(axis=1).sum()} tokens" in picture.alt and "All 300 tokens" in picture.alt


def test_the_picture_of_many_experts_keeps_the_selected_row_in_sight():
    chosen, shares = routing(20, 4, 256)
    for selected in (0, 100, 255):
        image = charts.routing_picture(chosen, shares, 256, selected).image
        coloured = (image[:, 0, :3] == palette.rgb(palette.ACCENT)).all(axis=1)
        assert 3 <= coloured.sum() <= 5 and coloured[selected]
    assert not (charts.routing_picture(chosen, shares, 256).image[..., :3] == palette.rgb(palette.ACCENT)).all(axis=-1).any()
