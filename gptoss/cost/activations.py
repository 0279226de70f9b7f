"""What a training step keeps between its forward and its backward pass: activations, counted tensor by tensor.

The counts are those of `gptoss.model` as it is: each line names a tensor that autograd saves there. The tests compare
them with the saved tensors of real training steps, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gptoss.config import ModelConfig
from gptoss.cost.checks import require_choice, require_count
from gptoss.cost.memory import BYTES_PER_VALUE

WRITTEN_OUT, MASKED_KERNEL, KERNEL = ATTENTIONS = ("written out", "kernel with a mask", "kernel")
EVERYTHING, FUSED, RECOMPUTED = KEEPS = ("Everything", "Attention in one kernel", "Block inputs only")

QUERIES_AT_ONCE = 64  # as in gptoss.model.fast.attention: the queries that one call of the attention kernel takes
_INT64, _FLOAT32 = 8, 4
_MASK_ALIGNMENT, _SUMS_ALIGNMENT = 8, 32  # columns and rows to which CUDA's kernel pads the mask and the log sums
_RANDOM_STATE = 16  # two numbers that CUDA's kernel keeps for dropout, used or not


def activation_bytes(config: ModelConfig, batch_size: int, tokens: int, number_format: str = "bf16",
                     attention: str = KERNEL, padded_rows: Sequence[int | None] | None = None) -> dict[str, int]:
    """Part -> bytes that `batch_size` sequences of `tokens` tokens leave for the backward pass, the loss included.

    `number_format` is that of weights and stream, "bf16" or "fp32"; norms, sums and loss work in fp32 in any case.
    `attention` says what is kept of it: "written out" keeps every attention weight in fp32, as torch does on a CPU where
    sinks are trained; "kernel with a mask" recomputes the weights, but keeps the mask with the sinks in it, as on CUDA;
    "kernel" keeps queries, keys, values, result and one log sum a query alone (FlashAttention, arXiv 2205.14135).

    `padded_rows` has for each layer the rows that its experts multiply where small experts share one padded batch, and
    None where each expert multiplies its own rows; without it no layer pads. Routing does not change the bytes then.

    Raises `ValueError` for unknown formats, or fewer than 2 tokens, from which there is nothing to predict.
    """
    require_count("batch_size", batch_size, minimum=1)
    require_count("tokens", tokens, minimum=2)
    require_choice("number_format", number_format, BYTES_PER_VALUE)
    require_choice("attention", attention, ATTENTIONS)
    width = BYTES_PER_VALUE[number_format]
    layers = range(config.num_hidden_layers)
    padded = padded_rows or [None] * len(layers)
    read = batch_size * tokens
    return {
        "norms": (2 * len(layers) + 1) * _norm(config, read),
        "attention": sum(_attention(config, layer, batch_size, tokens, width, attention) for layer in layers)
        + (_rotation_table(config, tokens) if width == _FLOAT32 else 0),
        "experts": sum(_experts(config, read, width, rows) for rows in padded),
        "logits": _logits(config, read, width),
    }


def kept_bytes(config: ModelConfig, batch_size: int, tokens: int, keep: str) -> int:
    """Bytes of activations at the fullest moment of a bf16 training step, under one of `KEEPS`.

    "Everything" writes attention out, "Attention in one kernel" is the selective and "Block inputs only" the full
    recomputation of Korthikanti et al., arXiv 2205.05198: each block keeps its input, and runs a second time when the
    backward pass comes to it. The fullest moment is then either the loss or the block that keeps most.
    """
    require_choice("keep", keep, KEEPS)
    if keep != RECOMPUTED:
        attention = WRITTEN_OUT if keep == EVERYTHING else KERNEL
        return sum(activation_bytes(config, batch_size, tokens, attention=attention).values())
    width, read = BYTES_PER_VALUE["bf16"], batch_size * tokens
    inputs = config.num_hidden_layers * read * config.hidden_size * width
    block = 2 * _norm(config, read) + _experts(config, read, width, None) + max(
        _attention(config, layer, batch_size, tokens, width, KERNEL) for layer in range(config.num_hidden_layers))
    return inputs + max(block, _norm(config, read) + _logits(config, read, width))


def _norm(config: ModelConfig, read: int) -> int:
    """The input, the input divided by its size, and that divisor: all in fp32."""
    return read * (2 * config.hidden_size + 1) * _FLOAT32


def _attention(config: ModelConfig, layer: int, batch_size: int, tokens: int, width: int, attention: str) -> int:
    """The inputs of both projections, cosines and sines where they are rounded to bf16, and attention itself."""
    heads = config.num_attention_heads * config.head_dim
    projections = batch_size * tokens * (config.hidden_size + heads) * width
    angles = tokens * config.head_dim * width if width != _FLOAT32 else 0
    if attention == KERNEL:  # its result is the second projection's input, which is counted
        keys_and_values = 2 * config.num_key_value_heads * config.head_dim
        sums = config.num_attention_heads * _FLOAT32
        return projections + angles + batch_size * tokens * ((heads + keys_and_values) * width + sums)
    count = _written_out if attention == WRITTEN_OUT else _masked
    parts = kernel_calls(tokens, config.window_of(layer))
    return projections + angles + sum(count(config, batch_size, queries, keys, width) for queries, keys in parts)


def kernel_calls(tokens: int, window: int) -> Iterator[tuple[int, int]]:
    """Queries and keys of each call of the kernel: the sink is one more key."""
    for start in range(0, tokens, QUERIES_AT_ONCE):
        stop = min(start + QUERIES_AT_ONCE, tokens)
        whole = tokens <= QUERIES_AT_ONCE or not window  # a single call hides keys by its mask alone
        yield stop - start, (stop if whole else stop - max(0, start - window + 1)) + 1


def _written_out(config: ModelConfig, batch_size: int, queries: int, keys: int, width: int) -> int:
    """Scaled queries, scaled keys, values and every attention weight, all in fp32."""
    rows = config.num_attention_heads * queries
    columns = 2 * config.num_key_value_heads * keys
    return batch_size * ((rows + columns) * config.head_dim + rows * keys) * _FLOAT32


def _masked(config: ModelConfig, batch_size: int, queries: int, keys: int, width: int) -> int:
    """Queries, keys, values and result; one mask for the whole batch; a log sum for every query of every head."""
    rows = config.num_attention_heads * queries
    columns = 2 * config.num_key_value_heads * keys
    mask = rows * _up_to_multiple(keys, _MASK_ALIGNMENT)
    sums = config.num_key_value_heads * _up_to_multiple(config.group_size * queries, _SUMS_ALIGNMENT)
    values = batch_size * (2 * rows + columns) * config.head_dim + mask
    return values * width + batch_size * sums * _FLOAT32 + _RANDOM_STATE


def _up_to_multiple(number: int, of: int) -> int:
    return -(-number // of) * of


def _rotation_table(config: ModelConfig, tokens: int) -> int:
    """Cosines and sines in fp32: a table of a power of two positions, which all layers share."""
    return (1 << (tokens - 1).bit_length()) * config.head_dim * _FLOAT32


def _experts(config: ModelConfig, read: int, width: int, padded_rows: int | None) -> int:
    """Router, the rows sent to experts, what each activation makes of them, and the answers before and after weighting.

    Between the experts' two matrices are seven tensors of the experts' width: gate and linear half before clamping,
    the gate clamped and its sigmoid, their product, the linear half clamped, and the result.
    """
    hidden, choices = config.hidden_size, read * config.experts_per_token
    rows = choices if padded_rows is None else padded_rows
    indices = 3 if padded_rows is None else 5  # which expert, which token, in what order; in padding also where
    router = read * hidden * width + choices * (2 * width + indices * _INT64)
    return router + (rows * (hidden + 7 * config.intermediate_size) + 2 * choices * hidden) * width


def _logits(config: ModelConfig, read: int, width: int) -> int:
    """Token ids in and out, the unembedding's input, the logarithms of all probabilities in fp32, and a sum."""
    return read * (2 * _INT64 + config.hidden_size * width + config.vocab_size * _FLOAT32) + _FLOAT32
