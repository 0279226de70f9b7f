"""How fast a model can run at best: every operator against a machine's arithmetic and its memory.

The roofline model of Williams, Waterman and Patterson (Communications of the ACM 52(4), 2009): an operator takes at least
the time of its FLOPs at the peak rate, and at least the time of its bytes at the full bandwidth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gptoss.config import ModelConfig
from gptoss.cost.accelerators import Accelerator
from gptoss.cost.inference import Load, Operator, decode_operators, prefill_operators

COMPUTE, MEMORY = "compute", "memory"


@dataclass(frozen=True)
class OperatorBound:
    """The least seconds that one operator takes on one machine."""

    operator: Operator
    compute: float | None  # its FLOPs at the machine's peak for its format, or None where no peak is published
    memory: float  # its bytes at the machine's bandwidth

    @property
    def seconds(self) -> float:
        """The longer of the two: they can overlap, but neither can be skipped."""
        return max(self.memory, self.compute or 0)

    @property
    def binds(self) -> str:
        """`COMPUTE` or `MEMORY`: which of the two the operator waits for."""
        return COMPUTE if (self.compute or 0) > self.memory else MEMORY


def bounds(operators: Sequence[Operator], machine: Accelerator) -> tuple[OperatorBound, ...]:
    """The bound of each operator on `machine`. Formats meet the machine's peaks as `Accelerator.peak` says."""
    def of(operator: Operator) -> OperatorBound:
        peak = machine.peak(operator.number_format)
        return OperatorBound(operator, operator.flops / peak if peak else None, operator.bytes / machine.bandwidth)

    return tuple(of(operator) for operator in operators)


def bound_seconds(operators: Sequence[Operator], machine: Accelerator) -> float:
    """The least seconds that `operators` take one after the other: a bound, not a promise.

    Left out is all that makes real passes slower: starting kernels, norms and activation functions, matrices too small to
    fill the machine, bandwidth and clocks that stay below the sheet's. Whether the model fits is another question.
    """
    return sum(bound.seconds for bound in bounds(operators, machine))


def prefill_seconds(config: ModelConfig, load: Load, machine: Accelerator, touched: float | None = None) -> float:
    """The least seconds until all prompts are read and each sequence has its first token."""
    return bound_seconds(prefill_operators(config, load, touched), machine)


def decode_seconds(config: ModelConfig, load: Load, machine: Accelerator, touched: float | None = None) -> float:
    """The least seconds between two tokens of a sequence."""
    return bound_seconds(decode_operators(config, load, touched), machine)


def tokens_per_second(config: ModelConfig, load: Load, machine: Accelerator, touched: float | None = None) -> float:
    """The most tokens that all sequences together gain a second while decoding at `load.context`."""
    return load.batch_size / decode_seconds(config, load, machine, touched)


def ridge(machine: Accelerator, number_format: str) -> float | None:
    """FLOPs a byte above which arithmetic binds, or None where the machine's maker publishes no peak."""
    peak = machine.peak(number_format)
    return peak / machine.bandwidth if peak else None
