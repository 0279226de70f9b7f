"""What GPT-2 and every model on the ladder cost, against models on the meta device, live caches and the flop counter."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_flops import FlopCounterMode

from gptoss import GPT2, GPT2Config, ModelConfig
from gptoss.cost import count_parameters, forward_flops, kv_cache_bytes
from gptoss.ladder import RUNGS, LadderConfig
from gptoss.model import LadderModel

TOP = ModelConfig.preset("classroom")
subsets = st.sets(st.sampled_from(list(RUNGS))).map(
    lambda rungs: rungs | {needed for name in rungs for needed in RUNGS[name].needs})


def parameters_of(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name, total", [("gpt2", 124_439_808), ("gpt2-xl", 1_557_611_200)])
def test_gpt2_has_its_published_parameters(name, total):
    counts = count_parameters(GPT2Config.preset(name))
    assert counts.total == total == sum(counts.by_part.values())
    assert counts.active == total - counts.positions  # the embedding answers too


@given(subsets)
def test_parameters_are_those_of_the_model(rungs):
    config = LadderConfig(TOP, rungs)
    counts = count_parameters(config)
    model = LadderModel(config, device="meta")
    assert counts.total == parameters_of(model) == sum(counts.by_part.values())
    assert counts.experts == sum(p.numel() for name, p in model.named_parameters() if ".mlp.mlp" in name)


@given(subsets, st.integers(1, 40))
def test_the_cache_is_the_one_that_decoding_fills(rungs, context):
    config = LadderConfig(TOP, rungs)
    cache = LadderModel(config, device="meta").new_cache(context)
    assert kv_cache_bytes(config, context, bytes_per_value=4) == cache.nbytes


@settings(max_examples=10)
@given(subsets, st.integers(2, 30))  # a single key's weight is multiplied elementwise, which torch's counter leaves out
@torch.no_grad()
def test_executed_flops_are_those_that_torch_counts(rungs, tokens):
    config = LadderConfig(TOP, rungs)
    model = LadderModel(config)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, tokens, dtype=torch.long), record=lambda name, value: None)
    assert forward_flops(config, tokens).executed_total == counter.get_total_flops()


@pytest.mark.parametrize("config", [GPT2Config(2, 3, 24, 90, 50), GPT2Config(3, 2, 32, 70, 64)], ids=str)
@torch.no_grad()
def test_gpt2_costs_what_its_model_does(config):
    model = GPT2(config)
    assert count_parameters(config).total == parameters_of(model)
    assert kv_cache_bytes(config, 20, bytes_per_value=4) == model.new_cache(20).nbytes
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 20, dtype=torch.long), record=lambda name, value: None)
    assert forward_flops(config, 20).executed_total == counter.get_total_flops()


def test_the_ends_cost_what_gpt2_and_gpt_oss_cost():
    for name in ("gpt-oss-20b", "gpt-oss-120b", "classroom"):
        top = ModelConfig.preset(name)
        for end, other in ((LadderConfig.climbed(top), top), (LadderConfig(top), LadderConfig(top).bottom)):
            assert count_parameters(end) == count_parameters(other)
            assert forward_flops(end, 1, 1000) == forward_flops(other, 1, 1000)
            assert kv_cache_bytes(end, 1000) == kv_cache_bytes(other, 1000)
