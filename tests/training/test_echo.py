"""The echo texts, and the three small models that learned from them when to say nothing."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gptoss.training.contest import Contest, Plan
from gptoss.training.echo import CONTESTANTS, PLAIN, RECIPE, SEEDS, SHAPE, SINKS, history, load
from gptoss.training.echo.__main__ import train, write
from gptoss.training.echo.corpus import (
    AGAIN,
    BEGINNING,
    ECHO,
    FOLLOWERS,
    OFTEN,
    WORDS,
    EchoCorpus,
    followers,
    words,
)

CORPUS = EchoCorpus()
TEXTS = CORPUS.validation(64)[ECHO]


def test_again_says_once_more_what_stood_before_it_and_all_else_follows_its_word():
    again, beginning = (CORPUS.vocabulary.encode(text)[0] for text in (AGAIN, BEGINNING))
    which, _ = followers()
    after = {word: {words()[n] for n in which[place]} for place, word in enumerate(words())}
    assert len(set(words())) == WORDS and again not in words()
    for text, distance in zip(TEXTS.tokens.tolist(), TEXTS.distance.tolist(), strict=True):
        assert text[0] == beginning and text[1] in words()
        for place in range(2, len(text)):
            echo = text[place - 1] == again
            assert distance[place] == (2 if echo else 0)
            if echo:
                assert text[place] == text[place - 2]
            else:
                assert text[place] == again or text[place] in after[text[place - 1]]


def test_the_entropy_is_that_of_the_words_that_may_follow():
    _, chances = followers()
    assert chances.shape == (WORDS, FOLLOWERS) and np.allclose(chances.sum(axis=1), 1)
    row = {word: np.append((1 - OFTEN) * chances[n], OFTEN) for n, word in enumerate(words())}
    for text, entropy in zip(TEXTS.tokens.tolist(), TEXTS.entropy.tolist(), strict=True):
        for place in range(2, len(text)):
            chances = row.get(text[place - 1], np.ones(1))
            assert entropy[place] == pytest.approx(-(chances * np.log(chances)).sum())
    assert CORPUS.floors(64)[ECHO] == pytest.approx(TEXTS.entropy[:, 1:].mean())


def test_words_are_followed_as_often_as_their_chances_say():
    _, chances = followers()
    drawn = CORPUS.batch(0, 4000).tokens
    place, which = 0, followers()[0][0]
    next_one = drawn[:, 1:][drawn[:, :-1] == words()[place]]
    expected = dict(zip([words()[n] for n in which], (1 - OFTEN) * chances[place], strict=True))
    for token, chance in expected.items():
        assert (next_one == token).mean() == pytest.approx(chance, abs=4 * math.sqrt(0.25 / len(next_one)))


def test_a_step_has_the_same_texts_whenever_it_is_asked_for_and_none_of_them_is_kept_for_validation():
    first = CORPUS.batch(7, 16).tokens
    assert (EchoCorpus().batch(7, 16).tokens == first).all() and (CORPUS.batch(8, 16).tokens != first).any()
    kept = {row.tobytes() for row in TEXTS.tokens}
    assert not kept & {row.tobytes() for step in range(20) for row in CORPUS.batch(step, 64).tokens}
    assert CORPUS.fingerprint() == EchoCorpus().fingerprint() != EchoCorpus(seed=1).fingerprint()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", CONTESTANTS)
def test_what_ships_has_the_loss_that_its_history_says_and_nearly_the_least_there_is(name, seed):
    tokens = torch.as_tensor(TEXTS.tokens)
    loss = F.cross_entropy(load(name, seed)(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).item()
    record = history(name, seed)
    assert record["recipe"]["seed"] == seed and record["at"] == RECIPE.steps
    said = record["evaluations"][str(RECIPE.steps)]["losses"][ECHO]
    assert loss == pytest.approx(said, abs=0.005), "rounding to bfloat16 alone"
    assert record["floor"] == pytest.approx(CORPUS.floors(64)[ECHO]) and record["floor"] < loss < record["floor"] + 0.15
    assert record["fingerprint"] == EchoCorpus(seed=seed).fingerprint()


def test_the_three_differ_in_what_they_are_called_after_alone():
    models = {name: one.build(seed=3) for name, one in CONTESTANTS.items()}
    assert all(model.config == SHAPE for model in models.values())
    assert (models[PLAIN].block[0].attn.sinks == -math.inf).all() and (models[SINKS].block[0].attn.sinks == 0).all()
    names = [{name for name, _ in model.named_parameters()} for model in models.values()]
    assert names[0] == names[1] and names[2] - names[0] == {"block.0.attn.gate.weight", "block.0.attn.gate.bias"}
    assert names[0] - names[2] == {"block.0.attn.sinks"}


def test_a_run_is_written_and_read_back(tmp_path):
    trainer = train("with gates", RECIPE.replace(steps=3, warmup=1, batch=4))
    write(tmp_path, "with gates", trainer)
    read = load("with gates", 0, tmp_path).state_dict()
    for name, weight in trainer.weights().items():
        assert torch.equal(read[name], weight if name.endswith("norm.scale") else weight.bfloat16().float()), name


def test_the_three_learn_side_by_side_from_the_same_texts():
    """As a contest: each takes the step that it would take alone."""
    recipe = RECIPE.replace(steps=4, warmup=1, batch=4)
    contest = Contest(Plan(tuple(CONTESTANTS.values()), recipe), EchoCorpus(recipe.length, recipe.seed))
    while not contest.done:
        contest.step()
        contest.look()
    for standing, name in zip(contest.standings, CONTESTANTS, strict=True):
        assert [step.loss for step in standing.steps] == [step.loss for step in train(name, recipe).steps], name
        assert standing.recording.weights(0).shape[:2] == (1, 2) and standing.evaluations[4].losses.keys() == {ECHO}
