"""Contestants: what their titles say is so, and none is there twice."""

import math

import pytest
import torch
from tiny_runs import TINY, tiny_corpus

from gptoss.config import PRESETS, GPT2Config, ModelConfig
from gptoss.cost import count_parameters, forward_flops, kv_cache_bytes
from gptoss.model import GPT2, Transformer
from gptoss.training.contestants import STUDY, contestants

ODD = {
    "one head": TINY.replace(num_attention_heads=1, num_key_value_heads=1), "one layer": TINY.replace(num_hidden_layers=1),
    "one expert": TINY.replace(num_experts=1, experts_per_token=1), "all active": TINY.replace(experts_per_token=4),
    "one active": TINY.replace(experts_per_token=1), "no window": TINY.replace(sliding_window=0),
    "all sliding": TINY.replace(window_every=1), "six heads": TINY.replace(num_attention_heads=6, num_key_value_heads=3),
    "tiny": TINY, **PRESETS}


def windows(config):
    return [config.window_of(layer) for layer in range(config.num_hidden_layers)]


@pytest.mark.parametrize("config", ODD.values(), ids=ODD)
def test_none_is_there_twice(config):
    """Neither in name nor in effect: windows count as the layers have them, balancing where there is a choice."""
    everyone = contestants(config)
    assert next(iter(everyone)) == STUDY and everyone[STUDY].config == config
    assert all(name == one.name for name, one in everyone.items())
    assert len({one.title for one in everyone.values()}) == len(everyone)
    kinds = []
    for one in everyone.values():
        shape = one.config
        if isinstance(shape, ModelConfig):
            shape = (shape.replace(sliding_window=0, window_every=2), *windows(shape))
        kinds.append((shape, one.sinks, one.balanced or one.config.num_experts == one.config.experts_per_token))
    assert len(set(kinds)) == len(kinds)


@pytest.mark.parametrize("config", ODD.values(), ids=ODD)
def test_titles_are_true(config):
    everyone = contestants(config)
    full, sliding = everyone.get("all-full"), everyone.get("all-sliding")
    if full:
        assert not any(windows(full.config)) and any(windows(config))
    if sliding:
        assert all(windows(sliding.config)) and not all(windows(config))
    if "one-active" in everyone:
        assert everyone["one-active"].config == config.replace(experts_per_token=1)
    assert [name for name, one in everyone.items() if not one.sinks] == ["no-sinks"]
    for name, one in everyone.items():
        if name.startswith("kv-"):
            groups = int(name.removeprefix("kv-"))
            assert one.config == config.replace(num_key_value_heads=groups)
            assert one.title == f"{groups} KV group{'s' * (groups > 1)}"
            ratio = kv_cache_bytes(one.config, 32) / kv_cache_bytes(config, 32)
            assert ratio == pytest.approx(groups / config.num_key_value_heads)


def test_what_odd_configurations_offer():
    offered = {name: set(contestants(config)) for name, config in ODD.items()}
    assert offered["tiny"] == {"study", "gpt2", "no-sinks", "all-full", "all-sliding", "dense", "one-active", "unbalanced",
                               "kv-1", "kv-4"}
    assert offered["tiny"] - offered["one expert"] == {"dense", "one-active", "unbalanced"}
    assert offered["tiny"] - offered["all active"] == {"unbalanced"}
    assert offered["tiny"] - offered["one active"] == {"one-active"}
    assert offered["tiny"] - offered["no window"] == {"all-full", "all-sliding"}
    assert offered["tiny"] - offered["one layer"] == offered["tiny"] - offered["all sliding"] == {"all-sliding"}
    assert offered["tiny"] - offered["one head"] == {"kv-1", "kv-4"}
    assert offered["six heads"] & {"kv-1", "kv-2", "kv-4"} == {"kv-1", "kv-2"}
    assert offered["classroom"] == offered["tiny"] | {"kv-8"}


@pytest.mark.parametrize("config", ODD.values(), ids=ODD)
def test_the_dense_mlp_multiplies_as_much_as_the_active_experts(config):
    """All that it is spared is the router, which has one expert to choose."""
    everyone = contestants(config)
    if "dense" not in everyone:
        assert config.num_experts == config.experts_per_token == 1
        return
    routed, dense = (forward_flops(shape, tokens=1, context=32).needed for shape in (config, everyone["dense"].config))
    assert {part for part in routed if routed[part] != dense[part]} == {"router"}
    assert dense["router"] * config.num_experts == routed["router"]
    assert sum(dense.values()) >= 0.97 * sum(routed.values())


@pytest.mark.parametrize(("name", "off"), [("gpt-oss-20b", 0.03), ("gpt-oss-120b", 0.03), ("classroom", 0.03),
                                           ("notebook", 0.07)])
def test_gpt2_has_as_many_active_parameters(name, off):
    """As near as a whole number of heads allows: the notebook's are few and large."""
    config = PRESETS[name]
    gpt2 = contestants(config)["gpt2"].config
    assert isinstance(gpt2, GPT2Config)
    assert (gpt2.vocab_size, gpt2.max_context_length) == (config.vocab_size, config.initial_context_length)
    assert gpt2.head_dim == config.head_dim
    assert count_parameters(gpt2).active == pytest.approx(count_parameters(config).active, rel=off)


def test_every_contestant_is_built_with_its_shape_and_begins_with_an_even_guess():
    tokens = torch.as_tensor(tiny_corpus().batch(0, 4).tokens)
    for name, one in contestants(TINY).items():
        model = one.build(seed=4)
        assert isinstance(model, GPT2 if name == "gpt2" else Transformer) and model.config == one.config
        with torch.no_grad():
            loss = torch.nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        assert loss.item() == pytest.approx(math.log(TINY.vocab_size), abs=0.05)
        if name != "gpt2":
            sinks = torch.cat([block.attn.sinks.detach() for block in model.block])
            assert (sinks == (0.0 if one.sinks else -math.inf)).all()
            assert all(block.attn.sinks.requires_grad == one.sinks for block in model.block)


def test_contestants_of_one_shape_begin_with_the_same_weights():
    """So that a difference between them comes from what they are called after."""
    everyone = contestants(TINY)
    study = everyone["study"].build(seed=1).state_dict()
    for name in ("no-sinks", "all-full", "all-sliding", "one-active", "unbalanced"):
        other = everyone[name].build(seed=1).state_dict()
        assert all(torch.equal(other[key], weight) for key, weight in study.items() if not key.endswith("sinks"))
    assert not torch.equal(everyone["study"].build(seed=2).state_dict()["embedding.weight"], study["embedding.weight"])
