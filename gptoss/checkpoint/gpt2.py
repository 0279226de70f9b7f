"""Hugging Face's layout of GPT-2 (`GPT2LMHeadModel`): the checkpoint's names, and those of our state dict.

Its linear layers are stored transposed (in, out), as `Conv1D`; its names may or may not begin with `transformer.`; and some
files also hold the causal masks and the tied head, which are no weights of their own: they are compared with what our
model computes with in their place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from gptoss.checkpoint.config_file import CONFIG_NAME, is_there, read_json_object
from gptoss.checkpoint.errors import CheckpointError, quoted
from gptoss.checkpoint.files import replace_files, write_text
from gptoss.checkpoint.reader import Header, read_headers, require_finite, require_float
from gptoss.config import MAX_COUNT, GPT2Config

_FIELDS = {"num_hidden_layers": "n_layer", "num_attention_heads": "n_head", "hidden_size": "n_embd",
           "vocab_size": "vocab_size", "max_context_length": "n_positions"}
# What transformers takes for the same setting, and believes where a file has both.
_OTHER_NAMES = {"num_hidden_layers": "num_hidden_layers", "num_attention_heads": "num_attention_heads",
                "hidden_size": "hidden_size", "max_context_length": "max_position_embeddings"}
# Settings that would change the architecture, and the only value each may have.
_FIXED = {"model_type": "gpt2", "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "n_inner": None,
          "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "tie_word_embeddings": True,
          "add_cross_attention": False}
_SAME_ACTIVATION = "gelu_pytorch_tanh"  # the same function under another name
_HEAD = "lm_head.weight"
_MASK = re.compile(r"h\.\d+\.attn\.bias")           # (1, 1, positions, positions): 1 where a query may look
_MASKED_SCORE = re.compile(r"h\.\d+\.attn\.masked_bias")  # the score of a key that it may not look at
_MASK_ENTRIES = 1 << 22  # that are looked at together
_MASKED = -1e4  # the weakest of those in the wild: in float32 its exponential is 0

# Our names of one block's parts, and theirs; `weight` of a norm is called scale here.
_OF_A_BLOCK = {"attn.norm.scale": "ln_1.weight", "attn.norm.bias": "ln_1.bias",
               "attn.qkv.weight": "attn.c_attn.weight", "attn.qkv.bias": "attn.c_attn.bias",
               "attn.out.weight": "attn.c_proj.weight", "attn.out.bias": "attn.c_proj.bias",
               "mlp.norm.scale": "ln_2.weight", "mlp.norm.bias": "ln_2.bias",
               "mlp.mlp1.weight": "mlp.c_fc.weight", "mlp.mlp1.bias": "mlp.c_fc.bias",
               "mlp.mlp2.weight": "mlp.c_proj.weight", "mlp.mlp2.bias": "mlp.c_proj.bias"}


def read_gpt2(directory: str | Path, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu",
              ) -> tuple[GPT2Config, Iterator[tuple[str, torch.Tensor]]]:
    """The configuration of a checkpoint, and every `(name, tensor)` of our state dict, read one at a time.

    Norms come in float32, all else in `dtype`. Raises `CheckpointError` naming file and tensor for settings that GPT-2
    does not have and for missing, surplus or wrongly shaped tensors.
    """
    directory = Path(directory)
    if not is_there(directory, Path.is_dir):
        raise CheckpointError(f"{directory} is not a directory")
    config = _read_config(directory / CONFIG_NAME)
    headers = _without_prefix(read_headers(directory))
    if config.num_hidden_layers > len(headers):  # before a name is made up for each of them
        raise CheckpointError(f"{directory / CONFIG_NAME} says n_layer={config.num_hidden_layers}, but tensors are missing: "
                              f"the files hold {len(headers)}")
    names = gpt2_names(config)
    for ours, (theirs, shape) in names.items():
        if theirs not in headers:
            raise CheckpointError(f"{directory}: the tensor {theirs} {shape} is missing from its .safetensors files")
        header = headers[theirs][1]
        require_float(theirs, header)
        if header.shape != shape:
            raise CheckpointError(f"{header.path}: {theirs} has shape {header.shape}, expected {shape} for {ours}")
    for theirs in headers.keys() - {theirs for theirs, _ in names.values()}:
        _require_no_weight(theirs, headers, config)
    return config, _tensors(names, headers, dtype, device)


def save_gpt2(directory: str | Path, config: GPT2Config, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write `config.json` and one `.safetensors` file that `read_gpt2` and transformers read, in place of those there.

    Each appears whole or not at all. `tensors` maps every name of our state dict to its tensor; each keeps its dtype. Raises
    `CheckpointError`, before anything is written, for missing and wrongly shaped ones.
    """
    directory = Path(directory)
    for ours, (theirs, shape) in gpt2_names(config).items():
        wanted = shape[::-1] if len(shape) == 2 and theirs.startswith("h.") else shape
        if ours not in tensors or tuple(tensors[ours].shape) != wanted:
            shown = tuple(tensors[ours].shape) if ours in tensors else "nothing"
            raise CheckpointError(f"{directory}: {ours} is {shown}, expected {wanted}")
    directory.mkdir(parents=True, exist_ok=True)
    stored = {theirs: (tensors[ours].T if len(shape) == 2 and theirs.startswith("h.") else tensors[ours]).contiguous()
              for ours, (theirs, shape) in gpt2_names(config).items()}
    settings = {theirs: getattr(config, ours) for ours, theirs in _FIELDS.items()} | _FIXED
    replace_files(directory, {
        "model.safetensors": lambda path: save_file(stored, path, metadata={"format": "pt"}),
        CONFIG_NAME: partial(write_text, json.dumps(settings, indent=2) + "\n")})


def gpt2_names(config: GPT2Config) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Our name of every tensor -> its name in the checkpoint without a prefix, and its shape there."""
    width = config.hidden_size
    shapes = {"c_attn.weight": (width, 3 * width), "c_attn.bias": (3 * width,), "attn.c_proj.weight": (width, width),
              "c_fc.weight": (width, 4 * width), "c_fc.bias": (4 * width,), "mlp.c_proj.weight": (4 * width, width)}

    def shape_of(theirs: str) -> tuple[int, ...]:
        return next((shape for ending, shape in shapes.items() if theirs.endswith(ending)), (width,))

    blocks = {f"block.{n}.{ours}": (f"h.{n}.{theirs}", shape_of(theirs))
              for n in range(config.num_hidden_layers) for ours, theirs in _OF_A_BLOCK.items()}
    return {"embedding.weight": ("wte.weight", (config.vocab_size, width)),
            "position.weight": ("wpe.weight", (config.max_context_length, width)), **blocks,
            "norm.scale": ("ln_f.weight", (width,)), "norm.bias": ("ln_f.bias", (width,))}


def _read_config(path: Path) -> GPT2Config:
    settings = read_json_object(path)
    try:
        config = GPT2Config(**{ours: settings[name] for names in (_FIELDS, _OTHER_NAMES) for ours, name in names.items()
                               if name in settings})
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    defaults = {"activation_function": _SAME_ACTIVATION, "n_inner": config.intermediate_size}  # said in other words
    for name, wanted in _FIXED.items():
        if settings.get(name, wanted) not in (wanted, defaults.get(name, wanted)):
            raise CheckpointError(f"{path}: {name}={quoted(settings[name])}, but this is GPT-2 with {name}={wanted!r}")
    return config


def _without_prefix(headers: dict[str, Header]) -> dict[str, tuple[str, Header]]:
    """Name without `transformer.` -> stored name and header."""
    found: dict[str, tuple[str, Header]] = {}
    for stored, header in headers.items():
        name = stored.removeprefix("transformer.")
        if name in found:
            raise CheckpointError(f"{header.path}: {stored} is also stored as {found[name][0]}")
        found[name] = stored, header
    return found


def _require_no_weight(theirs: str, headers: dict[str, tuple[str, Header]], config: GPT2Config) -> None:
    """Refuse a tensor that the model has no place for, unless it says only what the model does anyway."""
    stored, header = headers[theirs]
    if theirs == _HEAD:
        if not _equal(headers[theirs], headers["wte.weight"]):
            raise CheckpointError(f"{header.path}: {stored} differs from wte.weight, but GPT-2's head is its embedding")
    elif _MASK.fullmatch(theirs) and _layer_of(theirs) < config.num_hidden_layers:
        positions = config.max_context_length
        if header.shape != (1, 1, positions, positions) or not _is_causal(_load(stored, header)[0, 0]):
            raise CheckpointError(f"{header.path}: {stored} is not the causal mask of {positions} positions")
    elif _MASKED_SCORE.fullmatch(theirs) and _layer_of(theirs) < config.num_hidden_layers:
        require_float(stored, header)
        if header.shape not in ((), (1,)) or not _load(stored, header).item() <= _MASKED:
            raise CheckpointError(f"{header.path}: {stored} is not one number of {_MASKED:g} or less")
    else:
        raise CheckpointError(f"{header.path}: {theirs} is surplus, the model of {CONFIG_NAME} has no such tensor")


def _is_causal(mask: torch.Tensor) -> bool:
    """Whether a mask (positions, positions) lets every query see what came before, looked at a few rows at a time."""
    place, rows = torch.arange(len(mask)), max(1, _MASK_ENTRIES // len(mask))
    return all(torch.equal(part.bool(), place <= query[:, None])
               for part, query in zip(mask.split(rows), place.split(rows), strict=True))


def _layer_of(theirs: str) -> int:
    """The layer in `h.3.attn.bias`; of one with too many digits for a number, one that no model has."""
    digits = theirs.split(".")[1]
    return int(digits) if len(digits) < 10 else MAX_COUNT


def _equal(one: tuple[str, Header], other: tuple[str, Header]) -> bool:
    return one[1].shape == other[1].shape and torch.equal(_load(*one), _load(*other))


def _load(stored: str, header: Header) -> torch.Tensor:
    with safe_open(header.path, framework="pt") as file:
        return file.get_tensor(stored)


def _tensors(names: dict, headers: dict, dtype: torch.dtype,
             device: torch.device | str) -> Iterator[tuple[str, torch.Tensor]]:
    with ExitStack() as files:
        opened = {path: files.enter_context(safe_open(path, framework="pt"))
                  for path in sorted({header.path for _, header in headers.values()})}
        for ours, (theirs, shape) in names.items():
            stored, header = headers[theirs]
            tensor = opened[header.path].get_tensor(stored)
            transposed = len(shape) == 2 and theirs.startswith("h.")
            precision = torch.float32 if ".norm." in f".{ours}" else dtype
            tensor = (tensor.T if transposed else tensor).to(device, precision).contiguous()
            require_finite(f"{header.path}: {stored}", tensor)
            yield ours, tensor
