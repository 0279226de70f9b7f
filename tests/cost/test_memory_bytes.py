"""Bytes of weights, KV cache and training state against real tensors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss.checkpoint.mxfp4 import quantise
from gptoss.config import PRESETS
from gptoss.cost import (
    checkpoint_bytes,
    count_parameters,
    kv_cache_bytes,
    kv_cache_bytes_per_layer,
    scale_model,
    training_memory,
    weight_bytes,
)
from gptoss.model import KVCache, Transformer

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
FORMATS = st.sampled_from(sorted(DTYPES))
CLASSROOM = PRESETS["classroom"]


def nbytes(tensors) -> int:
    return sum(tensor.nbytes for tensor in tensors)


@settings(max_examples=40)
@given(data=st.data(), context=st.integers(1, 40), batch_size=st.integers(1, 3), number_format=FORMATS)
def test_kv_cache_equals_the_live_cache(small_configs, data, context, batch_size, number_format):
    config, dtype = data.draw(small_configs), DTYPES[number_format]
    cache = KVCache(config, batch_size, context, device="meta", dtype=dtype)
    assert kv_cache_bytes(config, context, batch_size, dtype.itemsize) == cache.nbytes
    assert kv_cache_bytes_per_layer(config, context, batch_size, dtype.itemsize) == [
        layer.keys.nbytes + layer.values.nbytes for layer in cache.layers]


@settings(max_examples=30)
@given(data=st.data(), number_format=FORMATS)
def test_weights_equal_the_live_model(small_configs, data, number_format):
    config = data.draw(small_configs)
    model = Transformer(config, device="meta", dtype=DTYPES[number_format])
    by_part = weight_bytes(config, experts=number_format, rest=number_format, norms="fp32")
    assert sum(by_part.values()) == nbytes(model.parameters())
    assert by_part["norms"] == nbytes(p for name, p in model.named_parameters() if name.endswith("norm.scale"))


def test_checkpoint_equals_really_quantised_weights():
    stored = 0
    for name, parameter in Transformer(CLASSROOM, dtype=torch.bfloat16).named_parameters():
        is_expert = name.endswith(("mlp1_weight", "mlp2_weight"))
        stored += nbytes(quantise(parameter)) if is_expert else parameter.to(torch.bfloat16).nbytes
    assert checkpoint_bytes(CLASSROOM) == stored


@pytest.mark.parametrize("field", ["hidden_size", "intermediate_size"])
def test_mxfp4_refuses_rows_that_are_not_whole_blocks(field):
    config = CLASSROOM.replace(**{field: 100})
    with pytest.raises(ValueError, match=f"{field}=100 .*multiple of 32"):
        checkpoint_bytes(config)
    assert sum(weight_bytes(config, experts="bf16").values()) == 2 * count_parameters(config).total


def state_after_one_step(model) -> dict[str, int]:
    """Bytes of real gradients and of AdamW's real moments after a training step."""
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.arange(8)[None]).float().logsumexp(-1).mean().backward()
    for parameter in model.parameters():  # experts that no token chose have none otherwise
        parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    gradients = nbytes(p.grad for p in model.parameters())
    optimizer.step()
    moments = nbytes(state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq"))
    return {"gradients": gradients, "optimizer states": moments}


def test_fp32_training_equals_a_real_step_of_adamw():
    config = scale_model(CLASSROOM, 100_000)
    model = Transformer(config)
    expected = {"weights": nbytes(model.parameters()), "master weights": 0, **state_after_one_step(model)}
    assert training_memory(config, "fp32") == expected


@pytest.mark.parametrize(("gradients", "bytes_per_parameter"), [("bf16", 16), ("fp32", 18)])
def test_mixed_precision_equals_real_tensors(gradients, bytes_per_parameter):
    config = scale_model(CLASSROOM, 100_000)
    working = [p.to(torch.bfloat16) for p in Transformer(config).parameters()]
    master = [torch.nn.Parameter(weight.detach().float()) for weight in working]
    optimizer = torch.optim.AdamW(master)
    accumulated = [torch.ones_like(weight, dtype=DTYPES[gradients]) for weight in working]
    for parameter, gradient in zip(master, accumulated, strict=True):
        parameter.grad = gradient.float()
    optimizer.step()
    moments = nbytes(state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq"))
    memory = training_memory(config, "mixed", gradients=gradients)
    assert memory == {"weights": nbytes(working), "master weights": nbytes(master),
                      "gradients": nbytes(accumulated), "optimizer states": moments}
    assert sum(memory.values()) == bytes_per_parameter * count_parameters(config).total


@pytest.mark.parametrize(("call", "words"), [
    (lambda: kv_cache_bytes(CLASSROOM, -1), "context_length=-1"),
    (lambda: kv_cache_bytes(CLASSROOM, 1.5), "context_length=1.5"),
    (lambda: kv_cache_bytes(CLASSROOM, 8, batch_size=0), "batch_size=0"),
    (lambda: kv_cache_bytes(CLASSROOM, 8, bytes_per_value=0), "bytes_per_value=0"),
    (lambda: weight_bytes(CLASSROOM, experts="int8"), "experts='int8' .*mxfp4, bf16, fp32"),
    (lambda: weight_bytes(CLASSROOM, rest="mxfp4"), "rest='mxfp4' .*bf16, fp32"),
    (lambda: weight_bytes(CLASSROOM, norms="fp8"), "norms='fp8'"),
    (lambda: training_memory(CLASSROOM, "bf16"), "precision='bf16' .*mixed, fp32"),
    (lambda: training_memory(CLASSROOM, gradients="fp8"), "gradients='fp8'"),
])
def test_impossible_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
