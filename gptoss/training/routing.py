"""What the routers do while a model trains: how evenly experts are used, and the loss that asks for more of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gptoss.model.experts import MLPBlock


class RouterWatch:
    """Keeps the routers' logits of the passes made inside `watching`, one entry a layer: (batch, tokens, experts)."""

    def __init__(self, model: nn.Module):
        self.routed = [module for module in model.modules() if isinstance(module, MLPBlock)]
        self.logits: list[Tensor] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        self.logits = []
        handles = [block.gate.register_forward_hook(lambda gate, inputs, out: self.logits.append(out))
                   for block in self.routed]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def chosen(self) -> list[Tensor]:
        """The experts chosen in each layer: (batch, tokens, experts_per_token)."""
        return [logits.topk(block.experts_per_token, dim=-1).indices
                for logits, block in zip(self.logits, self.routed, strict=True)]

    def balance_loss(self) -> Tensor:
        """The load-balancing loss, averaged over the layers: 1 where experts are used evenly, and larger otherwise.

        Experts · Σ f·P, with f the share of the choices that an expert got and P its mean probability over all experts
        (Fedus et al., arXiv 2101.03961, equations 4 to 6, with several choices a token). f has no gradient.
        """
        losses = []
        for logits, chosen in zip(self.logits, self.chosen(), strict=True):
            experts = logits.shape[-1]
            probability = logits.float().softmax(dim=-1).flatten(0, -2).mean(dim=0)
            losses.append(experts * (loads(chosen, experts) * probability).sum())
        return torch.stack(losses).mean()


def loads(chosen: Tensor, experts: int) -> Tensor:
    """Each expert's share of the choices: ids of any shape -> (experts,), adding up to 1."""
    return torch.bincount(chosen.flatten(), minlength=experts) / chosen.numel()
