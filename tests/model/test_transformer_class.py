"""The whole model: construction, sharing weights, gradients, devices."""

import pytest
import torch
from random_models import SMALL, random_model, random_tokens
from torch.nn import functional as F

from gptoss.config import PRESETS
from gptoss.model import Transformer
from gptoss.model.recording import unrecorded

TOKENS = random_tokens(SMALL, 2, 15)


def test_parameters_carry_openais_names_and_shapes():
    config = SMALL.replace(num_hidden_layers=1)
    assert {name: tuple(tensor.shape) for name, tensor in Transformer(config, device="meta").state_dict().items()} == {
        "embedding.weight": (50, 48),
        "block.0.attn.norm.scale": (48,),
        "block.0.attn.qkv.weight": (8 * (4 + 2 + 2), 48),
        "block.0.attn.qkv.bias": (64,),
        "block.0.attn.sinks": (4,),
        "block.0.attn.out.weight": (48, 32),
        "block.0.attn.out.bias": (48,),
        "block.0.mlp.norm.scale": (48,),
        "block.0.mlp.gate.weight": (4, 48),
        "block.0.mlp.gate.bias": (4,),
        "block.0.mlp.mlp1_weight": (4, 80, 48),
        "block.0.mlp.mlp1_bias": (4, 80),
        "block.0.mlp.mlp2_weight": (4, 48, 40),
        "block.0.mlp.mlp2_bias": (4, 48),
        "norm.scale": (48,),
        "unembedding.weight": (50, 48)}


def test_the_meta_device_takes_the_largest_model_without_memory():
    model = Transformer(PRESETS["gpt-oss-120b"], device="meta", dtype=torch.bfloat16)
    assert sum(parameter.numel() for parameter in model.parameters()) == 116_829_156_672
    assert all(parameter.is_meta for parameter in model.parameters())
    assert model.device.type == "meta"


def test_only_norm_scales_stay_in_float32():
    model = Transformer(SMALL, dtype=torch.bfloat16)
    assert model.dtype == torch.bfloat16
    for name, parameter in model.named_parameters():
        assert parameter.dtype == (torch.float32 if name.endswith("norm.scale") else torch.bfloat16), name
    assert model(TOKENS).dtype == torch.bfloat16


def test_embedding_and_unembedding_are_not_tied():
    model = Transformer(SMALL)
    assert model.embedding.weight.data_ptr() != model.unembedding.weight.data_ptr()
    assert not torch.equal(model.embedding.weight, model.unembedding.weight)


@torch.no_grad()
def test_a_batch_is_its_rows():
    model = random_model(SMALL)
    torch.testing.assert_close(model(TOKENS)[1:], model(TOKENS[1:]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("changes", [
    {}, {"sliding_window": 3}, {"sliding_window": 0}, {"experts_per_token": 1}, {"experts_per_token": 4},
    {"rope_scaling_factor": 1.0}, {"rope_theta": 100.0}, {"swiglu_limit": 0.3}, {"initial_context_length": 4096}],
    ids=str)
@torch.no_grad()
def test_sharing_weights_equals_a_fresh_model(changes):
    model, config = random_model(SMALL), SMALL.replace(**changes)
    sharing = model.sharing_weights(config)
    assert sharing.config == config
    for name, parameter in model.named_parameters():
        assert sharing.get_parameter(name).data_ptr() == parameter.data_ptr(), name
    fresh = Transformer(config)
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(sharing(TOKENS), fresh(TOKENS))
    assert bool(changes) != torch.equal(sharing(TOKENS), model(TOKENS))


@pytest.mark.parametrize("sinks", [torch.tensor(float("-inf")), torch.arange(12.0).view(3, 4)], ids=["one", "a head each"])
@torch.no_grad()
def test_sharing_weights_with_other_sinks(sinks):
    model, copy = random_model(SMALL), random_model(SMALL)
    for block, logits in zip(copy.block, sinks.expand(3, 4), strict=True):
        block.attn.sinks.copy_(logits)
    sharing = model.sharing_weights(sinks=sinks)
    assert torch.equal(sharing(TOKENS), copy(TOKENS))
    assert sharing.block[0].attn.qkv.weight.data_ptr() == model.block[0].attn.qkv.weight.data_ptr()
    before = sinks.clone()
    sharing.block[2].attn.sinks.zero_()
    assert torch.equal(sinks, before), "a copy, not the caller's tensor"
    assert torch.equal(model(TOKENS), random_model(SMALL)(TOKENS)), "the owner keeps its sinks"


@pytest.mark.parametrize("shape", [(4,), (3, 5), (2, 4), (1,)], ids=str)
def test_sharing_weights_refuses_sinks_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"sinks .* cannot be shared: one number or \(3, 4\) would be needed"):
        Transformer(SMALL).sharing_weights(sinks=torch.zeros(shape))


@pytest.mark.parametrize("changes", [
    {"num_hidden_layers": 2}, {"num_hidden_layers": 4}, {"hidden_size": 64}, {"vocab_size": 51}, {"num_experts": 5},
    {"num_attention_heads": 6}, {"num_key_value_heads": 1}, {"head_dim": 10}, {"intermediate_size": 41}], ids=str)
def test_sharing_weights_refuses_other_shapes(changes):
    with pytest.raises(ValueError, match="cannot be shared"):
        Transformer(SMALL).sharing_weights(SMALL.replace(**changes))


def test_gradients_are_those_of_the_explicit_path():
    model = random_model(SMALL)
    grads = []
    for record in (unrecorded, lambda name, value: None):
        model.zero_grad()
        F.cross_entropy(model(TOKENS[:, :-1], record=record).flatten(0, 1), TOKENS[:, 1:].flatten()).backward()
        grads.append({name: parameter.grad.clone() for name, parameter in model.named_parameters()})
    for name, fused in grads[0].items():
        assert fused.abs().max() > 0, name
        torch.testing.assert_close(fused, grads[1][name], atol=1e-5, rtol=1e-3, msg=name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("window", [0, 5])
@torch.no_grad()
def test_cuda_equals_the_cpu(window):
    config = SMALL.replace(sliding_window=window)
    cpu, cuda = Transformer(config), Transformer(config, device="cuda")
    assert all(torch.equal(tensor.cpu(), cpu.state_dict()[name]) for name, tensor in cuda.state_dict().items())
    cuda.load_state_dict(random_model(config).state_dict())
    cpu.load_state_dict(cuda.state_dict())
    tokens = random_tokens(config, 2, 300)
    torch.testing.assert_close(cuda(tokens.cuda()).cpu(), cpu(tokens), atol=1e-3, rtol=1e-3)
    assert list(cuda.generate([1, 2, 3], 20, seed=1, top_k=5)) == list(cpu.generate([1, 2, 3], 20, seed=1, top_k=5))
