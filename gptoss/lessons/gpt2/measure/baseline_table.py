"""GPT-2 and GPT-OSS row by row: every cell is read off the models and configurations, or names where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch

from gptoss.config import GPT2Config, ModelConfig
from gptoss.cost import count_parameters, kv_cache_bytes, weight_bytes
from gptoss.model.gpt2 import GPT2
from gptoss.model.transformer import Transformer
from gptoss.tokenizer import SPECIAL_TOKENS, get_encoding
from gptoss.tokenizer.harmony import Message, render
from gptoss.tokenizer.languages import NOTEBOOK_ESTIMATES, language_counts

GPT2_PAPER = "Radford et al., 2019"
OFFICIAL = ModelConfig.preset("gpt-oss-20b")  # what the notebook's sentences are held against


@dataclass(frozen=True)
class Correction:
    """What the notebook says, and what this app finds instead."""

    claim: int  # its number in the app's list of the notebook's claims
    says: str
    found: str


@dataclass(frozen=True)
class Row:
    """One row: the two cells, where they come from, and what people get wrong about it."""

    name: str
    gpt2: str
    gptoss: str
    source: str
    corrections: tuple[Correction, ...] = ()


@lru_cache(maxsize=32)
def comparison(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> tuple[Row, ...]:
    """All rows for two models at their real sizes, the cache at `context` tokens as far as each can go."""
    return tuple(row(gpt2, gptoss, context) for row in ROWS)


def norm(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    def cell(model: GPT2 | Transformer) -> str:
        each = model.norm
        learned = " and ".join(name for name, _ in each.named_parameters())
        number_format = str(each.scale.dtype).removeprefix("torch.")
        return f"{type(each).__name__}: {learned}, eps {each.eps:g}, in {number_format}"

    models = GPT2(gpt2.replace(num_hidden_layers=1), device="meta"), _meta(gptoss)
    return Row("Norm", *map(cell, models), "read off the models; before each half block and at the end of both")


def positions(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    learned = count_parameters(gpt2).positions
    return Row(
        "Positions", f"a learned vector for each of {gpt2.max_context_length:,}: {learned:,} parameters",
        f"queries and keys turned (RoPE, theta {gptoss.rope_theta:,.0f}), stretched {gptoss.rope_scaling_factor:g} times by "
        "YaRN: no parameters", "configurations and count_parameters; arXiv 2104.09864, 2309.00071",
        (Correction(13, "RoPE's positions are unlimited",
                    f"trained on {OFFICIAL.initial_context_length:,} tokens; YaRN takes it to "
                    f"{OFFICIAL.max_context_length:,}"),
         Correction(17, "its baseline has learned absolute positions",
                    "it has none, and ReLU and norms after each half: no GPT-2. The one on this page has them")))


def attention(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    slides = sum(bool(gptoss.window_of(layer)) for layer in range(gptoss.num_hidden_layers))
    windows = f"{slides} of {gptoss.num_hidden_layers} layers see {gptoss.sliding_window} tokens" if slides else "all full"
    return Row(
        "Attention", f"{_many(gpt2.num_attention_heads, 'head')} of {gpt2.head_dim}, each with its own keys and values; "
        "every layer sees all",
        f"{_many(gptoss.num_attention_heads, 'head')} of {gptoss.head_dim} on "
        f"{_many(gptoss.num_key_value_heads, 'key/value head')}; {windows}; a sink in every head",
        "configurations; GPT2Attention, AttentionBlock")


def mlp(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    one, many = count_parameters(gpt2), count_parameters(gptoss)
    return Row(
        "MLP", f"one a layer, {gpt2.intermediate_size:,} wide: {one.experts // gpt2.num_hidden_layers:,} parameters",
        f"{_many(gptoss.num_experts, 'expert')} a layer, each {gptoss.intermediate_size:,} wide: "
        f"{many.experts // gptoss.num_hidden_layers:,} parameters", "configurations and count_parameters")


def activation(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    return Row(
        "Activation", "GELU, in its tanh form",
        f"SwiGLU: gate and linear half clamped at {gptoss.swiglu_limit:g}, 1 added to the linear half",
        "GPT2MLP and swiglu, the code below; arXiv 1606.08415, 2002.05202")


def routing(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    return Row(
        "Routing", "none: every token uses all of it",
        f"a router of {count_parameters(gptoss).router // gptoss.num_hidden_layers:,} parameters a layer sends each token "
        f"to {gptoss.experts_per_token} of {gptoss.num_experts}", "configuration and count_parameters; MLPBlock")


def size(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    def cell(config: GPT2Config | ModelConfig, tied: str) -> str:
        total = count_parameters(config).total
        return (f"{_many(config.num_hidden_layers, 'layer')}, width {config.hidden_size:,}, {total:,} parameters; "
                f"embedding and unembedding {tied}")

    untied = count_parameters(OFFICIAL)
    models = GPT2(gpt2.replace(num_hidden_layers=1), device="meta"), _meta(gptoss)
    tied = ["are two tables" if hasattr(model, "unembedding") else "are one table" for model in models]
    return Row(
        "Sizes", cell(gpt2, tied[0]), cell(gptoss, tied[1]), "configurations, count_parameters, and the models' parts",
        (Correction(7, "embedding and head are tied in GPT-OSS",
                    f"two tables: {untied.embedding:,} and {untied.unembedding:,} parameters"),))


def longest_context(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    times = OFFICIAL.max_context_length / gpt2.max_context_length
    return Row(
        "Context", f"{gpt2.max_context_length:,} tokens, one learned position each",
        f"{gptoss.max_context_length:,} tokens: {gptoss.initial_context_length:,} × {gptoss.rope_scaling_factor:g}",
        "configurations",
        (Correction(12, "context 4096+, 4x+ longer than GPT-2", f"{OFFICIAL.max_context_length:,}: {times:,.3g} times"),))


def tokenizer(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    counts = language_counts()
    ratio, estimate = counts["gpt2"] / counts["o200k"], NOTEBOOK_ESTIMATES[50_257]
    names = counts.assign(ratio=ratio).sort_values("ratio")["language"]
    return Row(
        "Tokenizer", f"byte-pair encoding, {get_encoding('gpt2').n_vocab:,} ids",
        f"byte-pair encoding, {get_encoding('o200k_harmony').n_vocab:,} ids", "tiktoken's own encodings, counted",
        (Correction(14, f"a vocabulary of 50k needs an estimated {estimate} times the tokens",
                    f"GPT-2's needs {ratio.min():.2f} ({names.iloc[0]}) to {ratio.max():.2f} times ({names.iloc[-1]}), one "
                    f"story in {len(counts)} languages and in code"),))


def special_tokens(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    old, new = get_encoding("gpt2"), get_encoding("o200k_harmony")
    ids = {new.encode_single_token(name) for name in new.special_tokens_set}
    named = set(SPECIAL_TOKENS.values())
    return Row(
        "Special tokens", f"{len(old.special_tokens_set)}: {', '.join(old.special_tokens_set)}",
        f"{len(named)} with a name, such as <|start|>, <|message|> and <|return|>; {len(ids - named):,} reserved",
        "tiktoken's own encodings, counted")


def precision(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    stored, counts = weight_bytes(gptoss), count_parameters(gptoss)
    in_blocks = counts.mlp1_weight + counts.mlp2_weight
    bits = 8 * (stored["mlp1"] + stored["mlp2"]) / in_blocks
    return Row(
        "Precision", f"published in float32, 32 bits a weight: {_size(count_parameters(gpt2).total * 4)}",
        f"experts in MXFP4, {bits:.2f} bits a weight ({in_blocks / counts.total:.0%} of all), the rest in bfloat16: "
        f"{_size(sum(stored.values()))}",
        "weight_bytes, count_parameters; GPT-2's checkpoint; model card, arXiv 2508.10925")


def kv_cache(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    def cell(config: GPT2Config | ModelConfig) -> str:
        tokens = min(context, config.max_context_length)
        held = kv_cache_bytes(config, tokens)
        return f"{_size(held)} at {tokens:,} tokens, {_size(held / tokens)} a token"

    return Row("KV cache", cell(gpt2), cell(gptoss), "kv_cache_bytes, two bytes a value")


def sparsity(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    def share(config: GPT2Config | ModelConfig) -> float:
        counts = count_parameters(config)
        return counts.active / counts.total

    times = count_parameters(gptoss).experts / count_parameters(gptoss).active_experts
    official = " and ".join(f"{share(ModelConfig.preset(name)):.1%} in {name}" for name in ("gpt-oss-20b", "gpt-oss-120b"))
    return Row(
        "Sparsity", f"dense: {share(gpt2):.1%} of all parameters work on a token, all but the positions",
        f"{share(gptoss):.1%} of all parameters work on a token; of the experts' {1 / times:.1%}", "count_parameters",
        (Correction(10, "32x capacity with ~3% compute, ~30x compute gain", f"active of all parameters: {official}"),))


def conversation(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    stream = render([Message("user", "Hello!")], ending="completion")
    return Row(
        "Conversations", "none: plain text, documents parted by <|endoftext|>",
        f"harmony: “Hello!” becomes {stream.text} ({len(stream.ids)} tokens)",
        f"{GPT2_PAPER}; rendered by gptoss.tokenizer.harmony")


ROWS: tuple[Callable[[GPT2Config, ModelConfig, int], Row], ...] = (
    norm, positions, attention, mlp, activation, routing, size, longest_context, tokenizer, special_tokens, precision,
    kv_cache, sparsity, conversation)


def _meta(config: ModelConfig) -> Transformer:
    """One layer of the real model, in names and shapes alone."""
    return Transformer(config.replace(num_hidden_layers=1), device="meta", dtype=torch.bfloat16)


def _many(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _size(count: float) -> str:
    """Bytes in binary units."""
    unit, name = next(((unit, name) for unit, name in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB")) if count >= unit),
                      (2**10, "KiB"))
    return f"{count / unit:,.2f} {name}"
