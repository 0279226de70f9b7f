"""What stands below the pictures of GPT-2 beside GPT-OSS: a question, experiments, the maths and checks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from gptoss import units
from gptoss.app.lesson import Lesson, Prediction, Try
from gptoss.app.live import HEAVY
from gptoss.app.study import RANDOM, Study
from gptoss.app.verdicts import Claim
from gptoss.config import GPT2_PRESETS
from gptoss.cost import count_parameters
from gptoss.cost.matching import ACTIVE, COMPUTE, TOTAL, matched_gpt2
from gptoss.lessons.gpt2.controls.baseline import NEXT, SIZES, flops_at, live_gpt2, pair
from gptoss.lessons.gpt2.measure.baseline import attention_difference, meta_parameters
from gptoss.model import GPT2
from gptoss.model.gpt2 import GPT2MLP, GPT2Attention

CONTEXT = 1024
CHECKED_TOKENS = 128  # of the text, for the check of attention
XL = "GPT-2 XL"

MATHS = r"""
With width $d$, $L$ layers, a vocabulary of $V$ and $n$ positions GPT-2 has

$$ \text{total} = \underbrace{V d + n d}_{\text{tokens, positions}}
+ L\,\big(\underbrace{12 d^2 + 13 d}_{\text{one block}}\big) + 2d $$

parameters, and a token uses all but the positions: $4d^2$ of a block in attention, $8d^2$ in the MLP. In GPT-OSS a layer
has $E$ experts of width $m$, of which a token uses $k$, and queries of $H$ heads on $G$ key/value heads of size $h$:

$$ \text{total} \approx L\,\big(2 d h (H + G) + 3 E d m\big) + 2 V d
\qquad \text{active} \approx L\,\big(2 d h (H + G) + 3 k d m\big) + V d. $$

One more token after $n - 1$ others costs about two operations an active parameter, and attention on top:

$$ \text{FLOPs} \approx 2 \cdot \text{active} + 4 H h \sum_{\ell} \min(n, W_\ell), $$

with $W_\ell$ the window of layer $\ell$. GPT-2 has none, and $H h = d$. The cache holds $2 \cdot 2$ bytes times $G h$ for
each token and layer: in GPT-2 $G h = d$.

A distribution $p$ over the next token has the entropy $-\sum_i p_i \log_2 p_i$ bits. It is at most $\log_2 V$, so that two
models with other vocabularies cannot be compared by their bits a token.
"""


def lesson(study: Study, ids: tuple[int, ...], claims: Sequence[Claim]) -> Lesson:
    """The lesson for the model under study; `ids` are the text in the live GPT-2's tokens."""
    return Lesson(
        path="gpt2", prediction=_prediction(study), tries=_TRIES, maths=MATHS,
        code=(GPT2, GPT2Attention, GPT2MLP, matched_gpt2), claims=claims, checks=partial(_how_we_know, study, ids))


def _prediction(study: Study) -> Prediction:
    """Asked of the model under study where it is the larger one, so that the answer is none that size gives away."""
    xl = GPT2_PRESETS["gpt2-xl"]
    if count_parameters(study.config).total < count_parameters(xl).total:
        study = Study.of_preset("gpt-oss-20b")
    config = study.config
    theirs, ours = flops_at(xl, CONTEXT), flops_at(config, CONTEXT)

    def because(_: str) -> str:
        parameters = [count_parameters(each) for each in (xl, config)]
        return (f"GPT-2 XL needs {units.flops(theirs)}, {study.name} {units.flops(ours)}: {ours / theirs:.3g} times "
                f"as much, with {parameters[1].total / parameters[0].total:.3g} times the parameters. What counts are the "
                f"active ones: {units.count(parameters[0].active)} and {units.count(parameters[1].active)}.")

    total = units.count(count_parameters(config).total)
    return Prediction(
        f"GPT-2 XL ({units.count(count_parameters(xl).total)} parameters) against {study.name} ({total}): which needs "
        f"more FLOPs for one token at {CONTEXT:,} tokens?",
        answer=lambda: XL if theirs > ours else study.name, because=because, choices=(XL, study.name))


_TRIES = (
    Try("As many parameters", "A dense model of the same total works with all of them on every token. Compare the FLOPs.",
        controls={"gpt2_equal": TOTAL, "gpt2_view": SIZES}),
    Try("As much compute", "For the same work a token, see how many more parameters the mixture of experts can hold.",
        controls={"gpt2_equal": COMPUTE, "gpt2_view": SIZES}),
    Try("नमस्ते दुनिया", "GPT-2's tokenizer mostly spells the bytes of this script, so its model reads many more tokens.",
        text="नमस्ते दुनिया, आज मौसम बहुत अच्छा है।", controls={"gpt2_equal": ACTIVE, "gpt2_view": SIZES}),
    Try("Two guesses", "With random weights both entropies are near the most that their vocabularies allow.",
        dials={"weights": RANDOM}, controls={"gpt2_view": NEXT}),
)


def _how_we_know(study: Study, ids: tuple[int, ...]) -> None:
    """GPT-2's two paths against each other, and its closed form against its tensors."""
    both = pair(study, st.session_state.get("gpt2_equal"))
    if ids:
        model = live_gpt2(both.live.config, study.seed, study.precision)
        with HEAVY:
            far = attention_difference(model, ids[:CHECKED_TOKENS])
        st.markdown(f"- Explicit and fused attention of the live GPT-2 differ by at most **{far:.2g}** of the largest "
                    f"value, on {len(ids[:CHECKED_TOKENS])} tokens of the text.")
    for name, config in {**GPT2_PRESETS, "the GPT-2 on this page": both.real.config}.items():
        counted, formula = meta_parameters(config), count_parameters(config).total
        st.markdown(f"- **{name}**: {counted:,} parameters tensor by tensor, {formula:,} by the closed form, difference "
                    f"{counted - formula}.")
    st.caption("The tests hold this GPT-2 against Hugging Face's `GPT2LMHeadModel`: the same weights, the same logits.")
