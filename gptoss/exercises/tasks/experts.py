"""Exercises: the router, the experts' activation, and the mixture of experts."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from gptoss.exercises.exercise import EASY, HARD, Case, Exercise, Mistake
from gptoss.model import experts as model_experts

LIMIT = 7.0  # of swiglu in every published GPT-OSS


def route(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Choose k experts for each token, and say how much each of them counts.

    logits is (tokens, num_experts). Returns the numbers of the experts with the k largest logits, (tokens, k) int64, and
    their weights, (tokens, k), in the same order: the softmax over these k logits alone, so that they add up to 1.
    """
    chosen = torch.topk(logits, k, dim=-1)
    return chosen.indices, torch.softmax(chosen.values, dim=-1)


def _our_routes(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """By weights over all experts, of which all but the k largest are masked before the softmax."""
    order = logits.argsort(dim=-1, descending=True)
    kept = torch.full_like(logits, -torch.inf).scatter(-1, order[:, :k], logits.gather(-1, order[:, :k]))
    return _in_order(order[:, :k], torch.softmax(kept, dim=-1).gather(-1, order[:, :k]))


def _in_order(experts: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The same choice with the experts in the order of their numbers."""
    place = experts.argsort(dim=-1)
    return experts.gather(-1, place), weights.gather(-1, place)


def _ask_router(target: Callable, logits: Tensor, k: int) -> object:
    """In whatever order the experts come: it does not matter to a sum."""
    answer = target(logits, k)
    if isinstance(answer, tuple) and [part.shape for part in answer if isinstance(part, Tensor)] == [(len(logits), k)] * 2:
        return _in_order(*answer) if answer[0].dtype == torch.int64 else answer
    return answer


def _router_cases() -> list[Case]:
    draw = torch.Generator().manual_seed(5)
    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    return [
        Case("5 tokens, 2 of 7 experts", (normal(5, 7), 2)),
        Case("1 token, 1 of 4 experts", (normal(1, 4), 1)),
        Case("all 3 experts", (normal(2, 3), 3)),
        Case("a tie between the two best", (torch.tensor([[0.0, 2.0, 2.0, 1.0]]), 2)),
        Case("1 expert", (normal(3, 1), 1)),
        Case("bfloat16", (normal(4, 6).bfloat16(), 3)),
    ]


def _softmax_first(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    chosen = torch.topk(torch.softmax(logits, dim=-1), k, dim=-1)
    return chosen.indices, chosen.values


def _raw_logits(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    chosen = torch.topk(logits, k, dim=-1)
    return chosen.indices, chosen.values


def _sigmoids(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    chosen = torch.topk(logits, k, dim=-1)
    return chosen.indices, torch.sigmoid(chosen.values)


def _equal_weights(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    return torch.topk(logits, k, dim=-1).indices, torch.full_like(logits[:, :k], 1 / k)


def _weights_first(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    return route(logits, k)[::-1]


def _smallest(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    chosen = torch.topk(logits, k, dim=-1, largest=False)
    return chosen.indices, torch.softmax(chosen.values, dim=-1)


ROUTER = Exercise(
    name="router", title="Router", pages=("experts", "block"), difficulty=EASY, minutes=6,
    story="""\
A layer of gpt-oss-120b has 128 expert MLPs, and a token works with 4 of them: it pays for 4 and has 128 to choose from.
The router decides. It gives each expert a logit for each token; the largest k are taken, and a softmax over those k says
how much each answer counts.""",
    hints=(
        "First choose, then weigh: what is not chosen has no part in the softmax.",
        "`torch.topk(logits, k, dim=-1)` has `.indices` and `.values`.",
        "`torch.softmax(chosen.values, dim=-1)` are the weights; return `chosen.indices` before them."),
    solution=route, ours=_our_routes, cases=_router_cases, parts=("experts", "weights"), ask=_ask_router,
    mistakes=(
        Mistake("softmax before top-k", "Your weights are shares among all experts, so those of the chosen ones add up to "
                "less than 1. Take the softmax over the k chosen logits alone.", _softmax_first),
        Mistake("logits as weights", "Your weights are the logits themselves, which can be negative. They need a softmax.",
                _raw_logits),
        Mistake("sigmoid instead of softmax", "Each of your weights is a sigmoid of its own logit. Other models do that; in "
                "GPT-OSS the k weights share one softmax and add up to 1.", _sigmoids),
        Mistake("equal weights", "Every chosen expert counts 1/k. They count by the softmax of their "
                "logits.", _equal_weights),
        Mistake("weights before experts", "You return the weights first. The experts' numbers come first.", _weights_first),
        Mistake("the smallest logits", "You chose the experts with the smallest logits.", _smallest),
    ))


def swiglu(x: Tensor, limit: float) -> Tensor:
    """The activation between an expert's two matrices.

    x is (..., 2 * intermediate): even columns are the gate, odd ones the linear half. The gate is clamped from above only,
    to at most `limit`; the linear half to between -limit and limit. Returns gate * sigmoid(1.702 * gate) * (linear + 1),
    (..., intermediate).
    """
    gate, linear = x[..., 0::2], x[..., 1::2]
    gate, linear = gate.clamp(max=limit), linear.clamp(-limit, limit)
    return gate * torch.sigmoid(1.702 * gate) * (linear + 1)


def _swiglu_cases() -> list[Case]:
    draw = torch.Generator().manual_seed(6)
    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    return [
        Case("3 tokens, 5 features", (normal(3, 10), LIMIT)),
        Case("1 feature", (normal(1, 2), LIMIT)),
        Case("values far beyond the limit", (20 * normal(2, 3, 8), LIMIT)),
        Case("a limit of 0.5", (normal(4, 6), 0.5)),
        Case("bfloat16", (3 * normal(2, 6).bfloat16(), LIMIT)),
    ]


def _halves(x: Tensor, limit: float) -> Tensor:
    return swiglu(torch.stack(x.chunk(2, dim=-1), dim=-1).flatten(-2), limit)


def _linear_is_even(x: Tensor, limit: float) -> Tensor:
    return swiglu(x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2), limit)


def _gated(x: Tensor, limit: float, lowest: float | None = None, alpha: float = 1.702, one: float = 1.0) -> Tensor:
    """SwiGLU with things to get wrong: the gate's lower limit, the sigmoid's factor, what is added to the linear half."""
    gate, linear = x[..., 0::2].clamp(lowest, limit), x[..., 1::2].clamp(-limit, limit)
    return gate * torch.sigmoid(alpha * gate) * (linear + one)


def _unclamped(x: Tensor, limit: float) -> Tensor:
    return swiglu(x, float("inf"))


def _gelu(x: Tensor, limit: float) -> Tensor:
    return torch.nn.functional.gelu(x[..., 0::2].clamp(max=limit)) * (x[..., 1::2].clamp(-limit, limit) + 1)


def _symmetric(x: Tensor, limit: float) -> Tensor:
    return _gated(x, limit, lowest=-limit)


SWIGLU = Exercise(
    name="swiglu", title="SwiGLU", pages=("experts",), difficulty=EASY, minutes=8,
    story="""\
Between an expert's two matrices something has to bend, or the two would be one. In GPT-OSS half of the values are gates:
each opens or closes a value of the other, linear half. Two things are its own. Both halves are clamped, so that no value
runs away in low precision; and 1 is added to the linear half, so that a gate alone lets something through.""",
    hints=(
        "Three steps: take the two halves apart, clamp them, multiply.",
        "The halves are interleaved: `x[..., 0::2]` is the gate, `x[..., 1::2]` the linear half. `clamp(max=limit)` clamps "
        "from above only.",
        "`gate * torch.sigmoid(1.702 * gate) * (linear + 1)`, after clamping."),
    solution=swiglu, ours=model_experts.swiglu, cases=_swiglu_cases,
    mistakes=(
        Mistake("missing +1", "The linear half counts as linear + 1: where it is 0, the gate's own value still passes.",
                partial(_gated, one=0.0)),
        Mistake("halves instead of interleaved", "You take the first half for the gate. In these checkpoints gate and "
                "linear values alternate: even columns are the gate.", _halves),
        Mistake("gate and linear half exchanged", "Even columns are the gate, odd ones the linear half; you have them the "
                "other way round.", _linear_is_even),
        Mistake("plain sigmoid", "The sigmoid's argument is 1.702 times the gate. Without the factor this is SiLU.",
                partial(_gated, alpha=1.0)),
        Mistake("GELU", "You use GELU. 1.702 makes the gated value close to it, but not equal.", _gelu),
        Mistake("not clamped", "Values beyond the limit have to be clamped, before the sigmoid.", _unclamped),
        Mistake("gate clamped from below", "The gate has no lower limit: below zero the sigmoid closes it, however far.",
                _symmetric),
    ))


def mixture(x: Tensor, experts: Tensor, weights: Tensor, mlp1_weight: Tensor, mlp1_bias: Tensor, mlp2_weight: Tensor,
            mlp2_bias: Tensor, activate: Callable[[Tensor], Tensor]) -> Tensor:
    """Send each token through its experts and add up their answers, each times its weight.

    x is (tokens, hidden); experts and weights (tokens, k) are the router's. mlp1_weight is (num_experts, 2 * intermediate,
    hidden) with mlp1_bias (num_experts, 2 * intermediate), mlp2_weight (num_experts, hidden, intermediate) with mlp2_bias
    (num_experts, hidden). An expert's answer is mlp2(activate(mlp1(x))), where `activate` halves the last dimension.
    Returns (tokens, hidden).
    """
    out = torch.zeros_like(x)
    for expert in experts.unique().tolist():
        token, choice = (experts == expert).nonzero(as_tuple=True)     # (sent,) each: who chose it, and as which choice
        hidden = activate(x[token] @ mlp1_weight[expert].T + mlp1_bias[expert])       # (sent, intermediate)
        answer = hidden @ mlp2_weight[expert].T + mlp2_bias[expert]                   # (sent, hidden)
        out = out.index_add(0, token, weights[token, choice, None] * answer)
    return out


def _ask_mixture(target: Callable, *arguments: Tensor) -> Tensor:
    return target(*arguments, partial(model_experts.swiglu, limit=LIMIT))


def _our_mixture(x: Tensor, experts: Tensor, weights: Tensor, *matrices: Tensor) -> Tensor:
    t = x[:, None].expand(*experts.shape, -1)
    t = model_experts.linear_by_expert(t, experts, *matrices[:2])
    t = model_experts.linear_by_expert(model_experts.swiglu(t, LIMIT), experts, *matrices[2:])
    return (t * weights[..., None]).sum(dim=1)


def _mixture_cases() -> list[Case]:
    draw = torch.Generator().manual_seed(7)
    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    def tensors(tokens: int, number: int, k: int, hidden: int, intermediate: int) -> tuple:
        experts, weights = route(normal(tokens, number), k)
        matrices = (normal(number, 2 * intermediate, hidden), normal(number, 2 * intermediate),
                    normal(number, hidden, intermediate), normal(number, hidden))
        return normal(tokens, hidden), experts, weights, *matrices

    return [
        Case("5 tokens, 2 of 3 experts, width 4", tensors(5, 3, 2, 4, 3)),
        Case("1 token, 1 of 6 experts", tensors(1, 6, 1, 3, 2)),
        Case("1 expert", tensors(2, 1, 1, 5, 2)),
        Case("all 4 experts", tensors(3, 4, 4, 2, 5)),
    ]


def _mean(x, experts, weights, *rest):
    return mixture(x, experts, torch.full_like(weights, 1 / weights.shape[1]), *rest)


def _unweighted(x, experts, weights, *rest):
    return mixture(x, experts, torch.ones_like(weights), *rest)


def _first_choice(x, experts, weights, *rest):
    return mixture(x, experts[:, :1], weights[:, :1], *rest)


def _no_biases(x, experts, weights, first, first_bias, second, second_bias, activate):
    return mixture(x, experts, weights, first, torch.zeros_like(first_bias), second, torch.zeros_like(second_bias), activate)


def _unweighted_bias(x, experts, weights, first, first_bias, second, second_bias, activate):
    without = mixture(x, experts, weights, first, first_bias, second, torch.zeros_like(second_bias), activate)
    return without + second_bias[experts].sum(dim=1)


def _weighted_input(x, experts, weights, first, first_bias, second, second_bias, activate):
    answers = [mixture(x * weights[:, [choice]], experts[:, [choice]], torch.ones_like(weights[:, [choice]]), first,
                       first_bias, second, second_bias, activate) for choice in range(experts.shape[1])]
    return torch.stack(answers).sum(dim=0)


EXPERTS = Exercise(
    name="experts", title="Experts", pages=("experts", "block"), difficulty=HARD, minutes=20,
    story="""\
The experts hold nine tenths and more of the model's weights, and a token touches few of them. What is left to do once
the router has chosen: send each token to its experts, let each of them answer, and add the answers up, each with its
weight. Done for each expert at once, every matrix is read one time, whatever the number of tokens is that chose it.""",
    hints=(
        "Go through the experts, not through the tokens: find who chose an expert, and as which of its choices.",
        "`token, choice = (experts == expert).nonzero(as_tuple=True)` gives the rows that were sent to an expert; "
        "`weights[token, choice]` are their weights.",
        "`hidden = activate(x[token] @ mlp1_weight[expert].T + mlp1_bias[expert])`, the second matrix the same way, and "
        "`out.index_add(0, token, weights[token, choice, None] * answer)` adds it up."),
    solution=mixture, ours=_our_mixture, cases=_mixture_cases, ask=_ask_mixture,
    mistakes=(
        Mistake("mean over experts", "You take the mean of the answers. Each counts by the weight that the router gave it.",
                _mean),
        Mistake("answers not weighted", "You add the answers up as they are. Multiply each by its weight "
                "first.", _unweighted),
        Mistake("only the first choice", "You use one expert a token. All k of them answer.", _first_choice),
        Mistake("biases left out", "Both matrices have a bias for each expert: mlp1_bias and mlp2_bias.", _no_biases),
        Mistake("second bias not weighted", "The second bias belongs to the expert's answer, so the weight multiplies it "
                "too.",
                _unweighted_bias),
        Mistake("input weighted", "You multiply the weight with what goes into the expert. Between its matrices something "
                "bends, so that is not the same as weighting the answer.", _weighted_input),
    ))
