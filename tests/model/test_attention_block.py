"""Attention: its mask, its sinks and its groups, both written out and fast."""

import pytest
import torch
from attention_inputs import explicit, inputs_and_window, random_inputs
from hypothesis import given
from random_models import SMALL, random_model
from torch.nn import functional as F

from gptoss.model.fast.attention import fast_attention
from gptoss.model.mask import visible


def picture(mask):
    return "\n".join("".join("#" if seen else "." for seen in row) for row in mask.tolist())


def test_the_mask_of_full_attention():
    assert picture(visible(5, 5, 0)) == "\n".join((
        "#....",
        "##...",
        "###..",
        "####.",
        "#####"))


def test_the_mask_of_a_window_of_three_counts_the_query_itself():
    assert picture(visible(6, 6, 3)) == "\n".join((
        "#.....",
        "##....",
        "###...",
        ".###..",
        "..###.",
        "...###"))


def test_the_mask_after_cached_keys_puts_the_last_query_at_the_last_key():
    assert picture(visible(2, 6, 0)) == "#####.\n######"
    assert picture(visible(2, 6, 3)) == "..###.\n...###"
    assert picture(visible(3, 3, 1)) == "#..\n.#.\n..#"


@given(inputs_and_window())
def test_mass_on_real_keys_is_a_sigmoid_of_scores_against_the_sink(drawn):
    (q, k, v, sinks), window = drawn
    _, recorded = explicit(q, k, v, sinks, window)
    scores = recorded["scores"].masked_fill(~visible(q.shape[1], k.shape[1], window), float("-inf"))
    mass = torch.sigmoid(torch.logsumexp(scores, dim=-1) - sinks[None, :, None])
    torch.testing.assert_close(recorded["weights"].sum(dim=-1), mass)
    torch.testing.assert_close(recorded["sink_mass"], 1 - mass, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("path", ["explicit", "fast"])
def test_sinks_at_minus_infinity_leave_plain_softmax(path):
    q, k, v, sinks = random_inputs(2, 17, 17, 2, 3, 8)
    nothing = torch.full_like(sinks, float("-inf"))
    attend = fast_attention if path == "fast" else lambda *inputs: explicit(*inputs)[0]
    heads_first = [x.transpose(1, 2) for x in (q, k.repeat_interleave(3, dim=2), v.repeat_interleave(3, dim=2))]
    expected = F.scaled_dot_product_attention(*heads_first, is_causal=True).transpose(1, 2)
    torch.testing.assert_close(attend(q, k, v, nothing, 0), expected)


def test_equal_scores_of_zero_give_the_sink_one_share_more():
    """With n keys in sight and everything at zero, the sink takes 1 / (n + 1)."""
    q, k, v, sinks = (torch.zeros_like(x) for x in random_inputs(1, 6, 6, 1, 1, 4))
    _, recorded = explicit(q, k, v, sinks, 4)
    torch.testing.assert_close(recorded["sink_mass"][0, 0], 1 / (torch.tensor([1, 2, 3, 4, 4, 4.0]) + 1))


@pytest.mark.parametrize("path", ["explicit", "fast"])
def test_query_head_h_reads_key_value_head_h_over_group(path):
    q, k, v, sinks = random_inputs(1, 9, 9, 3, 2, 4)
    attend = fast_attention if path == "fast" else lambda *inputs: explicit(*inputs)[0]
    other = v.detach().clone()
    other[:, :, 1] += 1
    moved = (attend(q, k, other, sinks, 0) - attend(q, k, v, sinks, 0)).abs().amax(dim=(0, 1, 3)) > 1e-3
    assert moved.tolist() == [False, False, True, True, False, False]


@pytest.mark.parametrize("layer", [0, 1])
def test_a_block_lets_nothing_through_from_outside_its_window(layer):
    config = SMALL.replace(sliding_window=4)
    block = random_model(config).block[layer].attn
    x = torch.randn(1, 12, config.hidden_size, generator=torch.Generator().manual_seed(0)).requires_grad_()
    reach = torch.autograd.grad(block(x)[0, 9].square().sum(), x)[0][0].abs().sum(dim=-1) > 0
    first = 6 if layer == 0 else 0
    assert reach.nonzero()[:, 0].tolist() == list(range(first, 10))
