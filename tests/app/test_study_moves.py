"""The dials: whatever is moved wherever, the study stays one that can be built, and says what had to follow."""

import pytest
from dial_moves import assert_valid, moves, numeric_moves, presets, reachable_studies
from hypothesis import given, settings

from gptoss.app.accounts import figures
from gptoss.app.study import DIALS, NO_SINK, Study, nearest
from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import count_parameters
from gptoss.training.shipped import shipped_shapes

LIVE_PARAMETERS = 4_000_000


@given(presets, moves)
@settings(max_examples=60)
def test_any_moves_end_in_a_valid_study(preset, moves):
    study = Study.of_preset(preset)
    for name, value in moves:
        study, reasons = study.moved(**{name: value})
        assert_valid(study)
        assert set(reasons) <= set(DIALS)
        assert reasons == {} or all(isinstance(sentence, str) and sentence for sentence in reasons.values())


@given(reachable_studies())
@settings(max_examples=40)
def test_every_reachable_study_has_a_scale_model_and_figures(study):
    live = study.live_config
    assert count_parameters(live).total <= LIVE_PARAMETERS or live.shape in shipped_shapes()
    names = ("num_attention_heads", "num_key_value_heads", "sliding_window", "num_experts", "experts_per_token")
    assert [getattr(live, name) for name in names] == [getattr(study.config, name) for name in names]
    signs = figures(study.config, study.context)
    assert all(value > 0 for value in signs.values())
    assert signs["active"] <= signs["total"]


@given(reachable_studies(), numeric_moves)
def test_a_dial_goes_where_it_may_go_and_moves_no_independent_dial(study, move):
    name, value = move
    after, reasons = study.moved(**{name: value})
    if value in DIALS[name].options(vars(study)):
        assert getattr(after, name) == value and name not in reasons
    else:
        assert name in reasons
    follows = {"heads": {"kv"}, "experts": {"active"}}.get(name, set())
    assert {n for n in DIALS if getattr(after, n) != getattr(study, n)} <= {name} | follows


@given(reachable_studies())
def test_a_study_moved_nowhere_stays_what_it_is(study):
    assert study.moved() == (study, {})


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("leader, follower", [("heads", "kv"), ("experts", "active")])
@pytest.mark.parametrize("leader_end", [0, -1])
@pytest.mark.parametrize("follower_end", [0, -1])
@pytest.mark.parametrize("leader_first", [True, False])
def test_dependent_dials_at_their_ends_in_both_orders(preset, leader, follower, leader_end, follower_end, leader_first):
    study = Study.of_preset(preset)
    reasons = {}
    for dial, end in [(leader, leader_end), (follower, follower_end)][:: 1 if leader_first else -1]:
        before = study
        study, reasons = study.moved(**{dial: DIALS[dial].options(vars(study))[end]})
        assert_valid(study)
        for other in set(DIALS) - {leader, follower}:
            assert getattr(study, other) == getattr(before, other)
        assert (follower in reasons) == (dial == leader and getattr(before, follower) != getattr(study, follower))
    assert getattr(study, leader) == DIALS[leader].options(vars(study))[leader_end]


def test_a_dial_that_follows_says_from_where_to_where_and_why():
    study, reasons = Study.of_preset("gpt-oss-20b").moved(heads=12)
    assert study.kv == 6
    assert reasons == {"kv": "KV groups went from 8 to 6: it must divide 12 query heads"}
    study, reasons = Study.of_preset("gpt-oss-20b").moved(experts=2)
    assert study.active == 2
    assert reasons == {"active": "Active experts went from 4 to 2: no more than 2 experts can be active"}


@pytest.mark.parametrize("value, there", [
    (0, 1), (-5, 1), (1, 1), (5, 4), (6, 8), (7, 8), (1e11, 8), (1e-300, 1), (1e-310, 1), (5e-324, 1),
    ("no number", 1)])
def test_the_nearest_position_is_nearest_by_ratio(value, there):
    assert nearest(value, [1, 2, 4, 8]) == there


def test_off_is_the_smallest_window_only_for_what_is_not_positive():
    assert [nearest(value, DIALS["window"].options({})) for value in (0.01, 1e9, 0)] == [1, 4096, 0]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_its_own_architecture_under_its_own_name(preset):
    study = Study.of_preset(preset)
    assert_valid(study)
    assert study.config == ModelConfig.preset(preset) and study.context == study.config.max_context_length
    assert study.name == preset and study.changes == {}


def test_a_dial_that_left_its_preset_shows_in_the_name_until_it_returns():
    away, _ = Study.of_preset("gpt-oss-20b").moved(window=0)
    assert away.name == "your model" and away.changes == {"window": 0}
    back, _ = away.moved(window=128)
    assert back == Study.of_preset("gpt-oss-20b") and back.name == "gpt-oss-20b"


@given(presets, moves)
def test_expert_width_keeps_the_ratio_of_the_preset(preset, moves):
    study = Study.of_preset(preset)
    for name, value in moves:
        study, _ = study.moved(**{name: value})
    published = ModelConfig.preset(preset)
    assert study.config.intermediate_size * published.hidden_size == published.intermediate_size * study.hidden


def test_sinks_off_is_a_logit_of_minus_infinity():
    study = Study.of_preset("classroom")
    assert study.sink_override is None
    assert study.moved(sinks="off")[0].sink_override == NO_SINK == float("-inf")


@pytest.mark.parametrize("name, values", [
    ("layers", (24, 36)), ("hidden", (2880,)), ("heads", (64,)), ("kv", (8,)), ("window", (128,)),
    ("experts", (32, 128)), ("active", (4,)), ("context", (4096, 131_072)), ("theta", (150_000,)), ("factor", (32,))])
def test_the_real_models_lie_within_the_range_of_every_dial(name, values):
    options = DIALS[name].options({"heads": 64, "experts": 32})
    assert set(values) <= set(options) and len(options) > 2
