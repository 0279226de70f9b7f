"""The sidebar, the same on every page: the model under study, its dials, undo, reset and pin, as one element."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache

import streamlit as st

from gptoss.app import dials, hidden, recorded, served, state
from gptoss.app.dials import Group, Option, Panel, Range, option
from gptoss.app.moves import PRESET
from gptoss.app.study import DIALS, Dial, Study

# Words and icon for what a move does, in the order of the groups.
EFFECTS = {
    "new shape": ("New shape", "casino", "A move makes other matrices. Their weights are random, unless trained ones ship "
                  "for the new shape."),
    "weights kept": ("Weights kept", "lock", "A move changes the computation, and every weight can stay. Where a model was "
                     "trained with the new setting, its weights come instead."),
    "other weights": ("Weights", "model_training", "A move brings other weights of the same shape."),
    "accounting": ("Accounting", "calculate", "Enters memory and compute, not the text that runs live."),
}


def sidebar(first: Collection[str]) -> None:
    """Draw the sidebar. The dials named in `first` are open, the others in a drawer one click away."""
    study, shown = state.study(), [dial for dial in DIALS.values() if hidden.shows(dial.name)]
    panel = Panel(
        groups=_groups(study, [dial for dial in shown if dial.name in first]),
        drawer={"title": "More dials", "icon": "tune",
                "groups": _groups(study, [dial for dial in shown if dial.name not in first])},
        preset=_preset(study), buttons=_buttons(study), notes=_notes())
    with st.sidebar:
        dials.draw(panel, state.DIALS_KEY)


def _preset(study: Study) -> Mapping[str, object]:
    """The list of presets; once a dial has left its preset, with what the model is now."""
    names = [*served.presets(), *([study.choice] if study.changes else [])]
    return {"name": PRESET, "label": "Preset", "options": [option(name, served.spelt_out(name)) for name in names],
            "at": study.choice,
            "help": "The real models, two small ones with trained weights, and the notebook's demonstration."}


def _buttons(study: Study) -> list[Mapping[str, object]]:
    pinned = state.pinned()
    return [
        {"value": "undo", "label": "Undo", "icon": "undo", "disabled": not state.session().past,
         "help": "Take back the last step: an experiment, a drag, an edit, or a control of this page."},
        {"value": "reset_page", "label": "Reset page", "icon": "restart_alt", "disabled": False,
         "help": "Every dial is at its preset: put this page's own controls back, too."}
        if state.page_has_moved() and not study.changes else
        {"value": "reset", "label": "Reset", "icon": "restart_alt", "disabled": not study.changes,
         "help": f"Put every dial back to {served.spelt_out(study.preset)}; pressed again, this page's own controls."},
        {"value": "unpin", "label": "Unpin", "icon": "keep_off", "disabled": False,
         "help": f"Stop comparing with {pinned.name}."} if pinned else
        {"value": "pin", "label": "Pin for comparison", "icon": "keep", "disabled": False,
         "help": "Keep this model's figures beside those of the next ones."},
        {"value": "share", "label": "Share", "icon": "qr_code_2", "disabled": False,
         "help": "Copy the link to what is on the screen, and show it with a code for the phones in the room."}]


def _notes() -> list[str]:
    pinned = state.pinned()
    return [*filter(None, [served.problem(), recorded.problem()]), *([f"Compared with {pinned.in_words}"] if pinned else [])]


def _groups(study: Study, shown: list[Dial]) -> list[Group]:
    groups = [(effect, [_range(study, dial) for dial in shown if dial.effect == effect]) for effect in EFFECTS]
    return [Group(ranges, *EFFECTS[effect]) for effect, ranges in groups if ranges]


def _range(study: Study, dial: Dial) -> Range:
    reason = state.session().reasons.get(dial.name)
    return Range(dial.name, dial.label, _positions(dial.name, tuple(dial.options(vars(study)))),
                 dial.spell(getattr(study, dial.name)), dial.help, f"{reason}." if reason else "")


@lru_cache(maxsize=256)
def _positions(name: str, values: tuple) -> tuple[Option, ...]:
    """What a dial's values are called: the same for everybody to whom it offers these."""
    return tuple(option(DIALS[name].spell(value), DIALS[name].show(value)) for value in values)
