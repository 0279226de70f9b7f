"""Memory and compute: what it takes to run the model under study, and what bounds its speed."""

import streamlit as st

from gptoss.dashboard import furniture, state
from gptoss.dashboard.lesson import below
from gptoss.dashboard.lessons.block import show_clickable
from gptoss.dashboard.lessons.memory import (
    CACHE,
    MEASURED,
    MEMORY,
    ROOFLINE,
    SPEED,
    VIEWS,
    Setting,
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
from gptoss.dashboard.lessons.memory_lesson import memory_lesson
from gptoss.dashboard.lessons.memory_measured import measured_here
from gptoss.dashboard.study import Study


def memory(chosen: Setting) -> None:
    """All that is kept in memory, by formats and part, and what that fills of which machine."""
    by_format, machines = memory_charts(chosen)
    kept, fits = st.columns([4, 5], gap="small")
    with kept:
        furniture.show_chart(by_format, key="memory_formats")
    with fits:
        furniture.show_chart(machines, key="memory_machines")


def cache(chosen: Setting) -> None:
    """The KV cache layer by layer, and against other designs."""
    film, totals = cache_charts(chosen)
    layers, designs = st.columns([5, 4], gap="small")
    with layers:
        furniture.show_chart(film, key="memory_film")
    with designs:
        furniture.show_chart(totals, key="memory_designs")


def roofline(chosen: Setting) -> None:
    """Every operator under the machine's roof, and one of them worked out."""
    roof, detail = st.columns([5, 3], gap="medium")
    with detail:
        machine_control()
        phase, operator = operator_controls()
        st.markdown(worked_out(chosen, machine(), phase, operator))
    with roof:
        show_clickable(roofline_chart(chosen, machine(), phase, operator), "memory_roofline", "mark", then=choose_operator)


def speed(chosen: Setting) -> None:
    """The least time of both phases, tokens a second and experts touched against the batch."""
    choice, times = st.columns([2, 5], gap="medium", vertical_alignment="center")
    with choice:
        machine_control()
        st.caption(":material/speed: A bound, not a promise: no pass can be faster, and real ones are slower.")
    on = machine()
    with times:
        furniture.show_chart(time_chart(chosen, on), key="memory_time")
    rates, touched = st.columns([5, 4], gap="small")
    with rates:
        furniture.show_chart(speed_chart(chosen, on), key="memory_speed")
    with touched:
        furniture.show_chart(touched_chart(chosen.config, chosen.load.batch_size), key="memory_touched")


@st.fragment
def memory_and_compute(study: Study) -> None:
    """The page's picture, in five views."""
    with st.container(horizontal=True, gap="medium"):
        view = st.segmented_control("View", VIEWS, default=MEMORY, key="memory_view", bind="query-params", required=True,
                                    label_visibility="collapsed", wrap=True)
        model_control(study)
    if view == MEASURED:
        measured_here(study)
        return
    load_controls(study)
    draw = {MEMORY: memory, CACHE: cache, ROOFLINE: roofline, SPEED: speed}[view]
    draw(setting(study))


furniture.header("memory")
study = state.study()
memory_and_compute(study)
below(memory_lesson(study))
