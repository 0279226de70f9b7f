"""What stands below the MXFP4 page: its question, its experiments, the maths and checks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import streamlit as st
import torch

from gptoss.app.lesson import Lesson, Prediction, Try
from gptoss.app.live import HEAVY
from gptoss.app.study import Study
from gptoss.app.verdicts import Claim
from gptoss.checkpoint.mxfp4 import MAGNITUDES, SCALE_BIAS, dequantise, quantise
from gptoss.cost import checkpoint_bytes
from gptoss.lessons.mxfp4.charts import scale_in_words
from gptoss.lessons.mxfp4.controls.mxfp4 import (
    AS_IT_RUNS,
    LARGEST,
    LIKE_TRAINING,
    MATRIX,
    MODEL,
    OWN,
    UNROUNDED,
    Place,
    Source,
    block_values,
    chosen_place,
    expert_matrix,
    key,
    possible_matrices,
    source_of,
)
from gptoss.lessons.mxfp4.measure import (
    FORMATS,
    MXFP4,
    Searched,
    clipping,
    effect,
    int8,
    model_bytes,
    neighbours,
    quantised_block,
    scale_raised,
    search,
    toward_zero,
    with_outlier,
    with_rounded_experts,
)
from gptoss.tokenizer import SAMPLES
from gptoss.training.shipped import CLASSROOM

ASKED_TIMES = 10  # by how much the largest value grows in the question
PUSHED_TIMES = 32  # by how much it grows in an experiment
_LARGEST_SCALE = 252  # the largest byte that `quantise` writes

MATHS = r"""
**An element** is a sign and one of eight magnitudes in four bits (E2M1: two bits of exponent, one of mantissa):
$\{0, \tfrac12, 1, 1\tfrac12, 2, 3, 4, 6\}$. Plus and minus 0 are one value, so a scale allows fifteen ticks.

**A scale** is one byte $b$ that stands for $2^{b-127}$ (E8M0: an exponent and nothing else). Thirty-two neighbours along the
last dimension share it. One block takes $32 \cdot 4 + 8 = 136$ bits, $4.25$ bits a weight.

**Which scale.** With $m = \max_i |w_i|$ the MX specification takes the exponent $\lfloor \log_2 m \rfloor - 2$, so that
$m$ lies between 4 and 8 units of the scale. Between 6 and 8 there is no tick, and what lies above 6 is clipped to it. Here
the next exponent is taken where $m$ lies above 7 units:

$$e = \lfloor \log_2 m \rfloor - 2 + \big[\, m > 7 \cdot 2^{\lfloor \log_2 m \rfloor - 2} \,\big]
\qquad c_i = \operatorname{nearest}\big(w_i\, 2^{-e}\big) \qquad \hat w_i = c_i\, 2^{e}$$

Ties go to the even code. No value is then farther from its tick than half the gap around it: $\tfrac14 \cdot 2^e$ up to 2
units, $\tfrac12 \cdot 2^e$ up to 4, $2^e$ beyond. Whatever is below $\tfrac14 \cdot 2^e$ becomes 0.

**An outlier** that is $k$ times as large as the largest raises $e$ by about $\log_2 k$, and the bar below which its
31 neighbours become 0 by the factor $k$. The other blocks of the matrix do not notice.
"""


def mxfp4_lesson(study: Study, claims: Sequence[Claim]) -> Lesson:
    """Everything below the picture. A model without a whole block is asked about none."""
    source = source_of(study)
    return Lesson(
        path="mxfp4", prediction=prediction(study, source), tries=tries(), maths=MATHS,
        code=[quantise, dequantise, clipping, toward_zero, scale_raised, int8, with_outlier, with_rounded_experts, effect],
        claims=claims, checks=lambda: how_we_know(study))


def prediction(study: Study, source: Source) -> Prediction:
    """How many neighbours the chosen block loses when its largest value grows tenfold."""
    if not possible_matrices(study.live_config):
        return Prediction("A value is an eighth of its block's scale. What does it come back as, in units of the scale?",
                          answer=lambda: 0.0, because=lambda _: "It lies nearer to 0 than to the first tick, one half.")
    at = chosen_place(study, source)
    values = torch.tensor(block_values(source, at))
    own = quantised_block(values)
    grown = quantised_block(with_outlier(values, int(values.abs().argmax()), ASKED_TIMES))
    largest = int(values.abs().argmax())
    bar = 2.0**grown.exponent / 4
    return Prediction(
        f"{in_words(at)}: its largest value grows tenfold, from {values.abs().max():.3g} to {grown.values.abs().max():.3g} "
        "in size. How many of the other 31 become 0?",
        answer=lambda: float(neighbours(grown, largest).fallen),
        because=lambda _: f"The scale goes from {scale_in_words(own.exponent)} to {scale_in_words(grown.exponent)}, and "
                          f"whatever is below a quarter of it, {bar:.3g}, becomes 0. As the block is, "
                          f"{neighbours(own, largest).fallen} of them do.")


def in_words(at: Place) -> str:
    """`Block 2 of row 17 in mlp1 of expert 3, layer 1`."""
    return f"Block {at.block} of row {at.row} in {at.matrix} of expert {at.expert}, layer {at.layer}"


def tries() -> list[Try]:
    """Experiments on the page, each from a state of its own."""
    recall = next(sample.text for sample in SAMPLES if sample.name == LIKE_TRAINING)
    return [
        Try("Drag it far out", "At 32 times the largest, hardly any neighbour is left: the block has become one number.",
            controls={key("outlier"): f"{PUSHED_TIMES}", key("place"): LARGEST, key("view"): "Block"}),
        Try("What ships is on the ticks", "Every dot stands over its tick: these weights were rounded while they learned.",
            preset=CLASSROOM, controls={key("weights"): AS_IT_RUNS, key("outlier"): OWN, key("view"): "Block"}),
        Try("Heavy tails, no harm", "Kurtosis far above 3, and yet an error like everywhere: large weights have large "
            "neighbours.", preset=CLASSROOM,
            controls={key("view"): MATRIX, key("matrix"): "mlp2", "layer": 2, "expert": 4, key("weights"): UNROUNDED}),
        Try("Cut the digits off", "The same 4.25 bits, rounded toward 0: on a text that the model knows, hundreds of times "
            "the divergence.", preset=CLASSROOM, text=recall,
            controls={key("view"): MODEL, key("format"): "MXFP4, toward 0", key("weights"): UNROUNDED}),
    ]


class Checked(NamedTuple):
    """MXFP4 against every code and scale tried, by hand, at this moment."""

    searched: Searched
    representable: int
    wrong: int  # representable values that did not come back
    by_hand: float  # largest difference between unpacking bytes one by one and `dequantise`


@lru_cache(maxsize=16)
def _checked(source: Source, at: Place) -> Checked:
    weights = expert_matrix(source, at).float()
    ticks = torch.tensor([*MAGNITUDES, *(-magnitude for magnitude in MAGNITUDES)], dtype=torch.float64).repeat(2)
    exponents = torch.arange(_LARGEST_SCALE + 1, dtype=torch.float64) - SCALE_BIAS
    every = (ticks * torch.exp2(exponents)[:, None]).float()
    with HEAVY:
        wrong = int((dequantise(*quantise(every), dtype=torch.float32) != every).sum())
        blocks, scales = quantise(weights[:1])
        unpacked = dequantise(blocks, scales, torch.float32).flatten()
        by_hand = max(abs(_by_hand(byte, nibble, scale) - unpacked[32 * block + 2 * place + nibble].item())
                      for block, scale in enumerate(scales[0].tolist())
                      for place, byte in enumerate(blocks[0, block].tolist()) for nibble in (0, 1))
        return Checked(search(weights), every.numel(), wrong, by_hand)


def _by_hand(byte: int, nibble: int, scale: int) -> float:
    """What one code of a byte means: the low nibble comes first."""
    code = byte >> 4 if nibble else byte & 15
    return (-1 if code & 8 else 1) * MAGNITUDES[code & 7] * 2.0 ** (scale - SCALE_BIAS)


def how_we_know(study: Study) -> None:
    """The format against a search through all of it, on the very matrix that is shown."""
    source = source_of(study)
    if not possible_matrices(study.live_config):
        st.markdown("No matrix of this model is made of whole blocks, so there is nothing to check.")
        return
    at = chosen_place(study, source)
    found = _checked(source, at)
    off = model_bytes(study.config, FORMATS[MXFP4]) - checkpoint_bytes(study.config)
    st.markdown(
        f"Computed at this moment, for {at.matrix} of expert {at.expert} in layer {at.layer}:\n"
        f"- Every tick of its scale was tried for each of **{found.searched.values:,}** weights: the nearest is nearer than "
        f"the one chosen by at most **{found.searched.missed:.2g}**.\n"
        f"- All fifteen ticks at all {_LARGEST_SCALE + 1} scales, **{found.representable:,}** values, were stored and read: "
        f"**{found.wrong}** came back as something else.\n"
        f"- The first row's bytes, taken apart one by one, differ from what the model reads by **{found.by_hand:.2g}**.\n"
        f"- Another of the four scales around it would have had a smaller squared error in **{found.searched.better:.1%}** "
        f"of the blocks. With the best scale for each block the whole squared error would be {found.searched.gained:.1%} "
        f"smaller: the rule is cheap, and nearly as good as a search.\n"
        f"- {study.name} in MXFP4, added up from bits, and as the checkpoint's closed form says, differ by **{off:.0f}** "
        f"bytes.\n\n"
        "The tests hold every byte and every scale bit for bit against Hugging Face transformers' "
        "`convert_moe_packed_tensors`, int8 and the wrong roundings against loops written out by hand, and the rounded "
        "models against models loaded from a rounded state dict.")
