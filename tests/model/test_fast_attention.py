"""The fast ways through attention give what attention written out gives, and so do their gradients."""

import pytest
import torch
from attention_inputs import explicit, inputs_and_window, random_inputs
from hypothesis import given
from hypothesis import strategies as st
from random_models import SMALL, random_model, random_tokens

from gptoss.model import attention
from gptoss.model.attention import explicit_attention
from gptoss.model.fast.attention import (
    QUERIES_AT_ONCE,
    attention_of_one_query,
    fast_attention,
    fused_attention_in_parts,
)


@given(inputs_and_window())
def test_the_fused_kernel_equals_explicit_attention(drawn):
    inputs, window = drawn
    expected, _ = explicit(*inputs, window)
    torch.testing.assert_close(fused_attention_in_parts(*inputs, window), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("window", [0, 1, 7, QUERIES_AT_ONCE, 10_000])
@pytest.mark.parametrize("earlier", [0, 13])
def test_fused_equals_explicit_over_several_parts(window, earlier):
    queries = 2 * QUERIES_AT_ONCE + 19
    inputs = random_inputs(2, queries, queries + earlier, 2, 2, 8)
    expected, _ = explicit(*inputs, window)
    torch.testing.assert_close(fused_attention_in_parts(*inputs, window), expected, atol=1e-5, rtol=1e-5)


@given(batch=st.integers(1, 3), keys=st.integers(1, 30), kv_heads=st.integers(1, 3), group=st.integers(1, 4),
       head_dim=st.integers(1, 20), with_sinks=st.booleans(), seed=st.integers(0, 99))
def test_one_query_that_sees_every_key_equals_explicit(batch, keys, kv_heads, group, head_dim, with_sinks, seed):
    q, k, v, sinks = random_inputs(batch, 1, keys, kv_heads, group, head_dim, seed)
    sinks = sinks if with_sinks else None
    torch.testing.assert_close(attention_of_one_query(q, k, v, sinks), explicit_attention(q, k, v, sinks, mask=None))


@pytest.mark.parametrize(("queries", "window"), [
    (1, 0), (20, 0), (20, 6), (QUERIES_AT_ONCE + 9, 0), (QUERIES_AT_ONCE + 9, 30)])
def test_gradients_of_every_way_are_those_of_explicit_attention(queries, window):
    inputs = random_inputs(2, queries, queries + 9 * (queries == 1), 2, 3, 4, dtype=torch.float64)
    target = torch.randn(2, queries, 6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    fast = torch.autograd.grad((fast_attention(*inputs, window) * target).sum(), inputs)
    written_out = torch.autograd.grad((explicit(*inputs, window)[0] * target).sum(), inputs)
    for ours, expected, name in zip(fast, written_out, ("q", "k", "v", "sinks"), strict=True):
        assert expected.abs().max() > 1e-3, name
        torch.testing.assert_close(ours, expected, msg=name)


@given(inputs_and_window())
def test_whichever_way_is_chosen_equals_explicit(drawn):
    inputs, window = drawn
    torch.testing.assert_close(fast_attention(*inputs, window), explicit(*inputs, window)[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_block_takes_the_fast_way_unless_it_is_recorded(monkeypatch):
    model, tokens = random_model(SMALL), random_tokens(SMALL, 1, 9)
    taken = []
    for name in ("explicit_attention", "fast_attention"):
        way = getattr(attention, name)
        monkeypatch.setattr(attention, name, lambda *inputs, name=name, way=way: taken.append(name) or way(*inputs))
    model(tokens)
    assert set(taken) == {"fast_attention"}
    taken.clear()
    model(tokens, record=lambda name, value: None)
    assert set(taken) == {"explicit_attention"}
