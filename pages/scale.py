"""Training at scale: memory of every accelerator and what fits, compute and hours, batches and the schedule."""

from functools import partial

import streamlit as st

from gptoss import cost, units
from gptoss.app import controls as shared
from gptoss.app import stage, state
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.lesson import Lesson, Try, below, beside
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.config import PRESETS
from gptoss.cost.activations import RECOMPUTED
from gptoss.cost.scale import rank_config
from gptoss.cost.schedule import LEARNING_RATE
from gptoss.lessons.scale.controls import questions, views
from gptoss.training.step_memory import training_step

REAL = PRESETS["gpt-oss-20b"]
OPENING = Opening(
    problem="Training a model takes several times the memory of its weights: for gpt-oss-20b "
            f"{units.size(sum(cost.training_memory(REAL).values()))}, more than any accelerator has.",
    idea=f"Many accelerators share the work. Each reads its own part of the {word('batch')} and keeps its own part of the "
         f"weights, the {word('gradient', 'gradients')} and what {word('AdamW')} remembers.",
    chosen=f"gpt-oss-120b was trained in {units.spelled(views.CARD_HOURS)} H100 hours, says its model card. With few "
           f"{word('active parameters')} it needed fewer {word('FLOP', 'FLOPs')} than its size suggests.")

BATCH = r"""
**A batch.** Of all accelerators, those that divide each matrix among them (the tensor degree) read the same texts. Each such
group reads micro batches of $B$ sequences of $n$ tokens:

$$
\text{accumulation steps} = \frac{\text{tokens a batch}}{B\,n \cdot \text{accelerators} / \text{tensor degree}}
$$

That is a whole number, or it is no batch.
"""

SCHEDULE = r"""
**The schedule.** From a peak of the learning rate $\eta$ down to a share of it, the floor:

""" + LEARNING_RATE

COMPUTE = r"""
**Compute.** A matrix of $N$ parameters costs a token $2N$ FLOPs forward, and $4N$ backward: for the gradient of its input
and for its own.

$$
C \approx 6\, N_\text{active} \cdot \text{tokens}, \qquad
\text{hours} = \frac{C}{\text{peak} \cdot \text{utilisation} \cdot 3600}
$$

The rule counts biases, norms and sinks, which multiply nothing, and misses attention's scores and values:
$12\,H d \cdot \overline{\text{visible keys}}$ a token and layer. The unembedding is in both.
"""

STATE = r"""
**State.** Each parameter: $2$ bytes weight, $4$ master weight, $2$ gradient ($4$ in fp32), $8$ AdamW moments.

$$\text{state} = 16\, N \text{ bytes}$$

ZeRO divides it by the accelerators that hold the same parameter. One block is whole while it works.
"""

ACTIVATIONS = r"""
**Activations**, bytes in bf16 for one token and layer, as this implementation keeps them:

$$
\underbrace{8\,(2D + 1)}_{\text{two norms, fp32}} + \underbrace{2\,(D + 2Hd + 2Gd) + 4H}_{\text{attention in one kernel}}
+ \underbrace{2D + 28k + 2k\,(3D + 7F)}_{\text{router and experts}}
$$

and once for a token $4(2D+1) + 2D + 4V + 16$ for the last norm and the loss over a vocabulary of $V$; cosines and sines,
which a batch shares, left out. Attention written out keeps $4 H$ bytes more for every key that is multiplied.
"""


@st.fragment
def picture(study: Study, view: str, lesson: Lesson) -> None:
    """What one accelerator holds, the hours, or the batches; at the left the dials that all three need, and its own."""
    dials, right = st.columns([2, 7], gap="medium")
    with dials:
        views.common_dials()
    with right:
        name, config = views.model_shown(study)
        views.DRAWN[view](config, views.setting(config), dials, views.published.in_words(study, name, config),
                          lambda: beside(lesson))
        views.offer_large_model(config)


def how_we_know(study: Study) -> None:
    """The closed forms beside a step at this moment, a published figure, and where the data of accelerators come from."""
    st.markdown(
        f"{views.step_in_words(study)}\n\n{views.published_hours()}\n\n"
        "The tests compare the bytes kept with autograd's for random shapes in both formats, on a CPU and on CUDA; the "
        "parts of tensor parallelism with a model's tensors, cut; divided state with all accelerators together; and "
        "torch counts that a backward pass multiplies twice what the forward pass did. "
        "`tests/benchmarks/training_memory.py` takes larger steps on any device.\n\n"
        "Not counted: driver, gaps between tensors, buffers for sending, and results that pass by. Peaks are for dense "
        f"bf16, GB are 10⁹ bytes:\n{views.accelerators_table()}")


def tries() -> list[Try]:
    """Experiments: too large by activations, saved by recomputation, saved by dividing, and what time it takes."""
    divided = partial(views.moved, keep=RECOMPUTED)
    return [
        Try("64 accelerators", "Even divided as far as it goes, under FSDP, a step of gpt-oss-120b does not fit into 80 GB: "
            "its activations are too large.", controls=views.moved(), check=questions.even_fsdp_is_too_large),
        Try("Compute it twice", "Only the inputs of blocks are kept, and each block runs a second time. That costs one more "
            "forward pass and saves more than half of the activations, so the step fits into 80 GB.", controls=divided(),
            check=questions.activations_shrink),
        Try("Divide the experts", "Now 512 accelerators work in groups of 8 that hold every expert once, so that ZeRO-2 "
            "fits into 80 GB, too.", controls=divided(world=512, expert=8), check=questions.fits_under_zero_2),
        Try("A degree that is impossible", "No 16 accelerators can share 8 KV groups evenly, so the nearest possible degree "
            "is shown.", controls=views.moved(tensor=16),
            check=lambda seen: "does not divide 8 KV groups. The nearest that does: 8." in seen.words),
        Try("How long?", "A trillion tokens on 4,096 H100s take hours, if 40% of the data sheet's peak is reached. Move the "
            "utilisation: half of it takes twice the time.", controls=divided(world=4096, expert=8, view=views.TIME),
            check=questions.takes_hours),
    ]


def lesson(study: Study, view: str) -> Lesson:
    """What is asked about the view, tried and explained."""
    return Lesson(
        path="scale", maths=questions.maths(study, (BATCH, SCHEDULE, COMPUTE, STATE, ACTIVATIONS)), tries=tries(),
        claims=register.of_page("scale"), checks=lambda: how_we_know(study), prediction=questions.question(view, study),
        code=[cost.learning_rate, cost.accumulation_steps, cost.training_flops_per_token, cost.training_bytes, rank_config,
              cost.activation_bytes, training_step])


header("scale", OPENING)
study = state.study().small
with shared.row():
    view = shared.view(views.VIEWS, "scale_view")
    views.choose_model(study)
    views.rarer_dials()
taught = lesson(study, view)
picture(study, view, taught)
if not stage.on():
    views.real_step(study)
below(taught)
