"""What people say about the KV cache and about sharing keys and values, decided on exact sizes."""

from __future__ import annotations

from gptoss import units
from gptoss.app.study import Study
from gptoss.app.verdicts import Verdict, near
from gptoss.cost import checkpoint_bytes, kv_cache_bytes
from gptoss.lessons.gqa import measure

CLAIMED_SAVING = 0.875


def memory_saved(study: Study) -> Verdict:
    """Claim 11, its share: of the cache, and of all that inference keeps."""
    saved = measure.saving(measure.with_kv_heads(study.config, study.heads), study.kv, study.context)
    return Verdict.of(
        near(CLAIMED_SAVING, saved.memory), partly=near(CLAIMED_SAVING, saved.cache),
        sentence=f"{study.kv} KV groups in place of {study.heads} save {saved.cache:.1%} of the cache and "
                 f"{saved.memory:.1%} of weights and cache together, for one sequence of {study.context:,} tokens.")


def inference_reduced(study: Study) -> Verdict:
    """Claim 11, its factor: cache and weights together, as they would be without sharing and windows and as they are."""
    plain = measure.with_kv_heads(study.config, study.heads).replace(sliding_window=0)
    before, now = kv_cache_bytes(plain, study.context), kv_cache_bytes(study.config, study.context)
    weights = checkpoint_bytes(study.config)
    memory = (checkpoint_bytes(plain) + before) / (weights + now)
    return Verdict.of(7 <= memory <= 9, (
        f"With sharing and windows the cache is {units.number(before / now)} times smaller: {units.size(now)} instead of "
        f"{units.size(before)}. The weights stay, {units.size(weights)} or {weights / (weights + now):.0%} of both, "
        f"so inference takes {units.number(memory)} times less."))


def head_size_from_width(study: Study) -> Verdict:
    """The calculator that divides the width by the heads."""
    config, context = study.config, study.context
    mistaken, truth = measure.cache_with_head_size_from_width(config, context), kv_cache_bytes(config, context)
    return Verdict.of(near(mistaken, truth), (
        f"It is {truth / 1e9:.2f} GB. {mistaken / 1e9:.2f} GB comes out if the head size is taken to be "
        f"{config.hidden_size} / {config.num_attention_heads} = {config.hidden_size // config.num_attention_heads}; it is "
        f"{config.head_dim}, and free."))


def keys_as_wide_as_the_stream(study: Study) -> Verdict:
    """The calculator that takes the hidden size for the width of keys and values."""
    config, context = study.config, study.context
    mistaken, truth = measure.cache_with_width_of_stream(config, context), kv_cache_bytes(config, context)
    return Verdict.of(near(mistaken, truth), (
        f"It is {units.size(truth)}. {units.size(mistaken)} comes out if keys and values are taken to be as wide as "
        f"the stream, {config.hidden_size:,}, in every layer and at one byte; they are {config.num_key_value_heads} × "
        f"{config.head_dim} = {config.num_key_value_heads * config.head_dim}, and every other layer keeps "
        f"{config.sliding_window} tokens."))


def cache_as_a_share_of_weights(study: Study) -> Verdict:
    """The calculator that ties the cache to the size of the weights."""
    weights, cache = checkpoint_bytes(study.config), kv_cache_bytes(study.config, study.context)
    return Verdict.of(near(85e9, weights + cache), (
        f"It is {(weights + cache) / 1e9:.1f} GB: {weights / 1e9:.2f} of weights and {cache / 1e9:.2f} of cache. The cache "
        "follows layers, KV groups, head size, windows and tokens, and no share of the weights."))


def windows_forgotten(study: Study, times: float) -> Verdict:
    """A calculator whose cache is so many `times` too large because it gives every layer the whole text."""
    config, context = study.config, study.context
    every_layer = config.replace(sliding_window=0)
    truth, forgotten, unshared = (kv_cache_bytes(design, context) for design in (
        config, every_layer, measure.with_kv_heads(every_layer, config.num_attention_heads)))
    return Verdict.of(near(times, forgotten / truth), (
        f"At {context:,} tokens the cache takes {units.size(truth)}, and {units.size(forgotten)} without windows: "
        f"{forgotten / truth:.2f} times as much. It cannot be more than {config.window_every} times, because every other "
        f"layer keeps the whole text anyway. If each of the {config.num_attention_heads} query heads also has keys and "
        f"values of its own, it is {units.size(unshared)}, {unshared / truth:.1f} times as much."))
