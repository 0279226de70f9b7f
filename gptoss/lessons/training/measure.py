"""What a learning curve looks like: where it falls, how noisy it is, and how far it is from a smooth decay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Decay:
    """The curve `low + height · exp(-step / scale)` that is nearest to some losses, by least squares.

    `fitted` is its value at their steps.
    """

    low: float
    height: float
    scale: float
    fitted: np.ndarray


def nearest_decay(steps: np.ndarray, losses: np.ndarray, scales: int = 200) -> Decay:
    """Fit a decay: for each of `scales` time scales, from a hundredth to ten times the run, the best low and height.

    Raises `ValueError` for fewer than 3 points, which any decay can pass through.
    """
    steps, losses = np.asarray(steps, dtype=float), np.asarray(losses, dtype=float)
    if len(steps) < 3:
        raise ValueError(f"{len(steps)} points are too few for a decay; allowed: 3 or more")
    span = steps.max() - steps.min()
    best = None
    for scale in np.geomspace(span / 100, 10 * span, scales):
        basis = np.stack([np.ones_like(steps), np.exp(-(steps - steps.min()) / scale)], axis=1)
        (low, height), *_ = np.linalg.lstsq(basis, losses, rcond=None)
        fitted = basis @ (low, height)
        error = ((fitted - losses) ** 2).sum()
        if best is None or error < best[0]:
            best = error, Decay(float(low), float(height), float(scale), fitted)
    return best[1]


def steepest(steps: np.ndarray, values: np.ndarray) -> tuple[int, int]:
    """The two neighbouring moments between which a curve falls most for a step, as steps.

    Raises `ValueError` for fewer than 2 points.
    """
    if len(steps) < 2:
        raise ValueError(f"{len(steps)} points have no slope; allowed: 2 or more")
    place = int(np.argmin(np.diff(values) / np.diff(steps)))
    return int(steps[place]), int(steps[place + 1])


def noise(losses: np.ndarray) -> float:
    """The standard deviation of a step's loss around its neighbours', from the differences of neighbours; NaN for one."""
    changes = np.diff(np.asarray(losses, dtype=float))
    return float(np.sqrt((changes**2).mean() / 2)) if len(changes) else float("nan")
