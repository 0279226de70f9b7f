"""Decoding with a cache: the same logits as without, and no more memory than a window needs."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_models import SMALL, random_model, random_tokens, small_configs


def assert_cached_equals_uncached(model, tokens, pieces):
    """Feed `tokens` in pieces of the given sizes, and compare every logit with one pass over all."""
    cache = model.new_cache(tokens.shape[1], batch_size=len(tokens))
    whole = model(tokens)
    seen = 0
    for piece in tokens.split(pieces, dim=1):
        logits = model(piece, cache)
        torch.testing.assert_close(logits, whole[:, seen:seen + piece.shape[1]], atol=2e-4, rtol=1e-3)
        seen += piece.shape[1]
        assert cache.length == seen


@st.composite
def pieces_of_a_text(draw):
    """A prompt, perhaps in chunks, then single tokens, perhaps another chunk: up to about 60 tokens."""
    prompt = draw(st.lists(st.integers(1, 20), min_size=1, max_size=2))
    return prompt + [1] * draw(st.integers(0, 15)) + draw(st.lists(st.integers(1, 8), max_size=1))


@given(small_configs(), st.integers(1, 2), pieces_of_a_text(), st.integers(0, 99))
@torch.no_grad()
def test_cached_equals_uncached(config, batch, pieces, seed):
    assert_cached_equals_uncached(
        random_model(config, seed), random_tokens(config, batch, sum(pieces), seed=seed), pieces)


@pytest.mark.parametrize("window, pieces", [
    (5, [20, 1, 1, 1]), (5, [3, *[1] * 10]), (5, [5, 5, 5]), (5, [4, 1, 6, 1, 13, 1]), (128, [300, 1, 100, 1, 18])],
    ids=["prompt longer than the window", "the ring goes round", "whole windows", "mixed", "long"])
@torch.no_grad()
def test_cached_equals_uncached_around_the_end_of_the_window(window, pieces):
    config = SMALL.replace(sliding_window=window)
    assert_cached_equals_uncached(random_model(config), random_tokens(config, 2, sum(pieces)), pieces)


@torch.no_grad()
def test_the_recorded_path_takes_a_cache_too():
    model, tokens = random_model(SMALL), random_tokens(SMALL, 1, 12)
    cache = model.new_cache(12)
    model(tokens[:, :8], cache, record=lambda name, value: None)
    recorded = {}
    logits = model(tokens[:, 8:], cache, record=recorded.__setitem__)
    torch.testing.assert_close(logits, model(tokens)[:, 8:], atol=1e-4, rtol=1e-4)
    assert recorded["block.1.attn.weights"].shape == (1, 4, 4, 12)


@torch.no_grad()
def test_a_ring_holds_the_keys_of_its_window_and_no_more():
    config = SMALL.replace(sliding_window=5)
    model, tokens = random_model(config), random_tokens(config, 1, 17)
    cache, recorded = model.new_cache(17), {}
    model(tokens, record=recorded.__setitem__)
    for token in tokens.split(1, dim=1):
        model(token, cache)
    for layer, slots in ((0, 5), (1, 17)):
        keys = cache.layers[layer].keys
        assert keys.shape == (1, slots, 2, 8)
        positions = torch.arange(17 - slots, 17)
        expected = torch.empty_like(keys)
        expected[:, positions % slots] = recorded[f"block.{layer}.attn.k_rope"][:, positions]
        torch.testing.assert_close(keys, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_memory_is_allocated_once():
    model, tokens = random_model(SMALL), random_tokens(SMALL, 1, 12)
    cache = model.new_cache(12)
    places = [layer.keys.data_ptr() for layer in cache.layers]
    size = cache.nbytes
    for piece in tokens.split((6, 1, 1, 4), dim=1):
        model(piece, cache)
    assert [layer.keys.data_ptr() for layer in cache.layers] == places
    assert cache.nbytes == size


@pytest.mark.parametrize("pieces", [[9], [8, 1], [7, 2]], ids=str)
@torch.no_grad()
def test_a_full_cache_refuses_more(pieces):
    """A full layer has no slot left; to overwrite its oldest key would change the logits without a word."""
    model, cache = random_model(SMALL), random_model(SMALL).new_cache(8)
    with pytest.raises(ValueError, match="8"):
        for piece in random_tokens(SMALL, 1, 9).split(pieces, dim=1):
            model(piece, cache)


def test_a_new_cache_has_the_dtype_and_device_of_its_model():
    cache = random_model(SMALL, dtype=torch.bfloat16).new_cache(9, batch_size=3)
    assert cache.layers[1].keys.shape == (3, 9, 2, 8)
    assert {layer.values.dtype for layer in cache.layers} == {torch.bfloat16}
    assert {layer.values.device.type for layer in cache.layers} == {"cpu"}
