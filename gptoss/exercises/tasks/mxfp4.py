"""Exercise: unpacking MXFP4."""

import torch
from torch import Tensor

from gptoss.checkpoint import mxfp4
from gptoss.exercises.exercise import MEDIUM, Case, Exercise, Mistake


def unpack(blocks: Tensor, scales: Tensor) -> Tensor:
    """The weights that MXFP4 codes stand for.

    blocks is (..., n / 32, 16) uint8: 32 values in 16 bytes, two codes of 4 bits a byte, the first value in the low four
    bits. scales is (..., n / 32) uint8: a scale s stands for 2 ** (s - 127) and multiplies all 32 values of its block. The
    lower 3 bits of a code choose among 0, 0.5, 1, 1.5, 2, 3, 4 and 6; its fourth bit, 8, is the sign. Returns (..., n)
    float32.
    """
    magnitudes = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
    table = torch.cat((magnitudes, -magnitudes))                              # the value of each of 16 codes
    codes = torch.stack((blocks & 15, blocks >> 4), dim=-1).flatten(-2)       # (..., n / 32, 32)
    factors = torch.exp2(scales.float() - 127)                                # (..., n / 32)
    return (table[codes.long()] * factors[..., None]).flatten(-2)


def _ours(blocks: Tensor, scales: Tensor) -> Tensor:
    return mxfp4.dequantise(blocks, scales, torch.float32)


def _cases() -> list[Case]:
    draw = torch.Generator().manual_seed(9)
    def codes(*shape: int) -> tuple[Tensor, Tensor]:
        return (torch.randint(256, (*shape, 16), generator=draw, dtype=torch.uint8),
                torch.randint(120, 132, shape, generator=draw, dtype=torch.uint8))

    every_code = torch.arange(16, dtype=torch.uint8)[None]
    return [
        Case("1 block with every code in its low bits", (every_code, torch.tensor([127], dtype=torch.uint8))),
        Case("1 block with every code in its high bits", (every_code << 4, torch.tensor([128], dtype=torch.uint8))),
        Case("3 rows of 2 blocks", codes(3, 2)),
        Case("2 experts, 3 rows of 1 block", codes(2, 3, 1)),
        Case("the smallest scale", (every_code, torch.tensor([0], dtype=torch.uint8))),
    ]


def _low_second(blocks: Tensor, scales: Tensor) -> Tensor:
    return unpack((blocks & 15) << 4 | blocks >> 4, scales)


def _not_interleaved(blocks: Tensor, scales: Tensor) -> Tensor:
    return unpack(blocks, scales).unflatten(-1, (-1, 16, 2)).transpose(-1, -2).flatten(-3)


def _no_bias(blocks: Tensor, scales: Tensor) -> Tensor:
    return unpack(blocks, torch.full_like(scales, 127)) * torch.exp2(scales.float()).repeat_interleave(32, dim=-1)


def _factor(blocks: Tensor, scales: Tensor) -> Tensor:
    return unpack(blocks, torch.full_like(scales, 127)) * (scales.float() - 127).repeat_interleave(32, dim=-1)


def _no_sign(blocks: Tensor, scales: Tensor) -> Tensor:
    return unpack(blocks, scales).abs()


def _as_integers(blocks: Tensor, scales: Tensor) -> Tensor:
    codes = torch.stack((blocks & 15, blocks >> 4), dim=-1).flatten(-2).float()
    signed = torch.where(codes < 8, codes, codes - 16)
    return (signed * torch.exp2(scales.float() - 127)[..., None]).flatten(-2)


MXFP4 = Exercise(
    name="mxfp4", title="MXFP4", pages=("mxfp4",), difficulty=MEDIUM, minutes=15,
    story="""\
gpt-oss-120b has 117 billion parameters and fits on one card of 80 GB, because its experts are stored in 4.25 bits a
weight. A code of 4 bits can only say 16 numbers, so 32 neighbours share a scale, a power of two that brings the numbers
to where the weights are. When the model comes together at the end, your function reads the experts of the trained file.""",
    hints=(
        "Three steps: bytes to codes, codes to numbers by a table of 16, numbers times the scale of their block.",
        "`blocks & 15` are the low bits and `blocks >> 4` the high ones. Stacked on a new last dimension and flattened, "
        "they alternate as the values do.",
        "The table is `torch.cat((magnitudes, -magnitudes))`, looked up with `table[codes.long()]`; the factors are "
        "`torch.exp2(scales.float() - 127)[..., None]`."),
    solution=unpack, ours=_ours, cases=_cases,
    mistakes=(
        Mistake("low nibble second", "You take the high four bits for the first value. The first one is in the low bits.",
                _low_second),
        Mistake("nibbles not interleaved", "You put all low codes before all high ones. The two codes of a byte are "
                "neighbours.", _not_interleaved),
        Mistake("scale without its bias", "A scale s stands for 2 ** (s − 127): 127 is 1.", _no_bias),
        Mistake("scale as a factor", "You multiply by s − 127. It is an exponent: 2 ** (s − 127).", _factor),
        Mistake("sign ignored", "The fourth bit of a code is its sign: codes from 8 on are negative.", _no_sign),
        Mistake("codes as integers", "You take the codes for integers from −8 to 7. They are the names of 16 numbers, among "
                "them 0.5 and 6.", _as_integers),
    ))
