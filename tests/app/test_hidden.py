"""What an address hides is away, everything else works, and what it cannot hide is said."""

from pathlib import Path

import hand
from head import title
from reader import address, open_page, press

from gptoss.app import hidden
from gptoss.app.state import DIALS_KEY


def labels(at):
    return {dial["name"] for group in hand.drawn(at, DIALS_KEY)["groups"] for dial in group["dials"]}


def test_what_is_hidden_is_not_drawn_and_stays_away_from_page_to_page():
    at = open_page("pages/sinks.py", hide="heads, text,tries,answers,below,sinks_logit,zzz,heads,<b>")
    assert not at.exception and labels(at) == {"sinks"}
    assert not at.text_area and not at.tabs and not [button for button in at.button if button.label]
    assert at.number_input(key="sinks_guess") and "Query token" in {each.label for each in hand.main_sliders(at).values()}
    assert "sinks_logit" not in hand.main_sliders(at) and "sinks_logit" in at.session_state
    [warning] = at.warning
    assert "“zzz”, “\\<b\\>”" in warning.value and "It can hide dials, controls," in warning.value
    at.query_params.clear()  # as the bar's links come
    at.switch_page("pages/rmsnorm.py").run()
    assert title(at) == "RMSNorm" and address(at)["hide"].startswith("heads,text,tries") and not at.tabs


def test_style_takes_away_what_is_drawn_all_the_same():
    at = open_page("pages/sinks.py", hide="dials,signs,layer")
    [style] = [html.value for html in at.get("html") if "display: none !important" in html.value]
    assert "[data-testid=stSidebar]" in style and ".vital-signs" in style and ".st-key-layer" in style
    assert press(at, "Commit") and not at.warning
    assert not [html for html in open_page("pages/sinks.py", hide="").get("html") if "!important" in html.value]


def test_every_part_is_explained_and_no_name_gets_into_the_style():
    assert all(hidden.PARTS.values()) and hidden._STYLE.keys() <= hidden.PARTS.keys()
    at = open_page("pages/sinks.py", hide="} * {,a b,</style><b>")
    assert not [html for html in at.get("html") if "!important" in html.value]


def test_the_readme_names_every_part():
    words = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in words for name in hidden.PARTS)
