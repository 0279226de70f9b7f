"""What people say about mixtures of experts, decided on exact counts and on the live model's router."""

from __future__ import annotations

import math

import numpy as np

from gptoss import units
from gptoss.app.computed import computed, measured, traced
from gptoss.app.live import has_twin, live_model, twin
from gptoss.app.study import Study
from gptoss.app.text import example_tokens
from gptoss.app.verdicts import Verdict
from gptoss.app.weights import weights_in_words
from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import count_parameters, forward_flops
from gptoss.lessons.experts import measure
from gptoss.lessons.experts.measure.routes import CHANCE, DOMAIN, HIDDEN, PREDICTORS, TOKEN, Foreseen, foresee_routes
from gptoss.training.shipped import CLASSROOM, shipped
from gptoss.units import number, percent

LARGE_NAME, SMALL_NAME = "gpt-oss-120b", "gpt-oss-20b"
LARGE, SMALL = PRESETS[LARGE_NAME], PRESETS[SMALL_NAME]
DENSE = "dense"  # the shipped model with one MLP in place of experts, of as many active parameters
UNBALANCED = "unbalanced"  # the shipped model that was trained without a balancing loss

live_routing = traced(measure.live_routing, names=("after_attn",), inside=False, entries=12)  # of (study, tokens)
_foreseen = measured(foresee_routes, entries=8, many_passes="Foreseeing routes",
                     doing="The model reads texts that it was not trained on.")
same_experts_alone = computed(lambda model, layer, stream: measure.same_experts_alone(model.block[layer].mlp, stream))


def foreseen(study: Study) -> Foreseen:
    """How well plain predictors foresee the routes of the live model."""
    return _foreseen(study, study.vocabulary)


def capacity_and_compute(study: Study) -> Verdict:
    """Claim 9: eight experts with two active, against dense MLPs of one expert's size and of the same total."""
    costs = measure.against_dense(study.config).set_index("design")
    mixture, one, whole = (costs.loc[name] for name in (measure.MIXTURE, measure.ONE_EXPERT, measure.EQUAL_SIZE))
    capacity, work = mixture["parameters"] / one["parameters"], mixture["flops"] / one["flops"]
    saved = mixture["flops"] / whole["flops"]
    return Verdict.of(capacity > 3.9 and work < 0.26, partly=capacity > 3.9 and saved < 0.26, sentence=(
        f"Two baselines are mixed. Against one dense MLP of an expert's size: {capacity:.1f} times the parameters, "
        f"{work:.1f} times the compute. Against a dense MLP of the same total: the same parameters, {saved:.0%} of the "
        "compute. No single baseline gives both."))


def active_share() -> Verdict:
    """Claim 10, its share: active over all parameters of the published models."""
    large, small = (counts.active / counts.total for counts in map(count_parameters, (LARGE, SMALL)))
    return Verdict.of(large < 0.035, (
        f"Of all parameters, {large:.1%} work on one token in gpt-oss-120b and {small:.1%} in gpt-oss-20b. "
        f"{LARGE.experts_per_token / LARGE.num_experts:.1%} is the share of the experts alone."))


def compute_gain() -> Verdict:
    """Claim 10, its gain: one token's FLOPs against those of dense models of the same size, in the MLPs and in all."""
    (mlps, whole), (small_mlps, small) = map(_gains, (LARGE, SMALL))
    of_whole, of_mlps = (25 < gain < 35 for gain in (whole, mlps))
    return Verdict.of(of_whole, partly=of_mlps, sentence=(
        f"Against a dense model of the same size, one token costs the MLPs of gpt-oss-120b {mlps:.0f} times less. The whole "
        f"model, attention and unembedding with it, saves {number(whole)} times. In gpt-oss-20b it is {small_mlps:.0f} and "
        f"{number(small)} times."))


def _gains(config: ModelConfig) -> tuple[float, float]:
    """How many times fewer FLOPs a token takes than in a dense model of the same size: in the MLPs, and in all."""
    dense = config.replace(num_experts=1, experts_per_token=1,
                           intermediate_size=config.num_experts * config.intermediate_size)
    before, after = (forward_flops(model, tokens=1).needed for model in (dense, config))
    mlps = [flops["mlp1"] + flops["mlp2"] for flops in (before, after)]
    return mlps[0] / mlps[1], sum(before.values()) / sum(after.values())


def number_of_experts(study: Study, claimed: int) -> Verdict:
    """Whether a published model has so many experts in a layer, and which one does."""
    config = study.config
    others = " and ".join(name for name in (LARGE_NAME, SMALL_NAME) if PRESETS[name].num_experts == claimed)
    return Verdict.of(config.num_experts == claimed, (
        f"It has {config.num_experts} in each of {config.num_hidden_layers} layers, "
        f"{config.num_experts * config.num_hidden_layers:,} in all, and a token uses {config.experts_per_token} of each "
        f"layer's. {claimed} a layer are those of {others or 'no published model'}."))


def activation_is_gelu() -> Verdict:
    """Whether the gate's curve is the exact GELU, or how near it is to one."""
    gap = measure.gelu_gap()
    return Verdict.of(gap < 1e-6, partly=gap < 0.05, sentence=(
        "It is gate · sigmoid(1.702 · gate) · (up + 1), with the gate at most 7 and up between −7 and 7. The sigmoid is "
        f"Hendrycks and Gimpel's quick stand-in for GELU, from which it is never more than {gap:.3f} away. That is close, "
        "but not the function that the weights were trained with."))


def effective_dense(moe: str = CLASSROOM, dense: str = DENSE) -> Verdict:
    """The rule of thumb that a mixture is as good as a dense model of sqrt(active · total) parameters.

    What it says of the published models; and two shipped models that it can be held against, by their mean loss.
    """
    said = " and ".join(f"{name} {units.count(_by_rule(PRESETS[name]))}" for name in (SMALL_NAME, LARGE_NAME))
    sizes = {name: count_parameters(shipped()[name].contestant.config) for name in (moe, dense)}
    losses = {name: float(np.mean(list(shipped()[name].measured().losses.values()))) for name in (moe, dense)}
    foreseen = _by_rule(shipped()[moe].contestant.config) > sizes[dense].total
    return Verdict.of(False, partly=foreseen == (losses[moe] < losses[dense]), sentence=(
        f"It is a rule of thumb that nobody has derived. It gives {said}. Of the models that ship here, {moe} has "
        f"{units.count(sizes[moe].active)} of {units.count(sizes[moe].total)} parameters active, by the rule "
        f"{units.count(_by_rule(shipped()[moe].contestant.config))}, and reaches a mean loss of {losses[moe]:.3f} nats; a "
        f"dense one of {units.count(sizes[dense].total)} reaches {losses[dense]:.3f}. One pair of models proves no rule: "
        "this one could be right, and so could many others."))


def _by_rule(config: ModelConfig) -> float:
    counts = count_parameters(config)
    return math.sqrt(counts.active * counts.total)


def no_balancing(study: Study) -> Verdict:
    """Claim 21: what the router is made of, whether a token's experts depend on its company, and the load that results.

    The load is that of the first example in layer 0 of the model under study, then that of two shipped models that differ
    in the balancing loss of their training alone.
    """
    tokens = example_tokens(study).ids
    live = live_routing(study, tokens)
    here, same = live.layers[0], same_experts_alone(study, 0, live.streams[0])
    names = [name for name, _ in live_model(study).model.block[0].mlp.gate.named_parameters(prefix="gate")]
    chance = measure.uniform_routing(len(tokens), here.num_experts, here.chosen.shape[1]).variation.mean
    return Verdict.of(names != ["gate.weight", "gate.bias"] or same < len(tokens), (
        f"The router has {' and '.join(f'`{name}`' for name in names)} and nothing else: no capacity, and no bias that "
        f"is moved to even the load. Routed alone, {same} of {len(tokens)} tokens get the same experts as all together. The "
        f"load that results in layer 0, with {weights_in_words(study)}, has a variation of "
        f"{measure.load_variation(here.counts):.2f}, where blind choice gives {chance:.2f} and an even load 0. A balancing "
        f"loss as in Switch Transformers would read {measure.balancing_loss(here):.2f} (1 when even); the published code "
        f"has none. {_what_balances()}"))


def _what_balances() -> str:
    even = 1 / ModelConfig.preset(CLASSROOM).num_experts
    return (f"What balances is a term in the loss of training. Of the models that ship with this app, the one trained with "
            f"it gives its busiest expert {busiest_share(CLASSROOM):.1%} of a layer's choices, the one without "
            f"{busiest_share(UNBALANCED):.1%}; even use would be {even:.1%}.")


def busiest_share(name: str) -> float:
    """The largest share that any expert of any layer has of its layer's choices, of a shipped model on validation texts."""
    return float(np.mean(list(shipped()[name].measured().load.values()), axis=0).max())


def specialise_by_subject(study: Study) -> Verdict:
    """Whether the kind of text decides where tokens go: what it foresees of the routes, beside what the token does."""
    shares = dict(zip(PREDICTORS, foreseen(study).shares.mean(axis=0).tolist(), strict=True))
    by_kind, by_token = (shares[name] - shares[CHANCE] for name in (DOMAIN, TOKEN))
    twins = ""
    if has_twin(study):
        other = dict(zip(PREDICTORS, foreseen(twin(study)).shares.mean(axis=0).tolist(), strict=True))
        twins = (f" Of an untrained twin it is {percent(other[DOMAIN], 0)}, {percent(other[TOKEN], 0)} and "
                 f"{percent(other[HIDDEN], 0)}.")
    return Verdict.of(by_kind >= by_token > 0, partly=by_kind >= by_token / 2 > 0, sentence=(
        f"With {weights_in_words(study)}, to know the kind of text foresees {percent(shares[DOMAIN], 0)} of the router's "
        f"choices, to know the token {percent(shares[TOKEN], 0)}, and a linear map of the hidden state "
        f"{percent(shares[HIDDEN], 0)}, where blind choice gets {percent(shares[CHANCE], 0)}.{twins} A router reads the "
        "stream and nothing else, so experts divide what is in the stream, and the subject is only a part of it "
        "(arXiv 2604.02178 and 2604.09780 ask the same of larger models)."))
