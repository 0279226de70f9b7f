"""The same numbers as `GptOssForCausalLM` of `transformers`, an implementation that is not ours."""

import pytest
import torch
from hugging_face import hugging_face_twin
from random_models import random_model, random_tokens, relative_difference

from gptoss.config import ModelConfig
from gptoss.model.rope import yarn_range
from gptoss.trace import trace

ODD_WIDTHS = ModelConfig(
    num_hidden_layers=3, num_experts=5, experts_per_token=2, vocab_size=101, hidden_size=96, intermediate_size=33,
    head_dim=16, num_attention_heads=6, num_key_value_heads=3, sliding_window=7, initial_context_length=64,
    rope_scaling_factor=4.0)
ONE_EXPERT = ModelConfig(
    num_hidden_layers=4, num_experts=1, experts_per_token=1, vocab_size=64, hidden_size=64, intermediate_size=32,
    head_dim=8, num_attention_heads=4, num_key_value_heads=1, sliding_window=128)
ALL_EXPERTS = ModelConfig(
    num_hidden_layers=5, num_experts=4, experts_per_token=4, vocab_size=77, hidden_size=40, intermediate_size=24,
    head_dim=64, num_attention_heads=3, num_key_value_heads=3, sliding_window=128, rope_theta=10_000.0,
    initial_context_length=512, rope_scaling_factor=1.0)
NO_WINDOW = ONE_EXPERT.replace(num_hidden_layers=1, num_experts=6, experts_per_token=3, sliding_window=0)
TIGHT_CLAMP = ODD_WIDTHS.replace(num_hidden_layers=2, swiglu_limit=0.4, num_key_value_heads=6, rope_ntk_alpha=0.5,
                                 rope_ntk_beta=8.0, initial_context_length=512)

CASES = {  # configuration, batch, tokens
    "odd widths, window 7": (ODD_WIDTHS, 2, 45),
    "one expert, window 128 of 300 tokens": (ONE_EXPERT, 1, 300),
    "all experts active, no YaRN": (ALL_EXPERTS, 2, 150),
    "no window at all": (NO_WINDOW, 1, 290),
    "a clamp that bites, no grouping": (TIGHT_CLAMP, 2, 40),
    "window 1": (ODD_WIDTHS.replace(sliding_window=1), 1, 20),
    "one layer, one token": (ODD_WIDTHS.replace(num_hidden_layers=1), 1, 1),
}


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_logits_are_equal(case):
    config, batch, tokens = CASES[case]
    model = random_model(config, seed=3)
    ids = random_tokens(config, batch, tokens)
    theirs = hugging_face_twin(model)(ids).logits
    assert relative_difference(model(ids), theirs) < 1e-5


@torch.no_grad()
def test_the_recorded_path_has_equal_logits_and_attention():
    model = random_model(ODD_WIDTHS, seed=5)
    ids = random_tokens(ODD_WIDTHS, 2, 33)
    traced = trace(model, ids)
    theirs = hugging_face_twin(model)(ids, output_attentions=True)
    assert relative_difference(traced["logits"], theirs.logits) < 1e-5
    for layer, weights in enumerate(theirs.attentions):
        torch.testing.assert_close(traced[f"block.{layer}.attn.weights"], weights, atol=1e-5, rtol=0)


def test_a_case_breaks_the_assertion_of_openais_reference():
    low, high = yarn_range(ODD_WIDTHS)
    assert not 0 < low < high < ODD_WIDTHS.head_dim / 2 - 1


@pytest.mark.parametrize("case", ["one expert, window 128 of 300 tokens", "no window at all"])
@torch.no_grad()
def test_settings_matter_at_these_lengths(case):
    """A comparison proves something about windows only where another window gives other logits."""
    config, batch, tokens = CASES[case]
    model = random_model(config, seed=3)
    other = model.sharing_weights(config.replace(sliding_window=127))
    ids = random_tokens(config, batch, tokens)
    assert relative_difference(other(ids), model(ids)) > 1e-3


@torch.no_grad()
def test_bfloat16_strays_no_further_than_theirs():
    """With every expert active no rounding can choose another one, so both stay near the float32 logits."""
    exact = random_model(ALL_EXPERTS, seed=3)
    ids = random_tokens(ALL_EXPERTS, 2, 150)
    model = random_model(ALL_EXPERTS, seed=3, dtype=torch.bfloat16)
    twin = hugging_face_twin(model)
    ours, theirs, reference = model(ids).float(), twin(ids).logits.float(), exact(ids)
    assert relative_difference(ours, reference) < 0.05
    assert (ours - reference).square().mean() < 2 * (theirs - reference).square().mean()


def test_gradients_are_equal():
    config = ODD_WIDTHS
    model = random_model(config, seed=3)
    twin = hugging_face_twin(model)
    ids = random_tokens(config, 2, 30)
    for logits_of in (model, lambda ids: twin(ids).logits):
        torch.nn.functional.cross_entropy(logits_of(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).backward()
    theirs = dict(twin.named_parameters())
    for ours, name in (("embedding.weight", "model.embed_tokens.weight"), ("norm.scale", "model.norm.weight"),
                       ("block.0.attn.sinks", "model.layers.0.self_attn.sinks"),
                       ("block.1.attn.sinks", "model.layers.1.self_attn.sinks"),
                       ("block.2.mlp.gate.weight", "model.layers.2.mlp.router.weight"),
                       ("block.1.mlp.mlp2_bias", "model.layers.1.mlp.experts.down_proj_bias")):
        assert relative_difference(model.get_parameter(ours).grad, theirs[name].grad) < 1e-4, ours
