"""The head of a page: its words, its vital signs, and what it makes of a message."""

import re

import pytest
from head import head, opening, send, title, vital_signs
from reader import address, assert_fine, move, open_page, press

from gptoss.app.accounts import figures
from gptoss.app.book import ALL_PAGES
from gptoss.app.glossary import WORDS, anchor
from gptoss.app.header import BACK, MOVED_BY, signs_of
from gptoss.app.study import DIALS, Study
from gptoss.config import PRESETS


def test_a_dial_moves_the_vital_signs_that_are_shown_for_it_and_no_others():
    moved = {name: set() for name in DIALS}
    for study in map(Study.of_preset, PRESETS):
        before = figures(study.config, study.context)
        for dial in DIALS.values():
            for position in dial.options(vars(study)):
                there = study.moved(**{dial.name: position})[0]
                after = figures(there.config, there.context)
                moved[dial.name] |= {name for name in before if after[name] != before[name]}
    assert {name: set(MOVED_BY.get(name, ())) for name in DIALS} == moved


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.path)
def test_a_head_says_what_its_page_is_for(page):
    at = open_page(f"pages/{page.file}")
    html = head(at)
    assert title(at) == page.title and len(vital_signs(at)) == len(signs_of(page))
    for words in (page.teaches, page.objective, f"{page.minutes} min" if page.minutes else "Here you can"):
        assert words.replace("'", "&#x27;") in html
    assert_words_resolve(at)
    if page.path != "start":  # all of which says what the app is
        assert_opens_in_three_short_sentences(at)


def assert_words_resolve(at):
    """Every word that is linked, in the head or anywhere below, has its entry in the drawer of the same page."""
    shown = "".join(str(element.proto) for element in at.main if hasattr(element, "proto"))
    linked, entries = set(re.findall(r"#(word-[\w-]+)", shown)), {anchor(name) for name in WORDS}
    assert linked <= entries and all(f'id=\\"{entry}\\"' in shown for entry in entries)


def assert_opens_in_three_short_sentences(at):
    told = opening(at)
    assert [name for name, _ in told] in (["The problem", "The idea", whose] for whose in ("GPT-OSS", "Here"))
    for name, sentence in told:
        assert 5 <= len(sentence.split()) <= 32 and len(sentence) <= 200 and sentence.endswith("."), f"{name}: {sentence}"


@pytest.mark.parametrize("message", ["", "on", 5, None, ["back"], {"back": True}])
def test_a_message_that_means_nothing_changes_nothing(message):
    at = open_page("pages/gqa.py", preset="gpt-oss-20b")
    before = head(at), address(at)
    send(at, message)
    assert_fine(at)
    assert (head(at), address(at)) == before


@pytest.mark.parametrize("query", [{"preset": "classroom", "weights": "random"}, {"preset": "classroom", "heads": "4"},
                                   {"preset": "storyteller", "window": "8"}])
def test_the_way_back_to_trained_weights_may_be_pressed_again_as_it_disappears(query):
    at = open_page("pages/sinks.py", **query)
    for _ in range(2):  # the second message was on its way when the first one had taken the button away
        send(at, BACK)
        assert_fine(at)
    assert "weights trained on" in head(at)
    there = address(at)
    send(at, BACK)
    assert_fine(at)
    assert address(at) == there


def test_differences_to_the_pinned_model_stand_behind_the_signs():
    at = open_page("pages/gqa.py", preset="gpt-oss-20b")
    press(at, "Pin for comparison")
    assert not any(sign.change for sign in vital_signs(at))
    move(at, "kv", 0)
    assert {sign.label: sign.change for sign in vital_signs(at)}["KV cache at 131,072"] == "÷8"
