"""FLOPs against torch's own counter, visible pairs against masks counted entry by entry."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_flops import FlopCounterMode

from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import forward_flops, visible_pairs
from gptoss.model import KVCache, Transformer
from gptoss.model.mask import visible

CLASSROOM = PRESETS["classroom"]


def mask_by_definition(tokens: int, context: int, window: int) -> np.ndarray:
    """(tokens, context), True where the query may look: itself and the past, at most `window` positions."""
    distance = np.arange(context - tokens, context)[:, None] - np.arange(context)[None, :]
    return (distance >= 0) & ((distance < window) | (window == 0))


def flops_counted_by_torch(config: ModelConfig, tokens: int, context: int) -> tuple[int, dict]:
    """FLOPs of the explicit path on a real model's last `tokens` tokens, in all and by kind of module."""
    model, ids = Transformer(config).eval(), torch.arange(context)[None] % config.vocab_size
    cache = KVCache(config, 1, context)
    with torch.no_grad():
        if context > tokens:
            model(ids[:, :context - tokens], cache=cache)
        with FlopCounterMode(display=False) as counter:
            model(ids[:, context - tokens:], cache=cache, record=lambda name, value: None)
    return counter.get_total_flops(), counter.get_flop_counts()


@settings(max_examples=50)
@given(context=st.integers(0, 40), window=st.integers(0, 45), data=st.data())
def test_visible_pairs_are_the_entries_of_the_mask(context, window, data):
    tokens = data.draw(st.integers(0, context))
    pairs = visible_pairs(tokens, context, window)
    assert pairs == mask_by_definition(tokens, context, window).sum()
    assert pairs == visible(tokens, context, window).sum()


@settings(max_examples=15)
@given(data=st.data(), tokens=st.integers(1, 12), earlier=st.integers(0, 20))
def test_executed_flops_are_those_torch_counts(small_configs, data, tokens, earlier):
    config = data.draw(small_configs)
    # torch multiplies by a single key's weight elementwise, which its counter does not call a matmul
    context = max(tokens + earlier, 2)
    config = config.replace(sliding_window=max(config.sliding_window, 2) if config.sliding_window else 0)
    total, _ = flops_counted_by_torch(config, tokens, context)
    assert forward_flops(config, tokens, context).executed_total == total


def test_executed_flops_are_those_torch_counts_in_each_operator():
    tokens, layers = 40, CLASSROOM.num_hidden_layers
    _, modules = flops_counted_by_torch(CLASSROOM, tokens, tokens)
    executed = forward_flops(CLASSROOM, tokens).executed

    def counted(suffix: str) -> int:
        return sum(sum(kinds.values()) for name, kinds in modules.items() if name.endswith(suffix))

    assert sum(name.endswith(".attn.qkv") for name in modules) == layers
    assert executed["qkv"] == counted(".attn.qkv")
    assert executed["out"] == counted(".attn.out")
    assert executed["scores"] + executed["values"] == counted(".attn") - counted(".attn.qkv") - counted(".attn.out")
    assert executed["router"] == counted(".mlp.gate")
    assert executed["mlp1"] + executed["mlp2"] == counted(".mlp") - counted(".mlp.gate")
    assert executed["unembedding"] == counted(".unembedding")


@settings(max_examples=15)
@given(data=st.data(), tokens=st.integers(1, 12), earlier=st.integers(0, 20))
def test_needed_attention_is_the_visible_part_of_every_layers_mask(small_configs, data, tokens, earlier):
    config, context = data.draw(small_configs), tokens + earlier
    flops = forward_flops(config, tokens, context)
    pairs = sum(int(mask_by_definition(tokens, context, config.window_of(layer)).sum())
                for layer in range(config.num_hidden_layers))
    multiply_adds = pairs * config.num_attention_heads * config.head_dim
    assert flops.needed["scores"] == flops.needed["values"] == 2 * multiply_adds
    assert {name: flops.needed[name] for name in flops.needed if name not in ("scores", "values")} == {
        name: flops.executed[name] for name in flops.executed if name not in ("scores", "values")}
    assert flops.needed_total <= flops.executed_total


@settings(max_examples=30)
@given(data=st.data(), tokens=st.integers(1, 30))
def test_a_prompt_needs_as_much_at_once_as_token_by_token(small_configs, data, tokens):
    config = data.draw(small_configs)
    steps = [forward_flops(config, 1, context) for context in range(1, tokens + 1)]
    assert forward_flops(config, tokens).needed_total == sum(step.needed_total for step in steps)


def test_decoding_multiplies_nothing_in_vain():
    flops = forward_flops(PRESETS["gpt-oss-20b"], tokens=1, context=131_072)
    assert flops.needed == flops.executed


@pytest.mark.parametrize(("call", "words"), [
    (lambda: forward_flops(CLASSROOM, 0), "tokens=0"),
    (lambda: forward_flops(CLASSROOM, 8, context=7), "context=7 .*8 or more"),
    (lambda: visible_pairs(-1, 4, 0), "tokens=-1"),
    (lambda: visible_pairs(4, 3, 0), "context=3 .*4 or more"),
    (lambda: visible_pairs(1, 3, -1), "window=-1"),
])
def test_impossible_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
