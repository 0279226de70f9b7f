"""Gated attention: open gates leave plain attention, closed ones nothing, and each does what its formula says."""

import torch
from random_models import SMALL, random_tokens, randomise
from torch.testing import assert_close

from gptoss.model import Transformer
from gptoss.model.gated import GatedTransformer
from gptoss.trace import trace


def gated(bias=None):
    """A model with gates of random weights, or with gates that are `bias` for every token."""
    model = randomise(GatedTransformer(SMALL, dtype=torch.float64)).eval().requires_grad_(False)
    if bias is not None:
        for block in model.block:
            block.attn.gate.weight.zero_()
            block.attn.gate.bias.fill_(bias)
    return model


def plain(model):
    """The model without its gates: plain softmax attention with the same weights."""
    same = Transformer(SMALL, dtype=torch.float64).eval().requires_grad_(False)
    missing, unknown = same.load_state_dict(model.state_dict(), strict=False)
    assert all(name.endswith("sinks") for name in missing) and all(".gate." in name for name in unknown)
    return same.sharing_weights(sinks=float("-inf")).eval()


def test_with_gates_wide_open_it_is_plain_attention():
    model, tokens = gated(bias=60.0), random_tokens(SMALL, 13)[None]
    assert_close(model(tokens), plain(model)(tokens), atol=1e-9, rtol=1e-9)
    assert not torch.allclose(gated()(tokens), plain(gated())(tokens))


def test_with_gates_shut_attention_adds_its_bias_alone():
    model, tokens = gated(bias=-800.0), random_tokens(SMALL, 13)[None]
    flow = trace(model, tokens)
    for layer, block in enumerate(model.block):
        assert (flow[f"block.{layer}.attn.gates"] == 0).all()
        assert_close(flow[f"block.{layer}.attn.out"], block.attn.out.bias.expand_as(flow["embedding"]))


def test_a_gate_is_the_sigmoid_of_a_projection_of_the_normed_stream():
    model, tokens = gated(), random_tokens(SMALL, 13)[None]
    flow = trace(model, tokens)
    attention = model.block[1].attn
    normed = attention.norm(flow["block.0.after_mlp"])
    by_hand = 1 / (1 + torch.exp(-(normed @ attention.gate.weight.T + attention.gate.bias)))
    assert_close(flow["block.1.attn.gates"], by_hand)
    assert by_hand.shape == (1, 13, SMALL.num_attention_heads) and 0.2 < by_hand.std() < 0.5


def test_it_records_what_attention_with_sinks_records_but_gates_instead_of_their_share():
    model, tokens = gated(bias=60.0), random_tokens(SMALL, 13)[None]
    flow, other = trace(model, tokens), trace(plain(model), tokens)
    names, layers = set(flow), range(SMALL.num_hidden_layers)
    assert names - set(other) == {f"block.{layer}.attn.gates" for layer in layers}
    assert set(other) - names == {f"block.{layer}.attn.sink_mass" for layer in layers}
    for name in names & set(other):
        assert_close(flow[name], other[name], atol=1e-9, rtol=1e-9)


def test_with_a_cache_it_answers_the_same_and_generates_from_that():
    model, tokens = gated(), random_tokens(SMALL, 13)[None]
    cache = model.new_cache(13)
    pieces = [model(part, cache) for part in (tokens[:, :6], *tokens[:, 6:].split(1, dim=1))]
    assert_close(torch.cat(pieces, dim=1), model(tokens), atol=1e-10, rtol=1e-8)
    written = list(model.generate(tokens[0], 3, temperature=0))
    assert written[0] == model(tokens)[0, -1].argmax()
