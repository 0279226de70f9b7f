"""A reader of the app in AppTest: opens pages, moves dials, presses buttons, and looks whether all is well."""

from __future__ import annotations

from pathlib import Path

import hand
from head import title, vital_signs
from streamlit.testing.v1 import AppTest

from gptoss.app.book import ALL_PAGES, PAGES
from gptoss.app.header import signs_of
from gptoss.app.state import DIALS_KEY
from gptoss.app.study import DIALS

APP = Path(__file__).parents[2] / "app.py"
FILES = [f"pages/{page.file}" for page in PAGES]
BUILD = "pages/build.py"


def open_page(file: str = BUILD, **address: str) -> AppTest:
    """A new session that comes to one page with an address."""
    at = AppTest.from_file(str(APP), default_timeout=60)
    for key, value in address.items():
        at.query_params[key] = value
    return at.switch_page(file).run()


def assert_fine(at: AppTest) -> None:
    """A whole page: nothing raised, a title, the vital signs that its dials move, all dials."""
    assert not at.exception, [e.message for e in at.exception]
    assert not at.error, [e.value for e in at.error]
    page = next(page for page in ALL_PAGES if page.title == title(at))
    assert len(vital_signs(at)) == len(signs_of(page)) and all(sign.value for sign in vital_signs(at))
    assert {name: dial(at, name).label for name in DIALS} == {name: dial.label for name, dial in DIALS.items()}


class Dial(hand.Dial):
    """A dial of the sidebar, or its list of presets."""

    def __init__(self, at: AppTest, name: str):
        super().__init__(at, DIALS_KEY, name)

    @property
    def value(self) -> object:
        return DIALS[self.name].read(self.at) if self.name in DIALS else self.at


def dial(at: AppTest, name: str):
    """A dial of the sidebar, its list of presets too, or a page's own slider by its key."""
    if name in (*DIALS, "preset"):
        return Dial(at, name)
    return hand.main_sliders(at).get(name) or at.select_slider(key=name)


def move(at: AppTest, name: str, place: int) -> None:
    """Move a dial to its first (0) or last (-1) position. One with a single position cannot be moved."""
    slider = dial(at, name)
    if not slider.disabled:
        slider.set_value(slider.options[place]).run()


def values(at: AppTest) -> dict[str, object]:
    return {name: dial(at, name).value for name in DIALS}


def address(at: AppTest) -> dict[str, str]:
    """The address as plain words: AppTest keeps what the app wrote as text and what a test set as a list."""
    return {key: value[-1] if isinstance(value, list) else value for key, value in at.query_params.items()}


def button(at: AppTest, label: str):
    """A button of the page, or of the sidebar's element."""
    return next((each for each in at.button if each.label == label), None) or hand.Button(at, DIALS_KEY, label)


def press(at: AppTest, label: str) -> AppTest:
    return button(at, label).click().run()


def type_text(at: AppTest, text: str) -> AppTest:
    return at.text_area(key="text").set_value(text).run()


def captions(at: AppTest) -> str:
    """Everything in small letters, the sidebar's notes and reasons included."""
    notes = [*hand.drawn(at, DIALS_KEY).get("notes", []), *(dial(at, name).note for name in DIALS)]
    return "\n".join([*(caption.value for caption in at.caption), *notes])


def show(at: AppTest, view: str) -> AppTest:
    return at.segmented_control(key="view").set_value(view).run()


def figure(text: str) -> float:
    """A number as the app writes it: `−1,234.5`, `1.2 · 10⁻⁷`."""
    plain = text.replace("−", "-").replace(",", "").replace(" · 10", "e")
    return float(plain.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))


def page_text(at: AppTest) -> str:
    """Everything that a page says in Markdown, without the marks that take Markdown's meaning from a letter."""
    kinds = ("markdown", "success", "info", "warning", "caption")
    return "\n".join(element.value for kind in kinds for element in at.get(kind)).replace("\\", "")


def charts(at: AppTest) -> list:
    """The charts of a page that draw something."""
    return [chart for chart in at.get("vega_lite_chart") if chart.proto.data.data or chart.proto.datasets]


def open_tab(at: AppTest, path: str, tab: str) -> AppTest:
    """Open a tab of the lesson below the page with this address."""
    at.session_state[f"{path}_lesson"] = tab
    return at.run()
