"""ModelConfig: what it refuses, its presets, and how it shrinks."""

import dataclasses
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gptoss.config import PRESETS, ModelConfig, divisors_of
from gptoss.cost import count_parameters, scale_model
from gptoss.model import Transformer
from gptoss.model.rope import yarn_range

COUNTS = ("num_hidden_layers", "num_experts", "experts_per_token", "vocab_size", "hidden_size", "intermediate_size",
          "head_dim", "num_attention_heads", "num_key_value_heads", "initial_context_length")
NUMBERS = ("swiglu_limit", "rope_theta", "rope_scaling_factor", "rope_ntk_alpha", "rope_ntk_beta")
UNCHANGED_BY_SCALING = ("num_attention_heads", "num_key_value_heads", "sliding_window", "num_experts", "experts_per_token",
                    "initial_context_length", "rope_theta", "rope_scaling_factor", "rope_ntk_alpha", "rope_ntk_beta",
                    "swiglu_limit")


@st.composite
def valid_configs(draw, size=4096):
    """Any model up to some size, its fields drawn independently wherever they may be."""
    kv_heads, experts, alpha = draw(st.integers(1, 8)), draw(st.integers(1, 16)), draw(st.floats(0.1, 30))
    return ModelConfig(
        num_hidden_layers=draw(st.integers(1, 5)), num_experts=experts,
        experts_per_token=draw(st.integers(1, experts)), vocab_size=draw(st.integers(1, size)),
        hidden_size=draw(st.integers(1, size)), intermediate_size=draw(st.integers(1, size)),
        swiglu_limit=draw(st.floats(0.01, 100)), head_dim=2 * draw(st.integers(1, size // 64)),
        num_attention_heads=kv_heads * draw(st.integers(1, 8)), num_key_value_heads=kv_heads,
        sliding_window=draw(st.integers(0, 300)), initial_context_length=draw(st.integers(1, 10_000)),
        rope_theta=draw(st.floats(1.1, 1e6)), rope_scaling_factor=draw(st.floats(1, 64)), rope_ntk_alpha=alpha,
        rope_ntk_beta=alpha * draw(st.floats(1.01, 50)))


def assert_refused(field, value, allowed, **others):
    with pytest.raises(ValueError, match=f"^{field}={re.escape(repr(value))} is impossible; allowed: .*{allowed}"):
        ModelConfig(**{field: value, **others})


def test_the_defaults_are_gpt_oss_120b():
    assert ModelConfig.preset("gpt-oss-120b") == ModelConfig()
    assert ModelConfig.preset("gpt-oss-20b") == ModelConfig(num_hidden_layers=24, num_experts=32)


@pytest.mark.parametrize("field", COUNTS)
def test_counts_are_integers_of_one_or_more(field):
    for value in (0, -1, 1.5, 4.0, "4", None, True):
        assert_refused(field, value, "an integer of 1 or more")


def test_the_window_is_an_integer_of_zero_or_more():
    for value in (-1, 1.5, None, True):
        assert_refused("sliding_window", value, "an integer of 0 or more")
    assert ModelConfig(sliding_window=0).window_of(0) == 0


@pytest.mark.parametrize("field", NUMBERS)
def test_numbers_are_finite_and_above_zero(field):
    for value in (0, -1.0, float("nan"), float("inf"), "1", None, True):
        assert_refused(field, value, "a finite number above 0")


@pytest.mark.parametrize(("field", "value", "allowed", "others"), [
    ("head_dim", 63, "an even number", {}),
    ("num_key_value_heads", 5, "divisor of num_attention_heads=12: 1, 2, 3, 4, 6, 12", {"num_attention_heads": 12}),
    ("num_key_value_heads", 24, "1, 2, 3, 4, 6, 12", {"num_attention_heads": 12}),
    ("experts_per_token", 5, "at most num_experts=4", {"num_experts": 4}),
    ("rope_theta", 1, "above 1", {}),
    ("rope_theta", 0.5, "above 1", {}),
    ("rope_scaling_factor", 0.99, "1 .*or more", {}),
    ("rope_ntk_alpha", 32.0, "less than rope_ntk_beta=32.0", {}),
    ("rope_ntk_alpha", 40, "less than rope_ntk_beta=8", {"rope_ntk_beta": 8}),
])
def test_combinations_no_model_can_have(field, value, allowed, others):
    assert_refused(field, value, allowed, **others)


def test_an_unknown_preset_names_those_there_are():
    with pytest.raises(ValueError, match="preset='gpt-5' is unknown; allowed: gpt-oss-20b, gpt-oss-120b, storyteller, "):
        ModelConfig.preset("gpt-5")


def test_a_config_is_frozen_hashable_and_copied_with_changes():
    config = ModelConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.head_dim = 32
    assert {config: "cached"}[ModelConfig()] == "cached"
    assert config.replace(head_dim=32).head_dim == 32
    assert config.head_dim == 64
    with pytest.raises(ValueError, match="head_dim=7"):
        config.replace(head_dim=7)


def test_what_follows_from_the_fields():
    config = PRESETS["gpt-oss-120b"]
    assert (config.group_size, config.qkv_size, config.max_context_length) == (8, 5120, 131_072)
    assert [config.window_of(layer) for layer in range(4)] == [128, 0, 128, 0]


@pytest.mark.parametrize(("number", "divisors"), [
    (1, [1]), (12, [1, 2, 3, 4, 6, 12]), (7, [1, 7]), (64, [1, 2, 4, 8, 16, 32, 64])])
def test_divisors_are_in_order(number, divisors):
    assert divisors_of(number) == divisors


@given(valid_configs(size=128), st.integers(1, 30))
@torch.no_grad()
def test_any_valid_config_can_be_run(config, tokens):
    logits = Transformer(config)(torch.arange(tokens)[None] % config.vocab_size)
    assert logits.shape == (1, tokens, config.vocab_size)
    assert logits.isfinite().all()


def test_the_classroom_keeps_to_the_references_assertion():
    low, high = yarn_range(PRESETS["classroom"])
    assert 0 < low < high < PRESETS["classroom"].head_dim / 2 - 1


@pytest.mark.parametrize("preset", PRESETS)
def test_every_combination_of_the_sliders_scales(preset):
    base = PRESETS[preset]
    for heads in (1, 2, 4, 8, 16, 32, 64, 128):
        for kv_heads in divisors_of(heads):
            for experts in (1, 2, 4, 8, 16, 32, 64, 128):
                config = base.replace(num_attention_heads=heads, num_key_value_heads=kv_heads, num_experts=experts,
                                      experts_per_token=min(base.experts_per_token, experts))
                assert count_parameters(scale_model(config)).total <= 4_000_000


@given(valid_configs(), st.integers(100_000, 10_000_000))
def test_scaling_keeps_what_is_taught(config, budget):
    try:
        scaled = scale_model(config, budget)
    except ValueError as refusal:
        least = int(re.search(r"allowed: (\d+) or more", str(refusal))[1])
        assert budget < least
        scaled = scale_model(config, least)
        budget = least
    assert count_parameters(scaled).total <= budget
    if count_parameters(config).total <= budget:
        assert scaled is config
    for field in UNCHANGED_BY_SCALING:
        assert getattr(scaled, field) == getattr(config, field)
    for field in ("num_hidden_layers", "hidden_size", "intermediate_size", "head_dim", "vocab_size"):
        assert getattr(scaled, field) <= getattr(config, field)


def test_both_kinds_of_layers_survive_scaling_of_the_large_presets():
    for name in ("gpt-oss-20b", "gpt-oss-120b"):
        assert scale_model(PRESETS[name]).num_hidden_layers == 4


@pytest.mark.parametrize("name", ["gpt-oss-20b", "gpt-oss-120b"])
def test_the_ramp_keeps_its_place_in_a_smaller_head(name):
    config, scaled = PRESETS[name], scale_model(PRESETS[name])
    assert scaled.head_dim < config.head_dim
    for small, large in zip(yarn_range(scaled), yarn_range(config), strict=True):
        assert small / scaled.head_dim == pytest.approx(large / config.head_dim)


@pytest.mark.parametrize("budget", [0, 1, 1000])
def test_an_impossible_budget_is_refused(budget):
    with pytest.raises(ValueError, match=f"max_parameters={budget} is too small for 64 query heads and 128 experts"):
        scale_model(ModelConfig(), budget)


@pytest.mark.parametrize("name", ["rope_theta", "rope_scaling_factor", "rope_ntk_beta", "swiglu_limit"])
def test_a_whole_number_beyond_torchs_is_a_float(name):
    config = ModelConfig.preset("classroom").replace(**{name: 10 ** 30})
    assert type(getattr(config, name)) is float and getattr(config, name) == 1e30
    assert Transformer(config)(torch.tensor([[1, 2]])).shape == (1, 2, config.vocab_size)
