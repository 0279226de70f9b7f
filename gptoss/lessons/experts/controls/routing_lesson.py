"""What stands below the experts page's picture: its question, its experiments, and its checks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from gptoss.app.controls import layer_shown
from gptoss.app.lesson import Lesson, Prediction, Try
from gptoss.app.live import HEAVY
from gptoss.app.study import Study
from gptoss.app.verdicts import Claim
from gptoss.config import ModelConfig
from gptoss.cost import expected_experts_touched
from gptoss.lessons.experts import measure
from gptoss.lessons.experts.controls.routing import COST, LOAD, TOUCHED, live_routing, mlp_of
from gptoss.model import MLPBlock
from gptoss.model.experts import swiglu

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


def experts_lesson(study: Study, tokens: tuple[int, ...], claims: Sequence[Claim]) -> Lesson:
    """The lesson for the model under study and the reader's tokens."""
    return Lesson(
        path="experts", maths=MATHS, code=[MLPBlock, swiglu, expected_experts_touched],
        checks=partial(how_we_know, study, tokens),
        prediction=Prediction(
            "128 experts, 4 active: how many different experts of a layer do 32 independent tokens touch?",
            partial(expected_experts_touched, ModelConfig.preset("gpt-oss-120b"), 32), touched_because, unit="experts",
            tolerance=0.03, show="{:.0f}".format),
        tries=[
            Try("A batch on gpt-oss-120b", "Move the batch: one token reads 4 of 128 experts, a few hundred read them all.",
                preset="gpt-oss-120b", controls={"experts_view": TOUCHED, "experts_batch": 32}),
            Try("One word, 64 times", "Equal tokens go the same way, so that the load is very uneven, whatever was learnt "
                "or not.", text="the" + " the" * 63, controls={"experts_view": LOAD, "layer": 0}),
            Try("Every expert active", "With 8 of 8 active nothing is saved: the mixture's point falls on the dense line.",
                dials={"experts": 8, "active": 8}, controls={"experts_view": COST})],
        claims=claims)


def touched_because(answer: float) -> str:
    """What follows the answer of the page's question on gpt-oss-120b."""
    config = ModelConfig.preset("gpt-oss-120b")
    one = config.experts_per_token / config.num_experts
    return (f"The 32 tokens make {32 * config.experts_per_token} choices, but some fall on the same expert: "
            f"E·(1 − (1 − k/E)^B). One token reads {one:.1%} of the experts' weights, this batch "
            f"{answer / config.num_experts:.0%}.")


def how_we_know(study: Study, tokens: tuple[int, ...]) -> None:
    """The fast path of the experts against the formula, and chance against its closed form, measured at this moment."""
    if not tokens:
        st.info("Choose a text, and its tokens are computed in two ways.", icon=":material/edit:")
        return
    layer = layer_shown(study)
    live, mlp = live_routing(study, tokens), mlp_of(study, layer)
    here = live.layers[layer]
    with HEAVY:
        check = measure.check_expert_paths(mlp, live.streams[layer])
    st.markdown(
        "**The fast path is the formula.** The model sorts all choices by expert and answers them in batches. In layer "
        f"{layer}, {check.tokens} tokens were also answered one by one, as the formula says. Largest difference: "
        f"**{check.batched:.1e}** for the path that runs, {check.in_turn:.1e} for the one that records every expert. The "
        f"answers are {check.scale:.2g} large (root mean square), in {study.precision}.")
    orders = measure.routing_orders(here.logits[-1], here.chosen.shape[1])
    gap = (orders["renormalised"] - orders["top-k, softmax"]).abs().max()
    st.markdown(
        "**Two orders, one result.** For the last token, softmax over all experts, then top-k, then division by the sum "
        f"differs from gpt-oss's weights by at most **{gap:.1e}**.")
    shape = len(tokens), here.num_experts, here.chosen.shape[1]
    mean, spread = measure.variation_squared_moments(*shape)
    drawn, drawn_spread = measure.drawn_moments(*shape)
    st.markdown(
        f"**What chance gives.** {shape[0]} tokens, {shape[2]} of {shape[1]} experts each, chosen blindly: the squared "
        f"variation is {mean:.4f} ± {spread:.4f} by the closed form and **{drawn:.4f} ± {drawn_spread:.4f}** in "
        f"{measure.NULL_DRAWS} random routings with a fixed seed, from which the grey bands are read (a Monte Carlo null).")
