"""Routing, load and the next token."""

import numpy as np
import pytest
from chart_inputs import routing, tokens

from gptoss.charts import expert_load, next_token, routing_map, visible_token


@pytest.mark.parametrize(("count", "active", "experts"), [(1, 1, 1), (30, 2, 8), (64, 4, 128), (512, 4, 32)])
def test_routing_holds_each_choice(count, active, experts):
    chosen, weights = routing(count, active, experts)
    chart = routing_map(chosen, weights, experts, tokens(count), selected_expert=0)
    shown = min(count, 80)
    np.testing.assert_array_equal(chart.data["expert"], chosen[:shown].ravel())
    np.testing.assert_allclose(chart.data["weight"], weights[:shown].ravel(), atol=1e-4)
    assert ((chart.data["what"] == "selected expert") == (chart.data["expert"] == 0)).all()
    assert chart.spec["encoding"]["y"]["scale"]["domain"] == list(range(experts))
    assert f"Expert 0 was chosen for {(chosen == 0).any(axis=1).sum()} tokens" in chart.alt
    assert f"{len(set(chosen.ravel()))} experts were used" in chart.alt
    assert bool(chart.note) == (count > 80)


def test_routing_specification_depends_on_the_number_of_experts_only():
    specs = {experts: routing_map(*routing(5, 2, experts), experts, tokens(5)).spec for experts in (4, 8)}
    assert specs[4] is routing_map(*routing(9, 1, 4, seed=1), 4, tokens(9)).spec
    assert specs[4] is not specs[8]


def test_routing_refuses_experts_that_do_not_exist():
    with pytest.raises(ValueError, match="allowed: 0 to 1"):
        routing_map(np.array([[2]]), np.array([[1.0]]), 2, ["a"])


@pytest.mark.parametrize("experts", [1, 8, 128])
def test_load_compares_with_an_even_share(experts):
    active = min(4, experts)
    counts = np.bincount(routing(40, active, experts)[0].ravel(), minlength=experts)
    chart = expert_load(counts, 40, selected=0)
    np.testing.assert_allclose(chart.data["share"], counts / 40, atol=1e-5)
    assert set(chart.data["even"]) == {round(active / experts, 5)}
    assert list(chart.data["expert"]) == list(range(experts))
    assert f"an even load is {active / experts:.1%}" in chart.alt
    assert f"Expert {counts.argmax()} was used most, for {counts.max() / 40:.1%}" in chart.alt


def test_load_refuses_more_visits_than_tokens():
    with pytest.raises(ValueError, match="3 tokens"):
        expert_load(np.array([4, 0]), 3)


def test_next_token_is_sorted_and_complete():
    probabilities = np.random.default_rng(1).dirichlet(np.ones(50))
    labels = [f"t{i}" for i in range(50)]
    chart = next_token(labels, probabilities, top=5)
    best = np.argsort(-probabilities)[:5]
    assert [key[5:] for key in chart.data["token"]] == [labels[i] for i in best]
    np.testing.assert_allclose(chart.data["probability"], probabilities[best], atol=1e-6)
    assert f"{labels[best[0]]} with {probabilities[best[0]]:.1%}" in chart.alt
    assert f"{probabilities[best].sum():.1%} of the probability" in chart.alt


def test_next_token_with_one_token_and_with_none():
    assert len(next_token(["a"], np.array([1.0])).data) == 1
    with pytest.raises(ValueError, match="0 labels"):
        next_token([], np.array([]))


@pytest.mark.parametrize(("token", "shown"), [
    (" the", "·the"), ("\n\n", "⏎⏎"), ("\t", "⇥"), ("", "∅"), ("\x00", "\\x00"), ("\u202e", "\\x202e"),
    ("\ud800", "\\xd800"), ("<script>", "<script>"), ("👩\u200d💻", "👩\u200d💻"), ("x" * 16, "x" * 16),
    ("x" * 17, "x" * 15 + "…"),
])
def test_tokens_are_made_visible(token, shown):
    assert visible_token(token) == shown
