"""A last part of training, in which a model unlearns to come back to its own words.

A model that samples coldly repeats itself, because what it has just said makes the same more likely, again and again.
Unlikelihood training (Welleck et al., arXiv 1908.04319) lets it write, finds the tokens that repeat, and lowers their
probability, while it goes on learning from its corpus.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from gptoss.training.stories.corpus import end_of_text
from gptoss.training.trainer import Trainer, parameter_groups

TEXTS, NEW = 1024, 180  # texts written in a round, and the tokens of each
OPENING = (3, 12)  # tokens of a text of the corpus that a written one begins with
TEMPERATURES = (0.7, 0.7, 0.4)  # of the rounds in turn
ENOUGH = 0.9  # share of new runs of three tokens from which on a text is left as it is
RATE = 3e-4  # of AdamW, which falls to 0 in the last round
WEIGHT = 1.0  # of the penalty beside the corpus's loss


@dataclass(frozen=True)
class Round:
    """One round: what share of its texts repeated too much, how much was new on average, and both parts of the loss."""

    temperature: float
    repeating: float
    new: float
    loss: float
    penalty: float


def unrepeat(trainer: Trainer, domain: str, rounds: int) -> Iterator[Round]:
    """Let a trained model write beginnings of `domain`, and unlearn what it repeats. Changes the trainer's model."""
    model, device = trainer.model, trainer.model.device
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.0), lr=RATE, fused=True)
    rng = np.random.default_rng((trainer.recipe.seed, 3))
    generator = torch.Generator(device).manual_seed(trainer.recipe.seed)
    documents, end = trainer.corpus.rows[domain], end_of_text(trainer.corpus.vocabulary)
    for number in range(rounds):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - number / rounds)
        opening = documents[rng.integers(len(documents), size=TEXTS), :rng.integers(*OPENING)]
        temperature = TEMPERATURES[number % len(TEMPERATURES)]
        written = write(model, torch.as_tensor(opening.astype(np.int64)).to(device), NEW, temperature, generator)
        own = (written == end).cumsum(1) == 0  # the tokens before a text's end
        repeats = repeated(written, opening.shape[1]) & own
        new = 1 - repeats.sum(1) / own[:, opening.shape[1]:].sum(1).clamp(min=1)
        marked = repeats & (new < ENOUGH)[:, None]
        batch = trainer.corpus.batch(trainer.recipe.steps + number, trainer.recipe.batch)
        loss, penalty = _step(trainer, torch.as_tensor(batch.tokens).to(device), written, marked, int(own.sum()))
        nn.utils.clip_grad_norm_(model.parameters(), trainer.recipe.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield Round(temperature, float((new < ENOUGH).float().mean()), float(new.mean()), loss, penalty)


@torch.no_grad()
def write(model: nn.Module, opening: Tensor, new: int, temperature: float, generator: torch.Generator) -> Tensor:
    """Texts sampled together: opening (texts, tokens) -> (texts, tokens + new). At temperature 0 the likeliest tokens."""
    tokens, rows = opening, [opening]
    cache = model.new_cache(opening.shape[1] + new, len(opening))
    with parametrize.cached():  # rounded once, not in every pass
        for _ in range(new):
            logits = model(tokens, cache)[:, -1].float()
            tokens = torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator) if temperature else \
                logits.argmax(-1, keepdim=True)
            rows.append(tokens)
    return torch.cat(rows, dim=1)


def repeated(tokens: Tensor, first: int) -> Tensor:
    """Which tokens from place `first` on end a run of three that the same text had before: (texts, tokens) -> bool."""
    same = (tokens[:, None, :] == tokens[:, :, None]).tril(-1)          # (texts, later, earlier)
    runs = same.clone()
    runs[:, 1:, 1:] &= same[:, :-1, :-1]
    runs[:, 2:, 2:] &= same[:, :-2, :-2]
    runs[:, :2], runs[:, :, :2] = False, False  # nothing came two places before
    runs = runs.any(dim=2)
    runs[:, :first] = False
    return runs


def _step(trainer: Trainer, rows: Tensor, written: Tensor, marked: Tensor, count: int) -> tuple[float, float]:
    """Gradients of the loss on the corpus's `rows` and of the penalty on what is `marked` in the `written` texts."""
    with torch.autocast(rows.device.type, torch.bfloat16, enabled=trainer.recipe.precision == "bfloat16"):
        logits = trainer.model(rows[:, :-1])
    loss = F.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten())
    loss.backward()
    with torch.autocast(rows.device.type, torch.bfloat16, enabled=trainer.recipe.precision == "bfloat16"):
        logits = trainer.model(written[:, :-1])
    chosen = logits.float().log_softmax(-1).gather(2, written[:, 1:, None])[..., 0]
    surprise = -torch.log1p(-chosen.exp().clamp(max=1 - 1e-4))  # -log(1 - p) of every token that was written
    penalty = WEIGHT * (surprise * marked[:, 1:]).sum() / count
    penalty.backward()
    if not math.isfinite(loss.item() + penalty.item()):
        raise ValueError("unrepeating diverged: the loss is not finite")
    return loss.item(), penalty.item()
