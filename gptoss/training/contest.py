"""One to three models that learn from the same documents, step by step together, so that their curves can be compared."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from safetensors.torch import load
from torch import Tensor

from gptoss.config import GPT2Config, ModelConfig
from gptoss.cost import activation_bytes, training_memory
from gptoss.cost.activations import WRITTEN_OUT
from gptoss.model import LanguageModel
from gptoss.tokenizer import compact_vocabulary
from gptoss.training.contestants import Contestant
from gptoss.training.corpus import Batch, Corpus, Mixture
from gptoss.training.evaluation import Evaluation, evaluate
from gptoss.training.recipe import Recipe
from gptoss.training.recording import Probe, Recording
from gptoss.training.storage import history, resume, state_bytes
from gptoss.training.trainer import Diverged, Step, Trainer

MOST = 3  # contestants
DOCUMENTS = 16  # validation documents of each domain at every moment
EVERY = 25  # steps between two moments, in runs of usual length
MOMENTS = 40  # at most, in long runs
UNDOING = 1.6  # memory of a pass while it is undone, as a multiple of what it keeps: measured on a CPU
RECORDED = 6 * 2**20  # bytes of attention, at most, that the recording of one contestant keeps

Each = Callable[[Callable, Iterable], Iterable]  # `map`, or the `map` of a pool of threads


@dataclass(frozen=True)
class Plan:
    """What is to be trained, on what and how. All contestants read the same documents, so they share a vocabulary.

    Raises `ValueError` for none or more than `MOST` contestants, two of one name, and vocabularies that differ.
    """

    contestants: tuple[Contestant, ...]
    recipe: Recipe
    mixture: Mixture = Mixture()
    own_text: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.contestants) <= MOST:
            raise ValueError(f"{len(self.contestants)} models cannot be trained; allowed: 1 to {MOST}")
        models = {(one.config, one.sinks, one.balanced, one.gated) for one in self.contestants}
        for what, different in (("name", {one.name for one in self.contestants}), ("model", models)):
            if len(different) < len(self.contestants):
                raise ValueError(f"two contestants have the same {what}")
        if len({one.config.vocab_size for one in self.contestants}) > 1:
            raise ValueError("the contestants have different vocabularies, so their losses cannot be compared")

    def corpus(self) -> Corpus:
        """The documents. Raises `ValueError` as `Corpus` does."""
        vocabulary = compact_vocabulary(self.contestants[0].config.vocab_size)
        return Corpus(vocabulary, self.mixture, self.recipe.length, self.own_text, self.recipe.seed)

    @property
    def paced(self) -> Recipe:
        """The recipe, evaluated often enough to see a curve, and rarely enough to keep what is recorded small."""
        most = max(RECORDED // max(map(self._attention_bytes, self.contestants)), 2)
        usual = min(EVERY, max(self.recipe.steps // 4, 1))
        return self.recipe.replace(evaluate_every=max(usual, -(-self.recipe.steps // min(MOMENTS, most))))

    @property
    def standings(self) -> tuple[Standing, ...]:
        """Before the first step."""
        return tuple(Standing(one, own_recipe(one, self.paced)) for one in self.contestants)

    @property
    def tokens(self) -> int:
        """Tokens predicted by all contestants together."""
        return len(self.contestants) * self.recipe.tokens

    def bytes_needed(self, at_once: int = 1) -> int:
        """Memory of the run, where `at_once` contestants work at the same time."""
        states = sum(state_needed(one.config) for one in self.contestants)
        working = sorted((activations_needed(one.config, self.recipe) for one in self.contestants), reverse=True)
        return states + round(UNDOING * sum(working[:at_once]))

    def _attention_bytes(self, one: Contestant) -> int:
        return one.config.num_hidden_layers * one.config.num_attention_heads * self.recipe.length**2


def state_needed(config: ModelConfig | GPT2Config) -> int:
    """Bytes that stay from step to step: fp32 weights, gradients and AdamW's moments, and two copies of good weights.

    The second copy is there while it replaces the first.
    """
    memory = training_memory(config, "fp32")
    return sum(memory.values()) + 2 * memory["weights"]


def activations_needed(config: ModelConfig | GPT2Config, recipe: Recipe) -> int:
    """Bytes that one pass keeps in fp32 until it is undone: those of the layers, and the logits with their gradients."""
    documents, tokens = recipe.batch // recipe.accumulation, recipe.length
    logits = 2 * documents * tokens * config.vocab_size * 4  # with their gradient; their logarithms are counted below
    if isinstance(config, ModelConfig):
        return logits + sum(activation_bytes(config, documents, tokens, "fp32", WRITTEN_OUT).values())
    # Of each token and layer GPT-2 keeps two norms, queries, keys, values and their mixture, and an MLP four times as
    # wide before and after its activation: 16 times the width, in fp32.
    return logits + documents * tokens * (16 * config.hidden_size * config.num_hidden_layers + config.vocab_size) * 4


@dataclass(frozen=True)
class Standing:
    """How far one contestant is: plain data, which nobody changes any more.

    Attributes:
        recipe: its own: without a balancing loss where it is to have none.
        at: steps done.
        steps: each of them.
        evaluations: by the number of steps done before.
        recording: what can be replayed, None before its first moment.
        trouble: why it cannot go on, or nothing.
    """

    contestant: Contestant
    recipe: Recipe
    at: int = 0
    steps: tuple[Step, ...] = ()
    evaluations: Mapping[int, Evaluation] = field(default_factory=dict)
    recording: Recording | None = None
    trouble: str = ""


def own_recipe(contestant: Contestant, recipe: Recipe) -> Recipe:
    """The recipe for one contestant."""
    return recipe if contestant.balanced else recipe.replace(balance=0.0)


class Runner:
    """One contestant in training. Its `standing` may be read from another thread at any time."""

    def __init__(self, contestant: Contestant, corpus: Corpus, recipe: Recipe, before: Standing | None = None,
                 state: bytes = b""):
        self.contestant, recipe = contestant, own_recipe(contestant, recipe)
        self.trainer = Trainer(contestant.build(recipe.seed), corpus, recipe)
        self.recording = before and before.recording
        self.trouble = before.trouble if before else ""
        if state:
            resume(self.trainer, state)
        self.standing = before or Standing(contestant, recipe)

    @property
    def learning(self) -> bool:
        return not (self.trouble or self.trainer.done)

    @property
    def look_due(self) -> bool:
        """Whether it is to be evaluated now. The first time comes after the first step, so that a curve begins at once."""
        return not self.trouble and self.trainer.at > 0 and (
            self.trainer.evaluation_due or not self.trainer.evaluations)

    def train(self, batch: Batch) -> None:
        """One step."""
        self._try(lambda: self.trainer.train(batch))

    def look(self, probe: Probe) -> None:
        """Evaluate and record; the first time as it was before its first step."""
        self._try(lambda: self._look(probe))

    def state(self) -> bytes:
        """All that a later `Runner` needs to go on from here."""
        return state_bytes(self.trainer)

    def _look(self, probe: Probe) -> None:
        trainer = self.trainer
        if not trainer.evaluations:
            untrained = self.contestant.build(trainer.recipe.seed)
            trainer.evaluations[0] = evaluate(untrained, trainer.corpus.validation(DOCUMENTS),
                                              precision=trainer.recipe.precision)
            self._record(probe, 0, untrained)
        if trainer.evaluation_due:
            trainer.evaluate(DOCUMENTS)
            self._record(probe, trainer.at, trainer.model)

    def _record(self, probe: Probe, at: int, model: LanguageModel) -> None:
        """Add a moment to a new recording: whoever has the old one goes on reading it."""
        old = self.recording or Recording(probe)
        new = Recording(probe, [*old.steps], [*old.attention], [*old.experts], [*old.samples])
        new.add(at, model)
        self.recording = new

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Diverged as reason:
            self.trouble = str(reason)
        now = self.trainer
        self.standing = Standing(self.contestant, now.recipe, now.at, tuple(now.steps), dict(now.evaluations),
                                 self.recording, self.trouble)


class Contest:
    """All runners of a plan, at the same step of it. `before` and `states` are those of a contest that was put aside."""

    def __init__(self, plan: Plan, corpus: Corpus, before: Sequence[Standing | None] = (), states: Sequence[bytes] = ()):
        self.corpus, self.recipe = corpus, plan.paced
        self._batches: dict[int, Batch] = {}
        self.floors: dict[str, float] = {}  # known with the first evaluation
        before = before or [None] * len(plan.contestants)
        states = states or [b""] * len(plan.contestants)
        self.runners = [Runner(one, corpus, self.recipe, *past)
                        for one, *past in zip(plan.contestants, before, states, strict=True)]

    @property
    def done(self) -> bool:
        return not any(runner.learning for runner in self.runners)

    def step(self, each: Each = map) -> None:
        """One step of every model that can still learn."""
        learning = [runner for runner in self.runners if runner.learning]
        at = learning[0].trainer.at
        batch = self._batch(at)
        working = each(lambda runner: runner.train(batch), learning)
        if at + 1 < self.recipe.steps:
            self._batch(at + 1)  # read while others work
        list(working)

    def look(self, each: Each = map) -> None:
        """Evaluate and record those that are due."""
        if due := [runner for runner in self.runners if runner.look_due]:
            self.floors = self.corpus.floors(DOCUMENTS)  # the documents are read once, before several ask for them
            list(each(lambda runner: runner.look(self._probe), due))

    def _batch(self, step: int) -> Batch:
        """The documents of one step; those of this and the step before are kept."""
        if step not in self._batches:
            self._batches = {at: batch for at, batch in self._batches.items() if at == step - 1}
            self._batches[step] = self.corpus.batch(step, self.recipe.batch)
        return self._batches[step]

    @functools.cached_property
    def _probe(self) -> Probe:
        return Probe.of(self.corpus, DOCUMENTS)

    @property
    def standings(self) -> tuple[Standing, ...]:
        return tuple(runner.standing for runner in self.runners)


def weights_in(state: bytes) -> dict[str, Tensor]:
    """The weights in a runner's state, by name."""
    return {name.removeprefix("weights."): tensor for name, tensor in load(state).items() if name.startswith("weights.")}


def contestant_history(plan: Plan, standing: Standing) -> dict:
    """A contestant's history, as JSON can hold it."""
    one = standing.contestant
    return {"contestant": one.name, "title": one.title, "config": dataclasses.asdict(one.config), "sinks": one.sinks,
            "shares": dict(plan.mixture.shares), "stopped": standing.trouble} | history(standing)
