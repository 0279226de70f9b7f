"""Reading a checkpoint, one tensor at a time, in the names of the model's state dict."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from gptoss.checkpoint.config_file import CONFIG_NAME, is_there, read_config, read_json, require_own_file
from gptoss.checkpoint.errors import CheckpointError, quoted
from gptoss.checkpoint.layouts import (
    Shape,
    Stored,
    expected_tensors,
    is_expert_weight,
    is_norm_scale,
    packed_names,
    stored_as,
)
from gptoss.checkpoint.mxfp4 import BLOCK_SIZE, LARGEST_SCALE, dequantise

INDEX_NAME = "model.safetensors.index.json"

# Safetensors' names of the dtypes that weights may have.
_SPELT = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_MAX_HEADER_BYTES = 4 << 20  # twenty-five times the header of the largest published shard
_LONGEST_NAME = 255  # bytes of a file's name on the usual file systems
_CHUNK_BYTES = 16 << 20  # rows of a large tensor are read and cast this many bytes at a time


class Reader:
    """A GPT-OSS checkpoint on disk, in OpenAI's or Hugging Face's layout, checked and ready to be read.

    Opening it reads `config.json` and the headers of the `.safetensors` files, no weights, and raises one
    `CheckpointError` naming file and tensor for anything that cannot become a whole model: unknown layouts or
    settings, missing, surplus, doubled or wrongly shaped tensors, wrong dtypes, truncated files, links that lead
    elsewhere, headers without bound. Pickles (`.bin`, `.pt`) are refused, since loading one runs the code inside it.

    Attributes: `directory`; `config`, the `ModelConfig`; `layout`, "openai" or "huggingface"; `packed`, the names of
    the expert weights stored as MXFP4; `shapes`, name to shape of every tensor that `tensors` yields, in its order.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        if not is_there(self.directory, Path.is_dir):
            raise CheckpointError(f"{self.directory} is not a directory")
        self.config, self.layout = read_config(self.directory / CONFIG_NAME)
        self._headers = read_headers(self.directory)
        self._check_layout()
        self.shapes = expected_tensors(self.config)
        self.packed = frozenset(name for name in self.shapes if is_expert_weight(name)
                                and any(half in self._headers for half in packed_names(name, self.layout)))
        self._stored = {name: self._stored_as(name) for name in self.shapes}
        self._check_tensors()

    def tensors(self, dtype: torch.dtype = torch.bfloat16, device: torch.device | str = "cpu", packed: bool = False,
                ) -> Iterator[tuple[str, torch.Tensor]]:
        """Every `(name, tensor)` of the model's state dict, one at a time, in `dtype` on `device`.

        Norm scales come in float32, as the model keeps them. MXFP4 is dequantised, Hugging Face's q, k and v are
        fused and its transposed experts turned back. Each tensor has its own memory; beyond it and what the caller
        keeps, a large tensor costs one expert or 16 MiB of rows at a time.

        `packed` is for a model that keeps MXFP4: an expert weight comes as the two tensors that it is stored in, called
        as in OpenAI's layout. Whatever is stored as the model wants it is then a view of the file, mapped into memory: on
        the CPU nothing of it is read before it is used, and the file must not change while a tensor lives. The others
        are Hugging Face's q, k and v, and whatever has another dtype.

        Raises `CheckpointError` where `packed` is asked for and an expert weight is not stored as MXFP4, and where a weight
        is NaN or infinite in `dtype`; what is only mapped is not looked at, `require_finite` does that.
        """
        if packed:
            self._require_packed()
        return self._tensors(dtype, device, packed)

    def resident_bytes(self, dtype: torch.dtype = torch.bfloat16, packed: bool = False) -> int:
        """Memory that `tensors` takes on the CPU with the same arguments, without what is only mapped from the files."""
        return sum(math.prod(shape) * _wanted(name, dtype).itemsize for name, shape in self.shapes.items()
                   if not (packed and (name in self.packed or self._lies_ready(name, _wanted(name, dtype)))))

    def _tensors(self, dtype: torch.dtype, device: torch.device | str, packed: bool) -> Iterator[tuple[str, torch.Tensor]]:
        with ExitStack() as files:
            opened = {path: files.enter_context(safe_open(path, framework="pt"))
                      for path in sorted({header.path for header in self._headers.values()})}
            for name in self.shapes:
                # No local name for a tensor: while the next one is read, only the caller may hold this one.
                if packed and name in self.packed:
                    for half, (part, _) in zip(packed_names(name, "openai"), self._stored[name].parts, strict=True):
                        yield half, self._mapped(part, opened).to(device)
                    continue
                wanted = _wanted(name, dtype)
                if packed and self._lies_ready(name, wanted):
                    yield name, self._mapped(self._stored[name].parts[0][0], opened).to(device)
                else:
                    yield name, self._read(name, opened, wanted, device)

    def _require_packed(self) -> None:
        for name, shape in self.shapes.items():
            if is_expert_weight(name) and name not in self.packed:
                part, _ = self._stored[name].parts[0]
                raise CheckpointError(f"{self._headers[part].path}: {part} {shape} is not stored as MXFP4, so that it "
                                      f"cannot be kept packed")

    def _lies_ready(self, name: str, dtype: torch.dtype) -> bool:
        """Whether a tensor is stored as the one that the model wants."""
        stored = self._stored[name]
        return stored.form == "rows" and [self._headers[part].dtype for part, _ in stored.parts] == [_SPELT.get(dtype)]

    def _mapped(self, part: str, opened: dict[Path, safe_open]) -> torch.Tensor:
        """A stored tensor as a view of its file, which stays mapped for as long as the view lives."""
        return opened[self._headers[part].path].get_tensor(part)

    def _read(self, name: str, opened: dict[Path, safe_open], dtype: torch.dtype, device: torch.device | str,
              ) -> torch.Tensor:
        out = torch.empty(self.shapes[name], dtype=dtype, device=device)
        stored = self._stored[name]
        place = f"{self._headers[stored.parts[0][0]].path}: {name}"
        parts = [opened[self._headers[part].path].get_slice(part) for part, _ in stored.parts]
        if stored.form == "mxfp4":
            _fill_packed(place, out, *parts)
        elif stored.form == "transposed":
            _fill_transposed(place, out, *parts)
        else:
            for rows, part in zip(out.split([shape[0] for _, shape in stored.parts]), parts, strict=True):
                _fill_rows(place, rows, part)
        return out

    def _check_layout(self) -> None:
        """Config and tensor names must speak of the same layout, and the layers must be there to be named."""
        markers = {"openai": "embedding.weight", "huggingface": "model.embed_tokens.weight"}
        layouts = [layout for layout, marker in markers.items() if marker in self._headers]
        if not layouts:
            raise CheckpointError(f"{self.directory}: unknown layout, the .safetensors files hold neither "
                                  f"{' (OpenAI) nor '.join(markers.values())} (Hugging Face)")
        if self.layout not in layouts:
            raise CheckpointError(f"{self.directory / CONFIG_NAME} is in the layout {self.layout!r}, but the tensors "
                                  f"are named as in {layouts[0]!r}")
        if self.config.num_hidden_layers > len(self._headers):  # before a name is made up for each of them
            raise CheckpointError(f"{self.directory / CONFIG_NAME} says num_hidden_layers="
                                  f"{self.config.num_hidden_layers}, but the files hold {len(self._headers)} tensors")

    def _stored_as(self, name: str) -> Stored:
        shape = self.shapes[name]
        if name in self.packed and shape[-1] % BLOCK_SIZE:
            raise CheckpointError(f"{self.directory / CONFIG_NAME}: {name} {shape} is stored as MXFP4, but its last "
                                  f"dimension {shape[-1]} is not a multiple of {BLOCK_SIZE}")
        return stored_as(name, self.config, self.layout, shape, packed=name in self.packed)

    def _check_tensors(self) -> None:
        wanted = {part: (shape, stored.form) for stored in self._stored.values() for part, shape in stored.parts}
        for part, (shape, form) in wanted.items():
            header = self._headers.get(part)
            if header is None:
                raise CheckpointError(f"{self.directory}: the tensor {part} {shape} is missing from its .safetensors "
                                      f"files")
            if header.shape != shape:
                raise CheckpointError(f"{header.path}: {part} has shape {header.shape}, expected {shape}")
            if form != "mxfp4":
                require_float(part, header)
            elif header.dtype != "U8":
                raise CheckpointError(f"{header.path}: {part} has dtype {header.dtype}, expected U8")
        for part in self._headers.keys() - wanted.keys():
            raise CheckpointError(f"{self._headers[part].path}: {part} {self._headers[part].shape} is surplus, the "
                                  f"model of {CONFIG_NAME} has no such tensor")


@dataclass(frozen=True)
class Header:
    """One stored tensor as its file's header describes it; `dtype` is safetensors' name, such as "BF16"."""

    path: Path
    shape: Shape
    dtype: str


def require_float(name: str, header: Header) -> None:
    """Refuse a stored tensor that holds no floating-point numbers. Raises `CheckpointError`."""
    if header.dtype not in _SPELT.values():
        raise CheckpointError(f"{header.path}: {name} has dtype {header.dtype}, expected {' or '.join(_SPELT.values())}")


def require_finite(place: str, values: torch.Tensor) -> None:
    """Refuse weights of which one is NaN or infinite, and MXFP4 scales beyond its numbers; `place` is what to call them.

    A sink may be minus infinity: it then takes nothing, which is how a model without sinks is written. A MiB at a time, so
    that a tensor mapped from a file costs no memory of its own. Raises `CheckpointError`.
    """
    if values.dtype == torch.uint8 and not place.endswith("scales"):
        return  # every code of a block is a number
    for part in values.detach().flatten().split(1 << 20):
        if values.dtype == torch.uint8:
            good = part.amax() <= LARGEST_SCALE
        else:
            good = (part < torch.inf).all() if place.endswith("sinks") else part.isfinite().all()
        if not good:
            raise CheckpointError(f"{place} holds numbers that are NaN or infinite")


def read_headers(directory: Path) -> dict[str, Header]:
    """Every stored tensor of the checkpoint by name."""
    headers: dict[str, Header] = {}
    index = _read_index(directory)
    paths = sorted(directory.glob("*.safetensors")) if index is None else _shards_of(directory, index)
    if not paths:
        _refuse_without_safetensors(directory)
    for path in paths:
        require_own_file(path)
        _require_bounded_header(path)
        for name, header in _headers_of(path).items():
            if name in headers:
                raise CheckpointError(f"{path}: the tensor {name} is also in {headers[name].path.name}")
            headers[name] = header
    for name, file_name in (index or {}).items():
        if name not in headers or headers[name].path.name != file_name:
            raise CheckpointError(f"{directory / file_name} lacks the tensor {name}, which {INDEX_NAME} places there")
    return headers


def _read_index(directory: Path) -> dict[str, str] | None:
    """Which file each tensor is in, or None without an index."""
    path = directory / INDEX_NAME
    if not (path.exists() or path.is_symlink()):
        return None
    index = read_json(path)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places or not all(isinstance(place, str) for place in places.values()):
        raise CheckpointError(f"{path} has no weight_map from tensor names to file names")
    return places


def _shards_of(directory: Path, index: dict[str, str]) -> list[Path]:
    """The files that an index names. Raises where one is missing, pickled or lies outside of the directory."""
    for file_name in sorted(set(index.values())):
        if Path(file_name).name != file_name or not file_name.endswith(".safetensors") or (
                len(file_name.encode("utf-8", "replace")) > _LONGEST_NAME):
            raise CheckpointError(f"{directory / INDEX_NAME} names {quoted(file_name)}, which is no .safetensors file of "
                                  f"this directory")
        if not is_there(directory / file_name, Path.is_file):
            raise CheckpointError(f"{directory / file_name} is missing, though {INDEX_NAME} names it")
    if (directory / "model.safetensors").exists() and "model.safetensors" not in index.values():
        raise CheckpointError(f"{directory} holds two checkpoints: model.safetensors, and the files of {INDEX_NAME}")
    return [directory / file_name for file_name in sorted(set(index.values()))]


def _refuse_without_safetensors(directory: Path) -> None:
    pickles = sorted(path.name for path in directory.iterdir() if path.suffix in _PICKLES)
    if pickles:
        raise CheckpointError(f"{directory / pickles[0]} is a pickle; loading one runs the code inside it, so only "
                              f".safetensors files are read")
    raise CheckpointError(f"{directory} holds no .safetensors file")


def _require_bounded_header(path: Path) -> None:
    """The first eight bytes say how long the header is, which is parsed as a whole: nothing is read beyond a bound."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > min(_MAX_HEADER_BYTES, path.stat().st_size):
        raise CheckpointError(f"{path} is truncated or not a safetensors file: its header has {size:,} bytes, at most "
                              f"{_MAX_HEADER_BYTES:,} are read")


def _wanted(name: str, dtype: torch.dtype) -> torch.dtype:
    """The number type of a tensor in a model of `dtype`, whose norms stay in float32."""
    return torch.float32 if is_norm_scale(name) else dtype


def _headers_of(path: Path) -> dict[str, Header]:
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}
            return {name: Header(path, tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is truncated or not a safetensors file: {error}") from error
    except RuntimeError as error:  # torch maps no file that is larger than all memory
        raise CheckpointError(f"{path} cannot be mapped into memory: {error}") from error


def _fill_packed(place: str, out: torch.Tensor, blocks, scales) -> None:
    """Dequantises the safetensors slices of an MXFP4 tensor into `out` (experts, rows, columns)."""
    for expert in range(out.shape[0]):
        require_finite(f"{place}.scales", scales[expert])
        out[expert] = dequantise(blocks[expert].to(out.device), scales[expert].to(out.device), out.dtype)


def _fill_transposed(place: str, out: torch.Tensor, part) -> None:
    """Copies a safetensors slice (experts, columns, rows) into `out` (experts, rows, columns)."""
    for expert in range(out.shape[0]):
        out[expert] = part[expert].to(out.device).T
        require_finite(place, out[expert])


def _fill_rows(place: str, out: torch.Tensor, part) -> None:
    """Copies a safetensors slice into `out` of the same shape, a run of rows at a time."""
    rows = max(1, _CHUNK_BYTES // (out[0].numel() * out.element_size()))
    for start in range(0, out.shape[0], rows):
        out[start:start + rows] = part[start:start + rows].to(out.device)
        require_finite(place, out[start:start + rows])
