"""What models are trained on: a mixture of prose, code and generated domains, each token labelled with its domain.

Nothing is downloaded and nothing is kept on disk: prose and code come from the running Python's standard library,
the other domains from their processes, or all of it from a reader's own text. Every document is as long as the context,
starts at its beginning, and is named by its first token.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gptoss.tokenizer import CompactVocabulary
from gptoss.training import library
from gptoss.training.domains import GENERATED, HEADER, Documents, draw, tag
from gptoss.training.library import LIBRARY, PROSE

OWN = "own"
DOMAINS = (*LIBRARY, *GENERATED)
DEFAULT_MIXTURE = {"prose": 0.12, "code": 0.13, "arithmetic": 0.15, "brackets": 0.10, "recall": 0.25, "repetition": 0.25}
VALIDATION_SHARE = 10  # one text in so many is kept for validation
PATIENCE = 300  # modules of the library looked into for a long text, before asking whether there is one
LARGEST_SHARE = 1e9  # beyond it another share counts for nothing in rounding
LARGEST_TEXT = 1_000_000  # bytes of a reader's own text
VALIDATION_SEED = (0, 2**32)  # whatever seed the training documents have, runs are measured on the same ones
SHORTEST = 8  # tokens of a document: shorter ones are too few to be split in two
OWN_BLOCK = 4  # windows of an own text that stay together in one split


@dataclass(frozen=True)
class Mixture:
    """How much of a training set each domain is. Shares need not add up to 1; a domain with 0 is left out.

    Raises `ValueError` for an unknown domain or one that comes twice, a share below 0, and where nothing is left.
    """

    shares: tuple[tuple[str, float], ...] = tuple(DEFAULT_MIXTURE.items())

    def __post_init__(self) -> None:
        for domain, share in self.shares:
            if domain not in (*DOMAINS, OWN):
                raise ValueError(f"domain={domain!r} is unknown; allowed: {', '.join((*DOMAINS, OWN))}")
            if not 0 <= share <= LARGEST_SHARE:
                raise ValueError(f"the share of {domain} is {share}; allowed: 0 or more, {LARGEST_SHARE:g} at most")
        if len({domain for domain, _ in self.shares}) < len(self.shares):
            raise ValueError("a domain has two shares, and nothing says which one counts")
        if not any(share for _, share in self.shares):
            raise ValueError("every domain's share is 0, so there is nothing to train on")

    @classmethod
    def of(cls, shares: Mapping[str, float]) -> Mixture:
        return cls(tuple(shares.items()))

    def among(self, domains: tuple[str, ...]) -> dict[str, float]:
        """The shares of those `domains` that are not left out, adding up to 1; empty if none of them is in it."""
        shares = {domain: share for domain, share in self.shares if share and domain in domains}
        total = sum(shares.values())
        return {domain: share / total for domain, share in shares.items()}


@dataclass(frozen=True)
class Batch:
    """Documents for one step: `tokens` (count, length + 1), of which the last is only predicted; `domain` by document."""

    tokens: np.ndarray
    domain: tuple[str, ...]


@dataclass
class Corpus:
    """An endless training set and a fixed validation set of documents of `length` predicted tokens.

    Attributes:
        vocabulary: whose indices the tokens are.
        mixture: the domains' shares.
        length: tokens that a model reads at once.
        own_text: the reader's text, which the domain "own" is made of.
        seed: of the documents; the same seed gives the same batches, whichever was asked for before.
        notices: sentences about what could not be had.

    Where nothing of the mixture can be had, the generated domains take its place. Raises `ValueError` for a length below
    `SHORTEST` and where an own text is too short.
    """

    vocabulary: CompactVocabulary
    mixture: Mixture = Mixture()
    length: int = 64
    own_text: str = ""
    seed: int = 0
    notices: list[str] = field(default_factory=list, init=False)
    _validation: dict[tuple, dict[str, Documents]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.length < SHORTEST:
            raise ValueError(f"length={self.length} is impossible; allowed: {SHORTEST} or more")
        available = [*GENERATED]
        if library.source_files():
            available += LIBRARY
        elif self.mixture.among(LIBRARY):
            self.notices.append("This Python came without the sources of its library, so there is no prose and no code "
                                "here: the generated domains stand in.")
        if self.mixture.among((OWN,)):
            self._own = _own_windows(self.vocabulary, self.own_text, self._text_length)
            available.append(OWN)
        self.shares = self.mixture.among(tuple(available)) or Mixture().among(GENERATED)
        self._lines = np.cumsum(list(self.shares.values()))

    @property
    def domains(self) -> tuple[str, ...]:
        """Those that it really holds, in the mixture's order."""
        return tuple(self.shares)

    @property
    def _text_length(self) -> int:
        return self.length + 1 - HEADER

    def require_texts(self) -> None:
        """Look before the first document whether the library has texts so long. Raises `ValueError`, naming the longest."""
        kinds = [domain for domain in self.domains if domain in LIBRARY]
        _require_long_texts(self.vocabulary, self._text_length, itertools.product(kinds, (False, True)))

    def batch(self, step: int, count: int) -> Batch:
        """The documents of one step, the same whenever it is asked for: which makes a resumed run the run it was."""
        rng = np.random.default_rng((self.seed, step))
        drawn = np.searchsorted(self._lines, rng.random(count), side="right").clip(max=len(self.domains) - 1)
        tokens = np.empty((count, self.length + 1), dtype=np.int64)
        for number, domain in enumerate(self.domains):
            rows = np.flatnonzero(drawn == number)
            if len(rows):
                tokens[rows] = self._draw(domain, rng, len(rows), validation=False).tokens
        return Batch(tokens, tuple(self.domains[number] for number in drawn))

    def validation(self, count: int = 64, length: int | None = None) -> dict[str, Documents]:
        """`count` documents of each domain that no training step sees, always the same; of `length` tokens if given."""
        if (count, length) not in self._validation:
            corpus = self if length is None else replace(self, length=length)
            self._validation[count, length] = {
                domain: corpus._draw(domain, _validation_rng(domain), count, validation=True) for domain in corpus.domains}
        return self._validation[count, length]

    def floors(self, count: int = 64) -> dict[str, float]:
        """Domain -> the mean entropy of the next token over its validation documents, in nats: NaN where nobody knows."""
        return {domain: float(documents.entropy[:, 1:].mean()) for domain, documents in self.validation(count).items()}

    def fingerprint(self) -> str:
        """SHA-256 of all that decides the documents: vocabulary, shares, length, seed, and every text they come from."""
        digest = hashlib.sha256(json.dumps([self.vocabulary.o200k_ids, self.shares, self.length, self.seed]).encode())
        if set(LIBRARY) & set(self.domains):
            for path in library.source_files():
                digest.update(path.read_bytes())
        if OWN in self.domains:
            digest.update(self.own_text.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def _draw(self, domain: str, rng: np.random.Generator, count: int, validation: bool) -> Documents:
        if domain in GENERATED:
            return of_one_split(lambda more: draw(domain, self.vocabulary, rng, min(max(more, 8), 512), self.length + 1),
                                count, validation)
        windows = (_library_window(domain, self.vocabulary, rng, self._text_length, validation) if domain != OWN
                   else self._own[validation][rng.integers(len(self._own[validation]))] for _ in range(count))
        head = [tag(domain, self.vocabulary), self.vocabulary.encode("\n")[0]]
        tokens = np.array([[*head, *window] for window in windows], dtype=np.int64)
        unknown = np.full(tokens.shape, np.nan)
        return Documents(tokens, unknown, np.zeros(tokens.shape, dtype=int))


def read_own_text(data: bytes) -> str:
    """The text of an uploaded file. Raises `ValueError` with a sentence for a file that is empty, too large or not UTF-8."""
    if len(data) > LARGEST_TEXT:
        raise ValueError(f"The file has {len(data):,} bytes; at most {LARGEST_TEXT:,} can be trained on.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"The file is not UTF-8 text: byte {error.start:,} belongs to no character.") from None
    if not text.strip():
        raise ValueError("The file holds no text.")
    return text


def for_validation(content: bytes) -> bool:
    """Whether a text belongs to the validation split: its content alone decides, by hash."""
    return zlib.crc32(content) % VALIDATION_SHARE == 0


def _validation_rng(domain: str) -> np.random.Generator:
    """A domain has the same validation documents in every mixture."""
    return np.random.default_rng(((*DOMAINS, OWN).index(domain), *VALIDATION_SEED))


def of_one_split(drawn: Callable[[int], Documents], count: int, validation: bool) -> Documents:
    """Generated documents of one split: as many more are `drawn` as belong to the other, until there are `count`."""
    parts, missing = [], count
    while missing > 0:
        documents = drawn(missing * (2 * VALIDATION_SHARE if validation else 2))
        rows = [n for n, row in enumerate(documents.tokens) if for_validation(row.tobytes()) == validation][:missing]
        parts.append([of[rows] for of in (documents.tokens, documents.entropy, documents.distance)])
        missing -= len(rows)
    return Documents(*map(np.concatenate, zip(*parts, strict=True)))


def _library_window(kind: str, vocabulary: CompactVocabulary, rng: np.random.Generator, length: int,
                    validation: bool) -> np.ndarray:
    """`length` tokens from anywhere in the library's texts of one kind and split, long texts in proportion.

    Raises `ValueError` where no text has so many.
    """
    for attempt in itertools.count():
        if attempt == PATIENCE:
            _require_long_texts(vocabulary, length, [(kind, validation)])
        path = _paths()[int(np.searchsorted(_shares_of_bytes(), rng.random(), side="right"))]
        texts = _module_tokens(path, kind, vocabulary)[validation]
        room = np.array([len(text) - length + 1 for text in texts], dtype=int).clip(min=0)
        if room.sum():
            place = int(rng.integers(room.sum()))
            number = int(np.searchsorted(np.cumsum(room), place, side="right"))
            start = place - int(room[:number].sum())
            return texts[number][start:start + length]


def _require_long_texts(vocabulary: CompactVocabulary, length: int, wanted: Iterable[tuple[str, bool]]) -> None:
    """Raise `ValueError` unless there is a text of `length` tokens in every part of the library that is `wanted`.

    A part is a kind of text, kept for validation or not. The sentence names the part whose longest text is the shortest. A
    token has at least one byte, so that most texts need no counting.
    """
    longest = dict.fromkeys(wanted, 0)
    for path in sorted(_paths(), key=lambda path: path.stat().st_size, reverse=True):
        short = [part for part, tokens in longest.items() if tokens < length]
        if all(path.stat().st_size <= longest[part] for part in short):
            break
        texts = library.texts_of(path)
        for kind, validation in short:
            for text in sorted(_split(kind, texts[kind])[validation], key=len, reverse=True):
                if len(text.encode()) > longest[kind, validation]:
                    longest[kind, validation] = max(longest[kind, validation], len(vocabulary.encode(text)))
    if longest and min(longest.values()) < length:
        kind, validation = min(longest, key=longest.get)
        raise ValueError(f"documents of {length + HEADER - 1:,} tokens are too long: the longest text of {kind} kept for "
                         f"{'validation' if validation else 'training'} has {longest[kind, validation]:,}, in "
                         f"{vocabulary.size:,} different ones")


def _paths() -> tuple[Path, ...]:
    return library.source_files()


@functools.cache
def _shares_of_bytes() -> np.ndarray:
    """Where each module ends if all are laid end to end and the whole is 1."""
    ends = np.cumsum([path.stat().st_size for path in _paths()])
    return np.append(ends[:-1] / ends[-1], 1.0)


@functools.lru_cache(maxsize=2048)
def _module_tokens(path: Path, kind: str, vocabulary: CompactVocabulary) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The tokens of a module's texts of one kind, for training and for validation. Docstrings are joined end to end."""
    training, validation = ([np.array(vocabulary.encode(text), dtype=np.int32) for text in part]
                            for part in _split(kind, library.texts_of(path)[kind]))
    return training, validation


def _split(kind: str, texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """A module's texts of one kind, for training and for validation."""
    split = [], []
    for text in texts:
        split[for_validation(text.encode())].append(text)
    if kind == PROSE:  # most are shorter than a context
        return ["\n\n".join(split[0])], ["\n\n".join(split[1])]
    return split


def _own_windows(vocabulary: CompactVocabulary, text: str, length: int) -> tuple[np.ndarray, np.ndarray]:
    """A reader's text cut into windows (count, length), for training and for validation. Each split gets at least one."""
    tokens = np.array(vocabulary.encode(text), dtype=np.int64)
    count = len(tokens) // length
    if count < 2:
        raise ValueError(f"The text has {len(tokens):,} tokens; training needs at least {2 * length:,}, some to test on.")
    windows = tokens[:count * length].reshape(count, length)
    block = OWN_BLOCK if count >= 8 * OWN_BLOCK else 1
    held_out = np.array([for_validation(windows[n - n % block:n - n % block + block].tobytes()) for n in range(count)])
    if held_out.all() or not held_out.any():
        held_out = np.arange(count) == count - 1
    return windows[~held_out], windows[held_out]
