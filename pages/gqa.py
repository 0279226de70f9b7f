"""Grouped queries: who shares keys and values, what that saves, and how the cache grows."""

import streamlit as st
import torch

from gptoss import units
from gptoss.app import pictures, state, text
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.lesson import Lesson, Prediction, Try, below, beside
from gptoss.app.retrained import RETRAINED
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.config import PRESETS
from gptoss.cost import checkpoint_bytes, count_parameters, kv_cache_bytes, kv_cache_bytes_per_layer
from gptoss.lessons.gqa import charts, controls, measure
from gptoss.model import KVCache
from gptoss.model.attention import explicit_attention
from gptoss.model.kv_cache import LayerCache
from gptoss.notation import with_numbers

REAL = PRESETS["gpt-oss-20b"]
SHORT = 2048  # tokens of a short context
OPENING = Opening(
    problem=f"Every token leaves its keys and values in the {word('KV cache')}. With a pair of them for each of "
            f"{REAL.num_attention_heads} heads, a long text soon fills the memory.",
    idea="Let several heads share: each asks a question of its own, and all of a group search the same keys and values.",
    chosen=f"{REAL.num_attention_heads} query heads in {REAL.num_key_value_heads} {word('KV group', 'KV groups')}: the "
           f"cache is {REAL.group_size} times smaller, and the questions are as many as before.")

SHARING = r"""
Of $H$ query heads, $H / G$ share the one key and the one value of each of $G$ KV groups. Query head $h$ reads those of its
group $g$ (the sink is left out here):

$$
\begin{aligned}
g &= \lfloor h\, G / H \rfloor \\
\mathbf o_h &= \sum_j \operatorname{softmax}_j\!\left(\frac{\mathbf q_h \cdot \mathbf k_{g,j}}{\sqrt d}\right)
\mathbf v_{g,j}
\end{aligned}
$$

$G = H$ is multi-head attention, $G = 1$ multi-query attention.
"""

CACHE = r"""
A token leaves one key and one value of $d$ numbers for each group, in two bytes each. So after $n$ tokens the cache holds

$$4\, G\, d \sum_{\ell} \min(n, W_\ell) \text{ bytes}, \qquad W_\ell = \infty \text{ in full layers}$$
"""

MATRICES = r"""
The matrices that make keys and values, with their biases, depend on the groups; queries and the output matrix do not:

$$N = 2\, L\, G\, d\, (D + 1)$$
"""


def maths(study: Study) -> str:
    """The formulas, each with the numbers of the model under study."""
    config, context = study.config, study.context
    heads, groups, layers = config.num_attention_heads, config.num_key_value_heads, config.num_hidden_layers
    shared = measure.key_value_parameters(config)
    return with_numbers(
        (SHARING, f"H = {heads} and G = {groups}, so that {units.plural(config.group_size, 'query head')} share. Head "
                  f"{heads - 1} reads group ⌊{heads - 1} · {groups} / {heads}⌋ = {(heads - 1) * groups // heads}."),
        (CACHE, f"4 · {groups} · {config.head_dim} = {4 * groups * config.head_dim:,} bytes for each token and layer. "
                f"At n = {context:,} tokens {units.plural(layers, 'layer')} need "
                f"{units.size(kv_cache_bytes(config, context))}."),
        (MATRICES, f"2 · {layers} · {groups} · {config.head_dim} · ({config.hidden_size:,} + 1) = {shared:,} parameters, "
                   f"{shared / count_parameters(config).total:.2%} of {study.name}."))


def picture(study: Study) -> None:
    """Which query heads share, what each number of groups costs, and the cache as it grows."""
    with pictures.main():
        heads, costs = st.columns([3, 2], gap="medium")
        with heads:
            pictures.show_drawing(charts.head_sharing(study.heads, study.kv, study.config.head_dim))
        with costs:
            pictures.show_chart(controls.costs_chart(study.config, study.context), key="gqa_costs")
    beside(lesson(study))
    controls.film(study)


def prediction(study: Study) -> Prediction:
    """What sharing saves of all that inference keeps: of weights and cache together."""
    if study.heads == 1:  # nothing to share
        study = Study.of_preset("gpt-oss-120b")
    now, alone = (study.kv, False) if study.kv < study.heads else (1, True)
    saved = measure.saving(measure.with_kv_heads(study.config, study.heads), now, study.context)
    right = controls.nearest_share(saved.memory)
    typical = {controls.nearest_share(saved.parameters): "That is the share of the parameters alone.",
               controls.nearest_share(saved.cache): "That is the share of the cache alone. The weights stay, "
                                                    f"{units.size(saved.weights_after)} of them."}
    become = f"Its {study.heads} KV groups become one" if alone else (
        f"First every head has keys and values of its own, then all share {units.plural(now, 'KV group')}")
    return Prediction(
        f"Take {study.in_words} and one text of {study.context:,} tokens. {become}. By how much do weights and cache "
        "together shrink?",
        lambda: right, choices=[*controls.SHARES],
        because=lambda _: f"It is {saved.memory:.2%} exactly. The cache goes from {units.size(saved.cache_before)} to "
                          f"{units.size(saved.cache_after)}, and the {units.size(saved.weights_after)} of weights beside "
                          "it hardly change. With many texts at once the saving is larger, because each has a cache of its "
                          "own.",
        mistakes={share: words for share, words in typical.items() if share != right})


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
        f"Every group's keys of the live model were tried against every query head, for one query and {readers.tokens} "
        f"keys, at this moment:\n"
        f"- **{right} of {readers.nearest.numel()}** query heads, over all layers, give their scores with those of group "
        f"⌊head / {study.config.group_size}⌋ of their layer. It misses them by at most "
        f"**{units.number(readers.rounding, 2)}**{missed}.\n"
        f"- Answers of attention with a copy of keys and values for each query head differ from the model's, which copies "
        f"nothing, by at most **{units.number(readers.explicit, 2)}**.\n"
        f"- A cache of the real size at {study.context:,} tokens, laid out as shapes without numbers, has **{size:,}** "
        f"bytes; the closed form says **{kv_cache_bytes(study.config, study.context):,}**.\n\n"
        "The tests compare the copies with `repeat_kv` of Hugging Face's transformers, the sizes with caches that were "
        "filled token by token, and the parameters with counted tensors.")


def tries(large: Study) -> list[Try]:
    """What to try on the large model, with the figures that are then seen."""
    every, one = (measure.with_kv_heads(large.config, groups) for groups in (large.heads, 1))
    caches = [kv_cache_bytes(config, large.context) for config in (every, one)]
    grown = count_parameters(every).total / count_parameters(large.config).total - 1
    short = kv_cache_bytes(every, SHORT) / checkpoint_bytes(every)
    return [
        Try("Every head its own", f"gpt-oss-120b as multi-head attention: its cache is "
            f"{units.number(large.config.group_size)} times as large, {units.size(caches[0])}, and the model has "
            f"{grown:.1%} more parameters.",
            preset="gpt-oss-120b", dials={"kv": large.heads},
            check=lambda seen: f"KV groups at {large.context:,} tokens: {units.size(caches[0])}" in seen.words),
        Try("One for all", f"Multi-query attention has the smallest cache, {units.size(caches[1])}. What that costs in "
            f"quality only training tells: see “{RETRAINED}” below.", preset="gpt-oss-120b", dials={"kv": 1},
            check=lambda seen: f"1 KV group at {large.context:,} tokens: {units.size(caches[1])}" in seen.words),
        Try("A short context", f"At {SHORT:,} tokens even multi-head attention's cache is {short:.1%} of what the weights "
            "take: sharing pays for long texts, and for many texts at once.",
            preset="gpt-oss-120b", dials={"kv": large.heads, "context": SHORT},
            check=lambda seen: short < 0.02 and f"{large.heads} KV groups at {SHORT:,} tokens" in seen.words)]


def lesson(study: Study) -> Lesson:
    """What is asked, tried and explained."""
    return Lesson(
        path="gqa", prediction=prediction(study), tries=tries(Study.of_preset("gpt-oss-120b")), maths=maths(study),
        code=[explicit_attention, LayerCache, kv_cache_bytes_per_layer, measure.key_value_parameters],
        claims=register.of_page("gqa"), checks=lambda: how_we_know(study))


header("gqa", OPENING)
study = state.study()
picture(study)
below(lesson(study))
