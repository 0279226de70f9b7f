"""How fast a model learns at each step: a linear warmup, then a cosine down to a floor."""

from __future__ import annotations

import math

from gptoss.cost.checks import require_count

# `learning_rate` as a formula, in the letters of `gptoss.notation`.
LEARNING_RATE = r"""$$
\eta = \eta_\text{peak}\,\frac{\text{step}+1}{\text{warmup}} \;\; \text{in the warmup}
$$

$$
\eta = \eta_\text{peak}\left(\text{floor} + (1-\text{floor})\,\tfrac12\left(1 + \cos \pi\,
\frac{\text{step}+1-\text{warmup}}{\text{steps}-\text{warmup}}\right)\right) \;\; \text{after it}
$$
"""


def learning_rate(step: int, steps: int, peak: float, warmup: int, floor: float) -> float:
    """The learning rate at `step` of `steps`, both counted in optimizer steps, `step` from 0.

    The first `warmup` steps rise linearly, from `peak / warmup` to `peak`; without a warmup the first step is at the
    peak. What follows falls along half a cosine and ends at `floor * peak` in the last step (Loshchilov and Hutter,
    arXiv 1608.03983, one cycle; `floor` 0.1 as in GPT-3, arXiv 2005.14165).

    Raises `ValueError` for a `step` outside the run, a `warmup` longer than it, a `peak` that is not above 0 or a
    `floor` outside 0 to 1.
    """
    _check(step, steps, peak, warmup, floor)
    first_peak = max(warmup, 1) - 1
    if step < first_peak:
        return peak * (step + 1) / warmup
    progress = (step - first_peak) / max(steps - 1 - first_peak, 1)
    return peak * (floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2)


def _check(step: int, steps: int, peak: float, warmup: int, floor: float) -> None:
    require_count("steps", steps, minimum=1)
    require_count("step", step, minimum=0)
    require_count("warmup", warmup, minimum=0)
    if step >= steps:
        raise ValueError(f"step={step} is impossible; allowed: 0 to {steps - 1}, since steps={steps}")
    if warmup > steps:
        raise ValueError(f"warmup={warmup} is impossible; allowed: at most steps={steps}")
    if not 0 < peak < math.inf:
        raise ValueError(f"peak={peak!r} is impossible; allowed: a finite number above 0")
    if not 0 <= floor <= 1:
        raise ValueError(f"floor={floor!r} is impossible; allowed: 0 to 1")
