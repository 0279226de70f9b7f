"""GPT-2 checkpoints that we write: read by ourselves and by transformers, exactly."""

import errno

import pytest
import torch
from transformers import GPT2LMHeadModel

from gptoss.checkpoint import CheckpointError, gpt2, read_gpt2, save_gpt2
from gptoss.config import GPT2Config
from gptoss.model import GPT2

ODD = {"narrow": GPT2Config(3, 2, 24, 97, 40), "wide": GPT2Config(1, 5, 80, 300, 33), "one head": GPT2Config(2, 1, 7, 11, 9)}
TOKENS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])


def random_gpt2(config, dtype=torch.float32):
    model = GPT2(config, seed=1).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():  # norms and biases too, which begin at ones and zeros
            parameter.add_(torch.randn(parameter.shape, generator=generator) / 4)
    return model.to(dtype)


@pytest.mark.parametrize("config", ODD.values(), ids=ODD)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_every_tensor_is_read_back_bit_for_bit(tmp_path, config, dtype):
    model = random_gpt2(config, dtype)
    save_gpt2(tmp_path, config, model.state_dict())
    read_config, tensors = read_gpt2(tmp_path, dtype)
    read = dict(tensors)
    assert read_config == config and read.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(read[name].to(dtype), tensor), name


@pytest.mark.parametrize("config", ODD.values(), ids=ODD)
@torch.no_grad()
def test_transformers_reads_it_with_equal_logits(tmp_path, config):
    model = random_gpt2(config)
    save_gpt2(tmp_path, config, model.state_dict())
    theirs, loading = GPT2LMHeadModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not (loading["missing_keys"] or loading["unexpected_keys"] or loading["mismatched_keys"])
    expected = theirs.eval()(TOKENS).logits
    assert (model(TOKENS) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_the_directory_is_made_and_what_stands_there_replaced(tmp_path):
    directory = tmp_path / "deep" / "down"
    for config in ODD.values():
        save_gpt2(directory, config, random_gpt2(config).state_dict())
        assert read_gpt2(directory)[0] == config
    assert sorted(path.name for path in directory.iterdir()) == ["config.json", "model.safetensors"]


def test_a_disk_that_is_full_leaves_what_was_there(tmp_path, monkeypatch):
    config, other = ODD["narrow"], ODD["wide"]
    save_gpt2(tmp_path, config, random_gpt2(config).state_dict())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def half_a_file(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(gpt2, "save_file", half_a_file)
    with pytest.raises(OSError, match="No space left"):
        save_gpt2(tmp_path, other, random_gpt2(other).state_dict())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_is_no_whole_model_is_refused_before_anything_is_written(tmp_path):
    config = ODD["narrow"]
    whole = random_gpt2(config).state_dict()
    for wrong in ({name: tensor for name, tensor in whole.items() if name != "position.weight"},
                  whole | {"position.weight": whole["position.weight"][1:]},
                  whole | {"block.0.attn.qkv.weight": whole["block.0.attn.qkv.weight"].T}):
        with pytest.raises(CheckpointError, match="position.weight|block.0.attn.qkv.weight"):
            save_gpt2(tmp_path / "new", config, wrong)
    assert not (tmp_path / "new").exists()
