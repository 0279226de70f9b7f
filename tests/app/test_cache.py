"""Caches that share a budget of bytes, and what a value weighs."""

import threading
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
import torch

from gptoss.app.cache import Budget, Cache, weight
from gptoss.config import ModelConfig
from gptoss.model import Transformer
from gptoss.trace import Trace

KILOBYTE = 1000


def array(kilobytes):
    return np.zeros(kilobytes * KILOBYTE, dtype=np.uint8)


def test_what_was_not_used_for_longest_goes_first_in_any_cache():
    budget = Budget(10 * KILOBYTE)
    one, other = Cache(9, budget), Cache(9, budget)
    one.put("a", array(2)), other.put("b", array(2)), one.put("c", array(2)), other.put("d", array(2))
    assert one.get("a") is not None  # used: "b" is the oldest by now
    one.put("e", array(2))
    other.put("f", array(1))
    assert [one.get(key) is not None for key in "ace"] == [True, True, True]
    assert [other.get(key) is not None for key in "bdf"] == [False, True, True]
    assert budget.bytes == 9 * KILOBYTE


def test_counts_stay_right_whatever_leaves_a_cache():
    budget = Budget(100 * KILOBYTE)
    cache = Cache(2, budget)
    for kilobytes in (3, 4, 5):
        cache.put(kilobytes, array(kilobytes))
    cache.put(5, array(6))  # in the place of the other
    assert budget.bytes == 10 * KILOBYTE
    cache.drop(4)
    assert budget.bytes == 6 * KILOBYTE
    cache.clear()
    assert budget.bytes == 0 and len(cache) == 0


def test_a_single_huge_value_does_not_drive_out_the_rest():
    budget = Budget(10 * KILOBYTE)
    cache = Cache(9, budget)
    cache.put("small", array(2))
    cache.put("huge", array(1000))
    assert cache.get("small") is not None and cache.get("huge") is not None


def test_a_large_value_counts_whole():
    budget = Budget(10 * KILOBYTE)
    cache = Cache(9, budget)
    cache.put("small", array(2))
    cache.put("large", array(9))
    assert cache.get("small") is None and budget.bytes == 9 * KILOBYTE


def test_many_threads_keep_the_budget():
    budget = Budget(20 * KILOBYTE)
    caches = [Cache(5, budget) for _ in range(4)]

    def work(seed):
        draws = np.random.default_rng(seed).integers(0, 12, 300)
        for draw in draws:
            caches[draw % 4].of(int(draw), lambda draw=draw: array(1 + draw % 5))
            if draw == 7:
                caches[0].drop(8)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 < budget.bytes <= budget.most_bytes
    assert budget.bytes == sum(weight(value) for cache in caches for value in cache._values.values())


@dataclass
class Result:
    table: pd.DataFrame
    parts: dict


@pytest.mark.parametrize("value, least", [
    (torch.zeros(1000), 4000), (torch.zeros(1000)[:3], 4000), (pd.DataFrame({"x": np.zeros(1000)}), 8000),
    ([np.zeros(500), {"y": (np.zeros(500),)}], 8000), (Trace({"a": torch.zeros(500), "b": torch.zeros(500)}), 4000),
    (Result(pd.DataFrame({"x": np.zeros(500)}), {"y": torch.zeros(500)}), 6000), ("x" * 9000, 9000), (b"x" * 9000, 9000)])
def test_everything_inside_weighs(value, least):
    assert least <= weight(value) < least + 1500


def test_what_is_shared_weighs_once():
    whole = torch.zeros(1000)
    assert weight([whole, whole[10:], whole.view(10, 100)]) < 4500


def test_a_function_weighs_what_it_holds():
    model = Transformer(ModelConfig(num_hidden_layers=1, hidden_size=32, intermediate_size=32, num_attention_heads=2,
                                    head_dim=8, num_key_value_heads=1, num_experts=2, experts_per_token=1, vocab_size=50))

    @lru_cache(maxsize=2)
    def shared(number):
        return model, number

    own = sum(parameter.nbytes for parameter in model.parameters())
    assert own <= weight((shared, 1.5)) < own + 3000
