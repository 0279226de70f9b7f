"""Memory and compute: what it takes to run the model under study, and what bounds its speed."""

import streamlit as st

from gptoss import cost, units
from gptoss.app import controls, state
from gptoss.app.header import header
from gptoss.app.lesson import Lesson, Prediction, Try, below, beside
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.config import ModelConfig
from gptoss.lessons.memory.controls import bounds, load, timing

ASKED_BATCH = 16  # tokens of the question's decoding step
MATHS = r"""
**Memory.** Weights: every parameter once, $\frac{17}{32}$ byte in MXFP4 ($4.25$ bits), $2$ in bf16. The cache of $B$
sequences of $s$ tokens, with $G$ KV heads of size $d$ and $b$ bytes a value:

$$
\text{cache} = B \sum_{\text{layers}} 2\,G\,d\,b\,\min(s, w_\text{layer}), \qquad
\text{users} = \left\lfloor \frac{\text{memory} - \text{weights}}{\text{cache of one}} \right\rfloor
$$

A full layer has no window: $w = \infty$. A ring of $w$ slots stops growing once it is full.

**Experts touched.** A token misses one of $E$ experts with probability $1 - \frac kE$. If $B$ tokens choose $k$ each,
independently and evenly, they visit

$$
E\left(1 - \left(1 - \tfrac kE\right)^B\right)
$$

different experts of a layer. Those are read, once each: neither all of them nor only the active ones.

**The roofline.** An operator of $F$ FLOPs that moves $M$ bytes, on a machine of peak $P$ and bandwidth $W$, takes

$$
t \ge \max\left(\frac FP, \frac MW\right), \qquad \text{reachable rate} = \min\left(P,\; W \cdot \frac FM\right)
$$

$\frac FM$ is its intensity. Where it is below $\frac PW$, memory binds. A matrix of $r \times c$ values in $b$ bytes that
meets $n$ tokens has $\frac{2nrc}{b\,rc + \dots} \approx \frac{2n}b$: more tokens at once, more FLOPs for a byte. Attention's
scores and values gain nothing from a batch, since every sequence has keys of its own: $\frac{2H}{Gb}$ for $H$ query
heads, whatever $B$.

**Speed.** A pass takes at least the sum over its operators, since each waits for the one before; a decoding step of $B$
sequences gives at most $B / \sum t$ tokens a second.
"""


@st.fragment
def picture(study: Study) -> None:
    """What is kept and how fast it is at best, in four views of closed forms; and one that measures here."""
    with controls.row():
        view = controls.view(load.VIEWS, "memory_view")
        if view != load.MEASURED:
            load.formats_control()
    if view == load.MEASURED:
        timing.measured_here(study)
        beside(lesson(study))
        return
    dials, right = st.columns([2, 7], gap="medium")
    with dials:
        load.model_control(study)
        load.load_controls(study)
    with right:
        bounds.DRAWN[view](load.setting(study), dials)
        beside(lesson(study))


def because(config: ModelConfig, touched: float) -> str:
    """Why so many experts are touched."""
    missed = 1 - config.experts_per_token / config.num_experts
    return (f"One token misses a given expert with probability {units.number(missed)}, all {ASKED_BATCH} of them with "
            f"{units.number(missed ** ASKED_BATCH, 2)}. So {units.percent(touched / config.num_experts, 0)} of the experts' "
            f"bytes are read, where one token alone reads {units.percent(1 - missed)}.")


def how_we_know() -> None:
    """Published sizes against the closed forms at this moment, how the tests check them, and every machine's source."""
    st.markdown(
        f"Computed at this moment:\n\n{load.sizes_table()}\n"
        "The model card (arXiv 2508.10925) says 12.8 and 60.8 GiB for the checkpoints.\n\n"
        "The tests compare every operator's FLOPs with torch's own counter in real passes, weights and cache with real "
        "tensors, experts touched with real routers, and activations with the tensors that were alive, for randomly "
        "drawn configurations. The view *Measured here* compares the bound with a clock.\n\n"
        "Left out of the bound: starting kernels, norms, activation functions, and bandwidth that stays below the data "
        f"sheet's. Memory is the machine's own; driver and system take some of it. GB are 10⁹ bytes, GiB 2³⁰.\n"
        f"{load.machines_table()}")


def tries() -> list[Try]:
    """Experiments: a large model on one machine, a cache larger than the weights, windows off, and compute that binds."""
    return [
        Try("gpt-oss-120b on one H100", "Its weights fit beside the caches of a few users. Shorten the context, and there "
            "is room for more.", controls=load.moved(model=load.LARGE)),
        Try("16 users at full context", "Now the cache of gpt-oss-20b outweighs its weights, nearly all of it in the full "
            "layers.", controls=load.moved(batch=16)),
        Try("Windows off", "Every layer keeps every token: twice the cache at full context, and a film without blue frames.",
            preset=load.SMALL, dials={"window": 0}, controls=load.moved(model=load.UNDER_STUDY, view=load.CACHE)),
        Try("Until compute binds", "512 users on an H100: qkv reaches the ceiling. The experts do not, since each of them "
            "meets only some of the tokens, and scores and values never do.",
            controls=load.moved(view=load.ROOFLINE, batch=512, context=1024, phase="decode", operator="qkv")),
        Try("gpt-oss-120b at home", "One user, 8,192 tokens, 128 GB shared by all processors. No peak is published, so only "
            "memory bounds here. Then take the experts in bf16.",
            controls=load.moved(view=load.SPEED, model=load.LARGE, context=8192, machine="Ryzen AI Max+ 395")),
    ]


def lesson(study: Study) -> Lesson:
    """What is below the picture. The question is about the model under study where it is large and chooses experts."""
    name, config = load.asked_about(study)
    return Lesson(
        path="memory", maths=MATHS, tries=tries(), checks=how_we_know, claims=register.of_page("memory"),
        prediction=Prediction(
            f"{name} writes one token for each of {ASKED_BATCH} users at once. Each token chooses "
            f"{config.experts_per_token} of {config.num_experts} experts. How many different experts does a layer have to "
            "read, if choices are independent and even?", answer=lambda: cost.expected_experts_touched(config, ASKED_BATCH),
            because=lambda touched: because(config, touched), unit="experts", tolerance=0.1, show=units.number),
        code=[cost.serving_bytes, cost.cache_film, cost.users_at_once, cost.expected_experts_touched, cost.prefill_operators,
              cost.decode_operators, cost.Accelerator.peak, cost.bounds, cost.bound_seconds, cost.tokens_per_second])


header("memory")
study = state.study().small
picture(study)
below(lesson(study))
