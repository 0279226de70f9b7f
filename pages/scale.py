"""Training at scale: memory of every accelerator and what fits, compute and hours, batches and the schedule."""

import streamlit as st

from gptoss.app import pictures, state
from gptoss.app.header import header
from gptoss.app.lesson import below
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.lessons.scale.controls.scale import (
    BATCHES,
    MEMORY,
    PEAKS,
    TIME,
    TOKENS,
    VIEWS,
    WARMUPS,
    Setting,
    batch_arithmetic,
    common_dials,
    dial,
    measured_row,
    memory_charts,
    offer_large_model,
    say_batch,
    say_compute,
    schedule,
    setting,
    steps_of,
    time_charts,
)
from gptoss.lessons.scale.controls.scale_lesson import scale_lesson


def memory(study: Study, chosen: Setting) -> None:
    """What one accelerator holds, however training is divided, and which accelerators are large enough."""
    by_stage, fitting = memory_charts(study.config, chosen)
    need, fits = st.columns([5, 4], gap="small")
    with need:
        pictures.show_chart(by_stage, key="scale_memory")
    with fits:
        pictures.show_chart(fitting, key="scale_fits")
    st.caption(":material/call_split: DDP (data parallel) divides nothing but the data. ZeRO-1 divides optimizer states and "
               "master weights too, ZeRO-2 gradients as well, FSDP (ZeRO-3) even the weights. Full circle: fits, with the "
               "share of memory taken. Ring: too large, and how many times.")


def time(study: Study, chosen: Setting) -> None:
    """Compute of the whole training, and the hours it takes."""
    left, right = st.columns(2, gap="medium")
    with left:
        tokens = dial("Tokens to train on", "tokens", TOKENS)
    with right:
        utilisation = dial("Utilisation of the peak (%)", "utilisation", range(5, 81, 5),
                           "The model's own FLOPs as a share of what the data sheet promises.")
    hours, compute = time_charts(study.config, chosen, tokens, utilisation)
    pictures.show_chart(hours, key="scale_hours")
    st.caption(":material/schedule: Bars: hours of one accelerator. Beside them: the time that all of them together take.")
    st.markdown(say_compute(study.config, chosen, tokens))
    pictures.show_chart(compute, key="scale_compute")


def batch_and_schedule(chosen: Setting) -> None:
    """From tokens to batches to steps, and the learning rate over them."""
    batch_place, tokens_place, warmup_place, peak_place = st.columns(4, gap="medium")
    with batch_place:
        wanted = dial("Tokens a batch", "batch", BATCHES)
    with tokens_place:
        tokens = dial("Tokens to train on", "tokens", TOKENS)
    with warmup_place:
        warmup = dial("Warmup (steps)", "warmup", WARMUPS)
    with peak_place:
        peak = dial("Peak learning rate", "peak", PEAKS)
    batch, accumulation = batch_arithmetic(chosen, wanted)
    steps = steps_of(tokens, batch)
    st.markdown(say_batch(chosen, batch, accumulation, steps))
    pictures.show_chart(schedule(steps, warmup, peak), key="scale_schedule")
    st.caption(":material/info: An example of its kind: OpenAI has published no schedule for gpt-oss.")


@st.fragment
def training_at_scale(study: Study) -> None:
    """The page's picture, in three views, and the lesson on what they show."""
    common_dials()
    view = st.segmented_control("View", VIEWS, default=MEMORY, key="scale_view", bind="query-params", required=True,
                                label_visibility="collapsed")
    chosen = setting(study)
    if view == MEMORY:
        memory(study, chosen)
    elif view == TIME:
        time(study, chosen)
    else:
        batch_and_schedule(chosen)
    offer_large_model(study)


header("scale")
study = state.study().small
training_at_scale(study)
measured_row(study)
below(scale_lesson(study, register.of_page("scale")))
