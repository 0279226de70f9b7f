"""Figures of the gpt-oss model card (arXiv 2508.10925), to their digits; test_claims_register.py has those of claims."""

import pytest

from gptoss.config import PRESETS
from gptoss.cost import checkpoint_bytes, count_parameters, weight_bytes

GIB, BILLION = 2**30, 10**9
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


def test_weights_in_bf16_are_two_bytes_a_parameter():
    assert sum(weight_bytes(LARGE, experts="bf16").values()) == 2 * count_parameters(LARGE).total
