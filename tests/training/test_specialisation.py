"""Information that experts carry about domains, given the token, against cases whose answer is known."""

import numpy as np
import pytest

from gptoss.training.specialisation import information


def places(rng, count=20_000, tokens=5, domains=4):
    return rng.integers(tokens, size=count), rng.integers(domains, size=count)


def test_an_expert_for_each_domain_tells_all_of_it():
    tokens, domains = places(np.random.default_rng(0))
    carried = information(domains[:, None], tokens, domains)
    assert carried.bits == pytest.approx(2, abs=0.01)  # four equally frequent domains: two bits
    assert carried.excess == pytest.approx(2, abs=0.02)


def test_an_expert_for_each_token_tells_nothing_that_the_token_does_not():
    """Texts differ in their tokens, so such a router sends domains to different experts; that is no specialisation."""
    rng = np.random.default_rng(1)
    domains = rng.integers(4, size=20_000)
    tokens = (domains + (rng.random(20_000) < 0.3)) % 5  # most tokens give their domain away
    carried = information(tokens[:, None], tokens, domains)
    assert carried.bits == pytest.approx(0, abs=1e-12)
    assert carried.shuffled == pytest.approx(0, abs=1e-12)


def test_chance_is_told_apart_from_information():
    rng = np.random.default_rng(2)
    tokens, domains = places(rng, count=400, tokens=40)
    carried = information(rng.integers(8, size=(400, 2)), tokens, domains, shuffles=20)
    assert carried.bits > 0.3  # so few places find much where there is nothing
    assert abs(carried.excess) < 0.06


def test_half_the_choices_tell_half():
    """One of two choices follows the domain, the other is always the same expert."""
    tokens, domains = places(np.random.default_rng(3))
    experts = np.stack([domains, np.full_like(domains, 7)], axis=1)
    assert information(experts, tokens, domains).bits == pytest.approx(1, abs=0.01)
