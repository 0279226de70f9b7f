"""The training page's charts, from the tables of its runs. No Streamlit here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import pandas as pd

from gptoss.charts import Chart
from gptoss.lessons.training.charts.curves import MEAN, gradient_chart, load_chart, loss_chart, rate_chart, recall_chart
from gptoss.lessons.training.measure import (
    TRAINING,
    answer_rows,
    load_rows,
    loss_rows,
    shipped_floors,
    shipped_standing,
    step_rows,
)
from gptoss.training.contest import Standing
from gptoss.training.evaluation import Evaluation

EVEN_GUESS = "an even guess over all tokens"


def losses(standings: Sequence[Standing], floors: Mapping[str, float], domain: str | None, steps: int,
           drawn: pd.DataFrame | None) -> Chart:
    """The large picture. `domain` None means all of them; where it has no loss yet, all that there are."""
    rows = loss_rows(standings)
    known = {*rows["domain"], *([MEAN] if any(one.evaluations for one in standings) else [])}
    return loss_chart(rows, floors, drawn, domain if domain in known else None, steps)


@lru_cache(maxsize=16)
def shipped_losses(names: tuple[str, ...], domain: str | None) -> Chart:
    """The same for shipped models."""
    standings = [shipped_standing(name) for name in names]
    return losses(standings, shipped_floors(names[0]), domain, max(one.at for one in standings), None)


def expectation(drawn: pd.DataFrame, vocab_size: int, domains: Sequence[str], steps: int) -> Chart:
    """What the audience expects, before anything has run, beside the loss of an even guess: ln(vocabulary)."""
    guess = pd.DataFrame([(EVEN_GUESS, domain, step, math.log(vocab_size), TRAINING) for domain in domains
                          for step in (0, steps)], columns=["contestant", "domain", "step", "loss", "kind"])
    return loss_chart(guess, {}, drawn, MEAN, steps)


def rates(standings: Sequence[Standing]) -> Chart:
    return rate_chart(step_rows(standings, "rate"))


def gradients(standings: Sequence[Standing]) -> Chart:
    return gradient_chart(step_rows(standings, "gradient"), standings[0].recipe.clip)


def expert_loads(standings: Sequence[Standing], layer: int | None = None) -> Chart:
    """Raises `ValueError` where no contestant has a router, and before the first evaluation."""
    return load_chart(load_rows(standings), layer)


def answers(evaluations: Mapping[str, Evaluation], domain: str) -> Chart:
    """Raises `ValueError` where nothing was asked."""
    return recall_chart(answer_rows(evaluations, domain))
