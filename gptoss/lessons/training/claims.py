"""What people say about training curves, decided by training."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from gptoss.app.computed import computed
from gptoss.app.verdicts import Verdict
from gptoss.config import ModelConfig
from gptoss.lessons.training.measure import nearest_decay, noise, shipped_curve, shipped_floors, shipped_standing
from gptoss.tokenizer import compact_vocabulary
from gptoss.training.contestants import STUDY, contestants
from gptoss.training.corpus import Corpus, Mixture
from gptoss.training.domains import ARITHMETIC, REPETITION
from gptoss.training.recipe import Recipe
from gptoss.training.shipped import CLASSROOM
from gptoss.training.trainer import Trainer
from gptoss.units import number

# A run that takes a second: one layer, sums of numbers, whose floor is known.
SHORT_RUN = Recipe(steps=30, batch=8, length=32, warmup=5)
SHORT_MODEL = ModelConfig.preset(CLASSROOM).replace(num_hidden_layers=1, vocab_size=1024)


def training_curves() -> Verdict:
    """Claim 15: a real run and the same once more; then how a real run differs from a decay with noise added.

    The decay is fitted once the first fall, which any decay follows, is over. The notebook's curves are not here to be run.
    """
    first, second = two_runs()
    apart = max(abs(one - other) for one, other in zip(first.training, second.training, strict=True))
    steps, losses = (column[1:] for column in shipped_curve(CLASSROOM, REPETITION))
    miss = np.abs(losses - nearest_decay(steps, losses).fitted)
    worst = int(miss.argmax())
    own = [step.losses[REPETITION] for step in shipped_standing(CLASSROOM).steps if REPETITION in step.losses]
    learned = ", ".join(f"{domain} at {step:,}" for domain, step in _nearly_learned().items())
    return Verdict.of(False, (
        "Those curves were drawn with random noise: nothing was trained. A real run, made here at this moment: a model of "
        f"one layer learns sums for {SHORT_RUN.steps} steps of {SHORT_RUN.batch} × {SHORT_RUN.length} tokens. Its training "
        f"loss goes from {first.training[0]:.2f} to {first.training[-1]:.2f} nats, the loss on texts it has not seen from "
        f"{first.before:.2f} to {first.after:.2f}; the floor of such texts is {first.floor:.2f}. The same run once more is "
        f"apart from it by at most {number(apart, 2)}: noise would not come back. Nor is a longer run a decay with noise: "
        f"in that of the shipped {CLASSROOM}, from step {steps[0]:,} on, the best a + b·exp(−step/c) misses the loss on "
        f"repetition by up to {miss[worst]:.2f} nats, at step {steps[worst]:,}, while steps that follow each other scatter "
        f"by {noise(own[len(own) // 2:]):.2f}. Skills come one after the other: nine tenths of the way to its floor are "
        f"done in {learned}."))


class ShortRun(NamedTuple):
    """Losses in nats a token: of every step, and on texts held back, before and after."""

    training: tuple[float, ...]
    before: float
    after: float
    floor: float


def _short_run() -> ShortRun:
    corpus = Corpus(compact_vocabulary(SHORT_MODEL.vocab_size), Mixture.of({ARITHMETIC: 1.0}), SHORT_RUN.length)
    trainer = Trainer(contestants(SHORT_MODEL)[STUDY].build(), corpus, SHORT_RUN)
    before = trainer.evaluate(documents=8)
    while not trainer.done:
        trainer.train()
    after = trainer.evaluate(documents=8)
    return ShortRun(tuple(step.loss for step in trainer.steps), before.loss, after.loss, corpus.floors(8)[ARITHMETIC])


two_runs = computed(lambda: (_short_run(), _short_run()), entries=1)  # equal ones, each trained


def _nearly_learned(left: float = 0.1) -> dict[str, int]:
    """Domain -> the first moment at which only a share `left` of the way from the first loss to the floor is left."""
    moments = {}
    for domain, floor in shipped_floors(CLASSROOM).items():
        if not math.isnan(floor):
            steps, losses = shipped_curve(CLASSROOM, domain)
            below = np.flatnonzero(losses - floor <= left * (losses[0] - floor))
            if len(below):
                moments[domain] = int(steps[below[0]])
    return dict(sorted(moments.items(), key=lambda item: item[1]))
