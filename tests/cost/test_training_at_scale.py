"""Batches, compute, hours and memory of training, against tensors cut by hand, torch's counter and brute force."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch_flops import FlopCounterMode

from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import (
    ACCELERATORS,
    Layout,
    accelerator_hours,
    accumulation_steps,
    count_parameters,
    forward_flops,
    optimizer_steps,
    rule_of_thumb,
    training_bytes,
    training_flops_per_token,
)
from gptoss.cost.scale import (
    AT_WORK,
    FSDP,
    MEMORY_PARTS,
    REPLICATED,
    STAGES,
    ZERO_1,
    ZERO_2,
    Indivisible,
    check_layout,
    fitting_layout,
    rank_config,
)
from gptoss.model import Transformer

LARGE, CLASSROOM = PRESETS["gpt-oss-120b"], PRESETS["classroom"]
STATES = MEMORY_PARTS[:4]
# The tensors that Megatron-LM cuts, by rows or columns; the others are whole on every accelerator.
CUT = ("embedding.weight", "qkv.weight", "qkv.bias", "sinks", "out.weight", "mlp1_weight", "mlp1_bias", "mlp2_weight")
BY_NAME = {machine.name: machine for machine in ACCELERATORS}


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("tensor", [1, 2])
def test_an_accelerator_holds_its_part_of_every_tensor_that_is_cut(name, tensor):
    whole = Transformer(PRESETS[name], device="meta").named_parameters()
    held = sum(p.numel() // tensor if name.endswith(CUT) else p.numel() for name, p in whole)
    assert count_parameters(rank_config(PRESETS[name], tensor)).total == held


@settings(max_examples=60)
@given(data=st.data(), stage=st.sampled_from(STAGES), gradients=st.sampled_from(["bf16", "fp32"]))
def test_all_accelerators_together_hold_every_copy(data, stage, gradients):
    """Summed over all accelerators, divided states are held once, others once by each that reads other sequences."""
    config = LARGE.replace(num_hidden_layers=data.draw(st.integers(1, 4)))
    tensor, expert = 2 ** data.draw(st.integers(0, 3)), 2 ** data.draw(st.integers(0, 7))
    layout = Layout(tensor * expert * data.draw(st.integers(1, 6)), tensor, expert)
    bytes_of = training_bytes(config, layout, stage, 1, 64, gradients=gradients)
    rank = count_parameters(rank_config(config, tensor))
    dense, experts = rank.total - rank.experts, rank.experts
    for part, size in zip(STATES, (2, 4, 2 if gradients == "bf16" else 4, 8), strict=True):
        divided = STAGES.index(stage) >= {"weights": 3, "gradients": 2}.get(part, 1)
        copies = (1, 1) if divided else (layout.data, layout.data // expert)
        everywhere = tensor * size * (dense * copies[0] + experts * copies[1])
        assert everywhere <= layout.world * bytes_of[part] <= everywhere + 2 * size * layout.world
    assert tuple(bytes_of) == MEMORY_PARTS


def test_ddp_is_18_or_16_bytes_a_parameter_and_a_single_accelerator_divides_nothing():
    parameters = count_parameters(LARGE).total
    for gradients, size in (("bf16", 16), ("fp32", 18)):
        bytes_of = training_bytes(LARGE, Layout(64), REPLICATED, 1, 64, gradients=gradients)
        assert sum(bytes_of[part] for part in STATES) == size * parameters and bytes_of[AT_WORK] == 0
    alone = [training_bytes(LARGE, Layout(1), stage, 1, 64) for stage in STAGES]
    assert alone.count(alone[0]) == 4


def test_the_block_at_work_is_the_largest_thing_that_is_gathered():
    block = sum(p.numel() for name, p in Transformer(LARGE, device="meta").named_parameters() if name.startswith("block.0."))
    def at_work(layout, stage):
        return training_bytes(LARGE, layout, stage, 1, 64)[AT_WORK]
    assert at_work(Layout(64), FSDP) == 4 * block and at_work(Layout(64), ZERO_2) == 2 * block
    assert at_work(Layout(64), ZERO_1) == at_work(Layout(64), REPLICATED) == 0
    every_expert_once = at_work(Layout(64, expert=64), FSDP)  # then no expert is gathered, and the table is larger
    assert every_expert_once == 4 * count_parameters(LARGE).unembedding


@pytest.mark.parametrize(("layout", "words", "nearest"), [
    (Layout(64, tensor=16), "Tensor parallel 16 does not divide 8 KV groups.", 8),
    (Layout(64, tensor=3), "Tensor parallel 3 does not divide 64 accelerators and 64 query heads and 8 KV groups.", 4),
    (Layout(6, tensor=4), "Tensor parallel 4 does not divide 6 accelerators.", 2),
    (Layout(512, expert=256), "Expert parallel 256 does not divide 128 experts.", 128),
    (Layout(64, tensor=8, expert=16), "Expert parallel 16 does not divide 8 accelerators that read different", 8),
    (Layout(1, expert=2), "Expert parallel 2 does not divide 1 accelerators that", 1),
])
def test_degrees_that_do_not_divide_are_refused_with_the_nearest_that_does(layout, words, nearest):
    with pytest.raises(Indivisible) as refused:
        check_layout(LARGE, layout)
    assert words in str(refused.value) and f"The nearest that does: {nearest}." in str(refused.value)
    assert refused.value.nearest == nearest
    with pytest.raises(Indivisible):
        training_bytes(LARGE, layout, FSDP, 1, 64)
    fitted, changes = fitting_layout(LARGE, layout)
    check_layout(LARGE, fitted)
    assert len(changes) >= 1 and nearest in (fitted.tensor, fitted.expert)


@given(world=st.integers(1, 300), tensor=st.integers(1, 80), expert=st.integers(1, 300))
def test_a_layout_that_fits_is_found_for_any_wish(world, tensor, expert):
    wanted = Layout(world, tensor, expert)
    fitted, changes = fitting_layout(LARGE, wanted)
    check_layout(LARGE, fitted)
    assert (fitted == wanted) == (not changes) and fitted.world == world


@given(batch=st.integers(1, 10**7), micro=st.integers(1, 8), sequence=st.integers(1, 4096), data=st.integers(1, 64))
def test_accumulation_is_whole_or_refused_with_the_nearest_batch(batch, micro, sequence, data):
    at_once = micro * sequence * data
    try:
        steps = accumulation_steps(batch, micro, sequence, data)
    except Indivisible as refused:
        assert batch % at_once and refused.nearest % at_once == 0
        multiples = [at_once * n for n in (max(batch // at_once, 1), batch // at_once + 1)]
        assert abs(refused.nearest - batch) == min(abs(multiple - batch) for multiple in multiples)
        assert f"{batch:,} tokens" in str(refused) and f"{refused.nearest:,}" in str(refused)
    else:
        assert steps * at_once == batch


def test_the_gpt2_reproductions_arithmetic():
    assert accumulation_steps(524_288, 64, 1024, 8) == 1 and accumulation_steps(524_288, 16, 1024, 1) == 32
    assert optimizer_steps(10 * 10**9, 524_288) == 19_074 and optimizer_steps(375 * 10**6, 524_288) == 716
    assert optimizer_steps(8, 8) == optimizer_steps(1, 8) == 1


@pytest.mark.parametrize("call", [lambda: accumulation_steps(0, 1, 1, 1), lambda: optimizer_steps(0, 1), lambda: Layout(0),
                                  lambda: Layout(8, tensor=0), lambda: accumulation_steps(8, 1, 1.5, 1)])
def test_counts_below_one_are_refused(call):
    with pytest.raises(ValueError, match="impossible"):
        call()


@settings(max_examples=15)
@given(data=st.data(), tokens=st.integers(2, 12))
def test_a_backward_pass_multiplies_twice_what_the_forward_pass_did(small_configs, data, tokens):
    config = data.draw(small_configs)
    assume(config.sliding_window != 1)
    model = Transformer(config)
    with FlopCounterMode(display=False) as counter:
        model(torch.arange(tokens)[None] % config.vocab_size, record=lambda name, value: None).logsumexp(-1).sum().backward()
    assert counter.get_total_flops() == 3 * forward_flops(config, tokens).executed_total


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("sequence", [64, 4096])
def test_the_rule_of_thumb_misses_attention_and_counts_vectors(name, sequence):
    config = PRESETS[name]
    exact = training_flops_per_token(config, sequence)
    attention = exact["scores"] + exact["values"]
    layers, hidden = config.num_hidden_layers, config.hidden_size
    vectors = layers * (config.qkv_size + hidden + config.num_experts + config.num_attention_heads
                        + config.experts_per_token * (2 * config.intermediate_size + hidden)) + (2 * layers + 1) * hidden
    assert sum(exact.values()) - rule_of_thumb(config) == pytest.approx(attention - 6 * vectors)


def test_hours_are_flops_over_the_used_share_of_the_peak():
    h100 = BY_NAME["H100"]
    assert accelerator_hours(h100.flops * 3600, h100, 1.0) == pytest.approx(1)
    assert accelerator_hours(h100.flops * 3600, h100, 0.4) == pytest.approx(2.5)
    for wrong in (0, 1.01, float("nan")):
        with pytest.raises(ValueError, match="utilisation"):
            accelerator_hours(1.0, h100, wrong)


def test_the_table_of_accelerators_is_in_the_order_of_memory_and_names_its_sources():
    assert [machine.memory for machine in ACCELERATORS] == sorted(machine.memory for machine in ACCELERATORS)
    assert len(BY_NAME) == len(ACCELERATORS) and all(machine.source for machine in ACCELERATORS)
    # A chip reads each byte that it holds in at least 4 ms and at most a tenth of a second.
    assert all(0.004 < machine.memory / machine.bandwidth < 0.1 for machine in ACCELERATORS)
    assert all(math.log10(machine.flops) > 14 for machine in ACCELERATORS)


@pytest.mark.parametrize(("arguments", "words"), [(("ZeRO-9", 1, 64), "stage='ZeRO-9'"), ((FSDP, 0, 64), "batch_size=0"),
                                                  ((FSDP, 1, 64, "all"), "keep='all'")])
def test_impossible_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        training_bytes(ModelConfig(), Layout(8), *arguments)
