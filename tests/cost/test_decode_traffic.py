"""Bytes moved by one decoding step, against real tensors and against batches that were really routed."""

from fractions import Fraction
from itertools import combinations, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss.config import PRESETS
from gptoss.cost import decode_bytes, expected_experts_touched, kv_cache_bytes, weight_bytes
from gptoss.model import KVCache, Transformer

CLASSROOM = PRESETS["classroom"]


@pytest.mark.parametrize(("experts", "chosen", "batch_size"), [(3, 1, 4), (4, 2, 3), (5, 2, 2), (4, 4, 2), (6, 1, 1)])
def test_expected_experts_are_the_mean_over_all_routings(experts, chosen, batch_size):
    config = CLASSROOM.replace(num_experts=experts, experts_per_token=chosen)
    routings = list(product(combinations(range(experts), chosen), repeat=batch_size))
    mean = Fraction(sum(len(set().union(*routing)) for routing in routings), len(routings))
    assert expected_experts_touched(config, batch_size) == pytest.approx(float(mean), rel=1e-12)


@settings(max_examples=20)
@given(data=st.data(), context=st.integers(1, 30))
def test_one_sequence_moves_the_bytes_of_the_tensors_it_uses(small_configs, data, context):
    config = data.draw(small_configs)
    model = Transformer(config, device="meta", dtype=torch.bfloat16).to(torch.bfloat16)
    used = 0
    for name, parameter in model.named_parameters():
        if name == "embedding.weight":
            used += parameter[0].nbytes
        elif ".mlp.mlp" in name:
            used += parameter[:config.experts_per_token].nbytes
        else:
            used += parameter.nbytes
    held = KVCache(config, 1, context, device="meta", dtype=torch.bfloat16)
    gained = sum(layer.keys[:, :1].nbytes + layer.values[:, :1].nbytes for layer in held.layers)
    moved = decode_bytes(config, context, experts="bf16")
    assert sum(moved.values()) == used + held.nbytes + gained
    assert (moved["KV cache read"], moved["KV cache written"]) == (held.nbytes, gained)


def test_a_large_batch_reads_all_weights_once():
    batch_size = 1000
    moved, weights = decode_bytes(CLASSROOM, 64, batch_size), weight_bytes(CLASSROOM)
    assert {part: moved[part] for part in weights if part != "embedding"} == {
        part: weights[part] for part in weights if part != "embedding"}
    assert moved["embedding"] == batch_size * CLASSROOM.hidden_size * 2
    assert moved["KV cache read"] == kv_cache_bytes(CLASSROOM, 64, batch_size)


@pytest.mark.parametrize(("arguments", "words"), [
    ({"context": 0}, "context=0"),
    ({"context": 8, "batch_size": 0}, "batch_size=0"),
    ({"context": 8, "rest": "mxfp4"}, "rest='mxfp4'"),
    ({"context": 8, "kv_bytes_per_value": 0}, "kv_bytes_per_value=0"),
])
def test_impossible_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        decode_bytes(CLASSROOM, **arguments)
