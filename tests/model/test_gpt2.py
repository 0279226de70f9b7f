"""GPT-2 against `GPT2LMHeadModel` of transformers, with its own checkpoint files, and its greedy text."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import GPT2Config as TheirConfig
from transformers import GPT2LMHeadModel

from gptoss import GPT2, GPT2_PRESETS, GPT2Config
from gptoss.checkpoint import CheckpointError

PUBLISHED = {"gpt2": 124_439_808, "gpt2-medium": 354_823_168, "gpt2-large": 774_030_080, "gpt2-xl": 1_557_611_200}
ODD = {"narrow": GPT2Config(3, 2, 24, 97, 40), "wide": GPT2Config(1, 5, 80, 300, 33), "deep": GPT2Config(5, 7, 21, 51, 64)}


@pytest.fixture(scope="module", params=ODD, ids=str)
def pair(request, tmp_path_factory):
    """A random model of transformers, its directory, and ours read from there."""
    config = ODD[request.param]
    torch.manual_seed(len(request.param))
    theirs = GPT2LMHeadModel(TheirConfig(
        n_layer=config.num_hidden_layers, n_head=config.num_attention_heads, n_embd=config.hidden_size,
        vocab_size=config.vocab_size, n_positions=config.max_context_length, bos_token_id=0, eos_token_id=0)).eval()
    for parameter in theirs.parameters():  # its norms and biases start at ones and zeros, which would hide mistakes
        nn.init.normal_(parameter, mean=parameter.mean().item(), std=0.3)
    directory = tmp_path_factory.mktemp(request.param)
    theirs.save_pretrained(directory)
    return theirs, directory, GPT2.from_checkpoint(directory).eval()


def tokens_for(model, count):
    return torch.randint(model.config.vocab_size, (2, count), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_logits_equal_those_of_transformers(pair):
    theirs, _, ours = pair
    tokens = tokens_for(ours, ours.config.max_context_length)
    expected = theirs(tokens).logits
    recorded = {}
    for logits in (ours(tokens), ours(tokens, record=recorded.__setitem__)):
        assert (logits - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert "block.0.attn.sink_mass" not in recorded
    assert torch.allclose(recorded["block.0.attn.weights"].sum(-1), torch.ones(()), atol=1e-6)


@torch.no_grad()
def test_greedy_text_is_that_of_transformers(pair):
    theirs, _, ours = pair
    prompt = tokens_for(ours, 4)[:1]
    expected = theirs.generate(prompt, max_new_tokens=10, do_sample=False, eos_token_id=None)[0, 4:]
    assert list(ours.generate(prompt, 10, temperature=0)) == expected.tolist()


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_presets_have_their_published_sizes(name):
    model = GPT2(GPT2Config.preset(name), device="meta")
    assert sum(parameter.numel() for parameter in model.parameters()) == PUBLISHED[name]
    assert list(GPT2_PRESETS) == list(PUBLISHED)


def test_a_text_beyond_the_learned_positions_is_refused():
    model = GPT2(GPT2Config(1, 1, 4, 10, 8))
    model(torch.zeros(1, 8, dtype=torch.long))
    with pytest.raises(ValueError, match="9 tokens are too many; allowed: 8"):
        model(torch.zeros(1, 9, dtype=torch.long))


@pytest.mark.parametrize("wrong, words", [
    ({"num_attention_heads": 5}, "a divisor of 768"), ({"vocab_size": 0}, "1 or more")])
def test_impossible_settings_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        GPT2Config(**wrong)
    with pytest.raises(ValueError, match="gpt2-xl"):
        GPT2Config.preset("gpt3")


def test_weights_are_repeatable_and_lively():
    one, same, other = (GPT2(GPT2Config(2, 2, 32, 300, 64), seed=seed) for seed in (1, 1, 2))
    tokens = tokens_for(one, 20)
    assert torch.equal(one(tokens), same(tokens)) and not torch.equal(one(tokens), other(tokens))
    assert 0.5 < one(tokens).std() < 8


def test_a_checkpoint_that_is_not_gpt2_is_refused(pair, tmp_path):
    _, directory, _ = pair
    with pytest.raises(CheckpointError, match="is not a directory"):
        GPT2.from_checkpoint(tmp_path / "nowhere")
    copy = tmp_path / "copy"
    shutil.copytree(directory, copy)
    settings = json.loads((copy / "config.json").read_text())
    for change, words in (({"activation_function": "relu"}, "activation_function='relu'"),
                          ({"n_layer": settings["n_layer"] + 1}, "is missing"), ({"n_positions": 7}, "expected"),
                          ({"n_layer": max(settings["n_layer"] - 1, 0)}, "surplus|1 or more")):
        (copy / "config.json").write_text(json.dumps(settings | change))
        with pytest.raises(CheckpointError, match=words):
            GPT2.from_checkpoint(copy)


@pytest.fixture
def copy(pair, tmp_path):
    """A copy of the checkpoint, to be changed: `copy(settings, tensors)` changes both and gives its directory."""
    def change(settings, tensors):
        directory = shutil.copytree(pair[1], tmp_path / "copy", dirs_exist_ok=True)
        old = json.loads((pair[1] / "config.json").read_text())
        (directory / "config.json").write_text(json.dumps(old | settings))
        save_file(load_file(pair[1] / "model.safetensors") | tensors, directory / "model.safetensors")
        return directory

    return change


@torch.no_grad()
def test_what_a_file_says_twice_changes_nothing(pair, copy):
    _, _, ours = pair
    config, tokens = ours.config, tokens_for(ours, 5)
    positions = config.max_context_length
    mask = torch.ones(1, 1, positions, positions, dtype=torch.bool).tril()
    directory = copy({"n_inner": 4 * config.hidden_size, "activation_function": "gelu_pytorch_tanh"},
                     {"lm_head.weight": ours.embedding.weight.clone(), "transformer.h.0.attn.bias": mask,
                      "transformer.h.0.attn.masked_bias": torch.tensor(-1e4)})
    assert torch.equal(GPT2.from_checkpoint(directory)(tokens), ours(tokens))


def test_what_our_model_would_pass_over_is_refused(pair, copy):
    config, embedding = pair[2].config, pair[2].embedding.weight.detach()
    positions = config.max_context_length
    window = torch.ones(1, 1, positions, positions).tril().triu(-3)
    for settings, tensors, words in (
            ({}, {"lm_head.weight": embedding + 1}, "lm_head.weight differs from wte.weight"),
            ({}, {"lm_head.weight": embedding[1:].clone()}, "lm_head.weight differs from wte.weight"),
            ({}, {"transformer.h.0.attn.bias": window}, "attn.bias is not the causal mask"),
            ({}, {"transformer.h.0.attn.masked_bias": torch.tensor(-3.0)}, "masked_bias is not one number"),
            ({}, {"transformer.h.0.attn.masked_bias": torch.tensor(1j)}, "dtype C64"),
            ({}, {"transformer.h.99.attn.masked_bias": torch.tensor(-1e4)}, "is surplus"),
            ({}, {f"transformer.h.{6000 * '9'}.attn.bias": window}, "is surplus"),
            ({}, {"wte.weight": embedding.clone()}, "is also stored as"),
            ({}, {"transformer.ln_f.bias": torch.zeros(config.hidden_size, dtype=torch.int32)}, "dtype I32"),
            ({}, {"transformer.ln_f.bias": torch.full((config.hidden_size,), float("nan"))}, "NaN or infinite"),
            ({"n_inner": 3 * config.hidden_size}, {}, "n_inner="), ({"activation_function": "gelu"}, {}, "'gelu'"),
            ({"n_layer": 10 ** 9}, {}, "n_layer=1000000000.*missing"), ({"add_cross_attention": True}, {}, "add_cross")):
        with pytest.raises(CheckpointError, match=words):
            GPT2.from_checkpoint(copy(settings, tensors))


@torch.no_grad()
def test_settings_under_transformers_other_names_are_read_as_it_reads_them(pair, copy):
    """Another number of heads fits the same tensors: whoever passes over it computes other logits in silence."""
    tokens = tokens_for(pair[2], 5)
    heads = pair[2].config.num_attention_heads
    fewer = next((heads // part for part in (2, 3, 5) if heads % part == 0), heads)
    directory = copy({"num_attention_heads": fewer}, {})
    theirs = GPT2LMHeadModel.from_pretrained(directory).eval()
    ours = GPT2.from_checkpoint(directory)
    assert ours.config.num_attention_heads == theirs.config.n_head == fewer
    torch.testing.assert_close(ours(tokens), theirs(tokens).logits, rtol=1e-4, atol=1e-4)
