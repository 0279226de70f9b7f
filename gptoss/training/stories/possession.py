"""A small world in sentences, with the exact entropy of every next token: who has the ball, where is she, what did he lose.

People come, go from place to place, give, take, lose and find things, and between these sentences questions are asked whose
answers follow from what was told. Every sentence is drawn from a list of all that can be said now, each with its
probability, so that the entropy of each token is known: the probabilities of the sentences that begin like this one, summed
by their next token. Entropies are in nats (Shannon 1948).
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from gptoss.tokenizer import CompactVocabulary
from gptoss.training.domains import Documents

POSSESSION = "possession"
NAMES = tuple("Tom Lily Ben Anna Max Mia Sam Emma Jack Sara Leo Lucy Tim Ruby Amy Peter".split())
THINGS = tuple("ball hat key book cup kite box lamp apple bell ring map drum toy stone cake".split())
PLACES = tuple("park garden kitchen school barn market forest house".split())
PEOPLE = 4  # in one story
# How often each kind of sentence comes, among the kinds that are possible; sentences of one kind are equally likely.
WEIGHTS = {"come": 2.0, "go": 2.0, "give": 2.0, "take": 1.0, "lose": 0.5, "find": 1.0,
           "who": 1.0, "with": 1.0, "where": 1.0, "where thing": 0.7, "lost": 0.5}

Fact = tuple[str, str]  # ("holder", thing), ("place", person) or ("lost", person)


class Move(NamedTuple):
    """One sentence that can be said now, or a question with its answer.

    Attributes:
        kind: one of `WEIGHTS`.
        text: the sentence.
        tells: what holds afterwards: fact -> the word that says so.
        asks: the facts from which the answer follows; empty where nothing is asked.
        answer: the word that answers.
    """

    kind: str
    text: str
    tells: dict[Fact, str]
    asks: tuple[Fact, ...] = ()
    answer: str = ""

    def retold(self) -> dict[Fact, str]:
        """What a listener hears said by this sentence: what it tells, and the answer where a single fact gives it."""
        return self.tells | ({self.asks[0]: self.answer} if len(self.asks) == 1 else {})


@dataclass
class World:
    """What is so at one place of a story: fact -> word; a thing that nobody has is held by an empty word."""

    facts: dict[Fact, str] = field(default_factory=dict)

    def of(self, kind: str) -> dict[str, str]:
        return {name: value for (fact, name), value in self.facts.items() if fact == kind}

    def chances(self) -> dict[str, float]:
        """Each kind of sentence that is possible now, and how likely it comes."""
        weights = {kind: WEIGHTS[kind] for kind in WEIGHTS if self._possible(kind)}
        total = sum(weights.values())
        return {kind: weight / total for kind, weight in weights.items()}

    def moves(self) -> list[tuple[float, Move]]:
        """All that can be said now, each with its probability; the probabilities add up to 1."""
        return [(chance / len(moves), move) for kind, chance in self.chances().items()
                for moves in [self.of_kind(kind)] for move in moves]

    def _possible(self, kind: str) -> bool:
        place, holder = self.of("place"), self.of("holder")
        if kind == "come":
            return len(place) < PEOPLE
        if kind in ("give", "take"):
            return any(list(place.values()).count(place[owner]) > 1 for owner in holder.values() if owner)
        if kind == "find":
            return not all(holder.values())
        if kind == "lost":
            return bool(self.of("lost"))
        return bool(place) if kind in ("go", "where") else any(holder.values())

    def of_kind(self, kind: str) -> list[Move]:
        """All sentences of one kind that can be said now, each as likely as the others."""
        place, holder = self.of("place"), self.of("holder")
        owned = {thing: owner for thing, owner in holder.items() if owner}
        if kind == "come" and self._possible(kind):
            return [Move(kind, f"{name} came to the {where} with the {thing}.",
                         {("place", name): where, ("holder", thing): name})
                    for name in NAMES if name not in place for where in PLACES for thing in THINGS if thing not in holder]
        if kind == "go":
            return [Move(kind, f"{name} went to the {where}.", {("place", name): where})
                    for name, here in place.items() for where in PLACES if where != here]
        if kind in ("give", "take"):
            sentence = "{owner} gave the {thing} to {other}." if kind == "give" else "{other} took the {thing} from {owner}."
            return [Move(kind, sentence.format(owner=owner, thing=thing, other=other), {("holder", thing): other})
                    for thing, owner in owned.items() for other in place
                    if other != owner and place[other] == place[owner]]
        if kind == "lose":
            return [Move(kind, f"{owner} lost the {thing}.", {("holder", thing): "", ("lost", owner): thing})
                    for thing, owner in owned.items()]
        if kind == "find":
            return [Move(kind, f"{name} found the {thing}.", {("holder", thing): name})
                    for thing in holder if thing not in owned for name in place]
        return [] if kind == "come" else self._questions(kind, owned)

    def _questions(self, kind: str, owned: dict[str, str]) -> list[Move]:
        place = self.of("place")
        if kind == "where":
            return [Move(kind, f"Where is {name}? In the {where}.", {}, (("place", name),), where)
                    for name, where in place.items()]
        if kind == "lost":
            return [Move(kind, f"What did {name} lose? The {thing}.", {}, (("lost", name),), thing)
                    for name, thing in self.of("lost").items()]
        if kind == "where thing":
            return [Move(kind, f"Where is the {thing}? In the {place[owner]}.", {},
                         (("holder", thing), ("place", owner)), place[owner]) for thing, owner in owned.items()]
        sentence = "Who has the {thing}? {owner}." if kind == "who" else "Now the {thing} is with {owner}."
        return [Move(kind, sentence.format(owner=owner, thing=thing), {}, (("holder", thing),), owner)
                for thing, owner in owned.items()]


class Story(NamedTuple):
    """One text of the grammar, by token.

    Attributes:
        tokens: ids.
        entropy: nats of uncertainty about each token given those before it; NaN where it was not asked for.
        age: for each answer, how many sentences ago the oldest fact that it follows from was told; 0 elsewhere.
        distance: for each answer that one sentence tells, how many tokens ago that sentence named it; 0 elsewhere.
    """

    tokens: np.ndarray
    entropy: np.ndarray
    age: np.ndarray
    distance: np.ndarray


class Grammar:
    """Draws stories in the tokens of one vocabulary, which must have every name, thing and place as one token."""

    def __init__(self, vocabulary: CompactVocabulary):
        self.vocabulary = vocabulary
        self._spelt: dict[str, tuple[int, ...]] = {}

    def draw(self, rng: np.random.Generator, length: int, entropies: bool = True) -> Story:
        """A text of exactly `length` tokens, its last sentence cut where it must be."""
        world, heard, spoken = World(), {}, {}  # fact -> number of the sentence that told it, and the place of its word
        tokens, entropy, age, distance = [], [], [], []
        number = 0
        while len(tokens) < length:
            chances = world.chances()
            moves = world.of_kind(str(rng.choice(list(chances), p=list(chances.values()))))
            move = moves[int(rng.integers(len(moves)))]
            lead = " " if number else ""
            own = self.spelt(lead + move.text)
            entropy += self._entropies(world.moves(), lead, own) if entropies else [math.nan] * len(own)
            age += [0] * len(own)
            distance += [0] * len(own)
            if move.asks:
                place = len(tokens) + self._last(own, move.answer)
                age[place] = number - min(heard[fact] for fact in move.asks)
                origin = spoken[move.asks[0]]
                if len(move.asks) == 1 and tokens[origin] == self.one(move.answer):
                    distance[place] = place - origin
            for fact, word in move.retold().items():
                heard[fact] = number
                spoken[fact] = len(tokens) + (self._last(own, word) if self.one(word) in own else 0)
            world.facts |= move.tells
            tokens += own
            number += 1
        return Story(*(np.array(values[:length]) for values in (tokens, entropy, age, distance)))

    def documents(self, rng: np.random.Generator, count: int, length: int,
                  entropies: bool = True) -> tuple[Documents, np.ndarray]:
        """`count` texts of `length` tokens, and the `age` of their answers in sentences: (count, length)."""
        stories = [self.draw(rng, length, entropies) for _ in range(count)]
        tokens, entropy, age, distance = (np.stack(values) for values in zip(*stories, strict=True))
        return Documents(tokens, entropy, distance), age

    def spelt(self, text: str) -> tuple[int, ...]:
        """The ids of a text, remembered."""
        if text not in self._spelt:
            self._spelt[text] = tuple(self.vocabulary.encode(text))
        return self._spelt[text]

    def one(self, word: str) -> int:
        """The id of a word with a space before it, as every answer has; -1 for no word."""
        token, = self.spelt(f" {word}") if word else (-1,)
        return token

    def _last(self, sentence: tuple[int, ...], word: str) -> int:
        """Where a sentence says a word for the last time: an answer is at its end."""
        return len(sentence) - 1 - sentence[::-1].index(self.one(word))

    def _entropies(self, moves: list[tuple[float, Move]], lead: str, chosen: tuple[int, ...]) -> list[float]:
        """The entropy of each token of the sentence `chosen`, one of `moves`, given those before it."""
        alive = [(chance, self.spelt(lead + move.text)) for chance, move in moves]
        nats = []
        for place, token in enumerate(chosen):
            following = defaultdict(float)
            for chance, sentence in alive:
                following[sentence[place]] += chance
            shares = np.array(list(following.values())) / sum(following.values())
            nats.append(float(-(shares * np.log(shares)).sum()))
            alive = [(chance, sentence) for chance, sentence in alive if sentence[place] == token]
        return nats


def vocabulary_words() -> list[str]:
    """Texts whose tokens a vocabulary needs so that every sentence has its words whole."""
    named = [f" {word}" for word in (*NAMES, *THINGS, *PLACES)]
    shapes = ["came to the with the. went to the. gave the to. took the from. lost the. found the. Who has the?",
              " Who has the? Now the is with. Where is the? In the. Where is? What did lose? The."]
    return [*named, *NAMES, *(f" {shape}" for shape in shapes)]
