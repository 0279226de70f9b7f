"""Exercises: reading MXFP4, and rounding weights to it."""

import torch
from torch import Tensor

from gptoss.checkpoint import mxfp4
from gptoss.exercises.exercise import HARD, MEDIUM, Case, Exercise, Mistake


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
    name="mxfp4", title="MXFP4: unpack", pages=("mxfp4",), difficulty=MEDIUM, minutes=15,
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


def pack(weights: Tensor) -> tuple[Tensor, Tensor]:
    """The MXFP4 codes nearest to weights, in blocks of 32 along the last dimension.

    weights is (..., n), any floating dtype, n a multiple of 32. Returns blocks (..., n / 32, 16) uint8 and scales
    (..., n / 32) uint8, in the layout that `unpack` reads. A block's scale is 2 to the smallest exponent, -127 at least, for
    which its largest magnitude is at most 7 in units of the scale; the byte is the exponent + 127. Each magnitude, in units
    of the scale, goes to the nearest of 0, 0.5, 1, 1.5, 2, 3, 4 and 6, whose codes are 0 to 7; halfway between two, to the
    one whose code is even.
    The sign bit, 8, is set where a weight is negative, also where it rounds to 0.
    """
    rows = weights.float().unflatten(-1, (-1, 32))                                      # (..., n / 32, 32)
    exponents = torch.ceil(torch.log2(rows.abs().amax(dim=-1) / 7)).clamp(min=-127)     # (..., n / 32)
    scaled = (rows.abs() * torch.exp2(-exponents)[..., None])[..., None]                # (..., n / 32, 32, 1)
    middles = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0])                     # between codes 0 and 1, 1 and 2, ...
    ties_go_up = torch.arange(7) % 2 == 1                                               # where the upper code is even
    codes = ((scaled > middles) | (scaled == middles) & ties_go_up).sum(dim=-1)         # (..., n / 32, 32)
    codes = codes + 8 * (rows < 0)
    blocks = codes[..., 0::2] + 16 * codes[..., 1::2]
    return blocks.to(torch.uint8), (exponents + 127).to(torch.uint8)


def _pack_cases() -> list[Case]:
    draw = torch.Generator().manual_seed(14)
    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    ties = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 6.0]).repeat(4) * torch.tensor([1.0, -1.0]).repeat(16)
    return [
        Case("3 rows of 2 blocks", (normal(3, 64),)),
        Case("every tie, of both signs", (ties[None],)),
        Case("a block whose largest is between 7 and 8", (torch.cat((torch.tensor([7.5]), normal(31)))[None],)),
        Case("a block of zeros beside small weights", (torch.cat((torch.zeros(32), 1e-3 * normal(32))),)),
        Case("a block of 1e-40", (torch.full((1, 32), 1e-40),)),
        Case("an outlier of 100", (torch.cat((normal(40), torch.tensor([100.0]), normal(23))),)),
        Case("bfloat16, 2 experts", (normal(2, 2, 32).bfloat16(),)),
    ]


_MIDDLES = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0])
_EVEN = torch.arange(7) % 2 == 1


def _packed(weights: Tensor, exponents: Tensor, steps: Tensor = _MIDDLES,
            ties_go_up: Tensor = _EVEN) -> tuple[Tensor, Tensor]:
    """Packing with things to get wrong: the exponents, where one code ends and the next begins, and what ties do."""
    rows = weights.float().unflatten(-1, (-1, 32))
    scaled = (rows.abs() * torch.exp2(-exponents)[..., None])[..., None]
    codes = ((scaled > steps) | (scaled == steps) & ties_go_up).sum(dim=-1) + 8 * (rows < 0)
    return (codes[..., 0::2] + 16 * codes[..., 1::2]).to(torch.uint8), (exponents + 127).to(torch.uint8)


def _exponents(weights: Tensor) -> Tensor:
    return pack(weights)[1].float() - 127


def _ties_up(weights: Tensor) -> tuple[Tensor, Tensor]:
    return _packed(weights, _exponents(weights), ties_go_up=torch.ones(7, dtype=torch.bool))


def _ties_down(weights: Tensor) -> tuple[Tensor, Tensor]:
    return _packed(weights, _exponents(weights), ties_go_up=torch.zeros(7, dtype=torch.bool))


def _cut_off(weights: Tensor) -> tuple[Tensor, Tensor]:
    return _packed(weights, _exponents(weights), torch.tensor(mxfp4.MAGNITUDES[1:]), torch.ones(7, dtype=torch.bool))


def _specified(weights: Tensor) -> tuple[Tensor, Tensor]:
    largest = weights.float().unflatten(-1, (-1, 32)).abs().amax(dim=-1)
    return _packed(weights, (torch.floor(torch.log2(largest)) - 2).clamp(min=-127))


def _at_most_six(weights: Tensor) -> tuple[Tensor, Tensor]:
    largest = weights.float().unflatten(-1, (-1, 32)).abs().amax(dim=-1)
    return _packed(weights, torch.ceil(torch.log2(largest / 6)).clamp(min=-127))


def _one_scale(weights: Tensor) -> tuple[Tensor, Tensor]:
    exponents = _exponents(weights)
    return _packed(weights, exponents.amax(dim=-1, keepdim=True).expand_as(exponents))


def _signs_lost(weights: Tensor) -> tuple[Tensor, Tensor]:
    return pack(weights.abs())


def _high_first(weights: Tensor) -> tuple[Tensor, Tensor]:
    blocks, scales = pack(weights)
    return (blocks & 15) << 4 | blocks >> 4, scales


PACK = Exercise(
    name="pack", title="MXFP4: pack", pages=("mxfp4",), difficulty=HARD, minutes=20,
    story="""\
To store a weight in four bits is to say which of 15 ticks it is nearest to. The ticks of a block lie on one scale, which
its largest weight decides: an outlier stretches them, and its neighbours fall onto few ticks or onto zero. Two rules
remain. What lies halfway goes to the even code, because always going up would make all weights a little larger. And the
largest may be up to 7 where the last tick is 6: from there on the next scale is nearer.""",
    hints=(
        "Block by block: the exponent from the largest magnitude, magnitudes divided by the scale, codes by comparing with "
        "the seven middles between ticks, two codes to a byte.",
        "The smallest e with largest ≤ 7 · 2 ** e is `torch.ceil(torch.log2(largest / 7))`, up to rounding; a block of "
        "zeros gives minus infinity, which `clamp(min=-127)` mends. A code is the number of middles below a magnitude.",
        "`codes = ((scaled > middles) | (scaled == middles) & ties_go_up).sum(dim=-1)`, where ties go up at every second "
        "middle, from 0.75 on. Add 8 where the weight is negative; `codes[..., 0::2] + 16 * codes[..., 1::2]` are the "
        "bytes."),
    solution=pack, ours=mxfp4.quantise, cases=_pack_cases, parts=("blocks", "scales"),
    mistakes=(
        Mistake("ties go up", "What lies halfway between two magnitudes always goes to the larger one. It goes to the one "
                "whose code is even: 0.25 to 0, and 0.75 to 1.", _ties_up),
        Mistake("ties go down", "What lies halfway between two magnitudes always goes to the smaller one. It goes to the "
                "one whose code is even: 0.25 to 0, and 0.75 to 1.", _ties_down),
        Mistake("cut off instead of rounded", "You take the next smaller magnitude. Take the nearest.", _cut_off),
        Mistake("scale from the leading bit alone", "You take floor(log2(largest)) − 2, as the specification does. A "
                "largest magnitude between 7 and 8 is then cut down to 6; from 7 on the next scale is nearer.", _specified),
        Mistake("largest at most 6", "You choose the scale so that the largest magnitude is at most 6. Up to 7 the code of "
                "6 is the nearest, and a finer scale serves all the others.", _at_most_six),
        Mistake("one scale a row", "All blocks of a row have one scale. Each block of 32 has its own, so that an outlier "
                "spoils its own block only.", _one_scale),
        Mistake("signs lost", "Add 8 to the code of each negative weight.", _signs_lost),
        Mistake("high nibble first", "The first of two values goes into the low four bits.", _high_first),
    ))
