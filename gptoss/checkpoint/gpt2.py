"""Hugging Face's layout of GPT-2 (`GPT2LMHeadModel`): the checkpoint's names, and those of our state dict.

Its linear layers are stored transposed (in, out), as `Conv1D`; its names may or may not begin with `transformer.`; and some
files also hold the causal masks and the tied head, which are no weights of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from gptoss.checkpoint.config_file import CONFIG_NAME, read_json
from gptoss.checkpoint.errors import CheckpointError
from gptoss.checkpoint.reader import read_headers
from gptoss.config import GPT2Config

_FIELDS = {"num_hidden_layers": "n_layer", "num_attention_heads": "n_head", "hidden_size": "n_embd",
           "vocab_size": "vocab_size", "max_context_length": "n_positions"}
# Settings that would change the architecture, and the only value each may have.
_FIXED = {"model_type": "gpt2", "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "n_inner": None,
          "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "tie_word_embeddings": True}
_NO_WEIGHTS = re.compile(r"(h\.\d+\.attn\.(masked_)?bias|lm_head\.weight)$")

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
    if not directory.is_dir():
        raise CheckpointError(f"{directory} is not a directory")
    config = _read_config(directory / CONFIG_NAME)
    headers = {name.removeprefix("transformer."): (name, header) for name, header in read_headers(directory).items()
               if not _NO_WEIGHTS.search(name)}
    names = gpt2_names(config)
    for ours, (theirs, shape) in names.items():
        if theirs not in headers:
            raise CheckpointError(f"{directory}: the tensor {theirs} {shape} is missing from its .safetensors files")
        header = headers[theirs][1]
        if header.shape != shape:
            raise CheckpointError(f"{header.path}: {theirs} has shape {header.shape}, expected {shape} for {ours}")
    for theirs in headers.keys() - {theirs for theirs, _ in names.values()}:
        raise CheckpointError(f"{headers[theirs][1].path}: {theirs} is surplus, the model of {CONFIG_NAME} has no such "
                              "tensor")
    return config, _tensors(names, headers, dtype, device)


def save_gpt2(directory: str | Path, config: GPT2Config, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write `config.json` and one `.safetensors` file that `read_gpt2` and transformers read, in place of those there.

    `tensors` maps every name of our state dict to its tensor; each keeps its dtype. Raises `CheckpointError`, before
    anything is written, for missing and wrongly shaped ones.
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
    save_file(stored, directory / "model.safetensors", metadata={"format": "pt"})
    settings = {theirs: getattr(config, ours) for ours, theirs in _FIELDS.items()} | _FIXED
    (directory / CONFIG_NAME).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


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
    settings = read_json(path)
    if not isinstance(settings, dict):
        raise CheckpointError(f"{path} holds a JSON {type(settings).__name__}, where settings by name belong")
    for name, wanted in _FIXED.items():
        if settings.get(name, wanted) != wanted:
            raise CheckpointError(f"{path}: {name}={settings[name]!r}, but this is GPT-2 with {name}={wanted!r}")
    try:
        return GPT2Config(**{ours: settings[theirs] for ours, theirs in _FIELDS.items() if theirs in settings})
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


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
            yield ours, (tensor.T if transposed else tensor).to(device, precision).contiguous()
