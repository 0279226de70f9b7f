"""RoPE taken apart: against complex numbers, the model's own rotation, transformers' scaling, and published figures."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from gptoss.config import PRESETS
from gptoss.lessons.rope import measure as rotation
from gptoss.model import RotaryEmbedding
from gptoss.model.rope import inverse_frequencies
from gptoss.training.schemes import FORMULA, INTERPOLATION, NOTEBOOK, PLAIN, SCHEMES, YARN

GPT_OSS = PRESETS["gpt-oss-20b"]
CLASSROOM = PRESETS["classroom"]
FACTOR_1 = GPT_OSS.replace(rope_scaling_factor=1.0)
BROKEN = CLASSROOM.replace(initial_context_length=128, rope_theta=150_000.0, rope_ntk_beta=32.0)
CONFIGS = [GPT_OSS, FACTOR_1, CLASSROOM, BROKEN]

positions = st.integers(0, 200_000)


def theirs(config, kind):
    """The frequencies and the scale of transformers' scaling called `kind`."""
    from transformers import GptOssConfig

    theirs = GptOssConfig(head_dim=config.head_dim, max_position_embeddings=config.max_context_length, rope_parameters={
        "rope_type": kind, "rope_theta": config.rope_theta, "factor": config.rope_scaling_factor,
        "original_max_position_embeddings": config.initial_context_length, "beta_fast": config.rope_ntk_beta,
        "beta_slow": config.rope_ntk_alpha, "truncate": False})
    return ROPE_INIT_FUNCTIONS[kind](theirs)


@pytest.mark.parametrize("config", CONFIGS)
def test_hands_are_the_angles_of_their_positions(config):
    hands = rotation.hands(config, 7, 3)
    theta = inverse_frequencies(config).double().numpy()
    scale = 0.1 * math.log(config.rope_scaling_factor) + 1
    for hand, position in ((hands.query, 7), (hands.key, 3)):
        np.testing.assert_allclose(hand[:, 0] + 1j * hand[:, 1], scale * np.exp(1j * position * theta), atol=1e-5)
    np.testing.assert_allclose(np.exp(1j * np.radians(hands.apart)), np.exp(1j * 4 * theta), atol=1e-5)
    assert (np.abs(hands.apart) <= 180).all()


@given(st.integers(0, 64), st.integers(0, 64), st.integers(0, 64))
@settings(max_examples=40)
def test_moving_both_hands_keeps_the_angle(query_at, key_at, shift):
    before, after = (rotation.hands(GPT_OSS, query_at + by, key_at + by) for by in (0, shift))
    turned = np.exp(1j * np.radians(before.apart)) / np.exp(1j * np.radians(after.apart))
    np.testing.assert_allclose(turned, 1, atol=1e-4)


def test_one_pair_of_the_hands():
    hands = rotation.hands(GPT_OSS, 3, 1)
    query, key, apart = hands.of(5)
    assert (query == hands.query[5]).all() and (key == hands.key[5]).all() and apart == hands.apart[5]
    assert rotation.step(GPT_OSS, 0) == pytest.approx(180 / math.pi)  # one radian, whatever theta is
    assert apart == pytest.approx(2 * rotation.step(GPT_OSS, 5), abs=1e-3)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("start, count", [(0, 5), (97, 40)])
def test_cosines_and_sines_are_the_models_own(config, start, count):
    ours = rotation.cos_sin_at(config, torch.arange(start, start + count))
    models = RotaryEmbedding(config).cos_sin(start, count, torch.device("cpu"))
    for mine, its in zip(ours, models, strict=True):
        torch.testing.assert_close(mine, its, atol=0, rtol=0)


def test_the_picture_has_a_row_per_pair_and_a_column_per_position():
    cos, sin = rotation.rotation_picture(GPT_OSS, start=10, positions=6)
    expected = RotaryEmbedding(GPT_OSS).cos_sin(10, 6, torch.device("cpu"))
    assert cos.shape == sin.shape == (32, 6)
    np.testing.assert_array_equal(cos.T, expected[0])
    np.testing.assert_array_equal(sin.T, expected[1])


@pytest.mark.parametrize("kind", rotation.VECTORS)
def test_example_vectors_have_one_length(kind):
    query, key = rotation.example_vectors(64, kind)
    assert query.norm() == pytest.approx(8) and key.norm() == pytest.approx(8)
    assert torch.equal(query, key) == (kind == rotation.AGREEING)


def test_random_vectors_follow_the_seed_and_unknown_ones_are_refused():
    first, again, other = (rotation.example_vectors(16, rotation.RANDOM, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    with pytest.raises(ValueError, match="sideways"):
        rotation.example_vectors(16, "sideways")


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("kind", rotation.VECTORS)
def test_scores_equal_the_models_rotation_and_the_formula(config, kind):
    query, key = rotation.example_vectors(config.head_dim, kind, seed=3)
    distances = torch.arange(20)
    rope = RotaryEmbedding(config)
    explicit = torch.stack([
        (rope(query.view(1, 1, 1, -1), query.view(1, 1, 1, -1), start=50 + d)[0]
         * rope(key.view(1, 1, 1, -1), key.view(1, 1, 1, -1), start=50)[1]).sum() / config.head_dim**0.5
        for d in distances.tolist()])
    torch.testing.assert_close(rotation.scores(config, query, key, distances, 50).float(), explicit, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(rotation.score_formula(config, query, key, distances).float(), explicit, atol=1e-3, rtol=0)


@given(positions, st.integers(0, 9))
@settings(max_examples=40)
def test_in_double_precision_scores_know_the_distance_alone(key_at, seed):
    vectors = rotation.example_vectors(64, rotation.RANDOM, seed)
    distances = torch.arange(0, 130, 13)
    here = rotation.scores(GPT_OSS, *vectors, distances, key_at, torch.float64)
    torch.testing.assert_close(here, rotation.score_formula(GPT_OSS, *vectors, distances), atol=1e-9, rtol=0)


@pytest.mark.parametrize("context", [128, 4096, 131_072])
def test_measured_scores_stand_on_the_formulas_curve(context):
    frame = rotation.score_frame(GPT_OSS, rotation.RANDOM, context)
    assert set(frame["key_at"]) == {FORMULA, *rotation.places(context)}
    curves = frame.pivot(index="distance", columns="key_at", values="score")
    assert len(curves) == rotation.DISTANCES + 1
    np.testing.assert_allclose(curves.sub(curves[FORMULA], axis=0), 0, atol=5e-3)


def test_spread_shrinks_with_finer_number_formats():
    frame = rotation.spread_frame(GPT_OSS, rotation.AGREEING, 131_072).set_index("format")
    assert frame["share"]["float64"] < 1e-12 < frame["share"]["float32"] < 1e-3 < frame["share"]["bfloat16"] < 0.05
    largest = rotation.score_frame(GPT_OSS, rotation.AGREEING, 131_072)["score"].abs().max()
    np.testing.assert_allclose(frame["spread"] / frame["share"], largest, rtol=1e-3)


def test_scores_fall_for_vectors_that_agree_and_not_for_random_ones():
    near, far = rotation.near_and_far(GPT_OSS, rotation.AGREEING)
    frame = rotation.score_frame(GPT_OSS, rotation.AGREEING, 4096)
    curve = frame[frame["key_at"] == 0].set_index("distance")["score"].abs()
    assert near == pytest.approx(curve.loc[1:16].mean(), rel=1e-4)
    assert far == pytest.approx(curve.loc[113:128].mean(), rel=1e-4)
    assert far < 0.85 * near
    near, far = rotation.near_and_far(GPT_OSS, rotation.RANDOM)
    assert far == pytest.approx(near, rel=0.1)


def test_the_models_rotation_is_multiplication_in_the_complex_plane():
    for config in CONFIGS:
        tables, plane = rotation.rotation_checks(config)
        assert tables == 0 and plane < 1e-3


def test_ramp_of_gpt_oss():
    ramp = rotation.ramp_of(GPT_OSS)
    assert (round(ramp.low, 2), round(ramp.high, 2)) == (8.09, 17.40)
    assert (ramp.kept, ramp.blended, ramp.stretched, ramp.broken) == (9, 9, 14, ())


def test_ramps_that_the_reference_refuses():
    ramp = rotation.ramp_of(BROKEN)
    assert round(ramp.low, 2) == -0.30 and ramp.broken == ("0 < low",)
    assert ramp.kept + ramp.blended + ramp.stretched == 8
    assert rotation.ramp_of(GPT_OSS.replace(initial_context_length=10**7)).broken == ("high < 31",)
    both = rotation.ramp_of(CLASSROOM.replace(initial_context_length=10**7, rope_ntk_beta=1e7))
    assert both.broken == ("0 < low", "high < 7")


@pytest.mark.parametrize("config", [GPT_OSS, CLASSROOM])
@pytest.mark.parametrize("scheme, kind", [(PLAIN, "default"), (INTERPOLATION, "linear"), (YARN, "yarn")])
def test_schemes_are_those_of_transformers(config, scheme, kind):
    if kind == "default":
        expected = config.rope_theta ** -(torch.arange(0, config.head_dim, 2) / config.head_dim), 1.0
    else:
        expected = theirs(config, kind)
    torch.testing.assert_close(rotation.scheme_frequencies(config, scheme), expected[0], rtol=1e-5, atol=0)
    assert rotation.scheme_scale(config, scheme) == pytest.approx(expected[1])


def test_the_notebooks_blend_exchanges_the_two_ends():
    plain, yarn, notebook = (rotation.scheme_frequencies(GPT_OSS, scheme) for scheme in (PLAIN, YARN, NOTEBOOK))
    torch.testing.assert_close(plain[:9] / notebook[:9], torch.full((9,), 32.0))
    torch.testing.assert_close(notebook[18:], plain[18:])
    torch.testing.assert_close(yarn + notebook, plain + plain / 32)  # what one takes, the other leaves
    assert rotation.scheme_scale(GPT_OSS, NOTEBOOK) == rotation.scheme_scale(GPT_OSS, YARN)


def test_with_factor_1_all_schemes_are_plain():
    for scheme in SCHEMES:
        torch.testing.assert_close(rotation.scheme_frequencies(FACTOR_1, scheme), inverse_frequencies(FACTOR_1))
        assert rotation.scheme_scale(FACTOR_1, scheme) == 1


def test_unknown_schemes_are_refused():
    with pytest.raises(ValueError, match="ntk"):
        rotation.scheme_frequencies(GPT_OSS, "ntk")


def test_pairs_under_every_scheme():
    frame = rotation.pair_frame(GPT_OSS)
    assert len(frame) == 4 * 32 and set(frame["scheme"]) == set(SCHEMES)
    plain = frame[frame["scheme"] == PLAIN]
    np.testing.assert_allclose(plain["wavelength"], [2 * math.pi * 150_000 ** (i / 32) for i in range(32)], rtol=1e-5)
    by_pair = frame.pivot(index="pair", columns="scheme", values="slower")
    assert (by_pair[PLAIN] == 1).all()
    np.testing.assert_allclose(by_pair[INTERPOLATION], 32, rtol=1e-6)
    assert by_pair[YARN].is_monotonic_increasing and by_pair[NOTEBOOK].is_monotonic_decreasing


@pytest.mark.parametrize("theta, count", [(150_000.0, 14), (10_000.0, 9)])
def test_pairs_that_never_turn_in_training(theta, count):
    assert rotation.never_turning(GPT_OSS.replace(rope_theta=theta)) == count
    assert rotation.never_turning(FACTOR_1.replace(rope_theta=theta)) == count


@pytest.mark.parametrize("context, expected", [
    (4096, (0, 0, 0, 0)), (8192, (14, 0, 0, 14)), (131_072, (14, 0, 0, 14)), (262_144, (14, 14, 14, 14))])
def test_new_angles_by_scheme(context, expected):
    assert tuple(rotation.scheme_frame(GPT_OSS, context)["new_angles"]) == expected


def test_new_angles_by_walking_the_positions():
    """Brute force at a small size: an angle is new if no trained position of that pair came within a step of it."""
    config = CLASSROOM.replace(initial_context_length=256, rope_ntk_beta=4.0)
    context = 700
    plain = rotation.scheme_frequencies(config, PLAIN).double().numpy()
    for scheme in (PLAIN, YARN):
        new = []
        for theta, trained in zip(rotation.scheme_frequencies(config, scheme).double().numpy(), plain, strict=True):
            seen = np.sort(np.arange(0, 256 + 1) * trained % (2 * math.pi))
            met = np.arange(context) * theta % (2 * math.pi)
            nearest = np.abs(np.exp(1j * met)[:, None] - np.exp(1j * seen)[None]).min(axis=1)
            new.append(bool((nearest > 1.01 * trained).any()))
        assert rotation.meets_new_angles(config, scheme, context).tolist() == new


def test_what_schemes_do_to_neighbours_and_scores():
    frame = rotation.scheme_frame(GPT_OSS, 131_072).set_index("scheme")
    assert frame["step"][PLAIN] == frame["step"][YARN] == pytest.approx(57.2958)
    assert frame["step"][INTERPOLATION] == frame["step"][NOTEBOOK] == pytest.approx(57.2958 / 32)
    assert frame["score_scale"][PLAIN] == 1 and frame["score_scale"][YARN] == pytest.approx(1.3466**2, rel=1e-3)


@pytest.mark.parametrize("factor, growth", [(1, 1.0), (2, 1.0693), (32, 1.3466)])
def test_norms_grow_by_the_concentration_alone(factor, growth):
    smallest, largest = rotation.norm_growth(GPT_OSS.replace(rope_scaling_factor=float(factor)))
    assert round(smallest, 4) == round(largest, 4) == growth
