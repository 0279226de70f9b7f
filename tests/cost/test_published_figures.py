"""Figures of the gpt-oss model card (arXiv 2508.10925) and of the claims that the pages measure, to their digits."""

import pytest

from gptoss.config import PRESETS
from gptoss.cost import checkpoint_bytes, count_parameters, forward_flops, kv_cache_bytes, weight_bytes

GIB, GB, BILLION, CONTEXT = 2**30, 10**9, 10**9, 131_072
LARGE, SMALL = PRESETS["gpt-oss-120b"], PRESETS["gpt-oss-20b"]


@pytest.mark.parametrize(("config", "figures"), [
    (LARGE, {"total": "116.83", "active": "5.13", "mlp": "114.71", "attention": "0.96", "embeddings": "1.16"}),
    (SMALL, {"total": "20.91", "active": "3.61", "mlp": "19.12", "attention": "0.64", "embeddings": "1.16"}),
], ids=["120b", "20b"])
def test_the_model_cards_billions_of_parameters(config, figures):
    counts = count_parameters(config)
    assert {name: f"{getattr(counts, name) / BILLION:.2f}" for name in figures} == figures


@pytest.mark.parametrize(("config", "gib"), [(LARGE, "60.8"), (SMALL, "12.8")], ids=["120b", "20b"])
def test_the_model_cards_checkpoint_size(config, gib):
    assert f"{checkpoint_bytes(config) / GIB:.1f}" == gib


@pytest.mark.parametrize(("config", "windowed", "grouped", "multi_head", "multi_query"), [
    (LARGE, "4.50", 9, 72, 1.125), (SMALL, "3.00", 6, 48, 0.75)], ids=["120b", "20b"])
def test_the_kv_cache_of_the_full_context(config, windowed, grouped, multi_head, multi_query):
    full = config.replace(sliding_window=0)
    assert f"{kv_cache_bytes(config, CONTEXT) / GIB:.2f}" == windowed
    assert kv_cache_bytes(full, CONTEXT) == grouped * GIB
    assert kv_cache_bytes(full.replace(num_key_value_heads=64), CONTEXT) == multi_head * GIB
    assert kv_cache_bytes(full.replace(num_key_value_heads=1), CONTEXT) == multi_query * GIB


@pytest.mark.parametrize("config", [LARGE, SMALL], ids=["120b", "20b"])
def test_grouped_queries_save_seven_eighths_of_the_cache_and_windows_half_of_the_rest(config):
    multi_head = config.replace(num_key_value_heads=64)
    assert kv_cache_bytes(config, CONTEXT) / kv_cache_bytes(multi_head, CONTEXT) == 1 - 0.875
    saved = kv_cache_bytes(multi_head.replace(sliding_window=0), CONTEXT) / kv_cache_bytes(config, CONTEXT)
    assert f"{saved:.0f}" == "16"
    assert kv_cache_bytes(config, CONTEXT) < checkpoint_bytes(config)


@pytest.mark.parametrize(("config", "share"), [(LARGE, "4.4%"), (SMALL, "17.3%")], ids=["120b", "20b"])
def test_the_active_share_of_the_parameters(config, share):
    counts = count_parameters(config)
    assert f"{counts.active / counts.total:.1%}" == share


def test_eight_experts_of_which_two_are_active():
    dense = PRESETS["notebook"].replace(num_experts=1, experts_per_token=1)
    mixture = dense.replace(num_experts=8, experts_per_token=2)
    as_large = dense.replace(intermediate_size=8 * dense.intermediate_size)

    def compute(config):
        operators = forward_flops(config, tokens=100).needed
        return operators["mlp1"] + operators["mlp2"]

    def weights(config):
        return count_parameters(config).mlp1_weight + count_parameters(config).mlp2_weight

    assert count_parameters(mixture).experts == 8 * count_parameters(dense).experts
    assert compute(mixture) == 2 * compute(dense)
    assert weights(mixture) == weights(as_large)
    assert compute(mixture) == 0.25 * compute(as_large)


def test_what_public_calculators_get_wrong():
    true_bytes = kv_cache_bytes(LARGE, CONTEXT)
    assert f"{true_bytes / GB:.2f}" == "4.84"
    derived_head_dim = LARGE.hidden_size // LARGE.num_attention_heads
    assert derived_head_dim == 45
    assert f"{true_bytes * derived_head_dim / LARGE.head_dim / GB:.2f}" == "3.40"
    width_of_hidden = LARGE.replace(sliding_window=0, num_attention_heads=45, num_key_value_heads=45)
    assert f"{kv_cache_bytes(width_of_hidden, CONTEXT, bytes_per_value=1) / GIB:.1f}" == "25.3"
    assert f"{(checkpoint_bytes(SMALL) + kv_cache_bytes(SMALL, 32_768)) / GB:.1f}" == "14.6"


def test_weights_in_bf16_are_two_bytes_a_parameter():
    assert sum(weight_bytes(LARGE, experts="bf16").values()) == 2 * count_parameters(LARGE).total
