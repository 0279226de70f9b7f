"""What people say about training at scale, decided on a real training step and on what is published."""

from __future__ import annotations

from gptoss import units
from gptoss.app.computed import measured
from gptoss.app.study import Study
from gptoss.app.verdicts import Verdict
from gptoss.cost import Layout, count_parameters, learning_rate, training_bytes
from gptoss.cost.scale import REPLICATED
from gptoss.lessons.scale import measure
from gptoss.lessons.scale.measure import STEP_BATCH, STEP_TOKENS

# What the notebook's schedule follows: GPT-3's warmup (arXiv 2005.14165) and a reproduction's budget, in tokens.
WARMUP_TOKENS, BUDGET_TOKENS, BATCH_TOKENS = 375_000_000, 10_000_000_000, 2**19
PEAK, FLOOR = 6e-4, 0.1  # of that schedule: the highest learning rate, and the share of it at the end

weighed_step = measured(measure.weighed_step, entries=8, doing="Training.")


def training_memory_left_out(study: Study) -> Verdict:
    """Claim 16: a real step at the live size, weighed, and the account of the real size."""
    step = weighed_step(study.live_config, study.seed)
    parameters = count_parameters(study.live_config).total
    left_out, kept = step.gradients + step.optimizer_states, sum(step.activations.values())
    parts = training_bytes(study.config, Layout(world=1), REPLICATED, 1, study.config.initial_context_length)
    sizes = ", ".join(f"{part} {units.decimal(size, 'B')}" for part, size in parts.items() if size)
    return Verdict.of(left_out == 0, (
        f"37.3 is {37.3 * 2**30 / 2 / 1e9:.1f} B parameters in two bytes each: weights alone. Left out are gradients and "
        f"optimizer states: a real AdamW step at the live size, weighed here, held {left_out / parameters:.0f} bytes of "
        f"them for each parameter beside {step.weights / parameters:.0f} of weight. Its activations for "
        f"{STEP_BATCH * STEP_TOKENS} tokens took {kept:,} bytes, {kept / step.weights:.0%} of the weights. "
        f"{study.name} in mixed precision, each accelerator with all of it: {sizes}."))


def published_schedule() -> Verdict:
    """Claim 19: where the notebook's schedule comes from, in numbers that can be worked out. No code can decide it."""
    warmup, steps = WARMUP_TOKENS // BATCH_TOKENS, BUDGET_TOKENS // BATCH_TOKENS
    last = f"{learning_rate(steps - 1, steps, PEAK, warmup, FLOOR):.0e}".replace("e-0", "e-")
    return Verdict.of(False, (
        "OpenAI has published no schedule for gpt-oss: its model card (arXiv 2508.10925) tells GPU hours, its code is for "
        f"inference. A well-known reproduction of GPT-2 warms up for {WARMUP_TOKENS:,} tokens, as GPT-3 did, and reads "
        f"{BUDGET_TOKENS:,} in batches of {BATCH_TOKENS:,}: {warmup:,} steps of {steps:,}, from 6e-4 down to {last}. "
        "The schedule on the page Training at scale is of that shape, and no more than an example."))
