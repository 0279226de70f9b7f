"""Random weights: repeatable, independent of everything but seed and name, and lively."""

import math

import pytest
import torch
from random_models import SMALL, random_tokens

from gptoss.config import PRESETS
from gptoss.cost import scale_model
from gptoss.model import Transformer
from gptoss.trace import trace

LIVE = {"classroom": PRESETS["classroom"], "gpt-oss-20b, scaled": scale_model(PRESETS["gpt-oss-20b"])}


def weights(config=SMALL, **settings):
    return Transformer(config, **settings).state_dict()


def root_mean_square(x):
    return x.float().square().mean().sqrt().item()


@pytest.fixture(scope="module", params=LIVE)
def live(request):
    """A live configuration and the trace of a random text through its untrained model."""
    config = LIVE[request.param]
    return config, trace(Transformer(config), random_tokens(config, 2, 64))


def test_a_seed_gives_its_weights_again_and_another_seed_or_tensor_has_others():
    first, again, second = weights(seed=3), weights(seed=3), weights(seed=4)
    assert all(torch.equal(first[name], again[name]) for name in first)
    for name in ("embedding.weight", "block.0.attn.sinks", "block.2.mlp.mlp1_weight", "unembedding.weight"):
        assert not torch.equal(first[name], second[name])
    assert not torch.equal(first["block.0.attn.qkv.weight"], first["block.1.attn.qkv.weight"])


def test_another_layer_leaves_the_others_as_they_are():
    shallow, deep = weights(), weights(SMALL.replace(num_hidden_layers=5))
    assert all(torch.equal(shallow[name], deep[name]) for name in shallow)
    assert len(deep) > len(shallow)


def test_bfloat16_is_rounded_float32():
    exact, rounded = weights(), weights(dtype=torch.bfloat16)
    assert all(torch.equal(exact[name].to(rounded[name].dtype), rounded[name]) for name in exact)


def test_the_global_random_stream_is_left_alone():
    before = torch.get_rng_state()
    Transformer(SMALL)
    assert torch.equal(torch.get_rng_state(), before)


def test_biases_are_zero_and_scales_one():
    for name, tensor in weights().items():
        if name.endswith("bias"):
            assert not tensor.any(), name
        elif name.endswith("norm.scale"):
            assert (tensor == 1).all(), name
        else:
            assert tensor.std() > 0, name


def test_what_each_matrix_gives(live):
    config, recorded = live
    assert root_mean_square(recorded["logits"]) == pytest.approx(2, rel=0.1)
    for layer in range(config.num_hidden_layers):
        for name, gain in (("attn.q", 1.25), ("attn.k", 1.25), ("mlp.router_logits", 1)):
            assert root_mean_square(recorded[f"block.{layer}.{name}"]) == pytest.approx(gain, rel=0.1), name


def test_the_stream_grows_and_stays_near_one(live):
    """Every half block adds a vector of about the size of an embedding, so the stream neither dies nor explodes."""
    config, recorded = live
    for layer in range(config.num_hidden_layers):
        for name in ("attn.out", "mlp.out"):
            assert 0.4 < root_mean_square(recorded[f"block.{layer}.{name}"]) < 1.2, name
    last = root_mean_square(recorded[f"block.{config.num_hidden_layers - 1}.after_mlp"])
    assert 1.5 < last < math.sqrt(1 + 2 * config.num_hidden_layers)


def test_attention_picks_and_chooses(live):
    """Entropy of attention, the sink counted as a key, as a share of an even spread's: clearly below 1, far from 0."""
    config, recorded = live
    for layer in range(config.num_hidden_layers):
        weights = recorded[f"block.{layer}.attn.weights"]
        everything = torch.cat((weights, recorded[f"block.{layer}.attn.sink_mass"][..., None]), dim=-1)
        entropy = torch.special.entr(everything).sum(dim=-1)
        even = ((weights > 0).sum(dim=-1) + 1).log()
        assert 0.3 < (entropy / even).mean() < 0.75


def test_next_tokens_differ_by_factors(live):
    """Nine of ten next-token probabilities span more than a factor of fifty between the 95th and the 5th percent."""
    config, recorded = live
    logits = recorded["logits"]
    low, high = logits.quantile(0.05, dim=-1), logits.quantile(0.95, dim=-1)
    assert (high - low).exp().median() > 50


def test_every_expert_is_chosen_by_some_token(live):
    config, recorded = live
    for layer in range(config.num_hidden_layers):
        chosen = recorded[f"block.{layer}.mlp.experts"].flatten()
        assert torch.bincount(chosen, minlength=config.num_experts).min() > 0
