"""Activations of a pass without gradients: the tensors of `gptoss.model` that are alive at its fullest moment.

Counted are tensors of real numbers that the model's operations return, with its own formats, sinks included. Left out are
indices, truth values, the table of rotations that all passes share, and whatever a kernel needs for itself. The tests
compare the counts with every tensor alive in real passes, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gptoss.config import ModelConfig
from gptoss.cost.activations import QUERIES_AT_ONCE, kernel_calls
from gptoss.cost.checks import require_choice, require_count
from gptoss.cost.memory import BYTES_PER_VALUE

SMALL = 2**26  # as in gptoss.model.fast.experts: multiplications up to which all experts work in one padded batch
WASTED = 2**18  # as there: of them on padding, for each expert, up to which a CPU pads
EVEN = 64  # as there: rows of which an expert first multiplies a multiple, on a CPU
_FLOAT32 = 4


def pass_activation_bytes(config: ModelConfig, batch_size: int, tokens: int, earlier: int = 0, number_format: str = "bf16",
                          routed: Sequence[Sequence[int]] | None = None, padding: bool = True) -> int:
    """Bytes of activations at the fullest moment of a pass: the largest of `pass_moments`."""
    return max(pass_moments(config, batch_size, tokens, earlier, number_format, routed, padding).values())


def pass_moments(config: ModelConfig, batch_size: int, tokens: int, earlier: int = 0, number_format: str = "bf16",
                 routed: Sequence[Sequence[int]] | None = None, padding: bool = True) -> dict[str, int]:
    """Part of the model -> bytes of activations at its fullest moment, in the fullest layer, weights and cache left out.

    `batch_size` sequences are passed through at once, each of `tokens` tokens, which fill an empty cache; or of one token
    that follows `earlier` ones. Logits are computed for the last position of each alone. `number_format`, "bf16" or "fp32",
    is that of the weights that the model multiplies with, and of the stream; norms work in fp32 in any case.

    `routed` has for each layer the rows that each expert multiplies; without it they are spread evenly. It matters where
    one expert has many of them, or where small experts are padded to the busiest. Packed experts never are: without
    `padding` each works in turn. The matrices that they are unpacked to are weights, and left out.

    Raises `ValueError` for counts below 1, an unknown format, or several tokens that follow earlier ones.
    """
    require_count("batch_size", batch_size, minimum=1)
    require_count("tokens", tokens, minimum=1)
    require_count("earlier", earlier, minimum=0)
    require_choice("number_format", number_format, BYTES_PER_VALUE)
    if earlier and tokens > 1:
        raise ValueError(f"tokens={tokens} is impossible after earlier={earlier}; allowed: 1, or a prompt with none before")
    width, read = BYTES_PER_VALUE[number_format], batch_size * tokens
    stream = read * config.hidden_size * width
    windows = {config.window_of(layer) for layer in range(config.num_hidden_layers)}
    return {
        "norms": 2 * stream + _norm(config, read, width),
        "attention": max(_attention(config, window, batch_size, tokens, earlier, width) for window in windows),
        "experts": max(_experts(config, read, rows, width, padding) for rows in routed or [_spread_evenly(config, read)]),
        "logits": stream + batch_size * config.vocab_size * width,
    }


def _norm(config: ModelConfig, read: int, width: int) -> int:
    """Beside the stream before and after attention: the normed stream in fp32 without and with its scale, and rounded."""
    rounded = width if width != _FLOAT32 else 0
    return read * config.hidden_size * (2 * _FLOAT32 + rounded)


def _attention(config: ModelConfig, window: int, batch_size: int, tokens: int, earlier: int, width: int) -> int:
    """The stream, the same normed, queries, keys and values, and what their rotation or their attention adds."""
    read, heads = batch_size * tokens, config.num_attention_heads * config.head_dim
    stream, mixed = read * config.hidden_size, read * heads
    rotated = read * (heads + config.num_key_value_heads * config.head_dim)
    angles = tokens * config.head_dim if width != _FLOAT32 else 0  # cosines and sines, rounded to the stream's format
    if tokens == 1:
        keys = min(window or earlier + 1, earlier + 1)
        # scores with the sink, the same after softmax, and the values mixed
        attended = max(2 * read * config.num_attention_heads * (keys + 1) + mixed, mixed + 2 * stream)
    else:
        attended = max(*_fused(config, window, batch_size, tokens), mixed + 2 * stream)
    before = 2 * stream + read * config.qkv_size
    return (before + max(3 * rotated + angles, rotated + attended)) * width


def _fused(config: ModelConfig, window: int, batch_size: int, tokens: int) -> Iterator[int]:
    """Values alive in each call of the attention kernel, and when its results are put in the order of the tokens."""
    heads = config.num_attention_heads * config.head_dim
    done = 0
    for queries, keys in kernel_calls(tokens, window):
        mask = queries * (keys - 1) + config.num_attention_heads * queries * keys  # for all heads, then with each one's sink
        padded = 2 * batch_size * keys * config.num_key_value_heads * config.head_dim
        mixed = batch_size * queries * heads
        stacked = mixed if config.group_size > 1 and queries > 1 else 0  # the queries of a group, below each other
        yield done + mask + padded + stacked + mixed
        done += mixed
    if tokens > QUERIES_AT_ONCE:
        yield 2 * done  # results of several calls, and the same in one piece
    elif config.num_attention_heads > 1:
        yield 2 * done + batch_size * tokens * config.hidden_size  # the heads' side by side as well, and projected


def _spread_evenly(config: ModelConfig, read: int) -> list[int]:
    rows, more = divmod(read * config.experts_per_token, config.num_experts)
    return [rows + (expert < more) for expert in range(config.num_experts)]


def _experts(config: ModelConfig, read: int, rows: Sequence[int], width: int, padding: bool) -> int:
    """The stream before and after attention, normed, the router's choice, and what the experts make of it."""
    hidden, chosen = config.hidden_size, read * config.experts_per_token
    before = 3 * read * hidden + read * (config.num_experts + 2 * config.experts_per_token)
    if read == 1:
        return (before + _one_token(config)) * width
    padded = config.num_experts * max(rows)
    size = config.intermediate_size * hidden
    pays = padding and padded * size <= SMALL and (padded - sum(rows)) * size <= WASTED * config.num_experts
    work = _at_once(config, padded, chosen) if pays else _in_turn(config, rows)
    weighted = chosen * hidden + read * hidden  # beside the answers: the same weighted, and their sum for each token
    return (before + chosen * hidden + max(work, weighted)) * width


def _activated(config: ModelConfig, rows: int) -> int:
    """Gate and linear half, both clamped, and two more steps of the gate: six tensors of the experts' width."""
    return 6 * rows * config.intermediate_size


def _one_token(config: ModelConfig) -> int:
    """Each expert's answer is weighted and added to the sum of those before it."""
    more = config.hidden_size if config.experts_per_token > 1 else 0  # the sum of those before
    answered = config.intermediate_size + config.hidden_size
    return more + max(_activated(config, 1), answered, 2 * config.hidden_size)


def _in_turn(config: ModelConfig, rows: Sequence[int]) -> int:
    """One expert at work on a piece of its rows, beside the answers of those before it."""
    done, fullest = 0, 0
    for own in (piece for sent in rows for piece in (sent - sent % EVEN, sent % EVEN)):
        answered = own * (config.intermediate_size + config.hidden_size)
        fullest = max(fullest, done + max(_activated(config, own), answered))
        done += own * config.hidden_size
    return max(fullest, 2 * done)  # in the end all answers, and the same put together


def _at_once(config: ModelConfig, padded: int, chosen: int) -> int:
    """All experts at work on rows padded to the busiest's: first spread out, then activated, answered and collected."""
    hidden, intermediate = padded * config.hidden_size, padded * config.intermediate_size
    return hidden + max(hidden, _activated(config, padded), 3 * intermediate + hidden,
                        2 * intermediate + hidden + chosen * config.hidden_size)
