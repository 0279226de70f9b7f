"""What stands below the scale page: its question, its experiments, the maths and checks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import streamlit as st

from gptoss import units
from gptoss.app.lesson import Lesson, Prediction, Try
from gptoss.app.study import Study
from gptoss.app.verdicts import Claim
from gptoss.config import PRESETS
from gptoss.cost import (
    ACCELERATORS,
    activation_bytes,
    checkpoint_bytes,
    count_parameters,
    learning_rate,
    training_bytes,
    training_flops_per_token,
    training_memory,
)
from gptoss.cost.activations import FUSED, RECOMPUTED, WRITTEN_OUT
from gptoss.cost.scale import accumulation_steps, rank_config
from gptoss.lessons.scale.controls.scale import (
    AS_TRAINED,
    LARGE,
    MEMORY,
    STEP_BATCH,
    STEP_TOKENS,
    TIME,
    key,
    measured_step,
)
from gptoss.training.step_memory import MeasuredStep, training_step

ASKED_MEMORY = 80 * 10**9  # bytes of the accelerator in the question
CARD_HOURS = 2.1e6  # H100 hours of gpt-oss-120b, from its model card, arXiv 2508.10925

MATHS = r"""
**A batch.** $w$ accelerators, of which $t$ divide each matrix, read $w/t$ different micro batches of $m$ sequences of $s$
tokens. A batch of $B$ tokens takes $a = \frac{B}{m\,s\,w/t}$ accumulation steps: a whole number, or it is no batch.

**The schedule.** Step $i$ of $n$ with $u$ steps of warmup, from a peak $\eta$ to a share $f$ of it:

$$
\eta_i = \eta\,\frac{i+1}{u} \;\; (i < u), \qquad
\eta_i = \eta\left(f + (1-f)\,\tfrac12\left(1 + \cos \pi\,\frac{i+1-u}{n-u}\right)\right) \;\; (i \ge u)
$$

**Compute.** A matrix of $p$ parameters costs a token $2p$ FLOPs forward, and $4p$ backward: for the gradient of its input
and for its own. So the rule $6 \cdot \text{active} \cdot \text{tokens}$. It counts biases, norms and sinks, which multiply
nothing, and misses attention's scores and values: $12\,H d \cdot \overline{\text{visible keys}}$ a token and layer. The
unembedding is in both.

**Hours** $= \dfrac{\text{FLOPs}}{\text{peak} \cdot \text{utilisation} \cdot 3600}$.

**State.** Each parameter: $2$ bytes weight, $4$ master weight, $2$ gradient ($4$ in fp32), $8$ AdamW moments. ZeRO divides
by the accelerators that hold the same parameter: $w/t$ for the dense part, $\frac{w}{t\,p}$ for experts that $p$ divide.
One block is whole while it works.

**Activations**, bytes in bf16 for one token and layer (hidden $h$, $H$ heads and $G$ KV heads of $d$, $k$ experts of width
$I$), as this implementation keeps them:

$$
\underbrace{8\,(2h + 1)}_{\text{two norms, fp32}} + \underbrace{2\,(h + 2Hd + 2Gd) + 4H}_{\text{attention in one kernel}}
+ \underbrace{2h + 28k + 2k\,(3h + 7I)}_{\text{router and experts}}
$$

and once for a token $4(2h+1) + 2h + 4V + 16$ for the last norm and the loss over a vocabulary of $V$; cosines and sines,
which a batch shares, left out. Attention written out keeps $4 H$ bytes more for every key that is multiplied.
"""


def scale_lesson(study: Study, claims: Sequence[Claim]) -> Lesson:
    """The lesson for the model under study."""
    return Lesson(
        path="scale", maths=MATHS, prediction=prediction(study),
        code=[learning_rate, accumulation_steps, training_flops_per_token, training_bytes, rank_config, activation_bytes,
              training_step],
        tries=tries(),
        claims=claims,
        checks=lambda: how_we_know(study))


def tries() -> list[Try]:
    """Experiments: too large by activations, saved by recomputation, saved by dividing, and what time it takes."""
    def controls(**wanted) -> dict[str, object]:
        usual = {"world": 64, "micro": 1, "sequence": AS_TRAINED, "tensor": 1, "expert": 1, "keep": FUSED, "view": MEMORY}
        return {key(name): each for name, each in (usual | wanted).items()}

    return [
        Try("gpt-oss-120b on 64 accelerators", "Even fully divided, a step does not fit in 80 GB. Which part is largest?",
            preset=LARGE, controls=controls()),
        Try("Compute it twice", "Only block inputs are kept, and each block runs a second time: one more forward pass of "
            "compute for a fraction of the activations.", preset=LARGE, controls=controls(keep=RECOMPUTED)),
        Try("Divide the experts", "512 accelerators, each group of 8 with every expert once. Now even ZeRO-2 comes near.",
            preset=LARGE, controls=controls(world=512, expert=8, keep=RECOMPUTED)),
        Try("A degree that is impossible", "16 accelerators cannot share 8 KV heads evenly.", preset=LARGE,
            controls=controls(tensor=16)),
        Try("How long?", "A trillion tokens on 4,096 accelerators. Move the utilisation: nobody reaches the sheet's peak.",
            preset=LARGE, controls=controls(world=4096, expert=8, keep=RECOMPUTED, view=TIME)),
    ]


def prediction(study: Study) -> Prediction:
    """How many accelerators the training state needs, beside the one that holds the checkpoint."""
    asked = study if _state(study) > ASKED_MEMORY else Study.of_preset(LARGE)
    return Prediction(
        f"The checkpoint of {asked.name} takes {checkpoint_bytes(asked.config) / 1e9:,.3g} GB. Training keeps weights, "
        "master weights, gradients and optimizer states. Divided evenly, how many accelerators of 80 GB hold that state, "
        "without any activations?",
        answer=lambda: math.ceil(_state(asked) / ASKED_MEMORY), unit="accelerators", tolerance=0.15, show="{:,.0f}".format,
        because=lambda _: f"{count_parameters(asked.config).total:,} parameters × {_per_parameter(asked):.0f} bytes are "
                          f"{_state(asked) / 1e9:,.0f} GB: {_state(asked) / checkpoint_bytes(asked.config):.0f} times the "
                          "checkpoint, whose experts take 4.25 bits a value.")


def _state(study: Study) -> int:
    return sum(training_memory(study.config).values())


def _per_parameter(study: Study) -> float:
    return _state(study) / count_parameters(study.config).total


def how_we_know(study: Study) -> None:
    """The closed forms against a step at this moment, a published figure, and where the data of accelerators come from."""
    step = measured_step(study.live_config, study.seed)
    st.markdown(
        f"At this moment, at the live size with random weights, {STEP_BATCH} sequences of {STEP_TOKENS} tokens in fp32:\n"
        f"- **Kept for the backward pass**: autograd saved {sum(step.activations.values()):,} bytes. With the rows that "
        f"routing gave to experts the closed form is off by **{_off(study, step):,}** bytes.\n"
        f"- **State**: {step.weights:,} bytes of weights, {step.gradients:,} of gradients and {step.optimizer_states:,} of "
        f"AdamW's moments. The closed form is off by **{_state_off(study, step):,}**.\n\n"
        f"{_card()}\n\n"
        "The tests hold the bytes kept against autograd's for random shapes in both formats, on a CPU and on CUDA; the "
        "parts of tensor parallelism against a model's tensors, cut; divided state against all accelerators together; and "
        "torch counts that a backward pass multiplies twice what the forward pass did. "
        "`tests/benchmarks/training_memory.py` takes larger steps on any device.\n\n"
        "Not counted: driver, gaps between tensors, buffers for sending, and results that pass by. Peaks are for dense "
        "bf16, GB are 10⁹ bytes:\n" + _table())


def _off(study: Study, step: MeasuredStep) -> int:
    exact = activation_bytes(study.live_config, STEP_BATCH, STEP_TOKENS, "fp32", WRITTEN_OUT, step.padded_rows)
    return sum(abs(step.activations[part] - size) for part, size in exact.items())


def _state_off(study: Study, step: MeasuredStep) -> int:
    memory = training_memory(study.live_config, "fp32")
    return sum(abs(held - memory[part]) for part, held in (
        ("weights", step.weights), ("gradients", step.gradients), ("optimizer states", step.optimizer_states)))


def _card() -> str:
    """What the published hours would be enough for."""
    flops = sum(training_flops_per_token(PRESETS[LARGE], PRESETS[LARGE].initial_context_length).values())
    h100 = next(each for each in ACCELERATORS if each.name == "H100")
    tokens = {share: CARD_HOURS * 3600 * h100.flops * share / 100 / flops for share in (10, 20, 40)}
    enough = ", ".join(f"{units.count(each)} at {share}%" for share, each in tokens.items())
    return (f"**A published figure**: the model card says that {LARGE} took {CARD_HOURS / 1e6:.1f} million H100 hours, and "
            f"“trillions of tokens”. By the compute counted here those hours are enough for this many tokens: {enough} "
            "utilisation. Which it was is not published.")


def _table() -> str:
    rows = "".join(f"| {each.name} | {each.flops / 1e12:,.4g} | {each.memory / 1e9:,.0f} | {each.bandwidth / 1e9:,.0f} | "
                   f"{each.source} |\n" for each in ACCELERATORS)
    return f"\n| Accelerator | TFLOP/s | GB | GB/s | Source |\n|---|---|---|---|---|\n{rows}"
