"""Norms: against transformers, closed forms, the model's own tensors and exact arithmetic."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.gpt_oss.modeling_gpt_oss import GptOssRMSNorm

from gptoss.config import ModelConfig
from gptoss.lessons.rmsnorm import measure as norms
from gptoss.lessons.rmsnorm.measure import Distortion
from gptoss.model import Transformer
from gptoss.trace import trace

distortions = st.builds(Distortion, st.floats(-10, 10), st.sampled_from([0.001, 0.1, 1, 10, 100]), st.floats(0, 50))
widths = st.sampled_from(norms.WIDTHS[:-1])


@pytest.fixture(scope="module")
def model():
    return Transformer(ModelConfig.preset("classroom"), seed=3).eval()


@pytest.fixture(scope="module")
def traced(model):
    return trace(model, torch.arange(20)[None], layers=range(model.config.num_hidden_layers))


@given(widths, distortions)
def test_rmsnorm_lands_on_a_circle_and_keeps_the_direction(width, distortion):
    plane = norms.plane(width, distortion)
    x = distortion.of(norms.vectors(width))
    mean_square = x.double().square().mean(dim=-1).numpy()
    radius = np.linalg.norm(plane.rms, axis=1)
    np.testing.assert_allclose(radius, plane.radius * np.sqrt(mean_square / (mean_square + 1e-5)), rtol=2e-4)
    cross = plane.before[:, 0] * plane.rms[:, 1] - plane.before[:, 1] * plane.rms[:, 0]
    assert np.abs(cross).max() <= 2e-3 * np.linalg.norm(plane.before, axis=1).max()


def test_layernorm_at_width_two_lands_on_two_points():
    plane = norms.plane(2, Distortion(shift=10, scale=100))
    ends = np.sign(plane.before[:, :1] - plane.before[:, 1:]) * np.array([1, -1])
    far = np.abs(plane.before[:, 0] - plane.before[:, 1]) > 1
    np.testing.assert_allclose(plane.layer[far], ends[far], atol=1e-3)
    assert far.mean() > 0.9 and set(map(tuple, ends)) == {(1, -1), (-1, 1)}


@given(st.sampled_from(norms.WIDTHS[1:-1]), distortions)
def test_layernorm_has_no_mean_whatever_the_width(width, distortion):
    plane = norms.plane(width, distortion)
    assert np.abs(plane.layer[:, 0]).max() < 1e-2
    assert plane.radius == 1 and (plane.layer[:, 1] < 1 + 1e-3).all()


def test_mean_and_spread_add_up_to_the_size():
    x = Distortion(2, 3, 5).of(norms.vectors(64))
    point = norms.plane_coordinates(x)
    torch.testing.assert_close(point.square().sum(dim=-1).sqrt(), norms.root_mean_square(x))


def test_a_distortion_changes_no_shared_vector():
    before = norms.vectors(8).clone()
    changed = Distortion(1, 2, 3).of(norms.vectors(8))
    assert torch.equal(norms.vectors(8), before)
    expected = 2 * before + 1
    expected[:, 0] += 6
    torch.testing.assert_close(changed, expected)


@pytest.mark.parametrize("width", [2, 64, 2880])
def test_both_norms_equal_other_implementations(width):
    x = norms.vectors(width) * 7 - 2
    reference = GptOssRMSNorm(width, eps=1e-5)
    torch.testing.assert_close(norms.rms_norm(x), reference(x))
    torch.testing.assert_close(norms.rms_norm(x), torch.nn.functional.rms_norm(x, (width,), eps=1e-5))
    torch.testing.assert_close(norms.layer_norm(x), norms.StepwiseLayerNorm(width)(x), rtol=1e-4, atol=1e-5)
    for norm, expected in zip(norms.contenders(width), [norms.rms_norm, norms.layer_norm] * 2, strict=True):
        assert norms.largest_difference(norm, expected, width) < 1e-5


def test_every_place_reads_the_stream_that_the_models_norm_read(model, traced):
    places = norms.norm_places(model.config.num_hidden_layers)
    assert places == [name for name in traced if name == "norm" or name.endswith(".norm")]
    for place in places:
        x = norms.read_by(place, traced)
        assert torch.equal(norms.norm_at(model, place, x), traced[place][0])
        assert model.get_submodule(place).scale.shape == x.shape[-1:]
    assert norms.place_in_words("block.1.mlp.norm") == "experts 1"
    assert len({norms.place_in_words(place) for place in places}) == len(places)


def test_places_are_found_where_only_one_layer_was_recorded(model, traced):
    partly = trace(model, torch.arange(20)[None], layers=[1])
    for place in norms.norm_places(model.config.num_hidden_layers):
        torch.testing.assert_close(norms.read_by(place, partly), norms.read_by(place, traced), rtol=1e-3, atol=1e-4)


def test_sizes_grow_along_the_stream_and_are_one_after_every_norm(model, traced):
    sizes = norms.stream_sizes(traced, model)
    assert len(sizes) == 2 * (2 * model.config.num_hidden_layers + 1)
    after = sizes[sizes["when"] == "after"]
    np.testing.assert_allclose(after[["smallest", "median", "largest"]], 1, atol=1e-3)
    before = sizes[sizes["when"] == "before"]
    embedding = traced["embedding"][0].square().mean(dim=-1).sqrt()
    np.testing.assert_allclose(before.iloc[0][["smallest", "largest"]].astype(float),
                               [embedding.min(), embedding.max()], rtol=1e-6)
    assert (before["smallest"] <= before["median"]).all() and (before["median"] <= before["largest"]).all()


def test_shares_of_a_histogram():
    edges = np.array([0.0, 1.0, 2.0])
    np.testing.assert_allclose(norms.shares(torch.tensor([0.5, 0.6, 1.5, 9.0]), edges), [0.5, 0.25])


@pytest.mark.parametrize("size", [1e-4, 0.001, 0.01, 1, 100])
@pytest.mark.parametrize("eps", [1e-5, 1e-6])
def test_the_output_size_is_the_closed_form(size, eps):
    assert norms.output_size(size, eps) == pytest.approx(size / math.sqrt(size**2 + eps), rel=1e-4)
    assert norms.size_curve([size], [eps])["output"].item() == pytest.approx(norms.output_size(size, eps), rel=1e-4)


def test_eps_wins_over_a_small_input():
    assert round(norms.output_size(0.001), 2) == 0.30
    assert round(norms.output_size(0.001, eps=1e-6), 2) == 0.71
    assert norms.output_size(1) == pytest.approx(1, abs=1e-5)


def test_each_format_is_as_exact_as_it_can_be():
    errors = norms.format_errors(2880, 1.0).set_index("format")
    half_a_step = 2**-8 * (1 + 1e-4)  # bfloat16 has 8 bits of precision
    assert half_a_step / 2 < errors.loc["float32 inside", "largest"] <= half_a_step
    assert half_a_step < errors.loc["all in bfloat16", "largest"] < 4 * half_a_step
    assert errors.loc["all in float16", "largest"] < half_a_step


def test_a_running_sum_in_bfloat16_gets_stuck():
    """From 256 on, bfloat16 counts in steps of 2, so that adding 1 adds nothing (8 bits of precision)."""
    x = torch.ones(1, 2880)
    output = norms.normalise_in(torch.bfloat16, x, one_by_one=True)
    assert output[0, 0].item() == pytest.approx(math.sqrt(2880 / 256), rel=0.01)
    assert norms.normalise_in(torch.bfloat16, x)[0, 0].item() == 1
    assert norms.format_errors(2880, 1.0).set_index("format").loc["bfloat16 running sum", "median"] > 0.25


def test_float16_overflows_where_bfloat16_does_not():
    large = norms.format_errors(64, 3000.0).set_index("format")
    assert large.loc["all in float16", "median"] == 1
    assert large.loc["all in bfloat16", "largest"] < 0.02


def test_a_format_far_from_the_middle_stays_finite():
    for size in (1e-4, 1e-3, 1e3, 1e4):
        errors = norms.format_errors(64, size)
        assert np.isfinite(errors[["median", "largest"]].to_numpy()).all()


def test_float32_inside_is_the_models_own_path():
    x = (norms.vectors(64) * 3).bfloat16()
    exact = norms.rms_norm(x.float())
    torch.testing.assert_close(norms.rms_norm(x).float(), exact, rtol=2**-8, atol=0)
    assert norms.rms_norm(x).dtype == torch.bfloat16


def test_times_have_a_row_for_every_norm_and_pass():
    times = norms.measure_times(16, tokens=4, repeats=4)
    assert list(times["norm"].unique()) == list(norms.CONTENDERS)
    assert set(times["pass"]) == {"forward", "backward"} and len(times) == 8
    assert (0 < times["low"]).all() and (times["low"] <= times["median"]).all() and (times["median"] <= times["high"]).all()


def test_the_backward_pass_that_is_timed_gives_the_gradients_of_autograd():
    x = norms.vectors(8, 4).double().requires_grad_()
    norm = norms.StepwiseLayerNorm(8).double()
    norm.forward = lambda t: torch.nn.functional.layer_norm(t, (8,), norm.weight, norm.bias, norm.eps)
    assert torch.autograd.gradcheck(norm, (x,))
    stepwise = torch.autograd.grad(norms.StepwiseLayerNorm(8)(x.float()).square().sum(), x)[0]
    fused = torch.autograd.grad(torch.nn.functional.layer_norm(x.float(), (8,)).square().sum(), x)[0]
    torch.testing.assert_close(stepwise, fused, atol=1e-3, rtol=1e-3)


def test_ratios_of_times():
    times = norms.measure_times(16, tokens=4, repeats=4)
    middle, low, high = norms.speed_ratio(times, norms.CONTENDERS[1], norms.CONTENDERS[0])
    layer, rms = (times[times["norm"] == name].sum(numeric_only=True) for name in norms.CONTENDERS[1::-1])
    assert middle == pytest.approx(layer["median"] / rms["median"])
    assert low == pytest.approx(layer["low"] / rms["high"]) and high == pytest.approx(layer["high"] / rms["low"])


def test_by_hand_is_what_the_model_does():
    worked = norms.by_hand((1, -1, 5))
    assert (worked.squares, worked.mean, worked.root) == ((1, 1, 25), 9, 3)
    assert worked.divided == pytest.approx((1 / 3, -1 / 3, 5 / 3), abs=1e-5)
    assert norms.by_hand((0, 0, 0)).divided == (0, 0, 0)


def test_what_the_questions_ask_is_measured():
    assert norms.output_length(2880) == pytest.approx(2880**0.5, rel=1e-4)
    assert norms.changed_by_a_shift() == 0, "RMSNorm's alone"
    assert norms.after_addition(10, 1) == pytest.approx(101**0.5)
    assert (norms.sum_in_bfloat16(256, 1), norms.sum_in_bfloat16(128, 1)) == (256, 129)
