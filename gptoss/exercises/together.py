"""The end of the exercises: a learner's parts become one model that runs trained weights, beside ours.

Only on the learner's own machine: the app does not import this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from gptoss.cost import checkpoint_bytes, count_parameters
from gptoss.exercises.assembled import Assembled, Parts
from gptoss.exercises.catalogue import EXERCISES
from gptoss.exercises.check import PASSED, UNWRITTEN, check, stopped
from gptoss.exercises.compare import difference
from gptoss.exercises.tasks.harmony import said
from gptoss.exercises.tasks.training import GradientDescent
from gptoss.model import KVCache, Transformer
from gptoss.model.sampling import next_token_probabilities
from gptoss.tokenizer import CompactVocabulary, compact_vocabulary

PROMPT = '''\
def __init__(self, name, value=None):
    """Create a new entry with the given name.

    If value is not given, the name is used."""
    self.name = name
    '''
TALK = (said("system", "Reasoning: low"), said("user", "What is a cache?"), said("assistant", "Say it briefly.", "analysis"),
        said("assistant", "What is kept for later.", "final"), said("user", "And a window?"),
        said("assistant", "Look it up.", "analysis"), said("assistant", "{}", "commentary", "functions.look_up"),
        said("functions.look_up", "16 tokens", "commentary", "assistant"))
TRAINED = Path(__file__).parents[1] / "training" / "shipped" / "classroom"  # the checkpoint that the whole reads
NEW_TOKENS, TEMPERATURE, TOP_K, TOP_P, SEED = 40, 0.7, 50, 0.9, 1
TOLERANCE = 1e-4  # of a probability: the same sums in another order differ by less than a thousandth of that
SOLUTIONS: Parts = {name: exercise.solution for name, exercise in EXERCISES.items()}


@dataclass(frozen=True)
class Together:
    """What came of putting the parts together.

    Attributes:
        yours: names of the parts that are the learner's; ours stand in for the others.
        failing: those of them that do not pass their own check.
        differences: a sentence on everything in which the whole differs from ours.
        blamed: those of the learner's parts that make such a difference alone, among ours.
        likeliest: next tokens of the prompt with their probabilities, as the whole computes them.
        text: what it writes after the prompt.
    """

    yours: tuple[str, ...]
    failing: tuple[str, ...]
    differences: tuple[str, ...]
    blamed: tuple[str, ...] = ()
    likeliest: tuple[tuple[str, float], ...] = ()
    text: str = ""

    @property
    def same(self) -> bool:
        return not self.differences

    @property
    def sentence(self) -> str:
        """All of it in words, for a terminal or a notebook."""
        if not self.yours:
            return "Nothing is written yet, so that all parts would be ours."
        missing = [name for name in EXERCISES if name not in self.yours]
        lines = [f"{len(self.yours)} of {len(EXERCISES)} parts are yours"
                 + (f"; ours stand in for {', '.join(missing)}." if missing else ": all of them.")]
        if self.same:
            words = ", ".join(f"{token!r} {share:.1%}" for token, share in self.likeliest)
            lines += ["Your GPT-OSS says the same as ours.", f"Likeliest next tokens: {words}",
                      f"It reads:\n{PROMPT}\nIt writes:\n{self.text}"]
        else:
            lines += ["Your GPT-OSS does not say the same as ours.", *(f"- {words}" for words in self.differences)]
            lines += [f"The difference comes from: {', '.join(self.blamed)}."] if self.blamed else []
        lines += [f"Not right in every case yet, by their own checks: {', '.join(self.failing)}."] if self.failing else []
        return "\n".join(lines)


def put_together(parts: Parts) -> Together:
    """Run the learner's parts as one model. Those that are not written yet, or not there, are ours."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for so small a model a second thread costs more than it gives
    try:
        return _put_together(parts)
    finally:
        torch.set_num_threads(threads)


def _put_together(parts: Parts) -> Together:
    states = {name: check(EXERCISES[name], part).state for name, part in parts.items()}
    yours = {name: parts[name] for name, state in states.items() if state != UNWRITTEN}
    found = tuple(yours), tuple(name for name in yours if states[name] != PASSED)
    whole = {**SOLUTIONS, **yours}
    differences = tuple(differences_of(whole))
    if differences:
        blamed = tuple(name for name in yours if any(differences_of({**SOLUTIONS, name: yours[name]})))
        return Together(*found, differences, blamed)
    model = Assembled(whole, TRAINED)
    ids = _vocabulary().encode(PROMPT)
    with torch.no_grad():
        best = next_token_probabilities(model.read(ids)).topk(3)
        written = _vocabulary().decode(model.write(ids, NEW_TOKENS, TEMPERATURE, TOP_K, TOP_P, SEED))
    labels = [_vocabulary().label(token) for token in best.indices.tolist()]
    return Together(*found, (), (), tuple(zip(labels, best.values.tolist(), strict=True)), written)


@cache
def _ours() -> Transformer:
    return Transformer.from_checkpoint(TRAINED, torch.float32).eval().requires_grad_(False)


def _vocabulary() -> CompactVocabulary:
    return compact_vocabulary(_ours().config.vocab_size)


def differences_of(parts: Parts) -> Iterator[str]:
    """A sentence on each thing in which a model out of these parts is not ours."""
    for compare in (_accounts, _rounding, _conversation, _probabilities, _continuation, _training):
        try:
            difference = compare(parts)
        except (Exception, SystemExit) as error:
            difference = f"{compare.__doc__.partition(':')[0]} {stopped(error, *parts.values())}."
        if difference:
            yield difference


def _accounts(parts: Parts) -> str:
    """In `parameters` or `memory`: the counts of the model that runs, and of what it keeps."""
    config = _ours().config
    tensors = sum(parameter.numel() for parameter in _ours().parameters())
    counted, active = parts["parameters"](config)
    kept = KVCache(config, 1, 100, dtype=torch.bfloat16).nbytes
    on_disk, cached = parts["memory"](config, 100)
    figures = (("parameters in its tensors", tensors, counted),
               ("active parameters", count_parameters(config).active, active),
               ("bytes in a cache of 100 tokens", kept, cached), ("bytes of weights", checkpoint_bytes(config), on_disk))
    return " ".join(f"The model has {right:,} {what}, you count {given:,}." for what, right, given in figures
                    if right != given)


def _rounding(parts: Parts) -> str:
    """In rounding: the unembedding of the trained model, packed, and read again."""
    weights = _ours().unembedding.weight[:64]
    given, right = (SOLUTIONS["mxfp4"](*each["pack"](weights)) for each in (parts, SOLUTIONS))
    return difference(right, given, what="the unembedding rounded to MXFP4")


def _conversation(parts: Parts) -> str:
    """In the conversation: the text that the model reads of it."""
    given, right = (each["harmony"](list(TALK)) for each in (parts, SOLUTIONS))
    return difference(right, given, what="a conversation")


def _probabilities(parts: Parts) -> str:
    """In reading: the next token's probabilities after a text that came in two pieces, and after a conversation."""
    model = Assembled(parts, TRAINED)
    for text in (PROMPT, SOLUTIONS["harmony"](list(TALK))):
        ids = _vocabulary().encode(text, special=True)
        model.begin()
        with torch.no_grad():
            model.read(ids[:len(ids) // 2])
            given = torch.softmax(model.read(ids[len(ids) // 2:]), dim=-1)
            right = torch.softmax(_ours()(torch.tensor([ids]))[0, -1], dim=-1)
        if not torch.allclose(given, right, rtol=0, atol=TOLERANCE):
            token = int((given - right).abs().nan_to_num(nan=1).argmax())
            return (f"After {len(ids)} tokens the next one is {_vocabulary().label(token)!r} with a probability of "
                    f"{given[token]:.4f}, not {right[token]:.4f}.")
    return ""


def _continuation(parts: Parts) -> str:
    """In writing: the text that is drawn, token by token, with the same seed."""
    ids = _vocabulary().encode(PROMPT)
    settings = (NEW_TOKENS, TEMPERATURE, TOP_K, TOP_P, SEED)
    with torch.no_grad():
        given = list(Assembled(parts, TRAINED).write(ids, *settings))
    right = list(_ours().generate(ids, *settings))
    same = next((place for place, (mine, yours) in enumerate(zip(right, given, strict=True)) if mine != yours), len(right))
    if same == len(right):
        return ""
    return (f"It writes {_vocabulary().decode(given[same:same + 6])!r} where ours writes "
            f"{_vocabulary().decode(right[same:same + 6])!r}, after {same} equal tokens.")


def _training(parts: Parts) -> str:
    """In training: the losses of three steps on the text, of a copy of the trained model."""
    ids = torch.tensor([_vocabulary().encode(PROMPT)])
    given, right = (_losses(each["training"], ids) for each in (parts, SOLUTIONS))
    if all(abs(mine - yours) <= TOLERANCE for mine, yours in zip(right, given, strict=True)):
        return ""
    losses = (", ".join(f"{loss:.4f}" for loss in losses) for losses in (given, right))
    return "The losses of three training steps are {}, not {}.".format(*losses)


def _losses(step: Callable, ids: torch.Tensor) -> list[float]:
    model = Transformer.from_checkpoint(TRAINED, torch.float32)
    optimizer = GradientDescent(model, 0.1)
    return [step(model, ids, optimizer, 1.0) for _ in range(3)]
