"""The ladder's live models, what they expect next, and the time they take: built once, shared between sessions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import streamlit as st
import torch

from gptoss.app import live, pictures
from gptoss.app.study import Study
from gptoss.app.text import Tokens, current_text, live_tokens, vocabulary_labels
from gptoss.charts import Chart
from gptoss.config import ModelConfig
from gptoss.ladder import RUNGS, LadderConfig
from gptoss.lessons.ladder.charts import waterfall_chart
from gptoss.lessons.ladder.measure import COSTS, TIME, Timing, cost, forward_time, path_of, standing, waterfall
from gptoss.model import LadderModel
from gptoss.tokenizer.compact_gpt2 import compact_gpt2

RUNGS_KEY, MEASURE_KEY = "ladder_rungs", "ladder_measure"
MEASURES = (*COSTS, TIME)

_cached = partial(live.cached, hash_funcs={LadderConfig: hash, ModelConfig: hash, tuple: hash})


@dataclass(frozen=True)
class Expectation:
    """The next token that a live model on the ladder expects."""

    probabilities: np.ndarray  # (vocabulary,)
    entropy: float  # bits

    @property
    def most(self) -> float:
        """Bits of a blind guess over the whole vocabulary."""
        return float(np.log2(len(self.probabilities)))


def choose_rungs() -> frozenset[str]:
    """Toggles for all rungs, all taken at first. Returns those that can be taken; says which wait, and for what."""
    wanted = st.pills("Rungs", list(RUNGS), default=list(RUNGS), selection_mode="multi", key=RUNGS_KEY,
                      bind="query-params", format_func=lambda name: RUNGS[name].title, label_visibility="collapsed")
    taken, waiting = standing(wanted)
    notes = st.container()  # always there: a widget that changes its place on the page no longer writes the address
    for name in waiting:
        needed = " and ".join(RUNGS[each].title for each in RUNGS[name].needs)
        notes.caption(f":material/block: {RUNGS[name].title} needs {needed}: it is left out until that is on.")
    return taken


def set_rungs(rungs: tuple[str, ...]) -> None:
    """Take these rungs and no other, from a button's callback."""
    st.session_state[RUNGS_KEY] = list(rungs)


def climb() -> None:
    """Take the lowest rung that is not taken, from a button's callback."""
    taken = st.session_state.get(RUNGS_KEY) or ()
    set_rungs((*taken, *[name for name in RUNGS if name not in taken][:1]))


@lru_cache(maxsize=256)
def cost_chart(config: LadderConfig, measure: str, context: int) -> Chart:
    """The waterfall of one closed form at the real size. Shared, and never changed."""
    return waterfall_chart(waterfall(config, lambda each: cost(each, measure, context)), measure)


def tokens_for(config: LadderConfig) -> Tokens:
    """The reader's text in the vocabulary of a live model on the ladder."""
    if "o200k" in config:
        return live_tokens(current_text(), config.vocab_size, special=False)
    return _gpt2_tokens(current_text(), config.vocab_size)


@lru_cache(maxsize=64)
def _gpt2_tokens(text: str, size: int) -> Tokens:
    vocabulary = compact_gpt2(size)
    prefix = vocabulary.encode_prefix(text, live.MAX_LIVE_TOKENS)
    return Tokens(tuple(prefix.ids), (), tuple(map(vocabulary.label, prefix.ids)), prefix.characters_used,
                  prefix.total_characters)


def labels_of(config: LadderConfig) -> tuple[str, ...]:
    """Every token of a live model's vocabulary, to be printed."""
    return (vocabulary_labels if "o200k" in config else _gpt2_labels)(config.vocab_size)


@lru_cache(maxsize=8)
def _gpt2_labels(size: int) -> tuple[str, ...]:
    return tuple(map(compact_gpt2(size).label, range(size)))


def live_ladder(study: Study, config: LadderConfig) -> LadderModel:
    """The live model with the rungs of `config`; it takes the study's seed, precision and sinks."""
    return _model(config, study.seed, study.precision, study.sink_override)


@_cached(max_entries=4)
def _model(config: LadderConfig, seed: int, precision: str, sinks: float | None) -> LadderModel:
    with live.HEAVY:
        model = LadderModel(config, dtype=getattr(torch, precision), seed=seed).eval().requires_grad_(False)
    if sinks is not None and "sinks" in config:
        for block in model.block:
            block.attn.sinks.fill_(sinks)
    return model


def expectation(study: Study, config: LadderConfig, tokens: tuple[int, ...]) -> Expectation:
    """What the live model expects after `tokens`, of which there is at least one."""
    return _expectation(config, study.seed, study.precision, study.sink_override, tokens)


@_cached(max_entries=64)
def _expectation(config: LadderConfig, seed: int, precision: str, sinks: float | None,
                 tokens: tuple[int, ...]) -> Expectation:
    model = _model(config, seed, precision, sinks)
    with live.HEAVY, torch.inference_mode():
        logarithms = model(torch.tensor([tokens]))[0, -1].double().log_softmax(-1)
    probabilities = logarithms.exp()
    entropy = -(probabilities * logarithms).sum().item() / np.log(2)
    return Expectation(probabilities.numpy(), entropy)


@st.fragment
def times(study: Study, rungs: frozenset[str]) -> None:
    """The waterfall of measured time. What has been measured is remembered until somebody measures it again."""
    path = path_of(LadderConfig(study.live_config, rungs))
    texts = {config: tokens_for(config).ids for config in path}
    if not all(texts.values()):
        st.info("Choose a text, and the models on the way are timed on it.", icon=":material/edit:")
        return
    again = st.session_state.pop("ladder_time_again", False)
    with st.spinner("Another reader's measurement is running; yours is next." if live.MEASURING.locked() else
                    f"Timing {len(path)} models, one after the other."):
        measured = {config: _timing(study, config, ids, again) for config, ids in texts.items()}
    pictures.show_chart(_time_chart(path[-1], measured), key="ladder_time")
    _say_how(measured, texts)
    st.button("Measure again", icon=":material/replay:", type="tertiary", key="ladder_again", on_click=_ask_again)


def _ask_again() -> None:
    st.session_state["ladder_time_again"] = True


def _time_chart(config: LadderConfig, measured: dict[LadderConfig, Timing]) -> Chart:
    frame = waterfall(config, lambda each: measured[each].median, untaken=False)
    levels = {timing.median: timing for timing in measured.values()}
    spread = [levels[stop] if taken else Timing(stop, stop, stop, 0)
              for stop, taken in zip(frame["stop"], frame["taken"], strict=True)]
    return waterfall_chart(frame.assign(low=[each.low for each in spread], high=[each.high for each in spread]), TIME)


def _say_how(measured: dict[LadderConfig, Timing], texts: dict[LadderConfig, tuple[int, ...]]) -> None:
    passes = [timing.passes for timing in measured.values()]
    lengths = [len(ids) for ids in texts.values()]
    tokens = f"{lengths[0]:,} tokens" if len({*lengths}) == 1 else (
        f"{lengths[0]:,} tokens of GPT-2's small vocabulary, {lengths[-1]:,} of o200k's")
    st.caption(f":material/timer: Live models on your text, {tokens}: medians of {min(passes)} to {max(passes)} passes; the "
               "dark line at a bar's end runs from quartile to quartile. Differences within it mean nothing.")


def _timing(study: Study, config: LadderConfig, tokens: tuple[int, ...], again: bool) -> Timing:
    key = config, study.seed, study.precision, study.sink_override, tokens
    if again:
        _measured.clear(*key)
    return _measured(*key)


@_cached(max_entries=512)
def _measured(config: LadderConfig, seed: int, precision: str, sinks: float | None, tokens: tuple[int, ...]) -> Timing:
    model = _model(config, seed, precision, sinks)
    with live.MEASURING, live.HEAVY:
        return forward_time(model, tokens)
