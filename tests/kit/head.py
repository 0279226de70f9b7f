"""The head of a page in AppTest: what it says, and what is pressed there, sent as the browser sends it."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import NamedTuple

from streamlit.testing.v1 import AppTest

from gptoss.app.header import KEY


class Sign(NamedTuple):
    """One vital sign as the page shows it; `change` is empty where it stands as in the pinned model."""

    label: str
    value: str
    change: str


def data(at: AppTest) -> dict[str, str]:
    """What the browser is sent for the one head that a page has."""
    heads = [element.proto for element in at.get("bidi_component") if element.proto.component_name == KEY]
    assert len(heads) == 1
    return json.loads(heads[0].json)


def head(at: AppTest) -> str:
    """Its HTML."""
    return data(at)["html"]


def title(at: AppTest) -> str:
    return unescape(re.search("<h1>(.*?)</h1>", head(at))[1])


def opening(at: AppTest) -> list[tuple[str, str]]:
    """The three sentences, each after what it is; none where they are not there."""
    section = re.search('<section class="head-opening".*?</section>', head(at))
    found = re.findall("<p><strong>(.*?)</strong> (.*?)</p>", section[0]) if section else []
    return [(name, unescape(re.sub("<.*?>", "", sentence))) for name, sentence in found]


def vital_signs(at: AppTest) -> list[Sign]:
    found = re.findall(r"<dt>([^<]*)</dt><dd>([^<]*?) (?:<small[^>]*>(.*?)</small>)?</dd></div>", head(at))
    return [Sign(*sign) for sign in found]


def band(at: AppTest) -> str:
    """What the band says, badges in brackets, and the words behind the head's mark."""
    html = re.sub('<span class="head-icon".*?</span>', "", head(at))
    shown = re.search('<div class="head-band">(.*?)</div>', html)[1]
    shown = re.sub('<span class="badge[^>]*>(.*?)</span>', r"[\1] ", re.sub("<(button|a) .*", "", shown))
    explained = re.search("popover>(.*?)</div>", html)[1]
    return unescape(re.sub("<.*?>", " ", f"{shown} {explained}"))


def offers(at: AppTest) -> dict[str, str]:
    """What can be pressed in the band, by its words: the message that it sends, or the address that it leads to."""
    html = re.sub('<span class="head-icon".*?</span>', "", head(at))
    shown = re.search('<div class="head-band">(.*?)</div>', html)[1]
    found = re.findall(r'<(?:button|a) .*?(?:data-message|href)="(.*?)".*?>(.*?)</', shown)
    return {unescape(words): target for target, words in found}


def press_in_head(at: AppTest, words: str) -> AppTest:
    """Press what the band offers in these words."""
    return send(at, offers(at)[words])


def send(at: AppTest, message: object, event: str = "pressed", component: str = KEY) -> AppTest:
    """A message of the head, or of another component, as the browser sends it: a trigger in its own widget."""
    element = next(element.proto for element in at.get("bidi_component") if element.proto.component_name == component)
    states = at._tree.get_widget_states()
    states.widgets.add(id=f"$$STREAMLIT_INTERNAL_KEY_{element.id}__events",
                       json_trigger_value=json.dumps([{"event": event, "value": message}]))
    return at._run(states)
