"""Memory and compute: what it takes to run the model under study, and what bounds its speed."""

import streamlit as st

from gptoss.app import pictures, state
from gptoss.app.header import header
from gptoss.app.lesson import below
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.lessons.memory.controls.memory import (
    CACHE,
    MEASURED,
    MEMORY,
    ROOFLINE,
    SPEED,
    VIEWS,
    Setting,
    about_bound,
    about_model,
    cache_charts,
    choose_operator,
    load_controls,
    machine,
    machine_control,
    memory_charts,
    model_control,
    operator_controls,
    roofline_chart,
    setting,
    speed_chart,
    time_chart,
    touched_chart,
    worked_out,
)
from gptoss.lessons.memory.controls.memory_lesson import memory_lesson
from gptoss.lessons.memory.controls.memory_measured import measured_here


def memory(chosen: Setting) -> None:
    """All that is kept in memory, by formats and part, and what that fills of which machine."""
    by_format, machines = memory_charts(chosen)
    kept, fits = st.columns([4, 5], gap="small")
    with kept:
        pictures.show_chart(by_format, key="memory_formats")
    with fits:
        pictures.show_chart(machines, key="memory_machines")
    st.caption(f"{about_model(chosen)} Beside a machine: the users of this context that fit into it with the weights, or "
               "how many times its memory all this takes. Activations are left out there, since a server can read prompts "
               "in pieces. GB are 10⁹ bytes, as on data sheets.")


def cache(chosen: Setting) -> None:
    """The KV cache layer by layer, and against other designs."""
    film, totals = cache_charts(chosen)
    layers, designs = st.columns([5, 4], gap="small")
    with layers:
        pictures.show_chart(film, key="memory_film")
    with designs:
        pictures.show_chart(totals, key="memory_designs")
    st.caption(f"{about_model(chosen)} Sliding layers keep a ring of the window's size, full layers every token. MHA has a "
               "KV head for each query head, MQA one for all; windows as they are, unless every layer is full. GiB are 2³⁰ "
               "bytes.")


def roofline(chosen: Setting) -> None:
    """Every operator under the machine's roof, and one of them worked out."""
    roof, detail = st.columns([5, 3], gap="medium")
    with detail:
        machine_control()
        phase, operator = operator_controls()
        st.markdown(worked_out(chosen, machine(), phase, operator))
    with roof:
        pictures.show_clickable(roofline_chart(chosen, machine(), phase, operator), "memory_roofline", "mark",
                                 then=choose_operator)
    st.caption(f"{about_model(chosen)} A mark's area is its share of its phase's time. Click one, or choose it beside.")


def speed(chosen: Setting) -> None:
    """The least time of both phases, tokens a second and experts touched against the batch."""
    choice, times = st.columns([2, 5], gap="medium", vertical_alignment="center")
    with choice:
        machine_control()
        on = machine()
        st.caption(about_bound(on, chosen))
    with times:
        pictures.show_chart(time_chart(chosen, on), key="memory_time")
    rates, touched = st.columns([5, 4], gap="small")
    with rates:
        pictures.show_chart(speed_chart(chosen, on), key="memory_speed")
    with touched:
        pictures.show_chart(touched_chart(chosen.config, chosen.load.batch_size), key="memory_touched")
    st.caption(f"{about_model(chosen)} Solid: the batch fits into the machine's memory; dashed: it does not.")


@st.fragment
def memory_and_compute(study: Study) -> None:
    """The page's picture, in five views."""
    with st.container(horizontal=True, gap="medium"):
        view = st.segmented_control("View", VIEWS, default=MEMORY, key="memory_view", bind="query-params", required=True,
                                    label_visibility="collapsed", wrap=True)
        if view != MEASURED:
            model_control(study)
    if view == MEASURED:
        measured_here(study)
        return
    load_controls(study)
    draw = {CACHE: cache, ROOFLINE: roofline, SPEED: speed}.get(view, memory)  # also where an address names no view
    draw(setting(study))


header("memory")
study = state.study().small
memory_and_compute(study)
below(memory_lesson(study, register.of_page("memory")))
