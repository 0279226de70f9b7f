"""Controls whose limits depend on the model: they keep a valid value and bring an invalid one to the nearest end."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from gptoss.app.study import Study


def choose(label: str, positions: Sequence[int], key: str) -> int:
    """A slider over a range that may shrink, kept in the address. Disabled where there is nothing to choose."""
    if st.session_state.get(key, positions[0]) not in positions:
        st.session_state[key] = min(max(st.session_state[key], positions[0]), positions[-1])
    return st.select_slider(label, positions, key=key, bind="query-params",
                            disabled=len(positions) == 1)


def step_through(label: str, names: Sequence[str], key: str, default: str) -> str:
    """A list to choose from, with a step back and a step forward."""
    if st.session_state.get(key) not in names:
        st.session_state[key] = default
    place = names.index(st.session_state[key])

    def step(by: int) -> None:
        st.session_state[key] = names[place + by]

    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.button("Back", icon=":material/arrow_back:", on_click=step, args=(-1,), disabled=place == 0, key=f"{key}_back")
        st.button("Next", icon=":material/arrow_forward:", on_click=step, args=(1,), disabled=place == len(names) - 1,
                  key=f"{key}_next")
        return st.selectbox(label, names, key=key, label_visibility="collapsed")


def layer_shown(study: Study) -> int:
    """The layer that the shared slider `layer` stands at, for tabs that are drawn apart from its slider."""
    return min(st.session_state.get("layer") or 0, study.live_config.num_hidden_layers - 1)
