"""Closed forms beside live counts: what `gptoss.cost` says of a model, and what is found in a real one that runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from gptoss.cost import (
    count_parameters,
    expected_experts_touched,
    forward_flops,
    kv_cache_bytes,
    pass_activation_bytes,
    weight_bytes,
)
from gptoss.lessons.memory.measure.inference import PACKED, Counting, formats_of
from gptoss.lessons.memory.measure.inference_memory import LivePass, live_pass
from gptoss.model import Transformer
from gptoss.model.packed_experts import PackedExperts

PARAMETERS, WEIGHTS, CACHE, FLOPS, ACTIVATIONS, EXPERTS = QUANTITIES = (
    "parameters", "bytes of weights", "bytes of the KV cache", "FLOPs as executed", "bytes of activations",
    "experts touched in a layer")

# Where each product of matrices that the model asks for has its first matrix among its arguments.
_FIRST_MATRIX = {F.linear: 0, Tensor.__matmul__: 0, Tensor.matmul: 0, torch.baddbmm: 1}


@dataclass(frozen=True)
class Count:
    """One quantity, computed from the configuration and counted in the live model."""

    quantity: str  # one of `QUANTITIES`
    closed_form: float
    counted: float
    where: str  # what was counted, for a sentence
    exact: bool = True  # whether both have to be equal; an expectation need not be

    @property
    def equal(self) -> bool:
        """Whether both are the same to the last digit."""
        return self.closed_form == self.counted


def live_counts(model: Transformer, ids: Tensor) -> tuple[Count, ...]:
    """A `Count` for each of `QUANTITIES`, of `model` while it reads `ids`, (batch, tokens), as a prompt.

    The closed form of the activations knows which rows every expert was sent; all others know the configuration alone. It
    leaves out what packed experts are unpacked to, which the count finds alive too. FLOPs are those of the path that writes
    attention out. The model and its weights stay as they are.
    """
    config, (batch_size, tokens) = model.config, ids.shape
    (experts, rest), width, packed = formats_of(model), model.dtype.itemsize, model.experts == PACKED
    cache = model.new_cache(tokens, batch_size)
    alive = live_pass(model, ids, cache)
    closed = (
        count_parameters(config).total,
        sum(weight_bytes(config, experts, rest, norms="fp32").values()),
        kv_cache_bytes(config, tokens, batch_size, width),
        batch_size * forward_flops(config, tokens).executed_total,
        pass_activation_bytes(config, batch_size, tokens, 0, rest, alive.routed, padding=not packed),
        expected_experts_touched(config, batch_size * tokens))
    matrices = [module.shape.numel() for module in model.modules() if isinstance(module, PackedExperts)]
    counted = (
        sum(parameter.numel() for parameter in model.parameters()) + sum(matrices),
        sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers())),
        cache.nbytes,
        count_flops(lambda: model(ids, record=lambda name, value: None)),
        alive.activation_bytes,
        alive.touched)
    where = (
        "elements of all parameters", "memory of all weights", "memory of the cache that this text filled",
        "every matrix product that torch was asked for",
        "all tensors alive at the fullest moment of the pass" + (", unpacked experts among them" if packed else ""),
        _touched_in_words(alive))
    inexact = {EXPERTS, ACTIVATIONS} if packed else {EXPERTS}
    return tuple(Count(*row, exact=row[0] not in inexact) for row in zip(QUANTITIES, closed, counted, where, strict=True))


def _touched_in_words(alive: LivePass) -> str:
    by_layer = ", ".join(str(sum(rows > 0 for rows in layer)) for layer in alive.routed)
    return f"the router's choices for this text, layer by layer: {by_layer}"


@torch.inference_mode()
def count_flops(call: Callable[[], object]) -> int:
    """FLOPs of the products of matrices that `call` asks torch for, by the shapes of the real tensors.

    Those inside an attention kernel do not show: have attention written out. The tests hold this counter against
    `torch.utils.flop_counter`, which watches the modules of every thread, and loads torch's compiler to do so.
    """
    with Counting(_flops) as counting:
        call()
    return counting.total


def _flops(function: Callable, arguments: tuple, result: Tensor) -> int:
    """Every value of a product of matrices is a sum over the first one's columns: a multiplication and an addition each."""
    if function not in _FIRST_MATRIX:
        return 0
    return 2 * result.numel() * arguments[_FIRST_MATRIX[function]].shape[-1]
