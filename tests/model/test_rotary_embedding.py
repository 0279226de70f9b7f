"""Rotation and YaRN: the facts about gpt-oss, and the frequencies that `transformers` computes."""

import math

import pytest
import torch
from hugging_face import hugging_face_config
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from random_models import SMALL, random_model, random_tokens
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from gptoss.config import PRESETS, ModelConfig
from gptoss.model import RotaryEmbedding
from gptoss.model.rope import concentration, inverse_frequencies, yarn_ramp, yarn_range

GPT_OSS = PRESETS["gpt-oss-20b"]
PLAIN = GPT_OSS.replace(rope_scaling_factor=1.0)


@st.composite
def rope_settings(draw):
    """Settings with ranges inside the head, across its ends, and outside it."""
    alpha = draw(st.floats(0.1, 8))
    return ModelConfig(
        head_dim=2 * draw(st.integers(1, 64)), initial_context_length=int(10 ** draw(st.floats(0, 6))),
        rope_theta=10 ** draw(st.floats(0.5, 7)), rope_scaling_factor=draw(st.floats(1, 64)), rope_ntk_alpha=alpha,
        rope_ntk_beta=alpha * draw(st.floats(1.01, 64)))


def unit_vectors(*shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return x / x.norm(dim=-1, keepdim=True)


def test_range_and_concentration_of_gpt_oss():
    low, high = yarn_range(GPT_OSS)
    assert (round(low, 2), round(high, 2)) == (8.09, 17.40)
    assert round(concentration(GPT_OSS), 4) == 1.3466
    assert concentration(PLAIN) == 1


@given(rope_settings())
@example(GPT_OSS)
@example(SMALL)  # low < 0
@example(GPT_OSS.replace(initial_context_length=100_000))  # high > head_dim / 2 - 1
@example(GPT_OSS.replace(rope_theta=100.0))  # low > head_dim / 2 - 1
@example(GPT_OSS.replace(head_dim=2))
@settings(max_examples=100)
def test_frequencies_equal_those_of_transformers(config):
    low, high = yarn_range(config)
    assume(high > 0.01 and low < config.head_dim - 1.01)  # elsewhere theirs divide by a negative width
    theirs, scale = ROPE_INIT_FUNCTIONS["yarn"](hugging_face_config(config))
    torch.testing.assert_close(inverse_frequencies(config), theirs, rtol=1e-4, atol=0)
    assert concentration(config) == pytest.approx(scale)


@given(rope_settings())
def test_every_setting_gives_a_rising_ramp(config):
    ramp = yarn_ramp(config)
    assert ramp.shape == (config.head_dim // 2,)
    assert ((ramp >= 0) & (ramp <= 1)).all()
    assert (ramp.diff() >= 0).all()


@given(rope_settings())
def test_a_pair_outside_the_range_is_kept_or_stretched(config):
    low, high = yarn_range(config)
    plain = inverse_frequencies(config.replace(rope_scaling_factor=1.0))
    scaled = inverse_frequencies(config)
    for pair in range(config.head_dim // 2):
        if pair < low - 0.01:
            assert scaled[pair] == pytest.approx(plain[pair].item(), rel=1e-5)
        elif pair > max(high, 0) + 0.01:
            assert scaled[pair] == pytest.approx(plain[pair].item() / config.rope_scaling_factor, rel=1e-5)


@pytest.mark.parametrize(("theta", "count"), [(150_000.0, 14), (10_000.0, 9)])
def test_pairs_that_never_turn_in_the_trained_context(theta, count):
    turns = inverse_frequencies(PLAIN.replace(rope_theta=theta)) * 4096 / (2 * math.pi)
    assert len(turns) == 32
    assert int((turns < 1).sum()) == count


def test_pairs_are_halves_that_turn_by_their_frequency():
    """Pairs are halves: dimension 0 turns with 2 and 1 with 3. At theta 100 they turn 1 and 1/10 a token."""
    config = PLAIN.replace(head_dim=4, rope_theta=100.0)
    x = torch.tensor([1.0, 0.0, 0.0, 1.0]).expand(1, 4, 1, 4)
    turned = RotaryEmbedding(config)(x, x)[0][0, :, 0]
    for position in range(4):
        fast, slow = position, position / 10
        expected = torch.tensor([math.cos(fast), -math.sin(slow), math.sin(fast), math.cos(slow)])
        torch.testing.assert_close(turned[position], expected)


@pytest.mark.parametrize("config", [PLAIN, GPT_OSS, SMALL], ids=["plain", "gpt-oss", "range partly outside the head"])
def test_norms_grow_by_the_concentration_alone(config):
    x = unit_vectors(2, 30, 3, config.head_dim)
    for turned in RotaryEmbedding(config)(x, x, start=1000):
        torch.testing.assert_close(turned.norm(dim=-1), torch.full((2, 30, 3), concentration(config)))


@given(st.integers(0, 3000), st.integers(0, 60), st.integers(0, 60))
def test_scores_depend_on_the_distance_alone(shift, query_at, key_at):
    rope = RotaryEmbedding(GPT_OSS)
    q, k = unit_vectors(2, 1, 1, 1, 64)

    def score(move):
        return (rope(q, q, start=query_at + move)[0] * rope(k, k, start=key_at + move)[0]).sum()

    torch.testing.assert_close(score(0), score(shift), atol=1e-3, rtol=0)


def test_the_start_and_the_growth_of_the_table_change_nothing():
    x = unit_vectors(1, 40, 2, 64)
    whole, _ = RotaryEmbedding(GPT_OSS)(x, x)
    grown = RotaryEmbedding(GPT_OSS)
    pieces = [grown(piece, piece, start=start)[1]
              for start, piece in zip((0, 1, 8, 23), x.split((1, 7, 15, 17), dim=1), strict=True)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, atol=0, rtol=0)


def test_a_table_made_in_inference_mode_serves_training():
    model = random_model(SMALL)
    tokens = random_tokens(SMALL, 1, 9)
    with torch.inference_mode():
        model(tokens)
    model(tokens).sum().backward()
    assert model.block[0].attn.qkv.weight.grad.abs().sum() > 0
