"""Shared keys and values: closed forms against counted tensors and live caches, readers against `transformers`."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_models import SMALL, random_model, random_tokens, small_configs
from torch.testing import assert_close
from transformers.models.gpt_oss.modeling_gpt_oss import eager_attention_forward, repeat_kv

from gptoss.config import PRESETS
from gptoss.cost import checkpoint_bytes, kv_cache_bytes
from gptoss.lessons.gqa.measure import (
    cache_growth,
    cache_with_head_size_from_width,
    cache_with_width_of_stream,
    costs_by_kv_heads,
    key_value_parameters,
    repeated_attention,
    saving,
    steps_shown,
    who_reads_whom,
    with_kv_heads,
)
from gptoss.model import KVCache, Transformer
from gptoss.model.attention import explicit_attention
from gptoss.model.mask import visible

LARGE, SMALLER = PRESETS["gpt-oss-120b"], PRESETS["gpt-oss-20b"]
CONTEXT = 131_072
GIB = 2**30


def counted(config):
    """Parameters of the real tensors, on no device."""
    return sum(parameter.numel() for parameter in Transformer(config, device="meta").parameters())


def test_the_number_of_groups_changes_the_cache_and_hardly_the_model():
    one, every = saving(LARGE, 1, CONTEXT), saving(LARGE, 64, CONTEXT)
    assert (f"{one.parameters:.2%}", f"{-every.parameters:.2%}") == ("0.08%", "0.64%")
    assert (f"{one.cache_before / GIB:.2f}", f"{one.cache_after / GIB:.2f}") == ("4.50", "0.56")
    assert one.cache == 0.875 and every.cache_after == 8 * every.cache_before


def test_the_claimed_saving_is_the_caches_alone():
    saved = saving(with_kv_heads(LARGE, 64), 8, CONTEXT)
    assert saved.cache == 0.875
    assert 0.3 < saved.memory < 0.36, "weights and cache together"
    assert saving(with_kv_heads(LARGE, 64), 8, 4096).memory < 0.04
    assert saved.weights_after + saved.cache_after == pytest.approx(60.8 * GIB + 4.5 * GIB, rel=0.001)
    assert saving(with_kv_heads(LARGE, 64), 8, CONTEXT, batch_size=32).memory > 0.8


@pytest.mark.parametrize("config", [LARGE, SMALLER, PRESETS["classroom"], LARGE.replace(num_attention_heads=96)], ids=str)
def test_costs_are_those_of_real_tensors(config):
    costs = costs_by_kv_heads(config, 4096)
    heads = config.num_attention_heads
    assert costs["kv_heads"].tolist() == [n for n in range(1, heads + 1) if heads % n == 0]
    assert costs.loc[costs["current"], "kv_heads"].tolist() == [config.num_key_value_heads]
    for kv_heads, cache, parameters, shared, _ in costs.itertuples(index=False):
        other = with_kv_heads(config, kv_heads)
        assert parameters == counted(other)
        assert cache == KVCache(other, 1, 4096, "meta", torch.bfloat16).nbytes
        queries = heads * config.head_dim
        assert shared == sum(layer.attn.qkv.weight[queries:].numel() + layer.attn.qkv.bias[queries:].numel()
                             for layer in Transformer(other, device="meta").block)


def test_parameters_differ_by_the_rows_of_keys_and_values_alone():
    one, many = (with_kv_heads(SMALLER, n) for n in (1, 32))
    assert counted(many) - counted(one) == key_value_parameters(many) - key_value_parameters(one)


def test_what_public_calculators_say_comes_out_of_their_mistakes():
    assert f"{cache_with_head_size_from_width(LARGE, CONTEXT) / 1e9:.2f}" == "3.40"
    assert f"{cache_with_width_of_stream(LARGE, CONTEXT) / GIB:.1f}" == "25.3"
    assert f"{kv_cache_bytes(LARGE, CONTEXT) / 1e9:.2f}" == "4.84"
    assert f"{(checkpoint_bytes(SMALLER) + kv_cache_bytes(SMALLER, 32_768)) / 1e9:.1f}" == "14.6"


def bytes_at(growth, layer, step):
    """A layer's bytes at any step: between two rows a straight line."""
    rows = growth[growth["layer"] == layer]
    return np.interp(step, rows["step"], rows["bytes"])


@torch.no_grad()
@given(small_configs(), st.integers(1, 30))
def test_growth_is_that_of_a_cache_while_it_fills(config, steps):
    model = random_model(config, dtype=torch.bfloat16)
    growth = cache_growth(config, steps)
    cache = model.new_cache(steps)
    for step, token in enumerate(random_tokens(config, steps).tolist(), 1):
        model(torch.tensor([[token]]), cache)
        for number, layer in enumerate(cache.layers):
            slots = min(layer.length, layer.slots)
            held = layer.keys[:, :slots].nbytes + layer.values[:, :slots].nbytes
            assert bytes_at(growth, number, step) == pytest.approx(held)


@pytest.mark.parametrize("config", [LARGE, PRESETS["classroom"], SMALL.replace(sliding_window=0)], ids=str)
@pytest.mark.parametrize("steps", [0, 1, 128, 1000, CONTEXT])
def test_growth_ends_at_the_size_of_a_cache_made_for_so_many_tokens(config, steps):
    growth = cache_growth(config, steps)
    for number, layer in enumerate(KVCache(config, 1, steps, "meta", torch.bfloat16).layers):
        assert bytes_at(growth, number, steps) == layer.keys.nbytes + layer.values.nbytes
    kinds = growth.groupby("layer")["kind"].first().tolist()
    assert kinds == ["sliding" if config.window_of(n) else "full" for n in range(config.num_hidden_layers)]


def test_sliding_layers_stop_growing_at_their_window():
    growth = cache_growth(LARGE, 1000)
    assert bytes_at(growth, 0, 1000) == bytes_at(growth, 0, 128) == bytes_at(growth, 1, 128)
    assert bytes_at(growth, 1, 1000) > bytes_at(growth, 1, 999)
    whole = cache_growth(LARGE, CONTEXT)
    last = whole[whole["step"] == CONTEXT]
    totals = last.groupby("kind")["bytes"].sum()
    assert totals["sliding"] == 4.5 * 2**20 and totals["full"] == 4.5 * GIB


@pytest.mark.parametrize(("config", "context", "steps"), [
    (LARGE, CONTEXT, 256), (LARGE, 128, 128), (LARGE.replace(sliding_window=0), 4096, 4096),
    (LARGE.replace(sliding_window=1), CONTEXT, 2)], ids=str)
def test_the_close_view_is_some_windows_long(config, context, steps):
    assert steps_shown(config, context) == steps


@given(small_configs(), st.integers(1, 12), st.integers(0, 99))
def test_each_query_head_reads_the_key_head_that_transformers_repeats_for_it(config, tokens, seed):
    model = random_model(config, seed)
    readers = who_reads_whom(model, random_tokens(config, tokens, seed=seed).tolist())
    names = torch.arange(config.num_key_value_heads).view(1, -1, 1, 1)
    theirs = repeat_kv(names, config.group_size).flatten()
    assert readers.differences.shape == (config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads)
    assert all(torch.equal(layer, theirs) for layer in readers.nearest)
    assert readers.rounding < 1e-4 and readers.explicit < 1e-4
    assert readers.missed is None if config.num_key_value_heads == 1 else readers.missed > 10 * readers.rounding


def test_another_assignment_of_heads_would_be_found(monkeypatch):
    """A model in which query head h reads key head h % kv_heads."""
    order = [0, 2, 1, 3]

    def interleaved(q, k, v, sinks, mask, record):
        answers = explicit_attention(q[:, :, order], k, v, sinks[order], mask,
                                     lambda name, value: record(name, value[:, order]))
        return answers[:, :, order]

    monkeypatch.setattr("gptoss.model.attention.explicit_attention", interleaved)
    readers = who_reads_whom(random_model(SMALL), range(9))
    assert readers.nearest.tolist() == [[0, 1, 0, 1]] * SMALL.num_hidden_layers
    assert readers.rounding < 1e-4 < 0.01 < readers.explicit


@pytest.mark.parametrize("window", [0, 1, 5])
def test_repeated_attention_is_that_of_transformers(window):
    generator = torch.Generator().manual_seed(window)
    q, k, v = (torch.randn(heads, 11, 8, generator=generator) for heads in (6, 2, 2))
    sinks = torch.randn(6, generator=generator)

    class Module:
        num_key_value_groups, training = 3, False

    Module.sinks = sinks
    mask = torch.zeros(11, 11).masked_fill(~visible(11, 11, window), float("-inf"))
    theirs, _ = eager_attention_forward(Module, q[None], k[None], v[None], mask[None, None], scaling=8**-0.5)
    assert_close(repeated_attention(q, k, v, sinks, window), theirs[0].transpose(0, 1), atol=1e-6, rtol=1e-5)
