"""What an expert computes and what a mixture of experts costs, beside dense MLPs and beside sums done one by one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from gptoss.config import ModelConfig
from gptoss.cost import count_parameters, forward_flops
from gptoss.model import MLPBlock
from gptoss.model.experts import swiglu
from gptoss.model.recording import unrecorded

EXPERT_COUNTS = tuple(2**power for power in range(9))  # 1 to 256, the positions of the dial
GATES = np.linspace(-5, 10, 121)  # step 1/8, so that the clamp at 7 is a point of the curve
MIXTURE, EQUAL_COMPUTE, EQUAL_SIZE, ONE_EXPERT = DESIGNS = (
    "mixture of experts", "dense, equal compute", "dense, equal size", "dense, one expert")
AS_IN_GPT_OSS, NO_CLAMP, NO_ONE, PLAIN = ACTIVATIONS = (
    "gpt-oss", "without the clamp", "without the + 1", "plain SwiGLU")


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
class PathCheck:
    """The same answers computed in three ways: the largest differences, in the units of the residual stream."""

    tokens: int  # compared one by one
    batched: float  # the path that runs, from the sum done token by token
    in_turn: float  # the path that is recorded, expert by expert, from the same sum
    scale: float  # root mean square of the sums


@torch.no_grad()
def check_expert_paths(mlp: MLPBlock, stream: Tensor, most: int = 16) -> PathCheck:
    """Run the experts on `stream` (1, tokens, hidden) as the model does, and `most` of its tokens one by one.

    The fast path sorts all choices by expert and answers them in batches; the sum token by token is the formula.
    """
    batched, in_turn = (mlp(stream, record)[0] - stream[0] for record in (unrecorded, lambda name, value: None))
    kept = mlp.norm(stream)[0, :most]
    expected = torch.stack([one_token(mlp, token) for token in kept])
    worst = [(path[:most] - expected).abs().max().item() for path in (batched, in_turn)]
    return PathCheck(len(kept), *worst, expected.square().mean().sqrt().item())


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
