"""One token on its way through a layer's experts, step by step, as `MLPBlock` computes it, with every number kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gptoss.model import MLPBlock
from gptoss.model.experts import swiglu

SHORTEST_WORD = 3  # letters of the word that is followed where nobody has chosen another


@dataclass(frozen=True, eq=False)
class TokenSteps:
    """What one token meets in one layer's mixture. Arrays are float32; those of the k chosen experts are best first."""

    normed: np.ndarray  # (hidden,) what the router and the experts read
    directions: np.ndarray  # (experts, hidden) the router's row for each expert
    biases: np.ndarray  # (experts,)
    logits: np.ndarray  # (experts,)
    chosen: np.ndarray  # (k,) experts' numbers
    weights: np.ndarray  # (k,) adding up to 1
    gates: np.ndarray  # (k, width) as are linear and neurons: before any clamp
    linear: np.ndarray
    neurons: np.ndarray  # what each neuron gives, after SwiGLU
    answers: np.ndarray  # (k, hidden)

    @property
    def output(self) -> np.ndarray:
        """What the mixture adds to the stream, (hidden,)."""
        return self.weights @ self.answers

    @property
    def loudest(self) -> int:
        """The neuron of the best expert that gives most, of either sign."""
        return int(np.abs(self.neurons[0]).argmax())


@torch.no_grad()
def follow(mlp: MLPBlock, stream: Tensor) -> TokenSteps:
    """Every step of one token: `stream` (hidden,) is what the block's norm reads."""
    normed = mlp.norm(stream)
    logits = mlp.gate(normed)
    best = torch.topk(logits, mlp.experts_per_token)
    chosen = best.indices.tolist()
    hidden = torch.stack([F.linear(normed, mlp.mlp1_weight[expert], mlp.mlp1_bias[expert]) for expert in chosen])
    gates, linear = hidden.unflatten(-1, (-1, 2)).unbind(dim=-1)
    neurons = swiglu(hidden, mlp.swiglu_limit)
    answers = torch.stack([F.linear(neurons[place], mlp.mlp2_weight[expert], mlp.mlp2_bias[expert])
                           for place, expert in enumerate(chosen)])
    parts = (normed, mlp.gate.weight, mlp.gate.bias, logits, torch.softmax(best.values, dim=-1), gates, linear, neurons,
             answers)
    normed, directions, biases, logits, weights, gates, linear, neurons, answers = (part.float().numpy() for part in parts)
    return TokenSteps(normed, directions, biases, logits, best.indices.numpy(), weights, gates, linear, neurons, answers)


def experts_to_show(logits: np.ndarray, chosen: np.ndarray, count: int) -> list[int]:
    """At most `count` experts that tell a token's story, by number: all of them, or else the best, chosen or just missed.

    At least one that was not chosen is among them, where there is one.
    """
    if len(logits) <= count:
        return list(range(len(logits)))
    order = np.argsort(-logits, kind="stable")
    kept = min(len(chosen), count - 1)
    return sorted([*order[:kept].tolist(), *order[len(chosen):len(chosen) + count - kept].tolist()])


def telling_token(labels: Sequence[str]) -> int:
    """The position of the longest whole word of a text, `labels` being its tokens with white space as ␣; else the last."""
    words = [(len(label), -place) for place, label in enumerate(labels)
             if label.startswith("␣") and label[1:].isalpha() and len(label) > SHORTEST_WORD]
    return -max(words)[1] if words else max(len(labels) - 1, 0)
