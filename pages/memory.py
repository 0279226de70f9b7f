"""Memory and compute: what it takes to run a model, and what bounds its speed."""

import streamlit as st

from gptoss import cost, units
from gptoss.app import controls, state
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.lesson import Lesson, Try, below, beside
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.config import PRESETS
from gptoss.lessons.memory.controls import bounds, checks, load, questions, rounded, timing
from gptoss.lessons.memory.measure import rounded_cache
from gptoss.take_home.here import LARGE, SMALL, UNDER_STUDY
from gptoss.training.shipped import CLASSROOM

REAL = PRESETS[SMALL]
OPENING = Opening(
    problem=f"{units.count(cost.count_parameters(REAL).total)} {word('weight', 'weights')} have to fit into a machine, and "
            f"the {word('active parameters', 'active ones')} are read again for every {word('token')} that is written.",
    idea=f"Add up what is kept: the weights once, and for each user a {word('KV cache')} that grows with the text. Then "
         f"ask {word('roofline', 'what takes longer')}, {word('bandwidth', 'reading')} or multiplying.",
    chosen=f"Its {word('expert', 'experts')} are stored in {word('MXFP4')}, a token reads {REAL.experts_per_token} of "
           f"{REAL.num_experts}, and every other {word('layer')} keeps the last {REAL.sliding_window} tokens only.")

KEPT = r"""
**Memory.** Weights: every parameter once, $\frac{17}{32}$ byte in MXFP4 ($4.25$ bits), $2$ in bf16. The cache of $B$
sequences of $n$ tokens, with $G$ KV groups of head size $d$:

$$
\text{cache} = B \sum_{\ell} 2\,G\,d \cdot \text{bytes a value} \cdot \min(n, W_\ell), \qquad
\text{users} = \left\lfloor \frac{\text{memory} - \text{weights}}{\text{cache of one}} \right\rfloor
$$

A full layer has no window: $W_\ell = \infty$. A ring of $W$ slots stops growing once it is full.
"""

TOUCHED = r"""
**Experts touched.** A token misses one of $E$ experts with probability $1 - \frac kE$. If $B$ tokens choose $k$ each,
independently and evenly, they visit

$$
E\left(1 - \left(1 - \tfrac kE\right)^B\right)
$$

different experts of a layer. Those are read, once each: neither all of them nor only the active ones.
"""

ROOFLINE = r"""
**The roofline.** An operator of $C$ FLOPs that moves some bytes takes, on a machine of a peak and a bandwidth,

$$
\text{time} \ge \max\left(\frac{C}{\text{peak}}, \frac{\text{bytes}}{\text{bandwidth}}\right), \qquad
\text{reachable rate} = \min\left(\text{peak},\; \text{bandwidth} \cdot \frac{C}{\text{bytes}}\right)
$$

Its FLOPs a byte are called its intensity. Where that is below peak over bandwidth, memory binds. A matrix that meets $B$
tokens does $2B$ FLOPs for each of its values, so more tokens at once make more FLOPs of a byte. Attention's scores and
values gain nothing from a batch, since every sequence has keys of its own: they do $\frac{2H}{G}$ FLOPs for each value of
the cache with $H$ query heads, whatever $B$.
"""

SPEED = r"""
**Speed.** A pass takes at least the sum over its operators, since each waits for the one before:

$$\text{tokens a second} \le \frac{B}{\sum \text{time}}$$
"""


@st.fragment
def picture(study: Study, view: str, lesson: Lesson) -> None:
    """What is kept and how fast it is at best, in four views of closed forms; and two that measure here."""
    if view in (load.MEASURED, load.ROUNDED):
        (timing.measured_here if view == load.MEASURED else rounded.rounded_cache)(study)
        beside(lesson)
        return
    dials, right = st.columns([2, 7], gap="medium")
    with dials:
        load.load_controls(study)
        load.formats_control()
    with right:
        chosen = load.setting(study)
        bounds.DRAWN[view](chosen, dials, load.about_model(study, chosen), lambda: beside(lesson))


def how_we_know() -> None:
    """Published sizes against the closed forms at this moment, how the tests check them, and every machine's source."""
    st.markdown(
        f"Computed at this moment:\n\n{load.sizes_table()}\n"
        "The model card (arXiv 2508.10925) says 12.8 and 60.8 GiB for the checkpoints.\n\n"
        "The tests compare every operator's FLOPs with torch's own counter in real passes, weights and cache with real "
        "tensors, experts touched with real routers, activations with the tensors that were alive, and values that come "
        "back from e4m3 with all that the format has. The view *Measured here* compares the bound with a clock.\n\n"
        "Left out of the bound: starting kernels, norms, activation functions, and bandwidth that stays below the data "
        f"sheet's. Memory is the machine's own; driver and system take some of it. GB are 10⁹ bytes, GiB 2³⁰.\n"
        f"{load.machines_table()}")


def tries() -> list[Try]:
    """Experiments: a large model on one machine, a cache larger than the weights, windows off, FP8, compute that binds."""
    return [
        Try("gpt-oss-120b on one H100", "Its weights fit beside the caches of a few users. Shorten the text, and there is "
                                        "room for more.", controls=load.moved(model=LARGE), check=checks.fits_for_few),
        Try("16 users at full context", "Now the cache of gpt-oss-20b outweighs its weights, nearly all of it in the full "
            "layers.", controls=load.moved(batch=16), check=checks.cache_outweighs),
        Try("Windows off", "Every layer keeps every token, so the cache is twice as large at full context.",
            preset=SMALL, dials={"window": 0}, controls=load.moved(model=UNDER_STUDY, view=load.CACHE),
            check=checks.no_ring_left),
        Try("An FP8 cache", "Facts that were told are found as before. Lines that were copied are missed more often: there "
            "a head has to tell one key from many that are alike.", preset=CLASSROOM,
            controls=load.moved(view=load.ROUNDED), check=checks.copies_suffer_more),
        Try("Until compute binds", "With 512 users on an H100, qkv reaches the ceiling. The experts do not, since each of "
            "them meets only some of the tokens. Scores and values never do, since every user has keys of their own.",
            controls=load.moved(view=load.ROOFLINE, batch=512, context=1024, phase="decode", operator="qkv"),
            check=checks.compute_binds_qkv_alone),
        Try("gpt-oss-120b at home", "One user has 8,192 tokens on a machine whose 128 GB are shared by all its processors. "
                                    "No peak is published for it, so only memory bounds here.",
            controls=load.moved(view=load.SPEED, model=LARGE, context=8192, machine="Ryzen AI Max+ 395"),
            check=lambda seen: "memory alone bounds" in seen.words),
    ]


def lesson(study: Study, view: str) -> Lesson:
    """What is asked about the view, tried and explained."""
    return Lesson(
        path="memory", maths=questions.maths(study, (KEPT, TOUCHED, ROOFLINE, SPEED)), tries=tries(), checks=how_we_know,
        claims=register.of_page("memory"), prediction=questions.question(view, study),
        code=[cost.serving_bytes, cost.cache_film, cost.users_at_once, cost.expected_experts_touched, cost.prefill_operators,
              cost.decode_operators, cost.Accelerator.peak, cost.bounds, cost.bound_seconds, cost.tokens_per_second,
              rounded_cache.through_fp8, rounded_cache.with_cache])


header("memory", OPENING)
study = state.study().small
with controls.row():
    view = controls.view(load.VIEWS, "memory_view")
    if view not in (load.MEASURED, load.ROUNDED):
        load.choose_model(study)
taught = lesson(study, view)
picture(study, view, taught)
below(taught)
