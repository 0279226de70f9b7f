"""The glue of the page on GPT-2: its live model and runs, what the controls choose, and measurements one at a time."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import pandas as pd
import streamlit as st
import torch

from gptoss import units
from gptoss.app import pictures
from gptoss.app.live import CACHED_ATTENTION_CELLS, HEAVY, MAX_LIVE_TOKENS, MEASURING, Running, model_of, running
from gptoss.app.study import RANDOM, Study
from gptoss.app.weights import weights_of
from gptoss.charts import Chart
from gptoss.config import GPT2Config, ModelConfig
from gptoss.cost import count_parameters, kv_cache_bytes
from gptoss.cost.matching import ACTIVE, COMPUTE, EQUALS, TOTAL, WIDTH, Match, held_equal, matched_gpt2, shared_context
from gptoss.lessons.gpt2.charts import clock_spread, comparison_table, size_bars
from gptoss.lessons.gpt2.measure.baseline import (
    CLOCKS,
    GPT_2,
    GPT_OSS,
    MODELS,
    REPEATS,
    SharedText,
    held_bytes,
    measurements,
    real_tokens,
    shared_text,
    sizes,
    spread,
)
from gptoss.lessons.gpt2.measure.baseline_table import comparison
from gptoss.model import GPT2, LanguageModel, Transformer, next_token_probabilities
from gptoss.tokenizer.compact_gpt2 import compact_gpt2
from gptoss.trace import Trace, trace

SIZES, NEXT, ATTENTION, TENSORS, TABLE, TIMES = VIEWS = "Sizes", "Next token", "Attention", "Tensors", "Table", "Clocks"

_HELD = {WIDTH: ("Width", "{:,}".format), TOTAL: ("Total", units.count), ACTIVE: ("Active", units.count),
         COMPUTE: ("FLOPs per token", units.flops)}
KEPT = 32  # measurements that the server remembers
_UNITS = {"parameters": units.count, "bytes": units.size, "FLOPs": units.flops, "tokens": "{:,.0f}".format}

_cached = partial(st.cache_resource, show_spinner=False, hash_funcs={GPT2Config: hash, tuple: hash})


@dataclass(frozen=True)
class Pair:
    """Both sides at the real size and live, and what is held equal."""

    study: Study
    real: Match
    live: Match

    def same_text(self, text: str, special: bool) -> SharedText:
        """The beginning of the text that both live models can read, in the tokens of each."""
        return shared_text(text, self.study.live_config.vocab_size, self.live.config.vocab_size, MAX_LIVE_TOKENS, special)


def pair(study: Study, equal: str | None) -> Pair:
    """The study and the GPT-2 matched to it, at the real size and live. An unknown `equal` is active parameters."""
    equal = equal if equal in EQUALS else ACTIVE
    return Pair(study, *(matched_gpt2(config, equal, study.context) for config in (study.config, study.live_config)))


def controls() -> tuple[str, str]:
    """What is held equal, and what is shown."""
    with st.container(horizontal=True, gap="medium"):
        equal = st.segmented_control("Held equal", EQUALS, default=ACTIVE, key="gpt2_equal", bind="query-params",
                                     required=True, width="content",
                                     help="GPT-2 is made as large as it takes to have as wide and as many layers, as many "
                                          "parameters, as many active ones, or as many FLOPs per token.")
        view = st.segmented_control("Shown", VIEWS, default=SIZES, key="gpt2_view", bind="query-params", required=True,
                                    width="content")
    return equal, view if view in VIEWS else SIZES


def say_the_match(both: Pair, live: bool) -> None:
    """Which GPT-2 stands beside the model under study, and how near the match came."""
    match = both.live if live else both.real
    config = match.config
    what, show = _HELD[match.equal]
    near = "exactly" if match.wanted == match.found else f"{match.error:+.1%}".replace("-", "−")
    st.markdown(
        f"**{'Live GPT-2' if live else 'GPT-2'}**: {config.num_hidden_layers} layers, width {config.hidden_size:,}, heads "
        f"{config.num_attention_heads}, {units.count(count_parameters(config).total)} parameters. {what}: "
        f"{show(match.found)} for {show(match.wanted)}, {near}.")


def whose_weights(both: Pair) -> str:
    """What may be compared: the GPT-2 of this page was never trained, the model under study perhaps was."""
    weights = weights_of(both.study)
    if weights.kind == RANDOM:
        return f"Nothing here was trained: GPT-2 and GPT-OSS have {weights.words}, and guess by chance."
    return (f"GPT-2's weights are random, GPT-OSS has {weights.words}: what it knows better it owes to its training, not to "
            "its design. The page Training trains both alike.")


def say_the_text(text: SharedText) -> None:
    """How many tokens each live model reads, and what was cut."""
    used = text.gptoss.characters_used
    cut = "" if used >= text.characters else (
        f" :material/content_cut: The first {used:,} of {text.characters:,} characters, which both can read in "
        f"{MAX_LIVE_TOKENS} tokens.")
    st.caption(f"The live models read the same text in their own small vocabularies: GPT-OSS in {len(text.gptoss.ids)} "
               f"tokens, GPT-2 in {len(text.gpt2.ids)}.{cut}")


@lru_cache(maxsize=64)
def size_chart(config: ModelConfig, gpt2: GPT2Config, context: int, text: str) -> Chart:
    """Both models' sizes; the text's tokens are counted by the real tokenizers."""
    return size_bars(sizes(config, gpt2, context, real_tokens(text)), lambda value, unit: _UNITS[unit](value))


def say_the_limits(both: Pair) -> None:
    """What GPT-2 cannot do at the sidebar's context."""
    context, shared = both.study.context, shared_context(both.study.context)
    if context > shared:
        held = kv_cache_bytes(both.study.config, context)
        st.caption(f":material/block: GPT-2 has {shared:,} positions and reads no more. At {context:,} tokens, the context "
                   f"chosen, GPT-OSS's cache holds {units.size(held)}. Cache and FLOPs above, of one more token: at "
                   f"{shared:,} for both.")
    else:
        st.caption(f"Cache and FLOPs, of one more token, at {context:,} tokens, the context chosen. GPT-2 has positions for "
                   f"{both.real.config.max_context_length:,}.")


@_cached(max_entries=4)
def live_gpt2(config: GPT2Config, seed: int, precision: str) -> GPT2:
    """A GPT-2 with random weights, shared between sessions and never changed."""
    with HEAVY:
        return GPT2(config, dtype=getattr(torch, precision), seed=seed).eval().requires_grad_(False)


def gpt2_run(both: Pair, ids: tuple[int, ...], layer: int) -> Trace:
    """One traced pass of the live GPT-2, with the inside of one layer."""
    config = both.live.config
    cells = len(ids) ** 2 * config.num_attention_heads
    return (_cached_run if cells <= CACHED_ATTENTION_CELLS else _run)(
        config, both.study.seed, both.study.precision, ids, layer)


def _run(config: GPT2Config, seed: int, precision: str, ids: tuple[int, ...], layer: int) -> Trace:
    model = live_gpt2(config, seed, precision)
    with HEAVY:
        return trace(model, torch.tensor([ids]), layers=[layer], keep=lambda name: not name.endswith("scores"))


_cached_run = _cached(max_entries=8)(_run)


def next_probabilities(both: Pair, model: str, ids: tuple[int, ...]) -> np.ndarray:
    """The distribution (vocabulary,) of one model's next token after `ids`. Shared: never change it."""
    study = both.study
    return _next_probabilities(running(study) if model == GPT_OSS else (both.live.config, study.seed, study.precision), ids)


@lru_cache(maxsize=64)
def _next_probabilities(model: Running | tuple[GPT2Config, int, str], ids: tuple[int, ...]) -> np.ndarray:
    live = model_of(model).model if isinstance(model, Running) else live_gpt2(*model)
    with HEAVY, torch.no_grad():
        return next_token_probabilities(live(torch.tensor([ids]))[0, -1]).numpy()


@lru_cache(maxsize=8)
def gpt2_labels(size: int) -> tuple[str, ...]:
    """The printable form of every token of a live GPT-2's vocabulary."""
    return tuple(map(compact_gpt2(size).label, range(size)))


@lru_cache(maxsize=32)
def table(config: ModelConfig, gpt2: GPT2Config, context: int) -> str:
    """The comparison as HTML."""
    return comparison_table(comparison(gpt2, config, context))


@dataclass(frozen=True)
class Clocks:
    """What was measured: times in seconds, and bytes held as (weights, cache), by model."""

    times: pd.DataFrame
    held: dict[str, tuple[int, int]]
    threads: int


@st.fragment
def clocks(both: Pair, text: SharedText) -> None:
    """Times on this machine: measured when asked for, and remembered."""
    key = (both.study.live_config, both.live.config, both.study.seed, both.study.precision, tuple(text.gptoss.ids),
           tuple(text.gpt2.ids))
    if st.button("Measure both", icon=":material/timer:", key="gpt2_measure", type="primary"):
        _remember(key, _measure(both, text))
    found = _measured().get(key)
    if found is None:
        st.info(f"Nothing is measured yet. Both are built {REPEATS[CLOCKS[0]]} times, read the text {REPEATS[CLOCKS[1]]} "
                f"times and write {REPEATS[CLOCKS[2]]} tokens, taking turns.", icon=":material/timer:")
        return
    pictures.show_chart(clock_spread(found.times), key="gpt2_clocks")
    memory = "; ".join(f"{model}: weights {units.size(weights)}, cache {units.size(cache)}"
                       for model, (weights, cache) in found.held.items())
    st.caption(f"Medians, with the middle half of the measurements as a line. Live models in {both.study.precision}, "
               f"{found.threads} {'thread' if found.threads == 1 else 'threads'}. Bytes their tensors hold after the text: "
               f"{memory}. Small models on a processor mostly wait between small steps: these times say little about the "
               "real sizes.")


@st.cache_resource(show_spinner=False)
def _measured() -> OrderedDict[tuple, Clocks]:
    """Measurements by configuration, for all sessions of the server."""
    return OrderedDict()


def _remember(key: tuple, found: Clocks) -> None:
    store = _measured()
    store[key] = found
    store.move_to_end(key)
    while len(store) > KEPT:
        store.popitem(last=False)


def _measure(both: Pair, text: SharedText) -> Clocks:
    """Time both models, piece by piece, while nobody else on this server measures."""
    bar = st.progress(0.0, "Measuring …")
    if not MEASURING.acquire(blocking=False):
        bar.progress(0.0, "Another measurement is running on this server. Yours comes next.")
        MEASURING.acquire()
    try:
        return _take_turns(both, text, bar)
    finally:
        MEASURING.release()
        bar.empty()


def _take_turns(both: Pair, text: SharedText, bar: st.delta_generator.DeltaGenerator) -> Clocks:
    """One piece of work of the one model, then the same of the other, so that both meet the same machine."""
    study, dtype = both.study, getattr(torch, both.study.precision)
    made: dict[str, LanguageModel] = {}

    def build(model: str) -> LanguageModel:
        made[model] = (Transformer(study.live_config, dtype=dtype, seed=study.seed) if model == GPT_OSS
                       else GPT2(both.live.config, dtype=dtype, seed=study.seed)).eval().requires_grad_(False)
        return made[model]

    ids = {GPT_OSS: text.gptoss.ids, GPT_2: text.gpt2.ids}
    work = [measurements(partial(build, model), ids[model]) for model in MODELS]
    seconds: dict[tuple[str, str], list[float]] = {}
    pieces = sum(REPEATS.values()) + len(REPEATS)
    for done, turn in enumerate(zip(*work, strict=True), 1):
        for model, (clock, run) in zip(MODELS, turn, strict=True):
            with HEAVY:
                seconds.setdefault((clock, model), []).append(run())
        bar.progress(done / pieces, f"Measuring: {turn[0][0].lower()} …")
    rows = [(clock, model, *spread(values[1:])) for (clock, model), values in seconds.items()]
    return Clocks(pd.DataFrame(rows, columns=["work", "model", "median", "low", "high"]),
                  {model: held_bytes(made[model], len(ids[model])) for model in MODELS}, torch.get_num_threads())


def flops_at(config: ModelConfig | GPT2Config, context: int) -> int:
    """FLOPs of one more token at `context` tokens."""
    return held_equal(config, COMPUTE, context)
