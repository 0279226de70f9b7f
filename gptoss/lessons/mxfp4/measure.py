"""What a number format does to weights, and to a model: MXFP4, int8, bfloat16, and MXFP4 rounded in wrong ways.

First matrices and blocks of 32 as they come back from each format, then a text read by a model whose experts are rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptoss.checkpoint.mxfp4 import BLOCK_SIZE, MAGNITUDES, SCALE_BIAS, dequantise, quantise
from gptoss.config import ModelConfig
from gptoss.cost import count_parameters, weight_bytes
from gptoss.model import Transformer

EXPERT_WEIGHTS = ("mlp1_weight", "mlp2_weight")
LARGEST_SCALE = 252  # the largest byte that `quantise` writes
MATRICES = ("mlp1", "mlp2")
OWN, LARGEST = "own", "largest"  # a value as it is; the block's largest value
FIRST_TIMES = "4"  # enough for some neighbours to fall, while others do not
UNROUNDED, AS_IT_RUNS = SOURCES = "Never rounded", "As shipped"
FRAME = 8  # the picture reaches so many units of the block's own scale to either side: nothing in a block is beyond 7
MAX_READ = 256  # tokens of the text that every rounded model reads
MOST_LAYERS = 12  # whose effect is measured one by one
LARGEST_CODE = 127  # of int8, which leaves -128 unused so that both signs reach equally far


@dataclass(frozen=True)
class Format:
    """A way to store a matrix.

    Attributes:
        rounded: the weights (..., columns) as they come back from it, in their own dtype.
        value_bits: of each value.
        scale_bits: of each scale, 0 where there is none.
        group: values of a row that share a scale, None where a whole row does.
        says: how it rounds, in one sentence.
    """

    name: str
    rounded: Callable[[Tensor], Tensor]
    value_bits: int
    scale_bits: int
    group: int | None
    says: str

    def bits(self, columns: int) -> float:
        """Bits a value, its share of the scale included, in a matrix of so many columns."""
        return self.value_bits + self.scale_bits / (self.group or columns)


def mxfp4(weights: Tensor) -> Tensor:
    """Weights (..., n) as they come back from MXFP4. Raises `ValueError` as `quantise` does."""
    return dequantise(*quantise(weights), dtype=weights.dtype)


def clipping(weights: Tensor) -> Tensor:
    """The same with the scale of the MX specification's section 6.3: what lies above 6 of its units is cut to 6."""
    blocks = _blocks(weights)
    _, powers = torch.frexp(blocks.abs().amax(dim=-1, keepdim=True))  # a mantissa of 0.5 to 1 times 2**power
    limit = MAGNITUDES[-1] * torch.exp2(powers - 3.0)
    return mxfp4(blocks.clamp(-limit, limit)).flatten(-2).to(weights.dtype)


def toward_zero(weights: Tensor) -> Tensor:
    """A wrong rounding: our scale, and of the two ticks around a value the one nearer to zero."""
    blocks = _blocks(weights)
    exponents = quantise(blocks)[1].int() - SCALE_BIAS
    return _on_ticks(blocks, exponents, _below).to(weights.dtype)


def scale_raised(weights: Tensor) -> Tensor:
    """A wrong scale: log2 of the largest magnitude rounded up where the specification rounds down. Nearest ticks."""
    blocks = _blocks(weights)
    mantissas, powers = torch.frexp(blocks.abs().amax(dim=-1, keepdim=True))
    raised = powers - 2 - (mantissas == 0.5).int()  # 2**power is the next power of two above, or is reached at once
    return _on_ticks(blocks, raised, _nearest).to(weights.dtype)


def int8(weights: Tensor, group: int | None = None) -> Tensor:
    """Weights (..., n) as they come back from 127 even steps to either side, the largest magnitude of `group` at the last.

    One float32 scale for every `group` values of a row, or for the whole row.
    """
    groups = weights.float().unflatten(-1, (-1, group or weights.shape[-1]))
    scales = groups.abs().amax(dim=-1, keepdim=True) / LARGEST_CODE
    codes = torch.where(scales > 0, groups / scales, 0).round().clamp(-LARGEST_CODE, LARGEST_CODE)
    return (codes * scales).flatten(-2).to(weights.dtype)


def bfloat16(weights: Tensor) -> Tensor:
    """Weights as they come back from bfloat16."""
    return weights.bfloat16().to(weights.dtype)


MXFP4, BF16 = "MXFP4", "bf16"
FORMATS = {form.name: form for form in (
    Format(MXFP4, mxfp4, 4, 8, BLOCK_SIZE, "to the nearest tick, with a scale for every 32 values by which none moves "
                                           "farther than half of the gap around its tick"),
    Format("MXFP4, clipping", clipping, 4, 8, BLOCK_SIZE, "the specification's own scale, by which what lies above 6 "
                                                          "becomes 6"),
    Format("MXFP4, toward 0", toward_zero, 4, 8, BLOCK_SIZE, "a mistake: the same scale, but each value goes to the next "
                                                             "tick toward 0 and not to the nearest"),
    Format("MXFP4, scale up", scale_raised, 4, 8, BLOCK_SIZE, "a mistake: the scale's exponent is rounded up instead of "
                                                              "down"),
    Format("int8, scale per 32", partial(int8, group=BLOCK_SIZE), 8, 32, BLOCK_SIZE,
           "255 even steps, and a scale in float32 for every 32 values: the largest of them"),
    Format("int8, scale per row", int8, 8, 32, None, "255 even steps, and a scale in float32 for a whole row: the largest "
                                                     "of it"),
    Format(BF16, bfloat16, 16, 0, None, "two bytes for each value, and no scale"),
)}


def relative_error(weights: Tensor, rounded: Tensor) -> float:
    """Root mean square of what rounding changed, as a share of the weights' own; 0 where all weights are 0."""
    size = weights.double().square().mean().sqrt().item()
    return (rounded.double() - weights.double()).square().mean().sqrt().item() / size if size else 0.0


def block_sizes(weights: Tensor) -> Tensor:
    """The root mean square of every block of 32: (..., n) -> (..., n / 32), float64."""
    return _blocks(weights).double().square().mean(dim=-1).sqrt()


def block_errors(weights: Tensor, rounded: Tensor) -> Tensor:
    """The relative error of every block of 32: (..., n) -> (..., n / 32), float64."""
    size = block_sizes(weights)
    error = (_blocks(rounded) - _blocks(weights)).double().square().mean(dim=-1).sqrt()
    return torch.where(size > 0, error / size, 0)


def kurtosis(weights: Tensor) -> float:
    """Mean fourth power over the squared mean square: 3 for a normal distribution, more where outliers are."""
    squares = weights.double().square()
    return (squares.square().mean() / squares.mean().square()).item() if squares.any() else float("nan")


def kurtosis_in_blocks(weights: Tensor) -> float:
    """The same when every block has first been divided by its own root mean square: outliers among neighbours alone."""
    blocks, sizes = _blocks(weights).double(), block_sizes(weights)[..., None]
    return kurtosis(torch.where(sizes > 0, blocks / sizes, 0))


def kurtosis_of_normal_blocks() -> float:
    """What `kurtosis_in_blocks` expects of normally distributed weights: 3 n / (n + 2) for blocks of n."""
    return 3 * BLOCK_SIZE / (BLOCK_SIZE + 2)


@dataclass(frozen=True)
class Block:
    """Thirty-two neighbours in MXFP4.

    Attributes:
        values: what was to be stored (32,), float32.
        scale: the byte that stands for 2 ** (scale - 127).
        codes: the four bits of each value (32,), 0 to 15.
        packed: the block's bytes (16,), each with two codes, the first in the low nibble.
        back: what comes back (32,), float32.
    """

    values: Tensor
    scale: int
    codes: Tensor
    packed: Tensor
    back: Tensor

    @property
    def exponent(self) -> int:
        """The power of two that a magnitude of 1 stands for."""
        return self.scale - SCALE_BIAS

    @property
    def ticks(self) -> list[float]:
        """The fifteen values that this scale allows, from the lowest up."""
        steps = [magnitude * 2.0**self.exponent for magnitude in MAGNITUDES]
        return [-step for step in reversed(steps[1:])] + steps

    @property
    def fallen(self) -> Tensor:
        """Which values came back as 0 without being 0: (32,)."""
        return (self.back == 0) & (self.values != 0)


def quantised_block(values: Tensor) -> Block:
    """The MXFP4 block of 32 values. Raises `ValueError` for another number of them, and as `quantise` does."""
    if values.shape != (BLOCK_SIZE,):
        raise ValueError(f"a block has {BLOCK_SIZE} values, not {tuple(values.shape)}")
    packed, scale = quantise(values.float())
    codes = torch.stack((packed[0] & 15, packed[0] >> 4), dim=-1).flatten()
    return Block(values.float(), scale.item(), codes, packed[0], dequantise(packed, scale, torch.float32))


def with_outlier(values: Tensor, place: int, times: float) -> Tensor:
    """The values with the one at `place` made `times` as large as the largest magnitude of all; it keeps its sign."""
    outlier = torch.copysign(values.abs().max() * times, values[place])
    return values.index_fill(0, torch.tensor(place), outlier.item())


@dataclass(frozen=True)
class Neighbours:
    """What became of the values beside one of a block.

    Attributes:
        fallen: how many came back as 0 without being 0.
        error: root mean square of what rounding changed in them, as a share of their own.
    """

    fallen: int
    error: float


def neighbours(block: Block, place: int) -> Neighbours:
    """The other 31 values of a block."""
    others = torch.arange(BLOCK_SIZE) != place
    return Neighbours(int(block.fallen[others].sum()), relative_error(block.values[others], block.back[others]))


class Place(NamedTuple):
    """One block of 32 weights in a model."""

    matrix: str  # "mlp1" or "mlp2"
    layer: int
    expert: int
    row: int
    block: int  # in its row


def matrix_shape(config: ModelConfig, matrix: str) -> tuple[int, int]:
    """Rows and columns of one expert's matrix."""
    rows = (2 * config.intermediate_size, config.hidden_size)
    return rows if matrix == MATRICES[0] else (config.hidden_size, config.intermediate_size)


def possible_matrices(config: ModelConfig) -> list[str]:
    """The matrices whose rows are whole blocks."""
    return [name for name in MATRICES if matrix_shape(config, name)[1] % BLOCK_SIZE == 0]


def expert_matrix(model: Transformer, at: Place) -> Tensor:
    """The matrix (rows, columns) of one expert, as the model has it."""
    return getattr(model.block[at.layer].mlp, f"{at.matrix}_weight")[at.expert].detach()


def block_values(model: Transformer, at: Place) -> Tensor:
    """The weights of a block (32,)."""
    start = at.block * BLOCK_SIZE
    return expert_matrix(model, at)[at.row, start:start + BLOCK_SIZE]


class Grown(NamedTuple):
    """A block as it is, and with its largest value made larger."""

    place: int  # of that value
    own: Block
    block: Block

    @property
    def fallen(self) -> tuple[int, int]:
        """How many of the other 31 come back as 0 as the block is, and with the larger value."""
        return neighbours(self.own, self.place).fallen, neighbours(self.block, self.place).fallen


def grown(values: Tensor, times: float) -> Grown:
    """A block (32,) whose largest value has become so many times as large."""
    place = int(values.abs().argmax())
    return Grown(place, quantised_block(values), quantised_block(with_outlier(values, place, times)))


def changed_by_an_outlier(weights: Tensor, row: int, block: int, times: float) -> tuple[int, int]:
    """How many other weights of a matrix come back otherwise once the largest of a block is so many times as large.

    Those of its own block, and all others.
    """
    inside = torch.zeros_like(weights, dtype=torch.bool)
    inside[row, block * BLOCK_SIZE:(block + 1) * BLOCK_SIZE] = True
    place = int(weights[inside].abs().argmax())
    pushed = weights.clone()
    pushed[inside] = with_outlier(weights[inside], place, times)
    changed = mxfp4(pushed) != mxfp4(weights)
    changed[row, block * BLOCK_SIZE + place] = False
    return int(changed[inside].sum()), int(changed[~inside].sum())


@dataclass(frozen=True)
class Searched:
    """MXFP4 of a matrix against every code and every scale tried.

    Attributes:
        values: how many were tried.
        missed: the largest distance by which a value's tick is farther than the nearest that its scale has.
        better: share of the blocks in which another scale would have had a smaller squared error.
        gained: by how much of itself the whole squared error would be smaller with the best scale of every block.
    """

    values: int
    missed: float
    better: float
    gained: float


def search(weights: Tensor, reach: int = 2) -> Searched:
    """Try all fifteen ticks for every value of a matrix, at the chosen scale and at `reach` scales to either side."""
    blocks = _blocks(weights).reshape(-1, BLOCK_SIZE).double()
    packed, scales = quantise(blocks.float())
    own = (dequantise(packed, scales, torch.float64) - blocks).abs()
    magnitudes = torch.tensor(MAGNITUDES, dtype=torch.float64)
    errors, missed = [], 0.0
    for step in range(-reach, reach + 1):
        ticks = magnitudes * torch.exp2(scales.double() - SCALE_BIAS + step)
        ticks = torch.cat((-ticks, ticks), dim=-1)  # (blocks, 16), of which 0 is there twice
        nearest = (blocks[:, :, None] - ticks[:, None]).abs().amin(dim=-1)
        errors.append(nearest.square().sum(dim=-1))
        if step == 0:
            missed = (own - nearest).max().item()
    chosen, best = errors[reach], torch.stack(errors).amin(dim=0)
    total = chosen.sum().item()
    return Searched(blocks.numel(), missed, (best < chosen).double().mean().item(),
                    1 - best.sum().item() / total if total else 0.0)


@dataclass(frozen=True)
class Checked:
    """MXFP4 of one matrix against every code and scale tried, and against bytes taken apart one by one.

    Attributes:
        searched: what the search found.
        representable: all values that some scale allows.
        wrong: how many of those were stored and did not come back.
        by_hand: the largest difference between the first row's bytes, taken apart, and what `dequantise` reads.
    """

    searched: Searched
    representable: int
    wrong: int
    by_hand: float


def checked(model: Transformer, at: Place) -> Checked:
    """The format checked on the matrix in which a block is."""
    weights = expert_matrix(model, at).float()
    ticks = torch.tensor([*MAGNITUDES, *(-magnitude for magnitude in MAGNITUDES)], dtype=torch.float64).repeat(2)
    exponents = torch.arange(LARGEST_SCALE + 1, dtype=torch.float64) - SCALE_BIAS
    every = (ticks * torch.exp2(exponents)[:, None]).float()
    wrong = int((dequantise(*quantise(every), dtype=torch.float32) != every).sum())
    blocks, scales = quantise(weights[:1])
    unpacked = dequantise(blocks, scales, torch.float32).flatten()
    by_hand = max(abs(_by_hand(byte, nibble, scale) - unpacked[BLOCK_SIZE * block + 2 * place + nibble].item())
                  for block, scale in enumerate(scales[0].tolist())
                  for place, byte in enumerate(blocks[0, block].tolist()) for nibble in (0, 1))
    return Checked(search(weights), every.numel(), wrong, by_hand)


def _by_hand(byte: int, nibble: int, scale: int) -> float:
    """What one code of a byte means: the low nibble comes first."""
    code = byte >> 4 if nibble else byte & 15
    return (-1 if code & 8 else 1) * MAGNITUDES[code & 7] * 2.0 ** (scale - SCALE_BIAS)


def model_bytes(config: ModelConfig, number_format: Format) -> float:
    """Bytes of a model whose experts' two weights are in a format and all the rest in bfloat16."""
    counts, parts = count_parameters(config).by_part, weight_bytes(config, experts="bf16")
    columns = {"mlp1": config.hidden_size, "mlp2": config.intermediate_size}
    experts = sum(counts[part] * number_format.bits(width) / 8 for part, width in columns.items())
    return experts + sum(size for part, size in parts.items() if part not in columns)


def share_in_mxfp4(config: ModelConfig) -> float:
    """The share of a model's parameters that are the experts' two weights, which alone are in MXFP4."""
    counts = count_parameters(config)
    return (counts.by_part["mlp1"] + counts.by_part["mlp2"]) / counts.total


def _blocks(weights: Tensor) -> Tensor:
    """(..., n) -> (..., n / 32, 32), float32."""
    return weights.detach().float().unflatten(-1, (-1, BLOCK_SIZE))


def _on_ticks(blocks: Tensor, exponents: Tensor, pick: Callable[[Tensor], Tensor]) -> Tensor:
    """Blocks (..., m, 32) at 2**exponents -> rows (..., m * 32) in which `pick` has chosen each magnitude's code."""
    exponents = exponents.view(*blocks.shape[:-1], 1)
    units = torch.ldexp(blocks, -exponents)
    ticks = torch.tensor(MAGNITUDES)[pick(units.abs())]
    return torch.ldexp(torch.copysign(ticks, units), exponents).flatten(-2)


def _below(units: Tensor) -> Tensor:
    """The code of the largest magnitude that is not above each value."""
    return torch.bucketize(units, torch.tensor(MAGNITUDES), right=True) - 1


def _nearest(units: Tensor) -> Tensor:
    """The code of the magnitude nearest to each value, ties to the even code."""
    ticks, below = torch.tensor(MAGNITUDES), _below(units)
    above = (below + 1).clamp(max=len(MAGNITUDES) - 1)
    down, up = units - ticks[below], ticks[above] - units
    return torch.where((up < down) | ((up == down) & (below % 2 == 1)), above, below)


@dataclass(frozen=True)
class Reading:
    """One pass over a text of n tokens.

    Attributes:
        logits: of the next token at every position (n, vocab), float32.
        losses: of every token but the first, in nats (n - 1,).
        chosen: the experts that each token went through (layers, n, k).
    """

    logits: Tensor
    losses: Tensor
    chosen: Tensor


@dataclass(frozen=True)
class Effect:
    """A reading beside that of the same text before rounding. Means over the tokens, differences paired.

    Attributes:
        divergence: KL divergence of the next-token distributions, original first, in nats a token.
        loss: of the rounded model, in nats a token; NaN where the text has no token to predict.
        change: of the loss, in nats a token: rounded less original.
        spread: standard error of that change over the tokens.
        worst: the largest change of one token's loss, with its sign.
        logits: root mean square of what changed in the logits, as a share of their own, both less their mean over the
            vocabulary, which softmax does not see.
        same_token: share of the positions at which the most probable token is the same.
        same_experts: share of the routers' choices that are the same.
    """

    divergence: float
    loss: float
    change: float
    spread: float
    worst: float
    logits: float
    same_token: float
    same_experts: float


def with_rounded_experts(model: Transformer, number_format: Format, layers: Collection[int]) -> Transformer:
    """A model with the experts' two weights of some layers rounded and every other tensor shared, not copied.

    `model` stays as it is. Raises `ValueError` as the format does for a shape that it cannot hold.
    """
    rounded = model.sharing_weights()
    for layer in layers:
        own = rounded.block[layer].mlp
        for name in EXPERT_WEIGHTS:
            setattr(own, name, nn.Parameter(number_format.rounded(getattr(own, name).detach()), requires_grad=False))
    return rounded.eval()


@torch.no_grad()
def read(model: Transformer, tokens: Sequence[int]) -> Reading:
    """Run `model` over the ids of one text."""
    ids = torch.tensor([tokens])
    with _choices(model) as chosen:
        logits = model(ids)[0].float()
    return Reading(logits, F.cross_entropy(logits[:-1], ids[0, 1:], reduction="none"), torch.stack(chosen))


@contextmanager
def _choices(model: Transformer) -> Iterator[list[Tensor]]:
    """The experts (n, k) that each layer chooses in a pass inside, first layer first."""
    chosen: list[Tensor] = []

    def note(gate: nn.Module, inputs: tuple, logits: Tensor) -> None:
        chosen.append(logits[0].topk(model.config.experts_per_token, dim=-1).indices)

    handles = [block.mlp.gate.register_forward_hook(note) for block in model.block]
    try:
        yield chosen
    finally:
        for handle in handles:
            handle.remove()


def effect(original: Reading, rounded: Reading) -> Effect:
    """Two readings of one text, the second with other weights."""
    before, after = (reading.logits.double().log_softmax(dim=-1) for reading in (original, rounded))
    change = (rounded.losses - original.losses).double()
    count = len(change)
    return Effect(
        divergence=(before.exp() * (before - after)).sum(dim=-1).mean().item(),
        loss=rounded.losses.double().mean().item(), change=change.mean().item(),
        spread=(change.std() / count**0.5).item() if count > 1 else float("nan"),
        worst=change[change.abs().argmax()].item() if count else float("nan"),
        logits=_moved(original.logits, rounded.logits),
        same_token=(original.logits.argmax(dim=-1) == rounded.logits.argmax(dim=-1)).double().mean().item(),
        same_experts=_overlap(original.chosen, rounded.chosen))


def _moved(before: Tensor, after: Tensor) -> float:
    before, after = (logits.double() - logits.double().mean(dim=-1, keepdim=True) for logits in (before, after))
    size = before.square().mean().sqrt().item()
    return (after - before).square().mean().sqrt().item() / size if size else 0.0


def _overlap(before: Tensor, after: Tensor) -> float:
    """The share of the choices (layers, n, k) that are in both, whatever their order."""
    return (before[..., :, None] == after[..., None, :]).any(dim=-1).double().mean().item()


def effect_of_rounding(model: Transformer, tokens: Sequence[int], number_format: Format, layers: Collection[int],
                       original: Reading) -> Effect:
    """The effect of rounding the experts of some layers, beside the `original` reading of the same tokens."""
    return effect(original, read(with_rounded_experts(model, number_format, layers), tokens))


def spread_out(layers: int, most: int) -> list[int]:
    """At most so many of the layers 0 to `layers` - 1, evenly apart, the first and the last among them."""
    if layers <= most:
        return [*range(layers)]
    return sorted({round(place * (layers - 1) / (most - 1)) for place in range(most)})
