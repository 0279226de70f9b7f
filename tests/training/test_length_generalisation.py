"""Reading beyond the trained length: schemes on a real model, and accuracy against counting by hand."""

import numpy as np
import pandas as pd
import pytest
import torch

from gptoss.config import ModelConfig
from gptoss.model import Transformer
from gptoss.training.length_generalisation import accuracy_by_distance, answers, under_scheme
from gptoss.training.schemes import INTERPOLATION, NOTEBOOK, PLAIN, SCHEMES, YARN

TINY = ModelConfig(
    num_hidden_layers=2, num_experts=2, experts_per_token=1, vocab_size=11, hidden_size=24, intermediate_size=16,
    head_dim=16, num_attention_heads=2, num_key_value_heads=1, sliding_window=0, initial_context_length=64,
    rope_scaling_factor=4.0, rope_ntk_beta=8.0)


@pytest.fixture(scope="module")
def model():
    return Transformer(TINY, seed=1).eval()


def some_tokens(length):
    return torch.randint(TINY.vocab_size, (2, length), generator=torch.Generator().manual_seed(0))


def logits(model, tokens):
    with torch.no_grad():
        return model(tokens)


@pytest.mark.parametrize("scheme, factor", [(PLAIN, 1.0), (YARN, 4.0)])
def test_schemes_that_a_configuration_can_say_are_that_configurations_model(model, scheme, factor):
    tokens = some_tokens(80)
    own = model.sharing_weights(TINY.replace(rope_scaling_factor=factor)).eval()
    stretched = under_scheme(model, scheme, factor)
    torch.testing.assert_close(logits(stretched, tokens), logits(own, tokens), atol=1e-5, rtol=1e-5)


def test_interpolation_reads_every_second_position_as_one(model):
    """At factor 2 a token at position 2m is turned as plain RoPE turns one at m."""
    halved = under_scheme(model, INTERPOLATION, 2.0).block[0].attn.rope.cos_sin(0, 20, torch.device("cpu"))
    plain = under_scheme(model, PLAIN, 2.0).block[0].attn.rope.cos_sin(0, 10, torch.device("cpu"))
    for ours, theirs in zip(halved, plain, strict=True):
        torch.testing.assert_close(ours[::2], theirs)


def test_schemes_differ_and_leave_the_model_as_it_was(model):
    tokens = some_tokens(120)
    before = logits(model, tokens)
    outputs = [logits(under_scheme(model, scheme, 4.0), tokens) for scheme in SCHEMES]
    assert all(not torch.allclose(a, b) for i, a in enumerate(outputs) for b in outputs[i + 1:])
    torch.testing.assert_close(logits(model, tokens), before, atol=0, rtol=0)
    shared = under_scheme(model, NOTEBOOK, 4.0)
    assert shared.unembedding.weight is model.unembedding.weight


def repeating(*sizes, count=6):
    """Documents with some tokens that come back, and the marks on these."""
    rng = np.random.default_rng(sum(sizes))
    tokens = rng.integers(TINY.vocab_size, size=(count, 60))
    distance = np.zeros_like(tokens)
    for row in range(count):
        for far in sizes:
            at = int(rng.integers(far + 1, 60))
            if not distance[row, at]:
                tokens[row, at], distance[row, at] = tokens[row, at - far], far
    settled = distance * (tokens == np.take_along_axis(tokens, np.arange(60) - distance, axis=1))
    return tokens, settled


def test_answers_are_those_of_reading_each_document_alone(model):
    tokens, distance = repeating(3, 10, 40)
    rows = answers(model, tokens, distance)
    assert list(rows.columns) == ["position", "distance", "right"] and len(rows) == np.count_nonzero(distance) >= 12
    expected = [(at, distance[row, at], int(logits(model, torch.tensor(tokens[row:row + 1, :at]))[0, -1].argmax())
                 == tokens[row, at]) for row in range(len(tokens)) for at in range(60) if distance[row, at]]
    assert list(rows.itertuples(index=False, name=None)) == expected


def test_a_model_that_always_says_the_same_token_is_right_where_that_token_repeats():
    model = Transformer(TINY, seed=0).eval()
    with torch.no_grad():
        model.unembedding.weight.zero_()  # all logits are equal, so token 0 is the best
    tokens, distance = np.array([[4, 0, 0, 4, 0, 0], [1, 2, 0, 1, 2, 0]]), np.array([[0, 0, 0, 3, 3, 3]] * 2)
    rows = answers(model, tokens, distance)
    assert rows["right"].tolist() == [False, True, True, False, False, True]
    assert rows["position"].tolist() == [3, 4, 5] * 2


@pytest.mark.parametrize("distance, why", [([0, 0, 0, 0], "no token is marked"), ([0, 0, 0, 2], "not at its distance"),
                                           ([0, 0, 3, 0], "not at its distance")])
def test_marks_that_cannot_be_are_refused(model, distance, why):
    with pytest.raises(ValueError, match=why):
        answers(model, np.array([[1, 2, 3, 1]]), np.array([distance]))


def test_accuracy_is_counted_as_by_hand():
    rows = pd.DataFrame({"scheme": [YARN] * 4 + [PLAIN] * 3, "distance": [1, 32, 33, 64, 32, 40, 64],
                          "right": [True, False, True, True, False, False, True]})
    frame = accuracy_by_distance(rows, (0, 32, 64, 96))
    assert list(frame.itertuples(index=False, name=None)) == [
        (YARN, 1, 32, 2, 0.5), (YARN, 33, 64, 2, 1.0), (PLAIN, 1, 32, 1, 0.0), (PLAIN, 33, 64, 2, 0.5)]
