"""Which model a page of accounts shows: a published one, or the one under study as soon as a dial of it is moved."""

from __future__ import annotations

import streamlit as st

from gptoss import units
from gptoss.app import kept
from gptoss.app.study import Study
from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import count_parameters, is_large
from gptoss.take_home.here import MODELS, UNDER_STUDY


def model_control(study: Study, key: str, first: str) -> None:
    """The list of models. It opens on the one under study where that is large, and else on the published one `first`.

    The sidebar's dials move the model under study: when one has been moved, that model is what is shown.
    """
    now = st.session_state.get(key)
    config, chosen = st.session_state.get(f"{key}_drawn", (study.config, now))
    if config != study.config and chosen == now:  # an experiment moves both, and knows which it wants to show
        st.session_state[key] = UNDER_STUDY
    kept.selectbox("Model shown", MODELS, MODELS.index(_at_first(study, first)), key=key, width=170,
                   label_visibility="collapsed", help=f"A published model, or {study.in_words}, which the dials in the "
                                                      "sidebar move.")
    st.session_state[f"{key}_drawn"] = study.config, st.session_state.get(key)


def shown(study: Study, key: str, first: str) -> tuple[str, ModelConfig]:
    """The name and the configuration, at its real size, of the model that the control names, drawn or not."""
    name = st.session_state.get(key) or _at_first(study, first)
    return (study.name, study.config) if name == UNDER_STUDY else (name, PRESETS[name])


def in_words(study: Study, name: str, config: ModelConfig) -> str:
    """Which model a picture shows and what moves it, in Markdown."""
    words = f":material/deployed_code: Shown: **{name}**, {units.count(count_parameters(config).total)} parameters"
    if config == study.config:
        return f"{words}, as the dials in the sidebar stand."
    return f"{words}, as published. Move a dial in the sidebar, and {study.name} is shown instead."


def _at_first(study: Study, first: str) -> str:
    return UNDER_STUDY if is_large(study.config) else first
