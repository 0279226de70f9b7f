"""The ladder: its ends are the two models themselves, and whatever lies between runs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss import GPT2, GPT2Config, ModelConfig, Transformer
from gptoss.ladder import RUNGS, LadderConfig
from gptoss.model import LadderModel

TOP = ModelConfig.preset("classroom")
TOKENS = torch.randint(900, (2, 33), generator=torch.Generator().manual_seed(0))
subsets = st.sets(st.sampled_from(list(RUNGS))).map(
    lambda rungs: rungs | {needed for name in rungs for needed in RUNGS[name].needs})


def same_weights(one, other):
    """Copies `one`'s weights into `other`, every name and shape of which must fit."""
    other.load_state_dict(one.state_dict())
    return one, other


@pytest.mark.parametrize("seed", range(3))
@torch.no_grad()
def test_without_a_rung_it_is_gpt2_and_with_all_of_them_gpt_oss(seed):
    bottom = LadderConfig(TOP)
    for one, other in ((GPT2(bottom.bottom, seed=seed), LadderModel(bottom)),
                       (Transformer(TOP, seed=seed), LadderModel(LadderConfig.climbed(TOP)))):
        one, other = same_weights(one, other)
        assert torch.equal(one(TOKENS), other(TOKENS))
        recorded, recorded_too = {}, {}
        one(TOKENS, record=recorded.__setitem__), other(TOKENS, record=recorded_too.__setitem__)
        assert all(torch.equal(recorded[name], recorded_too[name]) for name in recorded)


def test_published_sizes_at_either_end():
    xl = ModelConfig(num_hidden_layers=48, hidden_size=1600)
    assert LadderConfig(xl).bottom == GPT2Config.preset("gpt2-xl")
    assert LadderConfig(ModelConfig(num_hidden_layers=12, hidden_size=768)).bottom == GPT2Config.preset("gpt2")
    for name in ("gpt-oss-20b", "gpt-oss-120b"):
        top = ModelConfig.preset(name)
        climbed = LadderConfig.climbed(top)
        for field in ("vocab_size", "num_attention_heads", "num_key_value_heads", "head_dim", "qkv_size", "num_experts",
                      "experts_per_token", "intermediate_size", "max_context_length", "sliding_window"):
            assert getattr(climbed, field) == getattr(top, field)


@settings(max_examples=12)
@given(subsets)
@torch.no_grad()
def test_any_rungs_make_a_model_that_runs_the_same_on_every_path(rungs):
    config = LadderConfig(TOP, rungs)
    model = LadderModel(config, seed=1)
    recorded = {}
    whole = model(TOKENS)
    spelled_out = model(TOKENS, record=recorded.__setitem__)
    cache = model.new_cache(TOKENS.shape[1], batch_size=2)
    steps = torch.cat([model(part, cache) for part in TOKENS.split([20, 1, 12], dim=1)], dim=1)
    for other in (spelled_out, steps):
        assert (whole - other).abs().max() <= 1e-4 * whole.abs().max()
    assert whole.shape == (2, 33, config.vocab_size) and whole.isfinite().all()
    assert ("block.0.attn.sink_mass" in recorded) == ("sinks" in rungs)
    assert ("block.0.mlp.router_logits" in recorded) == ("experts" in rungs)
    assert recorded["block.0.attn.k"].shape[2] == config.num_key_value_heads
    assert len(list(model.generate([1, 2, 3], 4, seed=0))) == 4


@given(st.sampled_from([TOP, ModelConfig.preset("gpt-oss-20b"), ModelConfig.preset("notebook")]))
def test_a_dense_swiglu_has_the_parameters_of_the_gelu_it_replaces(top):
    gelu, gated = LadderConfig(top), LadderConfig(top, {"swiglu"})

    def parameters(config):
        model = LadderModel(config, device="meta")
        return sum(p.numel() for name, p in model.block[0].mlp.named_parameters() if "norm" not in name)

    assert abs(parameters(gated) - parameters(gelu)) <= 3 * top.hidden_size  # one unit of width more or less
    assert "experts" not in gelu


def test_a_rung_says_what_it_needs_and_unknown_ones_are_refused():
    with pytest.raises(ValueError, match="YaRN needs RoPE"):
        LadderConfig(TOP, {"yarn"})
    with pytest.raises(ValueError, match="'moe' is unknown; allowed: rmsnorm"):
        LadderConfig(TOP, {"moe"})


def test_learned_positions_end_where_gpt2s_do():
    assert LadderConfig(TOP).max_context_length == 1024
    assert LadderConfig(TOP, {"rope"}).max_context_length == TOP.initial_context_length
    assert LadderConfig(TOP, {"rope", "yarn"}).max_context_length == TOP.max_context_length
    with pytest.raises(ValueError, match="1025 tokens are too many"):
        LadderModel(LadderConfig(TOP))(torch.zeros(1, 1025, dtype=torch.long))
