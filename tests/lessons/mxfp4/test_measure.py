"""Number formats against loops written out by hand, a search, and transformers; rounded models against state dicts
that were rounded by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_models import random_model, random_tokens
from torch.nn import functional as F

from gptoss.checkpoint.mxfp4 import dequantise, quantise
from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import checkpoint_bytes, count_parameters, weight_bytes
from gptoss.lessons.mxfp4 import measure
from gptoss.lessons.mxfp4.measure import (
    BF16,
    EXPERT_WEIGHTS,
    FORMATS,
    MXFP4,
    block_errors,
    effect,
    effect_of_rounding,
    kurtosis,
    kurtosis_in_blocks,
    kurtosis_of_normal_blocks,
    model_bytes,
    neighbours,
    quantised_block,
    read,
    relative_error,
    search,
    share_in_mxfp4,
    spread_out,
    with_outlier,
    with_rounded_experts,
)
from gptoss.model import Transformer
from gptoss.tokenizer import compact_vocabulary
from gptoss.trace import trace
from gptoss.training.corpus import Corpus, Mixture
from gptoss.training.domains import GENERATED
from gptoss.training.shipped import CLASSROOM, shipped
from gptoss.training.unrounded import load_unrounded

TICKS = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
finite = st.floats(-(2.0**100), 2.0**100, width=32)
blocks_of_32 = st.one_of(
    st.lists(finite, min_size=32, max_size=32),
    st.lists(st.floats(-(2.0**-126), 2.0**-126, width=32), min_size=32, max_size=32),  # subnormals and zeros
    st.tuples(st.integers(0, 31), st.floats(1, 2.0**60, width=32)).map(
        lambda drawn: [drawn[1] if place == drawn[0] else (place - 16) / 16 for place in range(32)]))  # one outlier
few = settings(max_examples=60, deadline=None)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def spec_exponent(largest):
    """floor(log2(largest)) - 2, exactly."""
    return math.frexp(largest)[1] - 3


def by_hand(row, exponent_of, pick):
    """One row, value by value: each block's exponent, then each value's tick."""
    back = []
    for start in range(0, len(row), 32):
        block = row[start:start + 32]
        largest = max(abs(value) for value in block)
        unit = 2.0 ** exponent_of(largest) if largest else 1.0
        back += [math.copysign(pick(abs(value) / unit) * unit, value) for value in block]
    return back


def nearest(units):
    return min(TICKS, key=lambda tick: (abs(tick - units), TICKS.index(tick) % 2))


def down(units):
    return max(tick for tick in TICKS if tick <= units)


def ours(largest):
    return spec_exponent(largest) + (largest > 7 * 2.0 ** spec_exponent(largest))


@pytest.mark.parametrize(("name", "exponent_of", "pick"), [
    (MXFP4, ours, nearest), ("MXFP4, clipping", spec_exponent, nearest), ("MXFP4, toward 0", ours, down),
    ("MXFP4, scale up", lambda largest: math.ceil(math.log2(largest)) - 2, nearest)])
def test_every_way_to_mxfp4_is_the_one_written_out_by_hand(name, exponent_of, pick):
    weights = torch.cat((normal(6, 64), normal(2, 64).bfloat16().float(), torch.zeros(1, 64),
                         torch.tensor(TICKS * 8)[None], torch.tensor([2.5, -3.5, 5, 7, 0.25, 8, 6.5, -1.75] * 8)[None]))
    expected = torch.tensor([by_hand(row, exponent_of, pick) for row in weights.tolist()])
    assert torch.equal(FORMATS[name].rounded(weights), expected)


@pytest.mark.parametrize(("name", "group"), [("int8, scale per 32", 32), ("int8, scale per row", 96)])
def test_int8_is_the_one_written_out_by_hand(name, group):
    weights = torch.cat((normal(5, 96), torch.zeros(1, 96)))
    weights[0, 7] = 40.0
    back = []
    for row in weights.tolist():
        back.append([])
        for start in range(0, 96, group):
            part = row[start:start + group]
            step = max(abs(value) for value in part) / 127
            back[-1] += [round(value / step) * step if step else 0.0 for value in part]
    torch.testing.assert_close(FORMATS[name].rounded(weights), torch.tensor(back), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_format_keeps_shape_type_and_zeros_and_leaves_what_it_was_given(name, dtype):
    weights = normal(3, 4, 64).to(dtype)
    weights[1] = 0
    before = weights.clone()
    back = FORMATS[name].rounded(weights)
    assert back.shape == weights.shape and back.dtype == dtype and torch.equal(weights, before)
    assert not back[1].any() and back[0].any()
    again = FORMATS[name].rounded(back)
    if name in (MXFP4, BF16, "MXFP4, clipping", "MXFP4, toward 0"):
        assert torch.equal(again, back)


def test_mxfp4_is_what_transformers_reads_bit_for_bit():
    reference = pytest.importorskip("transformers.integrations.mxfp4").convert_moe_packed_tensors
    weights = normal(2, 48, 96).bfloat16()
    blocks, scales = quantise(weights)
    expected = reference(blocks, scales, dtype=torch.bfloat16).transpose(1, 2)
    assert torch.equal(FORMATS[MXFP4].rounded(weights).view(torch.int16), expected.contiguous().view(torch.int16))


@few
@given(blocks_of_32)
def test_a_block_is_on_the_nearest_of_its_fifteen_ticks(values):
    block = quantised_block(torch.tensor(values))
    assert len(set(block.ticks)) == 15 and block.ticks == sorted(block.ticks)
    for value, back, code in zip(block.values.double().tolist(), block.back.tolist(), block.codes.tolist(), strict=True):
        assert back in block.ticks
        assert abs(value - back) <= min(abs(value - tick) for tick in block.ticks) * (1 + 1e-12)
        assert back == (-1) ** (code >> 3) * TICKS[code & 7] * 2.0**block.exponent
    pairs = zip(block.codes[0::2].tolist(), block.codes[1::2].tolist(), strict=True)
    assert block.packed.tolist() == [low | high << 4 for low, high in pairs]
    fallen = [back == 0 and value != 0 for value, back in zip(block.values.tolist(), block.back.tolist(), strict=True)]
    assert block.fallen.tolist() == fallen


@few
@given(blocks_of_32, st.integers(0, 31), st.sampled_from([1.0, 4.0, 10.0, 64.0]))
def test_an_outlier_changes_one_value_and_never_lifts_the_ticks_of_its_neighbours(values, place, times):
    values = torch.tensor(values)
    pushed = with_outlier(values, place, times)
    others = torch.arange(32) != place
    assert torch.equal(pushed[others], values[others])
    assert pushed[place].abs() == values.abs().max() * times
    assert torch.signbit(pushed[place]) == torch.signbit(values[place])
    before, after = quantised_block(values), quantised_block(pushed)
    assert after.scale >= before.scale
    found = neighbours(after, place)
    assert found.fallen >= neighbours(before, place).fallen
    assert found.fallen == sum(back == 0 != value for number, (value, back) in enumerate(
        zip(after.values.tolist(), after.back.tolist(), strict=True)) if number != place)


def test_an_outlier_far_enough_out_takes_all_its_neighbours():
    values = normal(32)
    block = quantised_block(with_outlier(values, 3, 64.0))
    found = neighbours(block, 3)
    assert found.fallen == 31 and found.error == 1
    with pytest.raises(ValueError, match="32 values"):
        quantised_block(torch.zeros(31))


def test_errors_are_shares_of_the_weights_own_size():
    weights, rounded = torch.tensor([[3.0] * 32 + [4.0] * 32]), torch.tensor([[2.7] * 32 + [4.0] * 32])
    assert relative_error(weights, rounded) == pytest.approx(math.sqrt(0.09 / 2) / math.sqrt(12.5), rel=1e-6)
    assert block_errors(weights, rounded).tolist() == [[pytest.approx(0.1, rel=1e-6), 0]]
    assert relative_error(torch.zeros(32), torch.zeros(32)) == 0
    assert block_errors(torch.zeros(1, 32), torch.zeros(1, 32)).tolist() == [[0]]


def test_formats_stand_in_the_order_of_their_errors_on_normal_weights():
    weights = normal(256, 256)
    errors = {name: relative_error(weights, each.rounded(weights)) for name, each in FORMATS.items()}
    assert errors[MXFP4] < errors["MXFP4, clipping"] < errors["MXFP4, scale up"] < errors["MXFP4, toward 0"]
    assert errors[BF16] < errors["int8, scale per 32"] < errors["int8, scale per row"] < errors[MXFP4] / 10
    assert errors[MXFP4] == pytest.approx(0.112, abs=0.002)


def test_kurtosis_tells_outliers_among_neighbours_from_large_rows():
    weights = normal(400, 320)
    assert kurtosis(weights) == pytest.approx(3, abs=0.1)
    assert kurtosis_in_blocks(weights) == pytest.approx(kurtosis_of_normal_blocks(), abs=0.05)
    rows = weights * torch.where(torch.arange(400) % 50 == 0, 10, 1)[:, None]
    assert kurtosis(rows) > 50 and kurtosis_in_blocks(rows) == pytest.approx(kurtosis_in_blocks(weights), rel=1e-4)
    spikes = weights.clone()
    spikes[:, ::32] *= 10
    assert kurtosis_in_blocks(spikes) > 10
    assert math.isnan(kurtosis(torch.zeros(4)))


def test_the_search_finds_what_a_loop_over_all_codes_and_scales_finds():
    weights = normal(3, 64, seed=5)
    found = search(weights)
    assert found.values == 192 and found.missed == 0
    better, chosen_sum, best_sum = 0, 0.0, 0.0
    for block in weights.view(-1, 32).double():
        own = quantise(block.float())[1].item() - 127
        errors = {step: sum(min((abs(value) - tick * 2.0 ** (own + step)) ** 2 for tick in TICKS)
                            for value in block.tolist()) for step in range(-2, 3)}
        better += min(errors.values()) < errors[0]
        chosen_sum, best_sum = chosen_sum + errors[0], best_sum + min(errors.values())
    assert found.better == better / 6 and found.gained == pytest.approx(1 - best_sum / chosen_sum, abs=1e-9)


def test_the_search_notices_a_value_that_is_not_on_its_nearest_tick(monkeypatch):
    monkeypatch.setattr(measure, "dequantise", lambda blocks, scales, dtype: torch.zeros(2, 32, dtype=dtype))
    assert search(torch.ones(2, 32)).missed == 1


@pytest.mark.parametrize("preset", PRESETS)
def test_sizes_of_whole_models(preset):
    config = PRESETS[preset]
    assert model_bytes(config, FORMATS[MXFP4]) == checkpoint_bytes(config)
    assert model_bytes(config, FORMATS[BF16]) == sum(weight_bytes(config, experts="bf16").values())
    counts = count_parameters(config)
    experts = config.num_hidden_layers * config.num_experts * 3 * config.hidden_size * config.intermediate_size
    assert share_in_mxfp4(config) == experts / counts.total
    rows = config.num_hidden_layers * config.num_experts * (2 * config.intermediate_size + config.hidden_size)
    assert model_bytes(config, FORMATS["int8, scale per row"]) == pytest.approx(
        2 * (counts.total - experts) + experts + 4 * rows, rel=1e-12)


@pytest.mark.parametrize(("name", "columns", "bits"), [
    (MXFP4, 2880, 4.25), ("int8, scale per 32", 2880, 9), ("int8, scale per row", 128, 8.25), (BF16, 64, 16)])
def test_bits_a_weight(name, columns, bits):
    assert FORMATS[name].bits(columns) == bits


CONFIG = ModelConfig(
    num_hidden_layers=3, num_experts=4, experts_per_token=2, vocab_size=50, hidden_size=64, intermediate_size=32,
    head_dim=8, num_attention_heads=4, num_key_value_heads=2, sliding_window=5, initial_context_length=64)
TOKENS = tuple(random_tokens(CONFIG, 20, seed=1).tolist())


@pytest.fixture(scope="module")
def model():
    return random_model(CONFIG, seed=2).requires_grad_(False)


def rebuilt(model, layers):
    """The same model, every tensor a copy, the experts of some layers rounded in the state dict."""
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for layer in layers:
        for name in EXPERT_WEIGHTS:
            key = f"block.{layer}.mlp.{name}"
            weights[key] = dequantise(*quantise(weights[key]), dtype=torch.float32)
    other = Transformer(model.config, device="meta")
    other.load_state_dict(weights, assign=True)
    return other.eval()


@pytest.mark.parametrize("layers", [(), (1,), (0, 2), (0, 1, 2)])
def test_a_rounded_model_is_the_one_loaded_from_a_rounded_state_dict(model, layers):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rounded = with_rounded_experts(model, FORMATS[MXFP4], layers)
    theirs = rebuilt(model, layers)
    with torch.no_grad():
        assert torch.equal(read(rounded, TOKENS).logits, theirs(torch.tensor([TOKENS]))[0])
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    for name, tensor in rounded.state_dict().items():
        own = name.endswith(EXPERT_WEIGHTS) and int(name.split(".")[1]) in layers
        assert (tensor.data_ptr() == model.state_dict()[name].data_ptr()) != own, name


@torch.no_grad()
def test_sinks_that_were_overridden_stay_so(model):
    bare = model.sharing_weights(sinks=-math.inf).eval()
    rounded = with_rounded_experts(bare, FORMATS[MXFP4], (0,))
    assert all(torch.isinf(block.attn.sinks).all() for block in rounded.block)


@torch.no_grad()
def test_a_reading_is_the_models_own(model):
    reading, own = read(model, TOKENS), trace(model, torch.tensor([TOKENS]))
    torch.testing.assert_close(reading.logits, own["logits"][0], rtol=1e-4, atol=1e-5)
    for layer in range(3):
        assert torch.equal(reading.chosen[layer], own[f"block.{layer}.mlp.experts"][0])
    expected = [-own["logits"][0, place].log_softmax(dim=-1)[TOKENS[place + 1]].item() for place in range(19)]
    torch.testing.assert_close(reading.losses, torch.tensor(expected), rtol=1e-4, atol=1e-5)
    assert not any(block.mlp.gate._forward_hooks for block in model.block)


@torch.no_grad()
def test_an_effect_is_what_loops_over_the_tokens_find(model):
    one, two = read(model, TOKENS), read(rebuilt(model, (0, 1, 2)), TOKENS)
    found = effect_of_rounding(model, TOKENS, FORMATS[MXFP4], (0, 1, 2), one)
    p, q = one.logits.double().softmax(-1), two.logits.double().softmax(-1)
    divergence = sum((p[n, v] * (p[n, v] / q[n, v]).log()).item() for n in range(20) for v in range(50)) / 20
    assert found.divergence == pytest.approx(divergence, rel=1e-6) and divergence > 1e-5
    changes = (two.losses - one.losses).double().tolist()
    mean = sum(changes) / 19
    assert found.change == pytest.approx(mean) and found.loss == pytest.approx(two.losses.mean().item(), rel=1e-5)
    assert found.spread == pytest.approx(math.sqrt(sum((each - mean) ** 2 for each in changes) / 18 / 19))
    assert abs(found.worst) == max(abs(each) for each in changes) and found.worst in changes
    same = [len({*one.chosen[layer, n].tolist()} & {*two.chosen[layer, n].tolist()})
            for layer in range(3) for n in range(20)]
    assert found.same_experts == pytest.approx(sum(same) / 120)
    assert found.same_token == sum(int(one.logits[n].argmax() == two.logits[n].argmax()) for n in range(20)) / 20
    centred = [reading.logits.double() - reading.logits.double().mean(-1, keepdim=True) for reading in (one, two)]
    assert found.logits == pytest.approx(((centred[1] - centred[0]).norm() / centred[0].norm()).item())


def test_a_model_beside_itself_has_no_effect(model):
    reading = read(model, TOKENS)
    found = effect(reading, reading)
    assert (found.divergence, found.change, found.spread, found.worst, found.logits) == (0, 0, 0, 0, 0)
    assert found.same_token == 1 and found.same_experts == 1


@pytest.mark.parametrize("count", [1, 2])
def test_texts_too_short_for_a_spread(model, count):
    reading = read(model, TOKENS[:count])
    found = effect(reading, reading)
    assert found.divergence == 0 and math.isnan(found.spread) and math.isnan(found.loss) == (count == 1)


@pytest.mark.parametrize(("layers", "most", "expected"), [
    (4, 12, [0, 1, 2, 3]), (1, 12, [0]), (13, 2, [0, 12]), (48, 12, None)])
def test_layers_are_spread_from_the_first_to_the_last(layers, most, expected):
    found = spread_out(layers, most)
    assert expected in (None, found)
    assert found[0] == 0 and found[-1] == layers - 1 and len(found) <= most and found == sorted(set(found))


def test_what_was_never_rounded_is_off_the_ticks_and_what_ships_is_on_them():
    never, ships = load_unrounded(), shipped()[CLASSROOM].load()
    assert never.config == ships.config and not any(p.requires_grad for p in never.parameters())
    for ours, theirs in zip(never.block, ships.block, strict=True):
        for name in EXPERT_WEIGHTS:
            on, off = getattr(theirs.mlp, name), getattr(ours.mlp, name)
            assert torch.equal(FORMATS[MXFP4].rounded(on), on)
            assert (FORMATS[MXFP4].rounded(off) != off).double().mean() > 0.9
            assert torch.equal(FORMATS["bf16"].rounded(off), off)


@torch.no_grad()
def test_rounding_after_training_costs_more_than_chance_on_texts_like_its_training():
    """Paired over validation documents of the domains that are the same under every Python."""
    corpus = Corpus(compact_vocabulary(4096), Mixture.of(dict.fromkeys(GENERATED, 1.0)))
    documents = torch.cat([torch.as_tensor(texts.tokens) for texts in corpus.validation(24).values()])
    model = load_unrounded()
    losses = {}
    for name, each in (("never", model), (MXFP4, with_rounded_experts(model, FORMATS[MXFP4], range(4))),
                       ("wrong", with_rounded_experts(model, FORMATS["MXFP4, toward 0"], range(4)))):
        logits = each(documents[:, :-1])
        losses[name] = F.cross_entropy(logits.flatten(0, 1), documents[:, 1:].flatten(), reduction="none").double()
    change = losses[MXFP4] - losses["never"]
    error = change.std() / len(change) ** 0.5
    assert change.mean() > 2 * error and change.mean() < 0.05
    assert (losses["wrong"] - losses["never"]).mean() > 5 * change.mean()


def test_an_outlier_changes_its_own_block_alone():
    weights = torch.randn(6, 96, generator=torch.Generator().manual_seed(4))
    inside, outside = measure.changed_by_an_outlier(weights, 2, 1, 32)
    assert 20 < inside <= 31 and outside == 0
    assert measure.changed_by_an_outlier(weights, 2, 1, 1) == (0, 0)
