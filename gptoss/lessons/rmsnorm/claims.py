"""What people say about RMSNorm, decided on the class that runs and by this machine's clock."""

from __future__ import annotations

import torch

from gptoss.app.computed import measured
from gptoss.app.study import Study
from gptoss.app.verdicts import Verdict
from gptoss.lessons.rmsnorm.measure import (
    CONTENDERS,
    NOTEBOOK_EPS,
    format_errors,
    measure_times,
    output_size,
    speed_ratio,
)
from gptoss.model import RMSNorm
from gptoss.units import number

SMALL = 0.001  # the size of an input beside which an eps counts

timed = measured(measure_times, entries=32, doing="Both norms run in turn.")


def as_in_the_notebook(study: Study) -> Verdict:
    """Claim 8: what the class does, and what eps 1e-6 and bfloat16 inside would change."""
    norm = RMSNorm(study.hidden)
    errors = format_errors(study.hidden, 1.0).set_index("format")["largest"]
    one = torch.ones((), dtype=torch.bfloat16)
    lost = (one + NOTEBOOK_EPS == one).item()
    return Verdict.of(norm.eps == NOTEBOOK_EPS and norm.scale.dtype == torch.bfloat16, (
        f"The class that runs here has eps {_power(norm.eps)} and computes in "
        f"{str(norm.scale.dtype).removeprefix('torch.')}. With eps {_power(NOTEBOOK_EPS)} an input of size {number(SMALL)} "
        f"leaves at {output_size(SMALL, NOTEBOOK_EPS):.2f} instead of {output_size(SMALL):.2f}. In bfloat16 throughout, an "
        f"output is off by up to {errors['all in bfloat16']:.2%} instead of {errors['float32 inside']:.2%}, which is the "
        f"last rounding alone; and 1 + {_power(NOTEBOOK_EPS)} "
        f"{'is 1 there: such an eps disappears beside values of size 1' if lost else 'keeps its eps there'}."))


def half_as_fast_again(study: Study) -> Verdict:
    """Claim 20, timed now: like against like, and what a reader's own loop would compare."""
    times = timed.again(study.hidden)
    steps_rms, steps_layer, torch_rms, torch_layer = CONTENDERS
    steps, fused = speed_ratio(times, steps_layer, steps_rms), speed_ratio(times, torch_layer, torch_rms)
    mixed, *_ = speed_ratio(times, torch_layer, steps_rms)
    return Verdict.of(all(low <= 1.5 <= high for _, low, high in (steps, fused)), (
        f"Measured on this machine, width {study.hidden:,}, forward and backward: written step by step, LayerNorm "
        f"takes {steps[0]:.2f} times as long as RMSNorm (quartiles {steps[1]:.2f} to {steps[2]:.2f}); in torch's own "
        f"versions {fused[0]:.2f} times ({fused[1]:.2f} to {fused[2]:.2f}). How a norm is written counts as much as its "
        f"formula: torch's LayerNorm takes {mixed:.2f} times as long as the readable RMSNorm of this model. The view "
        "Time of the page RMSNorm shows all medians."))


def _power(value: float) -> str:
    """A power of ten as in code: `1e-5`."""
    digits, _, power = f"{value:.0e}".partition("e")
    return f"{digits}e{int(power)}"
