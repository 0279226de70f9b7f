"""Small checkpoints of odd shapes."""

import pytest
import torch

from gptoss.checkpoint import expected_tensors
from gptoss.config import ModelConfig


@pytest.fixture
def config():
    """Sizes that no two dimensions share, so that a swapped or transposed tensor cannot pass for another."""
    return ModelConfig(
        num_hidden_layers=3, num_experts=5, experts_per_token=2, vocab_size=77, hidden_size=96, intermediate_size=64,
        swiglu_limit=5.5, head_dim=14, num_attention_heads=6, num_key_value_heads=3, sliding_window=9,
        initial_context_length=72, rope_theta=12_345.0, rope_scaling_factor=3.0, rope_ntk_alpha=1.5, rope_ntk_beta=6.0)


@pytest.fixture
def random_tensors():
    """A function from a config to a whole random state dict, with norm scales in float32."""

    def make(config, dtype=torch.bfloat16, seed=0):
        generator = torch.Generator().manual_seed(seed)
        return {name: torch.randn(shape, generator=generator).to(
                    torch.float32 if name.endswith("norm.scale") else dtype)
                for name, shape in expected_tensors(config).items()}

    return make
