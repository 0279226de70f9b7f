"""What stands below the claims: the question, experiments, the arithmetic behind a few, the code and checks."""

from __future__ import annotations

from functools import lru_cache

import streamlit as st
import torch

from gptoss.app.lesson import Lesson, Prediction, Try
from gptoss.app.study import Study
from gptoss.app.verdicts import TRUE, Claim, decide, known
from gptoss.claims.register import CLAIMS, LARGE, SMALL
from gptoss.config import PRESETS
from gptoss.cost import count_parameters, kv_cache_bytes
from gptoss.lessons.claims.controls.claims_board import ALL, ALL_TOPICS, CHOSEN, FIND, TOPIC, VERDICT
from gptoss.lessons.memory.claims import parameters_of_the_large
from gptoss.model import KVCache, Transformer

MATHS = r"""
**Parameters.** A layer has $H$ query and $G$ KV heads of size $d$, and $E$ experts of width $m$ on a stream of width $h$:

$$\text{total} \approx L\,\big(2 h d\,(H + G) + 3 E h m\big) + 2 V h$$

For gpt-oss-120b: $36\,(2 \cdot 2880 \cdot 64 \cdot 72 + 3 \cdot 128 \cdot 2880 \cdot 2880) + 2 \cdot 201{,}088 \cdot 2880
\approx 116.8$ billion; biases, norms, sinks and routers are the rest. A token uses $k$ experts instead of $E$ and none of
the embedding but its row: $k = 4$ gives $5.1$ billion, $4.4\%$.

**KV cache.** Keys and values of $G d$ numbers of two bytes, for all $n$ tokens in full layers and the last $W$ in sliding
ones:

$$2 \cdot 2\,G d\,\Big(\tfrac L2\, n + \tfrac L2 \min(n, W)\Big) = 2048 \cdot (18 \cdot 131{,}072 + 18 \cdot 128)
= 4.84 \cdot 10^9 \text{ bytes}$$

With $h / H = 45$ for $d$ the same sum gives $3.40 \cdot 10^9$: it is the head size that is wrong, not the arithmetic.

**Eight experts, two active.** Against a dense MLP $a$ times as wide as one expert, a mixture has $\frac{8}{a}$ times the
parameters and $\frac{2}{a}$ times the compute. “8x capacity” needs $a = 1$, “25% compute” needs $a = 8$.
"""


def claims_lesson(study: Study) -> Lesson:
    """The lesson, on the model under study where a claim follows it."""
    return Lesson(
        path="claims", prediction=prediction(study), tries=TRIES, maths=MATHS, code=[Claim, decide, parameters_of_the_large],
        checks=how_we_know)


def prediction(study: Study) -> Prediction:
    """How many of the claims that are decided at once hold."""
    at_once = [claim for claim in CLAIMS if not claim.takes]

    def holding() -> list[str]:
        return [claim.name for claim in at_once if known(claim, study).verdict == TRUE]

    return Prediction(
        f"{len(at_once)} of these claims are decided at once, without running anything for long. How many of them hold as "
        "they stand?",
        answer=lambda: len(holding()), unit="claims", tolerance=0, show="{:.0f}".format,
        because=lambda _: f"These hold: {', '.join(holding()) or 'none'}. A claim that follows the model under study can "
                          "come true when you move a dial: try YaRN's factor 1.")


def _show(name: str) -> dict[str, object]:
    """The page's controls with one claim chosen and nothing left out."""
    return {CHOSEN: name, FIND: "", VERDICT: ALL, TOPIC: ALL_TOPICS}


TRIES = (
    Try("Switch YaRN off", "Claim 4 comes true: without YaRN's concentration the rotation alone is left, and that keeps "
        "lengths.", preset=SMALL, dials={"factor": 1}, controls=_show("4")),
    Try("Switch the sinks off", "Now measure S1: plain softmax's weights do add up to 1. In gpt-oss they don't.",
        preset="classroom", dials={"sinks": "off"}, controls=_show("S1")),
    Try("The calculators' claims", "Three public calculators, three different mistakes. The page on grouped queries shows "
        "the cache that they got wrong.", preset=LARGE, controls=_show("C1") | {FIND: "calculator"}),
)


def how_we_know() -> None:
    """Closed forms behind the verdicts against real tensors without memory, at this moment."""
    lines = []
    for name in (LARGE, SMALL):
        config, context = PRESETS[name], PRESETS[name].max_context_length
        laid_out = KVCache(config, 1, context, device="meta", dtype=torch.bfloat16).nbytes
        lines.append(
            f"- **{name}**: {count_parameters(config).total:,} parameters by the closed form, {_counted(name):,} tensor by "
            f"tensor. KV cache at {context:,} tokens: {kv_cache_bytes(config, context):,} bytes by the closed form, "
            f"{laid_out:,} in a cache laid out without memory.")
    st.markdown(
        "Computed at this moment, with models of the real size laid out without memory:\n" + "\n".join(lines) + "\n\n"
        "Every claim is a function with a test of its own: the tests hold its figures against published ones or against "
        "another computation, and its verdict where the model is changed so that the claim comes true. The pages behind the "
        "links call the same functions. Claims about code that is not here, such as the notebook's own class, say so: what "
        "is measured is ours.")


@lru_cache(maxsize=2)
def _counted(name: str) -> int:
    return sum(parameter.numel() for parameter in Transformer(PRESETS[name], device="meta").parameters())
