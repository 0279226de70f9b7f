"""GPT-2 vs GPT-OSS: two real models on the same text, equal in one respect of the reader's choice."""

import math

import streamlit as st

from gptoss import units
from gptoss.app import state, text
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.lesson import Lesson, Prediction, Try, below, beside
from gptoss.app.study import RANDOM, Study
from gptoss.claims import register
from gptoss.config import GPT2_PRESETS, PRESETS, GPT2Config
from gptoss.cost import count_parameters
from gptoss.cost.matching import ACTIVE, COMPUTE, TOTAL, compared_figure, matched_gpt2
from gptoss.lessons.gpt2 import controls, measure
from gptoss.model import GPT2
from gptoss.model.gpt2 import GPT2MLP, GPT2Attention
from gptoss.notation import with_numbers

CONTEXT = 1024
XL = "GPT-2 XL"
REAL = PRESETS["gpt-oss-20b"]
OPENING = Opening(
    problem=f"In GPT-2 every {word('token')} passes through all weights, and every {word('layer')} remembers every token: "
            "whatever makes the model larger makes each word dearer.",
    idea="Put GPT-2 and GPT-OSS on the same text, equal in one respect of your choice, and see what each change saves.",
    chosen=f"GPT-OSS has many small MLPs of which a token uses few, lets {REAL.group_size} heads share keys and values, and "
           "lets every other layer look back over a short window only.")

SIZE = r"""
**Size.** A GPT-2 of $L$ layers and hidden size $D$, with a vocabulary of $V$ and $n$ positions, has

$$ N = \underbrace{V D + n D}_{\text{tokens, positions}} + L\,\big(\underbrace{12 D^2 + 13 D}_{\text{one block}}\big) + 2D $$

parameters, and a token uses all but the positions: $4 D^2$ of a block in attention, $8 D^2$ in the MLP.
"""

MIXTURE = r"""
In GPT-OSS a layer has $E$ experts of width $F$, of which a token uses $k$, and $H$ query heads in $G$ KV groups, with
heads of size $d$. Biases, norms, sinks and routers left out, it has

$$ N \approx L\,\big(2 D d\,(H + G) + 3 E D F\big) + 2 V D $$

parameters. Of these a token uses $k$ experts in place of $E$, and one of the two matrices of $V D$.
"""

WORK = r"""
**Work and memory.** One more token after $n - 1$ others costs about two operations an active parameter, and attention:

$$ C \approx 2 \cdot \text{active} + 4 H d \sum_{\ell} \min(n, W_\ell) $$

with $W_\ell$ the window of layer $\ell$. GPT-2 has none, and $H d = D$. The cache holds $2 \cdot 2$ bytes times $G d$ for
each token and layer: in GPT-2 $G d = D$.
"""

GUESS = r"""
**How unsure.** A distribution over the next token has the entropy

$$ \mathcal H = -\sum_v p_v \log_2 p_v \le \log_2 V $$

bits, so that two models with other vocabularies cannot be compared by their bits a token.
"""


def maths(study: Study, gpt2: GPT2Config) -> str:
    """The formulas, with the numbers of the model under study and of the GPT-2 beside it."""
    ours, counts = study.config, count_parameters(study.config)
    work = [compared_figure(config, COMPUTE, CONTEXT) for config in (gpt2, ours)]
    return with_numbers(
        (SIZE, f"L = {gpt2.num_hidden_layers}, D = {gpt2.hidden_size:,}, V = {gpt2.vocab_size:,} and n = "
               f"{gpt2.max_context_length:,} make N = {count_parameters(gpt2).total:,}."),
        (MIXTURE, f"in {study.name} attention has {units.count(counts.qkv + counts.out)}, the experts "
                  f"{units.count(counts.experts)} and both ends {units.count(counts.embeddings)}: with all the rest N = "
                  f"{units.count(counts.total)}, of which a token uses {units.count(counts.active)}."),
        (WORK, f"at n = {CONTEXT:,} the GPT-2 needs {units.flops(work[0])}, {study.name} {units.flops(work[1])}."),
        (GUESS, f"at most {math.log2(gpt2.vocab_size):.2f} bits there and {math.log2(ours.vocab_size):.2f} here."))


@st.fragment
def picture(study: Study, words: str, special: bool) -> None:
    """What is held equal, which GPT-2 that makes, and one view of both."""
    equal, view = controls.setting()
    both = controls.pair(study, equal)
    controls.draw(both, view, words, special, register.BY_NAME)
    beside(lesson(study, both, checked_tokens(both, words, special)))


def checked_tokens(both: controls.Pair, words: str, special: bool) -> tuple[int, ...]:
    """The text in the live GPT-2's tokens, as far as it is checked."""
    return tuple(both.same_text(words, special).gpt2.ids[:controls.CHECKED_TOKENS])


def because(study: Study) -> str:
    """What the answer to the prediction means."""
    xl, ours = GPT2_PRESETS["gpt2-xl"], study.config
    flops = [compared_figure(config, COMPUTE, CONTEXT) for config in (xl, ours)]
    parameters = [count_parameters(config) for config in (xl, ours)]
    return (f"GPT-2 XL needs {units.flops(flops[0])}, {study.name} {units.flops(flops[1])}: "
            f"{units.number(flops[1] / flops[0])} times as much, with "
            f"{units.number(parameters[1].total / parameters[0].total)} times the parameters. What counts are the active "
            f"ones: {units.count(parameters[0].active)} and {units.count(parameters[1].active)}.")


def how_we_know(both: controls.Pair, ids: tuple[int, ...]) -> None:
    """GPT-2's two paths compared with each other, and its closed form with its tensors."""
    if ids:
        st.markdown(f"- Explicit and fused attention of the live GPT-2 differ by at most "
                    f"**{units.number(controls.attention_difference(both.gpt2, ids), 2)}** of the largest value, on "
                    f"{units.plural(len(ids), 'token')} of the text.")
    for name, config in {**GPT2_PRESETS, "the GPT-2 on this page": both.real.config}.items():
        counted, formula = measure.meta_parameters(config), count_parameters(config).total
        st.markdown(f"- **{name}**: {counted:,} parameters tensor by tensor, {formula:,} by the closed form, difference "
                    f"{counted - formula}.")
    st.caption("The tests compare this GPT-2 with Hugging Face's `GPT2LMHeadModel`: the same weights, the same logits.")


def prediction(study: Study) -> Prediction:
    """Asked of the model under study where it is the larger one, so that size does not give the answer away."""
    xl = GPT2_PRESETS["gpt2-xl"]
    if count_parameters(study.config).total < count_parameters(xl).total:
        study = Study.of_preset("gpt-oss-20b")
    theirs, ours = (compared_figure(config, COMPUTE, CONTEXT) for config in (xl, study.config))
    sizes = [units.count(count_parameters(config).total) for config in (xl, study.config)]
    return Prediction(
        f"GPT-2 XL ({sizes[0]} parameters) against {study.name} ({sizes[1]}): which needs more FLOPs for one token at "
        f"{CONTEXT:,} tokens?",
        answer=lambda: XL if theirs > ours else study.name, because=lambda _: because(study), choices=(XL, study.name))


def lesson(study: Study, both: controls.Pair, ids: tuple[int, ...]) -> Lesson:
    """What follows below the picture; `ids` are the text in the live GPT-2's tokens."""
    return Lesson(
        path="gpt2", prediction=prediction(study), tries=[
            Try("As many parameters", "A dense model of the same total works with all of them on every token. Compare the "
                "FLOPs.", controls={"gpt2_equal": TOTAL, "gpt2_view": controls.SIZES}),
            Try("As much compute", "For the same work a token, see how many more parameters the mixture of experts can "
                "hold.", controls={"gpt2_equal": COMPUTE, "gpt2_view": controls.SIZES}),
            Try("नमस्ते दुनिया", "GPT-2's tokenizer mostly spells the bytes of this script, so its model reads many more "
                "tokens.", text="नमस्ते दुनिया, आज मौसम बहुत अच्छा है।",
                controls={"gpt2_equal": ACTIVE, "gpt2_view": controls.SIZES}),
            Try("Two guesses", "With random weights both entropies are near the most that their vocabularies allow.",
                dials={"weights": RANDOM}, controls={"gpt2_view": controls.NEXT})],
        maths=maths(study, both.real.config), code=(GPT2, GPT2Attention, GPT2MLP, matched_gpt2),
        claims=register.of_page("gpt2"), checks=lambda: how_we_know(both, ids))


header("gpt2", OPENING)
study = state.study().small
above = st.container()
special = text.text_drawer()
words = text.current_text()
with above:
    picture(study, words, special)
both = controls.pair(study, controls.EQUAL.value)
below(lesson(study, both, checked_tokens(both, words, special)))
