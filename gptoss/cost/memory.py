"""How many bytes the weights, the KV cache and a training step's state of a GPT-OSS model take."""

from __future__ import annotations

from gptoss.config import GPT2Config, ModelConfig
from gptoss.cost.checks import require_choice, require_count
from gptoss.cost.parameters import count_parameters
from gptoss.ladder import LadderConfig

BYTES_PER_VALUE = {"bf16": 2, "fp32": 4}
MXFP4_BLOCK_VALUES = 32
MXFP4_BLOCK_BYTES = 17  # 16 bytes of two 4-bit codes each, and one shared scale: 4.25 bits a value


def kv_cache_bytes(config: ModelConfig | GPT2Config | LadderConfig, context_length: int, batch_size: int = 1,
                   bytes_per_value: int = 2) -> int:
    """Bytes of the keys and values that `batch_size` sequences of `context_length` tokens keep.

    The default is bf16, two bytes a value. Raises `ValueError` as `kv_cache_bytes_per_layer` does.
    """
    return sum(kv_cache_bytes_per_layer(config, context_length, batch_size, bytes_per_value))


def kv_cache_bytes_per_layer(config: ModelConfig | GPT2Config | LadderConfig, context_length: int,
                             batch_size: int = 1, bytes_per_value: int = 2) -> list[int]:
    """The same for each layer: a sliding layer keeps the last `sliding_window` tokens, a full layer keeps them all.

    A token's share of a layer is a key and a value of `num_key_value_heads * head_dim` each. Raises `ValueError`
    for a negative `context_length`, or a `batch_size` or `bytes_per_value` below 1.
    """
    require_count("batch_size", batch_size, minimum=1)
    require_count("bytes_per_value", bytes_per_value, minimum=1)
    bytes_per_token = 2 * config.num_key_value_heads * config.head_dim * bytes_per_value
    return [batch_size * bytes_per_token * slots for slots in kv_slots(config, context_length)]


def kv_slots(config: ModelConfig | GPT2Config | LadderConfig, context_length: int) -> list[int]:
    """Tokens of one sequence whose keys and values each layer keeps. Raises `ValueError` for a negative length."""
    require_count("context_length", context_length, minimum=0)
    windows = (config.window_of(layer) for layer in range(config.num_hidden_layers))
    return [min(window or context_length, context_length) for window in windows]


def checkpoint_bytes(config: ModelConfig) -> int:
    """Bytes of all tensors in a checkpoint like OpenAI's: the experts' two weights in MXFP4, all the rest in bf16.

    Raises `ValueError` for a shape that MXFP4 cannot hold, as `weight_bytes` does.
    """
    return sum(weight_bytes(config).values())


def weight_bytes(config: ModelConfig, experts: str = "mxfp4", rest: str = "bf16",
                 norms: str | None = None) -> dict[str, int]:
    """Part -> bytes of its weights, with the parts of `ParameterCounts.by_part`.

    `experts` is the format of `mlp1_weight` and `mlp2_weight`: "mxfp4", "bf16" or "fp32". `rest` ("bf16" or "fp32")
    holds for all the others, the experts' biases included; `norms` differs from it where the scales are kept in
    another format, as in `gptoss.model`, which has them in "fp32" always.

    MXFP4 is the Open Compute Project's microscaling format: blocks of 32 values along the last dimension. Raises
    `ValueError` where that dimension, `hidden_size` or `intermediate_size`, is not a multiple of 32, and for
    an unknown format.
    """
    norms = rest if norms is None else norms
    require_choice("experts", experts, ("mxfp4", *BYTES_PER_VALUE))
    require_choice("rest", rest, BYTES_PER_VALUE)
    require_choice("norms", norms, BYTES_PER_VALUE)
    if experts == "mxfp4":
        _require_whole_blocks(config)
    formats = {"mlp1": experts, "mlp2": experts, "norms": norms}
    return {part: _bytes_of(values, formats.get(part, rest))
            for part, values in count_parameters(config).by_part.items()}


def training_memory(config: ModelConfig, precision: str = "mixed", gradients: str | None = None) -> dict[str, int]:
    """Part -> bytes that training with AdamW keeps between two steps and in a backward pass.

    Each part of `training_bytes_per_parameter` for every parameter. Activations are counted by
    `gptoss.cost.activations`. AdamW's step counter, one number a tensor, is not counted.
    """
    parameters = count_parameters(config).total
    return {part: parameters * size for part, size in training_bytes_per_parameter(precision, gradients).items()}


def training_bytes_per_parameter(precision: str = "mixed", gradients: str | None = None) -> dict[str, int]:
    """Part -> bytes that training with AdamW keeps of each parameter.

    "mixed" precision works on bf16 weights and updates an fp32 copy of them, the master weights: 2 + 4 bytes
    a parameter; "fp32" needs no copy: 4. Gradients have the working weights' format unless `gradients` says
    "bf16" or "fp32"; AdamW's two moments (the optimizer states) are fp32: 8. That makes 16 bytes a parameter
    (as in ZeRO, arXiv 1910.02054, "Model States"), or 18 where mixed precision accumulates gradients in fp32.

    Raises `ValueError` for an unknown `precision` or format of `gradients`.
    """
    require_choice("precision", precision, ("mixed", "fp32"))
    working = "bf16" if precision == "mixed" else "fp32"
    gradients = working if gradients is None else gradients
    require_choice("gradients", gradients, BYTES_PER_VALUE)
    return {
        "weights": BYTES_PER_VALUE[working],
        "master weights": BYTES_PER_VALUE["fp32"] if precision == "mixed" else 0,
        "gradients": BYTES_PER_VALUE[gradients],
        "optimizer states": 2 * BYTES_PER_VALUE["fp32"],
    }


def _bytes_of(values: int, number_format: str) -> int:
    if number_format == "mxfp4":
        return values // MXFP4_BLOCK_VALUES * MXFP4_BLOCK_BYTES
    return values * BYTES_PER_VALUE[number_format]


def _require_whole_blocks(config: ModelConfig) -> None:
    for name in ("hidden_size", "intermediate_size"):  # the last dimensions of mlp1_weight and mlp2_weight
        if getattr(config, name) % MXFP4_BLOCK_VALUES:
            raise ValueError(f"{name}={getattr(config, name)} is impossible in MXFP4; "
                             f"allowed: a multiple of {MXFP4_BLOCK_VALUES}, or experts in another format")
