"""What stands below the experts page's picture: its question, its experiments, and the claims that it measures."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from gptoss.app.controls import layer_shown
from gptoss.app.lesson import PARTLY, Claim, Lesson, Prediction, Try
from gptoss.app.live import HEAVY, weights_in_words
from gptoss.app.study import Study
from gptoss.config import ModelConfig
from gptoss.cost import count_parameters, expected_experts_touched, forward_flops
from gptoss.lessons.experts import measure
from gptoss.lessons.experts.controls.routing import COST, LOAD, TOUCHED, live_routing, mlp_of
from gptoss.model import MLPBlock
from gptoss.model.experts import swiglu
from gptoss.training.shipped import CLASSROOM, shipped

UNBALANCED = "unbalanced"  # the shipped model that was trained without a balancing loss

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


def experts_lesson(study: Study, tokens: tuple[int, ...]) -> Lesson:
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
        claims=[
            Claim("8 experts, 2 active: 4x capacity, 25% compute”, later “8x capacity with 25% compute",
                  "the notebook, claim 9", capacity_and_compute),
            Claim("32x capacity with ~3% compute", "the notebook, claim 10", active_share),
            Claim("~30x compute gain", "the notebook, claim 10", compute_gain),
            Claim("load balancing to ensure expert utilization", "the notebook, claim 21",
                  lambda: no_balancing(study, tokens, layer_shown(study)))])


def touched_because(answer: float) -> str:
    """What follows the answer of the page's question on gpt-oss-120b."""
    config = ModelConfig.preset("gpt-oss-120b")
    one = config.experts_per_token / config.num_experts
    return (f"The 32 tokens make {32 * config.experts_per_token} choices, but some fall on the same expert: "
            f"E·(1 − (1 − k/E)^B). One token reads {one:.1%} of the experts' weights, this batch "
            f"{answer / config.num_experts:.0%}.")


def capacity_and_compute() -> tuple[bool | str, str]:
    """Claim 9: eight experts with two active, against dense MLPs of one expert's size and of the same total."""
    costs = measure.against_dense(ModelConfig.preset("notebook")).set_index("design")
    mixture, one, whole = (costs.loc[name] for name in (measure.MIXTURE, measure.ONE_EXPERT, measure.EQUAL_SIZE))
    capacity, work = mixture["parameters"] / one["parameters"], mixture["flops"] / one["flops"]
    saved = mixture["flops"] / whole["flops"]
    at_once, each_alone = capacity > 3.9 and work < 0.26, capacity > 3.9 and saved < 0.26
    return bool(at_once) or (bool(each_alone) and PARTLY), (
        f"Two baselines are mixed. Against one dense MLP of an expert's size: {capacity:.1f} times the parameters, "
        f"{work:.1f} times the compute. Against a dense MLP of the same total: the same parameters, {saved:.0%} of the "
        "compute. No single baseline gives both.")


def active_share() -> tuple[bool, str]:
    """Claim 10, its share: active over all parameters of the published models."""
    config = ModelConfig.preset("gpt-oss-120b")
    large, small = (counts.active / counts.total for counts in (
        count_parameters(config), count_parameters(ModelConfig.preset("gpt-oss-20b"))))
    return large < 0.035, (
        f"Of all parameters, {large:.1%} work on one token in gpt-oss-120b and {small:.1%} in gpt-oss-20b. "
        f"{config.experts_per_token / config.num_experts:.1%} is the share of the experts alone.")


def compute_gain() -> tuple[bool | str, str]:
    """Claim 10, its gain: one token's FLOPs against those of dense models of the same size, in the MLPs and in all."""
    gains = {}
    for name in ("gpt-oss-120b", "gpt-oss-20b"):
        config = ModelConfig.preset(name)
        dense = config.replace(num_experts=1, experts_per_token=1,
                               intermediate_size=config.num_experts * config.intermediate_size)
        mlps, whole = zip(*((flops["mlp1"] + flops["mlp2"], sum(flops.values())) for flops in (
            forward_flops(each, tokens=1).needed for each in (dense, config))), strict=True)
        gains[name] = mlps[0] / mlps[1], whole[0] / whole[1]
    (mlps, whole), (small_mlps, small) = gains.values()
    of_whole, of_mlps = (25 < gain < 35 for gain in (whole, mlps))
    return of_whole or (of_mlps and PARTLY), (
        f"Against a dense model of the same size, one token costs the MLPs of gpt-oss-120b {mlps:.0f} times less. The whole "
        f"model, attention and unembedding with it, saves {whole:.3g} times. In gpt-oss-20b it is {small_mlps:.0f} and "
        f"{small:.3g} times.")


def no_balancing(study: Study, tokens: tuple[int, ...], layer: int = 0) -> tuple[bool, str]:
    """Claim 21: what the router is made of, whether a token's experts depend on its company, and the load that results.

    The load is that of the text and of the model under study, then that of two shipped models that differ in the balancing
    loss of their training alone.
    """
    mlp = mlp_of(study, layer)
    names = [name for name, _ in mlp.gate.named_parameters(prefix="gate")]
    said = [f"The router has {' and '.join(f'`{name}`' for name in names)} and nothing else: no capacity, and no bias that "
            "is moved to even the load."]
    balances = names != ["gate.weight", "gate.bias"]
    if tokens:
        live = live_routing(study, tokens)
        here = live.layers[layer]
        with HEAVY:
            same = measure.same_experts_alone(mlp, live.streams[layer])
        balances = balances or same < len(tokens)
        chance = measure.uniform_routing(len(tokens), here.num_experts, here.chosen.shape[1]).variation.mean
        said.append(
            f"Routed alone, {same} of {len(tokens)} tokens get the same experts as all together. The load that results in "
            f"layer {layer}, with {weights_in_words(study)}: variation {measure.load_variation(here.counts):.2f}, where "
            f"blind choice gives {chance:.2f} and an even load 0. A balancing loss as in Switch Transformers would read "
            f"{measure.balancing_loss(here):.2f} (1 when even); the published code has none.")
    even = 1 / ModelConfig.preset(CLASSROOM).num_experts
    said.append(
        f"What balances is a term in the loss of training. Of the models that ship with this app, the one trained with it "
        f"gives its busiest expert {busiest_share(CLASSROOM):.1%} of a layer's choices, the one without "
        f"{busiest_share(UNBALANCED):.1%}; even use would be {even:.1%}.")
    return balances, " ".join(said)


def busiest_share(name: str) -> float:
    """The largest share that any expert of any layer has of its layer's choices, of a shipped model on validation texts."""
    return float(np.mean(list(shipped()[name].measured().load.values()), axis=0).max())


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
