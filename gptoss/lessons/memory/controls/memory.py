"""The settings and figures of the page on memory and compute: what the reader chose, brought to what can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import pandas as pd
import streamlit as st

from gptoss import units
from gptoss.app.study import Study
from gptoss.charts import Chart
from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import (
    MACHINES,
    Accelerator,
    Load,
    OperatorBound,
    bounds,
    cache_designs,
    cache_film,
    count_parameters,
    decode_operators,
    expected_experts_touched,
    prefill_operators,
    serving_bytes,
    tokens_per_second,
    users_at_once,
)
from gptoss.cost.inference import ACTIVATIONS as ACTIVATION_BYTES
from gptoss.cost.inference import CACHE as CACHE_BYTES
from gptoss.cost.inference import FLOPS
from gptoss.cost.inference import WEIGHTS as WEIGHT_BYTES
from gptoss.cost.memory import MXFP4_BLOCK_VALUES
from gptoss.lessons.memory.charts import (
    CACHE_OF,
    DECODE,
    PHASES,
    PREFILL,
    WEIGHTS,
    cache_totals,
    experts_touched,
    film_strip,
    machines_filled,
    memory_by_format,
    roofline,
    speed_by_batch,
    time_by_part,
)

MEMORY, CACHE, ROOFLINE, SPEED, MEASURED = VIEWS = "Memory", "KV cache", "Roofline", "Speed", "Measured here"
SMALL, LARGE, UNDER_STUDY = MODELS = "gpt-oss-20b", "gpt-oss-120b", "under study"
LARGE_MODEL = 10**9  # parameters from which on serving a model is a question
LONGEST = 131_072  # tokens

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
PROMPTS = CONTEXTS = tuple(2**power for power in range(7, 18))
EXPERT_FORMATS, REST_FORMATS, KV_WIDTHS = ("MXFP4", "bf16", "fp32"), ("bf16", "fp32"), (1, 2, 4)
COMPARED = ("L4", "RTX 5090", "H100", "B200")  # machines whose speeds are drawn beside the chosen one's
DEFAULTS = {"batch": 1, "prompt": 1024, "context": LONGEST, "experts": "MXFP4", "rest": "bf16", "kv": 2, "machine": "H100",
            "phase": DECODE, "operator": "mlp1"}
OPERATORS = ("qkv", "scores", "values", "out", "router", "mlp1", "mlp2", "unembedding")

_MACHINE = {machine.name: machine for machine in MACHINES}
_PART_SERVED = {"embedding": "embeddings", "unembedding": "embeddings", "norms": "router and norms",
                "router": "router and norms", "qkv": "attention", "sinks": "attention", "out": "attention",
                "mlp1": "experts", "mlp2": "experts", "expert biases": "experts", "activations": "activations"}
_PLAIN = (("MXFP4", "bf16"), ("bf16", "bf16"), ("fp32", "fp32"))  # formats that always stand beside the chosen ones


@dataclass(frozen=True)
class Setting:
    """What is shown: a model at its real size, and what is asked of it."""

    name: str
    config: ModelConfig
    load: Load

    @property
    def formats(self) -> str:
        """The formats in a word for the experts and one for the rest."""
        return _formats(_spelt(self.load.experts), self.load.rest)


def key(name: str) -> str:
    """The widget's key, which is also its name in the address."""
    return f"memory_{name}"


def value(name: str):
    """What a control stands at."""
    return st.session_state.get(key(name), DEFAULTS[name])


def is_large(study: Study) -> bool:
    """Whether serving the model under study is a question."""
    return count_parameters(study.config).total >= LARGE_MODEL


def model_control(study: Study) -> None:
    """Which model is shown: at first the one under study, or gpt-oss-20b where that is too small to be a question."""
    default = UNDER_STUDY if is_large(study) else SMALL
    _follow("model", default)
    st.segmented_control("Model", MODELS, default=default, key=key("model"), bind="query-params", required=True,
                         label_visibility="collapsed", wrap=True,
                         help=f"The published models, or {study.name}, as the sidebar's dials stand.")


def load_controls(study: Study) -> None:
    """Batch, context and prompt, and the formats in a drawer. The sidebar's context moves this one along."""
    batch, context, prompt, formats = st.columns([4, 4, 4, 3], gap="medium", vertical_alignment="bottom")
    start = study.context if is_large(study) else LONGEST
    _follow("context", start)
    with batch:
        _slider("Batch (sequences)", "batch", BATCHES, DEFAULTS["batch"], "Users that are served at once.")
    with context:
        longest = _slider("Context (tokens)", "context", CONTEXTS, start,
                          "Tokens of each sequence in the cache while it is continued.")
    with prompt:
        within = [each for each in PROMPTS if each <= longest]
        if st.session_state.get(key("prompt"), within[0]) not in within:
            st.session_state[key("prompt")] = within[-1]
        _slider("Prompt (tokens)", "prompt", within, min(DEFAULTS["prompt"], longest),
                "Tokens of each sequence that are read at once before the first is written.")
    with formats.popover("Formats", icon=":material/data_object:", width="stretch"):
        _radio("Experts", "experts", EXPERT_FORMATS)
        _radio("All other weights", "rest", REST_FORMATS)
        _radio("KV cache (bytes a value)", "kv", KV_WIDTHS)


def machine_control() -> None:
    """The machine whose roof and speed are shown."""
    st.selectbox("Machine", list(_MACHINE), list(_MACHINE).index(DEFAULTS["machine"]), key=key("machine"),
                 bind="query-params", format_func=lambda name: f"{name} · {units.decimal(_MACHINE[name].memory, 'B')}")


def operator_controls() -> tuple[str, str]:
    """The operator that is looked at, by keyboard; a click on the roofline moves the same two controls."""
    phase = st.segmented_control("Phase", PHASES, default=DEFAULTS["phase"], key=key("phase"), bind="query-params",
                                 required=True, label_visibility="collapsed")
    operator = st.pills("Operator", OPERATORS, default=DEFAULTS["operator"], key=key("operator"), bind="query-params",
                        required=True, label_visibility="collapsed", wrap=True)
    return phase or DEFAULTS["phase"], operator or DEFAULTS["operator"]  # None where an address names nothing


def choose_operator(mark: str) -> None:
    """The callback of a click on the roofline."""
    st.session_state[key("phase")], st.session_state[key("operator")] = mark.split()


def machine() -> Accelerator:
    """The machine that the reader chose."""
    return _MACHINE[value("machine")]


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


def possible_experts(config: ModelConfig, wanted: str) -> tuple[str, str]:
    """The experts' format, and a sentence where it cannot be the wanted one: MXFP4 needs whole blocks of 32 values."""
    sizes = {"hidden size": config.hidden_size, "intermediate size": config.intermediate_size}
    odd = [f"{name} {size:,}" for name, size in sizes.items() if size % MXFP4_BLOCK_VALUES]
    if wanted != EXPERT_FORMATS[0] or not odd:
        return wanted, ""
    return "bf16", (f"MXFP4 holds blocks of {MXFP4_BLOCK_VALUES} values, and {' and '.join(odd)} cannot be divided into "
                    "such. Experts in bf16 are shown.")


def about_model(chosen: Setting) -> str:
    """Which model a picture shows, since it need not be the one under study."""
    parameters = units.count(count_parameters(chosen.config).total)
    return f":material/deployed_code: **{chosen.name}**, {parameters} parameters."


def about_bound(on: Accelerator, chosen: Setting) -> str:
    """What the times are, and where no arithmetic enters them."""
    said = ":material/speed: A bound, not a promise: no pass can be faster, and real ones are slower."
    if any(each.compute is None for each in operator_bounds(chosen.config, chosen.load, on)[DECODE]):
        said += f" For {on.name} not all peaks are published: where one is missing, memory alone bounds."
    return said


@lru_cache(maxsize=256)
def memory_charts(chosen: Setting) -> tuple[Chart, Chart]:
    """All that is kept, by formats and part; and how much of each machine that takes. Shared, and never changed."""
    load, config = chosen.load, chosen.config
    kinds = [(experts, rest) for experts, rest in _PLAIN if possible_experts(config, experts)[0] == experts]
    kinds += [own] if (own := (_spelt(load.experts), load.rest)) not in kinds else []
    formats = {_formats(*kind): served(config, replace(load, experts=kind[0].lower(), rest=kind[1])) for kind in kinds}
    machines = sorted(MACHINES, key=lambda each: each.memory)
    table = pd.DataFrame([(each.name, each.memory, users_at_once(config, each.memory, load)) for each in machines],
                         columns=["machine", "memory", "users"])
    parts = formats[chosen.formats]
    caches = {part: parts[part] for part in CACHE_OF.values()}
    weights = sum(parts.values()) - sum(caches.values()) - parts["activations"]
    return (memory_by_format(formats, chosen.formats),
            machines_filled(table, {WEIGHTS: weights, **caches}, load.batch_size))


def served(config: ModelConfig, load: Load) -> dict[str, int]:
    """Bytes kept while serving, by the parts that are drawn: the cache by the kind of its layers."""
    kept = serving_bytes(config, load)
    kinds = {kind: load.batch_size * sum(layer.bytes for layer in film(config, load) if layer.kind == kind)
             for kind in CACHE_OF}
    parts = {"experts": 0, "attention": 0, "router and norms": 0, "embeddings": 0,
             **{CACHE_OF[kind]: size for kind, size in kinds.items()}, "activations": 0}
    for name, size in kept.items():
        if name != "KV cache":
            parts[_PART_SERVED[name]] += size
    return parts


def film(config: ModelConfig, load: Load) -> tuple:
    """The cache of one sequence layer by layer."""
    return cache_film(config, load.context, load.kv_bytes_per_value, longest=max(LONGEST, load.context))


@lru_cache(maxsize=256)
def cache_charts(chosen: Setting) -> tuple[Chart, Chart]:
    """The film of layers, and the whole cache against other designs. Shared, and never changed."""
    load = chosen.load
    layers = pd.DataFrame([vars(layer) for layer in film(chosen.config, load)])
    designs = cache_designs(chosen.config, load.context, load.batch_size, load.kv_bytes_per_value)
    return film_strip(layers, load.context), cache_totals(designs, load.batch_size, load.context)


@lru_cache(maxsize=256)
def operator_bounds(config: ModelConfig, load: Load, on: Accelerator) -> dict[str, tuple[OperatorBound, ...]]:
    """Every operator's bound on a machine, by phase. Shared, and never changed."""
    return {PREFILL: bounds(prefill_operators(config, load), on), DECODE: bounds(decode_operators(config, load), on)}


def bounds_table(by_phase: Mapping[str, Sequence[OperatorBound]]) -> pd.DataFrame:
    """A row for each operator of each phase."""
    rows = [(phase, each.operator.name, each.operator.flops, each.operator.bytes, each.seconds, each.binds)
            for phase, all_of_it in by_phase.items() for each in all_of_it]
    return pd.DataFrame(rows, columns=["phase", "operator", "flops", "bytes", "seconds", "binds"])


@lru_cache(maxsize=256)
def roofline_chart(chosen: Setting, on: Accelerator, phase: str, operator: str) -> Chart:
    """All operators under the machine's roof. Shared, and never changed."""
    by_phase = operator_bounds(chosen.config, chosen.load, on)
    ceilings: dict[str, float] = {}
    for number_format in dict.fromkeys(each.operator.number_format for each in by_phase[phase]):
        peak = on.peak(number_format)
        if peak and peak not in ceilings.values():  # formats that the machine multiplies alike share a ceiling
            ceilings[_multiplied_as(on, peak, number_format)] = peak
    return roofline(bounds_table(by_phase), on.name, on.bandwidth, ceilings, (phase, operator))


def worked_out(chosen: Setting, on: Accelerator, phase: str, operator: str) -> str:
    """An operator's formula with the numbers put in: FLOPs, bytes, what they make, and what binds. In Markdown."""
    bound = next(each for each in operator_bounds(chosen.config, chosen.load, on)[phase] if each.operator.name == operator)
    one = bound.operator
    lines = [f"**FLOPs** = {product(one.factors[FLOPS])} = **{units.flops(one.flops)}**"]
    sizes = {WEIGHT_BYTES: one.weight_bytes, CACHE_BYTES: one.cache_bytes, ACTIVATION_BYTES: one.activation_bytes}
    lines += [f"**Bytes of {name}** = {product(one.factors[name])} = **{units.decimal(size, 'B')}**"
              for name, size in sizes.items() if size]
    lines.append(f"**Intensity** = {units.flops(one.flops)} / {units.decimal(one.bytes, 'B')} = "
                 f"**{units.number(one.intensity)} FLOPs a byte**")
    lines.append(f"**Memory**: {units.decimal(one.bytes, 'B')} / {units.decimal(on.bandwidth, 'B/s')} = "
                 f"**{units.seconds(bound.memory)}**")
    if bound.compute is None:
        lines.append(f"**Compute**: for {_spelt(one.number_format)} no peak of this machine is published, so memory alone "
                     "bounds.")
    else:
        lines.append(f"**Compute**: {units.flops(one.flops)} / {units.decimal(on.peak(one.number_format), 'FLOP/s')} = "
                     f"**{units.seconds(bound.compute)}**")
        lines.append(f"The longer one binds: **{bound.binds}**.")
    return "  \n".join(lines)


def product(factors: Mapping[str, float]) -> str:
    """`24 layers × 1,024 tokens`."""
    return " × ".join(f"{f'{int(number):,}' if number == int(number) else f'{number:.4g}'} {name}"
                      for name, number in factors.items())


def _multiplied_as(on: Accelerator, peak: float, number_format: str) -> str:
    """The name of the arithmetic with this peak."""
    return _spelt(next((name for name, rate in on.peaks.items() if rate == peak), number_format))


@lru_cache(maxsize=256)
def time_chart(chosen: Setting, on: Accelerator) -> Chart:
    """Where the time of prefill and of one decoding step goes. Shared, and never changed."""
    load = chosen.load
    sequences = "" if load.batch_size == 1 else f"{load.batch_size:,} × "
    return time_by_part(bounds_table(operator_bounds(chosen.config, load, on)), {
        PREFILL: f"read {sequences}{load.prompt:,}", DECODE: f"write {sequences}1 token"})


@lru_cache(maxsize=256)
def speed_chart(chosen: Setting, on: Accelerator) -> Chart:
    """Tokens a second against the batch, on the chosen machine and some others. Shared, and never changed."""
    names = dict.fromkeys((*COMPARED, on.name))
    rows = []
    for each in (_MACHINE[name] for name in names):
        fitting = users_at_once(chosen.config, each.memory, chosen.load)
        rows += [(each.name, batch, tokens_per_second(chosen.config, replace(chosen.load, batch_size=batch), each),
                  batch <= fitting) for batch in BATCHES]
    return speed_by_batch(pd.DataFrame(rows, columns=["machine", "batch", "rate", "fits"]), on.name,
                          chosen.load.batch_size, chosen.load.context)


@lru_cache(maxsize=256)
def touched_chart(config: ModelConfig, batch: int) -> Chart:
    """Experts that a decoding step touches, against the batch. Shared, and never changed."""
    rows = [(each, expected_experts_touched(config, each)) for each in BATCHES]
    return experts_touched(pd.DataFrame(rows, columns=["batch", "experts"]), config.num_experts, config.experts_per_token,
                           batch)


def _follow(name: str, start: object) -> None:
    """Let a control go along when the place where it starts moves: the sidebar steers it until the reader does."""
    before = st.session_state.setdefault(key(f"{name}_start"), start)
    if before != start:
        st.session_state[key(name)] = st.session_state[key(f"{name}_start")] = start


def _slider(label: str, name: str, positions: Sequence[int], start: int, help: str) -> int:
    return st.select_slider(label, positions, start, key=key(name), bind="query-params", help=help,
                            format_func=lambda each: f"{each:,}" if isinstance(each, int) else each)


def _radio(label: str, name: str, options: Sequence) -> None:
    st.radio(label, options, options.index(DEFAULTS[name]), key=key(name), bind="query-params", horizontal=True)


def _spelt(number_format: str) -> str:
    return "MXFP4" if number_format == "mxfp4" else number_format


def _formats(experts: str, rest: str) -> str:
    return f"all {rest}" if experts == rest else f"{experts}, rest {rest}"
