"""MXFP4: a block of thirty-two weights on fifteen ticks, and what that does to the model."""

import math

import streamlit as st

from gptoss import units
from gptoss.app import state, text
from gptoss.app.controls import row, view
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.lesson import Lesson, Prediction, Try, below, beside
from gptoss.app.study import Study
from gptoss.checkpoint.mxfp4 import dequantise, quantise
from gptoss.claims import register
from gptoss.config import PRESETS
from gptoss.cost import checkpoint_bytes, count_parameters
from gptoss.lessons.mxfp4 import controls, measure
from gptoss.lessons.mxfp4.charts import scale_in_words
from gptoss.lessons.mxfp4.controls import BLOCK, KNOWN, MATRIX, MODEL, UNROUNDED, key, questions
from gptoss.notation import with_numbers
from gptoss.training.shipped import CLASSROOM

ASKED_TIMES = 10  # by how much the largest value grows in the question
REAL = PRESETS["gpt-oss-20b"]
OPENING = Opening(
    problem=f"In two bytes each the {units.spelled(count_parameters(REAL).total)} weights of gpt-oss-20b take "
            f"{units.size(2 * count_parameters(REAL).total)}: more than a laptop or most graphics cards hold.",
    idea=f"Write each {word('weight')} in four bits, as the nearest of fifteen ticks on a ruler. 32 neighbours share one "
         f"{word('block scale')}, which stretches the ruler until it fits them.",
    chosen=f"Its experts are stored in {word('MXFP4')}, all the rest in {word('bf16')}. So the {word('checkpoint')} of "
           f"gpt-oss-20b takes {units.size(checkpoint_bytes(REAL))}.")

TICKS = r"""
**An element** is a sign and one of eight magnitudes in four bits (E2M1: two bits of exponent, one of mantissa):
$0, \tfrac12, 1, 1\tfrac12, 2, 3, 4, 6$. Plus and minus 0 are one value, so a scale allows fifteen ticks.

**A scale** is one byte that stands for a power of two, $2^\kappa$ (E8M0: an exponent and nothing else). Thirty-two
neighbours along the last dimension share it. One block takes $32 \cdot 4 + 8 = 136$ bits, $4.25$ bits a weight.
"""

SCALE = r"""
**Which scale.** With $\mu = \max_i |x_i|$ over a block the MX specification takes the exponent $\lfloor \log_2 \mu
\rfloor - 2$, so that $\mu$ lies between 4 and 8 units of the scale. Between 6 and 8 there is no tick, and what lies above
6 is clipped to it. Here the next exponent is taken where $\mu$ lies above 7 units:

$$
\kappa = \lfloor \log_2 \mu \rfloor - 2 + \big[\, \mu > 7 \cdot 2^{\lfloor \log_2 \mu \rfloor - 2} \,\big]
\qquad \hat x_i = 2^\kappa \operatorname{nearest}\big(x_i\, 2^{-\kappa}\big)
$$

Ties go to the even code. No value is then farther from its tick than half the gap around it: $\tfrac14 \cdot 2^\kappa$ up
to 2 units, $\tfrac12 \cdot 2^\kappa$ up to 4, $2^\kappa$ beyond. Whatever is below $\tfrac14 \cdot 2^\kappa$ becomes 0.
"""

OUTLIER = r"""
**An outlier** that makes $\mu$ ten times as large raises $\kappa$ by three or four, since $\log_2 10 \approx 3.3$. Then the
ticks lie eight or sixteen times as far apart, and of its 31 neighbours many more are small enough to become 0. The other
blocks of the matrix do not notice.
"""


def maths(study: Study) -> str:
    """The formulas, with the numbers of the experts of the model under study and of the block that is asked about."""
    weights = 3 * study.layers * study.experts * study.config.hidden_size * study.config.intermediate_size
    grown = f"a factor of {ASKED_TIMES} is {math.log2(ASKED_TIMES):.2f} steps of the exponent."
    scale = "an eighth of a unit lies below a quarter of it, and becomes 0."
    if measure.possible_matrices(study.live_config):
        source = controls.source_of(study)
        change = measure.grown(measure.block_values(source.model, controls.chosen_place(study, source)), ASKED_TIMES)
        largest = change.own.values.abs().max().item()
        own, other = (units.fixed(block.exponent, 0) for block in (change.own, change.block))
        scale = (f"the block that is shown has μ = {units.number(largest)}, so that κ = {own} and its unit is "
                 f"{scale_in_words(change.own.exponent)}.")
        grown = (f"if the largest value of the block grows {ASKED_TIMES} times, κ = {other}, and {change.fallen[1]} of 31 "
                 f"neighbours become 0 in place of {change.fallen[0]}.")
    return with_numbers(
        (TICKS, f"the experts of {study.name} are {units.count(weights)} weights: {units.size(weights * 17 / 32)} in MXFP4, "
                f"{units.size(2 * weights)} in bf16."),
        (SCALE, scale), (OUTLIER, grown))


@st.fragment
def picture(study: Study, tokens: text.Tokens) -> None:
    """A block, its matrix, or the whole model."""
    with row():
        chosen = view(controls.VIEWS, "mxfp4_view")
        controls.choose_source(study)
        source = controls.source_of(study)
        if chosen == MODEL:
            controls.choose_format()
        elif measure.possible_matrices(study.live_config):
            with st.popover("Which block", icon=":material/grid_on:"):
                controls.choose_matrix(study)
                controls.choose_block(study, source)
    if not controls.offer_whole_blocks(study):
        return
    if chosen == MODEL:
        controls.model(study, source, tokens)
    else:
        draw = controls.matrix if chosen == MATRIX else controls.block
        draw(study, source, controls.chosen_place(study, source))
    beside(lesson(study, chosen))


def because(grown: measure.Grown) -> str:
    """Why so many values of a block fall to 0 when its largest grows."""
    before = grown.fallen[0]
    return (f"The scale goes from {scale_in_words(grown.own.exponent)} to {scale_in_words(grown.block.exponent)}, and "
            f"whatever is below a quarter of it, {units.number(2.0**grown.block.exponent / 4)}, becomes 0. With its real "
            f"value it was {before}.")


def how_we_know(study: Study) -> None:
    """The format beside a search through all of it, on the very matrix that is shown."""
    st.markdown(f"{controls.checks_in_words(study)}\n\n"
                "The tests compare every byte and every scale bit for bit with Hugging Face transformers' "
                "`convert_moe_packed_tensors`, int8 and the wrong roundings with loops written out by hand, and the rounded "
                "models with models loaded from a rounded state dict.")


def prediction(study: Study, view: str) -> Prediction:
    """How many neighbours the chosen block loses when its largest value grows tenfold; for each other view its own."""
    if not measure.possible_matrices(study.live_config):
        return Prediction("A value is an eighth of its block's scale. What does it come back as, in units of the scale?",
                          answer=lambda: 0.0, because=lambda _: "It lies nearer to 0 than to the first tick, one half.")
    source = controls.source_of(study)
    at = controls.chosen_place(study, source)
    if view in (MATRIX, MODEL):
        return (questions.elsewhere if view == MATRIX else questions.once_more)(measure.expert_matrix(source.model, at), at)
    grown = measure.grown(measure.block_values(source.model, at), ASKED_TIMES)
    before, after = (units.number(block.values.abs().max().item()) for block in (grown.own, grown.block))
    return Prediction(
        f"Block {at.block} of row {at.row} in {at.matrix} of expert {at.expert}, layer {at.layer}: its largest value grows "
        f"tenfold, from {before} to {after} in size. How many of the other 31 become 0?",
        answer=lambda: float(grown.fallen[1]), because=lambda _: because(grown), mistakes=[
            (float(grown.fallen[0]), "That many do as the block is. When its largest grows, so does the scale."),
            (0.0, "The others keep their values, but the ticks move apart with the scale."),
            (31.0, "Only those that lie below a quarter of the new scale.")])


def lesson(study: Study, view: str) -> Lesson:
    """What is asked about the view, tried and explained. A model without a whole block is asked about none."""
    tries = [
        Try("Drag it far out", "At 32 times the largest, hardly any neighbour is left: the block has become one number.",
            controls={key("outlier"): "32", key("place"): controls.LARGEST, key("view"): BLOCK},
            check=questions.hardly_any_is_left),
        Try("What ships is on the ticks", "Every weight stands right above its tick, because these weights were rounded in "
                                          "their last training steps.",
            preset=CLASSROOM,
            controls={key("weights"): controls.AS_IT_RUNS, key("outlier"): controls.OWN, key("view"): BLOCK},
            check=questions.all_on_ticks),
        Try("Heavy tails, no harm", "The kurtosis of this matrix is far above 3, so some of its weights are very large. "
                                    "Rounding them costs no more than elsewhere, because large weights have large "
                                    "neighbours.", preset=CLASSROOM,
            controls={key("view"): MATRIX, key("matrix"): "mlp2", "layer": 2, "expert": 4, key("weights"): UNROUNDED},
            check=questions.heavy_tails_do_no_harm),
        Try("Cut the digits off", "The bits are as many, but each weight goes to the next tick toward 0 and not to the "
                                  "nearest: the predictions then move more than ten times as far.",
            preset=CLASSROOM, text=KNOWN.text,
            controls={key("view"): MODEL, key("format"): "MXFP4, toward 0", key("weights"): UNROUNDED},
            check=questions.cutting_costs_more_than_ten_times),
    ]
    return Lesson(
        path="mxfp4", prediction=prediction(study, view), tries=tries, maths=maths(study), claims=register.of_page("mxfp4"),
        code=[quantise, dequantise, measure.clipping, measure.toward_zero, measure.scale_raised, measure.int8,
              measure.with_outlier, measure.with_rounded_experts, measure.effect], checks=lambda: how_we_know(study))


header("mxfp4", OPENING)
study = state.study().in_classroom
above = st.container()
tokens = text.tokens_from_drawer(study.vocabulary)
with above:
    picture(study, tokens)
below(lesson(study, BLOCK))
