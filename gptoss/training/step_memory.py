"""One real training step, and the bytes of everything it keeps: the test of the closed forms in `gptoss.cost`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from gptoss.model import Transformer
from gptoss.model.fast.experts import padding_pays
from gptoss.training.adamw import AdamW

PARTS = ("norms", "attention", "experts", "logits")
RATE, BETAS, DECAY = 1e-3, (0.9, 0.999), 0.01  # a step's memory does not depend on them


@dataclass(frozen=True)
class MeasuredStep:
    """Bytes of the tensors that one step of AdamW held, by part. Nothing here is computed from a configuration."""

    weights: int
    gradients: int
    optimizer_states: int  # AdamW's two moments
    step_counters: int  # one number a tensor, which AdamW keeps too
    activations: dict[str, int]  # by `PARTS`
    padded_rows: tuple[int | None, ...]  # by layer: rows that experts multiplied in one padded batch, None if unpadded


def training_step(model: Transformer, tokens: Tensor) -> MeasuredStep:
    """Take one step of AdamW on `tokens`, (batch, tokens + 1) ids, of which each predicts the next, and weigh it.

    The weights of `model` change: hand in one of your own. Tensors that autograd saves are told apart by their memory, so
    that what two operations share counts once; weights are not counted as activations.
    """
    optimizer = AdamW([{"params": [*model.parameters()], "weight_decay": DECAY}], RATE, BETAS)
    inputs, targets = tokens[:, :-1].clone(), tokens[:, 1:].clone()
    padded: list[int | None] = []
    with _padding(model, padded), _saved(model) as activations:
        loss = F.cross_entropy(model(inputs).float().flatten(0, 1), targets.flatten())
    kept = activations()
    loss.backward()
    gradients = _bytes(parameter.grad for parameter in model.parameters() if parameter.grad is not None)
    optimizer.step()
    states = optimizer.state.values()
    return MeasuredStep(
        weights=_bytes(model.parameters()), gradients=gradients,
        optimizer_states=_bytes(state[name] for state in states for name in ("exp_avg", "exp_avg_sq")),
        step_counters=_bytes(state["step"] for state in states), activations=kept, padded_rows=tuple(padded))


def random_tokens(model: Transformer, batch_size: int, tokens: int, seed: int = 0) -> Tensor:
    """Ids for `training_step`: (batch_size, tokens + 1), drawn evenly from the vocabulary."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(model.config.vocab_size, (batch_size, tokens + 1), generator=generator).to(model.device)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


@contextmanager
def _saved(model: nn.Module) -> Iterator:
    """Sort what autograd saves by the part of the model that was running. Yields a function that gives the bytes."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    running: list[str] = ["logits"]
    kept: dict[int, tuple[str, Tensor]] = {}  # the tensors too: freed memory could be used, and counted, again

    def keep(tensor: Tensor) -> Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in weights:
            kept.setdefault(address, (running[-1], tensor))
        return tensor

    def total() -> dict[str, int]:
        sums = dict.fromkeys(PARTS, 0)
        for part, tensor in kept.values():
            sums[part] += tensor.untyped_storage().nbytes()
        kept.clear()
        return sums

    with naming_parts(model, running), saved_tensors_hooks(keep, lambda tensor: tensor):
        yield total


@contextmanager
def naming_parts(model: nn.Module, running: list[str]) -> Iterator[None]:
    """Keep the part of `model` that runs at each moment, one of `PARTS`, at the end of `running`."""
    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if part := _part_of(name):
                before = module.register_forward_pre_hook(lambda *_, part=part: running.append(part))
                after = module.register_forward_hook(lambda *_: running.pop() and None)
                hooks.callback(before.remove)
                hooks.callback(after.remove)
        yield


def _part_of(name: str) -> str | None:
    """Which of `PARTS` a module of the model belongs to, by its name; None for one that runs within another's."""
    if name.endswith("norm"):
        return "norms"
    return {"attn": "attention", "mlp": "experts"}.get(name.rsplit(".", 1)[-1])


@contextmanager
def _padding(model: Transformer, rows: list[int | None]) -> Iterator[None]:
    """Note for each layer how many rows its experts multiply in one padded batch, by the rule of `MLPBlock`."""
    config = model.config

    def note(_, __, logits: Tensor) -> None:
        chosen = logits.detach().topk(config.experts_per_token, dim=-1).indices.flatten()
        counts = torch.bincount(chosen, minlength=config.num_experts).tolist()
        pays = padding_pays(counts, config.intermediate_size * config.hidden_size, logits.device.type)
        rows.append(len(counts) * max(counts) if pays else None)

    hooks = [block.mlp.gate.register_forward_hook(note) for block in model.block]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
