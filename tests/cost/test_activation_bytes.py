"""Bytes kept for the backward pass, against the tensors that autograd saves in real training steps."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from gptoss.config import PRESETS
from gptoss.cost import activations
from gptoss.cost.activations import KEEPS, KERNEL, MASKED_KERNEL, RECOMPUTED, WRITTEN_OUT, activation_bytes, kept_bytes
from gptoss.model import Transformer, attention
from gptoss.model.fast import experts
from gptoss.model.fast.attention import QUERIES_AT_ONCE
from gptoss.training.step_memory import random_tokens, training_step

FORMATS = {"bf16": torch.bfloat16, "fp32": torch.float32}
CLASSROOM = PRESETS["classroom"]


def step(config, batch_size, tokens, number_format):
    model = Transformer(config, dtype=FORMATS[number_format])
    return training_step(model, random_tokens(model, batch_size, tokens))


@settings(max_examples=15)
@given(data=st.data(), batch_size=st.integers(1, 3), tokens=st.integers(2, 150), number_format=st.sampled_from([*FORMATS]))
def test_a_real_step_saves_what_is_predicted(small_configs, data, batch_size, tokens, number_format):
    config = data.draw(small_configs)
    measured = step(config, batch_size, tokens, number_format)
    assert all(measured.padded_rows)
    assert measured.activations == activation_bytes(
        config, batch_size, tokens, number_format, WRITTEN_OUT, measured.padded_rows)


@pytest.mark.parametrize("number_format", FORMATS)
@pytest.mark.parametrize("window", [0, 16])
def test_without_padding_routing_does_not_matter(monkeypatch, number_format, window):
    monkeypatch.setattr(experts, "SMALL", 0)
    config = CLASSROOM.replace(num_hidden_layers=2, sliding_window=window)
    measured = step(config, 2, 130, number_format)
    assert measured.padded_rows == (None, None)
    assert measured.activations == activation_bytes(config, 2, 130, number_format, WRITTEN_OUT)


def test_a_kernel_without_weights_keeps_queries_keys_values_and_sums(monkeypatch):
    """torch's own kernel on a CPU. Its result lies in another order, so that the projection reads one copy more."""
    def attend(self, q, k, v):
        q, k, v = (heads.transpose(1, 2).contiguous() for heads in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)

    monkeypatch.setattr(attention.AttentionBlock, "_attend", attend)
    config = CLASSROOM.replace(num_key_value_heads=8)
    for number_format in FORMATS:
        measured = step(config, 2, 96, number_format)
        predicted = activation_bytes(config, 2, 96, number_format, KERNEL, measured.padded_rows)
        predicted["attention"] += config.num_hidden_layers * 2 * 96 * 8 * config.head_dim * FORMATS[number_format].itemsize
        assert measured.activations == predicted


def test_the_mask_is_kept_once_for_the_whole_batch():
    """The kernel with a mask is CUDA's; on any device its mask grows with the square of the tokens, not with the batch."""
    config = CLASSROOM.replace(sliding_window=0, num_hidden_layers=1)

    def extra(batch_size, tokens):
        masked, bare = (activation_bytes(config, batch_size, tokens, attention=kernel)["attention"]
                        for kernel in (MASKED_KERNEL, KERNEL))
        return masked - bare

    assert extra(2, 1024) < 1.3 * extra(1, 1024)
    assert extra(1, 2048) / extra(1, 1024) == pytest.approx(4, rel=0.1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA's kernel needs CUDA")
@pytest.mark.parametrize("number_format", FORMATS)
def test_on_cuda_the_kernel_keeps_its_mask(number_format):
    model = Transformer(CLASSROOM, device="cuda", dtype=FORMATS[number_format])
    measured = training_step(model, random_tokens(model, 3, 200))
    assert measured.activations == activation_bytes(
        CLASSROOM, 3, 200, number_format, MASKED_KERNEL, measured.padded_rows)


def test_the_constants_are_the_models_own():
    assert activations.QUERIES_AT_ONCE == QUERIES_AT_ONCE


def test_block_inputs_are_all_that_recomputation_keeps(monkeypatch):
    """Blocks under torch's own checkpointing save their inputs and nothing else; the loss then holds most."""
    config, batch_size, tokens = CLASSROOM.replace(num_hidden_layers=6), 2, 48
    model = Transformer(config, dtype=torch.bfloat16)
    for block in model.block:
        inside = block.forward
        block.forward = lambda x, *rest, inside=inside: checkpoint(inside, x, use_reentrant=False)
    measured = training_step(model, random_tokens(model, batch_size, tokens)).activations
    assert measured["attention"] == measured["experts"] == 0
    assert sum(measured.values()) == kept_bytes(config, batch_size, tokens, RECOMPUTED)


def test_where_the_vocabulary_is_small_a_block_at_work_holds_most():
    config = CLASSROOM.replace(vocab_size=16)
    whole = activation_bytes(config.replace(num_hidden_layers=1), 1, 64)
    norm = whole["norms"] // 3
    inputs = config.num_hidden_layers * 64 * config.hidden_size * 2
    assert kept_bytes(config, 1, 64, RECOMPUTED) == inputs + whole["attention"] + whole["experts"] + 2 * norm


@pytest.mark.parametrize("name", PRESETS)
def test_keeping_less_takes_less(name):
    config = PRESETS[name]
    sizes = [kept_bytes(config, 1, 4096, keep) for keep in KEEPS]
    assert sizes == sorted(sizes, reverse=True) and len({*sizes}) == 3
    assert kept_bytes(config, 2, 4096, KEEPS[1]) == pytest.approx(2 * sizes[1], rel=1e-2)


def test_the_formula_on_the_page_is_the_count():
    """For one token, as the page's maths writes it; cosines and sines come on top, once for a whole batch."""
    config, batch_size, tokens = PRESETS["gpt-oss-20b"], 3, 64
    h, wide, narrow = config.hidden_size, 64 * config.head_dim, 8 * config.head_dim
    k, i, v, layers = config.experts_per_token, config.intermediate_size, config.vocab_size, config.num_hidden_layers
    a_layer = 8 * (2 * h + 1) + 2 * (h + 2 * wide + 2 * narrow) + 4 * 64 + 2 * h + 28 * k + 2 * k * (3 * h + 7 * i)
    once = 4 * (2 * h + 1) + 2 * h + 4 * v + 16
    angles = layers * tokens * config.head_dim * 2
    counted = sum(activation_bytes(config, batch_size, tokens).values())
    assert counted == batch_size * tokens * (layers * a_layer + once) + angles + 4


def test_impossible_arguments_are_named():
    for arguments, words in (((1, 1), "tokens=1"), ((0, 8), "batch_size=0"), ((1, 8, "fp8"), "number_format='fp8'"),
                             ((1, 8, "bf16", "magic"), "attention='magic'")):
        with pytest.raises(ValueError, match=words):
            activation_bytes(CLASSROOM, *arguments)
    with pytest.raises(ValueError, match="keep='all'"):
        kept_bytes(CLASSROOM, 1, 8, "all")


def test_a_step_is_weighed_whole():
    model = Transformer(CLASSROOM)
    weights = sum(parameter.nbytes for parameter in model.parameters())
    before = [parameter.detach().clone() for parameter in model.parameters()]
    measured = training_step(model, random_tokens(model, 2, 32))
    assert dataclasses.replace(measured, activations={}, padded_rows=()) == dataclasses.replace(
        measured, weights=weights, gradients=weights, optimizer_states=2 * weights, step_counters=4 * len(before),
        activations={}, padded_rows=())
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
