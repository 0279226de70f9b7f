"""What is asked of which model on which machine: the memory page's controls, brought to what is possible."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from gptoss import units
from gptoss.app import kept
from gptoss.app.controls import Main, Own, main_sliders
from gptoss.app.published import in_words, model_control, shown
from gptoss.app.study import Study
from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import MACHINES, Accelerator, Load, cache_film, checkpoint_bytes, is_large, kv_cache_bytes
from gptoss.cost.accelerators import BY_NAME
from gptoss.lessons.memory.accounts import (
    BATCHES,
    DEFAULTS,
    EXPERT_FORMATS,
    LONGEST,
    Setting,
    possible_experts,
)
from gptoss.lessons.memory.charts import PHASES
from gptoss.take_home.here import LARGE, SMALL

MEMORY, CACHE, ROUNDED, ROOFLINE, SPEED, MEASURED = VIEWS = (
    "Memory", "KV cache", "FP8 cache", "Roofline", "Speed", "Measured here")
PROMPTS = CONTEXTS = tuple(2**power for power in range(7, 18))
REST_FORMATS, KV_WIDTHS = ("bf16", "fp32"), (1, 2, 4)
OPERATORS = ("qkv", "scores", "values", "out", "router", "mlp1", "mlp2", "unembedding")

OWN = Own("memory", DEFAULTS)
key, value = OWN.key, OWN.value
moved = partial(OWN.moved, tuple(DEFAULTS), view=MEMORY, model=SMALL)  # an experiment sets all of them


def asked_about(study: Study) -> tuple[str, ModelConfig]:
    """The model of questions about experts: the one shown, or gpt-oss-20b where that does not choose experts."""
    name, config = shown(study, key("model"), SMALL)
    return (name, config) if config.num_experts > config.experts_per_token else (SMALL, PRESETS[SMALL])


def load_controls(study: Study) -> None:
    """Batch, tokens of a user and prompt. The sidebar's context moves the tokens along where that model is large."""
    start = study.context if is_large(study.config) else LONGEST
    _follow("context", start)
    main_sliders(Main("Batch (sequences)", key("batch"), BATCHES, DEFAULTS["batch"], "Users that are served at once.",
                      "{:,}".format))
    longest = _slider("Tokens of a user", "context", CONTEXTS, start,
                      "How many tokens of each sequence are in the cache while the next one is written.")
    within = [tokens for tokens in PROMPTS if tokens <= longest]
    if st.session_state.get(key("prompt"), within[0]) not in within:
        st.session_state[key("prompt")] = within[-1]
    _slider("Prompt (tokens)", "prompt", within, min(DEFAULTS["prompt"], longest),
            "How many tokens of each sequence are read at once, before the first one is written.")


def choose_model(study: Study) -> None:
    """Which model is shown: at first gpt-oss-20b where the one under study is too small to be a question."""
    model_control(study, key("model"), SMALL)


def about_model(study: Study, chosen: Setting) -> str:
    """Which model a picture shows, and what moves it, in Markdown."""
    return in_words(study, chosen.name, chosen.config)


def formats_control() -> None:
    """A drawer with the formats of weights and cache."""
    with st.popover("Formats", icon=":material/data_object:"):
        _radio("Experts", "experts", EXPERT_FORMATS)
        _radio("All other weights", "rest", REST_FORMATS)
        _radio("KV cache (bytes a value)", "kv", KV_WIDTHS)


def machine_control() -> None:
    """The machine whose roof and speed are shown."""
    kept.selectbox("Machine", list(BY_NAME), list(BY_NAME).index(DEFAULTS["machine"]), key=key("machine"),
                   format_func=lambda name: f"{name} · {units.decimal(BY_NAME[name].memory, 'B')}")


def operator_controls() -> tuple[str, str]:
    """The operator that is looked at, by keyboard; a click on the roofline moves the same two controls."""
    phase = kept.segmented_control("Phase", PHASES, default=DEFAULTS["phase"], key=key("phase"),
                                   label_visibility="collapsed")
    operator = kept.pills("Operator", OPERATORS, default=DEFAULTS["operator"], key=key("operator"),
                          label_visibility="collapsed", wrap=True)
    return phase or DEFAULTS["phase"], operator or DEFAULTS["operator"]  # None where an address names nothing


def choose_operator(mark: str) -> None:
    """The callback of a click on the roofline."""
    st.session_state[key("phase")], st.session_state[key("operator")] = mark.split()


def machine() -> Accelerator:
    """The machine that the reader chose."""
    return BY_NAME[value("machine")]


def setting(study: Study) -> Setting:
    """What the controls say, made possible; a sentence on the page where that is something else."""
    possible, refused = possible_setting(study)
    if refused:
        st.warning(refused, icon=":material/block:")
    return possible


def possible_setting(study: Study) -> tuple[Setting, str]:
    """The possible setting nearest to what the controls say, and a sentence where it is another one."""
    name, config = shown(study, key("model"), SMALL)
    experts, refused = possible_experts(config, value("experts"))
    load = Load(value("batch"), value("prompt"), value("context"), experts.lower(), value("rest"), value("kv"))
    return Setting(name, config, load), refused


def sizes_table() -> str:
    """Checkpoint and KV cache of the published models, in Markdown."""
    rows = "".join(f"| {name} | {units.size(checkpoint_bytes(PRESETS[name]))} | "
                   f"{units.size(kv_cache_bytes(PRESETS[name], LONGEST))} | "
                   f"{sum(layer.bytes for layer in cache_film(PRESETS[name], LONGEST)):,} |\n" for name in (SMALL, LARGE))
    return (f"| model | checkpoint | KV cache at {LONGEST:,} | the same, summed layer by layer (bytes) |\n"
            f"|---|---|---|---|\n{rows}")


def machines_table() -> str:
    """Every machine's data and their source, in Markdown."""
    def peaks(on: Accelerator) -> str:
        return ", ".join(f"{name} {units.number(peak / 1e12, 4)}" for name, peak in on.peaks.items()) or "not published"

    rows = "".join(f"| {on.name} | {on.memory / 1e9:,.0f} | {units.number(on.bandwidth / 1e9, 4)} | {peaks(on)} | "
                   f"{on.source} |\n" for on in MACHINES)
    return f"\n| Machine | GB | GB/s | TFLOP/s | Source |\n|---|---|---|---|---|\n{rows}"


def _follow(name: str, start: object) -> None:
    """Let a control go along when the place where it starts moves: the sidebar steers it until the reader does."""
    before = st.session_state.setdefault(key(f"{name}_start"), start)
    if before != start:
        st.session_state[key(name)] = st.session_state[key(f"{name}_start")] = start


def _slider(label: str, name: str, positions: Sequence[int], start: int, help: str) -> int:
    return kept.select_slider(label, positions, start, key=key(name), help=help,
                              format_func=lambda place: f"{place:,}" if isinstance(place, int) else place)


def _radio(label: str, name: str, options: Sequence) -> None:
    kept.radio(label, options, options.index(DEFAULTS[name]), key=key(name), horizontal=True)
