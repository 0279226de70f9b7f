"""Whether a text is plain, well formed and does not repeat itself, judged without a grammar.

The same measures sort what the teacher wrote and grade what a trained model writes.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

PLAIN = re.compile(r"[A-Za-z .,!?'\"\n;:-]+")
SENTENCE = re.compile(r'"?[A-Z][^.!?]*(?:[.!?]+"?,? ?[a-z][^.!?]*)*[.!?]+"?')
BETWEEN = re.compile(r'(?<=[.!?])\s+|(?<=[.!?]")\s+(?=["A-Z])')
SIGNS = ".!?"  # that end a sentence
WORD = r"[a-z]+(?:['-][a-z]+)*|[.!?]"  # in lower case, or a sign
LONGEST_SENTENCE = 45  # words
LEAST_DISTINCT = 0.9  # share of the word trigrams that are new, in a text without fault
KEPT_DISTINCT = 0.94  # the same of a text to learn from: a model that samples coldly repeats more than what it has read
LOOP = 3  # words: a stretch of so many or more that comes twice in a row is a loop
LONGEST_LOOP = 30
TALKS_OF_ITSELF = re.compile(r"\b(AI|assistant|language model|SmolLM|Hugging|chatbot|prompt)\b")


def sentences(text: str) -> list[str]:
    """A text cut after the signs that end a sentence, and their quotation marks."""
    return [part.strip() for part in BETWEEN.split(text) if part.strip()]


def words(text: str) -> list[str]:
    """Words in lower case, and signs, each by itself."""
    return re.findall(WORD, text.lower())


def well_formed(sentence: str) -> bool:
    """Whether it begins with a capital, ends with a sign that ends sentences, and has words in between.

    Also: no characters of markup, no word three times in a row, at most `LONGEST_SENTENCE` words.
    """
    spoken = [word for word in words(sentence) if word not in SIGNS]
    return (bool(PLAIN.fullmatch(sentence)) and bool(SENTENCE.fullmatch(sentence))
            and 1 <= len(spoken) <= LONGEST_SENTENCE
            and not any(len({*three}) == 1 for three in zip(spoken, spoken[1:], spoken[2:], strict=False)))


def distinct_trigrams(text: str) -> float:
    """The share of different ones among all runs of three words: 1 where none comes twice."""
    parts = words(text)
    runs = list(zip(parts, parts[1:], parts[2:], strict=False))
    return len(set(runs)) / len(runs) if runs else 1.0


def has_loop(parts: Sequence) -> bool:
    """Whether a stretch of `LOOP` to `LONGEST_LOOP` items follows upon itself."""
    for size in range(LOOP, LONGEST_LOOP + 1):
        same = 0
        for place in range(size, len(parts)):
            same = same + 1 if parts[place] == parts[place - size] else 0
            if same == size:
                return True
    return False


def unrepeated(text: str) -> bool:
    """Whether nearly all trigrams are new, no sentence comes twice, and nothing loops."""
    all_sentences = [sentence.lower() for sentence in sentences(text)]
    return (distinct_trigrams(text) >= KEPT_DISTINCT and len(set(all_sentences)) == len(all_sentences)
            and not has_loop(words(text)))


def good(text: str, shortest: int, longest: int) -> bool:
    """Whether a text of the teacher is kept: plain, well formed, unrepeated, `shortest` to `longest` characters long."""
    return (shortest <= len(text) <= longest and bool(PLAIN.fullmatch(text)) and text.count('"') % 2 == 0
            and not TALKS_OF_ITSELF.search(text) and all(map(well_formed, sentences(text))) and unrepeated(text))


def whole_sentences(text: str) -> str:
    """A text up to the end of its last sentence that is not within quotation marks; empty where it has none."""
    ends = [match.end() for match in re.finditer(r'[.!?]+"?(?=\s|$)', text)
            if text.count('"', 0, match.end()) % 2 == 0]
    return text[:ends[-1]].strip() if ends else ""


def good_beginning(text: str) -> str:
    """A text up to where a sentence is not well formed, comes again, or makes too few trigrams new; perhaps nothing."""
    seen, trigrams, runs, last, end = set(), set(), 0, [], 0
    starts = [0, *(match.end() for match in BETWEEN.finditer(text))]
    for start, stop in zip(starts, [*starts[1:], len(text)], strict=True):
        sentence = text[start:stop].strip()
        parts = [*last, *words(sentence)]
        own = list(zip(parts, parts[1:], parts[2:], strict=False))
        trigrams.update(own)
        runs += len(own)
        if not well_formed(sentence) or sentence.lower() in seen or len(trigrams) < KEPT_DISTINCT * runs:
            break
        seen.add(sentence.lower())
        last, end = parts[-2:], stop
    return whole_sentences(text[:end])


def signature(text: str, size: int = 8) -> int:
    """A number that texts of mostly the same words mostly share: the smallest hash of their runs of `size` words.

    Two texts agree with the probability that a run of one is a run of the other (Broder 1997, "min-wise" hashing).
    """
    parts = words(text)
    runs = [" ".join(parts[place:place + size]) for place in range(max(1, len(parts) - size + 1))]
    return min(_hash(run) for run in runs)


def _hash(run: str) -> int:
    return zlib.crc32(run.encode()) << 32 | zlib.adler32(run.encode())
