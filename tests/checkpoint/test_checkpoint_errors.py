"""Everything that can be wrong with a checkpoint is said before the first tensor, naming the file and the tensor."""

import json
import os
import shutil

import pytest
import torch

from gptoss.checkpoint import CheckpointError, Reader, save


@pytest.fixture(params=["openai", "huggingface"])
def directory(request, tmp_path, config, random_tensors):
    """A good checkpoint with MXFP4 experts, to be spoilt."""
    save(tmp_path, config, random_tensors(config), request.param, mxfp4=True)
    return tmp_path


@pytest.fixture
def names(directory):
    """What the layout calls one plain tensor and the two halves of a packed one."""
    if "num_experts" in json.loads((directory / "config.json").read_text()):
        return "block.1.mlp.gate.weight", "block.1.mlp.mlp1_weight.blocks", "block.1.mlp.mlp1_weight.scales"
    experts = "model.layers.1.mlp.experts.gate_up_proj"
    return "model.layers.1.mlp.router.weight", f"{experts}_blocks", f"{experts}_scales"


def refused(directory, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        Reader(directory)
    assert str(directory) in str(caught.value)


def test_no_directory(tmp_path):
    refused(tmp_path / "nowhere", "is not a directory")


def test_missing_tensors(directory, names, edit_tensors):
    path = directory / "model.safetensors"
    whole = path.read_bytes()
    for name in names:
        edit_tensors(directory, tensors={name: None})
        refused(directory, rf"{name} \(.*\) is missing")
        path.write_bytes(whole)


def test_surplus_tensor(directory, edit_tensors):
    edit_tensors(directory, tensors={"block.3.attn.sinks": torch.zeros(6)})
    refused(directory, r"model.safetensors: block.3.attn.sinks \(6,\) is surplus")


def test_wrong_shape_names_found_and_expected(directory, names, edit_tensors):
    edit_tensors(directory, tensors={names[0]: torch.zeros(96, 5)})
    refused(directory, rf"model.safetensors: {names[0]} has shape \(96, 5\), expected \(5, 96\)")


def test_wrong_packed_shape(directory, names, edit_tensors):
    edit_tensors(directory, tensors={names[2]: torch.zeros(5, 128, 2, dtype=torch.uint8)})
    refused(directory, rf"{names[2]} has shape \(5, 128, 2\), expected \(5, 128, 3\)")


def test_wrong_dtypes(directory, names, edit_tensors):
    edit_tensors(directory, tensors={names[1]: torch.zeros(5, 128, 3, 16)})
    refused(directory, f"{names[1]} has dtype F32, expected U8")
    edit_tensors(directory, tensors={names[1]: torch.zeros(5, 128, 3, 16, dtype=torch.uint8),
                                     names[0]: torch.zeros(5, 96, dtype=torch.int32)})
    refused(directory, f"{names[0]} has dtype I32, expected F64 or F32")


def test_packed_and_plain_at_once(directory, names, edit_tensors):
    plain = names[1][:-len(".blocks")]
    edit_tensors(directory, tensors={plain: torch.zeros(5, 128, 96)})
    refused(directory, rf"{plain} \(5, 128, 96\) is surplus")


def test_packed_size_that_is_no_multiple_of_32(directory, edit_config):
    edit_config(directory, hidden_size=80)
    refused(directory, "config.json: .*mlp1_weight.* 80 is not a multiple of 32")


@pytest.mark.parametrize("keep", [0, 5, 300, -1])
def test_truncated_file(directory, keep):
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused(directory, "model.safetensors is truncated or not a safetensors file")


def test_corrupt_header(directory):
    path = directory / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[8:40] = os.urandom(32)
    path.write_bytes(data)
    refused(directory, "model.safetensors is truncated or not a safetensors file")


def test_no_config(directory):
    (directory / "config.json").unlink()
    refused(directory, "holds no config.json")


@pytest.mark.parametrize("text", ["", "{", "\ufeff{}", '{"a": }', "[" * 100_000])
def test_invalid_json(directory, text):
    (directory / "config.json").write_text(text, encoding="utf-8")
    refused(directory, "config.json is not valid JSON")


def test_bytes_that_are_no_text(directory):
    (directory / "config.json").write_bytes(b"\xff\xfe\x00")
    refused(directory, "config.json is not valid JSON")


def test_json_that_is_no_object(directory):
    (directory / "config.json").write_text("[1, 2]")
    refused(directory, "config.json holds a JSON list")


def test_pickles_are_refused(directory):
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    refused(directory, "pytorch_model.bin is a pickle; .*only .safetensors")


def test_no_weights_at_all(directory):
    (directory / "model.safetensors").unlink()
    refused(directory, "holds no .safetensors file")


def test_unknown_tensor_names(directory, edit_tensors):
    edit_tensors(directory, tensors={"embedding.weight": None, "model.embed_tokens.weight": None})
    refused(directory, "unknown layout")


def test_config_of_the_other_layout(tmp_path, config, random_tensors):
    for layout in ("openai", "huggingface"):
        save(tmp_path / layout, config, random_tensors(config), layout)
    shutil.copy(tmp_path / "openai" / "config.json", tmp_path / "huggingface" / "config.json")
    refused(tmp_path / "huggingface", "layout 'openai', but the tensors are named as in 'huggingface'")


def test_more_layers_than_tensors(directory, edit_config):
    edit_config(directory, num_hidden_layers=10 ** 12, layer_types=...)
    refused(directory, "num_hidden_layers=1000000000000, but the files hold")


def test_fewer_layers_than_stored(directory, edit_config):
    edit_config(directory, num_hidden_layers=2, layer_types=...)
    refused(directory, r"(block|layers)\.2\..* is surplus")


@pytest.fixture
def sharded(tmp_path, config, random_tensors):
    save(tmp_path, config, random_tensors(config), "huggingface", max_shard_bytes=250_000)
    return tmp_path


def test_missing_shard(sharded):
    sorted(sharded.glob("*.safetensors"))[1].unlink()
    refused(sharded, "model-00002-of-.* is missing, though model.safetensors.index.json names it")


def test_tensor_in_two_files(sharded):
    (sharded / "model.safetensors.index.json").unlink()
    shutil.copy(sorted(sharded.glob("*.safetensors"))[0], sharded / "old.safetensors")
    refused(sharded, "old.safetensors: the tensor .* is also in model-00001")


def test_single_file_beside_an_index(sharded):
    shutil.copy(sorted(sharded.glob("*.safetensors"))[0], sharded / "model.safetensors")
    refused(sharded, "holds two checkpoints")


def edit_index(directory, change):
    path = directory / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))


def test_index_that_places_a_tensor_wrongly(sharded):
    edit_index(sharded, lambda index: index["weight_map"].update(
        {"model.embed_tokens.weight": max(index["weight_map"].values())}))
    refused(sharded, "lacks the tensor model.embed_tokens.weight, which model.safetensors.index.json places there")


@pytest.mark.parametrize("place", ["../model.safetensors", "/etc/passwd", "model.bin", ""])
def test_index_that_leads_elsewhere(sharded, place):
    edit_index(sharded, lambda index: index["weight_map"].update({"lm_head.weight": place}))
    refused(sharded, "is no .safetensors file of this directory")


def test_index_without_a_map(sharded):
    edit_index(sharded, lambda index: index.pop("weight_map"))
    refused(sharded, "index.json has no weight_map")
    (sharded / "model.safetensors.index.json").write_text("{")
    refused(sharded, "index.json is not valid JSON")
