"""The scale page's settings and figures: what the reader chose, brought to what can be, and computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd
import streamlit as st

from gptoss import units
from gptoss.app import live, pictures, state
from gptoss.app.study import Study
from gptoss.charts import Chart
from gptoss.config import ModelConfig
from gptoss.cost import (
    ACCELERATORS,
    Layout,
    accelerator_hours,
    accumulation_steps,
    activation_bytes,
    count_parameters,
    learning_rate,
    optimizer_steps,
    rule_of_thumb,
    training_bytes,
    training_flops_per_token,
    training_memory,
)
from gptoss.cost.activations import FUSED, KEEPS, WRITTEN_OUT
from gptoss.cost.scale import FSDP, STAGES, Indivisible, fitting_layout
from gptoss.lessons.scale.charts import (
    EXACT,
    THUMB,
    compute_parts,
    hours_by_accelerator,
    memory_by_stage,
    predicted_and_measured,
    schedule_curve,
    what_fits,
)
from gptoss.model import Transformer
from gptoss.training.step_memory import MeasuredStep, random_tokens, training_step

MEMORY, TIME, SCHEDULE = VIEWS = "Memory", "Time", "Batch and schedule"
AS_TRAINED = "as trained"  # the model's own initial context
LARGE = "gpt-oss-120b"
SMALL_MODEL = 10**9  # parameters below which nobody needs more than one accelerator
STEP_BATCH, STEP_TOKENS = 4, 96  # the step that is measured: sequences, and tokens of each
FLOOR = 0.1  # share of the peak that the schedule ends at
CURVE_POINTS = 240

WORLDS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192, 16384)
MICRO_BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 32, 64)
SEQUENCES = (AS_TRAINED, *(2**power for power in range(6, 18)))
DEGREES = (1, 2, 3, 4, 8, 16, 32, 64, 128)
BATCHES = tuple(2**power for power in range(16, 26))
TOKENS = tuple(round(each * 10**power) for power in range(8, 14) for each in (1, 2, 5))
WARMUPS = (0, 100, 200, 500, 715, 1000, 2000, 5000, 10_000)
PEAKS = (1e-4, 2e-4, 3e-4, 4e-4, 6e-4, 8e-4, 1e-3, 2e-3, 3e-3)

DEFAULTS = {"world": 64, "micro": 1, "sequence": AS_TRAINED, "tensor": 1, "expert": 1, "keep": FUSED, "gradients": "bf16",
            "batch": 2**22, "tokens": 10**12, "utilisation": 40, "warmup": 2000, "peak": 3e-4}


@dataclass(frozen=True)
class Setting:
    """What is shown: the reader's wishes where they are possible, the nearest that is where they are not."""

    layout: Layout
    micro_batch: int
    sequence: int
    keep: str
    gradients: str


def key(name: str) -> str:
    """The widget's key, which is also its name in the address."""
    return f"scale_{name}"


def value(name: str):
    """What a control stands at."""
    return st.session_state.get(key(name), DEFAULTS[name])


def dial(label: str, name: str, options: Sequence, help: str | None = None):
    """A slider of this page, kept in the address."""
    show = tokens_in_words if name == "tokens" else lambda each: f"{each:,}" if isinstance(each, int) else str(each)
    return st.select_slider(label, options, DEFAULTS[name], key=key(name), bind="query-params", help=help,
                            format_func=show)


def tokens_in_words(tokens: int) -> str:
    """`500 billion`."""
    name, size = next(each for each in (("trillion", 10**12), ("billion", 10**9), ("million", 10**6)) if tokens >= each[1])
    return f"{tokens / size:g} {name}"


def power_of_ten(number: float) -> str:
    """`3.27 · 10²²`."""
    digits, exponent = f"{number:.2e}".split("e")
    return f"{digits} · 10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def common_dials() -> None:
    """The controls above every view, and the rarer ones in a drawer."""
    columns = st.columns([4, 4, 4, 3], gap="medium", vertical_alignment="bottom")
    with columns[0]:
        dial("Accelerators", "world", WORLDS, "The world size: all that work on one training step.")
    with columns[1]:
        dial("Micro batch", "micro", MICRO_BATCHES, "Sequences that one accelerator reads at once.")
    with columns[2]:
        dial("Tokens a sequence", "sequence", SEQUENCES, "“As trained” is the model's initial context, before YaRN.")
    with columns[3].popover("Divide more", icon=":material/call_split:", width="stretch"):
        dial("Tensor parallel", "tensor", DEGREES, "Accelerators that divide every matrix and every head.")
        dial("Expert parallel", "expert", DEGREES, "Accelerators that divide the experts among themselves.")
        st.radio("Kept for the backward pass", KEEPS, KEEPS.index(DEFAULTS["keep"]), key=key("keep"), bind="query-params",
                 help="What is not kept is computed a second time.")
        st.radio("Gradients are added up in", ("bf16", "fp32"), key=key("gradients"), bind="query-params", horizontal=True)


def setting(study: Study) -> Setting:
    """What the controls say, made possible; a sentence on the page for every wish that is not."""
    chosen, said = possible(study)
    for sentence in said:
        st.warning(f"{sentence} That is what is shown.", icon=":material/block:")
    return chosen


def possible(study: Study) -> tuple[Setting, list[str]]:
    """The possible setting nearest to what the controls say, and a sentence for every wish that had to give way."""
    layout, said = fitting_layout(study.config, Layout(value("world"), value("tensor"), value("expert")))
    sequence = study.config.initial_context_length if value("sequence") == AS_TRAINED else value("sequence")
    return Setting(layout, value("micro"), max(sequence, 2), value("keep"), value("gradients")), said


def offer_large_model(study: Study) -> None:
    """A small model fits everywhere: the way to one that does not."""
    if count_parameters(study.config).total < SMALL_MODEL:
        st.button(f"Nothing to divide here: take {LARGE}", icon=":material/dns:", type="tertiary", key="scale_take_large",
                  on_click=state.go_to, args=(Study.of_preset(LARGE),))


@lru_cache(maxsize=256)
def stages(config: ModelConfig, chosen: Setting) -> dict[str, dict[str, int]]:
    """Stage -> part -> bytes on one accelerator. Shared, and never changed."""
    return {stage: training_bytes(config, chosen.layout, stage, chosen.micro_batch, chosen.sequence, chosen.keep,
                                  chosen.gradients) for stage in STAGES}


@lru_cache(maxsize=256)
def memory_charts(config: ModelConfig, chosen: Setting) -> tuple[Chart, Chart]:
    """Memory by stage, and what fits where. Shared, and never changed."""
    by_stage = stages(config, chosen)
    memories = {each.name: each.memory for each in ACCELERATORS}
    needs = {stage: sum(parts.values()) for stage, parts in by_stage.items()}
    return memory_by_stage(by_stage, tuple(memories.values())), what_fits(needs, memories)


@lru_cache(maxsize=256)
def time_charts(config: ModelConfig, chosen: Setting, tokens: int, utilisation: int) -> tuple[Chart, Chart]:
    """Hours by accelerator, and where the compute goes. Shared, and never changed."""
    flops = tokens * sum(training_flops_per_token(config, chosen.sequence).values())
    need = sum(stages(config, chosen)[FSDP].values())
    hours = pd.DataFrame([(each.name, accelerator_hours(flops, each, utilisation / 100), need <= each.memory)
                          for each in ACCELERATORS], columns=["accelerator", "hours", "fits"])
    counts = both_counts(config, chosen.sequence)
    return hours_by_accelerator(hours, chosen.layout.world), compute_parts(counts, chosen.sequence)


def both_counts(config: ModelConfig, sequence: int) -> pd.DataFrame:
    """FLOPs of one token by what takes them: counted exactly, and as 6 · active parameters."""
    exact = training_flops_per_token(config, sequence)
    counts = count_parameters(config)
    used = {part: number for part, number in counts.by_part.items()
            if part not in ("embedding", "mlp1", "mlp2", "expert biases")} | {"experts": counts.active_experts}
    rows = [(EXACT, name, flops) for name, flops in exact.items()]
    rows += [(THUMB, name, 6 * number) for name, number in used.items()]
    return pd.DataFrame(rows, columns=["count", "name", "flops"])


def say_compute(config: ModelConfig, chosen: Setting, tokens: int) -> str:
    """The whole training's compute, both ways."""
    exact = tokens * sum(training_flops_per_token(config, chosen.sequence).values())
    thumb = tokens * rule_of_thumb(config)
    return (f"{tokens_in_words(tokens)} tokens: **{power_of_ten(exact)} FLOPs** counted exactly, {power_of_ten(thumb)} by "
            "6 × active × tokens.")


def batch_arithmetic(chosen: Setting, wanted: int) -> tuple[int, int]:
    """Tokens of a batch and the micro steps it takes; a sentence on the page where the wish is impossible."""
    try:
        return wanted, accumulation_steps(wanted, chosen.micro_batch, chosen.sequence, chosen.layout.data)
    except Indivisible as refusal:
        st.warning(f"{refusal} That is what is shown.", icon=":material/block:")
        nearest = refusal.nearest
        return nearest, accumulation_steps(nearest, chosen.micro_batch, chosen.sequence, chosen.layout.data)


def say_batch(chosen: Setting, batch: int, accumulation: int, steps: int) -> str:
    """The arithmetic of a batch, factor by factor."""
    layout = chosen.layout
    readers = f"{layout.data:,} accelerators" if layout.tensor == 1 else f"{layout.data:,} groups of {layout.tensor}"
    sequences = "1 sequence" if chosen.micro_batch == 1 else f"{chosen.micro_batch:,} sequences"
    return (f"**{batch:,} tokens a batch** = {sequences} × {chosen.sequence:,} tokens × {readers} × "
            f"**{accumulation:,} accumulation {'step' if accumulation == 1 else 'steps'}** · **{steps:,} optimizer "
            f"{'step' if steps == 1 else 'steps'}**")


@lru_cache(maxsize=256)
def schedule(steps: int, warmup: int, peak: float) -> Chart:
    """The learning rate over a run, at as many steps as a chart can show. Shared, and never changed."""
    warmup = min(warmup, steps)
    shown = {round(place * (steps - 1) / CURVE_POINTS) for place in range(CURVE_POINTS + 1)} | {max(warmup, 1) - 1}
    return schedule_curve([(step, learning_rate(step, steps, peak, warmup, FLOOR)) for step in sorted(shown)], warmup)


def steps_of(tokens: int, batch: int) -> int:
    """Optimizer steps of a run."""
    return optimizer_steps(tokens, batch)


@st.fragment
def measured_row(study: Study) -> None:
    """One real step of the live model, on demand: what it held, against the closed forms."""
    config = study.live_config
    st.subheader("The formula on trial: a real step, measured here", anchor=False)
    st.button("Take a step and weigh it", icon=":material/scale:", key="scale_measure", on_click=_ask,
              args=(config, study.seed))
    if not st.session_state.get("scale_measured"):
        st.caption("One step of AdamW in fp32 on a model of the live size, with random weights: "
                   f"{units.count(count_parameters(config).total)} parameters, {STEP_BATCH} sequences of {STEP_TOKENS} "
                   "random tokens. Every tensor is counted, those that autograd saves too.")
        return
    with st.spinner("Another reader's measurement is running; yours is next." if live.MEASURING.locked() else "Training."):
        step = measured_step(config, study.seed)
    pictures.show_chart(predicted_and_measured(compared(config, step)), key="scale_step")
    st.caption(_why_they_differ(config, step))


def _ask(config: ModelConfig, seed: int) -> None:
    st.session_state["scale_measured"] = True
    measured_step.clear(config, seed)


@live.cached(max_entries=8)
def measured_step(config: ModelConfig, seed: int) -> MeasuredStep:
    """Train a model of one's own for one step: the shared one is never changed."""
    with live.MEASURING, live.HEAVY:
        model = Transformer(config, seed=seed)
        return training_step(model, random_tokens(model, STEP_BATCH, STEP_TOKENS, seed))


def compared(config: ModelConfig, step: MeasuredStep) -> pd.DataFrame:
    """Part, predicted and measured bytes. Nothing that was measured enters the prediction."""
    memory = training_memory(config, "fp32")
    kept = activation_bytes(config, STEP_BATCH, STEP_TOKENS, "fp32", WRITTEN_OUT)
    measured = {"weights": step.weights, "gradients": step.gradients,
                "optimizer states": step.optimizer_states + step.step_counters}
    rows = [(part, memory[part], size) for part, size in measured.items()]
    rows += [(f"kept: {part}", size, step.activations[part]) for part, size in kept.items()]
    return pd.DataFrame(rows, columns=["part", "predicted", "measured"])


def _why_they_differ(config: ModelConfig, step: MeasuredStep) -> str:
    tensors = step.step_counters // 4
    words = [f"AdamW also counts its steps: 4 bytes for each of {tensors} tensors."]
    if any(step.padded_rows):
        rows = sum(each or 0 for each in step.padded_rows)
        needed = sum(each is not None for each in step.padded_rows) * STEP_BATCH * STEP_TOKENS * config.experts_per_token
        exact = activation_bytes(config, STEP_BATCH, STEP_TOKENS, "fp32", WRITTEN_OUT, step.padded_rows)
        off = step.activations["experts"] - exact["experts"]
        words.append(f"Small experts multiply in one batch, each padded to the busiest: {rows:,} rows in place of "
                     f"{needed:,}. With the rows that routing gave at this moment the prediction is off by {off:,} bytes.")
    return " ".join(words)
