"""The file of a recording: what is written comes back, and whatever else lies there is refused in one sentence."""

import dataclasses
import os

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from gptoss import replay, strict_json
from gptoss.config import ModelConfig
from gptoss.replay import FULL, KeptHead, KeptText, Replay, ReplayError, read, shapes

CONFIG = ModelConfig(num_hidden_layers=2, num_experts=4, experts_per_token=2, vocab_size=300, hidden_size=8,
                     intermediate_size=8, head_dim=4, num_attention_heads=4, num_key_value_heads=2)


HEADS = (KeptHead(1, 3, "previous word"), KeptHead(0, 0, ""))


def made(config=CONFIG, tokens=5, heads=HEADS):
    rng = np.random.default_rng(0)
    limits = {"tokens": config.vocab_size, "lens": config.vocab_size, "ranks": 9, "experts": config.num_experts,
              "sinks": FULL + 1, "maps": FULL + 1}
    arrays = {name: (rng.random(shape) if kind is np.float16 else rng.integers(1, limits[name], shape)).astype(kind)
              for name, (kind, shape) in shapes(config, tokens, len(heads)).items()}
    return Replay(config, "a" * 64, (KeptText("one", heads, arrays), KeptText("two", heads, arrays)))


def changed(path, arrays=None, **metadata):
    """The same file with other arrays or another header: None for an array leaves it out."""
    with safe_open(path, "numpy") as file:
        kept = {name: file.get_tensor(name) for name in list(file.keys())} | (arrays or {})
        save_file({name: array for name, array in kept.items() if array is not None}, path, file.metadata() | metadata)
    return path


@pytest.fixture
def path(tmp_path):
    made().write(tmp_path / "recording.safetensors")
    return tmp_path / "recording.safetensors"


def test_what_is_written_comes_back(path):
    before, after = made(), read(path)
    assert (after.config, after.weights, after.fingerprint) == (before.config, before.weights, before.fingerprint)
    for mine, other in zip(before.texts, after.texts, strict=True):
        assert (mine.name, mine.heads, mine.tokens) == (other.name, other.heads, other.tokens)
        assert all(np.array_equal(array, other.arrays[name]) for name, array in mine.arrays.items())
    assert after.texts[0].shares("maps").max() <= 1 and after.texts[0].shares("shares").dtype == np.float32


@pytest.mark.parametrize(("experts", "kind"), [(65_536, np.uint16), (65_537, np.uint32)])
def test_every_expert_has_a_number(tmp_path, experts, kind):
    written = made(dataclasses.replace(CONFIG, num_experts=experts))
    for text in written.texts:
        text.arrays["experts"][0, 0, 0] = experts - 1
    written.write(tmp_path / "file")
    kept = read(tmp_path / "file").texts[0].arrays["experts"]
    assert kept.dtype == kind and kept.max() == experts - 1


@pytest.mark.parametrize("name, array", [
    ("0.experts", np.full((2, 5, 2), 4, np.uint16)), ("0.tokens", np.full(5, 300, np.uint32)),
    ("0.lens", np.full((3, 5, 3), 300, np.uint32)), ("1.ranks", np.zeros((3, 5), np.uint32)),
    ("0.shares", np.full((2, 5, 2), np.nan, np.float16)), ("0.shares", np.full((2, 5, 2), 1.5, np.float16)),
    ("0.sinks", np.zeros((2, 4, 6), np.uint8)), ("0.maps", np.zeros((2, 5, 5), np.float32)), ("0.maps", None),
    ("0.more", np.zeros(1, np.uint8)), ("2.tokens", np.zeros(1, np.uint32)), ("0.tokens", np.zeros(0, np.uint32))])
def test_an_array_that_the_model_cannot_have_is_refused(path, name, array):
    with pytest.raises(ReplayError):
        read(changed(path, {name: array}))


def test_a_number_that_it_could_have_breaks_the_checksum(path):
    with pytest.raises(ReplayError, match="checksum"):
        read(changed(path, {"0.sinks": np.zeros((2, 4, 5), np.uint8)}))


@pytest.mark.parametrize("change", [
    {"config": {"num_hidden_layers": -1}}, {"config": {"unknown": 1}}, {"weights": "short"}, {"texts": []}, {"texts": 3},
    {"texts": [{"name": "<b>" * 40, "heads": []}] * 2}, {"texts": [{"name": "a\nb", "heads": []}] * 2},
    {"texts": [{"name": "a", "heads": []}] * 2}, {"texts": [{"name": "a", "heads": [[2, 0, ""]]}] * 2},
    {"texts": [{"name": "a", "heads": [[0, 0]]}] * 2}])
def test_a_header_that_says_the_impossible_is_refused(path, change):
    about = strict_json.read(made().about)
    about = about | change | ({"config": about["config"] | change["config"]} if "config" in change else {})
    with pytest.raises(ReplayError):
        read(changed(path, about=strict_json.write(about)))


@pytest.mark.parametrize("words", [{"format": "another"}, {"about": "[" * 10_000}, {"about": "NaN"}, {"sha256": ""}])
def test_another_header_is_refused(path, words):
    with pytest.raises(ReplayError):
        read(changed(path, **words))


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"\xff" * 64, b"PK\x03\x04" + bytes(60)])
def test_what_is_no_recording_is_refused(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ReplayError):
        read(tmp_path / "file")


def test_a_text_without_a_head_is_refused(tmp_path):
    """A page that shows one head of those that were kept would have none to show."""
    made(heads=()).write(tmp_path / "file")
    with pytest.raises(ReplayError, match="heads"):
        read(tmp_path / "file")


def test_a_header_of_a_great_many_names_is_not_parsed(tmp_path):
    entry = '"name-%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    header = ("{" + ",".join(entry % number for number in range(100_000)) + "}").encode()
    (tmp_path / "file").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ReplayError, match="header"):
        read(tmp_path / "file")


def test_only_a_file_of_bounded_size_is_opened(path, tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")  # nobody writes into it: whoever opens it waits for ever
    for other in (tmp_path, tmp_path / "pipe", tmp_path / "missing"):
        with pytest.raises(ReplayError, match="no file"):
            read(other)
    monkeypatch.setattr(replay, "MAX_BYTES", path.stat().st_size - 1)
    with pytest.raises(ReplayError, match="bytes"):
        read(path)
