"""What is asked of which model on which machine: the memory page's controls, brought to what is possible."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from gptoss import units
from gptoss.app import kept
from gptoss.app.controls import Main, Own, main_sliders
from gptoss.app.study import Study
from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import MACHINES, Accelerator, Load, cache_film, checkpoint_bytes, count_parameters, kv_cache_bytes
from gptoss.lessons.memory.accounts import (
    BATCHES,
    BY_NAME,
    DEFAULTS,
    EXPERT_FORMATS,
    LARGE,
    LARGE_MODEL,
    LONGEST,
    MODELS,
    SMALL,
    UNDER_STUDY,
    Setting,
    possible_experts,
)
from gptoss.lessons.memory.charts import PHASES

MEMORY, CACHE, ROOFLINE, SPEED, MEASURED = VIEWS = "Memory", "KV cache", "Roofline", "Speed", "Measured here"
PROMPTS = CONTEXTS = tuple(2**power for power in range(7, 18))
REST_FORMATS, KV_WIDTHS = ("bf16", "fp32"), (1, 2, 4)
OPERATORS = ("qkv", "scores", "values", "out", "router", "mlp1", "mlp2", "unembedding")

OWN = Own("memory", DEFAULTS)
key, value = OWN.key, OWN.value
moved = partial(OWN.moved, tuple(DEFAULTS), view=MEMORY, model=SMALL)  # an experiment sets all of them


def is_large(study: Study) -> bool:
    """Whether serving the model under study is a question."""
    return count_parameters(study.config).total >= LARGE_MODEL


def asked_about(study: Study) -> tuple[str, ModelConfig]:
    """The model of the question: the one under study, or gpt-oss-20b where that is small or does not choose experts."""
    asked = study.config.num_experts > study.config.experts_per_token and is_large(study)
    return (study.name, study.config) if asked else (SMALL, PRESETS[SMALL])


def model_control(study: Study) -> None:
    """Which model is shown: at first the one under study, or gpt-oss-20b where that is too small to be a question."""
    default = UNDER_STUDY if is_large(study) else SMALL
    _follow("model", default)
    kept.segmented_control("Model", MODELS, default=default, key=key("model"),
                           label_visibility="collapsed", wrap=True,
                           help=f"The published models, or {study.name}, as the sidebar's dials stand.")


def load_controls(study: Study) -> None:
    """Batch, context and prompt. The sidebar's context moves this one along."""
    start = study.context if is_large(study) else LONGEST
    _follow("context", start)
    main_sliders(Main("Batch (sequences)", key("batch"), BATCHES, DEFAULTS["batch"], "Users that are served at once.",
                      "{:,}".format))
    longest = _slider("Context (tokens)", "context", CONTEXTS, start,
                      "Tokens of each sequence in the cache while it is continued.")
    within = [tokens for tokens in PROMPTS if tokens <= longest]
    if st.session_state.get(key("prompt"), within[0]) not in within:
        st.session_state[key("prompt")] = within[-1]
    _slider("Prompt (tokens)", "prompt", within, min(DEFAULTS["prompt"], longest),
            "Tokens of each sequence that are read at once before the first is written.")


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
    name = value_of_model(study)
    config = study.config if name == UNDER_STUDY else PRESETS[name]
    experts, refused = possible_experts(config, value("experts"))
    if refused:
        st.warning(refused, icon=":material/block:")
    load = Load(value("batch"), value("prompt"), value("context"), experts.lower(), value("rest"), value("kv"))
    return Setting(study.name if name == UNDER_STUDY else name, config, load)


def value_of_model(study: Study) -> str:
    """The model that the control names."""
    return st.session_state.get(key("model")) or (UNDER_STUDY if is_large(study) else SMALL)


def about_model(chosen: Setting) -> str:
    """Which model a picture shows, since it need not be the one under study."""
    parameters = units.count(count_parameters(chosen.config).total)
    return f":material/deployed_code: **{chosen.name}**, {parameters} parameters."


def sizes_table() -> str:
    """Checkpoint and KV cache of the published models, in Markdown."""
    rows = "".join(f"| {name} | {units.size(checkpoint_bytes(PRESETS[name]))} | "
                   f"{units.size(kv_cache_bytes(PRESETS[name], LONGEST))} | "
                   f"{sum(layer.bytes for layer in cache_film(PRESETS[name], LONGEST)):,} |\n" for name in (SMALL, LARGE))
    return (f"| model | checkpoint | KV cache at {LONGEST:,} | the same, summed over the film (bytes) |\n"
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
