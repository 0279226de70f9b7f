"""What the app does with a key that the browser sends. That the browser sends it is tested there."""

from types import SimpleNamespace

import pytest

from gptoss.app import keys
from gptoss.app.book import PAGES


@pytest.fixture
def sent(monkeypatch):
    """Sends a message from a page; returns the file of the page that it opens, if it opens one."""
    opened, session = [], {}
    monkeypatch.setattr(keys.st, "session_state", session)
    monkeypatch.setattr(keys.st, "switch_page", lambda file, query_params: opened.append(file))
    monkeypatch.setattr(keys.state, "query", dict)

    def send(message, path="attention"):
        opened.clear()
        session["keys"] = SimpleNamespace(act=message)
        keys._act(path, lambda path, message: False)
        return opened[0] if opened else None

    return send


def test_forward_and_back_go_from_page_to_page_where_no_step_is_left(sent):
    assert sent({"does": "forward"}) == sent({"does": "next"}) == "pages/rope.py"
    assert sent({"does": "back"}) == sent({"does": "previous"}) == "pages/tokenizer.py"
    assert sent({"does": "back"}, "start") is None and sent({"does": "forward"}, PAGES[-1].path) is None


def test_a_link_goes_to_its_page_and_the_bare_address_to_the_first(sent):
    assert sent({"does": "go", "to": "mxfp4"}) == "pages/mxfp4.py"
    assert sent({"does": "go", "to": ""}) == "pages/start.py"


@pytest.mark.parametrize("bad", [None, "next", 3, [], {}, {"does": "drop"}, {"does": ["next"]}, {"does": "go"},
                                 {"does": "go", "to": "../app"}, {"does": "go", "to": None}, {"does": {}, "to": "rope"}])
def test_a_message_that_no_key_sends_does_nothing(sent, bad):
    assert sent(bad) is None


def test_every_key_of_the_table_does_something_and_is_there_once():
    assert len({shortcut.key for shortcut in keys.SHORTCUTS}) == len(keys.SHORTCUTS)
    assert {shortcut.does for shortcut in keys.SHORTCUTS} == keys._ACTS.keys()


def test_a_key_whose_page_was_left_meanwhile_does_nothing(sent, monkeypatch):
    monkeypatch.setattr(keys.st, "session_state", {})
    assert keys._act("attention", lambda path, message: False) is None
