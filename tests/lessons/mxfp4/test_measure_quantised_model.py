"""Models with rounded experts against models loaded from a state dict that was rounded by hand."""

import math

import pytest
import torch
from random_models import random_model, random_tokens
from torch.nn import functional as F

from gptoss.checkpoint.mxfp4 import dequantise, quantise
from gptoss.config import ModelConfig
from gptoss.lessons.mxfp4.measure.quantisation import FORMATS, MXFP4
from gptoss.lessons.mxfp4.measure.quantised_model import (
    EXPERT_WEIGHTS,
    effect,
    effect_of_rounding,
    read,
    spread_out,
    with_rounded_experts,
)
from gptoss.model import Transformer
from gptoss.tokenizer import compact_vocabulary
from gptoss.trace import trace
from gptoss.training.corpus import Corpus, Mixture
from gptoss.training.domains import GENERATED
from gptoss.training.shipped import CLASSROOM, shipped
from gptoss.training.unrounded import load_unrounded

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
