"""Ablation against the plainest reference there is: a copy of the model whose part has been set to zero."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_models import SMALL, random_model, random_tokens, small_configs
from torch.testing import assert_close

from gptoss.lessons.block.measure.ablation import (
    Part,
    expert_additions,
    final_streams_without_each,
    half_block_parts,
    head_additions,
    stream_without,
)
from gptoss.lessons.block.measure.residual import ATTENTION, EXPERTS, additions, residual_stream, stage_names
from gptoss.trace import trace

LENGTH, LAYERS = 11, SMALL.num_hidden_layers
MODEL = random_model(SMALL, seed=4).requires_grad_(False)
TOKENS = random_tokens(SMALL, 1, LENGTH, seed=4)
TRACE = trace(MODEL, TOKENS)
STREAM = residual_stream(TRACE)

EVERY_PART = [
    *half_block_parts(LAYERS),
    *(Part(layer, ATTENTION, head=head) for layer in range(LAYERS) for head in range(SMALL.num_attention_heads)),
    *(Part(layer, EXPERTS, expert=expert) for layer in range(LAYERS) for expert in range(SMALL.num_experts)),
]


@torch.no_grad()
def zeroed(model, part):
    """A copy of the model in which the last matrix and bias of the part hold zeros."""
    model = copy.deepcopy(model)
    attn, mlp = model.block[part.layer].attn, model.block[part.layer].mlp
    if part.head is not None:
        attn.out.weight[:, part.head * attn.head_dim:(part.head + 1) * attn.head_dim] = 0
    elif part.half == ATTENTION:
        attn.out.weight.zero_()
        attn.out.bias.zero_()
    else:
        gone = slice(None) if part.expert is None else part.expert
        mlp.mlp2_weight[gone] = 0
        mlp.mlp2_bias[gone] = 0
    return model


def of_whole_text(model, tokens):
    return residual_stream(trace(model, tokens, layers=[]))


@pytest.mark.parametrize("part", EVERY_PART, ids=lambda part: part.name)
def test_without_a_part_the_model_runs_as_one_whose_part_is_zero(part):
    expected = of_whole_text(zeroed(MODEL, part), TOKENS)
    assert_close(stream_without(MODEL, STREAM, part), expected, atol=1e-4, rtol=1e-4)


@given(small_configs(), st.integers(1, 12), st.integers(0, 9), st.data())
def test_models_of_every_proportion(config, length, seed, data):
    model, tokens = random_model(config, seed).requires_grad_(False), random_tokens(config, 1, length, seed=seed)
    layer, half = data.draw(st.integers(0, config.num_hidden_layers - 1)), data.draw(st.sampled_from((ATTENTION, EXPERTS)))
    pieces = config.num_attention_heads if half == ATTENTION else config.num_experts
    piece = data.draw(st.none() | st.integers(0, pieces - 1))
    part = Part(layer, half, **{"head" if half == ATTENTION else "expert": piece})
    without = stream_without(model, of_whole_text(model, tokens), part)
    expected = of_whole_text(zeroed(model, part), tokens)
    assert_close(without, expected, atol=1e-4, rtol=1e-3)


def test_what_comes_before_the_part_stays_and_what_follows_changes():
    part = Part(1, EXPERTS)
    without = stream_without(MODEL, STREAM, part)
    assert torch.equal(without[:part.stage], STREAM[:part.stage])
    assert torch.equal(without[part.stage], STREAM[part.stage - 1])
    later = additions(without)[part.stage + 1:] - additions(STREAM)[part.stage + 1:]
    assert (later.norm(dim=-1) > 1e-3).all(), "the half blocks behind must have read another stream"


def test_the_model_is_left_as_it_was():
    before = copy.deepcopy(MODEL.state_dict())
    for part in EVERY_PART:
        stream_without(MODEL, STREAM, part)
    final_streams_without_each(MODEL, TOKENS[0])
    assert all(torch.equal(value, before[name]) for name, value in MODEL.state_dict().items())


@torch.no_grad()
@pytest.mark.parametrize("layers", [1, 3, 9])
def test_all_half_blocks_at_once_are_each_in_turn(layers):
    config = SMALL.replace(num_hidden_layers=layers)
    model = random_model(config, seed=5).requires_grad_(False)
    at_once = final_streams_without_each(model, TOKENS[0])
    parts = half_block_parts(layers)
    assert at_once.shape == (len(parts), LENGTH, SMALL.hidden_size)
    in_turn = torch.cat([zeroed(model, part)(TOKENS) for part in parts])
    assert_close(model.unembedding(model.norm(at_once)), in_turn, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layer", range(LAYERS))
@pytest.mark.parametrize("position", [0, 4, LENGTH - 1])
def test_heads_and_the_bias_make_what_attention_adds(layer, position):
    heads = head_additions(MODEL, TRACE, layer, position)
    assert heads.shape == (SMALL.num_attention_heads, SMALL.hidden_size)
    total = heads.sum(dim=0) + MODEL.block[layer].attn.out.bias
    assert_close(total, TRACE[f"block.{layer}.attn.out"][0, position].double(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("head", range(SMALL.num_attention_heads))
def test_a_heads_addition_is_what_the_stream_lacks_without_it(head):
    part = Part(1, ATTENTION, head=head)
    lacking = (STREAM - stream_without(MODEL, STREAM, part))[part.stage, 6]
    assert_close(head_additions(MODEL, TRACE, 1, 6)[head], lacking.double(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("position", [0, 4, LENGTH - 1])
def test_experts_make_what_the_mixture_adds(position):
    chosen, added = expert_additions(TRACE, 2, position)
    assert chosen.tolist() == TRACE["block.2.mlp.experts"][0, position].tolist()
    assert_close(added.sum(dim=0), TRACE["block.2.mlp.out"][0, position].double(), atol=1e-5, rtol=1e-5)
    part = Part(2, EXPERTS, expert=chosen[0].item())
    lacking = (STREAM - stream_without(MODEL, STREAM, part))[part.stage, position]
    assert_close(added[0], lacking.double(), atol=1e-5, rtol=1e-5)


def test_an_expert_that_nobody_chose_is_not_missed():
    chosen = set(TRACE["block.0.mlp.experts"][:, :1].flatten().tolist())
    idle = next(expert for expert in range(SMALL.num_experts) if expert not in chosen)
    without = stream_without(MODEL, STREAM[:, :1], Part(0, EXPERTS, expert=idle))
    assert_close(without, STREAM[:, :1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("part", EVERY_PART, ids=lambda part: part.name)
def test_names_lead_back_to_their_parts(part):
    assert Part.from_name(part.name, SMALL) == part
    stage = stage_names(LAYERS)[part.stage]
    assert stage == f"{part.layer} {part.half}"


def test_half_blocks_come_in_the_order_of_the_stages():
    parts = half_block_parts(LAYERS)
    assert [part.stage for part in parts] == list(range(1, 1 + 2 * LAYERS))
    assert [part.name for part in parts[:2]] == ["layer 0 attention", "layer 0 experts"]


@pytest.mark.parametrize(("name", "told"), [
    ("layer 3 attention", "layer=3 .* allowed: 0 to 2"), ("layer 0 head 4", "head=4 .* allowed: 0 to 3"),
    ("layer 0 expert 4", "expert=4 .* allowed: 0 to 3"), ("layer 0 norm", "unknown"), ("", "unknown"),
    ("layer -1 attention", "unknown"), ("layer 0 head 1 ", "unknown"), ("layer 0 head 99999999999", "unknown"),
    ("nothing", "unknown"), ("layer ١ attention", "unknown")])
def test_names_of_parts_that_there_are_not(name, told):
    with pytest.raises(ValueError, match=told):
        Part.from_name(name, SMALL)
