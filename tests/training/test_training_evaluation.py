"""Evaluation against sums written out, and on models that know the answers by rule."""

import math

import numpy as np
import pytest
import torch
from tiny_runs import TINY, tiny_corpus
from torch import nn

from gptoss.trace import trace
from gptoss.training.contestants import contestants
from gptoss.training.evaluation import AT_ONCE, Evaluation, evaluate

COUNT = AT_ONCE + 7  # more than one pass


class ByRule(nn.Module):
    """Says with certainty what followed the token's last occurrence in the text, or else the token itself.

    In recall a name is followed by its value; in repetition no word comes twice in a line; so both are answered rightly.
    """

    def forward(self, tokens):
        answers = tokens.clone()
        for row, text in enumerate(tokens.tolist()):
            for place, token in enumerate(text):
                before = [n for n in range(place) if text[n] == token]
                answers[row, place] = text[before[-1] + 1] if before else token
        return 50.0 * nn.functional.one_hot(answers, TINY.vocab_size).float()


class NeverRight(nn.Module):
    def forward(self, tokens):
        return nn.functional.one_hot(torch.full_like(tokens, TINY.vocab_size - 1), TINY.vocab_size).float()


def model_and_documents(contestant="study"):
    return contestants(TINY)[contestant].build(seed=2), tiny_corpus().validation(COUNT)


@pytest.mark.parametrize("contestant", ["study", "gpt2"])
@torch.no_grad()
def test_losses_are_the_mean_over_every_predicted_token(contestant):
    model, documents = model_and_documents(contestant)
    result = evaluate(model, documents)
    assert result.losses.keys() == documents.keys()
    for domain, texts in documents.items():
        tokens = torch.as_tensor(texts.tokens)
        chances = model(tokens[:, :-1]).softmax(-1)
        direct = [-math.log(chances[row, place, tokens[row, place + 1]])
                  for row in range(COUNT) for place in range(tokens.shape[1] - 1)]
        assert result.losses[domain] == pytest.approx(np.mean(direct), rel=1e-5)
    assert result.loss == pytest.approx(np.mean(list(result.losses.values())))


def test_a_model_that_copies_by_rule_recalls_and_repeats_everything():
    documents = tiny_corpus().validation(COUNT)
    result = evaluate(ByRule(), documents)
    assert result.correct.keys() == {"recall", "repetition"}
    for domain, answers in result.correct.items():
        distance = documents[domain].distance[:, 1:]
        assert answers == {far: (asked, asked) for far, asked in zip(
            *np.unique(distance[distance > 0], return_counts=True), strict=True)}
        assert result.accuracy(domain) == 1
        assert result.accuracy(domain, nearest=min(answers), farthest=min(answers)) == 1
        assert math.isnan(result.accuracy(domain, nearest=1000))
    assert math.isnan(result.accuracy("arithmetic"))
    assert result.load == {}


def test_a_model_that_is_never_right_has_accuracy_zero():
    result = evaluate(NeverRight(), tiny_corpus().validation(8))
    assert result.accuracy("recall") == result.accuracy("repetition") == 0


def test_accuracy_counts_the_distances_that_are_asked_for():
    result = Evaluation({}, {"recall": {4: (1, 2), 8: (3, 3), 40: (0, 5)}}, {})
    assert result.accuracy("recall") == pytest.approx(4 / 10)
    assert result.accuracy("recall", nearest=8) == pytest.approx(3 / 8)
    assert result.accuracy("recall", farthest=8) == pytest.approx(4 / 5)
    assert result.accuracy("recall", 5, 8) == 1


@torch.no_grad()
def test_the_load_is_the_share_of_choices_in_every_layer():
    model, documents = model_and_documents()
    result = evaluate(model, documents)
    for domain, texts in documents.items():
        assert result.load[domain].shape == (TINY.num_hidden_layers, TINY.num_experts)
        np.testing.assert_allclose(result.load[domain].sum(axis=1), 1, atol=1e-6)
        flow = trace(model, torch.as_tensor(texts.tokens[:, :-1]))
        for layer in range(TINY.num_hidden_layers):
            chosen = flow[f"block.{layer}.mlp.experts"]
            shares = [(chosen == expert).float().mean().item() for expert in range(TINY.num_experts)]
            np.testing.assert_allclose(result.load[domain][layer], shares, atol=1e-6)


def test_a_model_without_routers_has_no_load():
    assert evaluate(*model_and_documents("gpt2")).load == {}


def test_bfloat16_is_near_and_leaves_everything_as_it_was():
    model, documents = model_and_documents()
    model.train()
    exact, halved = evaluate(model, documents), evaluate(model, documents, precision="bfloat16")
    assert model.training and all(parameter.grad is None for parameter in model.parameters())
    assert halved.losses == pytest.approx(exact.losses, rel=0.01) and halved.losses != exact.losses
