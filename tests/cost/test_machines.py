"""The table of machines, and bounds on what they can do, against sums by hand."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss.config import PRESETS
from gptoss.cost import (
    ACCELERATORS,
    MACHINES,
    Accelerator,
    Load,
    bound_seconds,
    bounds,
    decode_bytes,
    decode_operators,
    decode_seconds,
    prefill_operators,
    prefill_seconds,
    ridge,
    tokens_per_second,
)
from gptoss.cost.accelerators import KINDS, WORKSTATION
from gptoss.cost.roofline import COMPUTE, MEMORY

SMALL, LARGE = PRESETS["gpt-oss-20b"], PRESETS["gpt-oss-120b"]
BY_NAME = {machine.name: machine for machine in MACHINES}
FORMATS = ("fp32", "bf16", "fp8", "mxfp4")  # from wide to narrow


def test_accelerators_have_the_figures_of_their_data_sheets():
    assert MACHINES[:len(ACCELERATORS)] == ACCELERATORS
    assert [(machine.name, machine.flops, machine.memory, machine.bandwidth) for machine in ACCELERATORS] == [
        ("L4", 121e12, 24e9, 300e9), ("RTX 4090", 165.2e12, 24e9, 1008e9), ("A100", 312e12, 80e9, 2039e9),
        ("H100", 989.4e12, 80e9, 3350e9), ("TPU v5p", 459e12, 95 * 2**30, 2765e9), ("H200", 989.4e12, 141e9, 4800e9),
        ("B200", 2250e12, 180e9, 8000e9), ("MI300X", 1307.4e12, 192e9, 5300e9)]


def test_every_machine_has_a_name_a_kind_and_a_source():
    assert len(BY_NAME) == len(MACHINES)
    assert {machine.kind for machine in MACHINES} == set(KINDS)
    for machine in MACHINES:
        assert machine.source and set(machine.peaks) <= set(FORMATS) and isinstance(hash(machine), int)
        rates = [machine.peaks[name] for name in FORMATS if name in machine.peaks]
        assert rates == sorted(rates) and all(1e13 < rate < 1e16 for rate in rates)
        assert 8e9 <= machine.memory <= 512e9 and 80e9 < machine.bandwidth <= 8000e9


def test_no_format_has_the_peak_of_a_wider_one():
    """A machine whose maker publishes no bf16 has no bf16 peak here, rather than the one for fp32."""
    for machine in MACHINES:
        assert "bf16" in machine.peaks or "fp32" not in machine.peaks


@pytest.mark.parametrize(("peaks", "by_format"), [
    ({"fp32": 1.0, "bf16": 2.0, "fp8": 4.0, "mxfp4": 8.0}, {"fp32": 1.0, "bf16": 2.0, "fp8": 4.0, "mxfp4": 8.0}),
    ({"fp32": 1.0, "bf16": 2.0, "fp8": 4.0}, {"fp32": 1.0, "bf16": 2.0, "fp8": 4.0, "mxfp4": 2.0}),
    ({"fp32": 1.0, "bf16": 2.0}, {"fp8": 2.0, "mxfp4": 2.0}),
    ({"fp32": 1.0}, {"fp32": 1.0, "bf16": 1.0, "fp8": 1.0, "mxfp4": 1.0}),
    ({"mxfp4": 8.0}, {"fp32": None, "bf16": None, "fp8": None, "mxfp4": 8.0}),
    ({}, {"fp32": None, "bf16": None, "mxfp4": None}),
])
def test_weights_are_unpacked_to_the_next_format_that_can_meet_the_activations(peaks, by_format):
    machine = Accelerator("machine", WORKSTATION, 1, 1.0, peaks, "a test")
    assert {name: machine.peak(name) for name in by_format} == by_format
    with pytest.raises(KeyError):
        machine.peak("int8")


@pytest.mark.parametrize("machine", MACHINES, ids=BY_NAME)
@pytest.mark.parametrize("load", [
    Load(), Load(batch_size=64, prompt=32, context=30_000), Load(experts="bf16"), Load(rest="fp32")], ids=str)
def test_every_operator_takes_the_longer_of_its_two_times(machine, load):
    for operators in (prefill_operators(LARGE, load), decode_operators(LARGE, load)):
        sums = Fraction(0)
        for operator, bound in zip(operators, bounds(operators, machine), strict=True):
            narrow = operator.name in ("mlp1", "mlp2") and load.rest != "fp32"
            peak = machine.peak(load.experts if narrow else load.rest)
            moved = Fraction(operator.bytes) / Fraction(machine.bandwidth)
            multiplied = Fraction(operator.flops) / Fraction(peak) if peak else Fraction(0)
            assert bound.operator is operator
            assert bound.seconds == pytest.approx(float(max(moved, multiplied)), rel=1e-12)
            assert bound.binds == (COMPUTE if multiplied > moved else MEMORY)
            if peak:
                assert (operator.intensity > ridge(machine, operator.number_format)) == (bound.binds == COMPUTE)
            sums += max(moved, multiplied)
        assert bound_seconds(operators, machine) == pytest.approx(float(sums), rel=1e-12)


def test_one_sequence_waits_for_memory_alone():
    """Without activations, norms and the embedding's row, the bound is the bytes of `decode_bytes` at full bandwidth."""
    for config in (SMALL, LARGE):
        moved = decode_bytes(config, 4096)
        rest = sum(operator.activation_bytes for operator in decode_operators(config, Load()))
        for machine in MACHINES:
            expected = (sum(moved.values()) - moved["norms"] - moved["embedding"] + rest) / machine.bandwidth
            assert decode_seconds(config, Load(), machine) == pytest.approx(expected, rel=1e-9)


@given(batch_size=st.integers(1, 400), context=st.sampled_from([1, 128, 4096, 131_072]))
def test_more_sequences_never_write_fewer_tokens_a_second(batch_size, context):
    for machine in (BY_NAME["H100"], BY_NAME["RTX 5090"], BY_NAME["Apple M4 Max"]):
        here, more = (tokens_per_second(SMALL, Load(batch_size=size, context=context), machine)
                      for size in (batch_size, batch_size + 1))
        assert here <= more * (1 + 1e-12)


def test_the_bound_falls_with_bandwidth_and_rises_with_work():
    h100, h200 = BY_NAME["H100"], BY_NAME["H200"]
    assert decode_seconds(LARGE, Load(), h200) / decode_seconds(LARGE, Load(), h100) == pytest.approx(3350 / 4800)
    times = [prefill_seconds(SMALL, Load(prompt=tokens), h100) for tokens in (1, 64, 1024, 8192)]
    assert times == sorted(times)
    assert decode_seconds(SMALL, Load(), h100, touched=4) == decode_seconds(SMALL, Load(), h100)
    few, expected, all_of_them = (decode_seconds(SMALL, Load(batch_size=8), h100, touched) for touched in (4, None, 32))
    assert few < expected < all_of_them


def test_a_machine_without_a_published_peak_is_bound_by_memory_alone():
    machine = BY_NAME["Apple M4 Max"]
    assert ridge(machine, "bf16") is None
    assert {bound.binds for bound in bounds(prefill_operators(SMALL, Load(prompt=8192)), machine)} == {MEMORY}
