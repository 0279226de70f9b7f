"""GPT-2 beside GPT-OSS: a GPT-2 that is equal to it in one respect, what the two cost, and both on one text."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gptoss.config import GPT2Config, ModelConfig
from gptoss.cost import count_parameters, forward_flops, kv_cache_bytes
from gptoss.cost.matching import shared_context
from gptoss.model.attention import explicit_attention, fused_attention_in_parts, visible
from gptoss.model.gpt2 import GPT2
from gptoss.model.language_model import LanguageModel
from gptoss.tokenizer import EncodedPrefix, clean_text, compact_vocabulary, encode_text
from gptoss.tokenizer.compact_gpt2 import compact_gpt2
from gptoss.trace import Trace, meaning

GPT_OSS, GPT_2 = MODELS = "GPT-OSS", "GPT-2"
COUNTED = 20_000  # characters of a text that the real tokenizers count
BUILD, READ, WRITE = CLOCKS = "Build the model", "Read the text", "Write one token"
REPEATS = {BUILD: 5, READ: 7, WRITE: 15}

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
    for model, each, count in zip(MODELS, (config, gpt2), tokens, strict=True):
        parameters = count_parameters(each)
        rows += [
            ("Text tokens", model, count, "tokens"),
            ("Parameters", model, parameters.total, "parameters"),
            ("Active", model, parameters.active, "parameters"),
            ("KV cache", model, kv_cache_bytes(each, shared), "bytes"),
            ("FLOPs", model, forward_flops(each, tokens=1, context=shared).needed_total, "FLOPs")]
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
def shared_text(text: str, vocabulary: int, gpt2_vocabulary: int, max_tokens: int, special: bool = False) -> SharedText:
    """The beginning of `text` that fits both models in at most `max_tokens` tokens, in the tokens of each.

    `special` reads `<|start|>` and the like as GPT-OSS's special tokens; to GPT-2 they are always text.
    """
    ours, theirs, text = compact_vocabulary(vocabulary), compact_gpt2(gpt2_vocabulary), clean_text(text)
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
    """The layer of a model of `their_layers` that stands as deep as `layer` of `layers`."""
    return round(layer * (their_layers - 1) / max(layers - 1, 1))


def measurements(build: Callable[[], LanguageModel], ids: Sequence[int]) -> Iterator[tuple[str, Callable[[], float]]]:
    """The pieces of work to time, in order: (one of `CLOCKS`, a function that does it once and gives the seconds).

    The caller runs each before it asks for the next, and may let others run between two. The first of each kind warms
    up and is not to be counted. Reading is one pass over all of `ids` without a cache; writing is a pass over one
    token that follows them in a cache.
    """
    built: list[LanguageModel] = []

    def timed(work: Callable[[], object]) -> float:
        with torch.inference_mode():
            start = time.perf_counter()
            work()
            return time.perf_counter() - start

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


class Spread(NamedTuple):
    """The median of some measured values, and the quartiles around it."""

    median: float
    low: float
    high: float


def spread(seconds: Sequence[float]) -> Spread:
    """Median and quartiles of at least two measured values."""
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Spread(middle, low, high)


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
