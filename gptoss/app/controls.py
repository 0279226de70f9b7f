"""Controls that every page needs: views, layers, heads, experts, tokens, clicks on charts, and what needs a text.

Controls whose limits depend on the model keep a valid value and bring an invalid one to the nearest end. Layer, head,
expert and token are shared: they stay where they are from page to page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss.app import dials, hidden, kept, moves
from gptoss.app.positions import Choice
from gptoss.app.study import Study

T = TypeVar("T")
LAST = "last"  # the token at the end of a text, however long


@dataclass(frozen=True)
class Key(Generic[T]):
    """The key of a widget, and its value before the widget was first drawn.

    What is drawn apart from a page's widgets, such as the tabs below its picture, reads their values here.
    """

    name: str
    default: T

    @property
    def value(self) -> T:
        value = st.session_state.get(self.name)
        return self.default if value is None else value

    def set(self, value: T) -> None:
        """Move the widget, from a callback or before it is drawn."""
        st.session_state[self.name] = value


LAYER, HEAD, EXPERT = Key("layer", 0), Key("head", 0), Key("expert", 0)
TOKEN: Key[int | str] = Key("token", LAST)
_STEPS = "steps"  # where the key of the last page's steps is kept
_OFFERED = "{}_offered"  # where a shared slider was put when nobody had moved it


@dataclass(frozen=True)
class Own:
    """A page's own controls, by name: the key of each widget, which is also its name in the address, and its first value."""

    path: str
    defaults: Mapping[str, object]

    def key(self, name: str) -> str:
        """`memory_batch` for the name `batch` of the page `memory`."""
        return f"{self.path}_{name}"

    def value(self, name: str):
        """The value of a control, drawn or not."""
        return st.session_state.get(self.key(name), self.defaults.get(name))

    def moved(self, names: Sequence[str], **wanted: object) -> dict[str, object]:
        """The widgets of an experiment: those of `names` as they are at first, and what it moves."""
        return {self.key(name): value for name, value in ({name: self.defaults[name] for name in names} | wanted).items()}


def row() -> DeltaGenerator:
    """The one slim row above a page's picture, once a run: the switch of views, and the few controls that fit beside it.

    style.css keeps it low. What does not fit stands beside the picture or below it.
    """
    return st.container(key="slim_row", horizontal=True, vertical_alignment="center")


def view(views: Sequence[str], key: str, label: str = "View", default: str | None = None, **looks: object) -> str:
    """A switch between the views of a page: one of `views`, also where an address names no view.

    `default` is the first of them unless another is given; `looks` goes to `st.segmented_control`.
    """
    default = default or views[0]
    looks = {"label_visibility": "collapsed", "wrap": True} | looks
    chosen = kept.segmented_control(label, views, default=default, key=key, **looks)
    return chosen if chosen in views else default


def all_of(count: int, what: str, first: int, key: str) -> bool:
    """Whether all of something long is shown at its full height: a switch where there is more than what is shown `first`."""
    return count <= first or st.toggle(f"Show all {count:,} {what}", key=key)


def choose(label: str, positions: Sequence[int], key: str, first: int | None = None, **looks: object) -> int:
    """A slider over a range that may shrink, kept in the address; it begins at `first`, or at the range's own beginning.

    Disabled where there is nothing to choose.
    """
    if st.session_state.get(key, positions[0]) not in positions:
        st.session_state[key] = min(max(st.session_state[key], positions[0]), positions[-1])
    return kept.select_slider(label, positions, first, key=key, disabled=len(positions) == 1, **looks)


@dataclass(frozen=True)
class Main:
    """A main slider of a page: its key, which is its name in the address too, its positions and the first of them."""

    label: str
    key: str
    positions: Sequence
    first: object
    help: str = ""
    show: Callable[[object], str] = str
    numbers: Mapping[object, float] = field(default_factory=dict)  # which numbers its words stand for

    @property
    def spelt(self) -> dict[str, object]:
        """The positions by how they are written."""
        return {self.show(position): position for position in self.positions}


def every(low: float, high: float, step: float) -> list[float]:
    """The positions of a slider over numbers that are no whole ones."""
    return [round(low + place * step, 9) for place in range(round((high - low) / step) + 1)]


def main_sliders(*sliders: Main, width: int | str = "stretch") -> list:
    """What a lecturer drags on a page: sliders beside each other, sent while they move, in one element.

    Returns where each stands, which the session's state has under its key and the address too, as of any widget.
    """
    key, by_key = f"{sliders[0].key}_hand", {slider.key: slider for slider in sliders}

    def moved() -> None:
        message, _ = dials.hear(key)
        try:
            heard = {step.name: moves.position(step.value, by_key[step.name].spelt) for step in message.steps}
        except (AttributeError, KeyError, ValueError):
            return
        st.session_state.update(heard)

    standing = [kept.standing(slider.label, Choice(slider.positions, slider.show, numbers=slider.numbers), slider.first,
                              key=slider.key) for slider in sliders]
    ranges = [dials.Range(slider.key, slider.label, tuple(slider.spelt), slider.show(value), slider.help,
                          first=slider.show(slider.first)) for slider, value in zip(sliders, standing, strict=True)]
    if shown := [one for one in ranges if hidden.shows(one.name)]:
        dials.draw(dials.Panel([dials.Group(shown)]), key, moved, width)
    if not dials.line(key).held:
        for one in ranges:
            kept.write(one.name, None if one.at == one.first else one.at)
    return standing


def layer(study: Study, label: str = "Layer", first: int = 0, stay: bool = False) -> int:
    """The layer of the live model that is shown: `first` until the reader chooses another.

    With `stay` it does not follow when a text or a dial makes another one `first`: see `moved_by_hand`.
    """
    _offer(LAYER.name, first, stay)
    return choose(label, range(study.live_config.num_hidden_layers), LAYER.name, first)


def head(study: Study, label: str = "Head", first: int = 0, stay: bool = False) -> int:
    """The query head that is shown, `first` to begin with, as with `layer`."""
    _offer(HEAD.name, first, stay)
    return choose(label, range(study.heads), HEAD.name, first)


def expert(study: Study, label: str = "Expert", first: int = 0) -> int:
    """The expert in colour."""
    return choose(label, range(study.live_config.num_experts), EXPERT.name, first)


def token(count: int, first: int, label: str = "Token", help: str = "", stay: bool = False) -> int:
    """The token in question, by its position among `count`: at `first` until the reader chooses another, as with `layer`.

    One at the end stays at the end when the text changes; one beyond a shorter text goes to its end. It is a main slider on
    every page that has it, so that one element keeps its value from page to page.
    """
    positions = [*range(count - 1), LAST]
    start = first if first < count - 1 else LAST
    _offer(TOKEN.name, start, stay)
    if st.session_state.get(TOKEN.name, start) not in positions:
        TOKEN.set(LAST)
    [chosen] = main_sliders(Main(label, TOKEN.name, positions, start, help, numbers={LAST: count - 1}))
    return count - 1 if chosen == LAST else chosen


def moved_by_hand(*sliders: Key) -> bool:
    """Whether a reader has moved one of some shared sliders that are drawn: what belongs to it then stays too."""
    return any(slider.name in st.session_state and st.session_state[slider.name] != st.session_state.get(
        _OFFERED.format(slider.name), slider.default) for slider in sliders)


def _offer(key: str, first: object, stay: bool = False) -> None:
    """Put a shared slider to where it begins here, if no hand has moved it from where another page or text had put it."""
    offered = _OFFERED.format(key)
    if key in st.session_state and st.session_state[key] == st.session_state.get(offered):
        if stay:
            st.session_state[key] = st.session_state[key]  # as if set: the address has to say where it is
            return
        st.session_state[key] = first
    st.session_state[offered] = first


def layer_shown(study: Study) -> int:
    """The layer at which the shared slider is, for what is drawn apart from it."""
    return min(LAYER.value, study.live_config.num_hidden_layers - 1)


def head_shown(study: Study) -> int:
    """The head at which the shared slider is, for what is drawn apart from it."""
    return min(HEAD.value, study.heads - 1)


def token_shown(count: int, first: int) -> int:
    """The position at which the shared slider is, for what is drawn apart from it."""
    position = st.session_state.get(TOKEN.name, first)
    return count - 1 if position == LAST else min(position, count - 1)


def picks(chart: str, **columns: str) -> Callable[[], None]:
    """The callback of a chart whose marks can be clicked: each widget, by its key, takes a column of the mark.

    `picks("sinks_gate", head="head")`. A column holds a position, or an axis key that begins with one ("0012 ·cat");
    other values, such as the sink's, move nothing.
    """
    def pick() -> None:
        for mark in st.session_state[chart].selection.get("picked", [])[:1]:
            for key, column in columns.items():
                position = _position(mark.get(column))
                if position is not None:
                    st.session_state[key] = position
    return pick


def has_text(tokens: Sized, what: str) -> bool:
    """Whether there is a text; where there is none, a line says that with one `what` ("the gate shows on it")."""
    if not len(tokens):
        st.info(f"Type a text, or choose an example, and {what}.", icon=":material/edit:")
    return bool(len(tokens))


def steps(key: str, places: Sequence, then: Callable[[], None] | None = None) -> None:
    """Back and Next for what a page shows in steps: the widget `key` goes along `places`. It opens at the first of them.

    The keys Page up and Page down press these buttons, and go to another page where no step is left: `keys.js` finds them by
    their own keys, so a page has one pair at a time. `then` is called after a step.
    """
    place = _place_on(key, places)
    step_buttons(key, *(None if place == last else partial(_step, key, places, by, then)
                        for by, last in ((-1, 0), (1, len(places) - 1))))


def step_buttons(key: str, back: Callable[[], None] | None, forward: Callable[[], None] | None) -> None:
    """Back and Next of the widget `key`, with what each does to it: nothing where no step is left."""
    st.session_state[_STEPS] = key
    for name, label, does in (("back", "Back", back), ("forward", "Next", forward)):
        st.button(label, key=f"steps_{name}", disabled=does is None, on_click=does)


def forget_step() -> None:
    """Let a page that is left open at its first step when the reader comes back."""
    if _STEPS in st.session_state:
        st.session_state.pop(st.session_state.pop(_STEPS), None)


def _step(key: str, places: Sequence, by: int, then: Callable[[], None] | None) -> None:
    """Move from where the widget is by now: a second press may come before the first one is drawn."""
    st.session_state[key] = places[min(max(_place_on(key, places) + by, 0), len(places) - 1)]
    if then:
        then()


def _place_on(key: str, places: Sequence) -> int:
    value = st.session_state.get(key)
    return places.index(value) if value in places else 0


def step_through(label: str, names: Sequence[str], key: str) -> str:
    """A list to step through, from its first name on."""
    if st.session_state.get(key) not in names:
        st.session_state[key] = names[0]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        steps(key, names)
        return st.selectbox(label, names, key=key, label_visibility="collapsed")


def _position(value: object) -> int | None:
    if isinstance(value, str):
        return int(value.split()[0]) if value[:1].isdigit() else None
    return None if value is None or value < 0 else int(value)
