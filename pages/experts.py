"""Experts: where the router sends the tokens, what an expert computes, and what a mixture costs."""

import streamlit as st

from gptoss.app import controls as kit
from gptoss.app import pictures, state, text
from gptoss.app.header import header
from gptoss.app.large import TooLong
from gptoss.app.lesson import Lesson, Prediction, below, beside
from gptoss.app.retrained import RETRAINED, show_retrained
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.config import PRESETS
from gptoss.cost import expected_experts_touched
from gptoss.lessons.experts import controls, measure
from gptoss.model import MLPBlock
from gptoss.model.experts import swiglu
from gptoss.units import number, percent

ASKED, BATCH = PRESETS["gpt-oss-120b"], 32  # of the question

MATHS = r"""
**The router** scores every expert for $u = \mathrm{RMSNorm}(x)$, keeps the $k$ best, and takes a softmax over those:

$$
\ell = W_g u + b_g, \qquad S = \text{top-}k(\ell)
$$

$$
w_e = \frac{e^{\ell_e}}{\sum_{j \in S} e^{\ell_j}}
$$

With the softmax over all $E$ experts first, the kept weights $p_e$ sum to less than 1, and
$p_e / \sum_{j \in S} p_j = w_e$.

**An expert** is an MLP with a gate. Even rows of $W_1$ give the gate $g$, odd ones the linear half $l$. The block adds

$$
\sum_{e \in S} w_e \left( W_2\, \mathrm{swiglu}(W_1 u + b_1) + b_2 \right)
$$

with each expert's own $W$ and $b$, and

$$
\mathrm{swiglu}(g, l) = \hat g \cdot \sigma(1.702\, \hat g) \cdot (\hat l + 1)
$$

where $\hat g = \min(g, 7)$ and $\hat l$ is $l$ kept between $-7$ and $7$.

**Blind choice**, $T$ tokens with $k$ of $E$ experts each: the squared coefficient of variation of the load has

$$
\text{mean } \frac{E - k}{T k}, \qquad \text{variance } \frac{2\,(T - 1)(E - k)^2}{T^3 k^2 (E - 1)}
$$

**Touched** by a batch of $B$ tokens, on average: $E \left(1 - (1 - k/E)^B\right)$ experts.
"""


@st.fragment
def picture(study: Study, tokens: text.Tokens) -> None:
    """One of nine views, its controls beside it."""
    shown = kit.view(controls.VIEWS, "experts_view")
    if shown == RETRAINED:
        with pictures.main():
            show_retrained("experts", study)
    elif shown == controls.COST:
        with pictures.main():
            controls.cost(study)
    elif shown == controls.FORESEEN:
        what_decides(study)
    elif kit.has_text(tokens, "the router sends its tokens to the experts"):
        dials, right = st.columns([2, 9], gap="medium")
        with dials:
            layer = kit.layer(study)
        with right:
            place = pictures.main()
        controls.OF_A_TEXT[shown](study, tokens, controls.live_routing(study, tokens.ids), layer, dials, place)
        with right:
            beside(lesson(study, tokens))
        return
    beside(lesson(study, tokens))


def what_decides(study: Study) -> None:
    """What foresees the route of a token, in texts that ship with the app."""
    beside, right = st.columns([2, 9], gap="medium")
    with beside:
        layer = kit.layer(study)
    with right, pictures.main():
        try:
            controls.what_decides(study, layer)
        except TooLong as why:
            st.info(str(why), icon=":material/hourglass:")


def because(touched: float) -> str:
    """What the answer to the prediction means."""
    return (f"The {BATCH} tokens make {BATCH * ASKED.experts_per_token} choices, but some fall on the same expert: "
            f"E·(1 − (1 − k/E)^B). One token reads {percent(ASKED.experts_per_token / ASKED.num_experts)} of the experts' "
            f"weights, this batch {percent(touched / ASKED.num_experts, 0)}.")


def how_we_know(study: Study, tokens: text.Tokens) -> None:
    """The fast path of the experts against the formula, and chance against its closed form."""
    if not kit.has_text(tokens, "its tokens are computed in two ways"):
        return
    layer = kit.layer_shown(study)
    check = controls.check_experts(study, controls.live_routing(study, tokens.ids), layer)
    st.markdown(
        "**The fast path is the formula.** The model sorts all choices by expert and answers them in batches. In layer "
        f"{layer}, {check.tokens} tokens were also answered one by one, as the formula says. Largest difference: "
        f"**{number(check.batched, 2)}** for the path that runs, {number(check.in_turn, 2)} for the one that records every "
        f"expert. The answers are {number(check.scale, 2)} large (root mean square), in {study.precision}.\n\n"
        "**Two orders, one result.** For the last token, softmax over all experts, then top-k, then division by the sum "
        f"differs from gpt-oss's weights by at most **{number(check.orders, 2)}**.\n\n"
        f"**What chance gives.** {len(tokens)} tokens, {study.active} of {study.experts} experts each, chosen blindly: the "
        f"squared variation is {check.exact[0]:.4f} ± {check.exact[1]:.4f} by the closed form and "
        f"**{check.drawn[0]:.4f} ± {check.drawn[1]:.4f}** in {measure.NULL_DRAWS} random routings with a fixed seed, from "
        "which the grey bands are read (a Monte Carlo null).")


def lesson(study: Study, tokens: text.Tokens) -> Lesson:
    """Everything below the picture."""
    return Lesson(
        path="experts", maths=MATHS, code=[MLPBlock, swiglu, expected_experts_touched], tries=controls.TRIES,
        prediction=Prediction(
            f"128 experts, 4 active: how many different experts of a layer do {BATCH} independent tokens touch?",
            lambda: expected_experts_touched(ASKED, BATCH), because, unit="experts", tolerance=0.03, show="{:.0f}".format),
        claims=register.of_page("experts"), checks=lambda: how_we_know(study, tokens))


header("experts")
study = state.study()
above = st.container()
tokens = text.tokens_from_drawer(study.vocabulary)
with above:
    picture(study, tokens)
below(lesson(study, tokens))
