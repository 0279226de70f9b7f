"""Claims: what people say about GPT-OSS, each decided here and now."""

import streamlit as st
import torch

from gptoss.app import pictures, stage, state, verdicts
from gptoss.app.controls import row
from gptoss.app.header import header
from gptoss.app.lesson import Lesson, Prediction, Try, below, beside, code_drawer
from gptoss.app.study import Study
from gptoss.claims.register import CLAIMS, LARGE, SMALL
from gptoss.config import PRESETS
from gptoss.cost import count_parameters, kv_cache_bytes
from gptoss.lessons.claims import controls
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
AT_ONCE = [claim for claim in CLAIMS if not claim.takes]


@st.fragment
def picture(study: Study) -> None:
    """All verdicts at a glance, one claim large, and all of them in words."""
    if not stage.on():
        with row():
            controls.filters(CLAIMS, study)
    reached = controls.verdict_of_each(CLAIMS, study)
    names = controls.looked_for(CLAIMS, reached)
    strip, large = st.columns(2, gap="medium")
    with large:
        chosen = controls.choose_claim(CLAIMS)
        controls.actions(chosen, study, controls.show_claim(chosen, study))
    with strip:
        with pictures.main():
            pictures.show_chart(controls.strip(CLAIMS, reached, names, chosen), key="claims_strip",
                                on_select=controls.picks_claim, words=controls.summary(reached))
        progress = st.container()
        controls.measure_all(reached, study)
    beside(lesson(study))
    code_drawer(*chosen.decided_by, label="The code that decides it")
    if not stage.on():
        controls.claims_in_words(CLAIMS, reached, names)
    controls.measure_next(CLAIMS, study, progress)


def true_at_once(study: Study) -> list[str]:
    """Names of the claims that are decided without running anything for long, and are true."""
    return [claim.name for claim in AT_ONCE if verdicts.known(claim, study).verdict == verdicts.TRUE]


def because(study: Study) -> str:
    """What the answer to the prediction means."""
    return (f"These are: {', '.join(true_at_once(study)) or 'none'}. A claim that follows the model under study can come "
            "true when you move a dial: try YaRN's factor 1.")


def how_we_know() -> None:
    """Closed forms behind the verdicts against real tensors without memory, at this moment."""
    lines = []
    for name in (LARGE, SMALL):
        config, context = PRESETS[name], PRESETS[name].max_context_length
        counted = sum(parameter.numel() for parameter in Transformer(config, device="meta").parameters())
        laid_out = KVCache(config, 1, context, device="meta", dtype=torch.bfloat16).nbytes
        lines.append(
            f"- **{name}**: {count_parameters(config).total:,} parameters by the closed form, {counted:,} tensor by "
            f"tensor. KV cache at {context:,} tokens: {kv_cache_bytes(config, context):,} bytes by the closed form, "
            f"{laid_out:,} in a cache laid out without memory.")
    st.markdown(
        "Computed at this moment, with models of the real size laid out without memory:\n" + "\n".join(lines) + "\n\n"
        "Every claim is a function with a test of its own: the tests compare its figures with published ones or with "
        "another computation, and ask for its verdict where the model is changed so that the claim comes true. The pages "
        "behind the links call the same functions. A claim about gpt-oss is decided on gpt-oss, whatever is under study. "
        "Claims about code that is not here, such as the notebook's own class, say so: what is measured is ours.")


def lesson(study: Study) -> Lesson:
    """What is below the picture. The claims themselves are the page, so there is no tab of them."""
    def shown(name: str, **filters: str) -> dict[str, str]:
        return controls.EVERYTHING | {controls.CHOSEN.name: name} | filters

    return Lesson(
        path="claims", maths=MATHS, code=[verdicts.Claim, verdicts.decide, CLAIMS[0].decided_by[0]], checks=how_we_know,
        prediction=Prediction(
            f"{len(AT_ONCE)} of these claims are decided at once, without running anything for long. How many of them are "
            "true as they are said?", answer=lambda: len(true_at_once(study)), unit="claims", tolerance=0,
            show="{:.0f}".format, because=lambda _: because(study)),
        tries=[
            Try("Switch YaRN off", "Claim 4 comes true: without YaRN's concentration the rotation alone is left, and that "
                "keeps lengths.", preset=SMALL, dials={"factor": 1}, controls=shown("4")),
            Try("Switch the sinks off", "Now measure S1: plain softmax's weights do add up to 1. In gpt-oss they don't.",
                preset="classroom", dials={"sinks": "off"}, controls=shown("S1")),
            Try("The calculators' claims", "Public calculators and their mistakes. The page on grouped queries shows the "
                "cache that three of them got wrong.", preset=LARGE, controls=shown("C1", claims_find="calculator"))])


header("claims")
study = state.study().small
picture(study)
below(lesson(study))
