"""The scores of heads that copy, on attention drawn by hand."""

import numpy as np
import pytest

from gptoss.training.induction import induction_scores, previous_token_scores

TOKENS = 12
DISTANCE = np.array([0] * 6 + [5] * 5 + [0])  # tokens 6 to 10 stood before, five places back


def looking(keys):
    """A head whose query q looks at `keys[q]` alone."""
    weights = np.zeros((TOKENS, TOKENS))
    weights[np.arange(TOKENS), keys] = 1
    return weights


def uniform():
    return np.tril(np.ones((TOKENS, TOKENS))) / np.arange(1, TOKENS + 1)[:, None]


INDUCTION = looking(np.where(DISTANCE > 0, np.arange(TOKENS) - DISTANCE + 1, 0))
PREVIOUS = looking(np.maximum(np.arange(TOKENS) - 1, 0))
SAME_TOKEN = looking(np.where(DISTANCE > 0, np.arange(TOKENS) - DISTANCE, 0))


def test_perfect_patterns_have_a_score_of_one_and_others_of_zero():
    weights = np.stack([INDUCTION, PREVIOUS, SAME_TOKEN])
    assert induction_scores(weights, DISTANCE).tolist() == [1, 0, 0]
    scores = previous_token_scores(weights)
    assert scores[1] == 1 and max(scores[0], scores[2]) <= 1 / 11 + 1e-12  # the query at 1 can look nowhere else but there


def test_even_attention_has_the_score_of_its_share():
    places = np.flatnonzero(DISTANCE)
    assert induction_scores(uniform(), DISTANCE) == pytest.approx(np.mean(1 / (places + 1)))
    assert previous_token_scores(uniform()) == pytest.approx(np.mean(1 / np.arange(2, TOKENS + 1)))


def test_scores_are_means_over_the_queries():
    half = (INDUCTION + PREVIOUS) / 2
    assert induction_scores(half, DISTANCE) == pytest.approx(0.5)
    assert 0.5 <= previous_token_scores(half) <= 0.5 + 1 / 11


def test_every_leading_dimension_is_kept():
    weights = np.broadcast_to(INDUCTION, (3, 2, 4, TOKENS, TOKENS))
    assert induction_scores(weights, DISTANCE).shape == previous_token_scores(weights).shape == (3, 2, 4)


def test_a_token_that_stood_just_before_is_left_out():
    """What came after it then is the query's own place, which says nothing of induction."""
    distance = DISTANCE.copy()
    distance[11] = 1
    assert induction_scores(INDUCTION, distance) == 1


def test_a_text_that_repeats_nothing_has_no_induction_score():
    scores = induction_scores(np.stack([uniform()] * 2), np.zeros(TOKENS, dtype=int))
    assert scores.shape == (2,) and np.isnan(scores).all()
