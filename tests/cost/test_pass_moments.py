"""Activations of a pass without gradients, against every tensor alive in real passes."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gptoss.config import PRESETS
from gptoss.cost import Load, moments, pass_activation_bytes, pass_moments, serving_bytes
from gptoss.lessons.memory.measure.passes import live_pass
from gptoss.model import Transformer
from gptoss.model.fast import experts

FORMATS = {"bf16": torch.bfloat16, "fp32": torch.float32}
CLASSROOM = PRESETS["classroom"]


def counted(config, batch_size, tokens, earlier, number_format):
    model = Transformer(config, dtype=FORMATS[number_format]).requires_grad_(False)
    cache = model.new_cache(earlier + tokens, batch_size)
    ids = torch.randint(config.vocab_size, (batch_size, earlier + tokens), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for position in range(earlier):
            model(ids[:, position:position + 1], cache=cache)
    return live_pass(model, ids[:, earlier:], cache)


@st.composite
def passes(draw, configs):
    """A shape, and a prompt of any length or one more token after others."""
    config = draw(configs)
    config = config.replace(experts_per_token=draw(st.integers(1, config.num_experts)))
    tokens = draw(st.sampled_from([1, 2, 63, 64, 65, 128, 129]) | st.integers(1, 150))
    return config, draw(st.integers(1, 3)), tokens, draw(st.integers(0, 30)) if tokens == 1 else 0


@pytest.mark.parametrize("small", [2**26, 0], ids=["experts at once", "experts in turn"])
@pytest.mark.parametrize("number_format", FORMATS)
def test_every_part_of_a_real_pass_holds_what_is_predicted(small_configs, monkeypatch, number_format, small):
    monkeypatch.setattr(experts, "SMALL", small)
    monkeypatch.setattr(moments, "SMALL", small)

    @settings(max_examples=25)
    @given(data=st.data())
    def check(data):
        config, batch_size, tokens, earlier = data.draw(passes(small_configs))
        alive = counted(config, batch_size, tokens, earlier, number_format)
        assert alive.moments == pass_moments(config, batch_size, tokens, earlier, number_format, alive.routed)
        assert alive.activation_bytes == pass_activation_bytes(
            config, batch_size, tokens, earlier, number_format, alive.routed)

    check()


def test_the_constants_are_the_models_own():
    assert (moments.SMALL, moments.WASTED, moments.EVEN) == (experts.SMALL, experts.WASTED, experts.EVEN)


@pytest.mark.parametrize("name", ["gpt-oss-20b", "gpt-oss-120b"])
def test_at_the_real_size_routing_does_not_matter_until_one_expert_has_a_sixth_of_all_rows(name):
    config, tokens = PRESETS[name], 256
    choices = tokens * config.experts_per_token
    evenly = pass_activation_bytes(config, 1, tokens)

    def uneven(busiest):
        others = [0] * (config.num_experts - 1)
        others[0] = choices - busiest
        return pass_activation_bytes(config, 1, tokens, routed=[[busiest, *others]] * 2)

    assert evenly == 2 * config.hidden_size * (3 * tokens + 3 * choices) + 2 * tokens * (config.num_experts + 8)
    assert pass_activation_bytes(config, 1, tokens, routed=[[choices // 6] * 6 + [choices - choices // 6 * 6]]) == evenly
    assert uneven(choices) > evenly


@pytest.mark.parametrize("name", PRESETS)
def test_rows_are_spread_evenly(name):
    config = PRESETS[name]
    for tokens in (1, 3, 100):
        rows = moments._spread_evenly(config, tokens)
        assert sum(rows) == tokens * config.experts_per_token and max(rows) - min(rows) <= 1
        assert len(rows) == config.num_experts


def test_serving_keeps_the_fuller_of_reading_and_writing():
    reading = Load(batch_size=2, prompt=500, context=600)
    assert serving_bytes(CLASSROOM, reading)["activations"] == pass_activation_bytes(CLASSROOM, 2, 500)
    writing = Load(batch_size=2, prompt=1, context=60_000)
    wide = CLASSROOM.replace(num_attention_heads=64)
    assert serving_bytes(wide, writing)["activations"] == pass_activation_bytes(wide, 2, 1, 59_999)


@given(tokens=st.integers(1, 100), batch_size=st.integers(1, 4))
def test_more_tokens_and_sequences_never_take_less(tokens, batch_size):
    assume(tokens != 1)
    config = PRESETS["gpt-oss-20b"]
    here = pass_activation_bytes(config, batch_size, tokens)
    assert here <= pass_activation_bytes(config, batch_size, tokens + 1)
    assert here <= pass_activation_bytes(config, batch_size + 1, tokens)


@pytest.mark.parametrize(("arguments", "words"), [
    ((0, 8), "batch_size=0"), ((1, 0), "tokens=0"), ((1, 1, -1), "earlier=-1"), ((1, 8, 0, "fp8"), "number_format='fp8'"),
    ((1, 8, 4), "tokens=8 .* earlier=4"),
])
def test_impossible_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        pass_activation_bytes(CLASSROOM, *arguments)
