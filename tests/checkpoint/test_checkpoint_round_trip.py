"""What is saved comes back: both layouts, MXFP4, one file or many."""

import json
import os
import weakref

import pytest
import torch
from safetensors.torch import load_file

from gptoss.checkpoint import CheckpointError, Reader, expected_tensors, save
from gptoss.checkpoint.mxfp4 import dequantise, quantise

LAYOUTS = ("openai", "huggingface")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mxfp4", [False, True])
@pytest.mark.parametrize("max_shard_bytes", [1, 30_000, 4 << 30])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_what_is_saved_is_read_back(tmp_path, config, random_tensors, layout, mxfp4, max_shard_bytes, dtype):
    tensors = random_tensors(config, dtype)
    save(tmp_path / "new" / "place", config, tensors, layout, mxfp4, max_shard_bytes)
    reader = Reader(tmp_path / "new" / "place")
    assert (reader.config, reader.layout) == (config, layout)
    back = dict(reader.tensors(dtype))
    assert list(back) == list(expected_tensors(config))
    experts = {name for name in tensors if name.endswith(("mlp1_weight", "mlp2_weight"))}
    assert reader.packed == (experts if mxfp4 else set())
    for name, tensor in tensors.items():
        expected = dequantise(*quantise(tensor), dtype) if name in reader.packed else tensor
        assert back[name].dtype == expected.dtype and back[name].is_contiguous()
        assert torch.equal(back[name], expected), name


def test_dtype_is_kept_on_disk_and_cast_on_reading(tmp_path, config, random_tensors):
    tensors = random_tensors(config, torch.float32)
    save(tmp_path, config, tensors)
    assert load_file(tmp_path / "model.safetensors")["norm.scale"].dtype == torch.float32
    for name, tensor in Reader(tmp_path).tensors(torch.float16):
        assert torch.equal(tensor, tensors[name] if name.endswith("norm.scale") else tensors[name].half())


def test_openai_names_on_disk_are_the_state_dicts(tmp_path, config, random_tensors):
    save(tmp_path, config, random_tensors(config), mxfp4=True)
    stored = load_file(tmp_path / "model.safetensors")
    packed = {f"block.{n}.mlp.mlp{i}_weight" for n in range(3) for i in (1, 2)}
    assert stored.keys() == (expected_tensors(config).keys() - packed) | {
        name + half for name in packed for half in (".blocks", ".scales")}
    assert stored["block.2.mlp.mlp2_weight.blocks"].shape == (5, 96, 2, 16)
    assert stored["block.2.mlp.mlp2_weight.scales"].shape == (5, 96, 2)


def test_tied_strided_and_grad_tensors_can_be_saved(tmp_path, config, random_tensors):
    tensors = random_tensors(config)
    tensors["unembedding.weight"] = tensors["embedding.weight"].requires_grad_()
    tensors["block.0.attn.out.weight"] = tensors["block.0.attn.out.weight"].T.contiguous().T
    save(tmp_path, config, tensors, "huggingface")
    back = dict(Reader(tmp_path).tensors())
    assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())


def test_large_tensors_are_read_in_pieces(tmp_path, config, random_tensors, monkeypatch):
    monkeypatch.setattr("gptoss.checkpoint.reader._CHUNK_BYTES", 1000)  # five rows of the embedding at a time
    tensors = random_tensors(config)
    save(tmp_path, config, tensors, "huggingface")
    back = dict(Reader(tmp_path).tensors())
    assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())


def test_tensors_own_their_memory(tmp_path, config, random_tensors):
    save(tmp_path, config, random_tensors(config))
    before = (tmp_path / "model.safetensors").read_bytes()
    for _, tensor in Reader(tmp_path).tensors():
        assert tensor.untyped_storage().nbytes() == tensor.nbytes
        tensor.zero_()
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_the_reader_holds_no_tensor_that_the_caller_let_go(tmp_path, config, random_tensors):
    save(tmp_path, config, random_tensors(config), "huggingface", mxfp4=True)
    for _, tensor in Reader(tmp_path).tensors():
        alive = weakref.ref(tensor)
        del tensor
        assert alive() is None


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("changes", [
    {"sliding_window": 0}, {"rope_scaling_factor": 1.0}, {"rope_scaling_factor": 2.5, "initial_context_length": 7},
    {"num_hidden_layers": 1}, {"num_hidden_layers": 1, "sliding_window": 0}, {"intermediate_size": 17}])
def test_unusual_configs_survive(tmp_path, config, random_tensors, layout, changes):
    config = config.replace(**changes)
    save(tmp_path, config, random_tensors(config), layout)
    assert Reader(tmp_path).config == config


def test_shards_have_an_index_and_respect_the_limit(tmp_path, config, random_tensors):
    save(tmp_path, config, random_tensors(config), "huggingface", max_shard_bytes=250_000)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    shards = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert shards == [f"model-{n:05d}-of-{len(shards):05d}.safetensors" for n in range(1, len(shards) + 1)]
    assert 1 < len(shards) == len(set(index["weight_map"].values()))
    sizes = [sum(tensor.nbytes for tensor in load_file(tmp_path / shard).values()) for shard in shards]
    assert max(sizes) <= 250_000 and sum(sizes) == index["metadata"]["total_size"]


def test_shards_without_an_index_are_read_together(tmp_path, config, random_tensors):
    tensors = random_tensors(config)
    save(tmp_path, config, tensors, max_shard_bytes=100_000)
    (tmp_path / "model.safetensors.index.json").unlink()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in Reader(tmp_path).tensors())


def test_an_existing_checkpoint_is_kept_unless_told_and_then_replaced_whole(tmp_path, config, random_tensors):
    save(tmp_path, config, random_tensors(config), "huggingface", max_shard_bytes=1)
    (tmp_path / "notes.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match="already holds a checkpoint.*overwrite=True"):
        save(tmp_path, config, random_tensors(config, seed=1))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    tensors = random_tensors(config, seed=1)
    save(tmp_path, config, tensors, overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors", "notes.txt"]
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in Reader(tmp_path).tensors())


def test_a_failing_save_leaves_the_old_checkpoint_alone(tmp_path, config, random_tensors):
    save(tmp_path, config, random_tensors(config))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    tensors = random_tensors(config, seed=1)
    tensors["block.2.mlp.mlp2_weight"][0, 0, 0] = torch.nan
    with pytest.raises(CheckpointError, match="block.2.mlp.mlp2_weight cannot be MXFP4.*NaN"):
        save(tmp_path, config, tensors, mxfp4=True, max_shard_bytes=1, overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def refused(directory, message, config, tensors, **options):
    with pytest.raises(CheckpointError, match=message):
        save(directory, config, tensors, **options)
    assert not directory.exists()


def test_wrong_arguments_are_refused_before_anything_is_written(tmp_path, config, random_tensors):
    tensors, place = random_tensors(config), tmp_path / "none"
    refused(place, "layout='gguf'", config, tensors, layout="gguf")
    refused(place, "max_shard_bytes=0", config, tensors, max_shard_bytes=0)
    refused(place, r"norm.scale \(96,\) is missing", config,
            {name: tensor for name, tensor in tensors.items() if name != "norm.scale"})
    refused(place, "bonus is surplus", config, tensors | {"bonus": torch.zeros(1)})
    refused(place, r"norm.scale has shape \(95,\), expected \(96,\)", config, tensors | {"norm.scale": torch.ones(95)})
    refused(place, "norm.scale has dtype torch.int64", config,
            tensors | {"norm.scale": torch.ones(96, dtype=torch.int64)})
    narrow = config.replace(intermediate_size=48)
    refused(place, r"mlp2_weight \(5, 96, 48\) cannot be MXFP4.*48 is not a multiple of 32", narrow,
            random_tensors(narrow), mxfp4=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="is a file"):
        save(tmp_path / "file", config, tensors)
