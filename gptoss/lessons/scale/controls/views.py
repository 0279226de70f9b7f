"""The scale page's dials, brought to what is possible, its three views, and the step that is weighed on demand.

Each view is given the model, its setting, the column beside the picture, the words on which model it is, and what asks the
reader right under the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss import units
from gptoss.app import kept, pictures, published
from gptoss.app.controls import Main, Own, main_sliders
from gptoss.app.study import Study
from gptoss.charts import Chart
from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import (
    ACCELERATORS,
    Layout,
    count_parameters,
    is_large,
    optimizer_steps,
    rule_of_thumb,
    training_flops_per_token,
)
from gptoss.cost.accelerators import BY_NAME
from gptoss.cost.activations import KEEPS
from gptoss.cost.scale import fitting_layout
from gptoss.lessons.scale import charts, measure
from gptoss.lessons.scale.claims import weighed_step
from gptoss.lessons.scale.measure import AS_TRAINED, DEFAULTS, STEP_BATCH, STEP_TOKENS, Setting
from gptoss.take_home.here import LARGE
from gptoss.training.step_memory import MeasuredStep

MEMORY, TIME, SCHEDULE = VIEWS = "Memory", "Time", "Batch and schedule"
CARD_HOURS = 2.1e6  # H100 hours of gpt-oss-120b, from its model card, arXiv 2508.10925

WORLDS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192, 16384)
MICRO_BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 32, 64)
SEQUENCES = (AS_TRAINED, *(2**power for power in range(6, 18)))
DEGREES = (1, 2, 3, 4, 8, 16, 32, 64, 128)
BATCHES = tuple(2**power for power in range(16, 26))
TOKENS = tuple(digit * 10**power for power in range(8, 14) for digit in (1, 2, 5))
WARMUPS = (0, 100, 200, 500, 715, 1000, 2000, 5000, 10_000)
PEAKS = (1e-4, 2e-4, 3e-4, 4e-4, 6e-4, 8e-4, 1e-3, 2e-3, 3e-3)

OWN = Own("scale", DEFAULTS)
key, value = OWN.key, OWN.value
# An experiment sets these, and what it moves.
moved = partial(OWN.moved, ("world", "micro", "sequence", "tensor", "expert", "keep"), view=MEMORY, model=LARGE)


def dial(label: str, name: str, options: Sequence, help: str | None = None):
    """A slider of this page, kept in the address as it is written."""
    write = units.spelled if name == "tokens" else _written
    return kept.select_slider(label, options, DEFAULTS[name], key=key(name), help=help, format_func=write)


def _written(option: object) -> str:
    return f"{option:,}" if isinstance(option, int) else str(option)


def _main(label: str, name: str, options: Sequence, help: str) -> Main:
    return Main(label, key(name), options, DEFAULTS[name], help, _written)


def common_dials() -> None:
    """The dials that every view needs."""
    main_sliders(
        _main("Accelerators", "world", WORLDS, "The world size: all that work on one training step."),
        _main("Micro batch", "micro", MICRO_BATCHES, "Sequences that one accelerator reads at once."),
        _main("Tokens a sequence", "sequence", SEQUENCES, "“As trained” is the model's initial context, before YaRN."))


def rarer_dials() -> None:
    """A drawer with what is moved less often."""
    with st.popover("Divide more", icon=":material/call_split:"):
        dial("Tensor parallel", "tensor", DEGREES, "Accelerators that divide every matrix and every head.")
        dial("Expert parallel", "expert", DEGREES, "Accelerators that divide the experts among themselves.")
        kept.radio("Kept for the backward pass", KEEPS, KEEPS.index(DEFAULTS["keep"]), key=key("keep"),
                   help="What is not kept is computed a second time.")
        kept.radio("Gradients are added up in", ("bf16", "fp32"), key=key("gradients"), horizontal=True)


def choose_model(study: Study) -> None:
    """Which model is trained: at first gpt-oss-120b where the one under study needs no dividing."""
    published.model_control(study, key("model"), LARGE)


def model_shown(study: Study) -> tuple[str, ModelConfig]:
    """Its name, and its configuration at its real size."""
    return published.shown(study, key("model"), LARGE)


def setting(config: ModelConfig) -> Setting:
    """The possible setting nearest to what the controls say; a sentence on the page for every wish that gives way."""
    chosen, refusals = possible_setting(config)
    for sentence in refusals:
        _refuse(sentence)
    return chosen


def possible_setting(config: ModelConfig) -> tuple[Setting, list[str]]:
    """The possible setting nearest to what the controls say, and a sentence for every wish that gives way."""
    layout, refusals = fitting_layout(config, Layout(value("world"), value("tensor"), value("expert")))
    sequence = config.initial_context_length if value("sequence") == AS_TRAINED else value("sequence")
    return Setting(layout, value("micro"), max(sequence, 2), value("keep"), value("gradients")), [*refusals]


def _refuse(sentence: str) -> None:
    st.warning(f"{sentence} That is what is shown.", icon=":material/block:")


def memory(config: ModelConfig, chosen: Setting, _: DeltaGenerator, about: str, ask: Callable[[], None]) -> None:
    """What one accelerator holds, however training is divided, and which accelerators are large enough."""
    by_stage, fitting = _memory_charts(config, chosen)
    with pictures.main():
        pictures.show_chart(by_stage, key="scale_memory", words=(
            f"{about} :material/call_split: DDP (data parallel) divides nothing but the data. ZeRO-1 also divides optimizer "
            "states and master weights, the copy in fp32 that steps are added to. ZeRO-2 divides gradients as well, FSDP "
            "(ZeRO-3) even the weights."))
    ask()
    pictures.show_chart(fitting, key="scale_fits", words=(
        "Full circle: it fits, and takes this share of the memory. Ring: it is too large, by this many times."))


@lru_cache(maxsize=256)
def _memory_charts(config: ModelConfig, chosen: Setting) -> tuple[Chart, Chart]:
    """Memory by stage, and what fits where. Shared, and never changed."""
    by_stage = measure.stages(config, chosen)
    memories = {machine.name: machine.memory for machine in ACCELERATORS}
    needs = {stage: sum(parts.values()) for stage, parts in by_stage.items()}
    return charts.memory_by_stage(by_stage, tuple(memories.values())), charts.what_fits(needs, memories)


def time(config: ModelConfig, chosen: Setting, dials: DeltaGenerator, about: str, ask: Callable[[], None]) -> None:
    """Compute of the whole training, and the hours it takes."""
    with dials:
        tokens = dial("Tokens to train on", "tokens", TOKENS)
        utilisation = dial("Utilisation of the peak (%)", "utilisation", range(5, 81, 5),
                           "The model's own FLOPs as a share of what the data sheet promises.")
    hours, compute = _time_charts(config, chosen, tokens, utilisation)
    exact = measure.training_flops(config, chosen.sequence, tokens)
    with pictures.main():
        pictures.show_chart(hours, key="scale_hours", words=(
            f"{about} :material/schedule: A bar is the hours of a single accelerator, in colour where its part of the "
            "memory fits under FSDP. Beside it stands the time that all of them together take."))
    ask()
    st.markdown(f"{units.spelled(tokens)} tokens: **{units.number(exact)} FLOPs** counted exactly, "
                f"{units.number(tokens * rule_of_thumb(config))} by 6 × active × tokens.")
    pictures.show_chart(compute, key="scale_compute")


@lru_cache(maxsize=256)
def _time_charts(config: ModelConfig, chosen: Setting, tokens: int, utilisation: int) -> tuple[Chart, Chart]:
    """Hours by accelerator, and where the compute goes. Shared, and never changed."""
    exact, thumb = training_flops_per_token(config, chosen.sequence), measure.thumb_flops(config)
    hours = measure.hours(config, chosen, tokens, utilisation / 100)
    return charts.hours_by_accelerator(hours, chosen.layout.world), charts.compute_parts(exact, thumb, chosen.sequence)


def batch_and_schedule(_: ModelConfig, chosen: Setting, dials: DeltaGenerator, __: str,
                       ask: Callable[[], None]) -> None:
    """From tokens to batches to steps, and the learning rate over them."""
    with dials:
        wanted = dial("Tokens a batch", "batch", BATCHES)
        tokens = dial("Tokens to train on", "tokens", TOKENS)
        warmup = dial("Warmup (steps)", "warmup", WARMUPS)
        peak = dial("Peak learning rate", "peak", PEAKS)
    batch, accumulation, refusal = measure.possible_batch(chosen, wanted)
    if refusal:
        _refuse(refusal)
    steps, layout = optimizer_steps(tokens, batch), chosen.layout
    readers = (units.plural(layout.data, "accelerator") if layout.tensor == 1
               else f"{units.plural(layout.data, 'group')} of {layout.tensor}")
    with pictures.main():
        pictures.show_chart(_schedule(steps, min(warmup, steps), peak), key="scale_schedule", words=(
            ":material/info: An example of its kind: OpenAI has published no schedule for gpt-oss."))
    ask()
    st.markdown(f"**{batch:,} tokens a batch** = {units.plural(chosen.micro_batch, 'sequence')} × {chosen.sequence:,} "
                f"tokens × {readers} × **{units.plural(accumulation, 'accumulation step')}** · "
                f"**{units.plural(steps, 'optimizer step')}**")


@lru_cache(maxsize=256)
def _schedule(steps: int, warmup: int, peak: float) -> Chart:
    """The learning rate over a run. Shared, and never changed."""
    return charts.schedule_curve(measure.schedule(steps, warmup, peak), warmup)


DRAWN = {MEMORY: memory, TIME: time, SCHEDULE: batch_and_schedule}


def offer_large_model(config: ModelConfig) -> None:
    """A small model fits everywhere: the way to one that does not."""
    if not is_large(config):
        st.button(f"Nothing to divide here: show {LARGE}", icon=":material/dns:", type="tertiary", key="scale_take_large",
                  on_click=_show_large)


def _show_large() -> None:
    st.session_state[key("model")] = LARGE


@st.fragment
def real_step(study: Study) -> None:
    """One real step of the live model, on demand: what it held, beside the closed forms."""
    config = study.live_config
    st.header("The formula on trial: a real step, measured here", anchor=False)
    st.button("Take a step and weigh it", icon=":material/scale:", key="scale_measure", on_click=_ask,
              args=(config, study.seed))
    if not st.session_state.get("scale_measured"):
        st.caption("One step of AdamW in fp32 on a model of the live size, with random weights: "
                   f"{units.count(count_parameters(config).total)} parameters, {STEP_BATCH} sequences of {STEP_TOKENS} "
                   "random tokens. Every tensor is counted, those that autograd saves too.")
        return
    step = weighed_step(config, study.seed)
    pictures.show_chart(charts.predicted_and_measured(measure.compared(config, step)), key="scale_step")
    st.caption(_why_they_differ(config, step))


def _ask(config: ModelConfig, seed: int) -> None:
    st.session_state["scale_measured"] = True
    weighed_step.forget(config, seed)


def _why_they_differ(config: ModelConfig, step: MeasuredStep) -> str:
    words = f"AdamW also counts its steps: 4 bytes for each of {units.plural(step.step_counters // 4, 'tensor')}."
    if not any(step.padded_rows):
        return words
    padded = [rows for rows in step.padded_rows if rows is not None]
    needed = len(padded) * STEP_BATCH * STEP_TOKENS * config.experts_per_token
    return (f"{words} Small experts multiply in one batch, each padded to the busiest: {sum(padded):,} rows in place of "
            f"{needed:,}. With the rows that routing gave at this moment the prediction is off by "
            f"{measure.activations_off(config, step)['experts']:,} bytes.")


def step_in_words(study: Study) -> str:
    """A real step at this moment, and by how much the closed forms are off."""
    config, step = study.live_config, weighed_step(study.live_config, study.seed)
    off = sum(map(abs, measure.activations_off(config, step).values()))
    return (f"At this moment, at the live size with random weights, {STEP_BATCH} sequences of {STEP_TOKENS} tokens in "
            "fp32:\n"
            f"- **Kept for the backward pass**: autograd saved {sum(step.activations.values()):,} bytes. With the rows that "
            f"routing gave to experts the closed form is off by **{off:,}** bytes.\n"
            f"- **State**: {step.weights:,} bytes of weights, {step.gradients:,} of gradients and "
            f"{step.optimizer_states:,} of AdamW's moments. The closed form is off by "
            f"**{measure.state_off(config, step):,}**.")


def published_hours() -> str:
    """What the published hours would be enough for."""
    config = PRESETS[LARGE]
    h100 = BY_NAME["H100"]
    flops = measure.training_flops(config, config.initial_context_length, tokens=1)
    enough = ", ".join(f"{units.count(CARD_HOURS * 3600 * h100.flops * share / 100 / flops)} at {share}%"
                       for share in (10, 20, 40))
    return (f"**A published figure**: the model card says that {LARGE} took {units.spelled(CARD_HOURS)} H100 hours, and "
            f"“trillions of tokens”. By the compute counted here those hours are enough for this many tokens: {enough} "
            "utilisation. Which it was is not published.")


def accelerators_table() -> str:
    """Every accelerator's data and their source, in Markdown."""
    rows = "".join(f"| {machine.name} | {units.number(machine.flops / 1e12, 4)} | {machine.memory / 1e9:,.0f} | "
                   f"{machine.bandwidth / 1e9:,.0f} | {machine.source} |\n" for machine in ACCELERATORS)
    return f"\n| Accelerator | TFLOP/s | GB | GB/s | Source |\n|---|---|---|---|---|\n{rows}"
