"""Reading beyond the trained length: schemes on a real model, and accuracy against counting by hand."""

import pytest
import torch

from gptoss.anatomy.length_generalisation import accuracy_by_distance, repetition, under_scheme
from gptoss.anatomy.schemes import INTERPOLATION, NOTEBOOK, PLAIN, SCHEMES, YARN
from gptoss.config import ModelConfig
from gptoss.model import Transformer

TINY = ModelConfig(
    num_hidden_layers=2, num_experts=2, experts_per_token=1, vocab_size=11, hidden_size=24, intermediate_size=16,
    head_dim=16, num_attention_heads=2, num_key_value_heads=1, sliding_window=0, initial_context_length=64,
    rope_scaling_factor=4.0, rope_ntk_beta=8.0)


@pytest.fixture(scope="module")
def model():
    return Transformer(TINY, seed=1).eval()


def logits(model, tokens):
    with torch.no_grad():
        return model(tokens)


@pytest.mark.parametrize("scheme, factor", [(PLAIN, 1.0), (YARN, 4.0)])
def test_schemes_that_a_configuration_can_say_are_that_configurations_model(model, scheme, factor):
    tokens = repetition(40, 2, TINY.vocab_size)
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
    tokens = repetition(60, 1, TINY.vocab_size)
    before = logits(model, tokens)
    outputs = [logits(under_scheme(model, scheme, 4.0), tokens) for scheme in SCHEMES]
    assert all(not torch.allclose(a, b) for i, a in enumerate(outputs) for b in outputs[i + 1:])
    torch.testing.assert_close(logits(model, tokens), before, atol=0, rtol=0)
    shared = under_scheme(model, NOTEBOOK, 4.0)
    assert shared.unembedding.weight is model.unembedding.weight


def test_repetitions_repeat():
    tokens = repetition(7, 3, 50, seed=2)
    assert tokens.shape == (3, 14) and torch.equal(tokens[:, :7], tokens[:, 7:])
    assert torch.equal(tokens, repetition(7, 3, 50, seed=2)) and not torch.equal(tokens, repetition(7, 3, 50, seed=3))


def test_accuracy_is_counted_as_by_hand(model):
    sequences = {distance: repetition(distance, 4, TINY.vocab_size, seed=distance) for distance in (5, 30)}
    frame = accuracy_by_distance(model, sequences, factor=4.0)
    assert list(frame.columns) == ["scheme", "distance", "accuracy"] and len(frame) == len(SCHEMES) * 2
    for row in frame.itertuples():
        best = logits(under_scheme(model, row.scheme, 4.0), sequences[row.distance]).argmax(dim=-1)
        right = [int(best[text, at - 1] == sequences[row.distance][text, at - row.distance])
                 for text in range(4) for at in range(row.distance + 1, 2 * row.distance)]
        assert row.accuracy == pytest.approx(sum(right) / len(right))


def test_a_model_that_always_says_the_same_token_is_right_where_that_token_repeats():
    model = Transformer(TINY, seed=0).eval()
    with torch.no_grad():
        model.unembedding.weight.zero_()  # all logits are equal, so token 0 is the best
    sequences = {3: torch.tensor([[4, 0, 0, 4, 0, 0], [1, 2, 0, 1, 2, 0]])}
    frame = accuracy_by_distance(model, sequences, factor=2.0, schemes=[PLAIN])
    assert frame["accuracy"].tolist() == [0.75]  # of 0, 0 and 2, 0


@pytest.mark.parametrize("tokens", [torch.tensor([[1, 2, 3, 1, 2, 4]]), torch.tensor([[1, 2, 3]])])
def test_sequences_that_do_not_repeat_are_refused(model, tokens):
    with pytest.raises(ValueError, match="do not repeat"):
        accuracy_by_distance(model, {3: tokens}, factor=2.0)
