"""Routing against every possible routing counted out and simulation; SwiGLU, costs and paths against another way to know."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_models import random_model
from torch.nn import functional as F

from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import count_parameters, expected_experts_touched
from gptoss.lessons.experts import measure
from gptoss.model import Transformer
from gptoss.trace import trace

ROUTED = ModelConfig(num_hidden_layers=3, num_experts=6, experts_per_token=2, vocab_size=40, hidden_size=16,
                     intermediate_size=8, head_dim=4, num_attention_heads=2, num_key_value_heads=1, sliding_window=4)


MODEL, TOKENS = Transformer(ROUTED, seed=3).eval(), torch.arange(20)[None] % 13


def random_routing(tokens, experts, active, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return measure.route(torch.randn(tokens, experts, generator=generator), active)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("inside", [0, 2])
def test_every_layers_routing_is_the_one_that_ran(dtype, inside):
    """The trace keeps the inside of one layer, as on the pages; what the routers said is caught while they ran."""
    model = Transformer(ROUTED, dtype=dtype, seed=3).eval()
    ran_logits = []
    for block in model.block:
        block.mlp.gate.register_forward_hook(lambda gate, inputs, logits: ran_logits.append(logits[0].float().numpy()))
    short = trace(model, TOKENS, layers=[inside])
    ran = ran_logits[:ROUTED.num_hidden_layers]
    routings = measure.routing_of_every_layer(model, short)
    for routing, logits in zip(routings, ran, strict=True):
        np.testing.assert_array_equal(routing.logits, logits)
    np.testing.assert_array_equal(routings[inside].chosen, short[f"block.{inside}.mlp.experts"][0].numpy())
    np.testing.assert_array_equal(routings[inside].weights, short[f"block.{inside}.mlp.expert_weights"][0].float().numpy())


def test_counts_are_visits():
    routing = random_routing(50, 6, 2)
    assert routing.counts.tolist() == [int((routing.chosen == expert).sum()) for expert in range(6)]


@given(st.integers(1, 40), st.integers(0, 10**6), st.floats(0.1, 8), st.data())
def test_softmax_then_top_k_renormalised_is_top_k_then_softmax(experts, seed, spread, data):
    """The two orders differ by what is lost, and by nothing else: a softmax only fixes ratios."""
    active = data.draw(st.integers(1, experts))
    logits = np.random.default_rng(seed).normal(scale=spread, size=experts)
    orders = measure.routing_orders(logits, active)
    np.testing.assert_allclose(orders["renormalised"], orders["top-k, softmax"], rtol=1e-12)
    assert orders["top-k, softmax"].sum() == pytest.approx(1)
    share = np.exp(np.sort(logits)[::-1][:active]).sum() / np.exp(logits).sum()
    assert orders["softmax, top-k"].sum() == pytest.approx(share)
    np.testing.assert_allclose(orders["softmax, top-k"] / orders["top-k, softmax"], share, rtol=1e-9)
    assert orders["expert"].tolist() == np.argsort(-logits, kind="stable")[:active].tolist()


def test_the_order_of_gpt_oss_is_what_the_model_computes():
    whole = trace(MODEL, TOKENS)
    orders = measure.routing_orders(whole["block.1.mlp.router_logits"][0, 7].numpy(), ROUTED.experts_per_token)
    assert orders["expert"].tolist() == whole["block.1.mlp.experts"][0, 7].tolist()
    np.testing.assert_allclose(orders["top-k, softmax"], whole["block.1.mlp.expert_weights"][0, 7].numpy(), rtol=1e-6)


def test_an_even_load_has_no_variation_and_the_most_entropy():
    even, all_to_two = np.full(8, 5), np.array([20, 20, 0, 0, 0, 0, 0, 0])
    assert measure.load_variation(even) == 0 and measure.load_entropy(even) == 3
    assert measure.load_variation(all_to_two) == pytest.approx(math.sqrt(3)) and measure.load_entropy(all_to_two) == 1
    np.testing.assert_array_equal(measure.load_entropy(np.stack([even, all_to_two])), [3, 1])


def every_load(tokens, experts, active):
    """The loads of all equally likely routings, counted out: (routings, experts)."""
    choices = [np.isin(np.arange(experts), picked) for picked in itertools.combinations(range(experts), active)]
    return np.array([np.sum(routing, axis=0) for routing in itertools.product(choices, repeat=tokens)])


@pytest.mark.parametrize(("tokens", "experts", "active"), [(1, 4, 2), (2, 4, 1), (3, 4, 2), (4, 3, 2), (3, 5, 4), (2, 3, 3)])
def test_closed_forms_are_the_means_over_every_possible_routing(tokens, experts, active):
    loads = every_load(tokens, experts, active)
    squared = measure.load_variation(loads) ** 2
    mean, deviation = measure.variation_squared_moments(tokens, experts, active)
    assert mean == pytest.approx(squared.mean(), abs=1e-12)
    assert deviation == pytest.approx(squared.std(), abs=1e-7)
    assert measure.expected_entropy(tokens, experts, active) == pytest.approx(measure.load_entropy(loads).mean(), abs=1e-9)


@pytest.mark.parametrize(("tokens", "experts", "active"), [(71, 32, 4), (40, 8, 7), (300, 16, 8), (5, 64, 1)])
def test_random_loads_spread_like_those_of_tokens_that_choose_one_by_one(tokens, experts, active):
    """An independent simulation: every token shuffles the experts and takes the first k."""
    random = np.random.default_rng(11)
    shuffled = random.permuted(np.tile(np.arange(experts), (400, tokens, 1)), axis=-1)[..., :active]
    loads = np.stack([np.bincount(routing.ravel(), minlength=experts) for routing in shuffled])
    null = measure.uniform_routing(tokens, experts, active)
    for spread, simulated in ((null.variation, measure.load_variation(loads)), (null.entropy, measure.load_entropy(loads))):
        width = simulated.max() - simulated.min()
        assert [spread.low, spread.high] == pytest.approx(np.percentile(simulated, [5, 95]).tolist(), abs=0.12 * width)
        assert spread.low < simulated.mean() < spread.high
    mean, deviation = measure.variation_squared_moments(tokens, experts, active)
    squared = measure.load_variation(loads) ** 2
    for squared_mean, squared_deviation in (measure.drawn_moments(tokens, experts, active), (squared.mean(), squared.std())):
        assert squared_mean == pytest.approx(mean, abs=0.25 * deviation)
        assert squared_deviation == pytest.approx(deviation, rel=0.25)
    inside = (loads >= null.one_expert.low) & (loads <= null.one_expert.high)
    assert 0.88 < inside.mean() <= 1 and (loads[:, 0] < null.one_expert.low).mean() < 0.08
    busiest = np.percentile(loads.max(axis=1), 50)
    assert null.ranked[0, 0] <= busiest <= null.ranked[0, 2]


@pytest.mark.parametrize(("tokens", "experts", "active"), [(1, 1, 1), (512, 1, 1), (3, 4, 4), (1, 256, 128), (512, 128, 4)])
def test_random_loads_keep_their_bounds_for_few_and_for_many_experts(tokens, experts, active):
    null = measure.uniform_routing(tokens, experts, active)
    assert null.ranked.mean() == pytest.approx(tokens * active / experts, rel=0.1) and measure.NULL_DRAWS >= 200
    assert null is measure.uniform_routing(tokens, experts, active)
    assert null.ranked.shape == (experts, 3) and (np.diff(null.ranked, axis=0) <= 0).all()
    assert null.one_expert.low <= null.one_expert.mean <= null.one_expert.high <= tokens
    if active == experts:
        assert null.variation.high == 0 and measure.drawn_moments(tokens, experts, active) == (0, 0)
        assert null.entropy.low == pytest.approx(math.log2(experts)) == pytest.approx(null.entropy.mean)
        assert (null.ranked == tokens).all()


@pytest.mark.parametrize(("call", "message"), [
    *((partial(measure.uniform_routing, *shape), "cannot choose") for shape in ((0, 4, 2), (5, 4, 5), (5, 4, 0))),
    (lambda: measure.unevenness(*[[random_routing(5, 4, 2)]] * 2, "mean"), "allowed: variation, entropy"),
    (lambda: measure.routing_of_every_layer(MODEL, trace(MODEL, TOKENS.expand(2, -1))), "2 texts; allowed: 1")])
def test_what_cannot_be_measured_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_balancing_loss_is_1_when_even_and_experts_over_k_when_all_agree():
    even = measure.Routing(np.zeros((4, 4), np.float32), np.arange(4)[:, None], np.ones((4, 1), np.float32))
    assert measure.balancing_loss(even) == pytest.approx(1)
    logits = np.tile(np.array([50, 50, 0, 0], np.float32), (4, 1))
    agreed = measure.Routing(logits, np.tile([0, 1], (4, 1)), np.full((4, 2), 0.5, np.float32))
    assert measure.balancing_loss(agreed) == pytest.approx(2)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_experts_touched_in_a_text_are_the_mean_over_every_possible_batch(size):
    routing = random_routing(5, 7, 2)
    batches = [len(np.unique(routing.chosen[list(batch)])) for batch in itertools.combinations(range(5), size)]
    assert measure.expected_touched_in_text(routing.counts, 5, size) == pytest.approx(np.mean(batches))


def test_touched_by_batch_has_the_formula_the_text_and_its_spread():
    config = ROUTED.replace(num_experts=32, experts_per_token=4)
    routing = random_routing(64, 32, 4)
    frame = measure.touched_by_batch(routing, config, [1, 4, 16, 64, 128]).set_index("batch")
    assert frame["formula"].tolist() == [expected_experts_touched(config, size) for size in frame.index]
    assert frame.loc[1, ["touched", "low", "high"]].tolist() == [4, 4, 4]
    assert frame.loc[64, ["touched", "low", "high"]].tolist() == [np.count_nonzero(routing.counts)] * 3
    assert (frame["low"] <= frame["touched"])[:4].all() and (frame["touched"] <= frame["high"])[:4].all()
    assert frame.loc[128, ["touched", "low", "high"]].isna().all() and frame.loc[128, "formula"] > 31


def test_tokens_drawn_independently_follow_the_formula():
    """A text of very many tokens that choose evenly: drawing from it is as good as drawing anew."""
    config = ModelConfig(num_experts=16, experts_per_token=2)
    chosen = np.array(list(itertools.combinations(range(16), 2)) * 20)
    routing = measure.Routing(np.zeros((len(chosen), 16), np.float32), chosen, np.full(chosen.shape, 0.5, np.float32))
    frame = measure.touched_by_batch(routing, config, [1, 2, 4, 8, 16])
    np.testing.assert_allclose(frame["touched"], frame["formula"], rtol=2e-3)


@pytest.mark.parametrize("unit", ["variation", "entropy"])
def test_every_layer_is_measured_beside_its_twin_and_chance(unit):
    live, twin = ([random_routing(30, 6, 2, seed=seed) for seed in seeds] for seeds in ((0, 1), (2, 3)))
    frame = measure.unevenness(live, twin, unit)
    of_load = {"variation": measure.load_variation, "entropy": measure.load_entropy}[unit]
    assert frame["layer"].tolist() == [0, 1]
    assert frame["live"].tolist() == [of_load(routing.counts) for routing in live]
    assert frame["twin"].tolist() == [of_load(routing.counts) for routing in twin]
    chance = getattr(measure.uniform_routing(30, 6, 2), unit)
    assert (frame[["mean", "low", "high"]] == [chance.mean, chance.low, chance.high]).all(axis=None)


CONFIG = ModelConfig(num_hidden_layers=2, num_experts=6, experts_per_token=3, vocab_size=30, hidden_size=20,
                     intermediate_size=12, head_dim=4, num_attention_heads=2, num_key_value_heads=1)


def noisy_model(config=CONFIG):
    return random_model(config, seed=1).requires_grad_(False)


def random_stream(tokens):
    return torch.randn(1, tokens, CONFIG.hidden_size, generator=torch.Generator().manual_seed(0))


def by_hand(gate, linear, variant, limit=7.0):
    """The activation of one neuron in plain arithmetic."""
    alpha = 1 if variant == measure.PLAIN else 1.702
    if variant not in (measure.NO_CLAMP, measure.PLAIN):
        gate, linear = min(gate, limit), max(-limit, min(linear, limit))
    one = 0 if variant in (measure.NO_ONE, measure.PLAIN) else 1
    return gate / (1 + math.exp(-alpha * gate)) * (linear + one)


@pytest.mark.parametrize("variant", measure.ACTIVATIONS)
@pytest.mark.parametrize(("gate", "linear"), [(0, 3), (1, 2), (1, -1), (-1, 0), (10, 0), (10, 10), (2, -10), (-9, 8)])
def test_each_activation_is_its_formula(variant, gate, linear):
    value = measure.activation(torch.tensor(float(gate)).double(), torch.tensor(float(linear)).double(), 7.0, variant)
    assert value.item() == pytest.approx(by_hand(gate, linear, variant), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("variant", measure.ACTIVATIONS)
def test_curves_are_the_activation_on_a_grid(variant):
    frame = measure.activation_curves((-1.0, 0.5, 9.0), 7.0, variant)
    assert len(frame) == 3 * len(measure.GATES)
    for row in frame.iloc[::37].itertuples():
        assert row.output == pytest.approx(by_hand(row.gate, row.linear, variant), rel=1e-9, abs=1e-12)


def test_the_clamp_flattens_the_curve_and_the_one_keeps_the_neuron_open():
    curves = {variant: measure.activation_curves((0.0, 9.0), 7.0, variant) for variant in measure.ACTIVATIONS}
    clamped = curves[measure.AS_IN_GPT_OSS].query("gate >= 7").groupby("linear")["output"]
    assert (clamped.max() == clamped.min()).all(), "flat from 7 on"
    assert clamped.max()[9.0] == pytest.approx(7 * 8, rel=1e-4)
    assert curves[measure.NO_CLAMP].query("linear == 9")["output"].max() == pytest.approx(100, rel=1e-4)
    assert (curves[measure.NO_ONE].query("linear == 0")["output"] == 0).all(), "a linear half of 0 closes the neuron"
    assert 7.0 in measure.GATES and (measure.GATES[0], measure.GATES[-1]) == (-5, 10)


def test_1_702_makes_the_gate_close_to_gelu():
    exact = max(abs(by_hand(gate, 0, measure.NO_CLAMP) - gate * (1 + math.erf(gate / math.sqrt(2))) / 2)
                for gate in measure.GATES.tolist())
    assert measure.gelu_gap() == pytest.approx(exact, rel=1e-6)
    assert 0.02 < measure.gelu_gap() < 0.021


def test_neurons_are_what_the_experts_second_matrix_reads():
    model = noisy_model()
    traced = trace(model, torch.arange(8)[None])
    token, choice = 5, 1
    expert = traced["block.1.mlp.experts"][0, token, choice].item()
    mlp = model.block[1].mlp
    frame = measure.neurons(mlp, traced["block.1.after_attn"][0, token], expert)
    answer = mlp.mlp2_weight[expert] @ torch.tensor(frame["output"].to_numpy(copy=True)) + mlp.mlp2_bias[expert]
    torch.testing.assert_close(answer, traced["block.1.mlp.expert_outputs"][token, choice], atol=1e-5, rtol=1e-4)
    outputs = [by_hand(row.gate, row.linear, measure.AS_IN_GPT_OSS) for row in frame.itertuples()]
    np.testing.assert_allclose(frame["output"], outputs, rtol=1e-4, atol=1e-6)
    assert not frame["clamped"].any()
    mlp.swiglu_limit = 0.5
    tight = measure.neurons(mlp, traced["block.1.after_attn"][0, token], expert)
    assert tight["clamped"].tolist() == [row.gate > 0.5 or abs(row.linear) > 0.5 for row in frame.itertuples()]
    assert 0 < tight["clamped"].sum() < len(tight)


def dense_elements(config, width):
    """Elements of real tensors: a dense MLP of gpt-oss's form, in all layers."""
    dense = config.replace(num_experts=1, experts_per_token=1, intermediate_size=width)
    model = Transformer(dense, device="meta")
    return sum(p.numel() for name, p in model.named_parameters() if ".mlp.mlp" in name)


@pytest.mark.parametrize("preset", ["classroom", "notebook", "gpt-oss-20b"])
def test_parameters_beside_dense_mlps_are_those_of_real_tensors(preset):
    config = ModelConfig.preset(preset)
    frame = measure.against_dense(config).set_index("design")
    assert tuple(frame.index) == measure.DESIGNS
    real = Transformer(config, device="meta")
    mixture = sum(p.numel() for name, p in real.named_parameters() if ".mlp." in name and "norm" not in name)
    assert frame.loc[measure.MIXTURE, "parameters"] == mixture
    for design in measure.DESIGNS[1:]:
        assert frame.loc[design, "parameters"] == dense_elements(config, int(frame.loc[design, "width"]))
    ratios = frame / frame.loc[measure.MIXTURE]
    share = config.experts_per_token / config.num_experts
    assert ratios.loc[measure.EQUAL_COMPUTE, "flops"] == pytest.approx(1, rel=0.02)
    assert ratios.loc[measure.EQUAL_COMPUTE, "parameters"] == pytest.approx(share, rel=0.02)
    assert ratios.loc[measure.EQUAL_SIZE, "parameters"] == pytest.approx(1, rel=0.01)
    assert ratios.loc[measure.EQUAL_SIZE, "flops"] == pytest.approx(1 / share, rel=0.02)
    assert ratios.loc[measure.ONE_EXPERT, "flops"] == pytest.approx(1 / config.experts_per_token, rel=0.02)
    assert ratios.loc[measure.ONE_EXPERT, "parameters"] == pytest.approx(1 / config.num_experts, rel=0.01)


def test_flops_beside_dense_mlps_are_those_that_torch_counts():
    from torch.utils.flop_counter import FlopCounterMode

    config, hidden = CONFIG, CONFIG.hidden_size
    frame = measure.against_dense(config).set_index("design")
    width = int(frame.loc[measure.EQUAL_SIZE, "width"])
    with FlopCounterMode(display=False) as counter:
        x = torch.zeros(1, hidden)
        F.linear(F.linear(x, torch.zeros(2 * width, hidden))[:, ::2], torch.zeros(hidden, width))
    assert frame.loc[measure.EQUAL_SIZE, "flops"] == config.num_hidden_layers * counter.get_total_flops()


@pytest.mark.parametrize(("preset", "share"), [("gpt-oss-120b", 0.044), ("gpt-oss-20b", 0.173)])
def test_the_published_models_use_4_and_17_percent_of_their_parameters(preset, share):
    frame = measure.by_number_of_experts(ModelConfig.preset(preset)).set_index("experts")
    row = frame.loc[ModelConfig.preset(preset).num_experts]
    assert row["active"] / row["total"] == pytest.approx(share, abs=0.0005)


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_more_experts_make_a_larger_model_and_hardly_a_slower_one(config):
    frame = measure.by_number_of_experts(config)
    assert tuple(frame["experts"]) == measure.EXPERT_COUNTS
    assert (frame["total"].diff()[1:] > 0).all()
    enough = frame[frame["experts"] >= config.experts_per_token]
    router = config.num_hidden_layers * (config.hidden_size + 1)
    assert (enough["active"].diff()[1:] == router * enough["experts"].diff()[1:]).all(), "only the router grows"
    for row in frame.itertuples():
        changed = config.replace(num_experts=row.experts, experts_per_token=min(row.experts, config.experts_per_token))
        assert (row.total, row.active) == (count_parameters(changed).total, count_parameters(changed).active)


def of_one_layer(mlp, stream):
    """The routing of a stream in layer 0."""
    return measure.LiveRouting((measure.route(mlp.gate(mlp.norm(stream))[0], mlp.experts_per_token),), (stream,))


@pytest.mark.parametrize("active", [1, 3, 6])
@pytest.mark.parametrize("tokens", [1, 2, 40])
def test_the_paths_agree_and_the_check_measures_their_answers(tokens, active):
    model = noisy_model(CONFIG.replace(experts_per_token=active))
    mlp = model.block[0].mlp
    stream = random_stream(tokens)
    check = measure.check_experts(model, of_one_layer(mlp, stream), 0, most=16)
    assert check.tokens == min(tokens, 16)
    assert max(check.batched, check.in_turn, check.orders) < 1e-5 < check.scale
    assert (check.exact, check.drawn) == tuple(
        moments(tokens, CONFIG.num_experts, active)
        for moments in (measure.variation_squared_moments, measure.drawn_moments))
    answers = torch.stack([measure.one_token(mlp, token) for token in mlp.norm(stream)[0]])
    torch.testing.assert_close(mlp(stream)[0] - stream[0], answers, atol=1e-5, rtol=1e-4)
    assert check.scale == pytest.approx(answers[:16].square().mean().sqrt().item(), rel=1e-5)


def test_a_broken_path_is_seen(monkeypatch):
    model = noisy_model()
    mlp = model.block[0].mlp
    stream = random_stream(9)
    monkeypatch.setattr("gptoss.model.fast.experts.answer_at_once", lambda rows, *rest: torch.zeros_like(rows))
    check = measure.check_experts(model, of_one_layer(mlp, stream), 0)
    assert check.batched > 0.1 and check.in_turn < 1e-5


def test_routing_alone_is_routing_together_and_one_that_depends_on_the_company_is_seen():
    """A router that subtracts the batch's mean score, as a balancing one would, sends single tokens elsewhere."""
    mlp, stream = noisy_model().block[0].mlp, random_stream(30)
    assert measure.same_experts_alone(mlp, stream) == 30
    plain = mlp.gate.forward
    mlp.gate.forward = lambda x: plain(x) - plain(x).mean(dim=0)
    assert measure.same_experts_alone(mlp, stream) < 30
