"""What serving keeps in memory, against live caches, real tensors and brute force."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss.config import PRESETS
from gptoss.cost import (
    MACHINES,
    Load,
    cache_designs,
    cache_film,
    checkpoint_bytes,
    kv_cache_bytes,
    serving_bytes,
    users_at_once,
    weight_bytes,
)
from gptoss.cost.serving import FULL, SLIDING
from gptoss.model import KVCache, Transformer

GIB, CONTEXT = 2**30, 131_072
SMALL, LARGE = PRESETS["gpt-oss-20b"], PRESETS["gpt-oss-120b"]
BY_NAME = {machine.name: machine for machine in MACHINES}
PARTS = {  # of the weights, by what the names of their tensors end in
    "embedding": ("embedding.weight",), "norms": ("norm.scale",), "qkv": ("qkv.weight", "qkv.bias"), "sinks": ("sinks",),
    "out": ("out.weight", "out.bias"), "router": ("gate.weight", "gate.bias"), "mlp1": ("mlp1_weight",),
    "mlp2": ("mlp2_weight",), "expert biases": ("mlp1_bias", "mlp2_bias"), "unembedding": ("unembedding.weight",)}


def stored(tensor: torch.Tensor, number_format: str) -> int:
    """Bytes of tensors that hold `tensor` in a format: for MXFP4 one of 16 bytes a block and one of a byte a block."""
    if number_format == "mxfp4":
        blocks = tensor.view(*tensor.shape[:-1], -1, 32)[..., :17]
        return blocks.to(torch.uint8).nbytes
    return tensor.to({"bf16": torch.bfloat16, "fp32": torch.float32}[number_format]).nbytes


@settings(max_examples=40)
@given(data=st.data(), blocks=st.tuples(st.integers(1, 4), st.integers(1, 4)), rest=st.sampled_from(["bf16", "fp32"]),
       experts=st.sampled_from(["mxfp4", "bf16", "fp32"]))
def test_each_part_of_the_weights_is_its_tensors(small_configs, data, blocks, rest, experts):
    config = data.draw(small_configs).replace(hidden_size=32 * blocks[0], intermediate_size=32 * blocks[1])
    sizes = dict.fromkeys(PARTS, 0)
    for name, tensor in Transformer(config, device="meta").named_parameters():
        part = next(part for part, endings in PARTS.items() if name.endswith(endings) and (
            part != "embedding" or name == "embedding.weight"))
        sizes[part] += stored(tensor, experts if part in ("mlp1", "mlp2") else rest)
    parts = serving_bytes(config, Load(experts=experts, rest=rest))
    assert {part: parts[part] for part in sizes} == sizes == weight_bytes(config, experts, rest)


@settings(max_examples=30)
@given(data=st.data(), longest=st.integers(1, 40), bytes_per_value=st.sampled_from([torch.bfloat16, torch.float32]))
def test_the_film_shows_a_live_cache_after_every_token(small_configs, data, longest, bytes_per_value):
    config = data.draw(small_configs)
    cache = KVCache(config, 1, longest, dtype=bytes_per_value)
    token = torch.ones(1, 1, config.num_key_value_heads, config.head_dim, dtype=bytes_per_value)
    for context in range(1, longest + 1):
        layers = [layer.append(token, token) for layer in cache.layers]
        film = cache_film(config, context, bytes_per_value.itemsize, longest)
        assert [frame.slots for frame in film] == [keys.shape[1] for keys, _ in layers]
        assert [frame.bytes for frame in film] == [keys.nbytes + values.nbytes for keys, values in layers]
        assert [frame.slots_at_most for frame in film] == [layer.slots for layer in cache.layers]
        size = kv_cache_bytes(config, context, bytes_per_value=bytes_per_value.itemsize)
        assert sum(frame.bytes for frame in film) == size
    assert sum(frame.bytes for frame in film) == cache.nbytes
    assert [frame.kind for frame in film] == [
        SLIDING if config.sliding_window and layer % 2 == 0 else FULL for layer in range(config.num_hidden_layers)]


def test_a_film_of_the_real_model():
    film = cache_film(LARGE, 1000)
    assert [frame.slots for frame in film[:2]] == [128, 1000] and len(film) == 36
    assert {frame.slots_at_most for frame in film} == {128, CONTEXT}
    assert sum(frame.bytes for frame in cache_film(LARGE, CONTEXT)) == 4.50 * GIB + 18 * 128 * 2048
    assert {frame.bytes for frame in cache_film(SMALL, 0)} == {0}
    with pytest.raises(ValueError, match="longest=131072 .*131073 or more"):
        cache_film(SMALL, CONTEXT + 1)


@pytest.mark.parametrize(("config", "as_it_is", "full", "full_mha", "full_mqa"), [
    (LARGE, "4.50", 9, 72, 1.125), (SMALL, "3.00", 6, 48, 0.75)], ids=["120b", "20b"])
def test_designs_of_the_cache(config, as_it_is, full, full_mha, full_mqa):
    designs = cache_designs(config, CONTEXT)
    assert f"{designs['as it is'] / GIB:.2f}" == as_it_is
    assert designs["every layer full"] == full * GIB
    assert designs["MHA, every layer full"] == full_mha * GIB
    assert designs["MHA"] == 8 * designs["as it is"] == 64 * designs["MQA"]
    full_with_one_head = kv_cache_bytes(config.replace(sliding_window=0, num_key_value_heads=1), CONTEXT)
    assert designs["MQA"] < full_with_one_head == full_mqa * GIB
    assert cache_designs(config, CONTEXT, 3, 4) == {name: 6 * size for name, size in designs.items()}


def test_serving_keeps_the_checkpoint_the_cache_and_activations():
    config, weights = LARGE, weight_bytes(LARGE)
    parts = serving_bytes(config, Load(batch_size=2, prompt=100, context=CONTEXT))
    assert sum(parts[part] for part in weights) == checkpoint_bytes(config)
    assert list(parts) == [*weights, "KV cache", "activations"]
    assert parts["KV cache"] == 2 * kv_cache_bytes(config, CONTEXT)


@given(memory=st.integers(0, 200 * 10**9), context=st.integers(1, CONTEXT), kv_bytes=st.integers(1, 4),
       formats=st.sampled_from([("mxfp4", "bf16"), ("bf16", "bf16"), ("fp32", "fp32")]))
def test_users_at_once_by_brute_force(memory, context, kv_bytes, formats):
    load = Load(context=context, experts=formats[0], rest=formats[1], kv_bytes_per_value=kv_bytes)
    users = users_at_once(SMALL, memory, load)
    weights = sum(weight_bytes(SMALL, *formats).values())

    def fits(sequences: int) -> bool:
        return weights + kv_cache_bytes(SMALL, context, max(sequences, 1), kv_bytes) * (sequences > 0) <= memory

    assert users == 0 or fits(users)
    assert not fits(users + 1)
    assert users_at_once(SMALL, memory, Load(9, 9, context, *formats, kv_bytes)) == users


def test_users_of_known_machines():
    assert users_at_once(SMALL, BY_NAME["RTX 4060 Laptop"].memory, Load(context=1)) == 0
    assert users_at_once(LARGE, BY_NAME["RTX 5090"].memory, Load(context=1)) == 0
    assert users_at_once(LARGE, BY_NAME["H100"].memory, Load(context=CONTEXT)) == (
        80 * 10**9 - checkpoint_bytes(LARGE)) // kv_cache_bytes(LARGE, CONTEXT) == 3
    with pytest.raises(ValueError, match="memory=-1"):
        users_at_once(SMALL, -1, Load())
