"""How many floating-point operations one forward pass takes: of GPT-OSS, GPT-2, and what lies between."""

from __future__ import annotations

from dataclasses import dataclass

from gptoss.config import GPT2Config, ModelConfig
from gptoss.cost.checks import require_count
from gptoss.ladder import LadderConfig


@dataclass(frozen=True)
class ForwardFlops:
    """FLOPs of one forward pass: operator -> FLOPs summed over all layers, in the order of the data's way."""

    needed: dict[str, int]  # attention only over the query-key pairs that causality and windows leave visible
    executed: dict[str, int]  # attention over every pair the explicit path multiplies, hidden ones masked afterwards

    @property
    def needed_total(self) -> int:
        """FLOPs of all operators, hidden pairs left out."""
        return sum(self.needed.values())

    @property
    def executed_total(self) -> int:
        """FLOPs of all operators, hidden pairs computed too."""
        return sum(self.executed.values())


def forward_flops(config: ModelConfig | GPT2Config | LadderConfig, tokens: int, context: int | None = None) -> ForwardFlops:
    """FLOPs to pass one sequence's last `tokens` tokens through the model, `context` tokens long with them.

    `context` defaults to `tokens`, a pass over a whole prompt; the keys and values of earlier tokens come from
    the cache, so that `tokens=1` is one step of decoding. A batch takes as many times more as it has sequences.

    One multiply-add is two FLOPs, and matrix multiplications alone are counted, as `torch.utils.flop_counter`
    does: no biases, norms, RoPE, softmax (and so no sinks), activations or sums. Experts work on the tokens routed to
    them, `experts_per_token` experts a token. Logits are computed for all `tokens`.

    `executed` is what `gptoss.model` multiplies when it records: all keys of a layer with all queries. A sliding
    layer's cache hands over its window of earlier tokens, so that decoding wastes nothing there and a prompt much.

    Raises `ValueError` for `tokens` below 1 or a `context` below `tokens`.
    """
    require_count("tokens", tokens, minimum=1)
    context = tokens if context is None else context
    require_count("context", context, minimum=tokens)
    windows = [config.window_of(layer) for layer in range(config.num_hidden_layers)]
    visible = sum(visible_pairs(tokens, context, window) for window in windows)
    multiplied = sum(_multiplied_pairs(tokens, context, window) for window in windows)
    return ForwardFlops(needed=_operators(config, tokens, visible), executed=_operators(config, tokens, multiplied))


def visible_pairs(tokens: int, context: int, window: int) -> int:
    """Query-key pairs that one head of one layer attends over: the last `tokens` queries of `context` positions.

    The query at position p (from 0) sees p + 1 keys, its own among them, or `window` keys where that is fewer;
    `window` 0 is full attention. Raises `ValueError` unless 0 <= `tokens` <= `context` and `window` >= 0.
    """
    require_count("tokens", tokens, minimum=0)
    require_count("context", context, minimum=tokens)
    require_count("window", window, minimum=0)
    return _pairs_up_to(context, window) - _pairs_up_to(context - tokens, window)


def _pairs_up_to(length: int, window: int) -> int:
    """Pairs of the first `length` queries: a triangle, then a strip of the window's width."""
    triangle = min(window or length, length)
    return triangle * (triangle + 1) // 2 + (length - triangle) * window


def _multiplied_pairs(tokens: int, context: int, window: int) -> int:
    """All queries times all keys that a layer's cache returns with them (`LayerCache.append`)."""
    if not window:
        return tokens * context
    if tokens == 1:  # a single token first takes the place of the one that has left the window
        return min(context, window)
    return tokens * (min(context - tokens, window) + tokens)


def _operators(config: ModelConfig | GPT2Config | LadderConfig, tokens: int, pairs: int) -> dict[str, int]:
    """Operator -> FLOPs for `tokens` tokens and `pairs` query-key pairs, the latter summed over the layers."""
    hidden, intermediate = config.hidden_size, config.intermediate_size
    attention_width = config.num_attention_heads * config.head_dim
    in_layers = 2 * tokens * config.num_hidden_layers
    in_experts = in_layers * config.experts_per_token
    return {
        "qkv": in_layers * hidden * config.qkv_size,
        "scores": 2 * pairs * attention_width,
        "values": 2 * pairs * attention_width,
        "out": in_layers * attention_width * hidden,
        "router": in_layers * hidden * config.part_rows.router,
        "mlp1": in_experts * hidden * config.part_rows.mlp1,
        "mlp2": in_experts * intermediate * hidden,
        "unembedding": 2 * tokens * hidden * config.vocab_size,
    }
