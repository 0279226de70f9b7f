"""What the page on grouped queries asks, claims and checks, in words made from figures."""

from __future__ import annotations

import math
from functools import lru_cache

import streamlit as st
import torch

from gptoss import units
from gptoss.app.lesson import PARTLY, Claim, Prediction
from gptoss.app.live import Running, model_of, running, turn
from gptoss.app.study import Study
from gptoss.app.text import current_text, live_tokens
from gptoss.config import PRESETS
from gptoss.cost import checkpoint_bytes, kv_cache_bytes
from gptoss.lessons.gqa.measure import (
    Readers,
    Saving,
    cache_with_head_size_from_width,
    cache_with_width_of_stream,
    saving,
    who_reads_whom,
    with_kv_heads,
)
from gptoss.model import KVCache
from gptoss.tokenizer import DEFAULT_SAMPLE

MAX_TRIED = 64  # tokens; attention is written out in every layer
SHARES = {f"about {percent:g}%": percent / 100 for percent in (90, 30, 10, 3, 1, 0.3, 0.1, 0.03)}

_LARGE, _SMALL = PRESETS["gpt-oss-120b"], PRESETS["gpt-oss-20b"]
_FULL_CONTEXT, _SHORT = 131_072, 32_768  # tokens, as the calculators were asked
CLAIMED_SAVING = 0.875


def prediction(study: Study) -> Prediction:
    """How much of the whole model goes with all KV heads but one, or comes with them where there is one."""
    if study.heads == 1:  # nothing to share
        study = Study.of_preset("gpt-oss-120b")
    every = saving(study.config, study.heads, study.context)
    if study.kv == 1:
        return Prediction(
            f"{study.name} has 1 KV group. How much larger would {study.heads} groups make the whole model?",
            answer=lambda: _nearest_share(-every.parameters), choices=[*SHARES],
            because=lambda _: f"{-every.parameters:.2%} to be exact. {_cache_change(study, every)}")
    one = saving(study.config, 1, study.context)
    return Prediction(
        f"{study.name}: {study.kv} KV groups become 1. By how much do the total parameters shrink?",
        answer=lambda: _nearest_share(one.parameters), choices=[*SHARES],
        because=lambda _: f"{one.parameters:.2%} to be exact. {_cache_change(study, one)} With {study.heads} groups it "
                          f"would be {every.cache_after / every.cache_before:.3g} times as large as now, and the model "
                          f"{-every.parameters:.2%} larger.")


def _cache_change(study: Study, change: Saving) -> str:
    before, after = change.cache_before, change.cache_after
    if max(before, after) >= 2**30:  # one unit for both, to be compared
        sizes = f"{before / 2**30:.2f} to {after / 2**30:.2f} GiB"
    else:
        sizes = f"{units.size(before)} to {units.size(after)}"
    return f"The cache at {study.context:,} tokens goes from {sizes}."


def claims(study: Study) -> list[Claim]:
    """Claim 11 on the model under study, and what public calculators say of the published ones."""
    return [
        Claim("87.5% memory saved", "the notebook, claim 11", lambda: memory_saved(study)),
        Claim("~8x memory reduction for inference", "the notebook, claim 11", lambda: inference_reduced(study)),
        Claim("gpt-oss-120b keeps 3.40 GB of KV cache at 131k tokens", "a public calculator", head_size_from_width),
        Claim("gpt-oss-120b keeps 25.3 GiB of KV cache at 131k tokens", "a public calculator", keys_as_wide_as_the_stream),
        Claim("gpt-oss-20b takes ~85 GB at 32k tokens in 4 bits", "a public calculator, KV as a share of the weights",
              cache_as_a_share_of_weights),
    ]


def how_we_know(study: Study) -> None:
    """The live model's own scores against every key head, and the closed form against a cache of the real size.

    On the reader's text, or on the first example where there is none.
    """
    tokens = live_tokens(current_text() or DEFAULT_SAMPLE.text, study.live_config.vocab_size, special=False)
    readers = _readers(running(study), tokens.ids[:MAX_TRIED])
    group = torch.arange(study.heads) // study.config.group_size
    right = int((readers.nearest == group).sum())
    missed = "" if readers.missed is None else f", any other by at least **{readers.missed:.2g}**"
    size = KVCache(study.config, 1, study.context, device="meta", dtype=torch.bfloat16).nbytes
    st.markdown(
        f"Every key head of the live model was tried against every query head, for one query and {readers.tokens} keys, at "
        f"this moment:\n"
        f"- **{right} of {readers.nearest.numel()}** query heads, over all layers, give their scores with key head "
        f"⌊head / {study.config.group_size}⌋ of their layer. It misses them by at most **{readers.found:.2g}**{missed}.\n"
        f"- Answers of attention with a copy of keys and values for each query head differ from the model's, which copies "
        f"nothing, by at most **{readers.explicit:.2g}**.\n"
        f"- A cache of the real size at {study.context:,} tokens, laid out without memory, has **{size:,}** bytes; the "
        f"closed form says **{kv_cache_bytes(study.config, study.context):,}**.\n\n"
        "The tests compare the copies with `repeat_kv` of Hugging Face's transformers, the sizes with caches that were "
        "filled token by token, and the parameters with counted tensors.")


@lru_cache(maxsize=8)
def _readers(running: Running, tokens: tuple[int, ...]) -> Readers:
    model = model_of(running).model
    with turn(running):
        return who_reads_whom(model, tokens)


def _nearest_share(share: float) -> str:
    """The choice nearest by ratio."""
    return min(SHARES, key=lambda words: abs(math.log(SHARES[words]) - math.log(max(share, 1e-9))))


def memory_saved(study: Study) -> tuple[bool | str, str]:
    """Claim 11, its share: of the cache, and of all that inference keeps."""
    saved = saving(with_kv_heads(study.config, study.heads), study.kv, study.context)
    of_both, of_cache = (near(CLAIMED_SAVING, share) for share in (saved.memory, saved.cache))
    return of_both or (of_cache and PARTLY), (
        f"{study.kv} KV heads in place of {study.heads} save {saved.cache:.1%} of the cache and {saved.memory:.1%} of "
        f"weights and cache together, for one sequence of {study.context:,} tokens.")


def inference_reduced(study: Study) -> tuple[bool, str]:
    """Claim 11, its factor: cache and weights together, as they would be without sharing and windows and as they are."""
    plain = with_kv_heads(study.config, study.heads).replace(sliding_window=0)
    before, now = kv_cache_bytes(plain, study.context), kv_cache_bytes(study.config, study.context)
    weights = checkpoint_bytes(study.config)
    memory = (checkpoint_bytes(plain) + before) / (weights + now)
    return 7 <= memory <= 9, (
        f"With sharing and windows the cache is {before / now:.3g} times smaller: {units.size(now)} instead of "
        f"{units.size(before)}. The weights stay, {units.size(weights)} or {weights / (weights + now):.0%} of both, "
        f"so inference takes {memory:.3g} times less.")


def head_size_from_width() -> tuple[bool, str]:
    """The calculator that divides the width by the heads."""
    mistaken, truth = cache_with_head_size_from_width(_LARGE, _FULL_CONTEXT), kv_cache_bytes(_LARGE, _FULL_CONTEXT)
    return near(mistaken, truth), (
        f"It is {truth / 1e9:.2f} GB. {mistaken / 1e9:.2f} GB comes out if the head size is taken to be "
        f"{_LARGE.hidden_size} / {_LARGE.num_attention_heads} = {_LARGE.hidden_size // _LARGE.num_attention_heads}; it is "
        f"{_LARGE.head_dim}, and free.")


def keys_as_wide_as_the_stream() -> tuple[bool, str]:
    """The calculator that takes the hidden size for the width of keys and values."""
    mistaken, truth = cache_with_width_of_stream(_LARGE, _FULL_CONTEXT), kv_cache_bytes(_LARGE, _FULL_CONTEXT)
    return near(mistaken, truth), (
        f"It is {units.size(truth)}. {units.size(mistaken)} comes out if keys and values are taken to be as wide as "
        f"the stream, {_LARGE.hidden_size:,}, in every layer and at one byte; they are {_LARGE.num_key_value_heads} × "
        f"{_LARGE.head_dim} = {_LARGE.num_key_value_heads * _LARGE.head_dim}, and every other layer keeps "
        f"{_LARGE.sliding_window} tokens.")


def cache_as_a_share_of_weights() -> tuple[bool, str]:
    """The calculator that ties the cache to the size of the weights."""
    weights, cache = checkpoint_bytes(_SMALL), kv_cache_bytes(_SMALL, _SHORT)
    return near(85e9, weights + cache), (
        f"It is {(weights + cache) / 1e9:.1f} GB: {weights / 1e9:.2f} of weights and {cache / 1e9:.2f} of cache. The cache "
        "follows layers, KV heads, head size, windows and tokens, and no share of the weights.")


def near(said: float, truth: float) -> bool:
    """Whether a figure that was said is the true one, to a hundredth of it."""
    return math.isclose(said, truth, rel_tol=0.01)
