"""What a model has learned: its loss in every domain, what it recalls and repeats, and where its tokens go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from gptoss.training.domains import Documents
from gptoss.training.routing import RouterWatch, loads

AT_ONCE, TOKENS_AT_ONCE = 64, 2**16  # documents and tokens in one pass, at most


@dataclass(frozen=True)
class Evaluation:
    """How a model does on validation documents.

    Attributes:
        losses: domain -> mean cross-entropy of the next token, in nats.
        correct: domain -> {tokens back to what is to be repeated: (times right, times asked)}, for domains that repeat.
        load: domain -> each expert's share of the choices (layers, experts); empty where there is no router.
    """

    losses: dict[str, float]
    correct: dict[str, dict[int, tuple[int, int]]]
    load: dict[str, np.ndarray]

    @property
    def loss(self) -> float:
        """The mean over the domains, each counting alike."""
        return float(np.mean(list(self.losses.values())))

    def accuracy(self, domain: str, nearest: int = 1, farthest: int = 10**9) -> float:
        """How often what came so many tokens earlier was repeated rightly, 0 to 1; NaN where it was never asked."""
        answers = [answer for far, answer in self.correct.get(domain, {}).items() if nearest <= far <= farthest]
        right, asked = (sum(column) for column in zip(*answers, strict=True)) if answers else (0, 0)
        return right / asked if asked else float("nan")


@torch.no_grad()
def evaluate(model: nn.Module, documents: Mapping[str, Documents], device: torch.device | str = "cpu",
             precision: str = "float32") -> Evaluation:
    """Read every document once. `precision` "bfloat16" runs the passes in autocast."""
    losses, correct, load = {}, {}, {}
    watch = RouterWatch(model)
    was_training = model.training
    model.eval()
    for domain, texts in documents.items():
        tokens = torch.as_tensor(texts.tokens)
        nats, right, chosen = [], [], []
        for part in tokens.split(max(1, min(AT_ONCE, TOKENS_AT_ONCE // tokens.shape[1]))):
            part = part.to(device)
            with watch.watching(), torch.autocast(part.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                logits = model(part[:, :-1])
            nats.append(F.cross_entropy(logits.float().flatten(0, 1), part[:, 1:].flatten(), reduction="none").cpu())
            right.append((logits.argmax(dim=-1) == part[:, 1:]).cpu())
            chosen.append([layer.cpu() for layer in watch.chosen()])
        losses[domain] = torch.cat(nats).mean().item()
        correct[domain] = _by_distance(torch.cat(right).numpy(), texts.distance[:, 1:])
        if watch.routed:
            load[domain] = np.stack([loads(torch.cat(layer), block.gate.out_features).numpy() for layer, block
                                     in zip(zip(*chosen, strict=True), watch.routed, strict=True)])
    model.train(was_training)
    return Evaluation(losses, {domain: answers for domain, answers in correct.items() if answers}, load)


def _by_distance(right: np.ndarray, distance: np.ndarray) -> dict[int, tuple[int, int]]:
    return {int(far): (int(right[distance == far].sum()), int((distance == far).sum()))
            for far in np.unique(distance[distance > 0])}
