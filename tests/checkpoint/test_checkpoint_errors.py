"""Everything that can be wrong with a checkpoint is said before the first tensor, naming the file and the tensor."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from gptoss.checkpoint import CheckpointError, Reader, read_gpt2, save


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


def test_a_missing_directory_is_refused(tmp_path):
    refused(tmp_path / "nowhere", "is not a directory")


def edit_config(directory, **changes):
    """Change settings in config.json; the value `...` removes one."""
    path = directory / "config.json"
    settings = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in settings.items() if value is not ...}))


def edit_tensors(directory, tensors):
    """Change tensors in model.safetensors; the value None removes one."""
    path = directory / "model.safetensors"
    changed = load_file(path) | tensors
    save_file({name: tensor for name, tensor in changed.items() if tensor is not None}, path)


def bytes_for(*shape, dtype=torch.uint8):
    return torch.zeros(shape, dtype=dtype)


# How tensors are spoilt, by the names of a plain one and of the blocks and scales of a packed one, and what is said of it.
SPOILT_TENSORS = {
    "surplus": (lambda plain, blocks, scales: {"block.3.attn.sinks": torch.zeros(6)},
                r"model.safetensors: block.3.attn.sinks \(6,\) is surplus"),
    "packed and plain": (lambda plain, blocks, scales: {blocks[:-len(".blocks")]: torch.zeros(5, 128, 96)},
                         r"(mlp1_weight|gate_up_proj) \(5, 128, 96\) is surplus"),
    "shape": (lambda plain, blocks, scales: {plain: torch.zeros(96, 5)},
              r"model.safetensors: .*(gate|router).weight has shape \(96, 5\), expected \(5, 96\)"),
    "packed shape": (lambda plain, blocks, scales: {scales: bytes_for(5, 128, 2)},
                     r"scales has shape \(5, 128, 2\), expected \(5, 128, 3\)"),
    "packed dtype": (lambda plain, blocks, scales: {blocks: torch.zeros(5, 128, 3, 16)},
                     "blocks has dtype F32, expected U8"),
    "dtype": (lambda plain, blocks, scales: {plain: bytes_for(5, 96, dtype=torch.int32)},
              "(gate|router).weight has dtype I32, expected F64 or F32"),
    "unknown names": (lambda plain, blocks, scales: {"embedding.weight": None, "model.embed_tokens.weight": None},
                      "unknown layout"),
}


@pytest.mark.parametrize("spoil, message", SPOILT_TENSORS.values(), ids=SPOILT_TENSORS)
def test_spoilt_tensors_are_refused_by_name(directory, names, spoil, message):
    edit_tensors(directory, spoil(*names))
    refused(directory, message)


@pytest.mark.parametrize("changes, message", [
    ({"hidden_size": 80}, "config.json: .*mlp1_weight.* 80 is not a multiple of 32"),
    ({"num_hidden_layers": 10 ** 9}, "num_hidden_layers=1000000000, but the files hold"),
    ({"num_hidden_layers": 2}, r"(block|layers)\.2\..* is surplus")])
def test_settings_that_do_not_fit_the_tensors(directory, changes, message):
    edit_config(directory, layer_types=..., **changes)
    refused(directory, message)


@pytest.mark.parametrize("name, change, message", [
    *[("model.safetensors", lambda data, end=end: data[:end], "model.safetensors is truncated or not a safetensors file")
      for end in (0, 5, 300, -1)],
    ("model.safetensors", lambda data: data[:8] + os.urandom(32) + data[40:], "truncated or not a safetensors file"),
    *[("config.json", lambda data, text=text: text.encode(), "config.json is not valid JSON")
      for text in ("", "{", "\ufeff{}", '{"a": }', "[" * 100_000)],
    ("config.json", lambda data: b"\xff\xfe\x00", "config.json is not valid JSON"),
    ("config.json", lambda data: b"[1, 2]", "config.json holds a JSON list")])
def test_spoilt_files_are_refused_by_name(directory, name, change, message):
    (directory / name).write_bytes(change((directory / name).read_bytes()))
    refused(directory, message)


def test_missing_files_are_refused_by_name(directory):
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    refused(directory, "pytorch_model.bin is a pickle; .*only .safetensors")
    (directory / "pytorch_model.bin").unlink()
    refused(directory, "holds no .safetensors file")
    (directory / "config.json").unlink()
    refused(directory, "holds no config.json")


def test_missing_tensors_are_refused_by_name(directory, names):
    path = directory / "model.safetensors"
    whole = path.read_bytes()
    for name in names:
        edit_tensors(directory, {name: None})
        refused(directory, rf"{name} \(.*\) is missing")
        path.write_bytes(whole)


def test_a_config_of_the_other_layout_is_refused(tmp_path, config, random_tensors):
    for layout in ("openai", "huggingface"):
        save(tmp_path / layout, config, random_tensors(config), layout)
    shutil.copy(tmp_path / "openai" / "config.json", tmp_path / "huggingface" / "config.json")
    refused(tmp_path / "huggingface", "layout 'openai', but the tensors are named as in 'huggingface'")


@pytest.fixture
def sharded(tmp_path, config, random_tensors):
    save(tmp_path, config, random_tensors(config), "huggingface", max_shard_bytes=250_000)
    return tmp_path


def test_a_missing_shard_is_refused(sharded):
    sorted(sharded.glob("*.safetensors"))[1].unlink()
    refused(sharded, "model-00002-of-.* is missing, though model.safetensors.index.json names it")


def test_a_tensor_in_two_files_is_refused(sharded):
    (sharded / "model.safetensors.index.json").unlink()
    shutil.copy(sorted(sharded.glob("*.safetensors"))[0], sharded / "old.safetensors")
    refused(sharded, "old.safetensors: the tensor .* is also in model-00001")


def test_a_single_file_beside_an_index_is_refused(sharded):
    shutil.copy(sorted(sharded.glob("*.safetensors"))[0], sharded / "model.safetensors")
    refused(sharded, "holds two checkpoints")


def edit_index(directory, change):
    path = directory / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))


def test_an_index_that_places_a_tensor_wrongly_is_refused(sharded):
    edit_index(sharded, lambda index: index["weight_map"].update(
        {"model.embed_tokens.weight": max(index["weight_map"].values())}))
    refused(sharded, "lacks the tensor model.embed_tokens.weight, which model.safetensors.index.json places there")


@pytest.mark.parametrize("place", ["../model.safetensors", "/etc/passwd", "model.bin", ""])
def test_an_index_that_leads_elsewhere_is_refused(sharded, place):
    edit_index(sharded, lambda index: index["weight_map"].update({"lm_head.weight": place}))
    refused(sharded, "is no .safetensors file of this directory")


@pytest.mark.parametrize("name", [5000 * "x", 200 * "é", "\ud800" * 300], ids=["letters", "bytes", "no letters"])
def test_a_name_that_no_file_can_have_is_refused(sharded, name):
    edit_index(sharded, lambda index: index["weight_map"].update({"lm_head.weight": f"{name}.safetensors"}))
    with pytest.raises(CheckpointError, match="is no .safetensors file") as caught:
        Reader(sharded)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("path", ["x" * 5000, "/" + "y" * 300, "a\0b", "", "/dev/null"])
def test_a_path_that_is_no_directory_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for read in (Reader, read_gpt2):
        with pytest.raises(CheckpointError):
            read(path)


def test_an_index_that_leads_nowhere_is_refused(directory):
    (directory / "model.safetensors.index.json").symlink_to("model.safetensors.index.json")
    refused(directory, "index.json is not a file")


def test_a_strangers_names_fill_no_log_and_give_a_terminal_no_orders(directory):
    path = directory / "model.safetensors"
    whole = path.read_bytes()
    for name, shown in (("y" * 10 ** 6, "is surplus"), ("bad\n\x1b[31mname", r"bad\\n\\x1b\[31mname .* is surplus")):
        edit_tensors(directory, {name: torch.zeros(1)})
        refused(directory, shown)
        path.write_bytes(whole)
    edit_config(directory, num_hidden_layers="z" * 10 ** 6)
    with pytest.raises(CheckpointError) as caught:
        Reader(directory)
    assert len(str(caught.value)) < 2000


def test_an_index_without_a_map_is_refused(sharded):
    edit_index(sharded, lambda index: index.pop("weight_map"))
    refused(sharded, "index.json has no weight_map")
    (sharded / "model.safetensors.index.json").write_text("{")
    refused(sharded, "index.json is not valid JSON")


HOSTILE_SETTINGS = {
    "beyond a float": ({"rope_theta": 10 ** 400}, "rope_theta=1"),
    "beyond Python's digits": (f'{{"num_experts": {"9" * 6000}}}', "not valid JSON"),
    "a window of 2**70": ({"sliding_window": 2 ** 70}, "sliding_window=1"),
    "a limit near a float's end": ({"swiglu_limit": 1e308}, "swiglu_limit=1e"),
    "a great many layers": ({"num_hidden_layers": 20_000, "layer_types": [*["full_attention"] * 19_999, "x"]},
                            "layer_types="),
    "a rhythm of a great many": ({"num_hidden_layers": 20_000, "layer_types": ["sliding_attention"] * 20_000},
                                 "num_hidden_layers=20000, but the files hold"),
    "heads that share nothing": ({"num_attention_heads": 2 ** 31 - 1, "num_key_value_heads": 2}, "num_key_value_heads=2"),
    "deep": ({"hidden_size": [[[[[[[["x" * 9999]]]]]]]]}, "hidden_size="),
    "wide": ({"hidden_size": {str(key): key for key in range(9999)}}, "hidden_size="),
    "long": (" " * (9 << 20), "config.json has 9,437,184 bytes"),
}


@pytest.mark.parametrize("settings, message", HOSTILE_SETTINGS.values(), ids=HOSTILE_SETTINGS)
def test_hostile_settings_are_refused_in_few_words(directory, settings, message):
    if isinstance(settings, str):
        (directory / "config.json").write_text(settings)
    else:
        edit_config(directory, **settings)
    with pytest.raises(CheckpointError, match=message) as caught:
        Reader(directory)
    assert len(str(caught.value)) < 1000


def test_hostile_headers_are_refused_before_they_are_parsed(directory):
    path = directory / "model.safetensors"
    entry = '"name-%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    header = ("{" + ",".join(entry % number for number in range(400_000)) + "}").encode()
    for data in ((2 ** 63).to_bytes(8, "little") + b"{}", (100).to_bytes(8, "little") + b"{}",
                 len(header).to_bytes(8, "little") + header):
        path.write_bytes(data)
        refused(directory, "is truncated or not a safetensors file")


def test_links_lead_no_further_than_the_hubs_cache(tmp_path, config, random_tensors):
    snapshot, blobs = tmp_path / "hub" / "snapshots" / "abc", tmp_path / "hub" / "blobs"
    save(snapshot, config, random_tensors(config), "huggingface")
    blobs.mkdir()
    for number, name in enumerate(("config.json", "model.safetensors")):
        (snapshot / name).rename(blobs / str(number))
        (snapshot / name).symlink_to(f"../../blobs/{number}")
    assert Reader(snapshot).config == config
    for name in ("model.safetensors", "config.json"):
        (snapshot / name).rename(snapshot / "kept")
        (snapshot / name).symlink_to(shutil.copy(blobs / "0", tmp_path / "elsewhere"))
        refused(snapshot, f"{name} is a link that leads out of its directory")
        (snapshot / name).unlink()
        (snapshot / name).symlink_to("/dev/zero")
        refused(snapshot, f"{name} is not a file")
        (snapshot / name).unlink()
        os.mkfifo(snapshot / name)
        refused(snapshot, f"{name} is not a file")
        (snapshot / name).unlink()
        (snapshot / "kept").rename(snapshot / name)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_refused_as_they_are_read(directory, names, value):
    plain, _, scales = names
    path = directory / "model.safetensors"
    whole, stored = path.read_bytes(), load_file(path)
    for name, place, wrong in ((plain, (1, 2), value), (scales, (4, 3, 1), 255)):
        stored[name][place] = wrong
        save_file(stored, path)
        with pytest.raises(CheckpointError, match="model.safetensors: block.1.mlp.*holds numbers that are NaN or infinite"):
            list(Reader(directory).tensors())
        path.write_bytes(whole)
        stored = load_file(path)


def test_a_model_without_sinks_is_read(tmp_path, config, random_tensors):
    tensors = random_tensors(config)
    tensors["block.0.attn.sinks"].fill_(-float("inf"))
    save(tmp_path, config, tensors)
    assert torch.equal(dict(Reader(tmp_path).tensors())["block.0.attn.sinks"], tensors["block.0.attn.sinks"])
