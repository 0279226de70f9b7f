"""Stages of a distribution, draws and continuations: against `transformers`, closed forms, and loops written out."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_models import SMALL, random_model, random_tokens
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from gptoss.lessons.sampling import measure
from gptoss.lessons.sampling.measure import (
    NEW_TOKENS,
    REPEATED,
    Dials,
    agreement,
    continuation,
    difference_to_written_out,
    draws,
    entropy,
    logits_after,
    repeat,
    seeds_kept,
    stages,
    times_as_likely,
    written_out,
)
from gptoss.trace import trace

MODEL = random_model(SMALL, seed=4)
TEXT = tuple(random_tokens(SMALL, 9, seed=1).tolist())
ANY_DIALS = st.builds(Dials, st.one_of(st.just(0.0), st.floats(0.05, 3)), st.one_of(st.none(), st.integers(1, 60)),
                      st.one_of(st.none(), st.floats(0.02, 0.98)))


def random_logits(seed, vocab=50):
    return torch.randn(vocab, generator=torch.Generator().manual_seed(seed)) * 3


@given(st.integers(0, 999), ANY_DIALS)
def test_a_loop_in_plain_python_finds_the_same_distribution(seed, dials):
    logits = random_logits(seed)
    torch.testing.assert_close(stages(logits, dials).last.probabilities.double(), written_out(logits, dials),
                               atol=1e-6, rtol=1e-4)
    assert difference_to_written_out(logits, dials) < 1e-6


@given(st.integers(0, 999), st.floats(0.05, 3), st.integers(1, 60), st.floats(0.02, 0.98))
def test_every_stage_is_that_of_transformers(seed, temperature, top_k, top_p):
    logits = random_logits(seed)
    found = stages(logits, Dials(temperature, top_k, top_p))
    scores = logits[None]
    theirs = [scores := warper(None, scores) for warper in (
        TemperatureLogitsWarper(temperature), TopKLogitsWarper(top_k), TopPLogitsWarper(top_p))]
    torch.testing.assert_close(found.model.probabilities, logits.softmax(dim=-1))
    warm = theirs[0][0].softmax(dim=-1)
    for stage, other in zip((found.temperature, found.top_k, found.top_p), theirs, strict=True):
        torch.testing.assert_close(stage.probabilities, other[0].softmax(dim=-1), atol=1e-5, rtol=1e-4)
        assert stage.left == int((stage.probabilities > 0).sum()) >= 1
        assert stage.held == pytest.approx(warm[stage.probabilities > 0].sum().item(), abs=1e-5)


def test_entropy_is_the_mean_surprise():
    assert entropy(torch.tensor([1.0, 0.0, 0.0])) == 0
    assert entropy(torch.full((40,), 1 / 40)) == pytest.approx(math.log(40), abs=1e-6)
    assert entropy(torch.tensor([0.5, 0.25, 0.25])) == pytest.approx(1.5 * math.log(2))
    stage = stages(torch.zeros(8), Dials(top_k=5)).last
    assert (stage.left, stage.as_many_as) == (5, pytest.approx(5, rel=1e-5))


def test_temperature_keeps_the_order_and_raises_entropy():
    logits = random_logits(3)
    found = [stages(logits, Dials(temperature)).temperature for temperature in (0.1, 0.5, 1.0, 2.0)]
    assert [stage.entropy for stage in found] == sorted(stage.entropy for stage in found)
    assert all(torch.equal(stage.probabilities.argsort(), logits.argsort()) for stage in found[1:])
    greedy = stages(logits, Dials(0.0, 10, 0.9))
    assert (greedy.temperature.left, greedy.last.left, greedy.last.held, greedy.last.entropy) == (1, 1, 1.0, 0.0)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0, 2.0])
def test_a_ratio_is_e_to_the_difference_of_the_logits(temperature):
    logits = random_logits(7)
    first, second = sorted(logits.tolist(), reverse=True)[:2]
    assert times_as_likely(logits, temperature) == pytest.approx(math.exp((first - second) / temperature), rel=1e-3)


def test_a_token_that_is_too_unlikely_for_a_number_is_infinitely_less_likely():
    assert times_as_likely(torch.tensor([200.0, 0.0]), 0.05) == math.inf


@torch.no_grad()
def test_logits_after_a_token_are_those_of_the_text_up_to_it():
    traced = trace(MODEL, torch.tensor([TEXT]), layers=[])
    for position in range(len(TEXT)):
        alone = MODEL(torch.tensor([TEXT[:position + 1]]))[0, -1]
        torch.testing.assert_close(logits_after(traced, MODEL, position), alone, atol=1e-4, rtol=1e-4)


@given(ANY_DIALS)
def test_a_seed_draws_what_the_model_begins_with(dials):
    logits = logits_after(trace(MODEL, torch.tensor([TEXT]), layers=[]), MODEL, len(TEXT) - 1)
    begun = [next(MODEL.generate(TEXT, 1, *dials, seed=seed)) for seed in range(20, 26)]
    assert draws(logits, dials, 20, 6).tolist() == begun
    assert [continuation(MODEL, TEXT, dials, seed)[0] for seed in (20, 21)] == begun[:2]
    assert seeds_kept(MODEL, TEXT, logits, dials, 5) == 5


def test_seeds_together_follow_the_distribution():
    """Each token's share of 4,000 seeds is within five standard errors of its probability."""
    logits, dials = random_logits(5, vocab=8) / 3, Dials(0.8, 6)
    expected = stages(logits, dials).last.probabilities
    shares = torch.bincount(draws(logits, dials, 0, 4000), minlength=8) / 4000
    assert ((shares - expected).abs() <= 5 * (expected * (1 - expected) / 4000).sqrt()).all()
    assert (shares[expected == 0] == 0).all()


def test_continuations_are_the_models_own_and_bounded():
    ids = continuation(MODEL, TEXT, Dials(0.9), 3)
    assert ids == tuple(MODEL.generate(TEXT, NEW_TOKENS, 0.9, seed=3)) and len(ids) == NEW_TOKENS


@pytest.mark.parametrize(("ids", "others", "shared"), [
    ((1, 2, 3), (1, 2, 4), 2), ((1,), (2,), 0), ((1, 2), (1, 2), 2), ((), (1,), 0), ((1, 2), (1, 2, 3), 2)])
def test_how_far_two_texts_agree(ids, others, shared):
    assert agreement(ids, others) == shared


def test_greedy_text_is_repeated_to_the_last_bit_and_read_in_one_pass():
    found = repeat(MODEL, TEXT)
    assert found.same_tokens and found.same_bits
    assert found.agree == REPEATED and 0 < found.apart < 1e-3 < found.closest
    ids, logits = measure._greedy(MODEL, TEXT)
    assert ids == list(MODEL.generate(TEXT, REPEATED, temperature=0)) == logits.argmax(dim=-1).tolist()


def test_a_model_that_is_not_the_same_twice_is_found_out():
    model, calls = random_model(SMALL, seed=4), []

    def disturb(module, inputs, output):
        calls.append(None)
        return output * (1 + 1e-6 * (len(calls) > REPEATED))

    model.norm.register_forward_hook(disturb)
    found = repeat(model, TEXT)
    assert found.same_tokens and not found.same_bits
