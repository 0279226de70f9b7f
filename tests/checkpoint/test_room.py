"""Weights that memory has no room for are refused before they are read; what stays in its file needs none."""

import json

import pytest
import torch

from gptoss.checkpoint import CheckpointError, Reader, room, save, save_gpt2
from gptoss.checkpoint.room import available_bytes
from gptoss.config import GPT2Config, ModelConfig
from gptoss.model import GPT2, Transformer

MEMINFO = "MemTotal: 2000 kB\nMemFree: 10 kB\nMemAvailable: 1000 kB\nHugePages_Total: 0\n"
KNOWN = 1000 << 10
STAT_1 = "cache 9\ntotal_inactive_file 20000\ntotal_active_file 1000\n"
STAT_2 = "anon 5\ninactive_file 20000\nactive_file 1000\n"
GROUP_1, GROUP_2 = "sys/fs/cgroup/memory", "sys/fs/cgroup"


@pytest.fixture
def free(monkeypatch):
    """A function that says that so many bytes are free, or that nobody knows, and lets no model be too small to ask."""
    monkeypatch.setattr(room, "SMALL", 0)
    return lambda count: monkeypatch.setattr(room, "available_bytes", lambda: count)


@pytest.mark.parametrize(("files", "available"), [
    ({}, None),
    ({"proc/meminfo": MEMINFO}, KNOWN),
    ({"proc/meminfo": "MemTotal: 5 kB\n"}, None),
    ({"proc/meminfo": "\udcff"}, None),
    ({"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/\n", f"{GROUP_2}/memory.max": "max\n"}, KNOWN),
    ({"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/\n", f"{GROUP_2}/memory.max": "90000\n",
      f"{GROUP_2}/memory.current": "50000\n", f"{GROUP_2}/memory.stat": STAT_2}, 61_000),
    ({"proc/self/cgroup": "0::/app/own\n", f"{GROUP_2}/app/memory.max": "90000\n",
      f"{GROUP_2}/app/memory.current": "50000\n", f"{GROUP_2}/app/own/memory.max": "max\n"}, 40_000),
    ({"proc/self/cgroup": "0::/app/own\n", f"{GROUP_2}/app/memory.max": "max\n", f"{GROUP_2}/app/own/memory.max": "1\n",
      f"{GROUP_2}/app/own/memory.current": "2\n"}, 0),
    ({"proc/meminfo": MEMINFO, "proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/job\n0::/\n",
      f"{GROUP_1}/job/memory.limit_in_bytes": "90000\n", f"{GROUP_1}/job/memory.usage_in_bytes": "60000\n",
      f"{GROUP_1}/job/memory.stat": STAT_1}, 51_000),
    ({"proc/meminfo": MEMINFO, "proc/self/cgroup": "4:memory:/\n",
      f"{GROUP_1}/memory.limit_in_bytes": "9223372036854771712\n", f"{GROUP_1}/memory.usage_in_bytes": "1\n"}, KNOWN),
])
def test_the_least_that_the_system_and_its_groups_leave(tmp_path, files, available):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert available_bytes(tmp_path) == available


@pytest.mark.parametrize("layout", ["openai", "huggingface"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_what_becomes_resident_is_what_is_read(tmp_path, config, random_tensors, layout, packed, dtype, monkeypatch):
    save(tmp_path, config, random_tensors(config), layout, mxfp4=True)
    read, reader = [], Reader(tmp_path)

    def note(*arguments, _read=Reader._read):
        read.append(_read(*arguments))
        return read[-1]

    monkeypatch.setattr(Reader, "_read", note)
    assert list(reader.tensors(dtype, packed=packed))
    assert reader.resident_bytes(dtype, packed) == sum(tensor.nbytes for tensor in read)
    if not packed:
        assert len(read) == len(reader.shapes)


def test_a_model_larger_than_memory_is_refused_before_it_is_read(tmp_path, config, random_tensors, free, monkeypatch):
    save(tmp_path, config, random_tensors(config), mxfp4=True)
    reader = Reader(tmp_path)
    whole, packed = reader.resident_bytes(), reader.resident_bytes(packed=True)
    assert packed < whole / 5
    with monkeypatch.context() as unread:
        unread.setattr(Reader, "_read", None)  # not one tensor may be read
        free(whole - 1)
        with pytest.raises(CheckpointError, match="the model's weights need .* KiB of memory, but only .* KiB are free"):
            Transformer.from_checkpoint(tmp_path)
    free(packed)
    Transformer.from_checkpoint(tmp_path, experts="packed")
    free(whole)
    Transformer.from_checkpoint(tmp_path)
    free(None)
    Transformer.from_checkpoint(tmp_path)


@pytest.mark.parametrize(("rows", "message"), [
    (1 << 25, "need 4.00 GiB of memory, but only 1.00 GiB are free"),
    ((1 << 31) - 1, "need 256.00 GiB of memory|cannot be mapped into memory")])
def test_a_file_with_holes_that_says_it_is_huge_is_refused_at_once(tmp_path, free, rows, message):
    """Two tables of 64 bytes a row, of which nothing is on the disk."""
    config = ModelConfig(num_hidden_layers=1, num_experts=1, experts_per_token=1, vocab_size=8, hidden_size=32,
                         intermediate_size=32, head_dim=2, num_attention_heads=1, num_key_value_heads=1)
    Transformer(config, dtype=torch.bfloat16).save_checkpoint(tmp_path)
    [path] = tmp_path.glob("*.safetensors")
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8:8 + size])
    at = 0
    for name, entry in header.items():
        if name != "__metadata__":
            if name in ("embedding.weight", "unembedding.weight"):
                entry["shape"][0] = rows
            begin, end = entry["data_offsets"]
            length = rows * 64 if entry["shape"][0] == rows else end - begin
            entry["data_offsets"], at = [at, at + length], at + length
    told = json.dumps(header).encode()
    path.write_bytes(len(told).to_bytes(8, "little") + told)
    with path.open("r+b") as file:
        file.truncate(8 + len(told) + at)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | {"vocab_size": rows}))
    free(1 << 30)
    with pytest.raises(CheckpointError, match=message):
        Transformer.from_checkpoint(tmp_path)


def test_gpt2_larger_than_memory_is_refused(tmp_path, free):
    model = GPT2(GPT2Config(num_hidden_layers=1, num_attention_heads=2, hidden_size=8, vocab_size=9, max_context_length=7))
    save_gpt2(tmp_path, model.config, model.state_dict())
    needed = sum(part.nbytes for part in model.parameters())
    free(needed)
    GPT2.from_checkpoint(tmp_path)
    free(needed - 1)
    with pytest.raises(CheckpointError, match="need .* of memory, but only .* are free"):
        GPT2.from_checkpoint(tmp_path)


def test_small_models_are_read_whatever_the_system_says(tmp_path, config, random_tensors, monkeypatch):
    save(tmp_path, config, random_tensors(config))
    monkeypatch.setattr(room, "available_bytes", lambda: 1)
    Transformer.from_checkpoint(tmp_path)
