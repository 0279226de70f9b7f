"""Shapes on which closed forms are compared with real tensors."""

import pytest
from hypothesis import strategies as st

from gptoss.config import ModelConfig


@st.composite
def _small_configs(draw):
    kv_heads, experts = draw(st.integers(1, 3)), draw(st.integers(2, 6))
    return ModelConfig(
        num_hidden_layers=draw(st.integers(1, 4)), num_experts=experts,
        # torch multiplies by a single expert's weight elementwise, which its counter does not call a matmul
        experts_per_token=draw(st.integers(2, experts)),
        vocab_size=draw(st.integers(2, 60)), hidden_size=draw(st.integers(2, 40)),
        intermediate_size=draw(st.integers(2, 40)), head_dim=2 * draw(st.integers(1, 8)),
        num_attention_heads=kv_heads * draw(st.integers(1, 4)), num_key_value_heads=kv_heads,
        sliding_window=draw(st.integers(0, 12)))


@pytest.fixture(scope="session")
def small_configs():
    """A hypothesis strategy: shapes of every proportion that still run in milliseconds."""
    return _small_configs()
