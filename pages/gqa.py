"""Grouped queries: who shares keys and values, what that saves, and how the cache grows."""

import streamlit as st
import torch

from gptoss import units
from gptoss.app import pictures, state, text
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.lesson import Lesson, Prediction, Try, below, beside
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.config import PRESETS
from gptoss.cost import kv_cache_bytes, kv_cache_bytes_per_layer
from gptoss.lessons.gqa import charts, controls, measure
from gptoss.model import KVCache
from gptoss.model.attention import explicit_attention
from gptoss.model.kv_cache import LayerCache

REAL = PRESETS["gpt-oss-20b"]
OPENING = Opening(
    problem=f"Every token leaves its keys and values in the {word('KV cache')}. With a pair of them for each of "
            f"{REAL.num_attention_heads} heads, a long text soon fills the memory.",
    idea="Let several heads share: each asks a question of its own, and all of a group search the same keys and values.",
    chosen=f"{REAL.num_attention_heads} query heads in {REAL.num_key_value_heads} {word('KV group', 'KV groups')}: the "
           f"cache is {REAL.group_size} times smaller, and the questions are as many as before.")

MATHS = r"""
Of $H$ query heads, $H / G$ share each of $G$ key/value heads: query head $h$ reads head $g = \lfloor h\,G/H \rfloor$,

$$a_h = \sum_j \mathrm{softmax}_j\!\left(\frac{q_h \cdot k_{g,j}}{\sqrt d}\right) v_{g,j}$$

(the sink left out). $G = H$ is multi-head attention, $G = 1$ multi-query attention. A token leaves one key and one value of
$d$ numbers for each of the $G$ heads, in two bytes each, so that after $t$ tokens the cache holds

$$4\,G\,d \sum_{\text{layers}} \min(t, W_\ell) \text{ bytes}, \qquad W_\ell = \infty \text{ in full layers}$$

and the matrices that make keys and values have $2\,G\,d\,(\text{hidden} + 1)$ parameters a layer. Queries and the output
projection do not depend on $G$.
"""


def picture(study: Study) -> None:
    """Which query heads share, what each number of groups costs, and the cache as it grows."""
    with pictures.main():
        heads, costs = st.columns([3, 2], gap="medium")
        with heads:
            pictures.show_drawing(charts.head_sharing(study.heads, study.kv, study.config.head_dim))
        with costs:
            frame = measure.costs_by_kv_heads(study.config, study.context)
            pictures.show_chart(charts.kv_head_costs(frame, study.context), key="gqa_costs")
    beside(lesson(study))
    controls.film(study)


def because(study: Study) -> str:
    """The share to be exact, and what becomes of the cache."""
    every, one = (measure.saving(study.config, kv_heads, study.context) for kv_heads in (study.heads, 1))
    if study.kv == 1:
        return f"{-every.parameters:.2%} to be exact. {controls.cache_change(study, every)}"
    return (f"{one.parameters:.2%} to be exact. {controls.cache_change(study, one)} With {study.heads} groups it would be "
            f"{units.number(every.cache_after / every.cache_before)} times as large as now, and the model "
            f"{-every.parameters:.2%} larger.")


def prediction(study: Study) -> Prediction:
    """How much of the whole model goes with all KV heads but one, or comes with them where there is one."""
    if study.heads == 1:  # nothing to share
        study = Study.of_preset("gpt-oss-120b")
    question = f"{study.name}: {study.kv} KV groups become 1. By how much do the total parameters shrink?"
    if study.kv == 1:
        question = f"{study.name} has 1 KV group. How much larger would {study.heads} groups make the whole model?"
    other = study.heads if study.kv == 1 else 1
    return Prediction(
        question, lambda: controls.nearest_share(abs(measure.saving(study.config, other, study.context).parameters)),
        because=lambda _: because(study), choices=[*controls.SHARES])


def how_we_know(study: Study) -> None:
    """The live model's own scores against every key head, and the closed form against a cache of the real size.

    On the reader's text, or on the first example where there is none.
    """
    tokens = text.live_tokens(text.current_text(), study.vocabulary, special=False) if text.current_text() else (
        text.example_tokens(study))
    readers = controls.who_reads_whom(study, tokens.ids[:controls.MAX_TRIED])
    right = int((readers.nearest == torch.arange(study.heads) // study.config.group_size).sum())
    missed = "" if readers.missed is None else f", any other by at least **{units.number(readers.missed, 2)}**"
    size = KVCache(study.config, 1, study.context, device="meta", dtype=torch.bfloat16).nbytes
    st.markdown(
        f"Every key head of the live model was tried against every query head, for one query and {readers.tokens} keys, at "
        f"this moment:\n"
        f"- **{right} of {readers.nearest.numel()}** query heads, over all layers, give their scores with key head "
        f"⌊head / {study.config.group_size}⌋ of their layer. It misses them by at most "
        f"**{units.number(readers.rounding, 2)}**{missed}.\n"
        f"- Answers of attention with a copy of keys and values for each query head differ from the model's, which copies "
        f"nothing, by at most **{units.number(readers.explicit, 2)}**.\n"
        f"- A cache of the real size at {study.context:,} tokens, laid out without memory, has **{size:,}** bytes; the "
        f"closed form says **{kv_cache_bytes(study.config, study.context):,}**.\n\n"
        "The tests compare the copies with `repeat_kv` of Hugging Face's transformers, the sizes with caches that were "
        "filled token by token, and the parameters with counted tensors.")


def lesson(study: Study) -> Lesson:
    """What is below the picture."""
    return Lesson(
        path="gqa", prediction=prediction(study),
        tries=[
            Try("Every head its own", "gpt-oss-120b as multi-head attention: the cache grows eightfold, the model hardly.",
                preset="gpt-oss-120b", dials={"kv": 64}),
            Try("One for all", "Multi-query attention has the smallest cache. What it costs in quality, only training "
                "tells.", preset="gpt-oss-120b", dials={"kv": 1}),
            Try("A short context", "At 2,048 tokens even multi-head attention's cache is small beside the weights.",
                preset="gpt-oss-120b", dials={"kv": 64, "context": 2048}),
        ],
        maths=MATHS, code=[explicit_attention, LayerCache, kv_cache_bytes_per_layer, measure.key_value_parameters],
        claims=register.of_page("gqa"), checks=lambda: how_we_know(study))


header("gqa", OPENING)
study = state.study()
picture(study)
below(lesson(study))
