"""Frames of the real sizes: every row is what `gptoss.cost` says of that configuration."""

import pytest
from dial_moves import reachable_studies
from hypothesis import given, settings

from gptoss.app.accounts import figures
from gptoss.charts.accounts import CONTEXTS, flops_frame, kv_cache_frame, parameter_parts
from gptoss.config import ModelConfig
from gptoss.cost import checkpoint_bytes, count_parameters, forward_flops, kv_cache_bytes

CONFIG = ModelConfig.preset("gpt-oss-20b")
PINNED = ModelConfig.preset("gpt-oss-120b")


def test_the_vital_signs_of_the_official_models_are_the_published_ones():
    assert figures(CONFIG, 131_072)["total"] == 20_914_757_184
    assert figures(PINNED, 131_072)["total"] == 116_829_156_672


@given(reachable_studies())
@settings(max_examples=20)
def test_the_vital_signs_are_those_of_the_cost_model(study):
    config, context = study.config, study.context
    signs = figures(config, context)
    assert signs["total"] == count_parameters(config).total
    assert signs["active"] == count_parameters(config).active
    assert signs["kv_cache"] == kv_cache_bytes(config, context)
    assert signs["weights"] == checkpoint_bytes(config)
    assert signs["flops"] == forward_flops(config, tokens=1, context=context).needed_total


@given(reachable_studies())
@settings(max_examples=20)
def test_parts_add_up_to_the_whole_and_active_parts_to_what_one_token_uses(study):
    total, active = parameter_parts(study.config)
    assert sum(total.values()) == count_parameters(study.config).total
    assert sum(active.values()) == count_parameters(study.config).active


@pytest.mark.parametrize("pinned", [None, PINNED])
def test_every_row_of_the_kv_frame_is_the_cache_of_a_real_sharing(pinned):
    frame = kv_cache_frame(CONFIG, pinned)
    heads = {"MHA": 64, "GQA": 8, "MQA": 1}
    window = {"windows as set": 128, "every layer full": 0}
    current = frame[frame["model"] == "current"]
    assert len(current) == len(heads) * len(window) * len(CONTEXTS)
    for row in current.itertuples():
        config = CONFIG.replace(num_key_value_heads=heads[row.sharing], sliding_window=window[row.windows])
        assert row.bytes == kv_cache_bytes(config, row.context)
    others = frame[frame["model"] == "pinned"]
    assert len(others) == (len(CONTEXTS) if pinned else 0)
    assert all(row.bytes == kv_cache_bytes(PINNED, row.context) for row in others.itertuples())


@pytest.mark.parametrize("pinned", [None, PINNED])
def test_every_row_of_the_flops_frame_is_one_operators_share(pinned):
    frame = flops_frame(CONFIG, pinned)
    models = {"current": CONFIG} | ({"pinned": pinned} if pinned else {})
    assert set(frame["model"]) == set(models)
    for (name, context), rows in frame.groupby(["model", "context"]):
        needed = forward_flops(models[name], tokens=1, context=context).needed
        assert dict(zip(rows["operator"], rows["flops"], strict=True)) == needed
    assert set(frame["context"]) == set(CONTEXTS)


def test_the_contexts_reach_what_the_architecture_is_made_for():
    assert CONTEXTS[0] == 128 and CONTEXTS[-1] == 131_072
