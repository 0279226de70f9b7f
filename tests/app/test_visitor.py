"""Who is there: the browser by its cookie, the session by whether its browser is connected."""

import pytest

from gptoss.app import visitor


def test_a_browser_is_asked_for_by_its_session(monkeypatch):
    class Runtime:
        def is_active_session(self, session):
            return session == "open"

    assert visitor.session_is_open("whatever")  # no server at all: nobody could have left
    monkeypatch.setattr(visitor.runtime, "exists", lambda: True)
    monkeypatch.setattr(visitor.runtime, "get_instance", Runtime)
    assert visitor.session_is_open("open") and not visitor.session_is_open("closed")
    monkeypatch.delattr(Runtime, "is_active_session")
    assert visitor.session_is_open("closed")


def masked(token, mask):
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(token)).hex()


def test_a_browser_is_the_same_whatever_its_cookie_is_masked_with():
    token = bytes(range(16))
    cookies = [f"2|{mask.hex()}|{masked(token, mask)}|1796036508" for mask in (b"abcd", bytes(4), b"\xff\x00\x80\x01")]
    assert {visitor._token(cookie) for cookie in cookies} == {token.hex()}


@pytest.mark.parametrize("cookie", ["", "2|zz|00|1", "2||00|1", "|||", "2|ab|0|1", "nonsense", "2|ab|cd|1|2"])
def test_a_cookie_of_another_kind_names_no_browser(cookie):
    assert visitor._token(cookie) == ""
