"""The sidebar, the same on every page: the model under study, its dials, undo, reset and pin."""

from __future__ import annotations

from collections.abc import Collection

import streamlit as st

from gptoss.app import served, state
from gptoss.app.study import DIALS, Dial, Study

# Words and icon for what a move does, in the order of the groups.
EFFECTS = {
    "new shape": (":material/casino: New shape", "A move makes other matrices. Their weights are random, unless trained "
                  "ones ship for the new shape."),
    "weights kept": (":material/lock: Weights kept", "A move changes the computation, and every weight can stay. Where a "
                     "model was trained with the new setting, its weights come instead."),
    "other weights": (":material/model_training: Weights", "A move brings other weights of the same shape."),
    "accounting": (":material/calculate: Accounting", "Enters memory and compute, not the text that runs live."),
}


def sidebar(first: Collection[str]) -> None:
    """Draw the sidebar. The dials named in `first` are open, the others in a drawer one click away."""
    with st.sidebar:
        study = state.study()
        st.selectbox("Preset", _presets(study), key="preset", format_func=served.spelt_out,
                     help="The real models, the notebook's demonstration, and a small one with trained weights.")
        if served.problem():
            st.caption(f":material/report: {served.problem()}")
        _buttons(study)
        _dials(study, [dial for dial in DIALS.values() if dial.name in first])
        drawer = st.expander("More dials", icon=":material/tune:", key="more_dials", on_change="rerun")
        if drawer.open:
            with drawer:
                _dials(study, [dial for dial in DIALS.values() if dial.name not in first])
        state.session().drawn = frozenset(DIALS if drawer.open else first)


def _presets(study: Study) -> list[str]:
    """The presets; once a dial has left its preset, also what the model is now."""
    return [*served.presets(), study.choice] if study.changes else [*served.presets()]


def _buttons(study: Study) -> None:
    pinned = state.pinned()
    with st.container(horizontal=True, gap="small"):
        st.button("Undo", icon=":material/undo:", on_click=state.undo, disabled=not state.session().past,
                  help="Take back the last move or edit.")
        st.button("Reset", icon=":material/restart_alt:", on_click=state.reset, disabled=not study.changes,
                  help=f"Put every dial back to {served.spelt_out(study.preset)}.")
        if pinned:
            st.button("Unpin", icon=":material/keep_off:", on_click=state.pin, args=(None,),
                      help=f"Stop comparing with {pinned.name}.")
        else:
            st.button("Pin for comparison", icon=":material/keep:", on_click=state.pin, args=(study,),
                      help="Keep this model's figures beside those of the next ones.")
    if pinned:
        st.caption(f":material/keep: Compared with {pinned.in_words}")


def _dials(study: Study, dials: list[Dial]) -> None:
    for effect, (title, meaning) in EFFECTS.items():
        group = [dial for dial in dials if dial.effect == effect]
        if group:
            st.caption(f"**{title}**", help=meaning)
        for dial in group:
            _dial(study, dial)


def _dial(study: Study, dial: Dial) -> None:
    if dial.name not in state.session().drawn:  # one that comes back would be at its first position in the browser
        st.session_state[dial.name] = getattr(study, dial.name)
    options = list(dial.options(vars(study)))
    st.select_slider(dial.label, options, key=dial.name, format_func=dial.show, help=dial.help,
                     disabled=len(options) == 1)
    if dial.name in state.session().reasons:
        st.caption(f":material/info: {state.session().reasons[dial.name]}.")
