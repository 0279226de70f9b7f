"""One token's journey against the model's own logits, and ablation against a copy whose part has been set to zero."""

import copy
import itertools
import math

import pytest
import torch
from hugging_face import hugging_face_twin
from hypothesis import given
from hypothesis import strategies as st
from random_models import SMALL, random_model, random_tokens, relative_difference, small_configs
from torch.testing import assert_close

from gptoss.lessons.block import measure
from gptoss.trace import trace

Part, ATTENTION, EXPERTS = measure.Part, measure.ATTENTION, measure.EXPERTS
LENGTH, LAYERS = 11, SMALL.num_hidden_layers
MODEL = random_model(SMALL, seed=1).requires_grad_(False)
TOKENS = random_tokens(SMALL, 1, LENGTH, seed=1)
TRACE = trace(MODEL, TOKENS)
STREAM = measure.residual_stream(TRACE)
HERE = STREAM[:, -1]
LOGITS = TRACE["logits"][0, -1]

EVERY_PART = [
    *measure.half_block_parts(LAYERS),
    *(Part(layer, ATTENTION, head=head) for layer in range(LAYERS) for head in range(SMALL.num_attention_heads)),
    *(Part(layer, EXPERTS, expert=expert) for layer in range(LAYERS) for expert in range(SMALL.num_experts)),
]


def of_whole_text(model, tokens):
    return measure.residual_stream(trace(model, tokens, layers=[]))


def test_the_stream_of_one_text_holds_the_traced_tensors_in_the_order_of_the_stages():
    assert measure.stage_names(2) == ["embedding", "0 attention", "0 experts", "1 attention", "1 experts"]
    names = ["embedding", *(f"block.{n}.{after}" for n in range(LAYERS) for after in ("after_attn", "after_mlp"))]
    assert STREAM.shape == (len(names), LENGTH, SMALL.hidden_size) and len(measure.stage_names(LAYERS)) == len(names)
    assert all(torch.equal(STREAM[stage], TRACE[name][0]) for stage, name in enumerate(names))
    assert_close(of_whole_text(MODEL, TOKENS), STREAM)
    with pytest.raises(ValueError, match="holds 2 texts; allowed: 1"):
        of_whole_text(MODEL, TOKENS.expand(2, -1))


def test_additions_are_what_the_half_blocks_say_they_add():
    added = measure.additions(STREAM)
    assert torch.equal(added[0], STREAM[0].double())
    for layer in range(LAYERS):
        assert_close(added[1 + 2 * layer], TRACE[f"block.{layer}.attn.out"][0].double(), atol=1e-5, rtol=1e-5)
        assert_close(added[2 + 2 * layer], TRACE[f"block.{layer}.mlp.out"][0].double(), atol=1e-5, rtol=1e-5)
    assert_close(added.sum(dim=0), STREAM[-1].double(), atol=1e-12, rtol=1e-12)


def test_the_journey_closes_every_triangle():
    way = measure.journey(HERE)
    before, added, after, cosine = (way[name][1:] for name in ("before", "added", "after", "cosine"))
    assert torch.equal(before, way["after"][:-1])
    assert_close(after.square(), before.square() + added.square() + 2 * before * added * cosine)
    assert_close(way["added"][2], TRACE["block.0.mlp.out"][0, -1].double().norm(), atol=1e-5, rtol=1e-5)


def test_the_journey_knows_right_angles_and_ends():
    stream = torch.tensor([[3.0, 0.0], [3.0, 4.0], [6.0, 8.0], [3.0, 4.0], [3.0, 4.0]])
    way = measure.journey(stream)
    assert way["before"].tolist() == [0, 3, 5, 10, 5]
    assert way["added"].tolist() == [3, 4, 5, 5, 0]
    assert way["after"].tolist() == [3, 5, 10, 5, 5]
    assert way["cosine"][1:4].tolist() == pytest.approx([0, 1, -1])
    assert way["cosine"][[0, 4]].isnan().all()


@given(small_configs(), st.integers(0, 9), st.integers(1, 12), st.data())
def test_contributions_sum_to_the_logit(config, seed, length, data):
    model, tokens = random_model(config, seed), random_tokens(config, 1, length, seed=seed)
    position = data.draw(st.integers(0, length - 1))
    with torch.no_grad():
        logits = model(tokens)[0, position]
    here = of_whole_text(model, tokens)[:, position]
    token = data.draw(st.integers(0, config.vocab_size - 1))
    total = measure.contributions(model, here, token).sum().item()
    assert total == pytest.approx(logits[token].item(), abs=2e-5 * max(1, logits.abs().max().item()))


def test_contributions_sum_to_the_logit_in_double_precision():
    model = random_model(SMALL, seed=1, dtype=torch.float64).requires_grad_(False)
    model.norm.forward = lambda x: x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * model.norm.scale
    here, logits = of_whole_text(model, TOKENS)[:, -1], model(TOKENS)[0, -1]
    sums = torch.stack([measure.contributions(model, here, token).sum() for token in range(SMALL.vocab_size)])
    assert_close(sums, logits, rtol=1e-12, atol=1e-12)


def test_contributions_sum_to_the_logit_within_bfloat16():
    model = random_model(SMALL, seed=1, dtype=torch.bfloat16).requires_grad_(False)
    here, logits = of_whole_text(model, TOKENS)[:, -1], model(TOKENS)[0, -1].float()
    sums = torch.stack([measure.contributions(model, here, token).sum() for token in range(SMALL.vocab_size)])
    assert relative_difference(sums.float(), logits) < 0.02


def test_the_direction_is_the_gradient_of_the_logit_under_a_frozen_norm():
    final = HERE[-1].clone().requires_grad_()
    frozen = torch.rsqrt(HERE[-1].square().mean() + MODEL.norm.eps)
    logit = MODEL.unembedding(final * frozen * MODEL.norm.scale)[7]
    logit.backward()
    assert_close(measure.answer_direction(MODEL, HERE[-1], 7), final.grad.double(), atol=1e-6, rtol=1e-5)


def test_a_bar_is_what_the_logit_loses_without_it():
    without = measure.logits_without_bar(MODEL, HERE)
    assert without.shape == (len(STREAM), SMALL.vocab_size)
    for token in (0, 7, 49):
        lost = LOGITS[token].double() - without[:, token]
        assert_close(lost, measure.contributions(MODEL, HERE, token), atol=1e-5, rtol=1e-5)


def test_the_lens_ends_in_the_models_own_answer():
    lens = measure.logit_lens(MODEL, HERE)
    assert lens.shape == (len(STREAM), SMALL.vocab_size) and lens.dtype == torch.float32
    assert_close(lens[-1], LOGITS)


@torch.no_grad()
def test_the_lens_reads_transformers_own_hidden_states():
    twin = hugging_face_twin(MODEL)
    theirs = twin(TOKENS, output_hidden_states=True)
    lens = measure.logit_lens(MODEL, HERE)
    for layer, hidden in enumerate(theirs.hidden_states[:-1]):  # the last of theirs has gone through the norm
        logits = twin.lm_head(twin.model.norm(hidden))[0, -1]
        assert_close(lens[2 * layer], logits, atol=1e-4, rtol=1e-4)
    assert_close(lens[-1], theirs.logits[0, -1], atol=1e-4, rtol=1e-4)


def test_ranks_count_the_tokens_above():
    lens = torch.tensor([[0.0, 3.0, 2.0], [5.0, 1.0, 2.0], [1.0, 2.0, 9.0]])
    assert measure.ranks(lens, 2).tolist() == [2, 2, 1]
    token = LOGITS.argmax().item()
    assert measure.ranks(measure.logit_lens(MODEL, HERE), token)[-1] == 1


@pytest.mark.parametrize(("tops", "settled"), [([1, 1, 1], 0), ([0, 1, 1], 1), ([1, 0, 1], 2), ([0, 1, 0], 3)])
def test_the_answer_has_settled_once_it_stays_on_top(tops, settled):
    lens = torch.nn.functional.one_hot(torch.tensor(tops), 4).float()
    assert measure.settled_stage(lens, 1) == settled


def test_a_stream_of_zeros_contributes_nothing():
    nothing = torch.zeros(3, SMALL.hidden_size)
    assert measure.contributions(MODEL, nothing, 0).tolist() == [0, 0, 0]
    assert not any(math.isnan(length) for length in measure.journey(nothing)["after"].tolist())


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


@pytest.mark.parametrize("part", EVERY_PART, ids=lambda part: part.name)
def test_without_a_part_the_model_runs_as_one_whose_part_is_zero(part):
    expected = of_whole_text(zeroed(MODEL, part), TOKENS)
    assert_close(measure.stream_without(MODEL, STREAM, part), expected, atol=1e-4, rtol=1e-4)


@given(small_configs(), st.integers(1, 12), st.integers(0, 9), st.data())
def test_a_part_can_be_removed_from_a_model_of_any_proportion(config, length, seed, data):
    model, tokens = random_model(config, seed).requires_grad_(False), random_tokens(config, 1, length, seed=seed)
    layer, half = data.draw(st.integers(0, config.num_hidden_layers - 1)), data.draw(st.sampled_from((ATTENTION, EXPERTS)))
    pieces = config.num_attention_heads if half == ATTENTION else config.num_experts
    piece = data.draw(st.none() | st.integers(0, pieces - 1))
    part = Part(layer, half, **{"head" if half == ATTENTION else "expert": piece})
    without = measure.stream_without(model, of_whole_text(model, tokens), part)
    expected = of_whole_text(zeroed(model, part), tokens)
    assert_close(without, expected, atol=1e-4, rtol=1e-3)


def test_what_comes_before_the_part_stays_and_what_follows_changes():
    part = Part(1, EXPERTS)
    without = measure.stream_without(MODEL, STREAM, part)
    assert torch.equal(without[:part.stage], STREAM[:part.stage])
    assert torch.equal(without[part.stage], STREAM[part.stage - 1])
    later = measure.additions(without)[part.stage + 1:] - measure.additions(STREAM)[part.stage + 1:]
    assert (later.norm(dim=-1) > 1e-3).all(), "the half blocks behind must have read another stream"


def test_the_model_is_left_as_it_was():
    before = copy.deepcopy(MODEL.state_dict())
    for part in EVERY_PART:
        measure.stream_without(MODEL, STREAM, part)
    measure.final_streams_without_each(MODEL, TOKENS[0])
    assert all(torch.equal(value, before[name]) for name, value in MODEL.state_dict().items())


@torch.no_grad()
@pytest.mark.parametrize("layers", [1, 3, 9])
def test_all_half_blocks_at_once_are_each_in_turn(layers):
    config = SMALL.replace(num_hidden_layers=layers)
    model = random_model(config, seed=5).requires_grad_(False)
    at_once = measure.final_streams_without_each(model, TOKENS[0])
    parts = measure.half_block_parts(layers)
    assert at_once.shape == (len(parts), LENGTH, SMALL.hidden_size)
    in_turn = torch.cat([zeroed(model, part)(TOKENS) for part in parts])
    assert_close(model.unembedding(model.norm(at_once)), in_turn, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("layer", "position"), itertools.product(range(LAYERS), (0, 4, LENGTH - 1)))
def test_heads_and_the_bias_make_what_attention_adds(layer, position):
    heads = measure.head_additions(MODEL, TRACE, layer, position)
    assert heads.shape == (SMALL.num_attention_heads, SMALL.hidden_size)
    total = heads.sum(dim=0) + MODEL.block[layer].attn.out.bias
    assert_close(total, TRACE[f"block.{layer}.attn.out"][0, position].double(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("head", range(SMALL.num_attention_heads))
def test_a_heads_addition_is_what_the_stream_lacks_without_it(head):
    part = Part(1, ATTENTION, head=head)
    lacking = (STREAM - measure.stream_without(MODEL, STREAM, part))[part.stage, 6]
    assert_close(measure.head_additions(MODEL, TRACE, 1, 6)[head], lacking.double(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("position", [0, 4, LENGTH - 1])
def test_experts_make_what_the_mixture_adds(position):
    chosen, added = measure.expert_additions(TRACE, 2, position)
    assert chosen.tolist() == TRACE["block.2.mlp.experts"][0, position].tolist()
    assert_close(added.sum(dim=0), TRACE["block.2.mlp.out"][0, position].double(), atol=1e-5, rtol=1e-5)
    part = Part(2, EXPERTS, expert=chosen[0].item())
    lacking = (STREAM - measure.stream_without(MODEL, STREAM, part))[part.stage, position]
    assert_close(added[0], lacking.double(), atol=1e-5, rtol=1e-5)


def test_an_expert_that_nobody_chose_is_not_missed():
    chosen = set(TRACE["block.0.mlp.experts"][:, :1].flatten().tolist())
    idle = next(expert for expert in range(SMALL.num_experts) if expert not in chosen)
    without = measure.stream_without(MODEL, STREAM[:, :1], Part(0, EXPERTS, expert=idle))
    assert_close(without, STREAM[:, :1], atol=1e-5, rtol=1e-5)


def test_names_lead_back_to_their_parts_and_half_blocks_come_in_the_order_of_the_stages():
    for part in EVERY_PART:
        assert Part.from_name(part.name, SMALL) == part
        assert measure.stage_names(LAYERS)[part.stage] == f"{part.layer} {part.half}"
    parts = measure.half_block_parts(LAYERS)
    assert [part.stage for part in parts] == list(range(1, 1 + 2 * LAYERS))
    assert [part.name for part in parts[:2]] == ["layer 0 attention", "layer 0 experts"]


@pytest.mark.parametrize(("name", "message"), [
    ("layer 3 attention", "layer=3 .* allowed: 0 to 2"), ("layer 0 head 4", "head=4 .* allowed: 0 to 3"),
    ("layer 0 expert 4", "expert=4 .* allowed: 0 to 3"), ("layer 0 norm", "unknown"), ("", "unknown"),
    ("layer -1 attention", "unknown"), ("layer 0 head 1 ", "unknown"), ("layer 0 head 99999999999", "unknown"),
    ("nothing", "unknown"), ("layer ١ attention", "unknown")])
def test_names_of_parts_that_there_are_not_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        Part.from_name(name, SMALL)


def test_the_checks_of_a_token_find_rounding_alone():
    check = measure.check_stream(MODEL, tuple(TOKENS[0].tolist()), 5, 7)
    assert check.logit == pytest.approx(TRACE["logits"][0, 5, 7].item(), abs=1e-5)
    assert check.total == pytest.approx(check.logit, abs=1e-5)
    assert max(check.lens, check.explicit, check.one_by_one) < 1e-4


def test_what_a_token_does_in_every_layer_is_what_was_recorded():
    """Weights and sinks of a query add up to 1, and what the chosen experts add is what their shares say."""
    seen = measure.visits(TRACE, MODEL)
    assert seen.looks.shape == (LAYERS, LENGTH, LENGTH) and seen.experts.shape == (LAYERS, LENGTH, SMALL.experts_per_token)
    assert_close(seen.looks.sum(dim=-1) + seen.sinks, torch.ones(LAYERS, LENGTH), atol=1e-5, rtol=0)
    for layer in range(LAYERS):
        assert_close(seen.looks[layer, 4, 2], TRACE[f"block.{layer}.attn.weights"][0, :, 4, 2].mean())
        chosen = TRACE[f"block.{layer}.mlp.router_logits"][0].topk(SMALL.experts_per_token, dim=-1)
        assert torch.equal(seen.experts[layer], chosen.indices)
        assert_close(seen.shares[layer], chosen.values.softmax(dim=-1), atol=1e-5, rtol=1e-4)


def test_lengths_at_a_right_angle():
    assert measure.right_angle(3, 4) == pytest.approx(5)
