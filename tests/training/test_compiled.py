"""The ways that are quick on a GPU give the numbers of the formula; here on the CPU, before anything is compiled."""

import pytest
import torch

from gptoss.config import ModelConfig
from gptoss.model import Transformer
from gptoss.model.attention import explicit_attention
from gptoss.model.mask import visible
from gptoss.training.compiled import attention_of_a_text, mixture_of_all


@pytest.mark.parametrize("window", [0, 5])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_attention_of_a_text_is_explicit_attention(window):
    generator = torch.Generator().manual_seed(window)
    q, k, v = (torch.randn(2, 19, heads, 16, generator=generator) for heads in (6, 2, 2))
    sinks = torch.randn(6, generator=generator)
    expected = explicit_attention(q, k, v, sinks, visible(19, 19, window, q.device))
    assert torch.allclose(attention_of_a_text(q, k, v, sinks, window), expected, atol=1e-6)


def test_all_experts_together_are_the_mixture_of_the_chosen_ones():
    config = ModelConfig(num_hidden_layers=1, num_experts=5, experts_per_token=2, vocab_size=64, hidden_size=32,
                         intermediate_size=48, head_dim=16, num_attention_heads=2, num_key_value_heads=1)
    block = Transformer(config, seed=3).block[0].mlp
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_(generator=generator)
    x = torch.randn(40, 32, generator=generator)
    best = block.gate(x).topk(2, dim=-1)
    shares = best.values.softmax(-1)
    expected = block._mix(x, best.indices, shares)
    given = mixture_of_all(x, best.indices, shares, block._parts(), block.swiglu_limit)
    assert torch.allclose(given, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
