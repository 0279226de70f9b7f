"""The controls of whichever page is open in AppTest: found in its tree, taken to their ends, and looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import hand
from head import title
from literal_walk import MARKUP, assert_literal
from reader import assert_fine
from streamlit.runtime.state.common import TESTING_KEY
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Checkbox, NumberInput, Slider, TextInput, Toggle, Widget

KINDS = ("slider", "select_slider", "button_group", "radio", "selectbox", "multiselect", "toggle", "checkbox",
         "number_input", "text_input")
ON_EVERY_PAGE = ("sample", "special")


def controls(at: AppTest) -> dict[str, Widget]:
    """A page's own controls by key: neither the sidebar's, nor the text's, nor the one that takes the prediction."""
    widgets = sorted((node for node in at.main if node.type in KINDS), key=lambda widget: KINDS.index(widget.type))
    return hand.main_sliders(at) | {widget.key: widget for widget in widgets
                                    if widget.key not in ON_EVERY_PAGE and not str(widget.key).endswith("_guess")}


def views(at: AppTest, path: str) -> tuple[str, list[str]]:
    """The key and the options of a page's view switch; no key, and no options but one, where a page has no such switch."""
    key = next((key for key in ("view", f"{path}_view") if key in controls(at)), "")
    return key, controls(at)[key].options if key else [""]


def show(at: AppTest, key: str, view: str) -> AppTest:
    """Turn the view switch. Without one, as on most pages where there is no text, only run."""
    return controls(at)[key].set_value(view).run() if key in controls(at) else at.run()


def ends(widget: Widget) -> list:
    """What a control is set to: both ends of a range, every choice that is shown at once, all and none of several."""
    if isinstance(widget, Slider | NumberInput):
        return [widget.min, widget.max]
    if isinstance(widget, Toggle | Checkbox):
        return [not widget.value, widget.value]
    if isinstance(widget, TextInput):
        return ["", MARKUP[:widget.proto.max_chars or None]]
    if isinstance(widget.value, list):
        return [widget.options[:getattr(widget, "max_selections", 0) or None], []]
    return widget.options if widget.type in ("button_group", "radio") else [widget.options[0], widget.options[-1]]


def put(at: AppTest, key: str, value: object) -> Widget:
    """Set a control at the next run. Choices may be given in the words that the page shows."""
    widget = controls(at)[key]
    if value in getattr(widget, "options", ()) and not isinstance(widget, hand.Dial):
        words = at.session_state[TESTING_KEY]  # by control: what writes a value in words, which need not take the words
        write = words[widget.id]
        words[widget.id] = lambda choice: choice if choice in widget.options else write(choice)
    return widget.set_value(value)


def place(widget: Widget) -> str:
    """Where a control is, in the words that a browser would send."""
    if isinstance(widget, hand.MainSlider):
        return widget.place
    state = widget._widget_state
    state.ClearField("id")
    return str(state)


def assert_shows_something(at: AppTest) -> None:
    """A chart with data, a drawing, a picture or a table; or a word on why there is none, or a button for it."""
    charts = [chart for chart in at.main.get("vega_lite_chart") if chart.proto.data.data or chart.proto.datasets]
    drawings = [words for words in at.main.markdown if "<svg" in words.value]
    to_press = [button for button in at.main.button if str(button.key).endswith("_measure")]
    reasons = [*at.main.info, *at.main.warning, *to_press]
    assert charts or drawings or at.main.get("html") or at.main.dataframe or at.main.table or reasons, "nothing is shown"


@contextmanager
def named(where: str) -> Iterator[None]:
    """Say where a broken promise was met."""
    try:
        yield
    except (AssertionError, ValueError, TypeError, KeyError) as broken:
        raise AssertionError(f"{where}: {broken}") from broken


def move(at: AppTest, key: str, value: object) -> None:
    """Set one control. The page stays whole, and the control stays where it was put unless it is gone."""
    with named(f"{title(at)}, {key} = {value!r}"):
        widget = put(at, key, value)
        wanted = place(widget)
        widget.run()
        assert_fine(at)
        assert_literal(at)
        assert_shows_something(at)
        assert key not in controls(at) or place(controls(at)[key]) == wanted, place(controls(at)[key])


def take_to_its_ends(at: AppTest, key: str, seen: set[str]) -> None:
    """Move a control to its ends, those that appear on the way too, and put it back."""
    seen.add(key)
    if controls(at)[key].disabled:
        return
    before = controls(at)[key].value
    for value in ends(controls(at)[key]):
        move(at, key, value)
        for other in [other for other in controls(at) if other not in seen]:
            take_to_its_ends(at, other, seen)
        if key not in controls(at):
            return
    widget = put(at, key, before)
    if widget.type not in ("slider", "select_slider"):  # a choice may change what the other controls offer
        widget.run()
