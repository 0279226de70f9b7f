"""A KV cache in e4m3: the cast against all values that the format has, and models that read what comes back."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import kv_cache_bytes
from gptoss.lessons.memory.measure import rounded_cache
from gptoss.lessons.memory.measure.rounded_cache import (
    A_HEAD,
    A_TENSOR,
    ALL,
    BF16,
    EVERYWHERE,
    NO_SCALE,
    SKIPPED,
    WAYS,
    Way,
    cache_bytes,
    judged,
    scale_of,
    texts,
    through_bf16,
    through_fp8,
    with_cache,
)
from gptoss.model import Transformer
from gptoss.model.attention import explicit_attention
from gptoss.model.mask import visible
from gptoss.tokenizer import compact_vocabulary
from gptoss.training.domains import RECALL, REPETITION
from gptoss.training.stories.possession import POSSESSION
from gptoss.training.storyteller import storyteller_vocabulary

CONFIG = ModelConfig.preset("classroom").replace(num_hidden_layers=2, hidden_size=32, intermediate_size=32, head_dim=8,
                                                 num_attention_heads=4, num_key_value_heads=2, num_experts=4, vocab_size=512)


@pytest.fixture
def model():
    return Transformer(CONFIG, seed=3).eval().requires_grad_(False)


def test_the_cast_finds_the_nearest_of_all_values_and_cuts_what_is_beyond():
    """The values by their bits, as arXiv 2209.05433 defines them: no infinities, and one NaN of either sign left out."""
    finite = [(2.0**-6 * (mantissa / 8) if exponent == 0 else 2.0**(exponent - 7) * (1 + mantissa / 8), code)
              for code in range(127) for exponent, mantissa in [divmod(code, 8)]]
    generator = torch.Generator().manual_seed(0)
    for value in (torch.rand(300, generator=generator) * 600).tolist() + [0.001, 0.0009, 17.0, 19.0, 448.0, 464.0, 1e6]:
        nearest = min(finite, key=lambda pair: (abs(pair[0] - value), pair[1] % 2))[0]
        assert through_fp8(torch.tensor([value, -value]), 1.0).tolist() == [nearest, -nearest], value
    assert finite[-1][0] == rounded_cache.LARGEST == 448


def test_a_scale_brings_the_largest_to_the_end_of_the_format():
    values = torch.randn(2, 5, 3, 8) * torch.tensor([0.001, 1.0, 100.0])[:, None]
    assert scale_of(values, NO_SCALE) == 1
    assert (values / scale_of(values, A_TENSOR)).abs().max() == pytest.approx(448)
    by_head = values / scale_of(values, A_HEAD)
    assert by_head.abs().amax(dim=(0, 1, 3)).tolist() == pytest.approx([448] * 3)
    small = values[:, :, 0]
    errors = {scale: (through_fp8(values, scale_of(values, scale))[:, :, 0] - small).square().mean().sqrt().item()
              for scale in (A_HEAD, A_TENSOR)}
    assert errors[A_HEAD] < 0.04 * small.square().mean().sqrt() < errors[A_TENSOR], "small heads need a scale of their own"
    assert not through_fp8(torch.zeros(1, 2, 1, 4), scale_of(torch.zeros(1, 2, 1, 4), A_HEAD)).any()


@pytest.mark.parametrize("way", [BF16, SKIPPED, EVERYWHERE])
def test_a_block_reads_what_comes_back(model, way):
    """The same block written out, its keys and values rounded by hand."""
    rounded, _ = with_cache(model, way)
    x = torch.randn(2, 24, CONFIG.hidden_size)
    for layer, block in enumerate(model.block):
        attn, seen = block.attn, {}
        attn(x, record=seen.__setitem__)
        in_fp8 = way.layers == ALL or way.layers and not attn.window
        come_back = [through_fp8(values, scale_of(values, A_HEAD)) if in_fp8 else through_bf16(values)
                     for values in (seen["k_rope"], seen["v"])]
        mixed = explicit_attention(seen["q_rope"], *come_back, attn.sinks, visible(24, 24, attn.window))
        assert torch.allclose(rounded.block[layer].attn(x), x + attn.out(mixed.flatten(2)), atol=1e-5), layer


def test_full_layers_alone_are_in_fp8_where_sliding_ones_stay_in_bf16(model):
    tokens = torch.arange(12)[None]
    before = model(tokens)
    for way, layers in ((BF16, 0), (SKIPPED, 1), (EVERYWHERE, 2)):
        rounded, errors = with_cache(model, way)
        rounded(tokens)
        assert len(errors) == 2 * layers and all(0 < error < 0.05 for error in errors)
    assert torch.equal(model(tokens), before), "the model itself stays as it is"


def test_sums_key_by_key_are_attention_where_nothing_is_rounded(model, monkeypatch):
    tokens = torch.randint(512, (2, 24), generator=torch.Generator().manual_seed(1))
    summed = partial(with_cache, model, Way("", ALL, A_HEAD, sums=True))
    rough, plain = summed()[0](tokens), model(tokens)
    monkeypatch.setattr(rounded_cache, "E4M3", torch.float32)
    assert torch.allclose(summed()[0](tokens), plain, atol=1e-5) and not torch.allclose(rough, plain, atol=1e-3)


def test_what_the_cache_takes():
    config = PRESETS["gpt-oss-20b"]
    sizes = cache_bytes(config, 131_072)
    assert sizes[BF16.name] == kv_cache_bytes(config, 131_072) == 2 * sizes[EVERYWHERE.name]
    assert 0 < sizes[SKIPPED.name] / sizes[EVERYWHERE.name] - 1 < 0.002, "sliding layers are hardly any of it"
    all_full = config.replace(sliding_window=0)
    assert cache_bytes(all_full, 1000)[SKIPPED.name] == cache_bytes(all_full, 1000)[EVERYWHERE.name]


def test_what_comes_again_is_judged_alone(model):
    vocabulary = compact_vocabulary(512)
    kept = judged(model, vocabulary)
    assert list(kept) == [way.name for way in WAYS] and kept[BF16.name].same == 1
    drawn = texts(vocabulary)
    assert {kind: int((documents.distance[:, 1:] > 0).sum()) for kind, documents in drawn.items()} == kept[BF16.name].asked
    for each in kept.values():
        assert set(each.right) == set(each.loss) == {RECALL, REPETITION} and each.right[REPETITION] < 0.1
    assert kept[BF16.name].error == 0 < kept[EVERYWHERE.name].error < 0.05


def test_storytellers_texts_are_of_what_it_was_trained_on():
    told = texts(storyteller_vocabulary())
    assert list(told) == [POSSESSION]
    answers = told[POSSESSION].tokens[told[POSSESSION].distance > 0]
    assert len(answers) > 40 and all(storyteller_vocabulary().label(int(token)).startswith("␣") for token in answers)


def test_two_ways_with_the_same_rounding_say_the_same(model):
    tokens = torch.arange(20)[None]
    twins = [with_cache(model, replace(EVERYWHERE, name=name))[0](tokens) for name in "ab"]
    assert torch.equal(*twins)


def test_a_model_in_bfloat16_is_judged_too():
    model = Transformer(CONFIG, seed=3, dtype=torch.bfloat16).eval().requires_grad_(False)
    tokens = torch.arange(20)[None]
    for way in WAYS:
        assert with_cache(model, way)[0](tokens).isfinite().all()
