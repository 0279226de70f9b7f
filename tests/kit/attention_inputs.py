"""Random queries, keys, values and sinks, and the attention that every other way is compared with."""

import torch
from hypothesis import strategies as st

from gptoss.model.attention import explicit_attention
from gptoss.model.mask import visible


def explicit(q, k, v, sinks, window):
    """The explicit path, and what it recorded."""
    recorded = {}
    mask = visible(q.shape[1], k.shape[1], window)
    return explicit_attention(q, k, v, sinks, mask, recorded.__setitem__), recorded


def random_inputs(batch, queries, keys, kv_heads, group, head_dim, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()

    heads = kv_heads * group
    return (normal(batch, queries, heads, head_dim), normal(batch, keys, kv_heads, head_dim),
            normal(batch, keys, kv_heads, head_dim), normal(heads))


@st.composite
def inputs_and_window(draw):
    queries, earlier = draw(st.integers(1, 40)), draw(st.integers(0, 20))
    inputs = random_inputs(draw(st.integers(1, 3)), queries, queries + earlier, draw(st.integers(1, 3)),
                           draw(st.integers(1, 4)), draw(st.integers(1, 20)), seed=draw(st.integers(0, 99)))
    return inputs, draw(st.integers(0, queries + earlier + 5))
