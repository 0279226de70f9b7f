"""How a model is trained: every setting of a run, in one value that can be written down and run again."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from gptoss.cost.schedule import learning_rate

PRECISIONS = ("float32", "bfloat16")
MOST = {"steps": 10**9, "batch": 2**16, "length": 2**17, "accumulation": 2**16, "evaluate_every": 10**9}
MOST_SEED = 2**63 - 1  # that torch takes


@dataclass(frozen=True)
class Recipe:
    """The settings of one run. Raises `ValueError` that names the field where one is impossible.

    Units: `batch` counts documents of a whole step, which `accumulation` passes share; `length` and `warmup` count tokens
    and steps; `floor` is the share of the peak learning rate that is left at the end. The published GPT-OSS report names
    none of these: they are common choices for small models (AdamW: Loshchilov and Hutter, arXiv 1711.05101).
    """

    steps: int = 300
    batch: int = 16
    length: int = 64
    accumulation: int = 1
    peak: float = 3e-3
    warmup: int = 30
    floor: float = 0.1
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    clip: float = 1.0  # largest norm of all gradients together
    balance: float = 0.0  # coefficient of the load-balancing loss, which each pass of each process takes over its own tokens
    precision: str = "float32"  # of the passes; "bfloat16" is autocast, with float32 weights
    mxfp4_from: float = 1.0  # share of the run after which the experts' weights are rounded to MXFP4 in every pass
    yarn_from: float = 0.0  # share of the run with plain RoPE; then the model's YaRN joins, in every other step
    evaluate_every: int = 25
    seed: int = 0

    def __post_init__(self) -> None:
        for name, most in MOST.items():
            if not 1 <= getattr(self, name) <= most:
                self._refuse(name, f"1 or more, {most:,} at most")
        if self.batch % self.accumulation:
            self._refuse("accumulation", f"a divisor of batch={self.batch}")
        if not 0 <= self.warmup <= self.steps:
            self._refuse("warmup", f"0 to steps={self.steps}")
        for name in ("peak", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                self._refuse(name, "a finite number above 0")
        for name in ("weight_decay", "balance"):
            if not 0 <= getattr(self, name) < math.inf:
                self._refuse(name, "0 or a finite number above")
        for name in ("floor", "mxfp4_from", "yarn_from"):
            if not 0 <= getattr(self, name) <= 1:
                self._refuse(name, "0 to 1")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                self._refuse(name, "0 to below 1")
        if not 0 <= self.seed <= MOST_SEED:
            self._refuse("seed", f"0 or more, {MOST_SEED:,} at most")
        if self.precision not in PRECISIONS:
            self._refuse("precision", " or ".join(PRECISIONS))

    def _refuse(self, name: str, allowed: str) -> None:
        raise ValueError(f"{name}={getattr(self, name)!r} is impossible; allowed: {allowed}")

    def learning_rate(self, step: int) -> float:
        """At a step, counted from 0."""
        return learning_rate(step, self.steps, self.peak, self.warmup, self.floor)

    @property
    def tokens(self) -> int:
        """Tokens predicted in the whole run."""
        return self.steps * self.batch * self.length

    def replace(self, **changes) -> Recipe:
        return dataclasses.replace(self, **changes)
