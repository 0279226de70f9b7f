"""What inference takes, operator by operator: FLOPs, bytes, and the factors that make them.

The arithmetic of transformer inference is that of Pope et al., "Efficiently Scaling Transformer Inference" (arXiv
2211.05102); that an operator's speed is bounded by the machine's arithmetic or by its memory, whichever takes longer, is
the roofline model of Williams, Waterman and Patterson (Communications of the ACM 52(4), 2009).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from gptoss.config import ModelConfig
from gptoss.cost.checks import require_choice, require_count
from gptoss.cost.decode import expected_experts_touched
from gptoss.cost.flops import visible_pairs
from gptoss.cost.memory import BYTES_PER_VALUE, kv_slots, weight_bytes

FLOPS, WEIGHTS, CACHE, ACTIVATIONS = FIGURES = "FLOPs", "weights", "KV cache", "activations"
_MULTIPLY_ADD = {"FLOPs of a multiply-add": 2}


@dataclass(frozen=True)
class Load:
    """What is asked of a model: how many sequences at once, how long, and the formats they are served in.

    Raises `ValueError` for counts below 1 and unknown formats.
    """

    batch_size: int = 1  # sequences
    prompt: int = 1024  # tokens of each that are read at once
    context: int = 4096  # tokens that a newly written one attends to, itself included
    experts: str = "mxfp4"  # format of the experts' two matrices: "mxfp4", "bf16" or "fp32"
    rest: str = "bf16"  # format of all other weights, the experts' biases included, and of activations
    kv_bytes_per_value: int = 2

    def __post_init__(self) -> None:
        for name in ("batch_size", "prompt", "context", "kv_bytes_per_value"):
            require_count(name, getattr(self, name), minimum=1)
        require_choice("experts", self.experts, ("mxfp4", *BYTES_PER_VALUE))
        require_choice("rest", self.rest, BYTES_PER_VALUE)


@dataclass(frozen=True)
class Operator:
    """One kind of matrix multiplication in a pass, summed over all its calls."""

    name: str
    number_format: str  # of its weights, which decides how fast a machine can multiply; fp32 beside fp32 activations
    calls: float  # layers, or layers × experts touched
    rows: float  # rows of activations that meet the matrix in one call, on average
    factors: Mapping[str, Mapping[str, float]] = field(hash=False)  # each of `FIGURES` -> factor -> number

    @property
    def flops(self) -> float:
        """Floating-point operations: the product of their factors, and so are the bytes."""
        return math.prod(self.factors[FLOPS].values())

    @property
    def weight_bytes(self) -> float:
        """Bytes of weights and biases read, each once however many tokens they serve."""
        return self._bytes(WEIGHTS)

    @property
    def cache_bytes(self) -> float:
        """Bytes of keys and values read or written."""
        return self._bytes(CACHE)

    @property
    def activation_bytes(self) -> float:
        """Bytes of inputs read and of outputs written, where those are no keys or values."""
        return self._bytes(ACTIVATIONS)

    @property
    def bytes(self) -> float:
        """All bytes that move between memory and chip."""
        return self.weight_bytes + self.cache_bytes + self.activation_bytes

    @property
    def intensity(self) -> float:
        """FLOPs a byte: where the operator is on the roofline."""
        return self.flops / self.bytes

    def _bytes(self, figure: str) -> float:
        factors = self.factors[figure]
        return math.prod(factors.values()) if factors else 0


def prefill_operators(config: ModelConfig, load: Load, touched: float | None = None) -> tuple[Operator, ...]:
    """The operators that read `load.batch_size` prompts of `load.prompt` tokens, in the order of the data's way.

    Attention works on the pairs that causality and windows leave visible, and is taken to be one kernel that reads
    queries, keys and values and writes its result: scores and weights never leave the chip (FlashAttention, arXiv
    2205.14135). Logits are computed for the last position of each sequence alone, as for serving nothing else is needed.

    `touched` is how many different experts of a layer the tokens visit, on average over the layers; without it what
    independent, even choices would visit (`expected_experts_touched`). Left out: norms, RoPE, softmax, activation
    functions, sums, and the embedding's rows.

    Raises `ValueError` for an impossible `touched`, or where MXFP4 cannot hold the experts.
    """
    tokens = load.batch_size * load.prompt
    windows = map(config.window_of, range(config.num_hidden_layers))
    pairs = sum(visible_pairs(load.prompt, load.prompt, window) for window in windows)
    return _operators(config, load, tokens, pairs, config.num_hidden_layers * load.prompt, touched)


def decode_operators(config: ModelConfig, load: Load, touched: float | None = None) -> tuple[Operator, ...]:
    """The operators of one step in which each of `load.batch_size` sequences of `load.context` tokens gains its last one.

    The bytes of weights and cache are those of `decode_bytes`, but for the norms and the embedding's rows. All else is as
    in `prefill_operators`.
    """
    slots = sum(kv_slots(config, load.context))
    return _operators(config, load, load.batch_size, slots, slots, touched)


def _operators(config: ModelConfig, load: Load, tokens: int, pairs: int, slots: int,
               touched: float | None) -> tuple[Operator, ...]:
    """Operators on `tokens` tokens, with `pairs` query-key pairs and `slots` keys of one sequence in all layers together."""
    weights = weight_bytes(config, load.experts, load.rest)
    width = {"bytes a value": BYTES_PER_VALUE[load.rest]}
    cached = {"KV groups": config.num_key_value_heads, "head size": config.head_dim,
              "bytes a value": load.kv_bytes_per_value}
    heads = {"query heads": config.num_attention_heads, "head size": config.head_dim}
    layers, sequences = {"layers": config.num_hidden_layers}, {"sequences": load.batch_size}
    hidden, attended = config.hidden_size, config.num_attention_heads * config.head_dim
    each_token = layers | {"tokens": tokens}

    def dense(name: str, columns: Mapping[str, int], rows: Mapping[str, int], written: int,
              keys_and_values: Mapping[str, float] | None = None) -> Operator:
        """A matrix of every layer that meets every token; `written` of its rows are outputs that are no key or value."""
        read_and_written = {"values read and written": math.prod(columns.values()) + written}
        inputs = {"columns and a bias": math.prod(columns.values()) + 1}
        return Operator(name, load.rest, config.num_hidden_layers, tokens, {
            FLOPS: _MULTIPLY_ADD | each_token | columns | rows, WEIGHTS: layers | rows | inputs | width,
            CACHE: keys_and_values or {}, ACTIVATIONS: each_token | read_and_written | width})

    def attention(name: str, sinks: Mapping[str, float]) -> Operator:
        """Scores or values: a key or a value of each slot meets the queries that see it."""
        return Operator(name, load.rest, config.num_hidden_layers, tokens, {
            FLOPS: _MULTIPLY_ADD | {"visible query-key pairs": pairs} | sequences | heads, WEIGHTS: sinks,
            CACHE: {"positions in all layers": slots} | sequences | cached, ACTIVATIONS: each_token | heads | width})

    return (
        dense("qkv", {"hidden size": hidden}, {"rows of qkv": config.qkv_size}, attended,
              each_token | {"a key and a value": 2} | cached),
        attention("scores", layers | {"sinks": config.num_attention_heads} | width),
        attention("values", {}),
        dense("out", heads, {"hidden size": hidden}, hidden),
        dense("router", {"hidden size": hidden}, {"experts": config.num_experts}, config.num_experts),
        *_experts(config, load, tokens, touched, weights),
        Operator("unembedding", load.rest, 1, load.batch_size, {
            FLOPS: _MULTIPLY_ADD | sequences | {"hidden size": hidden, "vocabulary": config.vocab_size},
            WEIGHTS: {"vocabulary": config.vocab_size, "hidden size": hidden} | width, CACHE: {},
            ACTIVATIONS: sequences | {"values read and written": hidden + config.vocab_size} | width}),
    )


def _experts(config: ModelConfig, load: Load, tokens: int, touched: float | None,
             weights: Mapping[str, int]) -> tuple[Operator, Operator]:
    """The experts' two matrices: each token meets a few of them, and only those that some token chose are read."""
    touched = expected_experts_touched(config, tokens) if touched is None else _possible(config, tokens, touched)
    number_format = "fp32" if load.rest == "fp32" else load.experts
    width = BYTES_PER_VALUE[load.rest]
    layers = {"layers": config.num_hidden_layers}
    routed = layers | {"tokens": tokens, "experts a token": config.experts_per_token}

    def matrix(name: str, columns: Mapping[str, int], rows: Mapping[str, int]) -> Operator:
        read, written = *columns.values(), *rows.values()
        one = weights[name] // (config.num_hidden_layers * config.num_experts) + written * width
        return Operator(
            name, number_format, config.num_hidden_layers * touched, tokens * config.experts_per_token / touched, {
                FLOPS: _MULTIPLY_ADD | routed | columns | rows,
                WEIGHTS: layers | {"experts touched": touched, "bytes of an expert's matrix and bias": one}, CACHE: {},
                ACTIVATIONS: routed | {"values read and written": read + written, "bytes a value": width}})

    hidden, intermediate = {"hidden size": config.hidden_size}, {"intermediate size": config.intermediate_size}
    return (matrix("mlp1", hidden, {"rows of mlp1": config.part_rows.mlp1}), matrix("mlp2", intermediate, hidden))


def _possible(config: ModelConfig, tokens: int, touched: float) -> float:
    most = min(config.num_experts, tokens * config.experts_per_token)
    if not config.experts_per_token <= touched <= most:
        raise ValueError(f"touched={touched!r} is impossible; allowed: {config.experts_per_token} to {most}")
    return touched
