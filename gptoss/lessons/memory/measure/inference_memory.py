"""The tensors that are alive while a model runs, counted one by one: the test of `gptoss.cost.moments`."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from gptoss.model import KVCache, Transformer
from gptoss.training.step_memory import part_of

_START = "logits"  # what runs outside of norms, attention and experts


@dataclass(frozen=True)
class LivePass:
    """What was alive in one pass. Nothing here is computed from a configuration."""

    moments: dict[str, int]  # part of the model -> bytes of activations at its fullest moment
    routed: tuple[tuple[int, ...], ...]  # for each layer, the rows that each expert was sent

    @property
    def activation_bytes(self) -> int:
        """Bytes of activations at the fullest moment of the pass."""
        return max(self.moments.values())

    @property
    def touched(self) -> float:
        """Different experts that a layer's tokens visited, on average over the layers."""
        return sum(sum(rows > 0 for rows in layer) for layer in self.routed) / len(self.routed)


@torch.inference_mode()
def live_pass(model: Transformer, tokens: Tensor, cache: KVCache) -> LivePass:
    """Pass `tokens`, (batch, tokens) ids that follow those in `cache`, as in serving: logits of the last position alone.

    Counts what `gptoss.cost.moments` counts. The cache gains the tokens; the model stays as it is.
    """
    model = model.sharing_weights()  # nobody else runs this one, so that it can be watched
    positions = cache.length, tokens.shape[1], model.device
    for block in model.block:
        block.attn.rope.cos_sin(*positions)  # the table of rotations is there before the pass
    with _LiveTensors() as alive, _naming_parts(model, alive):
        model.unembed(model._final_states(tokens, cache)[:, -1])
    rows = (torch.bincount(chosen.flatten(), minlength=model.config.num_experts).tolist() for chosen in alive.chosen)
    return LivePass(alive.moments, tuple(map(tuple, rows)))


class _LiveTensors(TorchFunctionMode):
    """Watches every operation, and adds up the memory of tensors of real numbers from their making to their end."""

    def __init__(self) -> None:
        super().__init__()
        self.running = [_START]
        self.moments: dict[str, int] = {}
        self.chosen: list[Tensor] = []
        self._now = 0
        self._seen: set[int] = set()  # memory by its address, for as long as it is alive

    def __torch_function__(self, function, types, arguments=(), options=None):
        # What was there before and stays: weights, cache, tokens. What was made since is known already.
        self._seen.update(tensor.untyped_storage()._cdata for tensor in _tensors((arguments, options)))
        result = function(*arguments, **(options or {}))
        for tensor in _tensors(result):
            self._notice(tensor)
        self.moments[self.running[-1]] = max(self.moments.get(self.running[-1], 0), self._now)
        if function is torch.topk:  # only the router chooses
            self.chosen.append(result.indices.clone())
        return result

    def _notice(self, tensor: Tensor) -> None:
        memory = tensor.untyped_storage()
        if memory._cdata not in self._seen:
            size = memory.nbytes() if tensor.is_floating_point() else 0
            self._seen.add(memory._cdata)
            self._now += size
            weakref.finalize(memory, self._forget, memory._cdata, size)

    def _forget(self, address: int, size: int) -> None:
        self._seen.discard(address)
        self._now -= size


def _tensors(values: object) -> Iterator[Tensor]:
    return (each for each in tree_leaves(values) if isinstance(each, Tensor))


@contextmanager
def _naming_parts(model: nn.Module, alive: _LiveTensors) -> Iterator[None]:
    """Tell `alive` which part of the model is running."""
    with ExitStack() as stack:
        for name, module in model.named_modules():
            if part := part_of(name):
                before = module.register_forward_pre_hook(lambda *_, part=part: alive.running.append(part))
                after = module.register_forward_hook(lambda *_: alive.running.pop() and None)
                stack.callback(before.remove)
                stack.callback(after.remove)
        yield
