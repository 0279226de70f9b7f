"""Routing and load, against the model's own tensors, against every possible routing counted out, and against simulation."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gptoss.config import ModelConfig
from gptoss.cost import expected_experts_touched
from gptoss.lessons.experts.measure.routing import (
    NULL_DRAWS,
    Routing,
    balancing_loss,
    drawn_moments,
    expected_entropy,
    expected_touched_in_text,
    load_entropy,
    load_variation,
    route,
    routing_of_every_layer,
    routing_orders,
    touched_by_batch,
    unevenness,
    uniform_routing,
    variation_squared_moments,
)
from gptoss.model import Transformer
from gptoss.trace import trace

CONFIG = ModelConfig(num_hidden_layers=3, num_experts=6, experts_per_token=2, vocab_size=40, hidden_size=16,
                     intermediate_size=8, head_dim=4, num_attention_heads=2, num_key_value_heads=1, sliding_window=4)


def traced():
    model = Transformer(CONFIG, seed=3).eval()
    return model, trace(model, torch.arange(20)[None] % 13)


def random_routing(tokens, experts, active, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return route(torch.randn(tokens, experts, generator=generator), active)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("inside", [0, 2])
def test_every_layers_routing_is_the_one_that_ran(dtype, inside):
    """The trace keeps the inside of one layer, as on the pages; what the routers said is caught while they ran."""
    model = Transformer(CONFIG, dtype=dtype, seed=3).eval()
    said = []
    for block in model.block:
        block.mlp.gate.register_forward_hook(lambda gate, inputs, logits: said.append(logits[0].float().numpy()))
    short = trace(model, torch.arange(20)[None] % 13, layers=[inside])
    ran = said[:CONFIG.num_hidden_layers]
    routings = routing_of_every_layer(model, short)
    for routing, logits in zip(routings, ran, strict=True):
        np.testing.assert_array_equal(routing.logits, logits)
    np.testing.assert_array_equal(routings[inside].chosen, short[f"block.{inside}.mlp.experts"][0].numpy())
    np.testing.assert_array_equal(routings[inside].weights, short[f"block.{inside}.mlp.expert_weights"][0].float().numpy())


def test_a_batch_of_texts_is_refused():
    model, _ = traced()
    with pytest.raises(ValueError, match="2 texts; allowed: 1"):
        routing_of_every_layer(model, trace(model, torch.zeros(2, 3, dtype=torch.long)))


def test_counts_are_visits():
    routing = random_routing(50, 6, 2)
    assert routing.counts.sum() == 100
    assert routing.counts.tolist() == [int((routing.chosen == expert).sum()) for expert in range(6)]


@given(st.integers(1, 40), st.integers(0, 10**6), st.floats(0.1, 8), st.data())
def test_softmax_then_top_k_renormalised_is_top_k_then_softmax(experts, seed, spread, data):
    """The two orders differ by what is lost, and by nothing else: a softmax only fixes ratios."""
    active = data.draw(st.integers(1, experts))
    logits = np.random.default_rng(seed).normal(scale=spread, size=experts)
    orders = routing_orders(logits, active)
    np.testing.assert_allclose(orders["renormalised"], orders["top-k, softmax"], rtol=1e-12)
    assert orders["top-k, softmax"].sum() == pytest.approx(1)
    kept = np.exp(np.sort(logits)[::-1][:active]).sum() / np.exp(logits).sum()
    assert orders["softmax, top-k"].sum() == pytest.approx(kept)
    np.testing.assert_allclose(orders["softmax, top-k"] / orders["top-k, softmax"], kept, rtol=1e-9)
    assert orders["expert"].tolist() == np.argsort(-logits, kind="stable")[:active].tolist()


def test_the_order_of_gpt_oss_is_what_the_model_computes():
    model, whole = traced()
    orders = routing_orders(whole["block.1.mlp.router_logits"][0, 7].numpy(), CONFIG.experts_per_token)
    assert orders["expert"].tolist() == whole["block.1.mlp.experts"][0, 7].tolist()
    np.testing.assert_allclose(orders["top-k, softmax"], whole["block.1.mlp.expert_weights"][0, 7].numpy(), rtol=1e-6)


def test_measures_of_an_even_and_of_the_most_uneven_load():
    even, all_to_two = np.full(8, 5), np.array([20, 20, 0, 0, 0, 0, 0, 0])
    assert load_variation(even) == 0 and load_entropy(even) == 3
    assert load_variation(all_to_two) == pytest.approx(math.sqrt(3)) and load_entropy(all_to_two) == 1
    np.testing.assert_array_equal(load_entropy(np.stack([even, all_to_two])), [3, 1])


def every_load(tokens, experts, active):
    """The loads of all equally likely routings, counted out: (routings, experts)."""
    choices = [np.isin(np.arange(experts), picked) for picked in itertools.combinations(range(experts), active)]
    return np.array([np.sum(each, axis=0) for each in itertools.product(choices, repeat=tokens)])


@pytest.mark.parametrize(("tokens", "experts", "active"), [(1, 4, 2), (2, 4, 1), (3, 4, 2), (4, 3, 2), (3, 5, 4), (2, 3, 3)])
def test_closed_forms_against_every_possible_routing(tokens, experts, active):
    loads = every_load(tokens, experts, active)
    squared = load_variation(loads) ** 2
    mean, deviation = variation_squared_moments(tokens, experts, active)
    assert mean == pytest.approx(squared.mean(), abs=1e-12)
    assert deviation == pytest.approx(squared.std(), abs=1e-7)
    assert expected_entropy(tokens, experts, active) == pytest.approx(load_entropy(loads).mean(), abs=1e-9)


@pytest.mark.parametrize(("tokens", "experts", "active"), [(71, 32, 4), (40, 8, 7), (300, 16, 8), (5, 64, 1)])
def test_the_null_against_tokens_that_choose_one_by_one(tokens, experts, active):
    """An independent simulation: every token shuffles the experts and takes the first k."""
    random = np.random.default_rng(11)
    shuffled = random.permuted(np.tile(np.arange(experts), (400, tokens, 1)), axis=-1)[..., :active]
    loads = np.stack([np.bincount(each.ravel(), minlength=experts) for each in shuffled])
    null = uniform_routing(tokens, experts, active)
    for spread, simulated in ((null.variation, load_variation(loads)), (null.entropy, load_entropy(loads))):
        width = simulated.max() - simulated.min()
        assert [spread.low, spread.high] == pytest.approx(np.percentile(simulated, [5, 95]).tolist(), abs=0.12 * width)
        assert spread.low < simulated.mean() < spread.high
    mean, deviation = variation_squared_moments(tokens, experts, active)
    squared = load_variation(loads) ** 2
    for squared_mean, squared_deviation in (drawn_moments(tokens, experts, active), (squared.mean(), squared.std())):
        assert squared_mean == pytest.approx(mean, abs=0.25 * deviation)
        assert squared_deviation == pytest.approx(deviation, rel=0.25)
    inside = (loads >= null.one_expert.low) & (loads <= null.one_expert.high)
    assert 0.88 < inside.mean() <= 1 and (loads[:, 0] < null.one_expert.low).mean() < 0.08
    busiest = np.percentile(loads.max(axis=1), 50)
    assert null.ranked[0, 0] <= busiest <= null.ranked[0, 2]


@pytest.mark.parametrize(("tokens", "experts", "active"), [(1, 1, 1), (512, 1, 1), (3, 4, 4), (1, 256, 128), (512, 128, 4)])
def test_the_null_at_its_ends(tokens, experts, active):
    null = uniform_routing(tokens, experts, active)
    assert null is uniform_routing(tokens, experts, active)
    assert null.ranked.shape == (experts, 3) and (np.diff(null.ranked, axis=0) <= 0).all()
    assert null.one_expert.low <= null.one_expert.mean <= null.one_expert.high <= tokens
    if active == experts:
        assert null.variation.high == 0 and drawn_moments(tokens, experts, active) == (0, 0)
        assert null.entropy.low == pytest.approx(math.log2(experts)) == pytest.approx(null.entropy.mean)
        assert (null.ranked == tokens).all()


def test_random_loads_give_every_token_its_experts():
    null = uniform_routing(30, 5, 2)
    assert null.ranked.sum() / 3 == pytest.approx(60, rel=0.1)
    assert NULL_DRAWS >= 200, "percentiles need draws"


@pytest.mark.parametrize(("tokens", "experts", "active"), [(0, 4, 2), (5, 4, 5), (5, 4, 0)])
def test_impossible_nulls_are_refused(tokens, experts, active):
    with pytest.raises(ValueError, match="cannot choose"):
        uniform_routing(tokens, experts, active)


def test_the_balancing_loss_is_1_when_even_and_experts_over_k_when_all_agree():
    even = Routing(np.zeros((4, 4), np.float32), np.arange(4)[:, None], np.ones((4, 1), np.float32))
    assert balancing_loss(even) == pytest.approx(1)
    logits = np.tile(np.array([50, 50, 0, 0], np.float32), (4, 1))
    agreed = Routing(logits, np.tile([0, 1], (4, 1)), np.full((4, 2), 0.5, np.float32))
    assert balancing_loss(agreed) == pytest.approx(2)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_touched_in_a_text_against_every_possible_batch(size):
    routing = random_routing(5, 7, 2)
    batches = [len(np.unique(routing.chosen[list(batch)])) for batch in itertools.combinations(range(5), size)]
    assert expected_touched_in_text(routing.counts, 5, size) == pytest.approx(np.mean(batches))


def test_touched_by_batch_has_the_formula_the_text_and_its_spread():
    config = CONFIG.replace(num_experts=32, experts_per_token=4)
    routing = random_routing(64, 32, 4)
    frame = touched_by_batch(routing, config, [1, 4, 16, 64, 128]).set_index("batch")
    assert frame["formula"].tolist() == [expected_experts_touched(config, size) for size in frame.index]
    assert frame.loc[1, ["touched", "low", "high"]].tolist() == [4, 4, 4]
    assert frame.loc[64, ["touched", "low", "high"]].tolist() == [np.count_nonzero(routing.counts)] * 3
    assert (frame["low"] <= frame["touched"])[:4].all() and (frame["touched"] <= frame["high"])[:4].all()
    assert frame.loc[128, ["touched", "low", "high"]].isna().all() and frame.loc[128, "formula"] > 31


def test_tokens_drawn_independently_follow_the_formula():
    """A text of very many tokens that choose evenly: drawing from it is as good as drawing anew."""
    config = ModelConfig(num_experts=16, experts_per_token=2)
    chosen = np.array(list(itertools.combinations(range(16), 2)) * 20)
    routing = Routing(np.zeros((len(chosen), 16), np.float32), chosen, np.full(chosen.shape, 0.5, np.float32))
    frame = touched_by_batch(routing, config, [1, 2, 4, 8, 16])
    np.testing.assert_allclose(frame["touched"], frame["formula"], rtol=2e-3)


def test_32_tokens_touch_82_of_128_experts():
    assert round(expected_experts_touched(ModelConfig(num_experts=128, experts_per_token=4), 32)) == 82


@pytest.mark.parametrize("measure", ["variation", "entropy"])
def test_every_layer_is_measured_beside_its_twin_and_chance(measure):
    live, twin = ([random_routing(30, 6, 2, seed=seed) for seed in seeds] for seeds in ((0, 1), (2, 3)))
    frame = unevenness(live, twin, measure)
    of_load = {"variation": load_variation, "entropy": load_entropy}[measure]
    assert frame["layer"].tolist() == [0, 1]
    assert frame["live"].tolist() == [of_load(each.counts) for each in live]
    assert frame["twin"].tolist() == [of_load(each.counts) for each in twin]
    chance = getattr(uniform_routing(30, 6, 2), measure)
    assert (frame[["mean", "low", "high"]] == [chance.mean, chance.low, chance.high]).all(axis=None)


def test_an_unknown_measure_is_refused():
    routing = random_routing(5, 4, 2)
    with pytest.raises(ValueError, match="allowed: variation, entropy"):
        unevenness([routing], [routing], "mean of ids")
