"""How training goes: runs, recorded or live, as tables, and what a learning curve looks like."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from gptoss.config import ModelConfig
from gptoss.tokenizer import compact_vocabulary
from gptoss.training.contest import Standing
from gptoss.training.contestants import BASELINE, STUDY, Contestant
from gptoss.training.corpus import DEFAULT_MIXTURE, Corpus, Mixture
from gptoss.training.domains import GENERATED, RECALL, draw
from gptoss.training.evaluation import Evaluation
from gptoss.training.recipe import PRECISIONS, Recipe
from gptoss.training.shipped import CLASSROOM, shipped
from gptoss.training.storage import read_evaluation, resume, state_bytes
from gptoss.training.trainer import Step, Trainer

LENGTH = 64  # tokens of a document: what every preset can read
MIXTURE, TEXT, FILE = SOURCES = "Mixture", "Own text", "Own file"
DEFAULTS = {"who": [STUDY, BASELINE], "source": MIXTURE, "steps": 300, "batch": 16, "peak": 4e-3, "warmup": 30, "floor": 0.1,
            "clip": 1.0, "accumulation": 2, "balance": 0.01, "precision": PRECISIONS[0], "seed": 0} | {
            f"share_{domain}": round(100 * share) for domain, share in DEFAULT_MIXTURE.items()}  # of the page's controls
SHORT_RUN = 8  # steps of a run that nobody waits for
SHOWN = (CLASSROOM, BASELINE)  # the shipped models whose runs were recorded
TRAINING, VALIDATION = "training", "validation"
PROMPT = 40  # characters of a prompt that are shown
TINY = ModelConfig.preset(CLASSROOM).replace(num_hidden_layers=2, hidden_size=32, intermediate_size=32, vocab_size=512)


def shipped_floors(name: str) -> dict[str, float]:
    """Domain -> the floor that a shipped model's losses are compared with, NaN where nobody knows."""
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
    evaluations = {int(at): read_evaluation(record) for at, record in history["evaluations"].items()}
    return Standing(dataclasses.replace(model.contestant, title=title), Recipe(**history["recipe"]), history["at"], steps,
                    evaluations, model.recording())


def shipped_curve(name: str, domain: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and validation losses, in nats a token, of a shipped model's recorded run in one domain."""
    evaluations = shipped_standing(name).evaluations
    return np.array([*evaluations]), np.array([evaluation.losses[domain] for evaluation in evaluations.values()])


def loss_rows(standings: Iterable[Standing]) -> pd.DataFrame:
    """Losses by contestant, domain and step, in training and on validation documents."""
    rows = [(standing.contestant.title, domain, step.step, loss, TRAINING)
            for standing in standings for step in standing.steps for domain, loss in step.losses.items()]
    rows += [(standing.contestant.title, domain, at, loss, VALIDATION)
             for standing in standings for at, evaluation in standing.evaluations.items()
             for domain, loss in evaluation.losses.items()]
    return _named(rows, ["contestant", "domain", "step", "loss", "kind"], standings)


def step_rows(standings: Sequence[Standing], value: str) -> pd.DataFrame:
    """One number of every step: "rate" or "gradient"."""
    rows = [(standing.contestant.title, step.step, getattr(step, value))
            for standing in standings for step in standing.steps]
    return pd.DataFrame(rows, columns=["contestant", "step", value])


def load_rows(standings: Sequence[Standing]) -> pd.DataFrame:
    """Each expert's share of a layer's choices at every moment, all domains counting alike."""
    rows = [(standing.contestant.title, at, layer, expert, float(share))
            for standing in standings for at, evaluation in standing.evaluations.items() if evaluation.load
            for layer, shares in enumerate(np.mean(list(evaluation.load.values()), axis=0))
            for expert, share in enumerate(shares)]
    return _named(rows, ["contestant", "step", "layer", "expert", "share"], standings)


def answer_rows(evaluations: Mapping[str, Evaluation], domain: str = RECALL) -> pd.DataFrame:
    """How often what stood so far back was repeated rightly, by contestant."""
    rows = [(title, far, right / asked, asked) for title, evaluation in evaluations.items()
            for far, (right, asked) in sorted(evaluation.correct.get(domain, {}).items())]
    return pd.DataFrame(rows, columns=["contestant", "distance", "accuracy", "asked"])


def _named(rows: list[tuple], columns: list[str], standings: Iterable[Standing]) -> pd.DataFrame:
    """The contestants as categories, in their order, so that each keeps its colour."""
    frame = pd.DataFrame(rows, columns=columns)
    titles = [standing.contestant.title for standing in standings]
    return frame.assign(contestant=pd.Categorical(frame["contestant"], titles))


def samples(standing: Standing) -> pd.DataFrame:
    """What the model wrote at each moment: step, domain of the prompt, the prompt's end, and how the model went on."""
    recording = standing.recording
    spell = compact_vocabulary(standing.contestant.config.vocab_size).decode
    domains = recording.probe.domains
    rows = [(step, domains[moment % len(domains)], spell(prompt)[-PROMPT:], spell(written))
            for moment, (step, (prompt, written)) in enumerate(zip(recording.steps, recording.samples, strict=True))]
    return pd.DataFrame(rows, columns=["step", "domain", "prompt ends with", "the model goes on"])


@dataclass(frozen=True)
class Decay:
    """The curve `low + height · exp(-step / scale)` that is nearest to some losses, by least squares.

    `fitted` is its value at their steps.
    """

    low: float
    height: float
    scale: float
    fitted: np.ndarray


def nearest_decay(steps: np.ndarray, losses: np.ndarray, scales: int = 200) -> Decay:
    """Fit a decay: for each of `scales` time scales, from a hundredth to ten times the run, the best low and height.

    Raises `ValueError` for fewer than 3 points, which any decay can pass through.
    """
    steps, losses = np.asarray(steps, dtype=float), np.asarray(losses, dtype=float)
    if len(steps) < 3:
        raise ValueError(f"{len(steps)} points are too few for a decay; allowed: 3 or more")
    span = steps.max() - steps.min()
    best = None
    for scale in np.geomspace(span / 100, 10 * span, scales):
        basis = np.stack([np.ones_like(steps), np.exp(-(steps - steps.min()) / scale)], axis=1)
        (low, height), *_ = np.linalg.lstsq(basis, losses, rcond=None)
        fitted = basis @ (low, height)
        error = ((fitted - losses) ** 2).sum()
        if best is None or error < best[0]:
            best = error, Decay(float(low), float(height), float(scale), fitted)
    return best[1]


AT_ONCE, EVENLY, IN_STAGES, HARDLY = SHAPES = (
    "at once, and then nothing more", "a little with every step", "at once to a plateau, and much later down from it",
    "hardly at all")


def shape_of(losses: np.ndarray, floor: float) -> str:
    """Which of `SHAPES` a curve has that begins untrained and ends at its last moment, from its distance to the floor.

    All distances are shares of the first. A plateau is where after the first moment a sixth of the run brings less than a
    tenth of what is left, before more than half of it goes.
    """
    left = (np.asarray(losses, dtype=float) - floor) / (losses[0] - floor)
    if left[-1] > 0.5:
        return HARDLY
    if left[1] < 0.1:
        return AT_ONCE
    waited = 1 + max(len(left) // 6, 1)
    plateau = waited < len(left) and left[waited] > 0.9 * left[1] and left[-1] < 0.5 * left[waited]
    return IN_STAGES if plateau else EVENLY


@dataclass(frozen=True)
class Score:
    """How near a curve that was drawn beforehand is to the real one.

    `off` is its mean distance in nats at the places that were drawn, `flat` that of a line which stays where the real curve
    began. `points` go from 0, for what is no nearer than that line, to 100.
    """

    off: float
    flat: float

    @property
    def points(self) -> int:
        if not self.flat:
            return 100 if not self.off else 0
        return round(100 * max(0.0, 1 - self.off / self.flat))


def score(drawn: pd.DataFrame, standing: Standing) -> Score:
    """Of a curve of mean losses over the domains, with the columns step and loss, as far as the standing has come.

    Raises `ValueError` where the standing has no evaluation or nothing is drawn as far as it has come.
    """
    steps = np.array([*standing.evaluations])
    reached = drawn[drawn["step"] <= max(steps, default=-1)]
    if reached.empty:
        raise ValueError("nothing is drawn of the steps that were done")
    real = np.interp(reached["step"], steps, [evaluation.loss for evaluation in standing.evaluations.values()])
    return Score(float(np.abs(reached["loss"] - real).mean()), float(np.abs(real[0] - real).mean()))


def steepest(steps: np.ndarray, values: np.ndarray) -> tuple[int, int]:
    """The two neighbouring moments between which a curve falls most for a step, as steps.

    Raises `ValueError` for fewer than 2 points.
    """
    if len(steps) < 2:
        raise ValueError(f"{len(steps)} points have no slope; allowed: 2 or more")
    place = int(np.argmin(np.diff(values) / np.diff(steps)))
    return int(steps[place]), int(steps[place + 1])


def noise(losses: np.ndarray) -> float:
    """The standard deviation of a step's loss around its neighbours', from the differences of neighbours; NaN for one."""
    changes = np.diff(np.asarray(losses, dtype=float))
    return float(np.sqrt((changes**2).mean() / 2)) if len(changes) else float("nan")


@dataclass(frozen=True)
class Rise:
    """The two neighbouring moments of a run between which the best head's score rises fastest, and the scores there."""

    before: int
    after: int
    low: float
    high: float


def induction_rise(name: str) -> Rise:
    """When the induction head of a shipped model appeared."""
    recording = shipped()[name].recording()
    _, scores = recording.scores()
    best = scores.reshape(len(recording.steps), -1).max(axis=1)
    before, after = steepest(np.array(recording.steps), -best)
    return Rise(before, after, *(float(best[recording.steps.index(step)]) for step in (before, after)))


def nearest_to_a_floor() -> tuple[float, str, str]:
    """Loss less floor where that is least among what ships: in nats, with the model's name and the domain."""
    return min((loss - floor, name, domain) for name, model in shipped().items()
               for domain, loss in model.measured().losses.items()
               if not math.isnan(floor := shipped_floors(name).get(domain, math.nan)))


def spread_of_floors(length: int, documents: int = 256) -> float:
    """The largest difference, in nats, between a domain's floors over two draws of `documents` of `length` tokens."""
    vocabulary = compact_vocabulary(ModelConfig.preset(CLASSROOM).vocab_size)
    floors = [[draw(domain, vocabulary, np.random.default_rng(seed), documents, length + 1).entropy[:, 1:].mean()
               for domain in GENERATED] for seed in (0, 1)]
    return float(np.abs(np.subtract(*floors)).max())


def interrupted(length: int, steps: int = 6) -> tuple[float, int]:
    """Train a small model in one go and with a pause; the largest difference of a step's loss, and the steps."""
    recipe = Recipe(steps=steps, batch=4, length=length, warmup=1)
    corpus = Corpus(compact_vocabulary(TINY.vocab_size), Mixture.of(dict.fromkeys(GENERATED, 1)), length)
    whole, first, second = (Trainer(Contestant("tiny", "a small model", TINY).build(), corpus, recipe) for _ in range(3))
    for _ in range(steps):
        whole.train()
    for _ in range(steps // 2):
        first.train()
    resume(second, state_bytes(first))
    while not second.done:
        second.train()
    return max(abs(a.loss - b.loss) for a, b in zip(whole.steps, second.steps, strict=True)), steps
