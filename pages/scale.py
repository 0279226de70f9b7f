"""Training at scale: memory of every accelerator and what fits, compute and hours, batches and the schedule."""

from functools import partial

import streamlit as st

from gptoss import cost, units
from gptoss.app import controls as shared
from gptoss.app import stage, state
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.lesson import Lesson, Prediction, Try, below, beside
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.config import PRESETS, ModelConfig
from gptoss.cost.activations import RECOMPUTED
from gptoss.cost.scale import rank_config
from gptoss.lessons.scale import controls
from gptoss.lessons.scale.measure import state_bytes
from gptoss.training.step_memory import training_step

ASKED_MEMORY = 80 * 10**9  # bytes of the accelerator in the question
REAL = PRESETS["gpt-oss-20b"]
OPENING = Opening(
    problem="To train a model takes several times the memory of its weights: for gpt-oss-20b "
            f"{units.size(sum(cost.training_memory(REAL).values()))}, more than any accelerator has.",
    idea=f"Many accelerators share the work. Each reads its own part of the {word('batch')} and keeps its own part of the "
         f"weights, the {word('gradient', 'gradients')} and what {word('AdamW')} remembers.",
    chosen=f"gpt-oss-120b was trained in {units.spelled(controls.CARD_HOURS)} hours of H100, says its model card. With few "
           f"{word('active parameters')} it needed fewer {word('FLOP', 'FLOPs')} than its size suggests.")

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


@st.fragment
def picture(study: Study) -> None:
    """What one accelerator holds, the hours, or the batches; at the left the dials that all three need, and its own."""
    with shared.row():
        view = shared.view(controls.VIEWS, "scale_view")
        controls.rarer_dials()
    dials, right = st.columns([2, 7], gap="medium")
    with dials:
        controls.common_dials()
    draw = {controls.MEMORY: controls.memory, controls.TIME: controls.time}.get(view, controls.batch_and_schedule)
    with right:
        draw(study, controls.setting(study), dials)
        controls.offer_large_model(study)
    beside(lesson(study))


def because(config: ModelConfig, _: float) -> str:
    """What the training state consists of."""
    parameters, state_size = cost.count_parameters(config).total, state_bytes(config)
    return (f"{parameters:,} parameters × {state_size / parameters:.0f} bytes are {units.decimal(state_size, 'B')}: "
            f"{state_size / cost.checkpoint_bytes(config):.0f} times the checkpoint, whose experts take 4.25 bits a value.")


def how_we_know(study: Study) -> None:
    """The closed forms beside a step at this moment, a published figure, and where the data of accelerators come from."""
    st.markdown(
        f"{controls.step_in_words(study)}\n\n{controls.published_hours()}\n\n"
        "The tests compare the bytes kept with autograd's for random shapes in both formats, on a CPU and on CUDA; the "
        "parts of tensor parallelism with a model's tensors, cut; divided state with all accelerators together; and "
        "torch counts that a backward pass multiplies twice what the forward pass did. "
        "`tests/benchmarks/training_memory.py` takes larger steps on any device.\n\n"
        "Not counted: driver, gaps between tensors, buffers for sending, and results that pass by. Peaks are for dense "
        f"bf16, GB are 10⁹ bytes:\n{controls.accelerators_table()}")


def tries() -> list[Try]:
    """Experiments: too large by activations, saved by recomputation, saved by dividing, and what time it takes."""
    large = partial(Try, preset=controls.LARGE)
    return [
        large("gpt-oss-120b on 64 accelerators", "Even fully divided, a step does not fit in 80 GB. Which part is largest?",
              controls=controls.moved()),
        large("Compute it twice", "Only block inputs are kept, and each block runs a second time: one more forward pass of "
              "compute for a fraction of the activations.", controls=controls.moved(keep=RECOMPUTED)),
        large("Divide the experts", "512 accelerators, each group of 8 with every expert once. Now even ZeRO-2 comes near.",
              controls=controls.moved(world=512, expert=8, keep=RECOMPUTED)),
        large("A degree that is impossible", "16 accelerators cannot share 8 KV heads evenly.",
              controls=controls.moved(tensor=16)),
        large("How long?", "A trillion tokens on 4,096 accelerators. Move the utilisation: nobody reaches the sheet's peak.",
              controls=controls.moved(world=4096, expert=8, keep=RECOMPUTED, view=controls.TIME)),
    ]


def lesson(study: Study) -> Lesson:
    """What is below the picture. The question is about the large model where the one under study would fit."""
    asked = study if state_bytes(study.config) > ASKED_MEMORY else Study.of_preset(controls.LARGE)
    return Lesson(
        path="scale", maths=MATHS, tries=tries(), claims=register.of_page("scale"), checks=lambda: how_we_know(study),
        prediction=Prediction(
            f"The checkpoint of {asked.name} takes {units.decimal(cost.checkpoint_bytes(asked.config), 'B')}. Training "
            "keeps weights, master weights, gradients and optimizer states. Divided evenly, how many accelerators of 80 GB "
            "hold that state, without any activations?", answer=lambda: -(-state_bytes(asked.config) // ASKED_MEMORY),
            because=partial(because, asked.config), unit="accelerators", tolerance=0.15, show="{:,.0f}".format),
        code=[cost.learning_rate, cost.accumulation_steps, cost.training_flops_per_token, cost.training_bytes, rank_config,
              cost.activation_bytes, training_step])


header("scale", OPENING)
study = state.study().small
picture(study)
if not stage.on():
    controls.real_step(study)
below(lesson(study))
