"""Writing a checkpoint in either layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file

from gptoss.checkpoint.config_file import CONFIG_NAME, to_json
from gptoss.checkpoint.errors import CheckpointError
from gptoss.checkpoint.files import replace_files, write_text
from gptoss.checkpoint.layouts import (
    LAYOUTS,
    Shape,
    Stored,
    expected_tensors,
    is_expert_weight,
    packed_names,
    stored_as,
)
from gptoss.checkpoint.mxfp4 import BLOCK_SIZE, quantise
from gptoss.checkpoint.reader import INDEX_NAME
from gptoss.config import ModelConfig

_DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


@dataclass(frozen=True)
class _Unit:
    """Stored tensors that are made together: their names, bytes, and the function that makes them."""

    names: tuple[str, ...]
    size: int
    make: Callable[[], tuple[torch.Tensor, ...]]


def save(directory: str | Path, config: ModelConfig, tensors: Mapping[str, torch.Tensor], layout: str = "openai",
         mxfp4: bool = False, max_shard_bytes: int = 4 << 30, overwrite: bool = False) -> None:
    """Writes `config.json` and `.safetensors` files that `Reader`, OpenAI's loader or transformers can read.

    `tensors` maps every name of `expected_tensors(config)` to its tensor, like a model's state dict; each keeps
    its dtype, but with `mxfp4` the experts' two weights are quantised. Weights in MXFP4 already, as the blocks and
    scales of a packed model's state dict, are written as they are, and then all experts' weights are in MXFP4.
    `layout` is "openai" or "huggingface". Weights beyond `max_shard_bytes` are split over several files with an
    index; one shard at a time is in memory. A single MXFP4 tensor's blocks and scales, or a single tensor above
    the limit, stay together in one file.

    The directory is made if need be. One that already holds a checkpoint is refused, unless `overwrite`: then its
    `.safetensors` files, index and `config.json` are replaced, so that nothing stale is left. Every file appears
    whole or not at all, and `config.json` last, so that an interrupted save is no readable checkpoint.

    Raises `CheckpointError`, before anything is written, for missing, surplus or wrongly shaped tensors, for
    dtypes that are neither floating nor MXFP4's, for an unknown layout, and for MXFP4 where a size is not a
    multiple of 32. Weights that MXFP4 has no code for (NaN, infinite) raise it too, and leave the directory's
    files as they were.
    """
    directory = Path(directory)
    mxfp4 = mxfp4 or any(_comes_packed(tensors, name) for name in expected_tensors(config))
    _check(directory, config, tensors, layout, mxfp4, max_shard_bytes)
    stale = _checkpoint_files(directory)
    if stale and not overwrite:
        raise CheckpointError(f"{directory} already holds a checkpoint ({stale[0].name}); pass overwrite=True to "
                              f"replace it")
    directory.mkdir(parents=True, exist_ok=True)
    shards = _shards(list(_units(config, tensors, layout, mxfp4)), max_shard_bytes)
    dtype = str(tensors["embedding.weight"].dtype).removeprefix("torch.")
    writers = {name: partial(_write_shard, shard)
               for name, shard in zip(_shard_names(len(shards)), shards, strict=True)}
    if len(shards) > 1:
        writers[INDEX_NAME] = partial(write_text, _index(shards))
    writers[CONFIG_NAME] = partial(write_text, to_json(config, layout, mxfp4, dtype))
    replace_files(directory, writers, stale)


def _check(directory: Path, config: ModelConfig, tensors: Mapping[str, torch.Tensor], layout: str, mxfp4: bool,
           max_shard_bytes: int) -> None:
    if layout not in LAYOUTS:
        raise CheckpointError(f"layout={layout!r} is unknown; allowed: {', '.join(LAYOUTS)}")
    if max_shard_bytes < 1:
        raise CheckpointError(f"max_shard_bytes={max_shard_bytes} is impossible; allowed: 1 or more")
    if directory.exists() and not directory.is_dir():
        raise CheckpointError(f"{directory} is a file, where a directory belongs")
    expected: dict[str, tuple[Shape, tuple[torch.dtype, ...]]] = {}
    for name, shape in expected_tensors(config).items():
        if mxfp4 and is_expert_weight(name) and shape[-1] % BLOCK_SIZE:
            raise CheckpointError(f"{directory}: {name} {shape} cannot be MXFP4, its last dimension {shape[-1]} is not "
                                  f"a multiple of {BLOCK_SIZE}")
        if _comes_packed(tensors, name):
            halves = stored_as(name, config, "openai", shape, packed=True).parts
            expected |= {half: (half_shape, (torch.uint8,)) for half, half_shape in halves}
        else:
            expected[name] = shape, _DTYPES
    for name, (shape, dtypes) in expected.items():
        if name not in tensors:
            raise CheckpointError(f"{directory}: the tensor {name} {shape} is missing")
        if tuple(tensors[name].shape) != shape:
            raise CheckpointError(f"{directory}: {name} has shape {tuple(tensors[name].shape)}, expected {shape}")
        if tensors[name].dtype not in dtypes:
            kind = "a floating one" if dtypes == _DTYPES else "torch.uint8"
            raise CheckpointError(f"{directory}: {name} has dtype {tensors[name].dtype}, expected {kind}")
    for name in tensors.keys() - expected.keys():
        raise CheckpointError(f"{directory}: {name} is surplus, a model with this configuration has no such tensor")


def _comes_packed(tensors: Mapping[str, torch.Tensor], name: str) -> bool:
    """Whether a tensor of the state dict is an expert weight that comes as blocks and scales."""
    return is_expert_weight(name) and any(half in tensors for half in packed_names(name, "openai"))


def _checkpoint_files(directory: Path) -> list[Path]:
    """What an earlier checkpoint consists of, its config first: without that nothing takes the rest for a whole."""
    named = [path for path in (directory / CONFIG_NAME, directory / INDEX_NAME) if path.exists()]
    return named + sorted(directory.glob("*.safetensors"))


def _units(config: ModelConfig, tensors: Mapping[str, torch.Tensor], layout: str, mxfp4: bool) -> Iterator[_Unit]:
    for name, shape in expected_tensors(config).items():
        packed = mxfp4 and is_expert_weight(name)
        stored = stored_as(name, config, layout, shape, packed)
        width = 1 if packed else tensors[name].element_size()
        size = width * sum(torch.Size(part_shape).numel() for _, part_shape in stored.parts)
        yield _Unit(tuple(part for part, _ in stored.parts), size, _maker(tensors, name, stored))


def _maker(tensors: Mapping[str, torch.Tensor], name: str, stored: Stored) -> Callable[[], tuple[torch.Tensor, ...]]:
    """The function that turns a tensor of the state dict into its stored parts."""

    def make() -> tuple[torch.Tensor, ...]:
        if _comes_packed(tensors, name):
            return tuple(_own(tensors[half]) for half in packed_names(name, "openai"))
        tensor = tensors[name].detach()
        if stored.form == "mxfp4":
            return _quantise(name, tensor)
        if stored.form == "transposed":
            return (_own(tensor.transpose(-1, -2)),)
        return tuple(_own(rows) for rows in tensor.split([shape[0] for _, shape in stored.parts]))

    return make


def _quantise(name: str, tensor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    try:
        blocks, scales = quantise(tensor)
    except ValueError as error:
        raise CheckpointError(f"{name} cannot be MXFP4: {error}") from error
    return blocks.cpu(), scales.cpu()


def _own(tensor: torch.Tensor) -> torch.Tensor:
    """A contiguous copy on the CPU: safetensors takes no tensors that share memory, as tied weights would."""
    return torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor)


def _shards(units: list[_Unit], max_shard_bytes: int) -> list[list[_Unit]]:
    """The units in order, in runs of at most `max_shard_bytes`, or of one unit that is larger."""
    shards: list[list[_Unit]] = []
    room = 0
    for unit in units:
        if not shards or unit.size > room:
            shards.append([])
            room = max_shard_bytes
        shards[-1].append(unit)
        room -= unit.size
    return shards


def _shard_names(count: int) -> list[str]:
    if count == 1:
        return ["model.safetensors"]
    return [f"model-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1)]


def _index(shards: list[list[_Unit]]) -> str:
    places = {name: file_name for shard, file_name in zip(shards, _shard_names(len(shards)), strict=True)
              for unit in shard for name in unit.names}
    size = sum(unit.size for shard in shards for unit in shard)
    return json.dumps({"metadata": {"total_size": size}, "weight_map": places}, indent=2) + "\n"


def _write_shard(shard: list[_Unit], path: Path) -> None:
    stored = {name: tensor for unit in shard for name, tensor in zip(unit.names, unit.make(), strict=True)}
    save_file(stored, path, metadata={"format": "pt"})  # transformers asks for this mark
