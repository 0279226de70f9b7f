"""What stands below the page on memory and compute: its question, its experiments, the maths and checks."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from gptoss import units
from gptoss.app.lesson import Lesson, Prediction, Try
from gptoss.app.study import Study
from gptoss.app.verdicts import Claim
from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import (
    MACHINES,
    Accelerator,
    bound_seconds,
    bounds,
    cache_film,
    checkpoint_bytes,
    decode_operators,
    expected_experts_touched,
    kv_cache_bytes,
    prefill_operators,
    serving_bytes,
    tokens_per_second,
    users_at_once,
)
from gptoss.lessons.memory.controls.memory import (
    CACHE,
    DECODE,
    DEFAULTS,
    LARGE,
    LONGEST,
    MEMORY,
    ROOFLINE,
    SMALL,
    SPEED,
    UNDER_STUDY,
    is_large,
    key,
)

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


def memory_lesson(study: Study, claims: Sequence[Claim]) -> Lesson:
    """The lesson for the model under study."""
    return Lesson(
        path="memory", maths=MATHS, prediction=prediction(study), tries=tries(),
        code=[serving_bytes, cache_film, users_at_once, expected_experts_touched, prefill_operators, decode_operators,
              Accelerator.peak, bounds, bound_seconds, tokens_per_second],
        claims=claims, checks=how_we_know)


def prediction(study: Study) -> Prediction:
    """How many experts a small batch touches, of the model under study where it chooses among many."""
    config = study.config
    asked = config.num_experts > config.experts_per_token and is_large(study)
    name, config = (study.name, config) if asked else (SMALL, PRESETS[SMALL])
    return Prediction(
        f"{name} writes one token for each of {ASKED_BATCH} users at once. Each token chooses {config.experts_per_token} of "
        f"{config.num_experts} experts. How many different experts does a layer have to read, if choices are independent "
        "and even?",
        answer=lambda: expected_experts_touched(config, ASKED_BATCH), unit="experts", tolerance=0.1, show="{:.3g}".format,
        because=lambda touched: _why_so_many(config, touched))


def _why_so_many(config: ModelConfig, touched: float) -> str:
    missed = 1 - config.experts_per_token / config.num_experts
    return (f"One token misses a given expert with probability {missed:.3g}, all {ASKED_BATCH} of them with "
            f"{missed ** ASKED_BATCH:.2g}. So {touched / config.num_experts:.0%} of the experts' bytes are read, where one "
            f"token alone reads {config.experts_per_token / config.num_experts:.1%}.")


def tries() -> list[Try]:
    """Experiments: a large model on one machine, a cache larger than the weights, windows off, and compute that binds."""
    def controls(**wanted) -> dict[str, object]:
        usual = DEFAULTS | {"view": MEMORY, "model": SMALL}
        return {key(name): each for name, each in (usual | wanted).items()}

    return [
        Try("gpt-oss-120b on one H100", "Its weights fit beside the caches of a few users. Shorten the context, and there "
            "is room for more.", controls=controls(model=LARGE)),
        Try("16 users at full context", "Now the cache of gpt-oss-20b outweighs its weights, nearly all of it in the full "
            "layers.", controls=controls(batch=16)),
        Try("Windows off", "Every layer keeps every token: twice the cache at full context, and a film without blue frames.",
            preset=SMALL, dials={"window": 0}, controls=controls(model=UNDER_STUDY, view=CACHE)),
        Try("Until compute binds", "512 users on an H100: qkv reaches the ceiling. The experts do not, since each of them "
            "meets only some of the tokens, and scores and values never do.",
            controls=controls(view=ROOFLINE, batch=512, context=1024, phase=DECODE, operator="qkv")),
        Try("gpt-oss-120b at home", "One user, 8,192 tokens, 128 GB shared by all processors. No peak is published, so only "
            "memory bounds here. Then take the experts in bf16.",
            controls=controls(view=SPEED, model=LARGE, context=8192, machine="Ryzen AI Max+ 395")),
    ]


def how_we_know() -> None:
    """Published sizes against the closed forms at this moment, how the tests hold them, and every machine's source."""
    rows = "".join(f"| {name} | {units.size(checkpoint_bytes(config))} | "
                   f"{units.size(kv_cache_bytes(config, LONGEST))} | "
                   f"{sum(layer.bytes for layer in cache_film(config, LONGEST)):,} |\n"
                   for name, config in PRESETS.items() if name in (SMALL, LARGE))
    st.markdown(
        f"Computed at this moment:\n\n| model | checkpoint | KV cache at {LONGEST:,} | the same, summed over the film "
        f"(bytes) |\n|---|---|---|---|\n{rows}\n"
        "The model card (arXiv 2508.10925) says 12.8 and 60.8 GiB for the checkpoints.\n\n"
        "The tests hold every operator's FLOPs against torch's own counter in real passes, weights and cache against real "
        "tensors, experts touched against real routers, and activations against the tensors that were alive, for randomly "
        "drawn configurations. The view *Measured here* holds the bound against a clock.\n\n"
        "Left out of the bound: starting kernels, norms, activation functions, and bandwidth that stays below the data "
        "sheet's. Memory is the machine's own; driver and system take some of it. GB are 10⁹ bytes, GiB 2³⁰.\n"
        + _machines())


def _machines() -> str:
    def peaks(each: Accelerator) -> str:
        return ", ".join(f"{name} {peak / 1e12:,.4g}" for name, peak in each.peaks.items()) or "not published"

    rows = "".join(f"| {each.name} | {each.memory / 1e9:,.0f} | {each.bandwidth / 1e9:,.4g} | {peaks(each)} | "
                   f"{each.source} |\n" for each in MACHINES)
    return f"\n| Machine | GB | GB/s | TFLOP/s | Source |\n|---|---|---|---|---|\n{rows}"
