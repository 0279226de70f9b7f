"""MXFP4 against its specification, by property, and bit for bit against transformers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss.checkpoint.mxfp4 import dequantise, quantise

MAGNITUDES = [0, 0.5, 1, 1.5, 2, 3, 4, 6]

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
blocks_of_32 = st.lists(finite, min_size=32, max_size=32)
few_examples = settings(max_examples=40)


def block(values, fill=0.0):
    return torch.tensor(list(values) + [fill] * (32 - len(values)))


def round_trip(weights, dtype=torch.float32):
    return dequantise(*quantise(weights), dtype=dtype)


def test_the_first_value_of_a_pair_is_in_the_low_nibble():
    blocks, scales = quantise(block([6, -0.5, 1, 1.5, -6, 4]))
    assert scales.tolist() == [127]
    assert blocks[0, :4].tolist() == [0x97, 0x32, 0x6F, 0x00]  # the first value of a pair in the low nibble


def test_every_code_is_its_magnitude_times_the_scale():
    blocks = torch.tensor([[0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE] + [0] * 8], dtype=torch.uint8)
    values = dequantise(blocks, torch.tensor([129], dtype=torch.uint8))
    assert values.dtype == torch.bfloat16 and values.shape == (32,)
    assert values[:16].tolist() == [4.0 * m for m in MAGNITUDES] + [-4.0 * m for m in MAGNITUDES]
    assert math.copysign(1, values[8].item()) == -1  # code 8 is the negative zero


@pytest.mark.parametrize(("value", "nearest"), [
    (0.25, 0), (0.75, 1), (1.25, 1), (1.75, 2), (2.5, 2), (3.5, 4), (5.0, 4),
    (0.2501, 0.5), (0.7499, 0.5), (1.2501, 1.5), (1.7499, 1.5), (2.5001, 3), (3.4999, 3), (5.0001, 6)])
def test_ties_go_to_the_even_code_and_others_to_the_nearest(value, nearest):
    assert round_trip(block([value, -value, 6]))[:2].tolist() == [nearest, -nearest]


@pytest.mark.parametrize(("largest", "scale", "comes_back"), [
    (4, 127, 4), (6.9, 127, 6), (7.0, 127, 6), (7.1, 128, 8), (7.99, 128, 8), (8, 128, 8), (3.99, 127, 4)])
def test_scale_is_the_specifications_but_for_blocks_it_would_clip_by_more_than_half_a_tick(largest, scale, comes_back):
    blocks, scales = quantise(block([largest]))
    assert scales.tolist() == [scale]
    assert dequantise(blocks, scales)[0] == comes_back


def test_scale_choice_beats_the_specifications_on_normal_weights():
    weights = torch.randn(4000, 32, generator=torch.Generator().manual_seed(1))
    scale = torch.exp2(torch.floor(torch.log2(weights.abs().amax(-1, keepdim=True))) - 2)
    grid = torch.tensor(MAGNITUDES)
    clipped = grid[(weights.abs() / scale).unsqueeze(-1).sub(grid).abs().argmin(-1)] * scale * weights.sign()
    ratio = (round_trip(weights) - weights).square().mean() / (clipped - weights).square().mean()
    assert 0.92 < ratio < 0.97


@few_examples
@given(blocks_of_32)
def test_error_is_at_most_half_a_tick_and_signs_stay(values):
    weights = torch.tensor(values).double()
    blocks, scales = quantise(weights.float())
    scale = 2.0 ** (int(scales) - 127)
    back = dequantise(blocks, scales, torch.float32).double()
    ticks = torch.full_like(weights, 0.5)
    ticks[weights.abs() / scale > 2] = 1.0
    ticks[weights.abs() / scale > 4] = 2.0
    inside = weights.abs() <= 7 * scale
    assert inside.all() or int(scales) == 252  # only at the top of float32 is anything clipped
    assert ((back - weights).abs() <= ticks * scale / 2)[inside].all()
    assert (back[~inside].abs() == 6 * scale).all()
    assert torch.equal(torch.signbit(back), torch.signbit(weights))


@few_examples
@given(blocks_of_32)
def test_quantising_what_was_dequantised_changes_nothing(values):
    once = round_trip(torch.tensor(values))
    assert torch.equal(round_trip(once), once)
    assert torch.equal(round_trip(once.bfloat16(), torch.bfloat16).float(), once)


@few_examples
@given(st.integers(0, 252), st.lists(st.sampled_from(range(16)), min_size=32, max_size=32))
def test_representable_values_are_exact(scale, codes):
    values = torch.tensor([(-1) ** (code >> 3) * MAGNITUDES[code & 7] * 2.0 ** (scale - 127) for code in codes])
    assert torch.equal(round_trip(values), values)


@pytest.mark.parametrize("largest", [torch.finfo(torch.float32).max, 2.0 ** 127, 6 * 2.0 ** 125])
def test_huge_values_saturate_at_the_largest_finite_code(largest):
    back = round_trip(block([largest, -largest]), torch.bfloat16)
    assert torch.isfinite(back).all()
    assert back[:2].tolist() == ([4 * 2.0 ** 125, -4 * 2.0 ** 125] if largest == 2.0 ** 127
                                 else [6 * 2.0 ** 125, -6 * 2.0 ** 125])


def test_tiny_values_round_on_the_smallest_grid_and_zeros_have_scale_zero():
    blocks, scales = quantise(block([2.0 ** -128, 2.0 ** -129, 1.5 * 2.0 ** -129, 2.0 ** -140]))
    assert scales.tolist() == [0]
    assert dequantise(blocks, scales)[:4].tolist() == [2.0 ** -128, 0, 2.0 ** -128, 0]
    blocks, scales = quantise(torch.zeros(2, 64))
    assert not blocks.any() and not scales.any() and not dequantise(blocks, scales).any()


def test_shapes_beyond_one_chunk_and_other_strides():
    weights = torch.randn(3, 5, 96, generator=torch.Generator().manual_seed(2))
    blocks, scales = quantise(weights)
    assert blocks.shape == (3, 5, 3, 16) and scales.shape == (3, 5, 3)
    assert torch.equal(round_trip(weights.expand(9000, 3, 5, 96)[..., :32])[8999], round_trip(weights[..., :32]))
    strided = weights.transpose(0, 1)
    assert torch.equal(round_trip(strided), round_trip(weights).transpose(0, 1))
    assert torch.equal(dequantise(blocks.transpose(0, 1), scales.transpose(0, 1)),
                       dequantise(blocks, scales).transpose(0, 1))
    assert dequantise(blocks[:0], scales[:0]).shape == (0, 5, 96)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_without_a_code_are_refused(bad):
    with pytest.raises(ValueError, match="NaN or infinite"):
        quantise(block([1.0, bad]))
    with pytest.raises(ValueError, match="NaN or infinite"):
        quantise(block([1.0]).double().mul(1e300))


def test_wrong_shapes_and_dtypes_are_refused_by_name():
    with pytest.raises(ValueError, match=r"last dimension of \(4, 33\).*32"):
        quantise(torch.zeros(4, 33))
    with pytest.raises(ValueError, match="multiple of 32"):
        quantise(torch.tensor(1.0))
    with pytest.raises(ValueError, match="int64"):
        quantise(torch.zeros(32, dtype=torch.int64))
    codes, scales = torch.zeros(2, 16, dtype=torch.uint8), torch.zeros(2, dtype=torch.uint8)
    with pytest.raises(ValueError, match="uint8"):
        dequantise(codes.int(), scales)
    with pytest.raises(ValueError, match=r"\(2, 15\)"):
        dequantise(codes[:, :15], scales)
    with pytest.raises(ValueError, match=r"\(1,\)"):
        dequantise(codes, scales[:1])


@pytest.mark.parametrize("threads", [1, 3])  # few and many look codes up in different ways
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_bit_equal_to_transformers_for_every_byte_and_scale(monkeypatch, dtype, threads):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    reference = pytest.importorskip("transformers.integrations.mxfp4").convert_moe_packed_tensors
    every_byte = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 256, 16, 16).contiguous()
    every_scale = torch.arange(256, dtype=torch.uint8).view(1, 256, 1).expand(1, 256, 16).contiguous()
    generator = torch.Generator().manual_seed(3)
    random_blocks = torch.randint(256, (3, 70, 4, 16), generator=generator, dtype=torch.uint8)
    random_scales = torch.randint(256, (3, 70, 4), generator=generator, dtype=torch.uint8)
    bits = torch.int32 if dtype == torch.float32 else torch.int16
    for blocks, scales in ((every_byte, every_scale), (random_blocks, random_scales)):
        expected = reference(blocks, scales, dtype=dtype).transpose(1, 2).contiguous()
        assert torch.equal(dequantise(blocks, scales, dtype).view(bits), expected.view(bits))
