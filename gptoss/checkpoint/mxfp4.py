"""MXFP4: 4.25 bits a weight, the format of the experts' two weight tensors in the published checkpoints.

Thirty-two neighbouring values along the last dimension share one scale, a power of two; each value is a sign and one
of eight magnitudes, in four bits. Two values share a byte, the first one in its low nibble. Source: OCP Microscaling
Formats (MX) Specification 1.0 (element E2M1, scale E8M0) and `gpt_oss/torch/weights.py` in OpenAI's reference.
"""

from __future__ import annotations

import functools

import torch

BLOCK_SIZE = 32  # values that share a scale
BLOCK_BYTES = BLOCK_SIZE // 2
SCALE_BIAS = 127  # the scale byte s stands for 2 ** (s - 127)
MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # E2M1: the value of codes 0 to 7; bit 3 is the sign

_SMALLEST_EXPONENT = -SCALE_BIAS
_LARGEST_EXPONENT = 125  # 4 * 2**126 would be 2**128, beyond float32 and bfloat16
LARGEST_SCALE = _LARGEST_EXPONENT + SCALE_BIAS  # the scale byte up to which all codes are finite
_CHUNK_BLOCKS = 1 << 15  # blocks converted at a time: one million values, so temporaries stay within a few MB


def quantise(weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The MXFP4 codes nearest to `weights` (..., n): blocks uint8 (..., n/32, 16) and scales uint8 (..., n/32).

    Values round to the nearest magnitude, ties to the even code, as the MX specification's section 5.3.3 asks.
    The scale is the specification's floor(log2(max)) - 2 (section 6.3) with one improvement: where the block's
    largest magnitude, in units of that scale, lies above 7, the next scale is taken. The specification clips 7 to 8
    down to 6, an error of up to a whole tick; here no value is further than half a tick (of the grid 0, .5, ... 6, 8)
    from its code, and the squared error on normally distributed weights is about 5 % lower. Representable weights
    come back exactly.

    Exponents saturate at -127, below which values round on the grid of 2**-127, down to zero, and at 125, above which
    they are clipped to 6 * 2**125. A block of zeros has scale 0. Codes of negative zeros keep their sign.

    Raises `ValueError` for a last dimension that is not a positive multiple of 32, for a dtype that is not floating,
    and for values that are not finite in float32.
    """
    if not weights.is_floating_point():
        raise ValueError(f"MXFP4 quantises floating-point weights, not {weights.dtype}")
    if weights.ndim == 0 or weights.shape[-1] % BLOCK_SIZE or weights.shape[-1] == 0:
        raise ValueError(f"the last dimension of {tuple(weights.shape)} is not a positive multiple of {BLOCK_SIZE}, "
                         f"the values that share one MXFP4 scale")
    *leading, n = weights.shape
    rows = weights.detach().reshape(-1, BLOCK_SIZE)
    blocks = torch.empty(rows.shape[0], BLOCK_BYTES, dtype=torch.uint8, device=weights.device)
    scales = torch.empty(rows.shape[0], dtype=torch.uint8, device=weights.device)
    for part, block, scale in _chunks(rows, blocks, scales):
        _quantise_chunk(part.float(), block, scale)
    return blocks.view(*leading, n // BLOCK_SIZE, BLOCK_BYTES), scales.view(*leading, n // BLOCK_SIZE)


def dequantise(blocks: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    """The values (..., n) of MXFP4 blocks uint8 (..., n/32, 16) and scales uint8 (..., n/32), in `dtype`.

    A code's magnitude times 2**(scale - 127) is exact in bfloat16, is computed there and then cast; from 2**128 on it
    is infinite. Scale 0 is 2**-127, a subnormal factor. Scale 255, which the MX specification calls NaN and `quantise`
    never writes, counts as 2**128, as `ldexp` makes of it in OpenAI's reference and in transformers: all but its
    codes of 0 and .5 are infinite.

    Raises `ValueError` for other dtypes than uint8 and for shapes that do not belong together.
    """
    if blocks.dtype != torch.uint8 or scales.dtype != torch.uint8:
        raise ValueError(f"MXFP4 blocks and scales are torch.uint8, not {blocks.dtype} and {scales.dtype}")
    if blocks.ndim < 2 or blocks.shape[-1] != BLOCK_BYTES or blocks.shape[:-1] != scales.shape:
        raise ValueError(f"MXFP4 blocks have shape (..., n/{BLOCK_SIZE}, {BLOCK_BYTES}) and scales (..., "
                         f"n/{BLOCK_SIZE}), not {tuple(blocks.shape)} and {tuple(scales.shape)}")
    *leading, n_blocks, _ = blocks.shape
    out = torch.empty(scales.numel(), BLOCK_SIZE, dtype=dtype, device=blocks.device)
    quads = blocks.contiguous().view(torch.uint16).view(-1, BLOCK_BYTES // 2)  # two bytes: four codes
    factors = _factors(blocks.device).index_select(0, scales.flatten().int()).unsqueeze(-1)
    for quad, factor, values in _chunks(quads, factors, out):
        magnitudes = values if dtype == torch.bfloat16 else torch.empty_like(values, dtype=torch.bfloat16)
        _look_up(_quad_table(blocks.device), quad, magnitudes.view(torch.int64))
        values.copy_(magnitudes.mul_(factor))
    return out.view(*leading, n_blocks * BLOCK_SIZE)


def _look_up(table: torch.Tensor, places: torch.Tensor, out: torch.Tensor) -> None:
    """Fills `out` int64 (m, 8) with the entries of `table` int64 (65536) at `places` uint16 (m, 8).

    A row of four bfloat16 travels as one int64: gathering it whole is several times faster than as a row. On the CPU
    `index_select` is the faster way for one thread and knows no more; `gather` shares the rows among many.
    """
    if out.device.type == "cpu" and torch.get_num_threads() > 2:
        torch.gather(table.expand(len(places), -1), 1, places.long(), out=out)
    else:
        torch.index_select(table, 0, places.int().view(-1), out=out.view(-1))


def _chunks(*tensors: torch.Tensor):
    """The same rows of every tensor, `_CHUNK_BLOCKS` at a time."""
    return zip(*(tensor.split(_CHUNK_BLOCKS) for tensor in tensors), strict=True)


def _quantise_chunk(values: torch.Tensor, blocks: torch.Tensor, scales: torch.Tensor) -> None:
    """Fills blocks (m, 16) and scales (m) from float32 values (m, 32)."""
    largest = values.abs().amax(dim=-1)
    if not torch.isfinite(largest).all():
        raise ValueError("weights hold NaN or infinite values (in float32), which MXFP4 has no code for")
    exponents = _exponents(largest)
    scaled = torch.ldexp(values, -exponents.unsqueeze(-1))
    codes = torch.bucketize(scaled.abs(), _boundaries(values.device), out_int32=True).to(torch.uint8)
    codes |= torch.signbit(values).to(torch.uint8) << 3
    blocks.copy_(codes[:, 0::2] | codes[:, 1::2] << 4)
    scales.copy_(exponents + SCALE_BIAS)


def _exponents(largest: torch.Tensor) -> torch.Tensor:
    """The int32 exponent of each block's scale, from its largest magnitude (m)."""
    mantissas, powers = torch.frexp(largest)  # largest = mantissa * 2**power with 0.5 <= mantissa < 1
    exponents = powers - 3 + (mantissas > 7 / 8).int()  # in units of the scale, mantissa 7/8 is 7
    exponents = exponents.masked_fill(largest == 0, _SMALLEST_EXPONENT)
    return exponents.clamp(_SMALLEST_EXPONENT, _LARGEST_EXPONENT)


@functools.lru_cache(maxsize=8)
def _boundaries(device: torch.device) -> torch.Tensor:
    """Float32 (7): magnitudes above the i-th boundary have a code above i.

    The midpoints of neighbouring magnitudes; one whose upper neighbour has the even code is moved down by the least
    step, so that a tie lies above it.
    """
    magnitudes = torch.tensor(MAGNITUDES, device=device)
    midpoints = (magnitudes[:-1] + magnitudes[1:]) / 2
    midpoints[1::2] = torch.nextafter(midpoints[1::2], torch.zeros_like(midpoints[1::2]))
    return midpoints


@functools.lru_cache(maxsize=8)
def _quad_table(device: torch.device) -> torch.Tensor:
    """Int64 (65536): for every pair of bytes (little-endian: the first one is low), the bits of four bfloat16 values.

    They are doubled magnitudes, for the halved `_factors`.
    """
    doubled = torch.tensor(MAGNITUDES, dtype=torch.bfloat16) * 2
    values = torch.cat([doubled, -doubled])
    pairs = torch.arange(1 << 16)
    codes = torch.stack([pairs >> shift & 15 for shift in (0, 4, 8, 12)], dim=-1)
    return values[codes].contiguous().view(torch.int64).view(-1).to(device)


@functools.lru_cache(maxsize=8)
def _factors(device: torch.device) -> torch.Tensor:
    """Bfloat16 (256): 2**(scale - 128) for every scale byte; half of what it stands for, since 2**128 is no number."""
    exponents = torch.arange(256, dtype=torch.float64) - SCALE_BIAS - 1
    return torch.exp2(exponents).to(device, torch.bfloat16)
