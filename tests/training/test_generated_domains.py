"""The generated domains: rules and entropies by predictors that know only the rules, repetitions by another parser.

A predictor reads a document token by token and says what may come next: groups of tokens, each with the probability of
the whole group, of which every token in it has an equal share.
"""

import math
import re
from collections import Counter, defaultdict

import numpy as np
import pytest

from gptoss.tokenizer import compact_vocabulary
from gptoss.training.domains import (
    ARITHMETIC,
    BRACKETS,
    DEEPEST,
    GENERATED,
    HEADER,
    LONGEST,
    RECALL,
    REPETITION,
    SHORTEST,
    TAGS,
    Words,
    draw,
)

SIZES = (300, 512, 4096)
FEW_WORDS = 275  # a vocabulary in which prefixes are shared by many documents
DOCUMENTS, LENGTH = 600, 65
BOTH = pytest.mark.parametrize("size", SIZES)
EVERY = pytest.mark.parametrize("domain", GENERATED)


def documents_of(domain, size, count=DOCUMENTS, length=LENGTH, seed=0):
    return draw(domain, compact_vocabulary(size), np.random.default_rng(seed), count, length)


def lines_of(row, vocabulary):
    """The tokens of every line after the header, the unfinished last one too, as bytes."""
    lines = [[]]
    for token in row[HEADER:]:
        text = vocabulary.token_bytes(token)
        if text == b"\n":
            lines.append([])
        else:
            lines[-1].append(text)
    return lines


def arithmetic_predictor(words):
    numbers, marks = words.numbers, words.marks
    while True:
        first = numbers.index((yield [(numbers, 1.0)]))
        yield [([marks["+"]], 1.0)]
        second = numbers.index((yield [([n for value, n in enumerate(numbers) if first + value < len(numbers)], 1.0)]))
        yield [([marks["="]], 1.0)]
        yield [([numbers[first + second]], 1.0)]
        yield [([marks["\n"]], 1.0)]


def brackets_predictor(words):
    closes = dict(zip(words.opening, words.closing, strict=True))
    open_now = []
    while True:
        if not open_now:
            groups = [(words.opening, 1.0)]
        elif len(open_now) == DEEPEST:
            groups = [([closes[open_now[-1]]], 1.0)]
        else:
            groups = [(words.opening, 0.5), ([closes[open_now[-1]]], 0.5)]
        token = yield groups
        if token in closes:
            open_now.append(token)
        else:
            open_now.pop()


def recall_predictor(words):
    facts, question, statement = {}, words.marks["?"], words.marks[":"]
    while True:
        new = [name for name in words.names if name not in facts]
        kinds = ([([question], 1.0)] if not new else [([statement], 1.0)] if not facts
                 else [([question], 0.5), ([statement], 0.5)])
        asks = (yield kinds) == question
        name = yield [(list(facts) if asks else new, 1.0)]
        value = yield [([facts[name]] if asks else words.values, 1.0)]
        facts[name] = value
        yield [([words.marks["\n"]], 1.0)]


def repetition_predictor(words):
    end = words.marks["\n"]
    sizes = range(SHORTEST, min(LONGEST, len(words.strings)) + 1)
    while True:
        line = []
        while not line or line[-1] != end:
            still = [size for size in sizes if size >= len(line)]
            ends = still.count(len(line)) / len(still)
            left = [word for word in words.strings if word not in line]
            line.append((yield [group for group in (([end], ends), (left, 1 - ends)) if group[1]]))
        for token in line:
            yield [([token], 1.0)]


PREDICTORS = {ARITHMETIC: arithmetic_predictor, BRACKETS: brackets_predictor, RECALL: recall_predictor,
              REPETITION: repetition_predictor}


def read(row, predictor):
    """For every token after the header: the entropy before it, and how surprising it was, both in nats."""
    groups, nats = next(predictor), []
    for token in row[HEADER:].tolist():
        assert sum(chance for _, chance in groups) == pytest.approx(1)
        entropy = -sum(chance * math.log(chance / len(tokens)) for tokens, chance in groups)
        chance = sum(chance / len(tokens) for tokens, chance in groups if token in tokens)
        assert chance > 0, "the domain wrote what its rules do not allow"
        nats.append((entropy, -math.log(chance)))
        groups = predictor.send(token)
    return np.array(nats)


@BOTH
@EVERY
def test_the_stated_entropy_is_that_of_the_rules_at_every_position(domain, size):
    """And what was drawn surprises a predictor as much as the entropy says, as far as chance allows."""
    words = Words.of(compact_vocabulary(size))
    documents = documents_of(domain, size)
    nats = np.stack([read(row, PREDICTORS[domain](words)) for row in documents.tokens])
    np.testing.assert_allclose(documents.entropy[:, HEADER:], nats[..., 0], atol=1e-12)
    assert not documents.entropy[:, :HEADER].any()
    excess = (nats[..., 1] - nats[..., 0]).sum(axis=1)  # one number a document, with mean 0 if the entropy is right
    assert abs(excess.mean()) <= 4 * excess.std() / len(excess) ** 0.5 + 1e-12  # all choices even: no excess at all


@EVERY
def test_tokens_come_as_often_as_the_rules_say(domain):
    """By brute force: after each prefix that many short documents share, the next tokens are counted."""
    words = Words.of(compact_vocabulary(FEW_WORDS))
    after, checked = defaultdict(Counter), 0
    for row in documents_of(domain, FEW_WORDS, count=60_000, length=HEADER + 5, seed=3).tokens[:, HEADER:].tolist():
        for end in range(len(row)):
            after[tuple(row[:end])][row[end]] += 1
    for prefix, counts in after.items():
        predictor = PREDICTORS[domain](words)
        groups = next(predictor)
        for token in prefix:
            groups = predictor.send(token)
        expected = {token: counts.total() * chance / len(tokens) for tokens, chance in groups for token in tokens}
        assert counts.keys() <= expected.keys()
        if min(expected.values()) >= 10:
            squares = sum((counts[token] - wanted) ** 2 / wanted for token, wanted in expected.items())
            freedom = len(expected) - 1
            assert squares <= freedom + 6 * (2 * freedom) ** 0.5 + 6, (prefix, squares)
            checked += freedom > 0
    assert checked >= 10


@BOTH
@EVERY
def test_documents_are_what_the_tokenizer_makes_of_their_text(domain, size):
    vocabulary = compact_vocabulary(size)
    documents = documents_of(domain, size, count=200)
    for row in documents.tokens.tolist():
        assert vocabulary.encode(vocabulary.decode(row)) == row
        assert vocabulary.decode(row[:HEADER]) == f"{TAGS[domain]}\n"
    assert documents.tokens.shape == documents.entropy.shape == documents.distance.shape == (200, LENGTH)


@pytest.mark.parametrize("size", [*range(266, 290), *SIZES])
def test_every_floor_is_above_zero_in_the_smallest_vocabularies_too(size):
    vocabulary = compact_vocabulary(size)
    for domain in GENERATED:
        documents = documents_of(domain, size, count=20)
        assert documents.entropy[:, 1:].mean() > 0.3
        assert [vocabulary.encode(vocabulary.decode(row)) for row in documents.tokens] == documents.tokens.tolist()


@BOTH
def test_answers_are_the_facts_and_distances_lead_to_their_last_mention(size):
    vocabulary, asked = compact_vocabulary(size), Counter()
    documents = documents_of(RECALL, size)
    for row, distance in zip(documents.tokens, documents.distance, strict=True):
        facts, last, wanted = {}, {}, np.zeros(LENGTH, dtype=int)
        for number, line in enumerate(lines_of(row, vocabulary)):
            place = HEADER + 4 * number + 2  # of the value
            if len(line) < 3:
                continue
            mark, name, value = line
            if mark == b"?":
                assert facts[name] == value
                wanted[place] = place - last[name]
            else:
                assert mark == b":" and name not in facts
            facts[name], last[name] = value, place
        assert distance.tolist() == wanted.tolist()
        assert not set(facts) & set(facts.values())
        asked.update(wanted[wanted > 0].tolist())
    assert min(asked) == 4 and max(asked) >= 48  # one line back, and far beyond a window


@BOTH
def test_second_lines_repeat_the_first(size):
    vocabulary, lengths = compact_vocabulary(size), set()
    documents = documents_of(REPETITION, size)
    for row, distance in zip(documents.tokens, documents.distance, strict=True):
        lines, wanted, place = lines_of(row, vocabulary), np.zeros(LENGTH, dtype=int), HEADER
        for number, line in enumerate(lines):
            whole = number < len(lines) - 1
            assert len(set(line)) == len(line) <= LONGEST
            if number % 2:
                first = lines[number - 1]
                assert line == first if whole else line == first[:len(line)]
                wanted[place:place + len(line) + whole] = len(first) + 1
            elif whole:
                lengths.add(len(line))
            place += len(line) + whole
        assert distance.tolist() == wanted.tolist()
    longest = min(LONGEST, len(Words.of(vocabulary).strings))
    assert lengths == set(range(SHORTEST, longest + 1))


@EVERY
def test_a_distance_leads_to_the_same_token(domain):
    documents = documents_of(domain, 512)
    rows, columns = np.nonzero(documents.distance)
    assert len(rows) == 0 if domain in (ARITHMETIC, BRACKETS) else len(rows) > 1000
    earlier = documents.tokens[rows, columns - documents.distance[rows, columns]]
    assert (earlier == documents.tokens[rows, columns]).all()


@BOTH
def test_words_are_what_they_are_called(size):
    vocabulary = compact_vocabulary(size)
    words = Words.of(vocabulary)
    # Two digits are a token only in a larger vocabulary.
    assert [vocabulary.decode([token]) for token in words.numbers] == [str(n) for n in range(100 if size == 4096 else 10)]
    assert "".join(vocabulary.decode([token]).strip() for token in (*words.opening, *words.closing)) == "([{)]}"
    assert all(re.fullmatch(" [a-z]+", vocabulary.decode([token])) for token in words.strings)
    assert len(words.names) == len(words.values) and not set(words.names) & set(words.values)


def test_the_same_generator_draws_the_same_and_another_other_documents():
    for domain in GENERATED:
        first, again, other = (documents_of(domain, 512, count=5, seed=seed).tokens for seed in (1, 1, 2))
        assert (first == again).all() and (first != other).any()


def test_an_unknown_domain_is_refused_with_the_allowed_ones():
    with pytest.raises(ValueError, match="'poetry' is unknown; allowed: arithmetic, brackets, recall, repetition"):
        documents_of("poetry", 512)
