"""Sampling, and generation against a loop without a cache and against `transformers`."""

import pytest
import torch
from hugging_face import hugging_face_twin
from hypothesis import given
from hypothesis import strategies as st
from random_models import SMALL, random_model, random_tokens, small_configs

from gptoss.model import Transformer, next_token_probabilities
from gptoss.model.sampling import Sampling

MODEL = random_model(SMALL, seed=4)
PROMPT = [3, 14, 15, 9, 26, 5]


def generate(tokens=PROMPT, max_new_tokens=20, **settings):
    return list(MODEL.generate(tokens, max_new_tokens, **settings))


@torch.no_grad()
def greedy_without_a_cache(model, tokens, count):
    tokens = list(tokens)
    for _ in range(count):
        tokens.append(model(torch.tensor([tokens]))[0, -1].argmax().item())
    return tokens[len(tokens) - count:]


@given(small_configs(), st.integers(1, 20), st.integers(0, 99))
def test_greedy_equals_a_loop_without_a_cache(config, prompt, seed):
    model = random_model(config, seed)
    tokens = random_tokens(config, prompt, seed=seed)
    assert list(model.generate(tokens, 12, temperature=0)) == greedy_without_a_cache(model, tokens.tolist(), 12)


@pytest.mark.parametrize("config", [SMALL, SMALL.replace(sliding_window=0), SMALL.replace(rope_scaling_factor=1.0)],
                         ids=["window 5", "no window", "no YaRN"])
def test_greedy_equals_transformers(config):
    model = random_model(config, seed=6)
    theirs = hugging_face_twin(model).generate(
        torch.tensor([PROMPT]), max_new_tokens=40, min_new_tokens=40, do_sample=False, pad_token_id=0)
    assert list(model.generate(PROMPT, 40, temperature=0)) == theirs[0, len(PROMPT):].tolist()


def test_a_seed_repeats_its_tokens():
    assert generate(seed=7) == generate(seed=7)
    assert generate(seed=7) != generate(seed=8)
    assert generate(seed=7, max_new_tokens=5) == generate(seed=7)[:5]
    assert any(generate() != generate() for _ in range(3))


def test_the_prompt_may_be_a_list_or_a_tensor():
    assert generate(torch.tensor(PROMPT), seed=1) == generate(tuple(PROMPT), seed=1) == generate(seed=1)


@pytest.mark.parametrize("settings", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-6}])
def test_settings_that_leave_one_token_are_greedy(settings):
    assert generate(seed=1, **settings) == generate(temperature=0)


def test_tokens_come_one_by_one():
    """Nothing is computed ahead: a stream that is left after three tokens has run the model three times."""
    passes = []
    hook = MODEL.norm.register_forward_hook(lambda *call: passes.append(call[-1].requires_grad))
    try:
        stream = MODEL.generate(PROMPT, 50, temperature=0)
        first = [next(stream) for _ in range(3)]
    finally:
        hook.remove()
    assert first == generate(temperature=0)[:3]
    assert passes == [False] * 3  # and kept nothing for a backward pass


def test_no_new_tokens():
    assert generate(max_new_tokens=0) == []


def test_generation_leaves_gradients_and_the_global_random_stream_alone():
    before = torch.get_rng_state()
    assert len(generate(seed=1)) == 20
    assert len(generate()) == 20
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.is_grad_enabled()
    assert all(parameter.grad is None for parameter in MODEL.parameters())


@pytest.mark.parametrize(("arguments", "named"), [
    ({"tokens": []}, "tokens"),
    ({"tokens": torch.empty(0)}, "tokens"),
    ({"max_new_tokens": -1}, "max_new_tokens=-1"),
    ({"temperature": -0.1}, "temperature=-0.1"),
    ({"temperature": float("nan")}, "temperature=nan"),
    ({"temperature": float("inf")}, "temperature=inf"),
    ({"top_k": 0}, "top_k=0"),
    ({"top_k": -3}, "top_k=-3"),
    ({"top_p": 0.0}, r"top_p=0\.0"),
    ({"top_p": 1.1}, r"top_p=1\.1"),
    ({"top_p": float("nan")}, "top_p=nan"),
])
def test_impossible_settings_are_refused_at_the_call(arguments, named):
    with pytest.raises(ValueError, match=f"{named}.*allowed"):
        MODEL.generate(**{"tokens": PROMPT, "max_new_tokens": 3, **arguments})


@pytest.mark.parametrize("shape", [(5,), (1, 0), (1, 2, 3)])
def test_forward_refuses_what_is_no_batch_of_tokens(shape):
    with pytest.raises(ValueError, match="allowed: \\(batch, tokens\\)"):
        MODEL(torch.zeros(shape, dtype=torch.long))


@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=30),
       st.one_of(st.just(0.0), st.floats(1e-6, 1e6)), st.one_of(st.none(), st.integers(1, 40)),
       st.one_of(st.none(), st.floats(1e-6, 1)))
def test_every_setting_gives_a_distribution(logits, temperature, top_k, top_p):
    logits = torch.tensor(logits)
    probabilities = next_token_probabilities(logits, temperature, top_k, top_p)
    assert probabilities.dtype == torch.float32
    assert (probabilities >= 0).all()
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-5)
    assert (probabilities > 0).sum() <= (top_k or len(logits))
    unrestricted = next_token_probabilities(logits, temperature)
    assert unrestricted[probabilities.argmax()] == unrestricted.max()


def test_plain_sampling_is_a_softmax_of_logits_over_temperature():
    logits = torch.randn(3, 4, 11, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(next_token_probabilities(logits, 0.7), torch.softmax(logits / 0.7, dim=-1))


@pytest.mark.parametrize(("top_p", "kept"), [(0.4, 1), (0.5, 1), (0.6, 2), (0.79, 2), (0.81, 3), (1.0, 4)])
def test_top_p_keeps_the_token_that_crosses(top_p, kept):
    """The four probabilities are 0.5, 0.3, 0.15 and 0.05, in another order."""
    given = torch.tensor([0.15, 0.5, 0.05, 0.3])
    probabilities = next_token_probabilities(given.log(), top_p=top_p)
    best = given.sort(descending=True)
    expected = torch.zeros(4).scatter(0, best.indices[:kept], best.values[:kept])
    torch.testing.assert_close(probabilities, expected / expected.sum())


def test_top_k_rescales_what_it_keeps_and_top_p_counts_in_that():
    given = torch.tensor([0.15, 0.5, 0.05, 0.3])
    torch.testing.assert_close(next_token_probabilities(given.log(), top_k=2), torch.tensor([0, 0.625, 0, 0.375]))
    torch.testing.assert_close(next_token_probabilities(given.log(), top_k=99), given)
    torch.testing.assert_close(next_token_probabilities(given.log(), top_k=2, top_p=0.6), torch.tensor([0, 1.0, 0, 0]))


@pytest.mark.parametrize("temperature", [0, 1e-300, 1e-37, 1e-6, 1.0, 1e6])
@pytest.mark.parametrize("top_p", [None, 0.5])
def test_extreme_temperatures_large_logits_and_excluded_tokens(temperature, top_p):
    logits = torch.tensor([3e4, float("-inf"), -3e4, 2.9e4, float("-inf")])
    probabilities = next_token_probabilities(logits, temperature, top_p=top_p)
    assert probabilities.isfinite().all()
    assert probabilities.sum().item() == pytest.approx(1)
    assert probabilities[1] == probabilities[4] == 0
    if temperature <= 1:
        assert probabilities[0] == 1


def test_ties():
    logits = torch.tensor([1.0, 1.0, 1.0, 1.0])
    torch.testing.assert_close(next_token_probabilities(logits, 1e-6), torch.full((4,), 0.25))
    assert sorted(next_token_probabilities(logits, 0).tolist()) == [0, 0, 0, 1]
    assert sorted(next_token_probabilities(logits, top_k=3).tolist()) == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])
    assert sorted(next_token_probabilities(logits, top_p=0.5).tolist()) == [0, 0, 0.5, 0.5]


def test_samples_follow_the_distribution():
    """Of 4,000 draws from one stream each token's share is within five standard errors of its probability."""
    logits = torch.randn(1, 8, generator=torch.Generator().manual_seed(0))
    expected = next_token_probabilities(logits, temperature=0.8, top_k=6)[0]
    sampling = Sampling(temperature=0.8, top_k=6, seed=1)
    shares = torch.bincount(sampling.next_tokens(logits.expand(4000, 8)), minlength=8) / 4000
    assert ((shares - expected).abs() <= 5 * (expected * (1 - expected) / 4000).sqrt()).all()
    assert (shares[expected == 0] == 0).all()


def test_half_precision_logits_are_sampled_in_float32():
    model = Transformer(SMALL, dtype=torch.bfloat16)
    tokens = list(model.generate(PROMPT, 15, seed=3))
    assert len(tokens) == 15
    assert all(0 <= token < SMALL.vocab_size for token in tokens)
