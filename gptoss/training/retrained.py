"""What one choice of a design costs when every variant of it is trained: shipped models compared with each other."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import pandas as pd

from gptoss.training.shipped import SEEDS, shipped
from gptoss.training.storyteller import DIRECTORY, FIRST, LOSSES, OTHER_SEED

# If two variants did not differ at all, so often would their means over two seeds each lie further apart than either's two
# seeds do: for losses that scatter by the same normal distribution. Four independent normal numbers point in any direction
# alike, and this is the share of all directions in which the difference wins: two cones over a square.
BY_CHANCE = 2 / math.pi * math.asin(1 / 3)


def loss_rows(variants: Mapping[str, str]) -> pd.DataFrame:
    """The loss of shipped models on validation texts, each measured on its file after reading it back, for both seeds.

    `variants` maps names of shipped models to what they are called. Columns `variant`, `domain`, `seed`, `loss` (nats a
    token) and `floor` (the least loss possible; NaN where nobody knows it).
    """
    rows = [(title, domain, seed, loss, math.nan if floor is None else floor)
            for name, title in variants.items() for seed in SEEDS
            for floors in [shipped()[name].history(seed)["corpus"]["floors"]]
            for domain, loss in shipped()[name].measured(seed).losses.items() for floor in [floors[domain]]]
    return pd.DataFrame(rows, columns=["variant", "domain", "seed", "loss", "floor"])


def answer_rows(variants: Mapping[str, str]) -> pd.DataFrame:
    """How often the same models repeat rightly what came earlier: `variant`, `domain`, `seed`, `accuracy` (0 to 1)."""
    rows = [(title, domain, seed, measured.accuracy(domain)) for name, title in variants.items() for seed in SEEDS
            for measured in [shipped()[name].measured(seed)] for domain in measured.correct]
    return pd.DataFrame(rows, columns=["variant", "domain", "seed", "accuracy"])


def story_losses(variants: Mapping[str, str], before: str) -> pd.DataFrame:
    """The losses of storyteller and variants of it on texts that were held out of its own corpus, as its card has them.

    `variants` maps names of folders beside its weights, or its own, to what they are called. Columns as of `loss_rows`:
    seed 0 of every variant, and under the title `before` both seeds of storyteller before its last rounds of unlearning.
    """
    kept = json.loads((DIRECTORY / LOSSES).read_text(encoding="utf-8"))
    runs = [*((title, 0, kept["losses"][name]) for name, title in variants.items()),
            *((before, seed, kept["losses"][name]) for seed, name in enumerate((FIRST, OTHER_SEED)))]
    rows = [(title, domain, seed, loss, math.nan if kept["floors"][domain] is None else kept["floors"][domain])
            for title, seed, losses in runs for domain, loss in losses.items()]
    return pd.DataFrame(rows, columns=["variant", "domain", "seed", "loss", "floor"])


def differences(losses: pd.DataFrame, base: str, seeds_of: str = "") -> pd.DataFrame:
    """Every other variant against `base`, domain by domain.

    `losses` is what `loss_rows` gives. Where `base` has one seed, `seeds_of` names a variant whose seeds tell how far they
    scatter. Columns `variant`, `domain`, `difference` (of the means over the seeds, in nats: above 0 the variant loses
    more), `spread` (how far the seeds of one variant lie apart, the larger of the two), and `beyond`, whether the difference
    is larger than the spread.
    """
    by_seed = losses.groupby(["variant", "domain"], sort=False)["loss"]
    mean, spread = by_seed.mean(), by_seed.max() - by_seed.min()
    rows = []
    for variant, domain in mean.index:
        if variant != base:
            difference = mean[variant, domain] - mean[base, domain]
            widest = max(spread[one, domain] for one in filter(None, (variant, base, seeds_of)))
            rows.append((variant, domain, difference, widest, abs(difference) > widest))
    return pd.DataFrame(rows, columns=["variant", "domain", "difference", "spread", "beyond"])
