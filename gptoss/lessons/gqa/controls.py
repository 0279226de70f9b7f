"""What the page on grouped queries asks and checks, in words made from figures."""

from __future__ import annotations

import math
from functools import lru_cache

import streamlit as st
import torch

from gptoss import units
from gptoss.app.lesson import Prediction
from gptoss.app.live import Running, model_of, running, turn
from gptoss.app.study import Study
from gptoss.app.text import current_text, live_tokens
from gptoss.cost import kv_cache_bytes
from gptoss.lessons.gqa.measure import Readers, Saving, saving, who_reads_whom
from gptoss.model import KVCache
from gptoss.tokenizer import DEFAULT_SAMPLE

MAX_TRIED = 64  # tokens; attention is written out in every layer
SHARES = {f"about {percent:g}%": percent / 100 for percent in (90, 30, 10, 3, 1, 0.3, 0.1, 0.03)}



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
