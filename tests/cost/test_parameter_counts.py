"""`count_parameters` against the tensors of a real model."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import count_parameters
from gptoss.model import Transformer

PART_OF_NAME = {
    r"embedding\.weight": "embedding",
    r"block\.\d+\.attn\.norm\.scale": "attention_norms",
    r"block\.\d+\.attn\.qkv\.(weight|bias)": "qkv",
    r"block\.\d+\.attn\.sinks": "sinks",
    r"block\.\d+\.attn\.out\.(weight|bias)": "out",
    r"block\.\d+\.mlp\.norm\.scale": "mlp_norms",
    r"block\.\d+\.mlp\.gate\.(weight|bias)": "router",
    r"block\.\d+\.mlp\.mlp1_weight": "mlp1_weight",
    r"block\.\d+\.mlp\.mlp1_bias": "mlp1_bias",
    r"block\.\d+\.mlp\.mlp2_weight": "mlp2_weight",
    r"block\.\d+\.mlp\.mlp2_bias": "mlp2_bias",
    r"norm\.scale": "final_norm",
    r"unembedding\.weight": "unembedding",
}


def counted_in_tensors(config: ModelConfig) -> dict[str, int]:
    counts = dict.fromkeys(PART_OF_NAME.values(), 0)
    for name, parameter in Transformer(config, device="meta").named_parameters():
        (part,) = (part for pattern, part in PART_OF_NAME.items() if re.fullmatch(pattern, name))
        counts[part] += parameter.numel()
    return counts


def assert_equal_to_tensors(config: ModelConfig) -> None:
    counts, tensors = count_parameters(config), counted_in_tensors(config)
    assert {part: getattr(counts, part) for part in tensors} == tensors
    assert counts.total == sum(tensors.values()) == sum(counts.by_part.values())
    experts = sum(tensors[part] for part in ("mlp1_weight", "mlp1_bias", "mlp2_weight", "mlp2_bias"))
    assert counts.experts == experts
    assert counts.active_experts * config.num_experts == experts * config.experts_per_token


@pytest.mark.parametrize("name", PRESETS)
def test_every_part_of_a_preset_equals_its_tensors(name):
    assert_equal_to_tensors(PRESETS[name])


@settings(max_examples=40)
@given(data=st.data())
def test_every_part_of_any_shape_equals_its_tensors(small_configs, data):
    assert_equal_to_tensors(data.draw(small_configs))


@pytest.mark.parametrize(("name", "total"), [
    ("gpt-oss-120b", 116_829_156_672), ("gpt-oss-20b", 20_914_757_184), ("classroom", 2_804_160),
    ("notebook", 31_650_848)])
def test_totals_of_the_presets(name, total):
    assert count_parameters(PRESETS[name]).total == total
