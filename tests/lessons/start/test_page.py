"""Start: the doors, and which model is drawn."""

import re
from html import unescape
from urllib.parse import parse_qsl

import pytest
from reader import assert_fine, move, open_page

from gptoss.app import route
from gptoss.app.book import LECTURES, PAGES

START = "pages/start.py"


def html_of(at, name):
    """What the element with this class holds."""
    return next(unescape(html.proto.body) for html in at.get("html") if f'class="{name}"' in html.proto.body)


def drawing(at):
    return next(element.value for element in at.markdown if 'class="pointed-at"' in element.value)


def test_the_first_screen_says_what_why_and_where_to_go():
    doors = html_of(open_page(START), "doors")
    for words in ("21 billion weights", "3.6 billion used for each token", "Runs on a laptop", "12.82 GiB",
                  "Follow the lesson", "Give a lecture", "Play with the model", f"{len(PAGES)} pages"):
        assert words in doors
    assert 'href="./tokenizer"' in doors and 'href="./build"' in doors


@pytest.mark.parametrize("minutes", LECTURES)
def test_the_door_of_lectures_leads_to_the_running_orders(minutes):
    doors = html_of(open_page(START), "doors")
    assert f'href="./lecture?order={minutes}"' in doors and f">{minutes} minutes</a>" in doors


def test_what_a_link_says_of_another_page_is_understood_there():
    doors = html_of(open_page(START), "doors")
    asked = dict(parse_qsl(re.search(r'href="./memory\?([^"]*)"', doors)[1]))
    at = open_page("pages/memory.py", **asked)
    assert_fine(at)
    assert not at.warning and at.session_state["memory_machine"] in asked["memory_machine"]


def test_gpt_oss_20b_is_drawn_until_the_model_under_study_moves():
    at = open_page(START)
    assert "24 layers, 12 with a sliding window of 128 tokens" in drawing(at)
    move(at, "layers", 0)
    assert_fine(at)
    assert "1 layers, 1 with a sliding window" in drawing(at)
    at.segmented_control(key="start_model").set_value("gpt-oss-120b").run()
    assert "36 layers" in drawing(at) and "Running live" not in drawing(at)


def test_a_large_model_under_study_is_drawn_at_once_with_what_runs_for_it():
    at = open_page(START, preset="gpt-oss-120b")
    assert "36 layers" in drawing(at) and "Running live" in drawing(at)


def test_every_part_of_the_drawing_has_its_sentence():
    drawn = drawing(open_page(START))
    for path in set(re.findall(r'href="\./(\w+)"', drawn)):
        page = route.page_at(path)
        assert f'<span class="says-{path}"><b>{page.title}.</b> ' in drawn and page.teaches in unescape(drawn)
    assert "\n\n" not in drawn.split("</div>\n\n")[0], "a blank line ends HTML within Markdown"


def test_in_projector_mode_the_drawing_stands_alone():
    at = open_page(START, stage="1")
    assert drawing(at) and not any("doors" in html.proto.body or "all-pages" in html.proto.body for html in at.get("html"))


def test_the_list_of_pages_says_what_each_is_for_and_whether_it_is_core():
    listed = html_of(open_page(START), "all-pages")
    for page in PAGES:
        assert page.teaches in listed and f"<small>{route.kind(page)}</small>" in listed
