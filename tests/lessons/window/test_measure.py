"""Reach and its costs: boolean products against gradients of real models, closed forms against real tensors."""

import math

import numpy as np
import pytest
import random_models
import torch
from hypothesis import given
from hypothesis import strategies as st

from gptoss.config import ModelConfig
from gptoss.cost import forward_flops, kv_cache_bytes, visible_pairs
from gptoss.lessons.window import measure
from gptoss.model import Transformer
from gptoss.model.fast.attention import fused_attention_in_parts
from gptoss.model.kv_cache import LayerCache

SMALL = random_models.SMALL.replace(num_hidden_layers=4, sliding_window=4)
BIG = ModelConfig.preset("gpt-oss-120b")
CONTEXTS = (128, 1024, 131_072)


def random_ids(count):
    return random_models.random_tokens(SMALL, count).tolist()


def test_patterns_give_each_layer_its_window_as_the_model_does():
    assert measure.windows_of(measure.EVERY_LAYER_FULL, 3, 8) == (0, 0, 0)
    assert measure.windows_of(measure.EVERY_LAYER_SLIDING, 3, 8) == (8, 8, 8)
    assert measure.windows_of(measure.ALTERNATING, 5, 8) == (8, 0, 8, 0, 8)
    assert measure.windows_in(Transformer(SMALL, device="meta")) == measure.windows_of(measure.ALTERNATING, 4, 4)
    with pytest.raises(ValueError, match="every layer full, alternating, every layer sliding"):
        measure.windows_of("odd", 3, 8)


@pytest.mark.parametrize("pattern", measure.PATTERNS)
@pytest.mark.parametrize("window", [1, 2, 4, 30, 0])
def test_a_real_models_gradients_are_not_zero_exactly_where_reach_says(pattern, window):
    """Every token's stream after every layer, against every embedding."""
    model = measure.with_windows(Transformer(SMALL, dtype=torch.float64, seed=1), measure.windows_of(pattern, 4, window))
    ids = random_ids(20)
    expected = measure.reach(measure.windows_in(model), 20)
    for token in range(20):
        assert torch.equal(measure.gradient_reach(model, ids, token), expected[:, token]), token


def test_gradients_of_the_logits_say_the_same_of_the_last_layer():
    """Taken through the final norm and the unembedding, by autograd over the whole model and all logits at once."""
    model = measure.with_windows(Transformer(SMALL, dtype=torch.float64, seed=2), (4, 4, 4, 4))
    expected = measure.reach((4, 4, 4, 4), 20)[-1]

    def logits(x):
        for block in model.block:
            x = block(x)
        return model.unembedding(model.norm(x))[0] @ torch.linspace(-1, 1, SMALL.vocab_size, dtype=torch.float64)

    jacobian = torch.autograd.functional.jacobian(logits, model.embedding(torch.tensor([random_ids(20)])))
    assert torch.equal((jacobian[:, 0] != 0).any(dim=-1), expected)


@given(st.integers(1, 6), st.integers(1, 9), st.integers(1, 40))
def test_sliding_layers_reach_l_times_w_less_one(layers, window, tokens):
    known = measure.reach((window,) * layers, tokens)
    back = measure.sliding_reach(layers, window)
    for i, row in enumerate(known[-1].tolist()):
        assert row == [max(0, i - back) <= j <= i for j in range(tokens)]


@given(st.integers(2, 6), st.integers(1, 9), st.integers(1, 40))
def test_alternating_layers_know_everything_from_the_second_on(layers, window, tokens):
    known = measure.reach(measure.windows_of(measure.ALTERNATING, layers, window), tokens)
    assert torch.equal(known[1], measure.mask(tokens, window))
    everything = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    assert all(torch.equal(known[d], everything) for d in range(2, layers + 1))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=4), st.integers(1, 12))
def test_reach_is_where_a_path_leads(windows, tokens):
    """Walked token by token with Python sets."""
    def sources(i, layers):
        if not layers:
            return {i}
        first = max(0, i - layers[-1] + 1) if layers[-1] else 0
        return set().union(*(sources(j, layers[:-1]) for j in range(first, i + 1)))

    known = measure.reach(tuple(windows), tokens)[-1]
    for i in range(tokens):
        assert set(known[i].nonzero()[:, 0].tolist()) == sources(i, windows)


def test_four_layers_of_a_window_of_16_reach_60_back_and_32_tokens_with_one_of_8_keep_228_of_528_pairs():
    assert measure.sliding_reach(4, 16) == 60
    row = measure.reach((16, 16, 16, 16), 100)[-1, 99].nonzero()[:, 0]
    assert 99 - row.min() == 60 and len(row) == 61
    assert int(measure.mask(32, 8).sum()) == visible_pairs(32, 32, 8) == 228
    assert int(measure.mask(32, 0).sum()) == visible_pairs(32, 32, 0) == 528


@pytest.mark.parametrize("tokens", [1, 2, 33])
@pytest.mark.parametrize("window", [0, 1, 8, 40])
def test_the_mask_agrees_with_the_rule_spelt_out(tokens, window):
    assert measure.mask_disagreements(tokens, window) == 0


def test_a_mask_with_a_mistake_is_noticed(monkeypatch):
    wrong = measure.mask(9, 4).clone()
    wrong[5, 1] = wrong[0, 8] = True  # one key too early, one in the future
    monkeypatch.setattr("gptoss.lessons.window.measure.mask", lambda tokens, window: wrong)
    assert measure.mask_disagreements(9, 4) == 2


def test_other_windows_share_the_weights_and_leave_the_model_alone():
    model = Transformer(SMALL).requires_grad_(False)
    twin = measure.with_windows(model, (2, 2, 2, 2))
    assert measure.windows_in(model) == (4, 0, 4, 0) and measure.windows_in(twin) == (2, 2, 2, 2)
    pairs = list(zip(model.parameters(), twin.parameters(), strict=True))
    assert len(pairs) > 40 and all(ours.data_ptr() == theirs.data_ptr() for ours, theirs in pairs)
    assert not any(parameter.requires_grad for parameter in twin.parameters())
    ids = torch.tensor([random_ids(12)])
    torch.testing.assert_close(measure.with_windows(model, measure.windows_in(model))(ids), model(ids))
    with pytest.raises(ValueError):
        measure.with_windows(model, (2, 2))


@pytest.mark.parametrize("layer", [0, 1])
def test_fused_and_explicit_attention_agree_on_a_live_text(layer):
    assert 0 <= measure.fused_difference(Transformer(SMALL), random_ids(90), layer) < 1e-5


def test_a_fused_path_that_forgets_the_window_is_noticed(monkeypatch):
    monkeypatch.setattr("gptoss.lessons.window.measure.fused_attention_in_parts",
                        lambda *inputs: fused_attention_in_parts(*inputs[:4], 0))
    assert measure.fused_difference(Transformer(SMALL), random_ids(30), 0) > 0.01


@pytest.mark.parametrize("count", [1, 2, 8, 9, 15, 16, 17, 40])
def test_a_live_ring_cache_holds_what_the_closed_form_counts_and_loses_nothing(count):
    config = ModelConfig.preset("classroom")
    cache, difference = measure.read_with_cache(Transformer(config), random_ids(count))
    assert cache.length == count
    assert cache.nbytes == kv_cache_bytes(config, count, bytes_per_value=4)
    assert [layer.slots for layer in cache.layers] == [min(count, 16), count] * 2
    assert difference < 1e-4


def test_a_ring_that_is_too_short_is_noticed(monkeypatch):
    model = Transformer(ModelConfig.preset("classroom"))
    honest = model.new_cache

    def short(tokens):
        cache = honest(tokens)
        cache.layers[0] = LayerCache(1, 7, 2, 16)
        return cache

    monkeypatch.setattr(model, "new_cache", short)
    assert measure.read_with_cache(model, random_ids(40))[1] > 1e-3


def test_costs_are_those_of_models_that_can_be_built():
    """Full and alternating layers are settings of one configuration; sliding ones are half of twice as many layers."""
    frame = measure.costs_by_context(BIG, CONTEXTS).set_index(["layers", "context"])
    for context in CONTEXTS:
        full, twice = BIG.replace(sliding_window=0), BIG.replace(num_hidden_layers=72)
        assert frame.loc[(measure.EVERY_LAYER_FULL, context), "bytes"] == kv_cache_bytes(full, context)
        assert frame.loc[(measure.ALTERNATING, context), "bytes"] == kv_cache_bytes(BIG, context)
        sliding = measure.cache_by_kind(twice, context)["sliding"][1]
        assert frame.loc[(measure.EVERY_LAYER_SLIDING, context), "bytes"] == sliding
        for pattern, config in ((measure.EVERY_LAYER_FULL, full), (measure.ALTERNATING, BIG)):
            flops = forward_flops(config, context).needed["scores"]  # two a product of head_dim values
            assert frame.loc[(pattern, context), "scores"] == flops / (2 * config.head_dim)
    assert len(frame) == 3 * len(CONTEXTS)


def test_scores_are_counted_by_the_masks():
    config = SMALL.replace(num_hidden_layers=3)
    frame = measure.costs_by_context(config, (1, 7, 50)).set_index(["layers", "context"])
    for pattern in measure.PATTERNS:
        for context in (1, 7, 50):
            pairs = sum(int(measure.mask(context, window).sum()) for window in measure.windows_of(pattern, 3, 4))
            assert frame.loc[(pattern, context), "scores"] == pairs * config.num_attention_heads


def test_full_layers_of_gpt_oss_120b_hold_a_thousand_times_more_and_a_missing_kind_holds_nothing():
    """At 131,072 tokens 18 sliding layers hold 4.5 MiB, 18 full ones 4.5 GiB."""
    kinds = measure.cache_by_kind(BIG, 131_072)
    assert kinds == {"sliding": (18, int(4.5 * 2**20)), "full": (18, int(4.5 * 2**30))}
    assert kinds["full"][1] == 1024 * kinds["sliding"][1]
    assert sum(size for _, size in kinds.values()) == kv_cache_bytes(BIG, 131_072)

    assert measure.cache_by_kind(SMALL.replace(num_hidden_layers=1), 100)["full"] == (0, 0)
    assert measure.cache_by_kind(SMALL.replace(sliding_window=0), 100)["sliding"] == (0, 0)


def test_total_variation_is_0_for_equal_distributions_and_1_for_disjoint_ones():
    p, q = torch.tensor([0.5, 0.5, 0, 0]), torch.tensor([0, 0.25, 0.25, 0.5])
    assert measure.total_variation(p, p) == 0
    assert measure.total_variation(p, q) == pytest.approx(0.75)
    assert measure.total_variation(torch.tensor([1.0, 0]), torch.tensor([0, 1.0])) == 1


def test_outputs_move_away_from_the_models_own_window():
    model, ids = Transformer(SMALL).eval(), random_ids(20)
    frame = measure.outputs_by_window(model, ids, (1, 4, 20, 64, 0))
    distance = dict(zip(frame["window"], frame["distance"], strict=True))
    assert distance[4] == 0
    assert distance[20] == pytest.approx(distance[0], abs=1e-6) == pytest.approx(distance[64], abs=1e-6)
    assert all(0 < distance[window] <= 1 for window in (1, 20, 0))
    with torch.no_grad():
        one = Transformer(SMALL.replace(sliding_window=1)).eval()  # the same seed, the same weights
        p, q = (torch.softmax(network(torch.tensor([ids]))[0, -1].double(), dim=-1) for network in (model, one))
    assert math.isclose(distance[1], (p - q).clamp(min=0).sum().item(), rel_tol=1e-3)


@torch.no_grad()
def test_one_key_too_many_is_a_mask_with_one_more_place_a_row():
    """Against a model whose sliding layers are built with a window that is one wider."""
    model, ids = random_models.random_model(SMALL, 3), random_models.random_tokens(SMALL, 14, seed=2)
    wider = Transformer(SMALL.replace(sliding_window=SMALL.sliding_window + 1)).eval()
    wider.load_state_dict(model.state_dict())
    changes = measure.off_by_one(model, ids.tolist())
    logits, other = (each(ids[None])[0].double() for each in (model, wider))
    np.testing.assert_allclose(changes["moved"], (other - logits).abs().amax(dim=-1), atol=1e-5)
    early = changes["position"] < SMALL.sliding_window
    assert (changes["moved"][early] < 1e-5).all() and (changes["moved"][~early] > 1e-3).all()
    for name, each in (("loss", logits), ("other", other)):
        expected = [-each[place].log_softmax(dim=-1)[ids[place + 1]].item() for place in range(13)]
        np.testing.assert_allclose(changes[name][:-1], expected, atol=1e-5)
        assert np.isnan(changes[name].iloc[-1])


@pytest.mark.parametrize(("tokens", "window", "first"), [(100, 32, 68), (5, 8, 0), (9, 0, 0), (9, 1, 8)])
def test_the_first_position_seen(tokens, window, first):
    assert measure.first_seen(tokens, window) == first


def test_windows_save_half_of_what_does_not_fit_in_them():
    config = ModelConfig.preset("gpt-oss-20b")
    assert measure.cache_saved(config, 200) == pytest.approx((200 - 128) / 200 / 2)
    assert measure.cache_saved(config, 128) == 0 and measure.cache_saved(config, 131_072) == pytest.approx(0.5, abs=0.001)
