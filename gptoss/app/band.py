"""The band below the title: which model is on the screen, whose weights it has, and what the last move did to them."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss.app import state
from gptoss.app.book import Page
from gptoss.app.markdown import literal
from gptoss.app.study import RANDOM, TRAINED, Study
from gptoss.app.weights import CHANGED, SERVED, Weights, back_to_trained, weights_of
from gptoss.config import ModelConfig

_AFTER = {
    "new shape": ":orange-badge[:material/casino: new shape, new weights]",
    "weights kept": ":green-badge[:material/lock: weights kept]",
    "other weights": ":orange-badge[:material/swap_horiz: other weights]",
    "accounting": ":gray-badge[:material/calculate: same model]",
}

_BADGES = {TRAINED: "green-badge[:material/school:", CHANGED: "orange-badge[:material/school:",
           RANDOM: "violet-badge[:material/casino:", SERVED: "blue-badge[:material/dns:"}
_WHAT_WEIGHTS_SHOW = {
    TRAINED: "Trained weights show what was learned, on the texts of their training above all.",
    CHANGED: "Trained weights under other settings show what these do to what was learned. It is not what a model would "
             "learn that was trained with them.",
    RANDOM: "Random weights attend and route by chance: what they show is the mechanism, not learning. Trained ones ship "
            "for the preset classroom and for some of its variants.",
    SERVED: "The weights of a checkpoint that this server was given, computed with in bfloat16. Whether they show learning "
            "depends on how they were trained, which the server does not know.",
}


def model_band(study: Study, page: Page, untrained: bool = False) -> None:
    """Which model is on the screen, whose weights it has, and what the last move did to them."""
    on_screen = study.small if page.builds_its_own else study
    weights = weights_of(on_screen)
    if on_screen != study:
        weights = replace(weights, note="This page builds models beside it, for which the server's checkpoint is too large.")
    if untrained:
        weights = Weights(RANDOM, "", f"random weights, seed {study.seed}", "No model of this page is trained.")
    effect = _AFTER.get(state.session().last_effect, "")
    model, cut = _model_in_words(study, on_screen.live_config)
    words = f":{_BADGES[weights.kind]} {weights.words}] {effect} Live: {model}. {literal(weights.note)}"
    explained = f"{_WHAT_WEIGHTS_SHOW[weights.kind]} {cut}"
    with st.container():
        if weights.kind in (TRAINED, SERVED) or untrained:
            st.markdown(words, help=explained)
            return
        beside, actions = _places(wide=bool(weights.note))
        beside.markdown(words, help=explained, width="stretch" if weights.note else "content")
        with actions:
            _offer_trained(study, weights.kind, page.path)


def _places(wide: bool) -> tuple[DeltaGenerator, DeltaGenerator]:
    """The places of words and actions: in one row, or for words of more than a line the actions in a column beside them."""
    if wide:
        words, actions = st.columns([4, 1], vertical_alignment="center")
        return words, actions.container(gap=None)
    row = st.container(horizontal=True, gap="small", vertical_alignment="center")
    return row, row


def _model_in_words(study: Study, small: ModelConfig) -> tuple[str, str]:
    """What runs live, and all that was cut to make it small."""
    real = study.config
    cut = [f"{words} {now:,} of {whole:,}" for words, now, whole in (
        ("layers", small.num_hidden_layers, real.num_hidden_layers), ("width", small.hidden_size, real.hidden_size),
        ("head size", small.head_dim, real.head_dim), ("expert width", small.intermediate_size, real.intermediate_size),
        ("vocabulary", small.vocab_size, real.vocab_size)) if now != whole]
    if not cut:
        return f"**{study.in_words}**, whole", ""
    return f"a scale model of **{study.in_words}**, {cut[0]}", f"Scaled: {', '.join(cut)}."


def _offer_trained(study: Study, kind: str, path: str) -> None:
    """The way back to weights in the settings of their training, and the way to training this model."""
    there = back_to_trained(study)
    st.button("Back to trained", icon=":material/school:", type="tertiary", key="back_to_trained", on_click=state.go_to,
              args=(there,), help=f"To {there.in_words}, whose weights were trained as they stand.")
    if path != "training":
        st.page_link("pages/training.py", label="Train this shape" if kind == RANDOM else "Train it so",
                     icon=":material/model_training:", query_params=state.query())
