"""GPT-2 vs GPT-OSS: two real models on the same text, equal in one respect of the reader's choice."""

import math
import re

import streamlit as st

from gptoss import units
from gptoss.app import state, text
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.lesson import Lesson, Prediction, Seen, Try, below, beside
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
REAL = PRESETS["gpt-oss-20b"]
OPENING = Opening(
    problem=f"In GPT-2 every {word('token')} passes through all weights, and every {word('layer')} keeps a key and a value "
            "of it. So a larger model costs more for each token.",
    idea="Put both models on one text, equal in one respect of your choice, and see what each change saves.",
    chosen=f"GPT-OSS uses few of its experts for a token, lets {REAL.group_size} heads share keys and values, and looks "
           "back over a short window in every other layer.")

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
        (GUESS, f"at most {math.log2(gpt2.vocab_size):.2f} bits there and {math.log2(ours.vocab_size):.2f} here, which is a "
                f"{word('perplexity')} of {gpt2.vocab_size:,} and of {ours.vocab_size:,}."))


@st.fragment
def picture(study: Study, words: str, special: bool) -> None:
    """What is held equal, which GPT-2 that makes, and one view of both."""
    equal, view = controls.setting()
    shown, whole = st.container(), view in (controls.TABLE, controls.SIZES)
    if whole:
        controls.choose_real(study)
    real = controls.pair(controls.of_real_size(study), equal)
    both = controls.pair(study, equal)
    with shown:
        controls.draw(real if whole else both, view, words, special, register.BY_NAME)
    beside(lesson(real, both, view, checked_tokens(both, words, special)))


def checked_tokens(both: controls.Pair, words: str, special: bool) -> tuple[int, ...]:
    """The text in the live GPT-2's tokens, as far as it is checked."""
    return tuple(both.same_text(words, special).gpt2.ids[:controls.CHECKED_TOKENS])


def because(study: Study) -> str:
    """What the answer to the first question means."""
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


def which_computes_more(study: Study) -> Prediction:
    """The question of the table. Of gpt-oss-20b where a small model is studied, so that size does not give it away."""
    xl = GPT2_PRESETS["gpt2-xl"]
    study = Study.of_preset(controls.REAL) if controls.is_small(study) else study
    flops = [compared_figure(config, COMPUTE, CONTEXT) for config in (xl, study.config)]
    sizes = [units.count(count_parameters(config).total) for config in (xl, study.config)]
    ratio = flops[1] / flops[0]
    answer = ("fewer than GPT-2 XL" if ratio < 1 else "up to twice as many" if ratio < 2 else
              "two to five times as many" if ratio < 5 else "more than five times as many")
    return Prediction(
        f"GPT-2 XL has {sizes[0]} parameters, {study.name} {sizes[1]}. How many FLOPs does {study.name} need for one token, "
        f"at {CONTEXT:,} tokens?", answer=lambda: answer, because=lambda _: because(study), view=controls.TABLE,
        choices=("fewer than GPT-2 XL", "up to twice as many", "two to five times as many", "more than five times as many"),
        mistakes={
            "fewer than GPT-2 XL": "Few experts are active, but the layers are also wider than GPT-2 XL's.",
            "up to twice as many": "Few experts are active, and still more than GPT-2 XL has in all.",
            "two to five times as many": "That overlooks how much all that is active has grown.",
            "more than five times as many": "That would be so if every parameter worked on every token. Most experts rest."})


def as_large_a_gpt2(real: controls.Pair) -> Prediction:
    """The question of the sizes: what a dense model of the other kind of size would take."""
    study, of = real.study, (COMPUTE, TOTAL)[real.real.equal != TOTAL]
    gpt2 = matched_gpt2(study.config, of, study.context).config
    ours, dense = (compared_figure(config, (TOTAL, COMPUTE)[of == TOTAL], study.context) for config in (study.config, gpt2))
    if of == TOTAL:
        return Prediction(
            f"A GPT-2 that had as many parameters as {study.name}: how many times as much would it compute for one token?",
            answer=lambda: dense / ours, unit="times", tolerance=0.2, show=units.number, view="sizes",
            because=lambda _: f"It would need {units.flops(dense)} in place of {units.flops(ours)}: all its parameters work "
                              "on every token.",
            mistakes=[(1, "As many parameters, but in a dense model all of them work on every token."),
                      (study.experts / study.active, "That is how many times more experts there are than a token uses, but "
                                                     "attention and the vocabulary are not experts.")])
    return Prediction(
        f"A GPT-2 that computed as much for one token as {study.name}: how many times as many parameters has {study.name}?",
        answer=lambda: ours / dense, unit="times", tolerance=0.2, show=units.number, view="sizes equal",
        because=lambda _: f"It has {units.count(ours)}, and such a GPT-2 {units.count(dense)}.",
        mistakes=[(1, "For the same work, a mixture of experts holds more: most of its parameters wait.")])


def of_guesses_and_heads() -> dict[str, Prediction]:
    """The questions beside what the live models expect and where they look."""
    ours, theirs = (config.vocab_size for config in (REAL, GPT2_PRESETS["gpt2-xl"]))
    return {
        controls.NEXT: Prediction(
            f"gpt-oss-20b has {ours:,} tokens. If it knew nothing of the next one, how many bits of entropy would its guess "
            "have?", answer=lambda: math.log2(ours), unit="bits", view="next",
            because=lambda _: f"An even guess among V tokens has log₂ V bits. GPT-2's {theirs:,}: {math.log2(theirs):.2f}.",
            mistakes=[(math.log(ours), "Those are nats: the natural logarithm. Bits take the one to base 2."),
                      (math.log2(theirs), "That is GPT-2's vocabulary."),
                      (0, "0 bits would mean that it knew the next token for sure.")]),
        controls.ATTENTION: Prediction(
            "The first token of a text sees only itself. How much of its attention does it give itself in GPT-2?",
            answer=lambda: 100.0, unit="%", view="attention", show=units.number,
            because=lambda _: "Weights add up to 1, and GPT-2 has no sink to give a part to. In GPT-OSS even the first "
            "token can keep away from itself.",
            mistakes=[(50, "That would be so with a sink whose logit equals the score. GPT-2 has none."),
                      (0, "It cannot look at nothing: without a sink the weights add up to 1.")])}


def of_tensors_and_clocks() -> dict[str, Prediction]:
    """The questions beside the tensors' shapes and the measured times."""
    counts, keys = count_parameters(REAL), REAL.num_key_value_heads * REAL.head_dim
    width = GPT2_PRESETS["gpt2-xl"].hidden_size
    return {
        controls.TENSORS: Prediction(
            f"gpt-oss-20b has {REAL.num_attention_heads} query heads in {REAL.num_key_value_heads} KV groups, and heads of "
            f"{REAL.head_dim}. How many numbers do the keys of one token have in one layer?",
            answer=lambda: keys, view="tensors", show="{:,.0f}".format, tolerance=0.001,
            because=lambda _: f"{REAL.num_key_value_heads} · {REAL.head_dim}. GPT-2 XL keeps {width:,}, as many as its "
            "stream is wide.",
            mistakes=[(REAL.num_attention_heads * REAL.head_dim, "That is one key for every query head, as in GPT-2."),
                      (2 * keys, "That counts the values too."),
                      (REAL.hidden_size, "GPT-2's keys are as wide as the stream. These are narrower.")]),
        controls.TIMES: Prediction(
            "To write one token, gpt-oss-20b reads every active weight once. How many GB is that, at two bytes a weight?",
            answer=lambda: 2 * counts.active / 1e9, unit="GB", tolerance=0.05, view="clocks",
            because=lambda _: f"{units.count(counts.active)} weights are active. The small models here fit near the "
            "processor, so their clocks say nothing of this.",
            mistakes=[(2 * counts.total / 1e9, "Those are all weights. Most experts are not read."),
                      (counts.active / 1e9, "That is one byte a weight.")])}


def question(real: controls.Pair, view: str) -> Prediction:
    """What is asked beside a view."""
    if view == controls.SIZES:
        return as_large_a_gpt2(real)
    return (of_guesses_and_heads() | of_tensors_and_clocks()).get(view) or which_computes_more(real.study)


def two_figures(seen: Seen, quantity: str) -> tuple[float, float]:
    """What the sizes on the screen say of GPT-OSS and of GPT-2: each as a share of the larger one."""
    bars = seen.chart("Sizes of GPT-OSS and GPT-2").set_index(["quantity", "model"])["share"]
    return bars[quantity, "GPT-OSS"], bars[quantity, "GPT-2"]


def tries() -> list[Try]:
    """Experiments: two ways to be equal, a script that GPT-2 spells, and two models that know nothing."""
    def less(seen: Seen, quantity: str, times: float) -> bool:
        ours, theirs = two_figures(seen, quantity)
        return ours * times < theirs

    def unsure(seen: Seen) -> bool:
        bits = re.findall(r"Entropy ([\d.]+) bits", seen.words)
        return len(bits) == 2 and min(map(float, bits)) > math.log2(200)

    def sizes(equal: str) -> dict[str, str]:
        return {"gpt2_equal": equal, "gpt2_view": controls.SIZES, "gpt2_model": controls.REAL}

    return [
        Try("As many parameters", "A dense model as large works with all its parameters on every token: its FLOPs are "
            "several times as many.", controls=sizes(TOTAL), check=lambda seen: less(seen, "FLOPs", 2)),
        Try("As much compute", "Both do the same work for a token, and the mixture of experts holds several times as many "
            "parameters.", controls=sizes(COMPUTE), check=lambda seen: two_figures(seen, "Parameters")[1] < 0.5),
        Try("नमस्ते दुनिया", "GPT-2's tokenizer mostly spells the bytes of this script, so it makes several times as many "
            "tokens of the same text.", text="नमस्ते दुनिया, आज मौसम बहुत अच्छा है।", controls=sizes(ACTIVE),
            check=lambda seen: less(seen, "Text tokens", 2)),
        Try("Two guesses", "Both have random weights now, and neither knows anything: each is as unsure as between "
            "hundreds of equal tokens, and which it puts first is chance.", dials={"weights": RANDOM},
            controls={"gpt2_view": controls.NEXT}, check=unsure)]


def lesson(real: controls.Pair, both: controls.Pair, view: str, ids: tuple[int, ...]) -> Lesson:
    """What stands beside a view and below it; `ids` are the text in the live GPT-2's tokens."""
    return Lesson(
        path="gpt2", prediction=question(real, view), tries=tries(), maths=maths(real.study, real.real.config),
        code=(GPT2, GPT2Attention, GPT2MLP, matched_gpt2), claims=register.of_page("gpt2"),
        checks=lambda: how_we_know(both, ids))


header("gpt2", OPENING)
study = state.study().small
above = st.container()
special = text.text_drawer()
words = text.current_text()
with above:
    picture(study, words, special)
real, both = (controls.pair(model, controls.EQUAL.value) for model in (controls.of_real_size(study), study))
below(lesson(real, both, controls.TABLE, checked_tokens(both, words, special)))
