"""Where the router sends the tokens, what an expert computes, and what a mixture of experts costs.

The router is the one of `MLPBlock` in OpenAI's `gpt_oss/torch/model.py`: a linear layer, the k largest logits, a
softmax over those k. An expert's number is a name here, never a quantity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from gptoss.config import ModelConfig
from gptoss.cost import count_parameters, expected_experts_touched, forward_flops
from gptoss.model import MLPBlock, Transformer
from gptoss.model.experts import swiglu
from gptoss.model.recording import unrecorded
from gptoss.trace import Trace

NULL_DRAWS = 400  # random routings that a spread is read from
TEXT_DRAWS = 100  # random batches of a text's tokens
SPREAD = (5, 95)  # percentiles: one value in ten falls outside by chance
EXPERT_COUNTS = tuple(2**power for power in range(9))  # 1 to 256, the positions of the dial
GATES = np.linspace(-5, 10, 121)  # step 1/8, so that the clamp at 7 is a point of the curve
MIXTURE, EQUAL_COMPUTE, EQUAL_SIZE, ONE_EXPERT = DESIGNS = (
    "mixture of experts", "dense, equal compute", "dense, equal size", "dense, one expert")
AS_IN_GPT_OSS, NO_CLAMP, NO_ONE, PLAIN = ACTIVATIONS = (
    "gpt-oss", "without the clamp", "without the + 1", "plain SwiGLU")


BATCHES = tuple(2**power for power in range(10))  # 1 to 512 tokens
FIRST_BATCH = 32
LINEAR_HALVES = (-3.0, -1.0, 0.0, 1.0, 3.0)  # of the pale curves
_BETWEEN = tuple(3 * 2**power for power in range(8))  # where curves are drawn too


def batches_and(tokens: int) -> list[int]:
    """The batches for which touched experts are drawn, that of a whole text among them."""
    return sorted({*BATCHES, *_BETWEEN, tokens})


@dataclass(frozen=True, eq=False)
class Routing:
    """What one layer's router did with one text. Arrays are shared between readers: nobody writes to them."""

    logits: np.ndarray  # (tokens, experts) the router's score of every expert, float32
    chosen: np.ndarray  # (tokens, k) experts' numbers, best first
    weights: np.ndarray  # (tokens, k) softmax over the k kept logits, float32

    @property
    def num_experts(self) -> int:
        return self.logits.shape[1]

    @property
    def counts(self) -> np.ndarray:
        """Tokens that went to each expert, (experts,)."""
        return np.bincount(self.chosen.ravel(), minlength=self.num_experts)


@dataclass(frozen=True, eq=False)
class LiveRouting:
    """What every layer's router did with a text, and the stream that it read."""

    layers: tuple[Routing, ...]
    streams: tuple[Tensor, ...]  # by layer: (1, tokens, hidden)


def live_routing(trace: Trace, model: Transformer) -> LiveRouting:
    """The routing of one traced text, from its stream after every attention half: no layer's inside is needed."""
    layers = routing_of_every_layer(model, trace)
    return LiveRouting(layers, tuple(trace[f"block.{layer}.after_attn"] for layer in range(len(layers))))


@torch.no_grad()
def routing_of_every_layer(model: Transformer, trace: Trace) -> tuple[Routing, ...]:
    """The routing of one traced text in every layer of `model`, layer 0 first.

    A trace holds the stream after every attention half, even of layers whose inside it left out; norm and router are
    run again on that stream, which gives the very choices of the pass. Raises `ValueError` for a batch of texts.
    """
    streams = [trace[f"block.{layer}.after_attn"] for layer in range(len(model.block))]
    if len(streams[0]) != 1:
        raise ValueError(f"the trace holds {len(streams[0])} texts; allowed: 1")
    return tuple(route(block.mlp.gate(block.mlp.norm(stream))[0], block.mlp.experts_per_token)
                 for block, stream in zip(model.block, streams, strict=True))


def route(logits: Tensor, active: int) -> Routing:
    """Top-k, then softmax over the kept logits: router logits (tokens, experts) -> the choices of `active` experts."""
    best = torch.topk(logits, active, dim=-1)
    weights = torch.softmax(best.values, dim=-1)
    return Routing(logits.float().numpy(), best.indices.numpy(), weights.float().numpy())


def routing_orders(logits: np.ndarray, active: int) -> pd.DataFrame:
    """One token's router read in three ways: router logits (experts,) -> a row per kept expert, best first.

    `top-k, softmax` is gpt-oss: the weights of the kept experts sum to 1. `softmax, top-k` takes the softmax over all
    experts first and keeps k of its values: they sum to less, and the rest is lost. `renormalised` divides those
    by their sum, which gives the first again, since a softmax only fixes ratios: exp(a) / exp(b).
    """
    scores = torch.from_numpy(np.asarray(logits))
    best = torch.topk(scores, active)
    kept_of_all = torch.softmax(scores, dim=-1)[best.indices]
    return pd.DataFrame({
        "rank": np.arange(1, active + 1), "expert": best.indices.numpy(), "logit": best.values.numpy(),
        "top-k, softmax": torch.softmax(best.values, dim=-1).numpy(),
        "softmax, top-k": kept_of_all.numpy(),
        "renormalised": (kept_of_all / kept_of_all.sum()).numpy(),
    })


def balancing_loss(routing: Routing) -> float:
    """What a load-balancing loss would read: 1 for an even load, up to experts / k where all go to the same k.

    The auxiliary loss of Switch Transformers (Fedus et al., arXiv 2101.03961, eq. 4) without its factor: experts
    times the sum of each expert's share of the choices and its mean probability. gpt-oss's code has no such term.
    """
    share = routing.counts / routing.chosen.size
    probability = torch.softmax(torch.from_numpy(routing.logits), dim=-1).mean(dim=0).numpy()
    return float(routing.num_experts * (share * probability).sum())


def load_variation(counts: np.ndarray) -> np.ndarray:
    """Coefficient of variation of the load: its standard deviation over its mean, 0 when even.

    Shapes: (..., experts) tokens per expert -> (...).
    """
    return counts.std(axis=-1) / counts.mean(axis=-1)


def load_entropy(counts: np.ndarray) -> np.ndarray:
    """Entropy in bits of the share of choices that each expert got, log2(experts) when even: (..., experts) -> (...)."""
    share = counts / counts.sum(axis=-1, keepdims=True)
    return (share * _bits(share)).sum(axis=-1)


def _bits(share: np.ndarray) -> np.ndarray:
    """Minus the base-2 logarithm, and 0 for a share of 0, which then adds nothing to an entropy."""
    return np.log2(1 / np.where(share > 0, share, 1))


@dataclass(frozen=True)
class Spread:
    """A random quantity: its mean, and the 5th and 95th percentile."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class UniformRouting:
    """What the load looks like when each token picks its experts blindly: k of E without replacement, all alike.

    The means and the band of a single expert are exact; the other percentiles are read from `NULL_DRAWS` random routings
    with a fixed seed (a Monte Carlo null).
    """

    variation: Spread  # its mean is the square root of the exact mean square
    entropy: Spread  # bits
    one_expert: Spread  # tokens that go to one given expert: a binomial
    ranked: np.ndarray  # (experts, 3) tokens of the busiest, the second busiest …: 5th percentile, median, 95th


@lru_cache(maxsize=64)
def uniform_routing(tokens: int, experts: int, active: int) -> UniformRouting:
    """The null that a real load is compared with: `tokens` tokens, each with `active` of `experts` experts.

    Raises `ValueError` unless 1 <= `active` <= `experts` and there is a token.
    """
    if tokens < 1 or not 1 <= active <= experts:
        raise ValueError(f"{tokens} tokens cannot choose {active} of {experts} experts")
    counts = _random_loads(tokens, experts, active)
    variation, entropy = load_variation(counts), load_entropy(counts)
    mean_square, _ = variation_squared_moments(tokens, experts, active)
    return UniformRouting(
        Spread(math.sqrt(mean_square), *np.percentile(variation, SPREAD).tolist()),
        Spread(expected_entropy(tokens, experts, active), *np.percentile(entropy, SPREAD).tolist()),
        Spread(tokens * active / experts, *_binomial_percentiles(tokens, active / experts)),
        np.percentile(-np.sort(-counts, axis=1), (SPREAD[0], 50, SPREAD[1]), axis=0).T)


class LoadBars(NamedTuple):
    """The load of a layer from left to right: experts' numbers, tokens of each, the band of chance, and a twin's loads."""

    experts: np.ndarray  # (n,)
    counts: np.ndarray  # (n,)
    band: np.ndarray  # (n, 2)
    twin: np.ndarray | None  # (n,), by rank alone: its experts are others


def load_bars(live: Routing, other: Routing | None, by_rank: bool) -> LoadBars:
    """The load of one layer over the band of chance, the busiest expert first or by number, and a twin's if there is one."""
    tokens, active = live.chosen.shape
    chance = uniform_routing(tokens, live.num_experts, active)
    if by_rank:
        numbers = np.argsort(-live.counts, kind="stable")
        return LoadBars(numbers, live.counts[numbers], chance.ranked[:, ::2],
                        None if other is None else -np.sort(-other.counts))
    band = np.tile([chance.one_expert.low, chance.one_expert.high], (live.num_experts, 1))
    return LoadBars(np.arange(live.num_experts), live.counts, band, None)


def drawn_moments(tokens: int, experts: int, active: int) -> tuple[float, float]:
    """What `variation_squared_moments` says exactly, from the `NULL_DRAWS` random routings: mean and standard deviation."""
    squared = load_variation(_random_loads(tokens, experts, active)) ** 2
    return float(squared.mean()), float(squared.std())


def variation_squared_moments(tokens: int, experts: int, active: int) -> tuple[float, float]:
    """Exact mean and standard deviation of the squared coefficient of variation under uniform routing.

    With p = k / E, one expert's count is binomial with variance T·p·(1 - p), and the mean count is T·p always: the mean
    is (1 - p) / (T·p). What varies is only the overlap of each pair of tokens, hypergeometric with variance
    k·p·(1 - p)·(E - k) / (E - 1), and different pairs are uncorrelated: the variance is
    2·(T - 1)·(E - k)² / (T³·k²·(E - 1)).
    """
    mean = (experts - active) / (tokens * active)
    variance = 2 * (tokens - 1) * (experts - active) ** 2 / (tokens**3 * active**2 * max(experts - 1, 1))
    return mean, math.sqrt(variance)


def expected_entropy(tokens: int, experts: int, active: int) -> float:
    """Exact mean of `load_entropy` under uniform routing, in bits: a sum over the binomial of one expert's count."""
    counts = np.arange(tokens + 1)
    share = counts / (tokens * active)
    return float(experts * (_binomial(tokens, active / experts) * share * _bits(share)).sum())


def _random_loads(tokens: int, experts: int, active: int, seed: int = 0) -> np.ndarray:
    """Loads of `NULL_DRAWS` uniform routings, (draws, experts).

    Expert by expert: of the tokens that still have r choices to make among the last m experts, each takes the next
    one with probability r / m. That is choosing without replacement, without drawing every token by itself.
    """
    random = np.random.default_rng(seed)
    left = np.zeros((NULL_DRAWS, active + 1), np.int64)  # tokens by the number of choices left to make
    left[:, active] = tokens
    loads = np.empty((NULL_DRAWS, experts), np.int64)
    for expert in range(experts):
        used = np.flatnonzero(left.any(axis=0))  # the other columns are empty, but for where the lowest will move
        first, stop = max(used[0] - 1, 0), used[-1] + 1
        chance = np.minimum(np.arange(first, stop) / (experts - expert), 1)
        taking = random.binomial(left[:, first:stop], chance)
        loads[:, expert] = taking.sum(axis=1)
        left[:, first:stop] -= taking
        left[:, first:stop - 1] += taking[:, 1:]
    return loads


def _binomial(trials: int, chance: float) -> np.ndarray:
    """Probabilities of 0 … `trials` successes, (trials + 1,)."""
    successes = torch.arange(trials + 1, dtype=torch.float64)
    law = torch.distributions.Binomial(trials, torch.tensor(chance, dtype=torch.float64))
    return law.log_prob(successes).exp().numpy()


def _binomial_percentiles(trials: int, chance: float) -> list[float]:
    reached = _binomial(trials, chance).cumsum()
    return [float(min(np.searchsorted(reached, percent / 100), trials)) for percent in SPREAD]


def touched_by_batch(routing: Routing, config: ModelConfig, sizes: Sequence[int]) -> pd.DataFrame:
    """Different experts that a batch of a text's tokens visits: a row per batch size.

    Columns: `batch` (tokens), `formula` (experts; E·(1 - (1 - k/E)^B), tokens that choose independently and evenly),
    and for B tokens drawn from the text without replacement `touched` (exact mean), `low` and `high` (5th and 95th
    percentile of `TEXT_DRAWS` draws with a fixed seed); the latter three are missing where the text has fewer tokens.
    Real tokens are not independent: neighbours and repeated words share experts.
    """
    tokens = len(routing.chosen)
    drawn = _touched_in_draws(routing)
    rows = []
    for size in sizes:
        low, high = np.percentile((drawn < size).sum(axis=1), SPREAD) if size <= tokens else (np.nan, np.nan)
        rows.append((size, expected_experts_touched(config, size),
                     expected_touched_in_text(routing.counts, tokens, size) if size <= tokens else np.nan, low, high))
    return pd.DataFrame(rows, columns=["batch", "formula", "touched", "low", "high"])


def expected_touched_in_text(counts: np.ndarray, tokens: int, size: int) -> float:
    """Exact mean of the experts that `size` of a text's `tokens` tokens visit, drawn without replacement.

    An expert with n of the tokens is missed by C(T - n, B) of the C(T, B) equally likely batches.
    """
    batches = math.comb(tokens, size)
    return sum(1 - math.comb(tokens - count, size) / batches for count in counts.tolist())


def _touched_in_draws(routing: Routing, seed: int = 0) -> np.ndarray:
    """For random orders of the text, how many tokens go before each expert's first one: (draws, experts).

    The first B tokens of an order are a random batch, and an expert is touched by it if its place is below B.
    """
    tokens, active = routing.chosen.shape
    random = np.random.default_rng(seed)
    places = random.permuted(np.tile(np.arange(tokens), (TEXT_DRAWS, 1)), axis=1)
    order = routing.chosen.ravel().argsort(kind="stable")
    used, starts = np.unique(routing.chosen.ravel()[order], return_index=True)
    first = np.full((TEXT_DRAWS, routing.num_experts), tokens)
    first[:, used] = np.minimum.reduceat(places[:, order // active], starts, axis=1)
    return first


def unevenness(live: Sequence[Routing], twin: Sequence[Routing], measure: str) -> pd.DataFrame:
    """How uneven the load of every layer is: `layer`, `live`, `twin`, and uniform routing's `mean`, `low`, `high`.

    `measure` is "variation" or "entropy" (bits). Both models have routed the same text. Raises `ValueError` for another
    measure.
    """
    measures = {"variation": load_variation, "entropy": load_entropy}
    if measure not in measures:
        raise ValueError(f"measure={measure!r} is unknown; allowed: {', '.join(measures)}")
    of_load = measures[measure]
    chance = getattr(uniform_routing(len(live[0].chosen), live[0].num_experts, live[0].chosen.shape[1]), measure)
    return pd.DataFrame([
        (layer, float(of_load(ours.counts)), float(of_load(theirs.counts)), chance.mean, chance.low, chance.high)
        for layer, (ours, theirs) in enumerate(zip(live, twin, strict=True))
    ], columns=["layer", "live", "twin", "mean", "low", "high"])


def activation(gate: Tensor, linear: Tensor, limit: float, variant: str = AS_IN_GPT_OSS) -> Tensor:
    """The gated activation of one neuron, or what it would be without one of its parts. Any shapes that broadcast.

    `gpt-oss` is `gptoss.model`'s own function. `without the clamp` leaves both inputs unbounded, `without the + 1`
    multiplies by the linear half alone, and `plain SwiGLU` (Shazeer, arXiv 2002.05202) has neither, nor the 1.702.
    """
    gate, linear = torch.broadcast_tensors(gate, linear)
    if variant == PLAIN:
        return F.silu(gate) * linear
    if variant == NO_CLAMP:
        limit = torch.inf
    whole = _swiglu(gate, linear, limit)
    return whole - _swiglu(gate, torch.zeros_like(linear), limit) if variant == NO_ONE else whole


def _swiglu(gate: Tensor, linear: Tensor, limit: float) -> Tensor:
    return swiglu(torch.stack((gate, linear), dim=-1), limit)[..., 0]


@lru_cache(maxsize=64)
def activation_curves(linear_values: tuple[float, ...], limit: float, variant: str = AS_IN_GPT_OSS) -> pd.DataFrame:
    """The activation against its gate for some linear values: columns `linear`, `gate`, `output`, curve by curve."""
    gate = torch.from_numpy(GATES)
    linear = torch.tensor(linear_values, dtype=torch.float64)[:, None]
    output = activation(gate, linear, limit, variant)
    return pd.DataFrame({
        "linear": np.repeat(linear_values, len(GATES)), "gate": np.tile(GATES, len(linear_values)),
        "output": output.flatten().numpy()})


def gelu_gap() -> float:
    """The largest difference between x·sigmoid(1.702·x), the gate's curve, and the exact GELU, over `GATES`."""
    gate = torch.from_numpy(GATES)
    return float((activation(gate, torch.zeros_like(gate), torch.inf) - F.gelu(gate)).abs().max())


@torch.no_grad()
def neurons(mlp: MLPBlock, stream: Tensor, expert: int) -> pd.DataFrame:
    """What one expert's neurons get and give for one token: `stream` (hidden,), as the block's norm reads it.

    Columns `gate` and `linear` (before any clamp), `output`, and whether one of the two is `clamped`, a row per neuron.
    """
    hidden = F.linear(mlp.norm(stream), mlp.mlp1_weight[expert], mlp.mlp1_bias[expert])
    gate, linear = hidden.float().unflatten(-1, (-1, 2)).unbind(dim=-1)
    clamped = (gate > mlp.swiglu_limit) | (linear.abs() > mlp.swiglu_limit)
    return pd.DataFrame({"gate": gate.numpy(), "linear": linear.numpy(), "clamped": clamped.numpy(),
                         "output": swiglu(hidden, mlp.swiglu_limit).float().numpy()})


@lru_cache(maxsize=256)
def against_dense(config: ModelConfig) -> pd.DataFrame:
    """The MLPs of all layers as they are, and as dense ones: of equal compute, of equal size, and of one expert.

    Columns: `design` (one of `DESIGNS`), `width` (intermediate size), `parameters`, `flops` (for one token). A dense MLP
    has gpt-oss's form with one expert k, E or 1 times as wide, and no router. So the mixture is larger than its
    dense twins by the router and by biases, well below 1% at the real sizes.
    """
    widths = {EQUAL_COMPUTE: config.experts_per_token, EQUAL_SIZE: config.num_experts, ONE_EXPERT: 1}
    rows = [(MIXTURE, config.intermediate_size, *_mlp(config, router=True))]
    for design, times in widths.items():
        width = times * config.intermediate_size
        rows.append((design, width, *_mlp(config.replace(num_experts=1, experts_per_token=1, intermediate_size=width))))
    return pd.DataFrame(rows, columns=["design", "width", "parameters", "flops"])


def _mlp(config: ModelConfig, router: bool = False) -> tuple[int, int]:
    """Parameters and FLOPs for one token of all layers' experts, with their routers if asked."""
    parameters, flops = count_parameters(config), forward_flops(config, tokens=1).needed
    return (parameters.experts + router * parameters.router, flops["mlp1"] + flops["mlp2"] + router * flops["router"])


@lru_cache(maxsize=256)
def by_number_of_experts(config: ModelConfig) -> pd.DataFrame:
    """Parameters of the whole model against its number of experts: columns `experts`, `total`, `active`.

    As many experts are active as in `config`, or all of them where there are fewer.
    """
    rows = []
    for experts in EXPERT_COUNTS:
        counts = count_parameters(config.replace(
            num_experts=experts, experts_per_token=min(experts, config.experts_per_token)))
        rows.append((experts, counts.total, counts.active))
    return pd.DataFrame(rows, columns=["experts", "total", "active"])


@dataclass(frozen=True)
class ExpertCheck:
    """Two ways to the same numbers: the experts' answers, in the units of the residual stream, weights, and chance."""

    tokens: int  # answered one by one
    batched: float  # largest difference of the path that runs from the sum done token by token
    in_turn: float  # the same of the path that is recorded, expert by expert
    scale: float  # root mean square of the sums
    orders: float  # largest difference between weights of the last token in two orders of top-k and softmax
    exact: tuple[float, float]  # mean and spread of the squared variation under blind choice, by the closed form
    drawn: tuple[float, float]  # the same in random routings


@torch.no_grad()
def check_experts(model: Transformer, live: LiveRouting, layer: int, most: int = 16) -> ExpertCheck:
    """Run one layer's experts on a text as the model does, and `most` of its tokens one by one; check weights and chance.

    The fast path sorts all choices by expert and answers them in batches; the sum token by token is the formula.
    """
    mlp, stream, here = model.block[layer].mlp, live.streams[layer], live.layers[layer]
    batched, in_turn = (mlp(stream, record)[0] - stream[0] for record in (unrecorded, lambda name, value: None))
    some = mlp.norm(stream)[0, :most]
    expected = torch.stack([one_token(mlp, token) for token in some])
    worst = ((path[:most] - expected).abs().max().item() for path in (batched, in_turn))
    tokens, active = here.chosen.shape
    orders, shape = routing_orders(here.logits[-1], active), (tokens, here.num_experts, active)
    return ExpertCheck(len(some), *worst, expected.square().mean().sqrt().item(),
                       (orders["renormalised"] - orders["top-k, softmax"]).abs().max(),
                       variation_squared_moments(*shape), drawn_moments(*shape))


def one_token(mlp: MLPBlock, token: Tensor) -> Tensor:
    """The experts' answer to one normed token (hidden,), by the formula: choose, ask each, and add up by weight."""
    best = torch.topk(mlp.gate(token), mlp.experts_per_token)
    answer = torch.zeros_like(token)
    for weight, expert in zip(torch.softmax(best.values, dim=-1), best.indices.tolist(), strict=True):
        hidden = swiglu(mlp.mlp1_weight[expert] @ token + mlp.mlp1_bias[expert], mlp.swiglu_limit)
        answer += weight * (mlp.mlp2_weight[expert] @ hidden + mlp.mlp2_bias[expert])
    return answer


@torch.no_grad()
def same_experts_alone(mlp: MLPBlock, stream: Tensor) -> int:
    """Tokens of `stream` (1, tokens, hidden) that get the same experts when they are routed alone as all together.

    A router with a capacity or a balancing rule would send some of them elsewhere.
    """
    normed = mlp.norm(stream)[0]
    together = torch.topk(mlp.gate(normed), mlp.experts_per_token).indices.sort(dim=-1).values
    alone = torch.stack([torch.topk(mlp.gate(token), mlp.experts_per_token).indices for token in normed])
    return int((alone.sort(dim=-1).values == together).all(dim=-1).sum())
