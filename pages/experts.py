"""Experts: where the router sends the tokens, what an expert computes, and what a mixture costs."""

import math

import streamlit as st
import torch

from gptoss import units
from gptoss.app import controls as kit
from gptoss.app import pictures, recorded, state, text
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.large import TooLong
from gptoss.app.lesson import Lesson, Prediction, answered, below, beside
from gptoss.app.retrained import RETRAINED, show_retrained
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.config import PRESETS
from gptoss.cost import count_parameters, expected_experts_touched
from gptoss.lessons.experts import controls, measure
from gptoss.model import MLPBlock
from gptoss.model.experts import swiglu
from gptoss.notation import with_numbers
from gptoss.units import number, percent

REAL = PRESETS["gpt-oss-20b"]

OPENING = Opening(
    problem=f"Attention has fetched facts to a token. An {word('MLP')} works on them: its neurons fire on patterns and add "
            "what they know.",
    idea=f"More neurons know more, and cost more. So keep many small MLPs, the {word('expert', 'experts')}: a "
         f"{word('router')} sends each token to the few that suit it.",
    chosen=f"{REAL.num_experts} experts a layer, {REAL.experts_per_token} for each token: of "
           f"{units.count(count_parameters(REAL).total)} weights, {units.count(count_parameters(REAL).active)} are "
           f"{word('active parameters', 'active')}.")

ROUTER = r"""
**The router** scores every expert for the stream as RMSNorm gives it, $\mathbf u$. It keeps the $k$ best, which are the set
$S$, and takes a softmax over those alone:

$$
r_e = \mathbf W_{e} \cdot \mathbf u + \mathbf b_e, \qquad w_e = \frac{e^{r_e}}{\sum_{e' \in S} e^{r_{e'}}}
$$

With the softmax over all $E$ experts first, the kept shares $p_e$ add up to less than 1. Divided by their sum they are $w_e$
again, because a softmax only fixes ratios.
"""

EXPERT = r"""
**An expert** is an MLP with a gate, $F$ neurons wide. Even rows of $\mathbf W_1$ give each neuron its gate $y$, odd ones its
linear half $t$. The block adds to the stream

$$
\sum_{e \in S} w_e \left( \mathbf W_2\, \mathrm{swiglu}(\mathbf W_1 \mathbf u + \mathbf b_1) + \mathbf b_2 \right)
$$

with each expert's own $\mathbf W$ and $\mathbf b$. Gate and linear half are cut off at 7 and written $\hat y$, $\hat t$:

$$
\mathrm{swiglu}(y, t) = \hat y \cdot \sigma(1.702\, \hat y) \cdot (\hat t + 1)
$$
"""

CHANCE = r"""
**Blind choice**: $n$ tokens with $k$ of $E$ experts each. The squared variation of the load, its standard deviation over its
mean, has

$$
\text{mean } \frac{E - k}{n k}, \qquad \text{variance } \frac{2\,(n - 1)(E - k)^2}{n^3 k^2 (E - 1)}
$$
"""

TOUCHED = r"""
**Touched** by a step that writes one token for each of $B$ sequences, on average:

$$
E \left(1 - (1 - k/E)^B\right)
$$
"""


def maths(study: Study, tokens: text.Tokens) -> str:
    """The formulas, each with the numbers of the model on the screen."""
    live, count = study.live_config, max(len(tokens), 1)
    hidden, width, experts, active = (f"{number:,}" for number in (
        live.hidden_size, live.intermediate_size, live.num_experts, live.experts_per_token))
    mean, spread = measure.variation_squared_moments(count, live.num_experts, live.experts_per_token)
    touched, batch = expected_experts_touched(live, measure.FIRST_BATCH), measure.FIRST_BATCH
    return with_numbers(
        (ROUTER, f"E = {experts} scores, each the sum of D = {hidden} products and a bias; k = {active} are kept."),
        (EXPERT, f"F = {width} neurons, so that W₁ has {2 * live.intermediate_size:,} × {hidden} weights and W₂ {hidden} × "
                 f"{width}. A token passes k = {active} of {experts} such pairs."),
        (CHANCE, f"n = {units.plural(count, 'token')}, so that the mean is {units.number(mean)} and the spread "
                 f"{units.number(spread)}. Its root, {math.sqrt(mean):.2f}, is what Load compares with."),
        (TOUCHED, f"{units.plural(batch, 'token')} touch {touched:.1f} of {experts} experts."))


@st.fragment
def picture(study: Study, tokens: text.Tokens) -> None:
    """One of the views, its controls beside it."""
    shown = kit.view(recorded.views(controls.VIEWS), "experts_view")
    if shown == RETRAINED:
        with pictures.main():
            show_retrained("experts", study)
    elif shown == controls.COST:
        with pictures.main():
            controls.cost(study)
    elif shown == controls.FORESEEN:
        what_decides(study, tokens)
        return
    elif shown == recorded.RECORDED:
        controls.replayed()
    elif kit.has_text(tokens, "the router sends its tokens to the experts"):
        dials, right = st.columns(controls.COLUMNS, gap="medium")
        with dials:
            layer = kit.layer(study)
        with right:
            place = pictures.main()
        controls.OF_A_TEXT[shown](study, tokens, controls.live_routing(study, tokens.ids), layer, dials, place)
    beside(lesson(study, tokens, shown))


def what_decides(study: Study, tokens: text.Tokens) -> None:
    """What foresees the route of a token, in texts that ship with the app, and the question about it."""
    dials, right = st.columns(controls.COLUMNS, gap="medium")
    with dials:
        layer = kit.layer(study)
    asked = lesson(study, tokens, controls.FORESEEN, layer)
    with right, pictures.main():
        try:
            controls.what_decides(study, layer, controls.has_learned(study) and answered("experts", asked.prediction))
        except TooLong as why:
            st.info(str(why), icon=":material/hourglass:")
    beside(asked)


def share_of_the_better() -> Prediction:
    """How much weight the better of two experts gets: the step that the picture shows with other numbers."""
    def because(_: float) -> str:
        return ("A softmax takes e to the power of each score: e² / (e² + e¹) = 7.39 / (7.39 + 2.72). Only the difference "
                "of the scores counts: 102 and 101 would share alike.")

    return Prediction(
        "A router keeps two experts, with scores 2 and 1. How much weight does the answer of the better one get?",
        lambda: 100 * float(measure.route(torch.tensor([[2.0, 1.0]]), 2).weights[0, 0]), because, unit="%",
        show="{:.0f}".format, mistakes=[
            (200 / 3, "That is 2 / (2 + 1), as if scores were shares. But scores can be negative, so a softmax makes powers "
                      "of e of them first."),
            (50.0, "Equal weights would need equal scores."),
            (100.0, "The better one does not take all: both answer, each by its weight.")])


def touched_by_a_batch(study: Study) -> Prediction:
    """How many experts a batch touches, in a model that is not on the screen."""
    name = "gpt-oss-20b" if study.preset == "gpt-oss-120b" else "gpt-oss-120b"
    asked = PRESETS[name]
    experts, active = asked.num_experts, asked.experts_per_token
    batch = experts // active

    def because(touched: float) -> str:
        return (f"The {batch} tokens make {batch * active} choices, but some fall on the same expert: E·(1 − (1 − k/E)^B). "
                f"One token reads {percent(active / experts)} of the experts' weights, this batch "
                f"{percent(touched / experts, 0)}.")

    return Prediction(
        f"{name} has {experts} experts in a layer, {active} active. How many different experts do {batch} independent "
        "tokens touch?", lambda: expected_experts_touched(asked, batch), because, unit="experts", tolerance=0.03,
        show="{:.0f}".format, view="touched", mistakes=[
            (float(experts), f"{batch} tokens do make {batch * active} choices, as many as there are experts. But tokens do "
                             "not ask each other, so some choose the same."),
            (float(batch), f"That is one expert a token, and each chooses {active}."),
            (float(active), "That is what one token touches. Each of the others chooses for itself.")])


def about_the_recording() -> Prediction:
    """The question about a recorded model's router."""
    active, first = recorded.recording().config.experts_per_token, controls.share_of_the_first()
    return Prediction(
        recorded.of_all(f"{units.plural(active, 'expert')} of a layer answered each. How much weight did the first of them "
                        "get, on average?"),
        lambda: first, lambda _: f"Shared alike it would be {units.number(100 / active)}%.", unit="%", tolerance=0.05,
        show=units.number, view="recorded", mistakes=[
            (100 / active, "Equal weights would need equal scores, and the first is the one with the best score."),
            (100.0, "All that were chosen answer, each by its weight."),
            (100 / recorded.recording().config.num_experts, "The softmax runs over those that were chosen, not over all.")])


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
        f"**What chance gives.** Where each of {len(tokens)} tokens chooses {study.active} of {study.experts} experts "
        f"blindly, the squared variation is {check.exact[0]:.4f} ± {check.exact[1]:.4f} by the closed form and "
        f"**{check.drawn[0]:.4f} ± {check.drawn[1]:.4f}** in {measure.NULL_DRAWS} random routings with a fixed seed, from "
        "which the grey bands are read (a Monte Carlo null).")


def question(study: Study, shown: str, layer: int) -> Prediction:
    """What is asked under a view: of one token on its way, of what foresees it, or of many tokens."""
    if shown == controls.FORESEEN and controls.has_learned(study):
        return controls.about_foreseeing(study, layer)
    if shown == recorded.RECORDED:
        return about_the_recording()
    of_one = shown in (controls.ONE, controls.ROUTING, controls.ROUTER, controls.SWIGLU)
    return share_of_the_better() if of_one else touched_by_a_batch(study)


def lesson(study: Study, tokens: text.Tokens, shown: str, layer: int = 0) -> Lesson:
    """What is asked, tried and explained beside a view; the layer counts where it is asked about."""
    return Lesson(
        path="experts", maths=maths(study, tokens), code=[MLPBlock, swiglu, expected_experts_touched], tries=controls.TRIES,
        prediction=question(study, shown, layer),
        claims=register.of_page("experts"), checks=lambda: how_we_know(study, tokens))


header("experts", OPENING)
study = state.study()
above = st.container()
tokens = text.tokens_from_drawer(study.vocabulary)
with above:
    picture(study, tokens)
below(lesson(study, tokens, controls.ONE))
