"""What a model did on the texts that ship, in one file of a few MB, to be replayed where the model itself has no room.

`python -m gptoss.record` writes it. The file is safetensors: numbers and one JSON text, never code. Whoever reads it gets
what was written or a `ReplayError`: sizes are bounded before anything is read, a checksum covers everything, and every
array has the shape and the values that the model's configuration allows.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from gptoss import strict_json
from gptoss.checkpoint.files import replace_files
from gptoss.config import ModelConfig

FORMAT = "gptoss recording 1"
MAX_BYTES = 32 << 20  # of a file; gpt-oss-120b's takes a third
MAX_TEXTS, MAX_TOKENS, MAX_HEADS, MAX_WORDS = 64, 512, 64, 60  # of a file, of a text, of a text, letters of a name
MAX_HEADER = 2 << 20  # bytes of a file's header, which is parsed as a whole
LENS = 3  # likeliest tokens that the logit lens keeps
FULL = 255  # what a whole share is, of those kept in a byte


class ReplayError(ValueError):
    """A file is no recording that could be replayed."""


@dataclass(frozen=True)
class KeptHead:
    """A head whose map was kept, and the habit that it showed on the text, or nothing."""

    layer: int
    head: int
    name: str


@dataclass(frozen=True, eq=False)
class KeptText:
    """What the model did on one text of `tokens` tokens.

    Attributes:
        name: of the text, as in `gptoss.tokenizer.sample`.
        heads: those whose attention was kept.
        arrays: by name, as `shapes` says.
    """

    name: str
    heads: tuple[KeptHead, ...]
    arrays: Mapping[str, np.ndarray]

    @property
    def tokens(self) -> list[int]:
        return self.arrays["tokens"].tolist()

    def shares(self, name: str) -> np.ndarray:
        """`sinks` or `maps`, or one of the arrays in float16, as shares from 0 to 1: float32."""
        array = self.arrays[name]
        return array.astype(np.float32) / (FULL if array.dtype == np.uint8 else 1)


@dataclass(frozen=True, eq=False)
class Replay:
    """The model's configuration, the SHA-256 of its weights' files, and what it did.

    `fingerprint` is the SHA-256 of all of it, which the file carries too.
    """

    config: ModelConfig
    weights: str
    texts: tuple[KeptText, ...]

    @property
    def about(self) -> str:
        """What the file's JSON text says."""
        return strict_json.write({
            "config": dataclasses.asdict(self.config), "weights": self.weights,
            "texts": [{"name": text.name, "heads": [dataclasses.astuple(head) for head in text.heads]}
                      for text in self.texts]}, sort_keys=True)

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.about.encode())
        for name, array in self._arrays():
            digest.update(name.encode() + array.tobytes())
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        """Write the file whole, or leave what is there. Raises `OSError` or `SafetensorError`."""
        about = {"format": FORMAT, "about": self.about, "sha256": self.fingerprint}
        replace_files(path.parent, {path.name: partial(save_file, dict(self._arrays()), metadata=about)})

    def _arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        for number, text in enumerate(self.texts):
            for name in sorted(text.arrays):
                yield f"{number}.{name}", np.ascontiguousarray(text.arrays[name])


def shapes(config: ModelConfig, tokens: int, heads: int) -> dict[str, tuple[type, tuple[int, ...]]]:
    """What is kept of a text: by name, the kind of number and the shape.

    `experts` and `shares` are the router's choice and its weights; `sinks` is what each head's sink took, and `maps` the
    attention of the heads that were kept, both in 255ths; `lens` and `lens_shares` are the likeliest next tokens after the
    embedding and after every layer, `answer_shares` and `ranks` those of what the model says in the end.
    """
    layers, stages = config.num_hidden_layers, config.num_hidden_layers + 1
    named = np.uint16 if config.num_experts <= 1 << 16 else np.uint32
    routes, answers = (layers, tokens, config.experts_per_token), (stages, tokens, min(LENS, config.vocab_size))
    return {"tokens": (np.uint32, (tokens,)), "experts": (named, routes), "shares": (np.float16, routes),
            "sinks": (np.uint8, (layers, config.num_attention_heads, tokens)),
            "maps": (np.uint8, (heads, tokens, tokens)), "lens": (np.uint32, answers), "lens_shares": (np.float16, answers),
            "answer_shares": (np.float16, (stages, tokens)), "ranks": (np.uint32, (stages, tokens))}


def read(path: Path) -> Replay:
    """The recording in a file. Raises `ReplayError` where there is none, or where anything in it is not as it has to be."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            raise ReplayError(f"no file of at most {MAX_BYTES:,} bytes")
        with path.open("rb") as file:
            _require(int.from_bytes(file.read(8), "little") <= MAX_HEADER, "a header beyond any recording's")
        with safe_open(path, "numpy") as file:
            about = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in list(file.keys())}
        if about.get("format") != FORMAT:
            raise ReplayError(f"no {FORMAT}")
        replay = _made_of(strict_json.read(about["about"]), arrays)
    except ReplayError:
        raise
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ReplayError(f"no recording: {error}") from error
    if replay.fingerprint != about.get("sha256"):
        raise ReplayError("the checksum is not that of the content")
    return replay


def _made_of(about: dict, arrays: Mapping[str, np.ndarray]) -> Replay:
    config, texts = ModelConfig(**about["config"]), about["texts"]
    _require(isinstance(about["weights"], str) and len(about["weights"]) == 64, "weights without a SHA-256")
    _require(isinstance(texts, list) and 0 < len(texts) <= MAX_TEXTS, "too few or too many texts")
    own = [{name.partition(".")[2]: array for name, array in arrays.items() if name.startswith(f"{number}.")}
           for number in range(len(texts))]
    _require(sum(map(len, own)) == len(arrays), "arrays of no text")
    return Replay(config, about["weights"], tuple(
        _text_of(config, one, kept) for one, kept in zip(texts, own, strict=True)))


def _text_of(config: ModelConfig, about: dict, arrays: dict[str, np.ndarray]) -> KeptText:
    heads = tuple(KeptHead(*one) for one in about["heads"])
    _require(0 < len(heads) <= MAX_HEADS and all(_is_head(config, one) for one in heads), "heads that the model has not")
    _require(_is_name(about["name"]), "a text without a name")
    tokens = len(arrays["tokens"])
    _require(0 < tokens <= MAX_TOKENS, "a text too short or too long")
    for name, (kind, shape) in shapes(config, tokens, len(heads)).items():
        _require(arrays[name].dtype == kind and arrays[name].shape == shape, f"{name} of another kind or shape")
        if kind == np.float16:
            _require(bool(((arrays[name] >= 0) & (arrays[name] <= 1)).all()), f"{name} that are no shares")
    _require(len(arrays) == len(shapes(config, tokens, len(heads))), "an array too many")
    below = {"tokens": config.vocab_size, "lens": config.vocab_size, "ranks": config.vocab_size + 1,
             "experts": config.num_experts}
    _require(all(arrays[name].max() < limit for name, limit in below.items()) and arrays["ranks"].min() > 0,
             "numbers beyond the model's")
    return KeptText(about["name"], heads, arrays)


def _is_head(config: ModelConfig, one: KeptHead) -> bool:
    return (type(one.layer) is type(one.head) is int and 0 <= one.layer < config.num_hidden_layers
            and 0 <= one.head < config.num_attention_heads and (one.name == "" or _is_name(one.name)))


def _is_name(words: object) -> bool:
    return isinstance(words, str) and 0 < len(words) <= MAX_WORDS and words.isprintable()


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ReplayError(otherwise)
