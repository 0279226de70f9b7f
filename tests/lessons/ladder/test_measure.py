"""Waterfalls against models with counted weights, a sum of their bars, and times that count their passes."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss.config import GPT2Config, ModelConfig
from gptoss.cost import count_parameters, forward_flops, kv_cache_bytes, scale_model
from gptoss.ladder import RUNGS, LadderConfig
from gptoss.lessons.ladder.measure import (
    ACTIVE,
    CACHE,
    COSTS,
    FLOPS,
    GPT2_ITSELF,
    PARAMETERS,
    RESULT,
    baseline,
    context_of,
    cost,
    ends_differ_by,
    forward_time,
    path_of,
    standing,
    waterfall,
)
from gptoss.model import GPT2, LadderModel

TOP, LARGE = ModelConfig.preset("classroom"), ModelConfig.preset("gpt-oss-20b")
CONTEXT = 131_072
TOKENS = tuple(range(5, 40))
any_rungs = st.sets(st.sampled_from(list(RUNGS)))


def values(config, measure):
    return lambda ladder: cost(ladder, measure, CONTEXT)


@given(any_rungs)
def test_what_stands_can_be_built_and_only_yarn_ever_waits(wanted):
    taken, waiting = standing([*wanted, "moe"])
    assert taken | set(waiting) == wanted
    assert waiting == (("yarn",) if "yarn" in wanted and "rope" not in wanted else ())
    LadderConfig(TOP, taken)


@settings(deadline=None)
@given(any_rungs, st.sampled_from(COSTS))
def test_bars_lead_from_gpt2_to_the_model(wanted, measure):
    config = LadderConfig(LARGE, standing(wanted)[0])
    frame = waterfall(config, values(config, measure))
    assert frame["step"].tolist() == [GPT2_ITSELF, *(rung.title for rung in RUNGS.values()), RESULT]
    taken = frame[frame["taken"]].iloc[1:-1]
    assert frame["stop"].iloc[0] + (taken["stop"] - taken["start"]).sum() == frame["stop"].iloc[-1]
    assert frame["stop"].iloc[-1] == cost(config, measure, CONTEXT)
    assert frame["stop"].iloc[0] == cost(LadderConfig(LARGE), measure, CONTEXT)
    path = path_of(config)
    assert [cost(ladder, measure, CONTEXT) for ladder in path[1:]] == taken["stop"].tolist()
    assert path[-1] == config and all(len(b.rungs) == len(a.rungs) + 1 for a, b in itertools.pairwise(path))


def test_a_rung_not_taken_says_what_it_would_do_there():
    config = LadderConfig(LARGE, {"rmsnorm", "gqa"})
    frame = waterfall(config, values(config, PARAMETERS)).set_index("step")
    experts = frame.loc["Experts"]
    assert not experts["taken"]
    assert experts["start"] == count_parameters(config).total
    assert experts["stop"] == count_parameters(config.replace({"rmsnorm", "gqa", "experts"})).total
    assert frame.loc["YaRN", "start"] == frame.loc["YaRN", "stop"]  # what it needs is not there
    silent = waterfall(config, values(config, PARAMETERS), untaken=False).set_index("step")
    assert silent.loc["Experts", "start"] == silent.loc["Experts", "stop"] == experts["start"]


def test_the_ends_are_the_published_models():
    both = LadderConfig(LARGE), LadderConfig.climbed(LARGE)
    gpt2 = GPT2Config(24, 45, 2880)
    assert [cost(ladder, PARAMETERS, CONTEXT) for ladder in both] == [
        count_parameters(gpt2).total, count_parameters(LARGE).total]
    assert [cost(ladder, ACTIVE, CONTEXT) for ladder in both] == [
        count_parameters(gpt2).active, count_parameters(LARGE).active]
    assert [cost(ladder, CACHE, CONTEXT) for ladder in both] == [kv_cache_bytes(gpt2, 1024), kv_cache_bytes(LARGE, CONTEXT)]
    assert [cost(ladder, FLOPS, CONTEXT) for ladder in both] == [
        forward_flops(gpt2, 1, 1024).needed_total, forward_flops(LARGE, 1, CONTEXT).needed_total]


def test_parameters_along_the_road_are_those_of_real_models():
    for ladder in path_of(LadderConfig.climbed(TOP)):
        model = LadderModel(ladder, device="meta")
        assert cost(ladder, PARAMETERS, 128) == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("rungs", "context"), [((), 1024), (("rope",), 4096), (("rope", "yarn"), 131_072)])
def test_the_context_ends_with_the_positions(rungs, context):
    config = LadderConfig(LARGE, rungs)
    assert context_of(config, CONTEXT) == context and context_of(config, 128) == 128


def test_an_unknown_measure_is_refused():
    with pytest.raises(ValueError, match="'Joy' is unknown; allowed: Parameters"):
        cost(LadderConfig(TOP), "Joy", 128)


class Counted(torch.nn.Module):
    """A model that counts its passes."""

    passes = 0

    def forward(self, tokens):
        assert tokens.tolist() == [list(TOKENS)] and torch.is_inference_mode_enabled()
        self.passes += 1


@pytest.mark.parametrize(("budget", "passes"), [(3600.0, 9), (0.0, 3)])
def test_a_time_is_the_median_of_its_passes(budget, passes):
    model = Counted()
    timing = forward_time(model, TOKENS, budget=budget)
    assert (timing.passes, model.passes) == (passes, passes + 1)
    assert 0 < timing.low <= timing.median <= timing.high


@pytest.mark.parametrize("top", [TOP, scale_model(LARGE)])
def test_both_ends_are_the_two_models(top):
    assert ends_differ_by(top, TOKENS, seed=3) == (0, 0)


def test_gpt2_shows_its_parts_and_a_spoilt_one_shows_it_too():
    model = GPT2(LadderConfig(TOP).bottom).requires_grad_(False)
    parts = baseline(model, TOKENS)
    assert parts.positions == 1024 and parts.left_over == 0
    assert 0.2 < parts.below_zero < 0.8
    weights = model.position.weight
    assert parts.moved == pytest.approx(float((weights[0] - weights[1]).norm()), rel=1e-4)
    weights.zero_()
    assert baseline(model, TOKENS).moved == 0
