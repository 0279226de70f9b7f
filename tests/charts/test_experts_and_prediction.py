"""Routing, load and the next token."""

import numpy as np
import pytest
from chart_checks import assert_well_made, axis_titles
from chart_inputs import routing, tokens

from gptoss.charts import expert_load, next_token, palette, routing_map, visible_token
from gptoss.units import plural


@pytest.mark.parametrize(("count", "active", "experts"), [(1, 1, 1), (30, 2, 8), (64, 4, 128), (512, 4, 32)])
def test_routing_holds_each_choice(count, active, experts):
    chosen, weights = routing(count, active, experts)
    chart = routing_map(chosen, weights, experts, tokens(count), selected_expert=0)
    shown = min(count, 80)
    np.testing.assert_array_equal(chart.data["expert"], chosen[:shown].ravel())
    np.testing.assert_allclose(chart.data["weight"], weights[:shown].ravel(), atol=1e-4)
    assert ((chart.data["what"] == "selected expert") == (chart.data["expert"] == 0)).all()
    assert chart.spec["encoding"]["y"]["scale"]["domain"] == list(range(experts))
    assert f"Expert 0 is chosen by {plural((chosen == 0).any(axis=1).sum(), 'token')}" in chart.alt
    used = len(set(chosen.ravel()))
    assert ("every expert is chosen at least once" if used == experts else f"{used} experts are chosen at all") in chart.alt
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
    assert f"an even load would be {active / experts:.1%}" in chart.alt
    assert f"number {counts.argmax()} was used most, for {counts.max() / 40:.1%}" in chart.alt
    assert ("Every expert had something to do" in chart.alt) == bool(counts.all())


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
    assert f"“{labels[best[0]]}” with {probabilities[best[0]]:.1%}" in chart.alt
    assert f"{probabilities[best].sum():.1%} of the probability" in chart.alt


NAMES = [f"t{i}" for i in range(50)]


def distributions(seed):
    return np.random.default_rng(seed).dirichlet(np.ones(50), size=2)


@pytest.mark.parametrize("options", [
    {"top": 5, "without": "without the sinks"}, {"top": 6, "answer": 3}, {"model": "GPT-2", "colour": palette.GPT2}])
def test_every_kind_of_next_tokens_is_well_made(options):
    first, second = (next_token(NAMES, now, before=before if "without" in options else None, **options)
                     for now, before in map(distributions, (1, 2)))
    assert_well_made(first, second)
    assert axis_titles(first.spec) == {
        "x": f"probability (%){', outlined: without' if 'without' in options else ''}",
        "y": f"next token{' of GPT-2' if 'model' in options else ''}"}


def test_next_token_with_few_tokens_and_with_none():
    for count in (1, 2, 6):
        assert len(next_token(NAMES[:count], distributions(0)[0][:count], answer=0).data) == count
    with pytest.raises(ValueError, match="0 labels"):
        next_token([], np.array([]))


@pytest.mark.parametrize("now, before", [(np.zeros(3), None), (np.zeros(50), np.zeros(3))])
def test_next_tokens_that_do_not_fit_are_refused(now, before):
    with pytest.raises(ValueError, match="do not fit"):
        next_token(NAMES, now, before=before)


def test_next_tokens_beside_those_before_are_the_best_of_either():
    now, before = distributions(3)
    chart = next_token(NAMES, now, top=5, before=before, without="without the sinks")
    shown = [label.split(" ")[1] for label in chart.data["token"]]
    best = {NAMES[i] for probabilities in (now, before) for i in np.argsort(-probabilities)[:5]}
    assert set(shown) == best and 5 <= len(shown) <= 10
    np.testing.assert_allclose(chart.data["probability"], np.sort(now[[NAMES.index(t) for t in shown]])[::-1], atol=1e-6)
    first = NAMES.index(shown[0])
    assert chart.data["label"][0] == f"{now[first]:.1%} ({before[first]:.1%})"
    assert NAMES[now.argmax()] in chart.alt and NAMES[before.argmax()] in chart.alt
    assert "without the sinks it was the same token" in next_token(NAMES, now, before=now, without="without the sinks").alt


def test_the_answer_is_the_first_of_the_next_tokens():
    now = np.linspace(0.0, 0.04, 50)
    chart = next_token(NAMES, now, top=6, before=now[::-1], answer=3)
    assert chart.data["token"].tolist() == ["0001 t3", "0002 t49", "0003 t48", "0004 t47", "0005 t46", "0006 t45"]
    assert chart.data["what"].tolist() == ["the answer", *["another token"] * 5]
    assert chart.data["before"].tolist() == pytest.approx(now[::-1][[3, 49, 48, 47, 46, 45]], abs=1e-6)
    assert "“t3” goes from 3.76% to 0.24%, rank 47." in chart.alt
    alone = next_token(NAMES, now, top=6, answer=3)
    assert chart.data["changed"].all() and not alone.data["changed"].any() and alone.spec is chart.spec


@pytest.mark.parametrize(("token", "shown"), [
    (" the", "·the"), ("\n\n", "⏎⏎"), ("\t", "⇥"), ("", "∅"), ("\x00", "\\x00"), ("\u202e", "\\x202e"),
    ("\ud800", "\\xd800"), ("<script>", "<script>"), ("👩\u200d💻", "👩\u200d💻"), ("x" * 16, "x" * 16),
    ("x" * 17, "x" * 15 + "…"),
])
def test_tokens_are_made_visible(token, shown):
    assert visible_token(token) == shown
