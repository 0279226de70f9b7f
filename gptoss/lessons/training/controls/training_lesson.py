"""What stands below the training page: its question, its experiments, the maths and checks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import streamlit as st

from gptoss.app import live
from gptoss.app.lesson import Lesson, Prediction, Try
from gptoss.app.verdicts import Claim
from gptoss.config import ModelConfig
from gptoss.lessons.training.controls.training_settings import LENGTH, MIXTURE, key
from gptoss.lessons.training.measure import shipped_curve, shipped_floors, shipped_standing, steepest
from gptoss.tokenizer import compact_vocabulary
from gptoss.training import domains
from gptoss.training.contestants import BASELINE, STUDY, Contestant
from gptoss.training.corpus import DOMAINS, Corpus, Mixture
from gptoss.training.domains import ARITHMETIC, GENERATED, REPETITION, draw
from gptoss.training.recipe import Recipe
from gptoss.training.routing import RouterWatch
from gptoss.training.shipped import CLASSROOM, shipped
from gptoss.training.storage import resume, state_bytes
from gptoss.training.trainer import Trainer

UNBALANCED = "unbalanced"  # the contestant that trains without a balancing loss
TINY = ModelConfig.preset(CLASSROOM).replace(num_hidden_layers=2, hidden_size=32, intermediate_size=32, vocab_size=512)

MATHS = r"""
**The loss** of a text $x_1 \dots x_n$ is the mean cross-entropy of each token given those before it, in nats:

$$L = -\frac1n \sum_t \ln p_\theta(x_t \mid x_{<t})$$

An even guess over a vocabulary of $V$ costs $\ln V$.

**The floor.** Where the process that wrote the text is known, so is the chance $q$ of every next token. No model can on
average do better than the entropy of that chance (Shannon 1948):

$$L \;\ge\; H = \frac1n \sum_t \Big(-\sum_x q(x \mid x_{<t}) \ln q(x \mid x_{<t})\Big), \qquad
L - H = \frac1n\sum_t \mathrm{KL}\big(q \,\|\, p_\theta\big)$$

**AdamW** (Loshchilov and Hutter, arXiv 1711.05101), for each parameter with gradient $g$ and learning rate $\eta$:

$$m \leftarrow \beta_1 m + (1-\beta_1) g, \quad v \leftarrow \beta_2 v + (1-\beta_2) g^2, \quad
\theta \leftarrow \theta - \eta\Big(\frac{\hat m}{\sqrt{\hat v} + \epsilon} + \lambda\theta\Big)$$

with $\hat m = m/(1-\beta_1^i)$ and $\hat v = v/(1-\beta_2^i)$ in step $i$; $\lambda$ for matrices only. Before that,
gradients whose norm together is above $c$ are multiplied by $c / \lVert g \rVert$.

**The schedule.** A linear warmup of $u$ steps to the peak $\eta$, then a cosine to the share $f$ of it:

$$\eta_i = \eta\,\frac{i+1}{u} \;\; (i < u), \qquad
\eta_i = \eta\Big(f + (1-f)\,\tfrac12\big(1 + \cos \pi\,\tfrac{i+1-u}{n-u}\big)\Big) \;\; (i \ge u)$$

**The balancing loss** (Fedus et al., arXiv 2101.03961), with $f_e$ the share of the choices that expert $e$ of $E$ got and
$P_e$ its mean probability: $\;E\sum_e f_e P_e$ is 1 for an even load, and larger for any other that follows its
probabilities. A small multiple of it is added to $L$.
"""


def training_lesson(claims: Sequence[Claim]) -> Lesson:
    """The lesson. Its figures come from the shipped runs, which do not change with the model under study."""
    return Lesson(
        path="training", maths=MATHS, prediction=prediction(), tries=tries(), code=[Trainer, domains, RouterWatch],
        claims=claims, checks=how_we_know)


def prediction() -> Prediction:
    """When the induction head appears in the recorded run."""
    standing = shipped_standing(CLASSROOM)
    return Prediction(
        f"The shipped classroom model trained for {standing.at:,} steps. An induction head looks at the token after the "
        "last place where the present one stood. At about which step did its best head's score rise fastest?",
        answer=lambda: _rise()[1], because=_because_of_the_rise, unit="steps", tolerance=0.25, show="{:,.0f}".format)


def _rise() -> tuple[int, int]:
    """The moments between which the best induction score rises fastest."""
    recording = shipped()[CLASSROOM].recording()
    _, induction = recording.scores()
    return steepest(np.array(recording.steps), -induction.reshape(len(recording.steps), -1).max(axis=1))


def _because_of_the_rise(_) -> str:
    recording = shipped()[CLASSROOM].recording()
    _, induction = recording.scores()
    best = induction.reshape(len(recording.steps), -1).max(axis=1)
    before, after = _rise()
    fall = steepest(*shipped_curve(CLASSROOM, REPETITION))
    return (f"Between steps {before:,} and {after:,} the best score goes from {best[recording.steps.index(before)]:.2f} to "
            f"{best[recording.steps.index(after)]:.2f}. The loss on repetition falls fastest between steps {fall[0]:,} and "
            f"{fall[1]:,}: to repeat a string, a model has to find where it stood. Replay shows both.")


def tries() -> list[Try]:
    """Experiments: routers left alone, a rate too high, and one skill alone."""
    usual = {key("source"): MIXTURE, key("steps"): 300, key("peak"): 4e-3, key("warmup"): 30, key("clip"): 1.0,
             key("balance"): 0.01}
    shares = {key(f"share_{domain}"): 0 for domain in DOMAINS}
    return [
        Try("Leave the routers alone", "The same model with and without the balancing loss. Press Train, and open "
            "*Expert load*: which bands stay narrow?", preset=CLASSROOM, controls=usual | {key("who"): [STUDY, UNBALANCED]}),
        Try("Learn too fast", "A learning rate of 10, thousands of times the usual one. Press Train, and see how the run "
            "ends, and which weights are kept.", preset=CLASSROOM,
            controls=usual | {key("who"): [STUDY], key("peak"): 10.0, key("warmup"): 50, key("clip"): 1000.0}),
        Try("One skill alone", "Only arithmetic, for GPT-OSS and GPT-2. Draw your curve first: who comes nearer to the "
            "floor?", preset=CLASSROOM,
            controls=usual | shares | {key(f"share_{ARITHMETIC}"): 100, key("who"): [STUDY, BASELINE]}),
    ]


def how_we_know() -> None:
    """Floors, and a run interrupted against one that was not, at this moment."""
    with live.HEAVY:
        difference, steps = interrupted()
    vocabulary = compact_vocabulary(ModelConfig.preset(CLASSROOM).vocab_size)
    spread = max(abs(_floor(domain, vocabulary, 0) - _floor(domain, vocabulary, 1)) for domain in GENERATED)
    gap, name, domain = nearest_to_a_floor()
    st.markdown(
        f"- **The floor is exact**: it is the entropy of the very process that wrote the texts, token by token, not an "
        f"estimate from data. Which 256 documents are drawn moves its mean by at most {spread:.3f} nats.\n"
        f"- **Nobody is below it**: of all shipped models and domains, {name} comes nearest on {domain}: "
        f"{gap:+.3f} nats from the floor.\n"
        f"- **A pause changes nothing**: a small model was just trained for {steps} steps, once in one go and once written "
        f"down and read back halfway. The largest difference between their losses is **{difference:g}**.\n\n"
        "The tests hold each entropy against the process's own chances, the balancing loss and the schedule against their "
        "formulas, and losses of several processes against one. Shuffled labels are not learnt.")


def _floor(domain: str, vocabulary, seed: int) -> float:
    return float(draw(domain, vocabulary, np.random.default_rng(seed), 256, LENGTH + 1).entropy[:, 1:].mean())


def nearest_to_a_floor() -> tuple[float, str, str]:
    """Loss less floor where that is least: in nats, with the model's name and the domain."""
    return min((loss - floor, name, domain) for name, model in shipped().items()
               for domain, loss in model.measured().losses.items()
               if not math.isnan(floor := shipped_floors(name).get(domain, math.nan)))


def interrupted(steps: int = 6) -> tuple[float, int]:
    """Train a small model in one go and with a pause; the largest difference of a step's loss, and the steps."""
    recipe = Recipe(steps=steps, batch=4, length=LENGTH, warmup=1)
    corpus = Corpus(compact_vocabulary(TINY.vocab_size), Mixture.of(dict.fromkeys(GENERATED, 1)), LENGTH)
    whole, first, second = (Trainer(Contestant("tiny", "a small model", TINY).build(), corpus, recipe) for _ in range(3))
    for _ in range(steps):
        whole.train()
    for _ in range(steps // 2):
        first.train()
    resume(second, state_bytes(first))
    while not second.done:
        second.train()
    return max(abs(a.loss - b.loss) for a, b in zip(whole.steps, second.steps, strict=True)), steps
