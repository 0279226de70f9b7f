"""Rates, timed passes and live counts: their shapes, what they promise, and exact equality where they promise that."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_flops import FlopCounterMode

from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import Load, bound_seconds, decode_operators, prefill_operators, scale_model
from gptoss.lessons.memory.measure import passes as measure
from gptoss.lessons.memory.measure.passes import (
    ACTIVATIONS,
    DECODE,
    EXPERTS,
    PARTS,
    PREFILL,
    QUANTITIES,
    MachineRates,
    Step,
    count_calls,
    count_flops,
    hollow_twin,
    live_counts,
    live_pass,
    machine_rates,
    matrices_alone,
    measured_pass,
    multiplied_rows,
    predicted_seconds,
)
from gptoss.model import Transformer
from gptoss.model.fast import experts
from gptoss.timing import Spread, Stopped
from gptoss.training.step_memory import random_tokens

CLASSROOM = PRESETS["classroom"]
RATES = MachineRates({"fp32": Spread(4e10, 3e10, 5e10), "bf16": Spread(8e9, 7e9, 9e9)}, Spread(1e10, 9e9, 2e10), 5, 1)


@pytest.fixture
def small_work(monkeypatch):
    monkeypatch.setattr(measure, "SQUARES", {"fp32": 32, "bf16": 32})
    monkeypatch.setattr(measure, "READ_BYTES", 2**20)


def model_of(config: ModelConfig = CLASSROOM, dtype=torch.float32, experts: str = "unpacked") -> Transformer:
    return Transformer(config, dtype=dtype, experts=experts).requires_grad_(False)


@pytest.mark.parametrize("seconds", [0.0, 0.2])
def test_rates_come_from_enough_rounds_and_report_their_progress(small_work, seconds):
    shares = []
    rates = machine_rates(seconds, progress=shares.append)
    assert rates.rounds >= measure.MIN_ROUNDS and (seconds or rates.rounds == measure.MIN_ROUNDS)
    assert shares == sorted(shares) and shares[0] >= 0 and shares[-1] == 1
    assert set(rates.flops) == set(measure.FORMATS) and rates.threads == torch.get_num_threads()
    for rate in (*rates.flops.values(), rates.bandwidth):
        assert 0 < rate.low <= rate.median <= rate.high


def test_rates_are_work_by_time(small_work, monkeypatch):
    monkeypatch.setattr(measure, "in_turn", lambda *_, **__: {"fp32": [1.0, 2.0, 4.0], "bf16": [8.0] * 3, "read": [0.5] * 3})
    rates = machine_rates()
    assert rates.flops["fp32"].median == 2 * 32**3 / 2 and rates.flops["bf16"].median == 2 * 32**3 / 8
    assert rates.bandwidth == Spread(2**21, 2**21, 2**21)
    machine = rates.machine()
    assert machine.peak("fp32") == 2 * 32**3 / 2 and machine.peak("mxfp4") == 2 * 32**3 / 8 and machine.bandwidth == 2**21


def test_measurements_stop_when_asked(small_work):
    asked = []

    def after_three() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(Stopped):
        machine_rates(100.0, should_stop=after_three)
    assert len(asked) == 4
    model = model_of()
    with pytest.raises(Stopped):
        measured_pass(model, random_tokens(model, 1, 7), 8, RATES, should_stop=lambda: True)


@pytest.mark.parametrize(("batch_size", "context", "tokens"), [(1, 1, 1), (1, 40, 1), (3, 20, 1), (1, 70, 70), (2, 9, 9)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_measured_pass_says_where_its_time_went(batch_size, context, tokens, dtype):
    model = model_of(dtype=dtype)
    ids = random_tokens(model, batch_size, context - 1)
    shares = []
    found = measured_pass(model, ids, tokens, RATES, rounds=3, progress=shares.append)
    assert shares[-1] == 1
    assert (found.kind, found.batch_size, found.tokens, found.context) == (
        DECODE if tokens == 1 else PREFILL, batch_size, tokens, context)
    assert tuple(found.parts) == PARTS
    assert sum(found.parts.values()) == pytest.approx(found.measured.median)
    assert found.parts["bound"] == found.predicted > 0 and found.matrices > 0 and found.call_seconds > 0
    assert 0 < found.matrix_calls < found.calls
    assert found.routed_rows == 4 * batch_size * tokens * 2 <= found.multiplied_rows
    number_format = "fp32" if dtype == torch.float32 else "bf16"
    load = Load(batch_size, tokens, context, number_format, number_format, dtype.itemsize)
    operators = (decode_operators if tokens == 1 else prefill_operators)(CLASSROOM, load, found.touched)
    assert found.predicted == bound_seconds(operators, RATES.machine())
    assert found.predicted == predicted_seconds(model, batch_size, tokens, context, found.touched, RATES)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_neither_part_of_a_prompt_can_be_passed():
    model = model_of()
    with pytest.raises(ValueError, match="tokens=3 .*1, a decoding step, or 8"):
        measured_pass(model, random_tokens(model, 1, 7), 3, RATES)


@pytest.mark.parametrize("tokens", [1, 50])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_every_round_passes_the_same_tokens_after_the_same_cache(tokens, batch_size):
    model = model_of()
    ids = random_tokens(model, batch_size, 49)
    step = Step(model, ids, tokens)
    with torch.inference_mode():
        first, second = step().clone(), step()
        expected = model(ids)[:, -1]
    assert torch.equal(first, second)
    torch.testing.assert_close(first, expected)
    assert step.cache.length == 50


@pytest.mark.parametrize("form", ["unpacked", "packed"])
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(("batch_size", "context", "tokens"), [(1, 30, 1), (1, 30, 30), (2, 70, 70)])
def test_the_hollow_twin_asks_for_the_same_operations(monkeypatch, name, batch_size, context, tokens, form):
    monkeypatch.setattr(experts, "WASTED", 2**60)  # both pad, also where the wide model would spare itself the padding
    model = model_of(scale_model(PRESETS[name]), experts=form)
    ids = random_tokens(model, batch_size, context - 1)
    calls, hollow = Step(model, ids, tokens).calls(), Step(hollow_twin(model), ids % 2, tokens).calls()
    assert hollow > 100
    if form == "unpacked" or tokens == 1:  # otherwise each expert in use adds its own calls, and these are others
        assert calls == hollow


@settings(max_examples=15, deadline=None)
@given(heads=st.sampled_from([(4, 2), (6, 6), (8, 1)]), window=st.sampled_from([0, 5, 16]), context=st.integers(2, 30),
       chosen=st.integers(2, 8))
def test_matrices_alone_multiply_what_a_decoding_step_does(heads, window, context, chosen):
    config = CLASSROOM.replace(num_attention_heads=heads[0], num_key_value_heads=heads[1], sliding_window=window,
                               experts_per_token=chosen)
    model = model_of(config)
    ids = random_tokens(model, 1, context - 1)
    alive = live_pass(model, ids[:, -1:], Step(model, ids, 1).cache_before())
    matrices = matrices_alone(model, alive.routed, 1, 1, context)
    operators = decode_operators(config, Load(context=context, experts="fp32", rest="fp32"), alive.touched)
    assert count_flops(lambda: [multiply() for multiply in matrices]) == sum(operator.flops for operator in operators)


@pytest.mark.parametrize("small", [0, 2**26])
def test_matrices_alone_work_on_the_rows_that_were_routed(monkeypatch, small):
    monkeypatch.setattr(experts, "SMALL", small)
    monkeypatch.setattr(experts, "WASTED", 2**60)
    model = model_of()
    ids = random_tokens(model, 2, 24)
    routed = live_pass(model, ids, model.new_cache(25, 2)).routed
    rows = sum(multiplied_rows(model, layer, 50) for layer in routed)
    assert rows == (sum(8 * max(layer) for layer in routed) if small else 4 * 50 * 2)
    without = [multiply for multiply in matrices_alone(model, routed, 2, 25, 25)
               if getattr(multiply.func, "__name__", "") in ("multiply", "baddbmm")]
    assert count_flops(lambda: [multiply() for multiply in without]) == rows * 2 * 3 * 128 * 128


@settings(max_examples=20, deadline=None)
@given(layers=st.integers(1, 3), heads=st.sampled_from([(1, 1), (4, 2), (6, 1)]),
       mixture=st.sampled_from([(4, 1), (8, 3), (1, 1)]), window=st.sampled_from([0, 1, 9]), batch_size=st.integers(1, 3),
       tokens=st.integers(1, 80), dtype=st.sampled_from([torch.float32, torch.bfloat16]))
def test_closed_forms_equal_live_counts(layers, heads, mixture, window, batch_size, tokens, dtype):
    config = CLASSROOM.replace(
        num_hidden_layers=layers, num_attention_heads=heads[0], num_key_value_heads=heads[1], num_experts=mixture[0],
        experts_per_token=mixture[1], sliding_window=window, hidden_size=24, intermediate_size=40, vocab_size=50)
    model = model_of(config, dtype)
    counts = live_counts(model, random_tokens(model, batch_size, tokens - 1))
    assert tuple(count.quantity for count in counts) == QUANTITIES
    assert [count.quantity for count in counts if not count.exact] == [EXPERTS]
    assert all(count.equal for count in counts if count.exact), counts
    assert all(count.where for count in counts)
    touched = counts[-1]
    assert all(mixture[1] <= each <= mixture[0] for each in (touched.counted, touched.closed_form))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packed_experts_are_counted_and_measured_too(dtype):
    model = model_of(dtype=dtype, experts="packed")
    ids = random_tokens(model, 2, 19)
    counts = live_counts(model, ids)
    assert all(count.equal for count in counts if count.exact), counts
    assert [count.quantity for count in counts if not count.exact] == [ACTIVATIONS, EXPERTS]
    assert counts[4].counted > counts[4].closed_form
    found = measured_pass(model, ids, 20, RATES, rounds=2)
    assert found.multiplied_rows == found.routed_rows == 4 * 40 * 2
    packed, unpacked = (predicted_seconds(each, 1, 1, 20, 2.0, RATES) for each in (model, model_of(dtype=dtype)))
    assert packed < unpacked if dtype == torch.float32 else packed <= unpacked  # at these rates bf16 waits for arithmetic


@pytest.mark.parametrize("name", PRESETS)
def test_flops_are_counted_as_torch_counts_them(name):
    model = model_of(scale_model(PRESETS[name]))
    ids = random_tokens(model, 2, 20)

    def written_out():
        return model(ids, record=lambda name, value: None)

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        written_out()
    assert count_flops(written_out) == counter.get_total_flops() > 0


def test_calls_are_operations():
    x = torch.ones(2, 2)
    assert count_calls(lambda: x + x) == 1
    assert count_calls(lambda: (x @ x).view(4).sum()) == 3
    assert count_calls(lambda: (x.shape, x.dtype, x.sum().item(), len(x))) == 1


def test_experts_touched_are_those_the_router_chose():
    model = model_of(CLASSROOM.replace(num_experts=32))
    ids = random_tokens(model, 1, 5)
    shares = {}
    model(ids, record=shares.__setitem__)
    alive = live_pass(model, ids, model.new_cache(6))
    chosen = [shares[f"block.{layer}.mlp.experts"].flatten() for layer in range(4)]
    assert alive.routed == tuple(tuple(torch.bincount(each, minlength=32).tolist()) for each in chosen)
    assert alive.touched == sum(len(each.unique()) for each in chosen) / 4
