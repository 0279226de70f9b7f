"""Claims: what people say about GPT-OSS, each decided here and now."""

import streamlit as st
import torch

from gptoss.app import pictures, stage, state, verdicts
from gptoss.app.controls import row
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.lesson import Lesson, Prediction, Try, below, beside, code_drawer
from gptoss.app.study import Study
from gptoss.claims.register import BY_NAME, CALCULATOR, CLAIMS, CLASSROOM, LARGE, SMALL
from gptoss.config import PRESETS
from gptoss.cost import count_parameters, kv_cache_bytes
from gptoss.lessons.claims import controls
from gptoss.lessons.gqa.measure import cache_with_head_size_from_width, cache_with_width_of_stream
from gptoss.model import KVCache, Transformer
from gptoss.notation import with_numbers
from gptoss.units import percent

REAL, CONTEXT = PRESETS[LARGE], PRESETS[LARGE].max_context_length
OPENING = Opening(
    problem="Posts, notebooks and calculators say a lot about GPT-OSS. Some of it is wrong, and a wrong figure looks like a "
            "right one.",
    idea="A claim can be checked: count the numbers in the tensors, run the model, look at the clock. Here code does that, "
         "and you can read it.",
    chosen=f"OpenAI published the architecture and the {word('weight', 'weights')} of both models. So anybody can count: "
           f"{LARGE} has {count_parameters(REAL).total / 1e9:.1f} billion weights.")

SIZE = r"""
**Parameters.** In a layer, $H$ query heads and $G$ KV groups of head size $d$ read a stream of width $D$, and $E$ experts
have the inner width $F$. Embedding and unembedding have a row for each of $V$ tokens:

$$N \approx L\,\big(2 D d\,(H + G) + 3 E D F\big) + 2 V D$$

Biases, norms, sinks and routers are the rest. A token uses $k$ experts of a layer instead of $E$, and of the embedding one
row.
"""

CACHE = r"""
**KV cache.** Each KV group keeps a key and a value of $d$ numbers, two bytes each: for all $n$ tokens in the full layers,
and for the last $W$ in the sliding ones, which are half of the $L$ layers:

$$2 \cdot 2\,G d\,\Big(\tfrac L2\, n + \tfrac L2 \min(n, W)\Big)$$
"""

EIGHT = r"""
**Eight experts, two active.** Against a dense MLP that is as wide as one expert, a mixture has $E$ times the parameters and
$k$ times the compute. Against one that is as wide as all of them together, it has as many parameters and
$\frac kE$ of the compute:

$$
\frac{E \cdot 3 D F}{3 D F} = E, \qquad \frac{k \cdot 3 D F}{3 D F} = k, \qquad \frac{k \cdot 3 D F}{E \cdot 3 D F} =
\frac kE
$$
"""


def maths() -> str:
    """The formulas behind most verdicts, with the numbers of gpt-oss-120b and of the notebook's mixture."""
    size, counts, small = REAL.head_dim, count_parameters(REAL), PRESETS["notebook"]
    width, groups, half = REAL.hidden_size, REAL.num_key_value_heads, REAL.num_hidden_layers // 2
    experts, active = small.num_experts, small.experts_per_token
    return with_numbers(
        (SIZE, f"{LARGE} has {REAL.num_hidden_layers} layers, so {REAL.num_hidden_layers} · (2 · {width:,} · {size} · "
         f"{REAL.num_attention_heads + groups} + 3 · {REAL.num_experts} · {width:,} · {REAL.intermediate_size:,}) + 2 · "
         f"{REAL.vocab_size:,} · {width:,}, and {counts.total:,} with the rest. {counts.active:,} of them work on one "
         f"token: {percent(counts.active / counts.total)}."),
        (CACHE, f"2 · 2 · {groups} · {size} · ({half} · {CONTEXT:,} + {half} · {REAL.sliding_window}) = "
         f"{kv_cache_bytes(REAL, CONTEXT):,} bytes. With {width:,} / {REAL.num_attention_heads} = "
         f"{width // REAL.num_attention_heads} for the head size the same sum gives "
         f"{cache_with_head_size_from_width(REAL, CONTEXT):,.0f}: the head size is wrong, not the arithmetic."),
        (EIGHT, f"the notebook's mixture has {experts} experts, {active} of them active: {experts} times the parameters and "
         f"{active} times the compute of one expert, or {percent(active / experts, 0)} of the compute of all. “8x capacity” "
         "is the first comparison, “25% compute” the last; no single one gives both."))


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


def prediction() -> Prediction:
    """The figure that three calculators got wrong: nothing on the page says it before its claim is chosen."""
    def cache(**changes: int) -> float:
        return kv_cache_bytes(REAL.replace(**changes), CONTEXT) / 1e9

    return Prediction(
        f"{LARGE} reads {CONTEXT:,} tokens and keeps keys and values in two bytes each. How large is its KV cache? "
        f"{REAL.num_hidden_layers} layers, every other one with a window of {REAL.sliding_window}; "
        f"{REAL.num_attention_heads} query heads of {REAL.head_dim} numbers on {REAL.num_key_value_heads} KV groups.",
        answer=cache, unit="GB", tolerance=0.03, because=_why, mistakes=(
            (cache_with_head_size_from_width(REAL, CONTEXT) / 1e9, "You divided the width by the number of heads. That "
             f"does not give the head size: it is free, and {REAL.head_dim} here."),
            (lambda: cache(sliding_window=0), "You let every layer keep the whole text. Half of the layers slide, and keep "
             f"{REAL.sliding_window} tokens only."),
            (lambda: cache(num_key_value_heads=REAL.num_attention_heads), "You gave every query head keys and values of its "
             "own. A group of heads shares one."),
            (lambda: cache(num_key_value_heads=REAL.num_attention_heads, sliding_window=0), "You gave every query head keys "
             "and values of its own, in every layer. Heads share them, and every other layer has a window."),
            (lambda: cache() / 2, "You counted one of the two: keys need as much as values."),
            (lambda: cache_with_width_of_stream(REAL, CONTEXT) / 1e9, "You took keys and values to be as wide as the "
             "stream. They are as wide as all KV groups together.")))


def _why(answer: float) -> str:
    """What the sum consists of, and who got it wrong."""
    mistaken = cache_with_head_size_from_width(REAL, CONTEXT) / 1e9
    wide = cache_with_width_of_stream(REAL, CONTEXT) / 2**30
    return (f"A full layer keeps 2 · {REAL.num_key_value_heads} · {REAL.head_dim} numbers for each token, and the sliding "
            f"ones hardly add to that. One public calculator says {mistaken:.2f} GB (claim C1), another {wide:.1f} GiB "
            "(claim C2).")


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
            f"{laid_out:,} in a cache laid out the same way.")
    st.markdown(
        "Computed at this moment, with models of the real size laid out as shapes without numbers:\n"
        + "\n".join(lines) + "\n\nEvery claim is a function with a test of its own: the tests compare its figures with "
        "published ones or with another computation, and ask for its verdict where the model is changed so that the claim "
        "comes true. The pages behind the links call the same functions. A claim about gpt-oss is decided on gpt-oss, "
        "whatever is under study. "
        "Claims about code that is not here, such as the notebook's own class, say so: what is measured is ours.")


def lesson(study: Study) -> Lesson:
    """What is below the picture. The claims themselves are the page, so there is no tab of them."""
    def shown(name: str, **filters: str) -> dict[str, str]:
        return controls.EVERYTHING | {controls.CHOSEN.name: name} | filters

    return Lesson(
        path="claims", maths=maths(), code=[verdicts.Claim, verdicts.decide, CLAIMS[0].decided_by[0]], checks=how_we_know,
        prediction=prediction(), tries=[
            Try("Switch YaRN off", "Claim 4 comes true, because without YaRN's concentration the rotation alone is left, "
                "and that keeps lengths.", preset=SMALL, dials={"factor": 1}, controls=shown("4"),
                check=lambda seen: verdicts.known(BY_NAME["4"], seen.study).verdict == verdicts.TRUE),
            Try("Switch the sinks off", "Press Measure now: claim S1 comes true, because without sinks the weights of the "
                "keys do add up to 1. In gpt-oss they do not.", preset=CLASSROOM, dials={"sinks": "off"},
                controls=shown("S1"),
                check=lambda seen: verdicts.decide(BY_NAME["S1"], seen.study).verdict == verdicts.TRUE),
            Try("The calculators' claims", "None of these figures is right, because each leaves out a part of the "
                "architecture. “See it on Grouped queries” shows the cache that they got wrong.", preset=LARGE,
                controls=shown("C1", claims_find="calculator"), check=lambda seen: not [
                    claim for claim in CLAIMS if claim.source == CALCULATOR
                    and verdicts.known(claim, seen.study).verdict == verdicts.TRUE])])


header("claims", OPENING)
study = state.study().small
picture(study)
below(lesson(study))
