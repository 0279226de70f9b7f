"""Closed forms of serving as charts: what is kept, the KV cache, the roofline, and how fast it can be at best.

No Streamlit and no torch: of a setting, each is computed once, shared, and never changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import pandas as pd

from gptoss import units
from gptoss.charts import Chart
from gptoss.config import ModelConfig
from gptoss.cost import (
    MACHINES,
    Accelerator,
    Load,
    OperatorBound,
    bounds,
    cache_designs,
    cache_film,
    decode_operators,
    expected_experts_touched,
    prefill_operators,
    serving_bytes,
    tokens_per_second,
    users_at_once,
)
from gptoss.cost.accelerators import BY_NAME
from gptoss.cost.inference import ACTIVATIONS, CACHE, FLOPS, WEIGHTS
from gptoss.cost.memory import MXFP4_BLOCK_VALUES
from gptoss.lessons.memory import charts
from gptoss.lessons.memory.charts import CACHE_OF, DECODE, PREFILL

LONGEST = 131_072  # tokens
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
EXPERT_FORMATS = ("MXFP4", "bf16", "fp32")
DEFAULTS = {"batch": 1, "prompt": 1024, "context": LONGEST, "experts": "MXFP4", "rest": "bf16", "kv": 2, "machine": "H100",
            "phase": DECODE, "operator": "mlp1"}  # of the page's controls
COMPARED = ("L4", "RTX 5090", "H100", "B200")  # machines whose speeds are drawn beside the chosen one's
_PART_SERVED = {"embedding": "embeddings", "unembedding": "embeddings", "norms": "router and norms",
                "router": "router and norms", "qkv": "attention", "sinks": "attention", "out": "attention",
                "mlp1": "experts", "mlp2": "experts", "expert biases": "experts", "activations": "activations"}
_PLURAL, _SINGULAR = re.compile(r"^((?:KV )?\w+)s\b"), r"\1"  # of the noun that a factor counts: `tokens`, `KV groups`
_PLAIN = (("MXFP4", "bf16"), ("bf16", "bf16"), ("fp32", "fp32"))  # formats that are always drawn beside the chosen ones


@dataclass(frozen=True)
class Setting:
    """What is shown: a model at its real size, and what is asked of it."""

    name: str
    config: ModelConfig
    load: Load

    @property
    def formats(self) -> str:
        """The formats in a word for the experts and one for the rest."""
        return formats_in_words(spelled(self.load.experts), self.load.rest)


def possible_experts(config: ModelConfig, wanted: str) -> tuple[str, str]:
    """The experts' format, and a sentence where it cannot be the wanted one: MXFP4 needs whole blocks of 32 values."""
    sizes = {"hidden size": config.hidden_size, "intermediate size": config.intermediate_size}
    odd = [f"{name} {size:,}" for name, size in sizes.items() if size % MXFP4_BLOCK_VALUES]
    if wanted != EXPERT_FORMATS[0] or not odd:
        return wanted, ""
    return "bf16", (f"MXFP4 holds blocks of {MXFP4_BLOCK_VALUES} values, and {' and '.join(odd)} cannot be divided into "
                    "such. Experts in bf16 are shown.")


def spelled(number_format: str) -> str:
    """A number format as a reader knows it."""
    return "MXFP4" if number_format == "mxfp4" else number_format


def formats_in_words(experts: str, rest: str) -> str:
    """The formats of the experts and of all else: `MXFP4, rest bf16`."""
    return f"all {rest}" if experts == rest else f"{experts}, rest {rest}"


@lru_cache(maxsize=256)
def memory_charts(chosen: Setting) -> tuple[Chart, Chart]:
    """All that is kept, by formats and part; and how much of each machine that takes. Shared, and never changed."""
    load, config = chosen.load, chosen.config
    kinds = [(experts, rest) for experts, rest in _PLAIN if possible_experts(config, experts)[0] == experts]
    kinds += [own] if (own := (spelled(load.experts), load.rest)) not in kinds else []
    formats = {formats_in_words(experts, rest): served(config, replace(load, experts=experts.lower(), rest=rest))
               for experts, rest in kinds}
    table = pd.DataFrame([(on.name, on.memory, users_at_once(config, on.memory, load))
                          for on in sorted(MACHINES, key=lambda on: on.memory)], columns=["machine", "memory", "users"])
    parts = formats[chosen.formats]
    caches = {part: parts[part] for part in CACHE_OF.values()}
    weights = sum(parts.values()) - sum(caches.values()) - parts["activations"]
    return (charts.memory_by_format(formats, chosen.formats),
            charts.machines_filled(table, {charts.WEIGHTS: weights, **caches}, load.batch_size))


def served(config: ModelConfig, load: Load) -> dict[str, int]:
    """Bytes kept while serving, by the parts that are drawn: the cache by the kind of its layers."""
    caches = {part: load.batch_size * sum(layer.bytes for layer in film(config, load) if layer.kind == kind)
              for kind, part in CACHE_OF.items()}
    parts = {"experts": 0, "attention": 0, "router and norms": 0, "embeddings": 0, **caches, "activations": 0}
    for name, size in serving_bytes(config, load).items():
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
    return charts.film_strip(layers, load.context), charts.cache_totals(designs, load.batch_size, load.context)


@lru_cache(maxsize=256)
def operator_bounds(config: ModelConfig, load: Load, on: Accelerator) -> dict[str, tuple[OperatorBound, ...]]:
    """Every operator's bound on a machine, by phase. Shared, and never changed."""
    return {PREFILL: bounds(prefill_operators(config, load), on), DECODE: bounds(decode_operators(config, load), on)}


def bounds_table(by_phase: Mapping[str, Sequence[OperatorBound]]) -> pd.DataFrame:
    """A row for each operator of each phase."""
    rows = [(phase, bound.operator.name, bound.operator.flops, bound.operator.bytes, bound.seconds, bound.binds)
            for phase, operators in by_phase.items() for bound in operators]
    return pd.DataFrame(rows, columns=["phase", "operator", "flops", "bytes", "seconds", "binds"])


@lru_cache(maxsize=256)
def roofline_chart(chosen: Setting, on: Accelerator, phase: str, operator: str) -> Chart:
    """All operators under the machine's roof. Shared, and never changed."""
    by_phase = operator_bounds(chosen.config, chosen.load, on)
    ceilings: dict[str, float] = {}
    for number_format in dict.fromkeys(bound.operator.number_format for bound in by_phase[phase]):
        peak = on.peak(number_format)
        if peak and peak not in ceilings.values():  # formats that the machine multiplies alike share a ceiling
            ceilings[_multiplied_as(on, peak, number_format)] = peak
    return charts.roofline(bounds_table(by_phase), on.name, on.bandwidth, ceilings, (phase, operator))


def worked_out(chosen: Setting, on: Accelerator, phase: str, operator: str) -> str:
    """An operator's formula with the numbers put in: FLOPs, bytes, what they make, and what binds. In Markdown."""
    of_phase = operator_bounds(chosen.config, chosen.load, on)[phase]
    bound = next(bound for bound in of_phase if bound.operator.name == operator)
    work = bound.operator
    flops, moved = units.flops(work.flops), units.decimal(work.bytes, "B")
    sizes = {WEIGHTS: work.weight_bytes, CACHE: work.cache_bytes, ACTIVATIONS: work.activation_bytes}
    lines = [f"**FLOPs** = {product(work.factors[FLOPS])} = **{flops}**"]
    lines += [f"**Bytes of {name}** = {product(work.factors[name])} = **{units.decimal(size, 'B')}**"
              for name, size in sizes.items() if size]
    lines += [f"**Intensity** = {flops} / {moved} = **{units.number(work.intensity)} FLOPs a byte**",
              f"**Memory**: {moved} / {units.decimal(on.bandwidth, 'B/s')} = **{units.seconds(bound.memory)}**"]
    if bound.compute is None:
        lines.append(f"**Compute**: for {spelled(work.number_format)} no peak of this machine is published, so memory alone "
                     "bounds.")
    else:
        lines += [f"**Compute**: {flops} / {units.decimal(on.peak(work.number_format), 'FLOP/s')} = "
                  f"**{units.seconds(bound.compute)}**", f"The longer one binds: **{bound.binds}**."]
    return "  \n".join(lines)


def product(factors: Mapping[str, float]) -> str:
    """`24 layers × 1,024 tokens`."""
    def counted(factor: float, name: str) -> str:
        figure = f"{int(factor):,}" if factor == int(factor) else units.number(factor, 4)
        return f"{figure} {_PLURAL.sub(_SINGULAR, name) if factor == 1 else name}"

    return " × ".join(counted(factor, name) for name, factor in factors.items())


def _multiplied_as(on: Accelerator, peak: float, number_format: str) -> str:
    """The name of the arithmetic with this peak."""
    return spelled(next((name for name, rate in on.peaks.items() if rate == peak), number_format))


@lru_cache(maxsize=256)
def time_chart(chosen: Setting, on: Accelerator) -> Chart:
    """Where the time of prefill and of one decoding step goes. Shared, and never changed."""
    load = chosen.load
    sequences = "" if load.batch_size == 1 else f"{load.batch_size:,} × "
    return charts.time_by_part(bounds_table(operator_bounds(chosen.config, load, on)), {
        PREFILL: f"read {sequences}{load.prompt:,}", DECODE: f"write {sequences}1 token"})


@lru_cache(maxsize=256)
def speed_chart(chosen: Setting, on: Accelerator) -> Chart:
    """Tokens a second against the batch, on the chosen machine and some others. Shared, and never changed."""
    rows = []
    for other in (BY_NAME[name] for name in dict.fromkeys((*COMPARED, on.name))):
        fitting = users_at_once(chosen.config, other.memory, chosen.load)
        rows += [(other.name, batch, tokens_per_second(chosen.config, replace(chosen.load, batch_size=batch), other),
                  batch <= fitting) for batch in BATCHES]
    return charts.speed_by_batch(pd.DataFrame(rows, columns=["machine", "batch", "rate", "fits"]), on.name,
                                 chosen.load.batch_size, chosen.load.context)


@lru_cache(maxsize=256)
def touched_chart(config: ModelConfig, batch: int) -> Chart:
    """Experts that a decoding step touches, against the batch. Shared, and never changed."""
    rows = [(size, expected_experts_touched(config, size)) for size in BATCHES]
    return charts.experts_touched(pd.DataFrame(rows, columns=["batch", "experts"]), config.num_experts,
                                  config.experts_per_token, batch)
