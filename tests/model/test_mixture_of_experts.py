"""The experts' activation, router and norm by hand; tests/model/test_fast_experts.py compares their answers."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_models import random_model

from gptoss.config import ModelConfig
from gptoss.model import RMSNorm, Transformer
from gptoss.model.experts import swiglu

CONFIG = ModelConfig(num_hidden_layers=1, num_experts=6, experts_per_token=3, vocab_size=10, hidden_size=20,
                     intermediate_size=12, head_dim=4, num_attention_heads=2, num_key_value_heads=1)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def block_and_input(batch=2, tokens=9):
    block = random_model(CONFIG).block[0].mlp
    return block, torch.randn(batch, tokens, CONFIG.hidden_size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("gate", "linear", "expected"), [
    (0, 5, 0),  # a closed gate
    (1, 2, 2.5373873),  # 0.8457958 · 3: one is added to the linear half
    (1, -1, 0),
    (-1, 0, -0.1542042),  # a gate below zero lets a little through with the other sign
    (10, 0, 7 * sigmoid(1.702 * 7)),  # the gate is cut at 7
    (1, 10, 0.8457958 * 8),  # the linear half at 7
    (1, -10, 0.8457958 * -6),  # and at -7
    (-8, 0, -8 * sigmoid(1.702 * -8)),  # but the gate has no lower end
])
def test_swiglu_is_clamped_and_adds_one_to_its_linear_half(gate, linear, expected):
    value = swiglu(torch.tensor([gate, linear], dtype=torch.float64), limit=7.0)
    assert value.shape == (1,)
    assert value.item() == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_swiglu_takes_gate_and_linear_values_in_turn():
    interleaved = torch.tensor([[1.0, 2.0, -1.0, 0.0, 0.5, -3.0]])
    pairs = torch.cat([swiglu(interleaved[:, i:i + 2], 7.0) for i in (0, 2, 4)], dim=-1)
    torch.testing.assert_close(swiglu(interleaved, 7.0), pairs)


@given(st.floats(0.2, 20), st.integers(0, 9))
def test_swiglu_is_bounded_by_its_limit(limit, seed):
    """From 0.2 on the limit, and not the dip of x · sigmoid(1.702 x) to -0.16, is what bounds the gate."""
    x = torch.randn(50, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 100
    assert swiglu(x, limit).abs().max() <= limit * (limit + 1)


def test_weights_are_a_softmax_over_the_chosen_logits():
    block, x = block_and_input()
    recorded = {}
    block(x, record=recorded.__setitem__)
    logits, chosen, weights = (recorded[name] for name in ("router_logits", "experts", "expert_weights"))
    assert logits.shape == (2, 9, 6) and chosen.shape == weights.shape == (2, 9, 3)
    assert torch.equal(chosen, logits.argsort(dim=-1, descending=True)[..., :3])
    over_all = torch.softmax(logits, dim=-1).gather(-1, chosen)
    torch.testing.assert_close(weights, over_all / over_all.sum(dim=-1, keepdim=True))


def test_only_experts_that_were_chosen_learn():
    block, x = block_and_input(batch=1, tokens=1)
    recorded = {}
    block(x, record=recorded.__setitem__).square().sum().backward()
    learned = block.mlp1_weight.grad.abs().sum(dim=(1, 2)) > 0
    assert learned.nonzero()[:, 0].tolist() == sorted(recorded["experts"].flatten().tolist())
    assert block.gate.weight.grad.abs().sum() > 0


def test_rmsnorm_divides_by_the_root_mean_square_and_scales():
    norm = RMSNorm(2)
    with torch.no_grad():
        norm.scale.copy_(torch.tensor([1.0, 10.0]))
    root_mean_square = math.sqrt((9 + 16) / 2 + 1e-5)
    torch.testing.assert_close(norm(torch.tensor([3.0, 4.0])), torch.tensor([3.0, 40.0]) / root_mean_square)


@given(st.floats(0.1, 1e4), st.integers(0, 9))
def test_rmsnorm_takes_the_size_away_and_shifts_nothing(size, seed):
    x = torch.randn(4, 33, generator=torch.Generator().manual_seed(seed)) * size
    normed = RMSNorm(33)(x)
    torch.testing.assert_close(normed.square().mean(dim=-1), torch.ones(4), atol=3e-3, rtol=0)
    assert torch.equal(normed.sign(), x.sign())


def test_every_norm_has_the_eps_of_gpt_oss():
    norms = [module for module in Transformer(CONFIG, device="meta").modules() if isinstance(module, RMSNorm)]
    assert [norm.eps for norm in norms] == [1e-5] * 3


def test_rmsnorm_computes_in_float32_and_gives_back_the_dtype():
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    norm = RMSNorm(64)
    with torch.no_grad():
        norm.scale.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(1))
    assert norm.scale.dtype == torch.float32
    assert norm(x).dtype == torch.bfloat16
    assert torch.equal(norm(x), norm(x.float()).bfloat16())
