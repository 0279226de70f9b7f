"""GPT-2 beside GPT-OSS: what the two cost, both on one text, row by row, and by the clock.

Every cell of the comparison is read off the models and configurations, or names where it comes from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gptoss import timing, units
from gptoss.config import GPT2Config, ModelConfig
from gptoss.cost import count_parameters, forward_flops, kv_cache_bytes, weight_bytes
from gptoss.cost.matching import shared_context
from gptoss.model import next_token_probabilities
from gptoss.model.attention import explicit_attention
from gptoss.model.fast.attention import fused_attention_in_parts
from gptoss.model.gpt2 import GPT2
from gptoss.model.language_model import LanguageModel
from gptoss.model.mask import visible
from gptoss.model.transformer import Transformer
from gptoss.tokenizer import (
    SPECIAL_TOKENS,
    CompactVocabulary,
    EncodedPrefix,
    clean_text,
    encode_text,
    get_encoding,
)
from gptoss.tokenizer.compact_gpt2 import CompactGPT2
from gptoss.tokenizer.harmony import Message, render
from gptoss.trace import Trace, meaning, trace
from gptoss.training.contestants import BASELINE
from gptoss.training.shipped import Shipped, shipped

GPT_OSS, GPT_2 = MODELS = "GPT-OSS", "GPT-2"
COUNTED = 20_000  # characters of a text that the real tokenizers count
BUILD, READ, WRITE = CLOCKS = "Build the model", "Read the text", "Write one token"
REPEATS = {BUILD: 5, READ: 7, WRITE: 15}
GPT2_PAPER = "Radford et al., 2019"

# What the trace's meanings say of GPT-OSS alone, in words that hold for both.
_MEANINGS = {
    "attn.q": "queries", "attn.k": "keys", "mlp.norm": "the stream, normalised, as the MLP or the router reads it",
    "mlp.out": "what the MLP, or the experts, add to the stream", "after_mlp": "the stream after the MLP or the experts",
}


def sizes(config: ModelConfig, gpt2: GPT2Config, context: int, tokens: tuple[int, int]) -> pd.DataFrame:
    """What both models cost: one row a quantity and model.

    Columns: `quantity`, `model` (one of `MODELS`), `value` and `unit` ("tokens", "parameters", "bytes" or "FLOPs").
    `tokens` are those of one text in the real tokenizers of GPT-OSS and GPT-2. Cache and FLOPs are those of the context
    that both can have (see `shared_context`); the cache has two bytes a value.
    """
    shared = shared_context(context)
    rows = []
    for model, shape, count in zip(MODELS, (config, gpt2), tokens, strict=True):
        parameters = count_parameters(shape)
        rows += [
            ("Text tokens", model, count, "tokens"),
            ("Parameters", model, parameters.total, "parameters"),
            ("Active", model, parameters.active, "parameters"),
            ("KV cache", model, kv_cache_bytes(shape, shared), "bytes"),
            ("FLOPs", model, forward_flops(shape, tokens=1, context=shared).needed_total, "FLOPs")]
    return pd.DataFrame(rows, columns=["quantity", "model", "value", "unit"])


@lru_cache(maxsize=64)
def real_tokens(text: str) -> tuple[int, int]:
    """Tokens of the first `COUNTED` characters of `text`, in o200k and in GPT-2's vocabulary."""
    text = text[:COUNTED]
    return len(encode_text(text)), len(encode_text(text, "gpt2"))


class SharedText(NamedTuple):
    """One text in the vocabularies of both live models, cut where the first of them is full."""

    gptoss: EncodedPrefix
    gpt2: EncodedPrefix
    characters: int  # of the whole text


@lru_cache(maxsize=64)
def shared_text(text: str, ours: CompactVocabulary, theirs: CompactVocabulary | CompactGPT2, max_tokens: int,
                special: bool = False) -> SharedText:
    """The beginning of `text` that fits both models in at most `max_tokens` tokens, in the tokens of each.

    `special` reads `<|start|>` and the like as GPT-OSS's special tokens; to GPT-2 they are always text.
    """
    text = clean_text(text)
    used = min(ours.encode_prefix(text, max_tokens, special).characters_used,
               theirs.encode_prefix(text, max_tokens).characters_used)
    return SharedText(ours.encode_prefix(text[:used], max_tokens, special), theirs.encode_prefix(text[:used], max_tokens),
                      len(text))


def entropy(probabilities: np.ndarray) -> float:
    """Bits of a distribution (vocabulary,): 0 if one token is certain, log2 of the vocabulary if all are alike."""
    likely = probabilities[probabilities > 0].astype(np.float64)
    return float(-(likely * np.log2(likely)).sum())


def aligned(ours: Trace, theirs: Trace, layer: int, their_layer: int) -> pd.DataFrame:
    """The tensors of one layer of both traces, and those before and after the blocks, in the data's order.

    Columns: `tensor` (its name without the block's number), `what it is`, and the shape in each of `MODELS`, empty where
    that model has no such tensor.
    """
    left, right = _shapes(ours, layer), _shapes(theirs, their_layer)
    names = list(left)
    for name in right:
        if name not in left:  # a tensor of GPT-2's own follows the one that it follows there
            before = list(right)[list(right).index(name) - 1]
            names.insert(names.index(before) + 1, name)
    rows = [(name, _MEANINGS.get(name) or meaning(f"block.0.{name}" if "." in name or name.startswith("after") else name),
             left.get(name, ""), right.get(name, "")) for name in names]
    return pd.DataFrame(rows, columns=["tensor", "what it is", *MODELS])


def _shapes(trace: Trace, layer: int) -> dict[str, str]:
    own = f"block.{layer}."
    return {name.removeprefix(own): " × ".join(map(str, value.shape)) for name, value in trace.items()
            if name.startswith(own) or not name.startswith("block.")}


def same_depth(layer: int, layers: int, their_layers: int) -> int:
    """The layer of a model of `their_layers` that is as deep as `layer` of `layers`."""
    return round(layer * (their_layers - 1) / max(layers - 1, 1))


def random_gpt2(config: GPT2Config, seed: int, precision: str) -> GPT2:
    """A GPT-2 with random weights."""
    return GPT2(config, dtype=getattr(torch, precision), seed=seed)


def trained_gpt2(config: GPT2Config, name: str, precision: str) -> GPT2:
    """The GPT-2 that ships under this name; `config` is what it has."""
    return shipped()[name].load(getattr(torch, precision))


def trained_beside(name: str) -> Shipped | None:
    """The GPT-2 of equal active parameters that was trained on the same texts as the shipped model of this name, if any."""
    ours = shipped().get(name)
    return next((other for other in shipped().values() if ours and other.family == ours.family
                 and other.contestant.name == BASELINE and other.has_weights), None)


def recorded(model: GPT2, ids: tuple[int, ...], layer: int) -> Trace:
    """One pass over a text, with the inside of one layer but for its scores."""
    return trace(model, torch.tensor([ids]), layers=[layer], keep=lambda name: not name.endswith("scores"))


@torch.no_grad()
def next_probabilities(model: LanguageModel, ids: tuple[int, ...]) -> np.ndarray:
    """The distribution (vocabulary,) of the token after `ids`."""
    return next_token_probabilities(model(torch.tensor([ids]))[0, -1]).numpy()


class Clocks(NamedTuple):
    """What was measured: times in seconds, and bytes held as (weights, cache), by model."""

    times: pd.DataFrame  # columns work, model, median, low, high
    held: dict[str, tuple[int, int]]
    threads: int


def clocks(config: ModelConfig, gpt2: GPT2Config, seed: int, precision: str, ids: tuple[tuple[int, ...], tuple[int, ...]],
           ) -> Generator[tuple[float, str], None, Clocks]:
    """Time both models, each on the text in its own tokens: yields the share that is done, and a word on it.

    One piece of work of the one model, then the same of the other, so that both meet the same machine.
    """
    builders = (partial(Transformer, config, dtype=getattr(torch, precision), seed=seed),
                partial(random_gpt2, gpt2, seed, precision))
    made: dict[str, LanguageModel] = {}

    def build(model: str, builder: Callable[[], LanguageModel]) -> LanguageModel:
        made[model] = builder().eval().requires_grad_(False)
        return made[model]

    work = [measurements(partial(build, model, builder), tokens)
            for model, builder, tokens in zip(MODELS, builders, ids, strict=True)]
    seconds: dict[tuple[str, str], list[float]] = {}
    pieces = sum(REPEATS.values()) + len(REPEATS)
    for done, turn in enumerate(zip(*work, strict=True), 1):
        for model, (clock, run) in zip(MODELS, turn, strict=True):
            seconds.setdefault((clock, model), []).append(run())
        yield done / pieces, f"Measuring: {turn[0][0].lower()} …"
    rows = [(clock, model, *timing.spread(values[1:])) for (clock, model), values in seconds.items()]
    held = {model: held_bytes(made[model], len(tokens)) for model, tokens in zip(MODELS, ids, strict=True)}
    return Clocks(pd.DataFrame(rows, columns=["work", "model", "median", "low", "high"]), held, torch.get_num_threads())


def measurements(build: Callable[[], LanguageModel], ids: Sequence[int]) -> Iterator[tuple[str, Callable[[], float]]]:
    """The pieces of work to time, in order: (one of `CLOCKS`, a function that does it once and gives the seconds).

    The caller runs each before it asks for the next, and may let others run between two. The first of each kind warms
    up and is not to be counted. Reading is one pass over all of `ids` without a cache; writing is a pass over one
    token that follows them in a cache.
    """
    built: list[LanguageModel] = []
    timed = torch.inference_mode()(timing.seconds)
    for _ in range(1 + REPEATS[BUILD]):
        yield BUILD, lambda: timed(lambda: built.append(build()))
        del built[:-1]
    model, tokens = built[0], torch.tensor([list(ids)])
    for _ in range(1 + REPEATS[READ]):
        yield READ, lambda: timed(lambda: model(tokens))
    cache = model.new_cache(len(ids) + REPEATS[WRITE])
    yield WRITE, lambda: timed(lambda: model(tokens, cache))  # to warm up, the text goes into the cache
    for _ in range(REPEATS[WRITE]):
        yield WRITE, lambda: timed(lambda: model(tokens[:, -1:], cache))


def held_bytes(model: LanguageModel, tokens: int) -> tuple[int, int]:
    """Bytes that the tensors of `model` occupy, and those of a KV cache for `tokens` tokens: counted on real tensors."""
    return sum(parameter.nbytes for parameter in model.parameters()), model.new_cache(tokens).nbytes


@torch.no_grad()
def attention_difference(model: GPT2, ids: Sequence[int], layer: int = 0) -> float:
    """The largest difference between fused and explicit attention of one layer, as a share of the largest value."""
    seen: dict[str, Tensor] = {}
    model(torch.tensor([list(ids)]), record=seen.__setitem__, recorded_layers=[layer])
    q, k, v = (seen[f"block.{layer}.attn.{name}"] for name in "qkv")
    explicit = explicit_attention(q, k, v, None, visible(q.shape[1], k.shape[1], window=0))
    fused = fused_attention_in_parts(q, k, v, None, window=0)
    return ((fused - explicit).abs().max() / explicit.abs().max()).item()


def meta_parameters(config: GPT2Config) -> int:
    """Parameters of a GPT-2 that exists in names and shapes alone, counted tensor by tensor."""
    return sum(math.prod(parameter.shape) for parameter in GPT2(config, device="meta").parameters())


@dataclass(frozen=True)
class Row:
    """One row: the two cells, where they come from, and the numbers of the claims that people make about it."""

    name: str
    gpt2: str
    gptoss: str
    source: str
    claims: tuple[str, ...] = ()


@lru_cache(maxsize=32)
def comparison(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> tuple[Row, ...]:
    """All rows for two models at their real sizes, the cache at `context` tokens as far as each can go."""
    return tuple(row(gpt2, gptoss, context) for row in ROWS)


def norm(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    def cell(model: GPT2 | Transformer) -> str:
        part = model.norm
        learned = " and ".join(name for name, _ in part.named_parameters())
        number_format = str(part.scale.dtype).removeprefix("torch.")
        return f"{type(part).__name__}: {learned}, eps {units.number(part.eps, 1)}, in {number_format}"

    models = GPT2(gpt2.replace(num_hidden_layers=1), device="meta"), _meta(gptoss)
    return Row("Norm", *map(cell, models), "read off the models; before each half block and at the end of both")


def positions(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    learned = count_parameters(gpt2).positions
    return Row(
        "Positions", f"a learned vector for each of {gpt2.max_context_length:,}: {learned:,} parameters",
        f"queries and keys turned (RoPE, theta {gptoss.rope_theta:,.0f}), stretched "
        f"{units.number(gptoss.rope_scaling_factor)} times by YaRN: no parameters",
        "configurations and count_parameters; arXiv 2104.09864, 2309.00071",
        ("13", "17"))


def attention(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    slides = sum(bool(gptoss.window_of(layer)) for layer in range(gptoss.num_hidden_layers))
    windows = f"{slides} of {gptoss.num_hidden_layers} layers see {gptoss.sliding_window} tokens" if slides else "all full"
    return Row(
        "Attention", f"{units.plural(gpt2.num_attention_heads, 'head')} of {gpt2.head_dim}, each with its own keys and "
        "values; every layer sees all",
        f"{units.plural(gptoss.num_attention_heads, 'head')} of {gptoss.head_dim} in "
        f"{units.plural(gptoss.num_key_value_heads, 'KV group')}; {windows}; a sink in every head",
        "configurations; GPT2Attention, AttentionBlock")


def mlp(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    one, many = count_parameters(gpt2), count_parameters(gptoss)
    return Row(
        "MLP", f"one a layer, {gpt2.intermediate_size:,} wide: {one.experts // gpt2.num_hidden_layers:,} parameters",
        f"{units.plural(gptoss.num_experts, 'expert')} a layer, each {gptoss.intermediate_size:,} wide: "
        f"{many.experts // gptoss.num_hidden_layers:,} parameters", "configurations and count_parameters")


def activation(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    return Row(
        "Activation", "GELU, in its tanh form",
        f"SwiGLU: gate and linear half clamped at {units.number(gptoss.swiglu_limit)}, 1 added to the linear half",
        "GPT2MLP and swiglu, the code below; arXiv 1606.08415, 2002.05202")


def routing(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    return Row(
        "Routing", "none: every token uses all of it",
        f"a router of {count_parameters(gptoss).router // gptoss.num_hidden_layers:,} parameters a layer sends each token "
        f"to {gptoss.experts_per_token} of {gptoss.num_experts}", "configuration and count_parameters; MLPBlock")


def size(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    def cell(config: GPT2Config | ModelConfig, tied: str) -> str:
        total = count_parameters(config).total
        return (f"{units.plural(config.num_hidden_layers, 'layer')}, width {config.hidden_size:,}, {total:,} parameters; "
                f"embedding and unembedding {tied}")

    models = GPT2(gpt2.replace(num_hidden_layers=1), device="meta"), _meta(gptoss)
    tied = ["are two tables" if hasattr(model, "unembedding") else "are one table" for model in models]
    return Row(
        "Sizes", cell(gpt2, tied[0]), cell(gptoss, tied[1]), "configurations, count_parameters, and the models' parts",
        ("7",))


def longest_context(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    return Row(
        "Context", f"{gpt2.max_context_length:,} tokens, one learned position each",
        f"{gptoss.max_context_length:,} tokens: {gptoss.initial_context_length:,} × "
        f"{units.number(gptoss.rope_scaling_factor)}",
        "configurations",
        ("12",))


def tokenizer(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    return Row(
        "Tokenizer", f"byte-pair encoding, {get_encoding('gpt2').n_vocab:,} ids",
        f"byte-pair encoding, {get_encoding('o200k_harmony').n_vocab:,} ids", "tiktoken's own encodings, counted",
        ("14a",))


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
        "Precision", f"published in float32, 32 bits a weight: {units.size(count_parameters(gpt2).total * 4)}",
        f"experts in MXFP4, {bits:.2f} bits a weight ({in_blocks / counts.total:.0%} of all), the rest in bfloat16: "
        f"{units.size(sum(stored.values()))}",
        "weight_bytes, count_parameters; GPT-2's checkpoint; model card, arXiv 2508.10925")


def kv_cache(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    def cell(config: GPT2Config | ModelConfig) -> str:
        tokens = min(context, config.max_context_length)
        held = kv_cache_bytes(config, tokens)
        return f"{units.size(held)} at {tokens:,} tokens, {units.size(held / tokens)} a token"

    return Row("KV cache", cell(gpt2), cell(gptoss), "kv_cache_bytes, two bytes a value")


def sparsity(gpt2: GPT2Config, gptoss: ModelConfig, context: int) -> Row:
    def share(config: GPT2Config | ModelConfig) -> float:
        counts = count_parameters(config)
        return counts.active / counts.total

    times = count_parameters(gptoss).experts / count_parameters(gptoss).active_experts
    return Row(
        "Sparsity", f"dense: {share(gpt2):.1%} of all parameters work on a token, all but the positions",
        f"{share(gptoss):.1%} of all parameters work on a token; of the experts' {1 / times:.1%}", "count_parameters",
        ("10a",))


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
