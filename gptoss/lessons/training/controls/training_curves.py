"""Tables of runs, live or shipped, for the training page's charts. No Streamlit here."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from gptoss.charts import Chart
from gptoss.config import ModelConfig
from gptoss.lessons.training.charts.training import MEAN, gradient_chart, load_chart, loss_chart, rate_chart, recall_chart
from gptoss.tokenizer import compact_vocabulary
from gptoss.training.contest import Standing
from gptoss.training.domains import RECALL
from gptoss.training.evaluation import Evaluation
from gptoss.training.recipe import Recipe
from gptoss.training.shipped import shipped
from gptoss.training.storage import read_evaluation
from gptoss.training.trainer import Step

TRAINING, VALIDATION = "training", "validation"
PROMPT = 40  # characters of a prompt that are shown
EVEN_GUESS = "an even guess over all tokens"


def shipped_floors(name: str) -> dict[str, float]:
    """Domain -> the floor that a shipped model's losses were held against, NaN where nobody knows."""
    return {domain: math.nan if floor is None else floor
            for domain, floor in shipped()[name].history()["corpus"]["floors"].items()}


@lru_cache(maxsize=16)
def shipped_standing(name: str) -> Standing:
    """A shipped model's recorded run, in the form of a live one."""
    model = shipped()[name]
    history = model.history()
    title = "classroom" if isinstance(model.config, ModelConfig) and name == "classroom" else model.contestant.title
    steps = tuple(Step(**{key: math.nan if value is None else value for key, value in step.items()})
                  for step in history["steps"])
    evaluations = {int(at): read_evaluation(one) for at, one in history["evaluations"].items()}
    return Standing(dataclasses.replace(model.contestant, title=title), Recipe(**history["recipe"]), history["at"], steps,
                    evaluations, model.recording())


def loss_rows(standings: Iterable[Standing]) -> pd.DataFrame:
    """Losses by contestant, domain and step, in training and on validation documents."""
    rows = [(one.contestant.title, domain, step.step, loss, TRAINING)
            for one in standings for step in one.steps for domain, loss in step.losses.items()]
    rows += [(one.contestant.title, domain, at, loss, VALIDATION)
             for one in standings for at, evaluation in one.evaluations.items()
             for domain, loss in evaluation.losses.items()]
    return _named(rows, ["contestant", "domain", "step", "loss", "kind"], standings)


def step_rows(standings: Sequence[Standing], value: str) -> pd.DataFrame:
    """One number of every step: "rate" or "gradient"."""
    rows = [(one.contestant.title, step.step, getattr(step, value)) for one in standings for step in one.steps]
    return pd.DataFrame(rows, columns=["contestant", "step", value])


def load_rows(standings: Sequence[Standing]) -> pd.DataFrame:
    """Each expert's share of a layer's choices at every moment, all domains counting alike."""
    rows = [(one.contestant.title, at, layer, expert, float(share))
            for one in standings for at, evaluation in one.evaluations.items() if evaluation.load
            for layer, shares in enumerate(np.mean(list(evaluation.load.values()), axis=0))
            for expert, share in enumerate(shares)]
    return _named(rows, ["contestant", "step", "layer", "expert", "share"], standings)


def answer_rows(evaluations: Mapping[str, Evaluation], domain: str = RECALL) -> pd.DataFrame:
    """How often what stood so far back was repeated rightly, by contestant."""
    rows = [(title, far, right / asked, asked) for title, one in evaluations.items()
            for far, (right, asked) in sorted(one.correct.get(domain, {}).items())]
    return pd.DataFrame(rows, columns=["contestant", "distance", "accuracy", "asked"])


def _named(rows: list[tuple], columns: list[str], standings: Iterable[Standing]) -> pd.DataFrame:
    """The contestants as categories, in their order, so that each keeps its colour."""
    frame = pd.DataFrame(rows, columns=columns)
    titles = [one.contestant.title for one in standings]
    return frame.assign(contestant=pd.Categorical(frame["contestant"], titles))


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


def samples(standing: Standing) -> pd.DataFrame:
    """What the model wrote at each moment: step, domain of the prompt, the prompt's end, and how the model went on."""
    recording = standing.recording
    spell = compact_vocabulary(standing.contestant.config.vocab_size).decode
    domains = recording.probe.domains
    rows = [(step, domains[moment % len(domains)], spell(prompt)[-PROMPT:], spell(written))
            for moment, (step, (prompt, written)) in enumerate(zip(recording.steps, recording.samples, strict=True))]
    return pd.DataFrame(rows, columns=["step", "domain", "prompt ends with", "the model goes on"])
