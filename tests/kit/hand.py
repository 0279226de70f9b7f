"""A hand on the dials in AppTest, which cannot draw our own element: it sends what the browser would send."""

from __future__ import annotations

import json
from itertools import count

from streamlit.testing.v1 import AppTest

_gestures = count(1)  # every move of a test is a gesture of its own


def drawn(at: AppTest, key: str) -> dict:
    """What Python told the browser to draw as the element with this key."""
    return json.loads(at.get_by_key(key).proto.json)


def message(at: AppTest, key: str, *steps: tuple[str, str], **other: object) -> dict:
    """A message of steps, each a name and a value, as the browser sends it; `other` parts replace those that it has."""
    data = drawn(at, key)
    written = [{"gesture": next(_gestures), "name": name, "value": value} for name, value in steps]
    return {"token": data["token"], "number": data["heard"] + 1, "steps": written, "held": False} | other


def send(at: AppTest, key: str, message: object) -> AppTest:
    """One run with a message from the element with this key, and with whatever else was set by now."""
    states = at._tree.get_widget_states()
    state = states.widgets.add()
    state.id = at.get_by_key(key).proto.id
    state.json_value = json.dumps({"message": message})
    return at._run(states)


class Dial:
    """A dial of an element: where it stands, what it offers, and a way to move it."""

    def __init__(self, at: AppTest, key: str, name: str):
        self._at, self.key, self.name = at, key, name
        data = drawn(at, key)
        groups = [*data["groups"], *data.get("drawer", {}).get("groups", [])]
        dials = [data["preset"]] if name == "preset" else [dial for group in groups for dial in group["dials"]]
        self._drawn = next(dial for dial in dials if dial["name"] == name)
        self.label, self.help, self.note = (self._drawn.get(part, "") for part in ("label", "help", "note"))
        self.spelled = [option if isinstance(option, str) else option[0] for option in self._drawn["options"]]
        self.options = [option if isinstance(option, str) else option[1] for option in self._drawn["options"]]
        self.disabled = self._drawn.get("disabled", False) or len(self.options) == 1
        self._to = self._drawn["at"]

    @property
    def at(self) -> str:
        """Its position as the address spells it."""
        return self._drawn["at"]

    def set_value(self, value: object) -> Dial:
        """Take it to a position, given as it is shown or as the address spells it. Sent by `run`."""
        words = str(value)
        self._to = self.spelled[self.options.index(words)] if words in self.options else words
        return self

    def run(self) -> AppTest:
        return send(self._at, self.key, message(self._at, self.key, (self.name, self._to)))


class MainSlider(Dial):
    """A page's main slider, which stands where the session's state says."""

    type = "main_slider"

    @property
    def value(self) -> object:
        return self._at.session_state[self.name]

    @property
    def place(self) -> str:
        """Where it is, or is to go, as a browser would send it."""
        return f'"{self._to}"'


def main_sliders(at: AppTest) -> dict[str, MainSlider]:
    """The main sliders of the page, by their keys."""
    elements = {element.key: json.loads(element.proto.json) for element in at.main.get("bidi_component")}
    return {dial["name"]: MainSlider(at, key, dial["name"]) for key, data in elements.items()
            for group in data.get("groups", []) for dial in group["dials"]}


class Button:
    """A button of an element."""

    def __init__(self, at: AppTest, key: str, label: str):
        self._at, self._key = at, key
        self._drawn = next(each for each in drawn(at, key)["buttons"] if each["label"] == label)
        self.disabled = self._drawn["disabled"]

    def click(self) -> Button:
        return self

    def run(self) -> AppTest:
        return send(self._at, self._key, message(self._at, self._key, ("button", self._drawn["value"])))
