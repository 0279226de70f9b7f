"""A model that was written and read again answers the same."""

import pytest
import torch
from random_models import SMALL, random_model, random_tokens, relative_difference

from gptoss.model import Transformer

CONFIG = SMALL.replace(hidden_size=64, intermediate_size=32)  # whole MXFP4 blocks
TOKENS = random_tokens(CONFIG, 2, 20)


@pytest.mark.parametrize("layout", ["openai", "huggingface"])
@torch.no_grad()
def test_a_round_trip_changes_no_logit(tmp_path, layout):
    model = random_model(CONFIG)
    model.save_checkpoint(tmp_path, layout=layout)
    read = Transformer.from_checkpoint(tmp_path, dtype=torch.float32)
    assert read.config == CONFIG
    assert torch.equal(read(TOKENS), model(TOKENS))


@pytest.mark.parametrize("layout", ["openai", "huggingface"])
@torch.no_grad()
def test_mxfp4_rounds_the_experts_once(tmp_path, layout):
    """Rounded weights are exact in MXFP4, so that a second trip changes nothing; and only the experts are rounded."""
    model = random_model(CONFIG)
    model.save_checkpoint(tmp_path / "first", layout=layout, mxfp4=True)
    once = Transformer.from_checkpoint(tmp_path / "first", dtype=torch.float32)
    once.save_checkpoint(tmp_path / "second", layout=layout, mxfp4=True)
    twice = Transformer.from_checkpoint(tmp_path / "second", dtype=torch.float32)
    assert torch.equal(once(TOKENS), twice(TOKENS))
    changed = {name.split(".", 2)[2] for name, tensor in once.state_dict().items()
               if not torch.equal(tensor, model.state_dict()[name])}
    assert changed == {"mlp.mlp1_weight", "mlp.mlp2_weight"}
    assert 0 < relative_difference(once(TOKENS), model(TOKENS)) < 0.5


@torch.no_grad()
def test_bfloat16_is_the_default(tmp_path):
    model = random_model(CONFIG, dtype=torch.bfloat16)
    model.save_checkpoint(tmp_path)
    read = Transformer.from_checkpoint(tmp_path)
    assert read.dtype == torch.bfloat16
    assert read.norm.scale.dtype == torch.float32
    assert torch.equal(read(TOKENS), model(TOKENS))


def test_a_model_that_was_read_can_be_trained(tmp_path):
    random_model(CONFIG).save_checkpoint(tmp_path)
    model = Transformer.from_checkpoint(tmp_path, dtype=torch.float32)
    assert {name for name, _ in model.named_parameters()} == set(model.state_dict())
    model(TOKENS).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
