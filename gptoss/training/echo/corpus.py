"""Texts in which a head has something to do after one word alone: "again" says once more what stood before it.

Any other word only decides which words may follow it, for which nobody needs to look back. So it is known of every token
whether attention has anything to fetch, and how uncertain the next token is. After the bigram-backcopy task of Guo et al.,
"Active-Dormant Attention Heads", arXiv 2410.13835, with words that can be read.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gptoss.tokenizer import CompactVocabulary, compact_vocabulary
from gptoss.training.corpus import VALIDATION_SEED, Batch, of_one_split
from gptoss.training.domains import Documents, Words

ECHO = "echo"
AGAIN, BEGINNING = " again", "\n"  # what echoes, and what every text begins with
VOCABULARY = 512  # tokens: bytes, and the most useful words
WORDS, FOLLOWERS = 32, 4  # words that a text is made of, and how many of them may follow each
OFTEN = 0.2  # chance that a word is followed by "again"


@functools.cache
def followers() -> tuple[np.ndarray, np.ndarray]:
    """Which words may follow each word, and how probable each is: two of (WORDS, FOLLOWERS), the same on every machine."""
    rng = np.random.default_rng(0)
    which = np.stack([rng.permutation(WORDS)[:FOLLOWERS] for _ in range(WORDS)])
    return which, rng.dirichlet(np.ones(FOLLOWERS), size=WORDS)


@dataclass(frozen=True)
class EchoCorpus:
    """An endless training set and a fixed validation set of such texts, each of `length` predicted tokens.

    It has what `gptoss.training.trainer.Trainer` asks of a corpus.
    """

    length: int = 64
    seed: int = 0

    domains = (ECHO,)
    shares = {ECHO: 1.0}

    @property
    def vocabulary(self) -> CompactVocabulary:
        return compact_vocabulary(VOCABULARY)

    def batch(self, step: int, count: int) -> Batch:
        """The documents of one step, the same whenever it is asked for."""
        rng = np.random.default_rng((self.seed, step))
        drawn = of_one_split(lambda more: draw(rng, more, self.length + 1), count, validation=False)
        return Batch(drawn.tokens, (ECHO,) * count)

    def validation(self, count: int = 64) -> Mapping[str, Documents]:
        """`count` documents that no training step sees, always the same."""
        return {ECHO: _kept_for_validation(self.length, count)}

    def floors(self, count: int = 64) -> dict[str, float]:
        """The mean entropy of the next token, in nats: what no model can be better than."""
        return {ECHO: float(self.validation(count)[ECHO].entropy[:, 1:].mean())}

    def fingerprint(self) -> str:
        """SHA-256 of all that decides the documents."""
        which, chances = followers()
        about = [self.vocabulary.o200k_ids, self.length, self.seed, OFTEN, which.tolist(), chances.round(9).tolist()]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()


@functools.lru_cache(maxsize=4)
def _kept_for_validation(length: int, count: int) -> Documents:
    rng = np.random.default_rng(VALIDATION_SEED)
    return of_one_split(lambda more: draw(rng, more, length + 1), count, validation=True)


def draw(rng: np.random.Generator, count: int, length: int) -> Documents:
    """Texts (count, length): their tokens, each one's entropy given those before it, and 2 where one is an echo, else 0."""
    which, chances = followers()
    ids = np.array(words())
    again, beginning = (compact_vocabulary(VOCABULARY).encode(text)[0] for text in (AGAIN, BEGINNING))
    uncertain = OFTEN * -np.log(OFTEN) + (1 - OFTEN) * (-np.log(1 - OFTEN) - (chances * np.log(chances)).sum(axis=1))
    tokens, entropy = np.full((count, length), beginning), np.zeros((count, length))
    distance = np.zeros((count, length), dtype=int)
    word = rng.integers(WORDS, size=count)
    tokens[:, 1], entropy[:, 1] = ids[word], np.log(WORDS)
    echoes = np.zeros(count, dtype=bool)  # whether the token before is "again"
    for place in range(2, length):
        chosen = (rng.random((count, 1)) > chances[word].cumsum(axis=1)).sum(axis=1).clip(max=FOLLOWERS - 1)
        asked = ~echoes & (rng.random(count) < OFTEN)
        entropy[:, place] = np.where(echoes, 0, uncertain[word])
        distance[:, place] = np.where(echoes, 2, 0)
        word = np.where(echoes | asked, word, which[word, chosen])
        tokens[:, place] = np.where(asked, again, ids[word])
        echoes = asked
    return Documents(tokens, entropy, distance)


def words() -> tuple[int, ...]:
    """The ids of the words that the texts are made of."""
    vocabulary = compact_vocabulary(VOCABULARY)
    again = vocabulary.encode(AGAIN)[0]
    return tuple(word for word in Words.of(vocabulary).words if word != again)[:WORDS]
