"""`config.json` of both layouts: to and from `ModelConfig`.

OpenAI's file has the fields of `ModelConfig`. Hugging Face's (`GptOssConfig` in transformers) renames some and puts
RoPE in a dictionary. What our architecture has no setting for must have the value that GPT-OSS is defined with.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from gptoss import strict_json
from gptoss.checkpoint.errors import CheckpointError, quoted
from gptoss.config import ModelConfig

CONFIG_NAME = "config.json"
MAX_JSON_BYTES = 2 << 20  # the largest published index, of gpt-oss-120b, has a twenty-fifth of that

_FIELDS = tuple(field.name for field in dataclasses.fields(ModelConfig))
_HUGGINGFACE_FIELDS = {"num_experts": "num_local_experts", "experts_per_token": "num_experts_per_tok"} | {
    name: name for name in ("num_hidden_layers", "vocab_size", "hidden_size", "intermediate_size", "swiglu_limit",
                            "head_dim", "num_attention_heads", "num_key_value_heads")}

# Settings that would change the architecture, and the only value each may have.
_FIXED = {"model_type": "gpt_oss", "rms_norm_eps": 1e-5, "swiglu_alpha": 1.702, "attention_bias": True,
          "tie_word_embeddings": False, "partial_rotary_factor": 1.0}

_ROPE_KEYS = {"rope_type", "type", "rope_theta", "factor", "beta_fast", "beta_slow", "truncate", "attention_factor",
              "original_max_position_embeddings", "partial_rotary_factor"}

# The RoPE of the published models, which transformers fills in for a file that says nothing about it.
_PUBLISHED_ROPE = {"rope_type": "yarn", "factor": 32.0, "truncate": False, "original_max_position_embeddings": 4096}
_LONGEST = 131_072  # max_position_embeddings of a file that does not say

# What transformers leaves out of the quantisation: everything but the experts' weights.
_NOT_QUANTISED = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]


def read_config(path: Path) -> tuple[ModelConfig, str]:
    """The configuration in a `config.json` and the layout ("openai" or "huggingface") that it is written in.

    Absent keys have the defaults of both reference loaders, those of gpt-oss-120b; unknown keys are ignored unless
    they change the architecture. Raises `CheckpointError` that names the file and the setting.
    """
    settings = read_json_object(path)
    try:
        layout = _layout_of(settings)
        _require_fixed(settings)
        fields = _openai_fields(settings) if layout == "openai" else _huggingface_fields(settings)
        return ModelConfig(**fields), layout
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def to_json(config: ModelConfig, layout: str, mxfp4: bool = False, dtype: str = "bfloat16") -> str:
    """The text of a `config.json` for a checkpoint in this layout, with weights (but for MXFP4) in this dtype."""
    settings = _openai_settings(config) if layout == "openai" else _huggingface_settings(config, mxfp4, dtype)
    return json.dumps(settings, indent=2) + "\n"


def _openai_settings(config: ModelConfig) -> dict:
    """The fields, without the one that the reference lacks, unless it differs from the reference's fixed value."""
    settings = dataclasses.asdict(config)
    if config.window_every == ModelConfig.window_every:
        del settings["window_every"]
    return settings


def read_json(path: Path) -> object:
    """The content of a JSON file; `CheckpointError` where it is missing or not JSON."""
    require_own_file(path, MAX_JSON_BYTES)
    try:
        return strict_json.read(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error


def require_own_file(path: Path, max_bytes: int | None = None) -> None:
    """Refuse what is no regular file of its directory, or is larger than `max_bytes`, before anything of it is read.

    A link may lead to another file of the same directory, or to the store of blobs beside it that the Hugging Face hub's
    cache has; a link to anywhere else, a pipe or a device is no part of a checkpoint. Raises `CheckpointError`.
    """
    if not is_there(path, Path.is_file):
        if is_there(path, Path.exists) or path.is_symlink():
            raise CheckpointError(f"{path} is not a file")
        raise CheckpointError(f"{path.parent} holds no {path.name}, so the model's shape is unknown")
    home = path.parent.resolve()
    if path.resolve().parent not in (home, home.parents[1] / "blobs" if len(home.parents) > 1 else home):
        raise CheckpointError(f"{path} is a link that leads out of its directory")
    if max_bytes is not None and path.stat().st_size > max_bytes:
        raise CheckpointError(f"{path} has {path.stat().st_size:,} bytes; one of a checkpoint has at most {max_bytes:,}")


def is_there(path: Path, kind: Callable[[Path], bool]) -> bool:
    """`Path.is_file`, `Path.is_dir` or `Path.exists` of a path that may be anything. Raises `CheckpointError`."""
    try:
        return kind(path)
    except OSError as error:  # a name too long for the system, or a directory that may not be entered
        raise CheckpointError(f"{path} cannot be looked at: {error.strerror}") from None


def read_json_object(path: Path) -> dict:
    """The settings in a JSON file; `CheckpointError` where it holds something else."""
    settings = read_json(path)
    if not isinstance(settings, dict):
        raise CheckpointError(f"{path} holds a JSON {type(settings).__name__}, where settings by name belong")
    return settings


def _layout_of(settings: dict) -> str:
    # The published Hugging Face files also carry OpenAI's experts_per_token, so their own names are looked for first.
    if "num_local_experts" in settings or "num_experts_per_tok" in settings:
        return "huggingface"
    if "num_experts" in settings or "experts_per_token" in settings:
        return "openai"
    if settings.get("model_type") == "gpt_oss":
        return "huggingface"
    raise ValueError("neither OpenAI's layout (num_experts) nor Hugging Face's (model_type 'gpt_oss') of GPT-OSS")


def _require_fixed(settings: dict) -> None:
    for name, value in _FIXED.items():
        if settings.get(name) not in (None, value):
            _refuse(name, settings[name], f"{value!r}, which GPT-OSS is defined with")
    quantisation = settings.get("quantization_config") or {}
    if not isinstance(quantisation, dict) or quantisation.get("quant_method") not in (None, "mxfp4"):
        _refuse("quantization_config", quantisation, "none, or quant_method 'mxfp4'")


def _openai_fields(settings: dict) -> dict:
    return {name: settings[name] for name in _FIELDS if name in settings} | _window_fields(settings)


def _huggingface_fields(settings: dict) -> dict:
    fields = {name: settings[key] for name, key in _HUGGINGFACE_FIELDS.items() if key in settings}
    window = _window_fields(settings)
    slides = settings.get("layer_types") is None or "window_every" in window
    if settings.get("sliding_window") == 0 and slides:
        _refuse("sliding_window", 0, "1 or more, or layer_types that are all 'full_attention'")
    return fields | window | _rope_fields(settings)


def _window_fields(settings: dict) -> dict:
    """`sliding_window`, which is 0 where `layer_types` say that no layer slides."""
    window = {"sliding_window": settings["sliding_window"]} if "sliding_window" in settings else {}
    types = settings.get("layer_types")
    if types is None:
        return window
    layers = settings.get("num_hidden_layers", ModelConfig.num_hidden_layers)
    if not isinstance(types, list) or len(types) != layers:
        _refuse("layer_types", types, f"a list of num_hidden_layers={layers!r} types")
    if types == ["full_attention"] * len(types):
        return {"sliding_window": 0}
    sliding = [place for place, kind in enumerate(types) if kind == "sliding_attention"]
    # The second sliding layer tells the rhythm. Where there is none, a short stack fits several: the usual one comes first.
    every = sliding[1] if len(sliding) > 1 else max(len(types), ModelConfig.window_every)
    if types == _layer_types(len(types), every):
        return window | {"window_every": every}
    _refuse("layer_types", types, "'sliding_attention' for the first of every so many layers and 'full_attention' for the "
                                  "others, or 'full_attention' throughout; any other order is another architecture")


def _layer_types(layers: int, every: int) -> list[str]:
    return ["full_attention" if layer % every else "sliding_attention" for layer in range(layers)]


def _rope_fields(settings: dict) -> dict:
    """The RoPE and YaRN fields of `ModelConfig` from `rope_parameters` or the older `rope_scaling`."""
    rope = _rope_of(settings)
    theta = rope.get("rope_theta", settings.get("rope_theta", ModelConfig.rope_theta))
    rope_type = rope.get("rope_type", rope.get("type", "default"))
    if rope_type == "default":
        # Plain RoPE has no ramp, so that the trained context enters no rotation: any spelling of it will do.
        context = settings.get("initial_context_length", settings.get("max_position_embeddings"))
        known = {"initial_context_length": context} if context is not None else {}
        return {"rope_theta": theta, "rope_scaling_factor": 1.0} | known
    if rope_type != "yarn":
        _refuse("rope_type", rope_type, "'yarn' or 'default'")
    context = _trained_context(settings, rope)
    if "factor" not in rope:
        _refuse("factor", None, "a number of 1 or more, which YaRN needs")
    factor = rope["factor"]
    if factor is None:
        factor = _longest_context(settings) / _number("original_max_position_embeddings", context)
    return {"rope_theta": theta, "initial_context_length": context} | _yarn_fields(rope, _number("factor", factor))


def _trained_context(settings: dict, rope: dict) -> object:
    """The context that YaRN stretches, where transformers 5 looks for it: the top level, RoPE's dictionary, the longest.

    Transformers passes over OpenAI's `initial_context_length`. A file in which that one says something else was trained
    with one of the two, and nothing says which.
    """
    name = "original_max_position_embeddings"
    context = settings.get(name, rope.get(name, _longest_context(settings)))
    if settings.get("initial_context_length", context) != context:
        _refuse("initial_context_length", settings["initial_context_length"], f"{context!r}, the trained context by the "
                f"file's other settings ({name}, or max_position_embeddings without it), or no such key")
    return context


def _longest_context(settings: dict) -> float:
    return _number("max_position_embeddings", settings.get("max_position_embeddings", _LONGEST))


def _rope_of(settings: dict) -> dict:
    """RoPE's dictionary, `rope_scaling` before `rope_parameters` as in transformers, checked for unknown keys."""
    rope = settings.get("rope_scaling") or settings.get("rope_parameters")
    if rope is None:
        if "rope_scaling" in settings:
            _refuse("rope_scaling", settings["rope_scaling"], "an object such as {'rope_type': 'default'}: without one the "
                    "file says that there is no scaling, but transformers fills in the YaRN of the published models")
        return _PUBLISHED_ROPE
    if not isinstance(rope, dict):
        _refuse("rope_parameters", rope, "a JSON object")
    for key in sorted(rope.keys() - _ROPE_KEYS):
        _refuse(f"rope_parameters.{key}", rope[key], f"only {', '.join(sorted(_ROPE_KEYS))}")
    if rope.get("partial_rotary_factor") not in (None, 1.0):
        _refuse("partial_rotary_factor", rope["partial_rotary_factor"], "1.0, since GPT-OSS rotates whole heads")
    return rope


def _yarn_fields(rope: dict, factor: float) -> dict:
    if rope.get("truncate", True) is not False:
        _refuse("truncate", rope.get("truncate", "true by default"),
                "false: GPT-OSS does not round the ends of YaRN's ramp")
    attention_factor = rope.get("attention_factor")
    concentration = 0.1 * math.log(factor) + 1 if factor > 1 else 1.0
    if attention_factor is not None and not math.isclose(_number("attention_factor", attention_factor),
                                                         concentration, rel_tol=1e-6):
        _refuse("attention_factor", attention_factor, f"none or YaRN's own 0.1 ln(factor) + 1 = {concentration:.6f}")
    return {"rope_scaling_factor": factor, "rope_ntk_beta": rope.get("beta_fast") or ModelConfig.rope_ntk_beta,
            "rope_ntk_alpha": rope.get("beta_slow") or ModelConfig.rope_ntk_alpha}


def _huggingface_settings(config: ModelConfig, mxfp4: bool, dtype: str) -> dict:
    """What transformers reads, with RoPE in the older form, which its versions 4 and 5 both understand.

    Plain RoPE is written as YaRN with factor 1, the same rotation, so that the trained context and the ramp survive.
    """
    slides = config.sliding_window > 0
    settings = {"architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "dtype": dtype}
    settings |= {key: getattr(config, name) for name, key in _HUGGINGFACE_FIELDS.items()}
    settings |= {name: value for name, value in _FIXED.items() if name not in ("model_type", "partial_rotary_factor")}
    settings |= {
        "hidden_act": "silu",
        "max_position_embeddings": config.max_context_length,
        "initial_context_length": config.initial_context_length,
        # transformers builds the sliding mask even where no layer uses it, so it needs some width.
        "sliding_window": config.sliding_window if slides else config.max_context_length,
        "layer_types": _layer_types(config.num_hidden_layers, config.window_every) if slides
        else ["full_attention"] * config.num_hidden_layers,
        "rope_theta": float(config.rope_theta),
        "rope_scaling": {
            "rope_type": "yarn", "factor": float(config.rope_scaling_factor), "truncate": False,
            "beta_fast": float(config.rope_ntk_beta), "beta_slow": float(config.rope_ntk_alpha),
            "original_max_position_embeddings": config.initial_context_length},
    }
    if mxfp4:
        settings["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": _NOT_QUANTISED}
    return settings


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        _refuse(name, value, "a number above 0")
    return value


def _refuse(name: str, value: object, allowed: str) -> NoReturn:
    raise ValueError(f"{name}={quoted(value)} is not supported; allowed: {allowed}")
