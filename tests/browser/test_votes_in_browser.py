"""A vote in Chromium: opened by the clicker, answered on a phone and in the app, closed and answered by the clicker."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from accessibility import violations
from chromium_reader import DESKTOP, LAPTOP, PATIENCE, PHONE, open_room
from playwright.sync_api import expect

ORDER = """
title = "A vote"

[[stop]]
address = "sinks?preset=storyteller&sinks_view=Without+sinks"
minutes = 5
headline = "Sinks away"
sentence = "What becomes of one head's answer?"
beats = ["vote", "reveal", "try: Close one head"]
"""
LONGER = "it gets longer"


@pytest.fixture
def windows(chromium, app):
    """Opens an address in a browser that shares nothing with the others, or in one that is there."""
    opened = []

    def opening(path, screen=DESKTOP, beside=None):
        context = beside.context if beside else chromium.new_context(viewport=screen)
        context.set_default_timeout(2 * PATIENCE)
        opened.append(context)
        page = context.new_page()
        page.goto(f"{app[0]}/{path}")
        return page

    yield opening
    for context in set(opened):
        context.close()


def test_a_vote_goes_from_the_clicker_to_phones_and_back_to_the_board(windows):
    door = windows("room")
    code = open_room(door, ORDER)
    lead = windows(f"sinks?preset=storyteller&sinks_view=Without+sinks&stage=1&lead={code}", beside=door)
    phone, student = windows(f"room/{code}", PHONE), windows(f"sinks?room={code}")
    board, count = lead.locator(".st-key-board"), lead.locator(".st-key-board .vote-count")
    expect(lead.locator(".lecture-bar")).to_contain_text("1 / 1")
    expect(student.locator(".lecture-bar")).to_contain_text("Following")
    lead.keyboard.press("PageDown")
    expect(board.get_by_role("heading")).to_contain_text("Take the sinks of a layer away")
    assert violations(lead, ".st-key-board") == []
    phone.get_by_role("radio", name=LONGER).click()
    expect(count).to_have_text("1 answered")
    student.locator(".st-key-ballot label", has_text=LONGER).last.click()
    expect(student.locator(".st-key-ballot")).to_contain_text("Sent.")
    expect(count).to_have_text("2 answered")
    assert violations(student, ".st-key-ballot") == []
    lead.keyboard.press("PageDown")
    expect(count).to_have_text("2 answered, closed")
    expect(board.locator("svg.marks")).to_contain_text("100% · 2")
    expect(student.locator(".st-key-ballot")).to_have_count(0)
    assert "The answer is" not in board.inner_text()
    lead.keyboard.press("PageDown")
    expect(board).to_contain_text(f"The answer is “{LONGER}”.")
    board.get_by_role("button", name="Vote again").click()
    expect(phone.get_by_role("radio", name=LONGER)).to_be_enabled()
    lead.keyboard.press("PageDown")  # the focus is on a button of the board
    expect(count).to_have_text("0 answered in round 2, closed")
    lead.set_viewport_size(LAPTOP)
    assert board.evaluate("board => board.scrollHeight <= board.clientHeight")
    lead.keyboard.press("PageDown")
    expect(board).to_have_count(0)
    expect(lead.locator(".st-key-beside")).to_contain_text("Close one head:")
    assert urlsplit(student.url).path == "/sinks" and "Following" in student.locator(".lecture-bar").inner_text()
