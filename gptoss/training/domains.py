"""Generated texts whose difficulty is known: four domains, each with the exact entropy of every next token.

A document starts with the letter that names its domain and a line break, and is drawn from that domain's process. The
process knows the probability of each next token given all before it, so the entropy is exact: no model can on average
have a lower loss, and one that has understood the domain comes near it. Entropies are in nats (Shannon 1948).

Tokens are o200k's, as its tokenizer would cut the same text, as far as the vocabulary holds them.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gptoss.tokenizer import CompactVocabulary

ARITHMETIC, BRACKETS, RECALL, REPETITION = GENERATED = "arithmetic", "brackets", "recall", "repetition"
TAGS = {"prose": "P", "code": "C", ARITHMETIC: "A", BRACKETS: "B", RECALL: "R", REPETITION: "S", "own": "O"}

HEADER = 2  # tokens before a document's text: its tag and a line break
LARGEST_NUMBER = 99
DEEPEST = 6  # open brackets
OPENING = 0.5  # chance that a bracket opens, where one may also close
ASKING = 0.5  # chance that a line of recall asks, where there is something to ask for
LINE = 4  # tokens of a line of recall
KEYS = 32  # names, and as many values, that recall chooses among
WORDS = 128  # that repetition chooses among
FEWEST = 16  # words; a vocabulary that has fewer writes with single letters instead
SHORTEST, LONGEST = 2, 29  # words that come back; two of the longest strings fill 64 tokens


@dataclass(frozen=True)
class Documents:
    """Some documents of one domain, all (count, length).

    Attributes:
        tokens: ids.
        entropy: nats of uncertainty about each token given those before it; NaN where nobody knows it.
        distance: for each token that repeats an earlier one of the text, how many tokens earlier; 0 elsewhere.
            Recall marks its answers, repetition its second times.
    """

    tokens: np.ndarray
    entropy: np.ndarray
    distance: np.ndarray


def draw(domain: str, vocabulary: CompactVocabulary, rng: np.random.Generator, count: int, length: int) -> Documents:
    """`count` documents of `length` tokens from one of `GENERATED`. Raises `ValueError` for another domain."""
    if domain not in GENERATED:
        raise ValueError(f"domain={domain!r} is unknown; allowed: {', '.join(GENERATED)}")
    tokens, entropy, distance = _DRAW[domain](Words.of(vocabulary), rng, count, length - HEADER)
    head = np.array([tag(domain, vocabulary), _single(vocabulary, "\n")])
    return Documents(np.hstack([np.tile(head, (count, 1)), tokens])[:, :length],
                     np.pad(entropy, ((0, 0), (HEADER, 0)))[:, :length],
                     np.pad(distance, ((0, 0), (HEADER, 0)))[:, :length])


def tag(domain: str, vocabulary: CompactVocabulary) -> int:
    """The id of the letter that names a domain. Raises `KeyError` for an unknown one."""
    return _single(vocabulary, TAGS[domain])


@dataclass(frozen=True)
class Words:
    """What the domains write with, as ids of one vocabulary."""

    numbers: tuple[int, ...]  # of 0, 1, 2, … as far as each is one token
    opening: tuple[int, ...]
    closing: tuple[int, ...]  # each closes the bracket at the same place of `opening`
    words: tuple[int, ...]  # lower-case words with a space before them, the most useful first
    marks: dict[str, int]

    @staticmethod
    @functools.lru_cache(maxsize=8)
    def of(vocabulary: CompactVocabulary) -> Words:
        """The tokens that this vocabulary has. Any has the single characters; more words make harder texts."""
        index = {vocabulary.token_bytes(i): i for i in range(vocabulary.size)}
        spaced = all(f" {bracket}".encode() in index for bracket in "([{)]}")
        brackets = [index[(f" {bracket}" if spaced else bracket).encode()] for bracket in "([{)]}"]
        numbers = []
        for number in range(LARGEST_NUMBER + 1):
            if str(number).encode() not in index:
                break
            numbers.append(index[str(number).encode()])
        words = [i for i in range(vocabulary.size) if re.fullmatch(rb" [a-z]{2,}", vocabulary.token_bytes(i))]
        if len(words) < FEWEST:
            words = [index[bytes([letter])] for letter in b"abcdefghijklmnop"]
        return Words(tuple(numbers), tuple(brackets[:3]), tuple(brackets[3:]), tuple(words),
                     {mark: index[mark.encode()] for mark in "\n+=:?"})

    @property
    def names(self) -> tuple[int, ...]:
        """What recall's facts are about."""
        return self.words[:min(KEYS, len(self.words) // 2)]

    @property
    def values(self) -> tuple[int, ...]:
        """What recall states of them: other words."""
        names = len(self.names)
        return self.words[names:2 * names]

    @property
    def strings(self) -> tuple[int, ...]:
        """What repetition writes."""
        return self.words[:WORDS]


def _single(vocabulary: CompactVocabulary, character: str) -> int:
    return vocabulary.encode(character)[0]


Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]


def _arithmetic(words: Words, rng: np.random.Generator, count: int, length: int) -> Drawn:
    """Lines like `17+25=42`: both numbers at random, their sum never beyond the largest number."""
    numbers = np.array(words.numbers)
    shape = (count, -(-length // 6))
    a = rng.integers(len(numbers), size=shape)
    left = len(numbers) - a  # values that the second number can have
    b = np.floor(rng.random(shape) * left).astype(int)
    plus, equals, end = (np.full(shape, words.marks[mark]) for mark in "+=\n")
    tokens = np.stack([numbers[a], plus, numbers[b], equals, numbers[a + b], end], axis=-1)
    nothing = np.zeros(shape)
    entropy = np.stack([np.full(shape, math.log(len(numbers))), nothing, np.log(left), nothing, nothing, nothing], axis=-1)
    tokens, entropy = (array.reshape(count, -1)[:, :length] for array in (tokens, entropy))
    return tokens, entropy, np.zeros(tokens.shape, dtype=int)


def _brackets(words: Words, rng: np.random.Generator, count: int, length: int) -> Drawn:
    """Brackets of three kinds that nest: one opens or the last one closes; at most `DEEPEST` are open at a time."""
    opening, closing = np.array(words.opening), np.array(words.closing)
    kinds = len(opening)
    stack, depth, rows = np.zeros((count, DEEPEST + 1), dtype=int), np.zeros(count, dtype=int), np.arange(count)
    tokens, entropy = np.zeros((count, length), dtype=int), np.zeros((count, length))
    either = _coin(OPENING) + OPENING * math.log(kinds)
    for position in range(length):
        chance = np.select([depth == 0, depth == DEEPEST], [1.0, 0.0], OPENING)
        opens, kind = rng.random(count) < chance, rng.integers(kinds, size=count)
        entropy[:, position] = np.select([depth == 0, depth == DEEPEST], [math.log(kinds), 0.0], either)
        tokens[:, position] = np.where(opens, opening[kind], closing[stack[rows, depth - 1]])
        stack[rows, np.where(opens, depth, DEEPEST)] = kind  # the last column is never read
        depth += np.where(opens, 1, -1)
    return tokens, entropy, np.zeros(tokens.shape, dtype=int)


def _recall(words: Words, rng: np.random.Generator, count: int, length: int) -> Drawn:
    """Facts like `: cat red`, and in between questions for one of those stated, with the answer: `? cat red`."""
    names, values = np.array(words.names), np.array(words.values)
    rows, size = np.arange(count), len(names)
    name = names[rng.permuted(np.tile(np.arange(size), (count, 1)), axis=1)]  # in the order in which facts come
    value = values[rng.integers(len(values), size=(count, size))]
    stated, stated_at, nothing = np.zeros(count, dtype=int), np.zeros((count, size), dtype=int), np.zeros(count)
    tokens, entropy, distance = [], [], []
    for line in range(-(-length // LINE)):
        chance = np.select([stated == 0, stated == size], [0.0, 1.0], ASKING)
        asks = rng.random(count) < chance
        fact = np.where(asks, np.floor(rng.random(count) * stated).astype(int), stated % size)
        mark = np.where(asks, words.marks["?"], words.marks[":"])
        tokens.append(np.stack([mark, name[rows, fact], value[rows, fact], np.full(count, words.marks["\n"])], axis=1))
        which = np.log(np.maximum(np.where(asks, stated, size - stated), 1))
        entropy.append(np.stack([_coins(chance), which, np.where(asks, 0, math.log(len(values))), nothing], axis=1))
        far = np.where(asks, LINE * (line - stated_at[rows, fact]), 0)
        distance.append(np.stack([nothing, nothing, far, nothing], axis=1).astype(int))
        stated_at[rows, fact] = line
        stated += ~asks
    return tuple(np.hstack(parts)[:, :length] for parts in (tokens, entropy, distance))


def _repetition(words: Words, rng: np.random.Generator, count: int, length: int) -> Drawn:
    """Lines of random words, each line written twice: where it ends is unknown the first time, and known the second.

    No word comes twice in a line, so that the word before tells which one follows.
    """
    pool, end = np.array(words.strings), words.marks["\n"]
    longest = min(LONGEST, len(pool))
    rows = np.arange(count)
    line, place, again = _line(rng, pool, count), np.zeros(count, dtype=int), np.zeros(count, dtype=bool)
    size = rng.integers(SHORTEST, longest + 1, size=count)
    tokens, entropy, distance = (np.zeros((count, length), dtype=kind) for kind in (int, float, int))
    for position in range(length):
        ended = place == size
        tokens[:, position] = np.where(ended, end, line[rows, place % len(pool)])
        stops = np.where(place < SHORTEST, 0.0, 1 / np.maximum(longest - place + 1, 1))  # chance that the line ends here
        word = np.log(np.maximum(len(pool) - place, 1))
        entropy[:, position] = np.where(again, 0, _coins(stops) + (1 - stops) * word)
        distance[:, position] = np.where(again, size + 1, 0)
        over = ended & again
        line[over] = _line(rng, pool, int(over.sum()))
        size = np.where(over, rng.integers(SHORTEST, longest + 1, size=count), size)
        place = np.where(ended, 0, place + 1)
        again ^= ended
    return tokens, entropy, distance


def _line(rng: np.random.Generator, pool: np.ndarray, count: int) -> np.ndarray:
    """The words in random orders, one for each of `count` documents."""
    return rng.permuted(np.tile(pool, (count, 1)), axis=1)


def _coin(chance: float) -> float:
    return float(_coins(np.array(chance)))


def _coins(chance: np.ndarray) -> np.ndarray:
    """Entropy of a yes or no, in nats."""
    return -sum(p * np.log(p, out=np.zeros_like(p), where=p > 0) for p in (chance, 1 - chance))


_DRAW: dict[str, Callable[[Words, np.random.Generator, int, int], Drawn]] = {
    ARITHMETIC: _arithmetic, BRACKETS: _brackets, RECALL: _recall, REPETITION: _repetition}
