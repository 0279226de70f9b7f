"""The quick way to decode against the model itself: every logit of every further token, and how few calls it makes."""

import pytest
import torch
from random_models import SMALL, random_model
from torch.utils._python_dispatch import TorchDispatchMode

from gptoss.config import ModelConfig
from gptoss.model.fast.decoder import Decoder
from gptoss.model.language_model import LanguageModel

CONFIGS = {
    "small": SMALL,
    "one head": SMALL.replace(num_attention_heads=1, num_key_value_heads=1),
    "a key head for every query head": SMALL.replace(num_key_value_heads=SMALL.num_attention_heads),
    "a window of one": SMALL.replace(sliding_window=1),
    "no window": SMALL.replace(sliding_window=0),
    "all slide": SMALL.replace(window_every=1, sliding_window=5),
    "one expert": SMALL.replace(num_experts=1, experts_per_token=1),
    "all experts": SMALL.replace(experts_per_token=SMALL.num_experts),
    "plain RoPE": SMALL.replace(rope_scaling_factor=1.0),
    "a low limit": SMALL.replace(swiglu_limit=0.3),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("prompt", [1, 4, 23])
@torch.inference_mode()
def test_every_logit_is_the_models(config, prompt):
    model = random_model(config)
    tokens = torch.randint(config.vocab_size, (1, 40), generator=torch.Generator().manual_seed(prompt))
    expected = model(tokens)[0, prompt:]
    cache = model.new_cache(40)
    for layer in cache.layers:  # memory that nobody has written to may hold anything
        layer.keys.fill_(torch.nan)
        layer.values.fill_(torch.nan)
    model(tokens[:, :prompt], cache)
    decoder = model.one_by_one(cache)
    assert isinstance(decoder, Decoder)
    given = torch.cat([decoder(tokens[:, place:place + 1]).clone() for place in range(prompt, 40)])
    assert cache.length == 40 and all(layer.length == 40 for layer in cache.layers)
    assert (given - expected).abs().max() <= 2e-5 * expected.abs().max()


@torch.inference_mode()
def test_the_cache_can_be_gone_on_with_by_the_model():
    model = random_model(SMALL)
    tokens = torch.randint(SMALL.vocab_size, (1, 30), generator=torch.Generator().manual_seed(3))
    cache = model.new_cache(30)
    model(tokens[:, :9], cache)
    decoder = model.one_by_one(cache)
    for place in range(9, 20):
        decoder(tokens[:, place:place + 1])
    expected = model(tokens)[:, 20:]
    assert (model(tokens[:, 20:], cache) - expected).abs().max() <= 2e-5 * expected.abs().max()


def test_sinks_that_take_nothing():
    model = random_model(SMALL).sharing_weights(sinks=-torch.inf)
    assert list(model.generate([1, 2, 3], 20, temperature=0)) == the_slow_way(model)


def test_other_formats_decode_as_before():
    model = random_model(SMALL, dtype=torch.bfloat16)
    assert not isinstance(model.one_by_one(model.new_cache(9)), Decoder)
    assert list(model.generate([1, 2, 3], 20, temperature=0)) == the_slow_way(model)


def the_slow_way(model):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model), "one_by_one", LanguageModel.one_by_one)
        return list(model.generate([1, 2, 3], 20, temperature=0))


class Calls(TorchDispatchMode):
    """Counts what torch is asked to do, views included."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("active", [1, 2, 4])
@torch.inference_mode()
def test_a_layer_takes_few_calls(active):
    def calls_of(layers: int) -> int:
        config = ModelConfig(num_hidden_layers=layers, hidden_size=32, intermediate_size=32, num_attention_heads=4,
                             head_dim=8, num_key_value_heads=2, num_experts=8, experts_per_token=active, vocab_size=50)
        model = random_model(config)
        decoder = model.one_by_one(model.new_cache(9))
        decoder(torch.tensor([[1]]))
        with Calls() as calls:
            decoder(torch.tensor([[2]]))
        return calls.count

    assert (calls_of(5) - calls_of(1)) / 4 == 25 + 2 * active
