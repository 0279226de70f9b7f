"""A last part of training, in which a model unlearns to come back to its own words.

A model that samples coldly repeats itself, because what it has just said makes the same more likely, again and again.
Unlikelihood training (Welleck et al., arXiv 1908.04319) lets it write, finds the words that repeat, and lowers their
probability. What the model says on its corpus meanwhile stays what it was at the start: each round also learns the
probabilities that it gave there before the first one, which moves its losses less than the corpus's own words would.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils import parametrize

from gptoss.tokenizer import CompactVocabulary
from gptoss.training.adamw import AdamW
from gptoss.training.stories.corpus import end_of_text
from gptoss.training.stories.wellformed import SIGNS, WORD
from gptoss.training.trainer import Trainer, parameter_groups, round_experts

TEXTS, NEW = 1024, 200  # texts written in a round, and the tokens of each
OPENING = (3, 12)  # tokens of a text of the corpus that a written one begins with
TEMPERATURES = (0.7, 0.7, 0.7, 0.4)  # of the rounds in turn
ENOUGH = 0.95  # share of new runs of three words from which on a text is left as it is
RATE, BETAS = 3e-4, (0.9, 0.999)  # of AdamW; the rate rises in the first `WARM` rounds and then falls to 0
WARM = 5
WEIGHT = 8.0  # of the penalty beside the corpus's loss
AT_ONCE = 64  # texts in a pass with gradients


@dataclass(frozen=True)
class Round:
    """One round: what share of its texts was at fault, how much was new on average, their mean tokens, and the loss.

    `loss` is the cross-entropy on the corpus to the probabilities of the start, `penalty` what the repeated words cost.
    """

    temperature: float
    repeating: float
    new: float
    tokens: float
    loss: float
    penalty: float
    seconds: float


def unrepeat(trainer: Trainer, domain: str, rounds: int, texts: int = TEXTS) -> Iterator[Round]:
    """Let a trained model write beginnings of `domain`, and unlearn what it repeats. Changes the trainer's model."""
    model, vocabulary = trainer.model, trainer.corpus.vocabulary
    if trainer.recipe.mxfp4_from < 1:
        round_experts(model)  # as its file will have them
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = AdamW(parameter_groups(model, 0.0), RATE, BETAS)
    rng = np.random.default_rng((trainer.recipe.seed, 3))
    generator = torch.Generator(model.device).manual_seed(trainer.recipe.seed)
    documents = trainer.corpus.rows[domain]
    for number in range(rounds):
        begun = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = RATE * min((number + 1) / WARM, 1 - number / rounds)
        opening = documents[rng.integers(len(documents), size=texts), :rng.integers(*OPENING)].astype(np.int64)
        temperature = TEMPERATURES[number % len(TEMPERATURES)]
        written = write(model, torch.as_tensor(opening).to(model.device), NEW, temperature, generator)
        marked, new, stutters, lengths = map(torch.as_tensor, repeats(written.cpu().numpy(), vocabulary))
        faulty = (new < ENOUGH) | stutters
        marked[:, :opening.shape[1]] = False
        marked &= faulty[:, None]
        rows = trainer.corpus.batch(trainer.at + number, trainer.recipe.batch).tokens
        loss = _keep(trainer, torch.as_tensor(rows).to(model.device), start)
        penalty = _unlearn(trainer, written, marked.to(model.device), int(lengths.sum()))
        if not math.isfinite(loss + penalty):
            raise ValueError("unrepeating diverged: the loss is not finite")
        nn.utils.clip_grad_norm_(model.parameters(), trainer.recipe.clip)
        optimizer.step()
        optimizer.zero_grad()
        yield Round(temperature, float(faulty.float().mean()), float(new.mean()), float(lengths.float().mean()),
                    loss, penalty, time.perf_counter() - begun)


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


def repeats(tokens: np.ndarray, vocabulary: CompactVocabulary) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Which tokens begin a word that ends a run of three words which its text had before, or that is one word three times.

    Words are those of `wellformed`. tokens (texts, tokens) -> marks of the same shape, and by text the share of runs that
    are new (1 where there are none), whether a word comes three times in a row, and the tokens before the text's end.
    """
    marks, new, lengths = np.zeros(tokens.shape, dtype=bool), np.ones(len(tokens)), np.zeros(len(tokens), dtype=int)
    stutters = np.zeros(len(tokens), dtype=bool)
    end = end_of_text(vocabulary)
    for row, text in enumerate(tokens.tolist()):
        lengths[row] = text.index(end) if end in text else len(text)
        pieces = [vocabulary.token_bytes(token) for token in text[:lengths[row]]]
        found = list(re.finditer(WORD, b"".join(pieces).decode("latin-1").lower()))  # a character a byte
        said = [word.group() for word in found]
        runs = list(zip(said, said[1:], said[2:], strict=False))
        first = {run: place for place, run in reversed([*enumerate(runs)])}
        same = [len({*run}) == 1 and run[0] not in SIGNS for run in runs]
        at_fault = [found[place + 2].start() for place, run in enumerate(runs) if first[run] < place or same[place]]
        marks[row, np.searchsorted(np.cumsum([len(piece) for piece in pieces]), at_fault, side="right")] = True
        new[row], stutters[row] = len(first) / len(runs) if runs else 1.0, any(same)
    return marks, new, stutters, lengths


def _keep(trainer: Trainer, rows: Tensor, start: dict[str, Tensor]) -> float:
    """Gradients of the cross-entropy on the corpus's `rows` to what the model said there with the weights of the `start`."""
    with torch.no_grad(), _precision(trainer):
        wanted = functional_call(trainer.model, start, (rows[:, :-1],)).float().softmax(-1)
    with _precision(trainer):
        logits = trainer.model(rows[:, :-1])
    loss = F.cross_entropy(logits.float().flatten(0, 1), wanted.flatten(0, 1))
    loss.backward()
    return loss.item()


def _unlearn(trainer: Trainer, written: Tensor, marked: Tensor, count: int) -> float:
    """Gradients of the penalty on what is `marked` in the `written` texts, of `count` tokens in all."""
    some = marked.any(dim=1)
    penalty = 0.0
    for texts, marks in zip(written[some].split(AT_ONCE), marked[some].split(AT_ONCE), strict=True):
        with _precision(trainer):
            logits = trainer.model(texts[:, :-1])
        chosen = logits.float().log_softmax(-1).gather(2, texts[:, 1:, None])[..., 0]
        surprise = -torch.log1p(-chosen.exp().clamp(max=1 - 1e-4))  # -log(1 - p) of every token that was written
        part = WEIGHT * (surprise * marks[:, 1:]).sum() / count
        part.backward()
        penalty += part.item()
    return penalty


def _precision(trainer: Trainer) -> torch.autocast:
    """The passes' own, as the recipe has it."""
    return torch.autocast(trainer.model.device.type, torch.bfloat16, enabled=trainer.recipe.precision == "bfloat16")
