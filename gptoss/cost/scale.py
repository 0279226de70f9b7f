"""What it takes to train a GPT-OSS model on many accelerators: batches, compute, hours, and memory on each of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gptoss.config import ModelConfig, divisors_of
from gptoss.cost.accelerators import Accelerator
from gptoss.cost.activations import FUSED, kept_bytes
from gptoss.cost.checks import require_choice, require_count
from gptoss.cost.flops import forward_flops
from gptoss.cost.memory import BYTES_PER_VALUE, training_bytes_per_parameter
from gptoss.cost.parameters import count_parameters

REPLICATED, ZERO_1, ZERO_2, FSDP = STAGES = ("DDP", "ZeRO-1", "ZeRO-2", "FSDP")
AT_WORK, ACTIVATIONS = "block at work", "activations"
MEMORY_PARTS = ("weights", "master weights", "gradients", "optimizer states", AT_WORK, ACTIVATIONS)

_DIVIDED = {  # what each stage divides among the accelerators that hold the same weights
    REPLICATED: (), ZERO_1: ("master weights", "optimizer states"),
    ZERO_2: ("master weights", "optimizer states", "gradients"),
    FSDP: ("master weights", "optimizer states", "gradients", "weights"),
}
_FORWARD_AND_BACKWARD = 3  # a backward pass multiplies twice: for the gradient of the input and of the matrix


class Indivisible(ValueError):
    """A number that does not divide as it should: the message says why, `nearest` is the nearest one that does."""

    def __init__(self, sentence: str, nearest: int):
        super().__init__(f"{sentence} The nearest that does: {nearest:,}.")
        self.nearest = nearest


@dataclass(frozen=True)
class Layout:
    """How `world` accelerators share a training step.

    `tensor` of them divide every matrix and every head among themselves (Megatron-LM, arXiv 1909.08053); the others
    read different sequences. Among those, each group of `expert` holds every expert once (GShard, arXiv 2006.16668).
    """

    world: int
    tensor: int = 1
    expert: int = 1

    def __post_init__(self) -> None:
        for name in ("world", "tensor", "expert"):
            require_count(name, getattr(self, name), minimum=1)

    @property
    def data(self) -> int:
        """Accelerators, or groups that divide matrices, that read different sequences."""
        return self.world // self.tensor


def check_layout(config: ModelConfig, layout: Layout) -> None:
    """Raise `Indivisible` where the degrees of `layout` do not fit `config` or each other: tensor degree first."""
    limits = {"accelerators": layout.world, "query heads": config.num_attention_heads,
              "KV groups": config.num_key_value_heads, "columns of an expert": config.intermediate_size}
    _must_divide("Tensor parallel", layout.tensor, limits)
    _must_divide("Expert parallel", layout.expert, {
        "experts": config.num_experts, "accelerators that read different sequences": layout.data})


def fitting_layout(config: ModelConfig, wanted: Layout) -> tuple[Layout, list[str]]:
    """The layout nearest to `wanted` that fits `config`, and a sentence for every degree that had to give way."""
    layout, refusals = wanted, []
    for degree in ("tensor", "expert"):
        try:
            check_layout(config, Layout(layout.world, layout.tensor, layout.expert if degree == "expert" else 1))
        except Indivisible as refusal:
            refusals.append(str(refusal))
            changed = {"tensor": layout.tensor, "expert": layout.expert} | {degree: refusal.nearest}
            layout = Layout(layout.world, **changed)
    return layout, refusals


def _must_divide(what: str, degree: int, limits: dict[str, int]) -> None:
    refusing = [f"{limit:,} {name}" for name, limit in limits.items() if limit % degree]
    if refusing:
        possible = divisors_of(math.gcd(*limits.values()))
        nearest = min(possible, key=lambda divisor: (abs(math.log(divisor / degree)), divisor))
        raise Indivisible(f"{what} {degree} does not divide {' and '.join(refusing)}.", nearest)


def accumulation_steps(batch_tokens: int, micro_batch: int, sequence: int, data: int) -> int:
    """Micro steps whose gradients are added up to one batch of `batch_tokens` tokens.

    In one micro step each of `data` accelerators reads `micro_batch` sequences of `sequence` tokens. Raises
    `Indivisible` where that does not go into the batch a whole number of times.
    """
    given = {"batch_tokens": batch_tokens, "micro_batch": micro_batch, "sequence": sequence, "data": data}
    for name, value in given.items():
        require_count(name, value, minimum=1)
    micro_step = micro_batch * sequence * data
    if batch_tokens % micro_step:
        nearest = max(math.floor(batch_tokens / micro_step + 0.5), 1) * micro_step
        raise Indivisible(
            f"{data:,} micro batches of {micro_batch:,} × {sequence:,} tokens are {micro_step:,} tokens at once, and a "
            f"batch of {batch_tokens:,} tokens is no multiple of that.", nearest)
    return batch_tokens // micro_step


def optimizer_steps(tokens: int, batch_tokens: int) -> int:
    """Batches that `tokens` tokens make, the last one filled up."""
    require_count("tokens", tokens, minimum=1)
    require_count("batch_tokens", batch_tokens, minimum=1)
    return -(-tokens // batch_tokens)


def training_flops_per_token(config: ModelConfig, sequence: int) -> dict[str, float]:
    """Operator -> FLOPs of one token, forward and backward, averaged over a sequence of `sequence` tokens.

    Three times the matrix multiplications of `forward_flops`, hidden pairs of attention left out. Recomputed
    activations are not work on the model, and are not counted (PaLM, arXiv 2204.02311, appendix B).
    """
    needed = forward_flops(config, sequence).needed
    return {operator: _FORWARD_AND_BACKWARD * flops / sequence for operator, flops in needed.items()}


def rule_of_thumb(config: ModelConfig) -> int:
    """FLOPs of one token by the rule 6 · active parameters (Kaplan et al., arXiv 2001.08361, with 2 forward, 4 backward)."""
    return 2 * _FORWARD_AND_BACKWARD * count_parameters(config).active


def accelerator_hours(flops: float, accelerator: Accelerator, utilisation: float) -> float:
    """Hours that one accelerator would need for `flops` at a share `utilisation` of its peak, above 0 and at most 1."""
    if not 0 < utilisation <= 1:
        raise ValueError(f"utilisation={utilisation!r} is impossible; allowed: above 0 and at most 1")
    return flops / (accelerator.flops * utilisation) / 3600


def rank_config(config: ModelConfig, tensor: int) -> ModelConfig:
    """What one of `tensor` accelerators that divide every matrix holds: itself the shape of a model, with fewer heads,
    narrower experts and a part of the vocabulary, padded where it does not divide. Norms and router stay whole."""
    return config.replace(
        num_attention_heads=config.num_attention_heads // tensor, num_key_value_heads=config.num_key_value_heads // tensor,
        intermediate_size=config.intermediate_size // tensor, vocab_size=-(-config.vocab_size // tensor))


def training_bytes(config: ModelConfig, layout: Layout, stage: str, micro_batch: int, sequence: int, keep: str = FUSED,
                   gradients: str = "bf16") -> dict[str, int]:
    """Part -> bytes on one accelerator while it trains with AdamW in mixed precision. The parts are `MEMORY_PARTS`.

    `stage` is one of `STAGES`: which state the accelerators that hold the same weights divide among themselves. "DDP"
    divides nothing, "ZeRO-1" and "ZeRO-2" are arXiv 1910.02054's, "FSDP" (arXiv 2304.11277) is its third.
    The "block at work" is what is whole for a moment all the same: the largest block's gradient, and under FSDP its
    weights. `keep` is one of `KEEPS`: what of `micro_batch` sequences of `sequence` tokens waits for the backward pass;
    tokens are taken to be spread evenly over the experts.

    All parts are held at once where gradients of several micro steps add up: those of earlier ones are there while
    activations pile up. Not counted: what is not held by a tensor of the model (driver, gaps, buffers for sending) and
    passing results.
    Raises `Indivisible` where `layout` does not fit, and `ValueError` for an unknown `stage`, `keep` or format.
    """
    require_choice("stage", stage, STAGES)
    check_layout(config, layout)
    rank = rank_config(config, layout.tensor)
    counts = count_parameters(rank)
    holders = ((counts.total - counts.experts, layout.data), (counts.experts // layout.expert, layout.data // layout.expert))
    per_parameter = training_bytes_per_parameter("mixed", gradients)
    parts = {part: sum(-(-count // (copies if part in _DIVIDED[stage] else 1)) for count, copies in holders) * size
             for part, size in per_parameter.items()}
    parts[AT_WORK] = _block_at_work(rank, layout, stage, BYTES_PER_VALUE[gradients])
    parts[ACTIVATIONS] = kept_bytes(rank, micro_batch, sequence, keep)
    return parts


def _block_at_work(rank: ModelConfig, layout: Layout, stage: str, gradient_bytes: int) -> int:
    """Bytes of the largest block, or table, that is whole for a moment though it is divided otherwise."""
    size = {FSDP: BYTES_PER_VALUE["bf16"] + gradient_bytes, ZERO_2: gradient_bytes}.get(stage, 0)
    counts, layers = count_parameters(rank), rank.num_hidden_layers
    dense = (counts.total - counts.experts - counts.embeddings - counts.final_norm) // layers if layout.data > 1 else 0
    experts = counts.experts // layers // layout.expert if layout.data > layout.expert else 0
    table = counts.unembedding if layout.data > 1 else 0
    return size * max(dense + experts, table)
