"""The ladder's rungs, its waterfalls, and its live models: what they expect next, and the time that they take."""

from __future__ import annotations

from functools import lru_cache

import streamlit as st

from gptoss import units
from gptoss.app import controls, kept, pictures, text
from gptoss.app.computed import computed, measured
from gptoss.app.live import Built
from gptoss.app.served import MAX_LIVE_TOKENS
from gptoss.app.study import Study
from gptoss.charts import Chart, next_token
from gptoss.ladder import RUNGS, LadderConfig
from gptoss.lessons.ladder import charts, measure
from gptoss.lessons.ladder.measure import CACHE, COSTS, FLOPS, TIME, Timing
from gptoss.tokenizer.compact_gpt2 import compact_gpt2

MEASURES = (*COSTS, TIME)
RUNGS_KEY, MEASURE_KEY = controls.Key("ladder_rungs", list(RUNGS)[:1]), controls.Key("ladder_measure", MEASURES[0])

expectation = computed(measure.expectation, entries=64)
timed = measured(measure.forward_time, entries=512, doing="Timing the models, one after the other.")
differences = computed(measure.ends_differ_by)


def rungs() -> frozenset[str]:
    """Toggles for all rungs, the first one taken at first; Back, Next and a button for all of them.

    Returns those that can be taken; says which wait, and for what.
    """
    wanted = kept.pills("Rungs", list(RUNGS), default=RUNGS_KEY.default, selection_mode="multi", key=RUNGS_KEY.name,
                        format_func=lambda name: RUNGS[name].title, label_visibility="collapsed", wrap=True)
    with st.container(horizontal=True, gap="small"):
        controls.step_buttons(RUNGS_KEY.name, _descend if wanted else None, _climb if len(wanted) < len(RUNGS) else None)
        st.button("All rungs", key="ladder_all", on_click=lambda: RUNGS_KEY.set([*RUNGS]), type="tertiary")
    taken, waiting = measure.standing(wanted)
    needed = {name: " and ".join(RUNGS[other].title for other in RUNGS[name].needs) for name in waiting}
    lines = [f":material/block: {RUNGS[name].title} needs {needs}: it is left out until that is on."
             for name, needs in needed.items()]
    if lines:
        st.caption("  \n".join(lines))
    return taken


def _climb() -> None:
    """Take the lowest rung that is not taken."""
    taken = RUNGS_KEY.value
    RUNGS_KEY.set([*taken, *[name for name in RUNGS if name not in taken][:1]])


def _descend() -> None:
    """Leave the highest rung that is taken."""
    taken = RUNGS_KEY.value
    highest = [name for name in RUNGS if name in taken][-1:]
    RUNGS_KEY.set([name for name in taken if name not in highest])


@lru_cache(maxsize=256)
def _cost_chart(config: LadderConfig, of: str, context: int) -> Chart:
    return charts.waterfall_chart(measure.waterfall(config, lambda model: measure.cost(model, of, context)), of)


def costs(config: LadderConfig, of: str, context: int) -> None:
    """The waterfall of one closed form at the real size; why its bars have this order, and at which context they count."""
    bottom, result = (measure.context_of(model, context) for model in (config.replace(()), config))
    pictures.show_chart(_cost_chart(config, of, context), key=f"ladder_{MEASURES.index(of)}", words=(
        ":material/format_list_numbered: What a rung changes depends on the rungs before it, so their order is fixed: a "
        "bar is what its rung changes after those above it. In brackets stands what a rung that is left out would change "
        "there." + (
            f" Each model is counted at the {context:,} tokens of the dial or as many as its positions are made for: GPT-2 "
            f"{bottom:,}, the result {result:,}." if of in (CACHE, FLOPS) else "")))


def live_ladder(study: Study, config: LadderConfig) -> Built:
    """The live model with the rungs of `config`; it takes the study's seed, precision and sinks."""
    return Built(measure.ladder_model, (config, study.seed, study.precision, study.sink_override))


def tokens_for(study: Study, config: LadderConfig) -> text.Tokens:
    """The reader's text in the vocabulary of a live model on the study's ladder."""
    if "o200k" in config:
        return text.live_tokens(text.current_text(), study.vocabulary, special=False)
    return _gpt2_tokens(text.current_text(), config.vocab_size)


@lru_cache(maxsize=64)
def _gpt2_tokens(words: str, size: int) -> text.Tokens:
    vocabulary = compact_gpt2(size)
    prefix = vocabulary.encode_prefix(words, MAX_LIVE_TOKENS)
    return text.Tokens(tuple(prefix.ids), (), tuple(map(vocabulary.label, prefix.ids)), prefix.characters_used,
                       prefix.total_characters)


def expected(study: Study, config: LadderConfig) -> None:
    """The reader's text through the live model of these rungs."""
    st.header("It runs: what this model expects next", anchor=False)
    tokens = tokens_for(study, config)
    chart, words = st.columns([5, 4], gap="medium")
    with words:
        text.text_drawer()
        text.say_what_was_cut(tokens)
    with chart:
        if not controls.has_text(tokens, "the model runs on it"):
            return
        after = expectation(live_ladder(study, config), tokens.ids)
        vocabulary = study.vocabulary if "o200k" in config else compact_gpt2(config.vocab_size)
        pictures.show_chart(next_token(text.vocabulary_labels(vocabulary), after.probabilities, top=5), key="ladder_next")
    words.markdown(
        f"Entropy **{after.entropy:.2f} bits**; a blind guess among {config.vocab_size:,} tokens has {after.most:.2f} bits. "
        f"The live vocabulary is a small part of {'o200k' if 'o200k' in config else 'GPT-2'}'s, so texts take more tokens "
        f"than in the real one. The weights are random, seed {study.seed}: what the model prefers is chance.")


@st.fragment
def times(study: Study, taken: frozenset[str]) -> None:
    """The waterfall of measured time. What has been measured is remembered until somebody measures it again."""
    path = measure.path_of(LadderConfig(study.live_config, taken))
    texts = {config: tokens_for(study, config).ids for config in path}
    if not all(texts.values()):
        st.info("Choose a text, and the models on the way are timed on it.", icon=":material/edit:")
        return
    time = timed.again if st.session_state.pop("ladder_time_again", False) else timed
    timings = {config: time(live_ladder(study, config), ids) for config, ids in texts.items()}
    pictures.show_chart(charts.waterfall_chart(measure.time_waterfall(path[-1], timings), TIME), key="ladder_time",
                        words=_how(list(timings.values()), [len(ids) for ids in texts.values()]))
    st.button("Measure again", icon=":material/replay:", type="tertiary", key="ladder_again",
              on_click=lambda: st.session_state.update(ladder_time_again=True))


def _how(timings: list[Timing], lengths: list[int]) -> str:
    passes = [timing.passes for timing in timings]
    tokens = units.plural(lengths[0], "token") if len({*lengths}) == 1 else (
        f"{units.plural(lengths[0], 'token')} of GPT-2's small vocabulary, {lengths[-1]:,} of o200k's")
    return (f":material/timer: Live models on your text, {tokens}: medians of {min(passes)} to {max(passes)} passes; the "
            "dark line at a bar's end runs from quartile to quartile. Differences within it mean nothing.")
