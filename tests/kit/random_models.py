"""Small models of every proportion, with no tensor left at a value that would hide a mistake."""

import torch
from hypothesis import strategies as st

from gptoss.config import ModelConfig
from gptoss.model import Transformer

SMALL = ModelConfig(
    num_hidden_layers=3, num_experts=4, experts_per_token=2, vocab_size=50, hidden_size=48, intermediate_size=40,
    head_dim=8, num_attention_heads=4, num_key_value_heads=2, sliding_window=5, initial_context_length=64,
    rope_scaling_factor=4.0)


@st.composite
def small_configs(draw):
    """A strategy: configurations that build and run in milliseconds."""
    kv_heads, experts = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    return ModelConfig(
        num_hidden_layers=draw(st.integers(1, 3)), num_experts=experts,
        experts_per_token=draw(st.integers(1, experts)), vocab_size=draw(st.integers(2, 60)),
        hidden_size=draw(st.integers(2, 40)), intermediate_size=draw(st.integers(1, 40)),
        head_dim=2 * draw(st.integers(1, 8)), num_attention_heads=kv_heads * draw(st.integers(1, 3)),
        num_key_value_heads=kv_heads, sliding_window=draw(st.integers(0, 12)),
        initial_context_length=draw(st.integers(16, 8192)),
        rope_theta=draw(st.sampled_from((100.0, 10_000.0, 150_000.0))),
        rope_scaling_factor=draw(st.sampled_from((1.0, 4.0, 32.0))))


@torch.no_grad()
def randomise(model: Transformer, seed: int = 0) -> Transformer:
    """Give biases and norm scales random values too; a fresh model has them at 0 and 1, where errors do not show."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)
        elif name.endswith("norm.scale"):
            parameter.copy_(0.5 + torch.rand(parameter.shape, generator=generator))
    return model


def random_model(config: ModelConfig, seed: int = 0, dtype: torch.dtype = torch.float32) -> Transformer:
    return randomise(Transformer(config, dtype=dtype, seed=seed), seed).eval()


def random_tokens(config: ModelConfig, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(config.vocab_size, shape, generator=torch.Generator().manual_seed(seed))


def relative_difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference between two tensors, as a share of the largest value."""
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()
