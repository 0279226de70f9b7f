"""One query's steps, entropies and kernels, against the model's own trace, transformers' softmax, and closed forms."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gptoss.config import ModelConfig
from gptoss.lessons.attention import measure
from gptoss.model import Transformer
from gptoss.model.mask import visible
from gptoss.trace import trace

SMALL = ModelConfig.preset("classroom").replace(num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=3,
                                                head_dim=8, sliding_window=5, vocab_size=97)
TOKENS = 13


def traced(layer=0, dtype=torch.float32, tokens=TOKENS, config=SMALL):
    """A full trace of a random model, and the heads of one of its layers."""
    model = Transformer(config, dtype=dtype, seed=3).eval().requires_grad_(False)
    ids = torch.randint(config.vocab_size, (1, tokens), generator=torch.Generator().manual_seed(5))
    result = trace(model, ids)
    return result, measure.LayerHeads.from_trace(result, layer, model.block[layer].attn), model


@pytest.mark.parametrize(("layer", "dtype"), itertools.product((0, 1), (torch.float32, torch.bfloat16)))
def test_every_step_of_every_query_is_the_models_own(layer, dtype):
    result, heads, model = traced(layer, dtype)
    scores, weights, sink, mixed = (
        result[f"block.{layer}.attn.{name}"][0].float().numpy() for name in ("scores", "weights", "sink_mass", "mixed"))
    close = {"atol": 1e-6, "rtol": 1e-5} if dtype == torch.float32 else {"atol": 2e-2, "rtol": 2e-2}
    mask = visible(TOKENS, TOKENS, SMALL.window_of(layer)).numpy()
    for head in range(6):
        for position in range(TOKENS):
            steps = measure.query_steps(heads, head, position)
            np.testing.assert_allclose(steps.scores, scores[head, position], **close)
            np.testing.assert_allclose(steps.weights, weights[head, position], **close)
            np.testing.assert_allclose(steps.sink_weight, sink[head, position], **close)
            np.testing.assert_allclose(steps.output, mixed[position, head], **close)
            np.testing.assert_array_equal(steps.seen, mask[position])
            assert steps.sink_logit == model.block[layer].attn.sinks[head].item()


def test_each_step_follows_from_the_one_before():
    _, heads, _ = traced(0)
    for head in range(6):
        steps = measure.query_steps(heads, head, 9)
        products = [sum(float(a) * float(b) for a, b in zip(steps.query, key, strict=True)) for key in steps.keys]
        np.testing.assert_allclose(steps.products, products, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(steps.scores, np.array(products) / math.sqrt(8), rtol=1e-5, atol=1e-5)
        exponentials = np.where(steps.seen, np.exp(steps.scores), 0)
        assert steps.denominator == pytest.approx(exponentials.sum() + math.exp(steps.sink_logit), rel=1e-6)
        np.testing.assert_allclose(steps.weights, exponentials / steps.denominator, rtol=1e-5, atol=1e-7)
        assert steps.weights.sum() + steps.sink_weight == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(steps.output, steps.weights @ steps.values, rtol=1e-5, atol=1e-6)
        assert steps.best_key == max(range(TOKENS), key=lambda key: steps.weights[key])


def test_a_query_reads_the_keys_and_values_of_its_group():
    result, heads, _ = traced(1)
    q, k, v = (result[f"block.1.attn.{name}"][0].numpy() for name in ("q_rope", "k_rope", "v"))
    for head, key_head in enumerate([0, 0, 1, 1, 2, 2]):
        steps = measure.query_steps(heads, head, 4)
        for mine, recorded in ((steps.keys, k[:, key_head]), (steps.values, v[:, key_head]), (steps.query, q[4, head])):
            np.testing.assert_array_equal(mine, recorded)


def test_sinks_that_are_off_take_nothing():
    _, heads, model = traced(1)
    model = model.sharing_weights(sinks=-math.inf).eval().requires_grad_(False)
    off = measure.LayerHeads(heads.q, heads.k, heads.v, model.block[1].attn.sinks, heads.window)
    steps = measure.query_steps(off, 2, 7)
    assert steps.sink_weight == 0 and steps.sink_logit == -math.inf
    assert steps.weights.sum() == pytest.approx(1, abs=1e-6)
    assert steps.denominator == pytest.approx(np.exp(steps.scores[:8]).sum(), rel=1e-6)


def test_a_head_or_position_that_is_not_there_is_refused():
    _, heads, _ = traced()
    for head, position in ((6, 0), (-1, 0), (0, TOKENS), (0, -1)):
        with pytest.raises(ValueError, match="heads 0 to 5, positions 0 to 12"):
            measure.query_steps(heads, head, position)


@pytest.mark.parametrize("layer", [0, 1])
def test_weights_and_entropies_of_all_heads_are_the_traces(layer):
    result, heads, _ = traced(layer)
    entropies = []
    for head in range(6):
        weights, sink = measure.head_weights(heads, head)
        np.testing.assert_allclose(weights, result[f"block.{layer}.attn.weights"][0, head].numpy(), atol=1e-6)
        np.testing.assert_allclose(sink, result[f"block.{layer}.attn.sink_mass"][0, head].numpy(), atol=1e-6)
        rows = [torch.distributions.Categorical(torch.tensor([*row, share])).entropy().item() / math.log(2)
                for row, share in zip(weights, sink, strict=True)]
        entropies.append(np.mean(rows))
    np.testing.assert_allclose(measure.layer_entropies(heads), entropies, atol=1e-4)


def test_entropy_is_0_for_one_place_and_2_bits_for_four():
    one_place, four_places = np.eye(3), np.full((3, 3), 0.25)
    assert measure.entropy_bits(one_place, np.zeros(3)) == 0
    assert measure.entropy_bits(four_places, np.full(3, 0.25)) == pytest.approx(2)
    assert measure.entropy_bits(np.zeros((3, 3)), np.ones(3)) == 0


@given(st.integers(1, 60), st.integers(0, 70), st.booleans())
def test_even_attention_has_the_largest_entropy(tokens, window, sink):
    mask = visible(tokens, tokens, window).numpy().astype(float)
    places = mask.sum(axis=1) + sink
    assert mask.sum(axis=1).tolist() == [measure.visible_keys(position, window) for position in range(tokens)]
    even = measure.entropy_bits(mask / places[:, None], sink / places)
    assert measure.even_entropy_bits(tokens, window, sink) == pytest.approx(even, abs=1e-9)
    drawn = np.random.default_rng(0).gamma(1.0, size=(tokens, tokens)) * mask
    uneven = measure.entropy_bits(drawn / drawn.sum(axis=1, keepdims=True), np.zeros(tokens))
    assert uneven <= measure.even_entropy_bits(tokens, window, sink) + 1e-9


def test_heads_are_chosen_from_focused_to_spread_with_both_ends():
    entropies = np.array([5.0, 1.0, 3.0, 2.0, 4.0])
    assert measure.heads_by_entropy(entropies) == [1, 3, 2, 4, 0]
    assert measure.heads_by_entropy(entropies, 3) == [1, 2, 0]
    assert measure.heads_by_entropy(np.array([2.0])) == [0]
    many = np.random.default_rng(1).normal(size=128)
    eight = measure.heads_by_entropy(many)
    assert len(set(eight)) == 8 and eight[0] == many.argmin() and eight[-1] == many.argmax()
    assert list(many[eight]) == sorted(many[eight])


@given(st.integers(1, 30), st.integers(0, 12), st.integers(3, 9), st.data())
def test_the_keys_shown_hold_the_chosen_one_both_edges_of_the_mask_and_the_heaviest(tokens, window, count, data):
    position, chosen = data.draw(st.integers(0, tokens - 1)), data.draw(st.integers(0, tokens - 1))
    seen = visible(tokens, tokens, window)[position].numpy()
    weights = np.random.default_rng(tokens).random(tokens) * seen
    zeros = np.zeros((tokens, 2))
    steps = measure.QuerySteps(position, window, zeros[0], zeros, zeros, weights, weights, seen, weights, 0.0, 0.0, zeros[0])
    shown = measure.keys_to_show(steps, chosen, count)
    assert shown == sorted(set(shown)) and len(shown) <= count and chosen in shown
    assert position + 1 == tokens or position + 1 in shown
    before = position - window
    assert not window or before < 0 or before in shown
    left_out = [weights[key] for key in range(tokens) if seen[key] and key not in shown]
    by_weight = [weights[key] for key in shown if seen[key] and key != chosen]
    assert not left_out or not by_weight or max(left_out) <= min(by_weight)
    if len(shown) < count:
        assert set(np.flatnonzero(seen)) <= set(shown)


@pytest.mark.parametrize("layer", [0, 1])
def test_the_kernels_differ_by_rounding_alone(layer):
    result, heads, model = traced(layer, tokens=90)
    check = measure.compare_kernels(heads)
    mixed = result[f"block.{layer}.attn.mixed"][0]
    assert 0 < check.difference < 1e-5
    assert check.values == mixed.numel() == 90 * 6 * 8 and check.rounding == 2**-23
    assert check.largest == pytest.approx(mixed.abs().max().item(), rel=1e-5)


def test_a_kernel_that_forgot_the_sink_would_differ():
    _, heads, _ = traced(0)
    other = measure.LayerHeads(heads.q, heads.k, heads.v, torch.full_like(heads.sinks, -math.inf), heads.window)
    with_sink, without = (measure.query_steps(layer, 0, 9).output for layer in (heads, other))
    assert np.abs(with_sink - without).max() > 1e-3


@pytest.mark.parametrize("layer", [0, 1])
def test_heads_taken_one_by_one_are_the_heads_of_the_pass(layer):
    result, heads, _ = traced(layer)
    assert measure.compare_with_trace(heads, result, layer) < 1e-6
    other = dict(result) | {f"block.{layer}.attn.sink_mass": result[f"block.{layer}.attn.sink_mass"] + 0.25}
    assert measure.compare_with_trace(heads, other, layer) == pytest.approx(0.25, abs=1e-6)


def test_equal_scores_share_evenly_among_the_keys_seen_and_the_sink():
    for window, sink, places in ((0, 0.0, 13), (8, 0.0, 9), (0, -math.inf, 12), (0, math.log(12), 24)):
        assert measure.weight_when_scores_are_equal(12, window, sink) == pytest.approx(1 / places, abs=1e-7)
    assert [measure.visible_keys(position, window) for position, window in ((9, 8), (9, 0), (5, 8))] == [8, 10, 6]


@pytest.mark.parametrize("preset", ["gpt-oss-20b", "gpt-oss-120b"])
def test_the_head_size_is_not_the_hidden_size_over_the_heads(preset):
    assert measure.head_size(ModelConfig.preset(preset)) == (64, 64, 45)
