"""A corpus on disk: documents packed into rows as long as the context, by domain, and the vocabulary chosen from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from gptoss.tokenizer import SPECIAL_TOKENS, CompactVocabulary, encode_text
from gptoss.training.archives import opened
from gptoss.training.corpus import VALIDATION_SEED, Batch
from gptoss.training.domains import Documents
from gptoss.training.stories.possession import POSSESSION, Grammar, vocabulary_words
from gptoss.training.stories.prompts import KINDS

END_OF_TEXT = SPECIAL_TOKENS["<|endoftext|>"]  # of o200k
DOMAINS = (*KINDS, POSSESSION)
FORMAT = 1


def choose_vocabulary(counts: np.ndarray, size: int) -> CompactVocabulary:
    """Bytes, named special tokens, the words of the grammar, then the ids that `counts` (by o200k id) finds most often."""
    needed = [token for text in vocabulary_words() for token in encode_text(text)]
    often = np.lexsort((np.arange(len(counts)), -counts)).tolist()
    return CompactVocabulary(tuple(dict.fromkeys([*range(256), *SPECIAL_TOKENS.values(), *needed, *often]))[:size])


def read_vocabulary(path: Path) -> CompactVocabulary:
    """The vocabulary whose o200k ids a text file has, as one lies beside every trained model."""
    return CompactVocabulary(tuple(map(int, path.read_text(encoding="ascii").split())))


def spell(ids: np.ndarray, vocabulary: CompactVocabulary) -> list[np.ndarray]:
    """For each distinct o200k id of `ids` its indices, as a list by o200k id; those that do not occur are empty."""
    table: list[np.ndarray] = [np.zeros(0, dtype=np.uint16)] * (int(ids.max(initial=0)) + 1)
    for token in np.unique(ids):
        table[token] = np.array(vocabulary.from_o200k([int(token)]), dtype=np.uint16)
    return table


def respell(documents: Sequence[np.ndarray], vocabulary: CompactVocabulary) -> list[np.ndarray]:
    """Documents of o200k ids as indices of the vocabulary, by the rule of `CompactVocabulary.from_o200k`."""
    if not documents:
        return []
    flat = np.concatenate(documents)
    table = spell(flat, vocabulary)
    width = np.array([len(one) for one in table])
    start = np.concatenate([[0], np.cumsum(width)[:-1]])
    pieces, lengths = np.concatenate(table), width[flat]
    ends = np.cumsum(lengths)
    within = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
    indices = pieces[np.repeat(start[flat], lengths) + within]
    borders = np.cumsum([len(document) for document in documents])
    return np.split(indices, ends[borders[:-1] - 1])


def end_of_text(vocabulary: CompactVocabulary) -> int:
    """The index of <|endoftext|>, which ends documents and fills rows."""
    return vocabulary.from_o200k([END_OF_TEXT])[0]


def filling(rows: Tensor, vocabulary: CompactVocabulary) -> Tensor:
    """Which tokens only fill their row, as an end of text after another does: (rows, tokens) -> the same shape, of bool."""
    ends = rows == end_of_text(vocabulary)
    return ends & F.pad(ends[:, :-1], (1, 0))


def pack(documents: Iterable[np.ndarray], length: int, filler: int) -> np.ndarray:
    """Whole documents laid into rows of `length`, the longest first, each row filled with the longest that still fits.

    What is left is filled with `filler`; a document that is longer than a row is left out. -> (rows, length) uint16.
    """
    by_length: list[list[np.ndarray]] = [[] for _ in range(length + 1)]
    for document in documents:
        if 0 < len(document) <= length:
            by_length[len(document)].append(document)
    rows = []
    longest = length
    while True:
        while longest and not by_length[longest]:
            longest -= 1
        if not longest:
            return np.array(rows, dtype=np.uint16).reshape(-1, length)
        row, room, size = [], length, longest
        while size:
            if by_length[size]:
                row.append(by_length[size].pop())
                room -= size
                size = min(size, room)
            else:
                size -= 1
        rows.append(np.concatenate([*row, np.full(room, filler)]).astype(np.uint16))


@dataclass
class StoryCorpus:
    """Rows to train on and rows held out, by domain: what `Trainer` and `evaluate` read, as `Corpus` is.

    Attributes:
        vocabulary: whose indices the tokens are.
        rows: domain -> (rows, length + 1), read in a new random order in every epoch.
        held_out: domain -> the same for validation. Of the grammar they are drawn anew, with their entropies, also where
            there is nothing to train on.
        length: tokens that a model reads at once.
        seed: of the order.
    """

    vocabulary: CompactVocabulary
    rows: Mapping[str, np.ndarray]
    held_out: Mapping[str, np.ndarray]
    length: int = 256
    seed: int = 0
    said: list[str] = field(default_factory=list, init=False)
    _kept: dict[int, dict[str, Documents]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        given = {*self.rows, *self.held_out, *(() if self.rows else (POSSESSION,))}
        self.domains = tuple(domain for domain in DOMAINS if domain in given)
        total = sum(map(len, self.rows.values()))
        self.shares = {domain: len(self.rows.get(domain, ())) / total if total else 0.0 for domain in self.domains}
        self._of = np.repeat(np.arange(len(self.domains)), [len(self.rows.get(domain, ())) for domain in self.domains])
        self._all = np.concatenate([self.rows[domain] for domain in self.domains]) if total else None
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, dtype=int))

    @classmethod
    def read(cls, path: Path, length: int = 256, seed: int = 0) -> StoryCorpus:
        """What `write` wrote. Raises `ValueError` for another file, and for another length than the rows have."""
        with opened(path, str(path)) as stored:
            vocabulary = CompactVocabulary(tuple(stored["o200k_ids"].tolist()))
            rows, held_out = ({name.removeprefix(part): stored[name] for name in stored.files if name.startswith(part)}
                              for part in ("train.", "held."))
            widths = {values.shape[1] for values in (*rows.values(), *held_out.values())}
        if widths != {length + 1}:
            raise ValueError(f"the rows of {path.name} have {sorted(widths)[0] - 1} predicted tokens, not {length}")
        return cls(vocabulary, rows, held_out, length, seed)

    def write(self, path: Path, compressed: bool = False) -> None:
        """Vocabulary and rows in one file."""
        save = np.savez_compressed if compressed else np.savez
        save(path, o200k_ids=np.array(self.vocabulary.o200k_ids, dtype=np.uint32),
             **{f"train.{domain}": values for domain, values in self.rows.items()},
             **{f"held.{domain}": values for domain, values in self.held_out.items()})

    def batch(self, step: int, count: int) -> Batch:
        """The rows of one step: each comes once in an epoch. The same whenever it is asked for."""
        places = np.arange(step * count, (step + 1) * count)
        order = np.array([self._permuted(int(place) // len(self._of))[int(place) % len(self._of)] for place in places])
        return Batch(self._all[order].astype(np.int64), tuple(self.domains[number] for number in self._of[order]))

    def _permuted(self, epoch: int) -> np.ndarray:
        if self._order[0] != epoch:
            self._order = epoch, np.random.default_rng((self.seed, epoch)).permutation(len(self._of))
        return self._order[1]

    def validation(self, count: int = 64, length: int | None = None) -> dict[str, Documents]:
        """Up to `count` held-out rows of each domain, always the same; of the grammar with entropies."""
        if length not in (None, self.length):
            raise ValueError(f"length={length} is impossible; allowed: {self.length}, as long as the rows are")
        if count not in self._kept:
            self._kept[count] = {domain: self._held(domain, count) for domain in self.domains}
        return self._kept[count]

    def _held(self, domain: str, count: int) -> Documents:
        if domain == POSSESSION:
            return held_possession(self.vocabulary, count, self.length + 1)[0]
        tokens = self.held_out[domain][:count].astype(np.int64)
        return Documents(tokens, np.full(tokens.shape, np.nan), np.zeros(tokens.shape, dtype=int))

    def floors(self, count: int = 64) -> dict[str, float]:
        """Domain -> the mean entropy of the next token, in nats: NaN where nobody knows it."""
        return {domain: float(documents.entropy[:, 1:].mean()) for domain, documents in self.validation(count).items()}

    def fingerprint(self) -> str:
        """SHA-256 of vocabulary, rows and order."""
        digest = hashlib.sha256(json.dumps([self.vocabulary.o200k_ids, self.length, self.seed]).encode())
        for part in (self.rows, self.held_out):
            for domain in sorted(part):
                digest.update(domain.encode() + np.ascontiguousarray(part[domain]).tobytes())
        return digest.hexdigest()


def held_possession(vocabulary: CompactVocabulary, count: int, length: int) -> tuple[Documents, np.ndarray]:
    """Texts of the grammar to measure on, and their answers' ages in sentences. No training text comes from this seed."""
    return Grammar(vocabulary).documents(np.random.default_rng((len(DOMAINS), *VALIDATION_SEED)), count, length)
