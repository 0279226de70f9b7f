"""A lecture on the projector and in a session that follows it, on one visit: keys, jumps, hands, Back and reload."""

from chromium_reader import PATIENCE, act, at_rest, expect_address, press, settle, slider
from playwright.sync_api import expect


def expect_stop(page, title: str, **address) -> None:
    """Wait until a page stands there, whole."""
    expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()
    expect_address(page, **address)
    at_rest(page)


def lead(visits):
    """A projector at the first stop of the shorter lecture, and the code of its room."""
    page = visits.open("/lecture", order="45")
    page.get_by_role("button", name="Start the lecture").click()
    expect(bar(page)).to_contain_text("1 / 8")
    expect_stop(page, "GPT-OSS, live", at="1.0", stage="1")
    page.wait_for_function("window.gptossKeys?.now", timeout=PATIENCE)
    return page, page.evaluate("new URLSearchParams(location.search).get('lead')")


def bar(page):
    return page.get_by_role("complementary", name="Lecture")


def test_a_clicker_leads_and_a_session_follows_until_a_hand_touches_something(visits):
    page, code = lead(visits)
    student = visits.open("/memory", room=code, stranger=True)
    expect_stop(student, "GPT-OSS, live", room=code)
    page.wait_for_function("window.gptossLecture.fetched.startsWith('tokenizer?')", timeout=PATIENCE)  # ahead of time
    for key, at in (("PageDown", "1.1"), ("ArrowRight", "1.1"), (" ", "2.0")):  # a vote, its end, the next stop
        page.keyboard.press(key)
        expect_address(page, at=at)
        at_rest(page)
    expect_stop(student, "Tokenizer", room=code, at=None)
    page.keyboard.press("6")
    for there in page, student:
        expect_stop(there, "Experts")
    settle(page)
    follow_a_slider(page, student)
    hands(page, student)
    overlays(page)
    back_and_reload(page, student)
    presses_from_the_presenters_window(page, code)
    assert act(page, code, "go", stop=2, beat=0) == 200
    for there in page, student:
        expect_stop(there, "Attention")
    assert act(page, code, "end") == 200
    for there in page, student:
        expect(bar(there)).to_contain_text("The lecture is over.")
    bar(student).get_by_role("button", name="Leave").click()
    expect_address(student, room=None)


def follow_a_slider(page, student) -> None:
    """A slider with the focus keeps the arrows that are no clicker's; whoever follows sees where it is."""
    press(page, "Layer", "ArrowUp")
    for there in page, student:
        expect_address(there, layer="1")
    press(page, "Layer", "ArrowRight")
    for there in page, student:
        expect_address(there, experts_step="2", layer="1")
    at_rest(page)
    press(page, "Layer", "PageUp")
    expect_address(page, experts_step=None, layer="1", at="6.0")
    at_rest(page)


def hands(page, student) -> None:
    """Whoever touches something is left alone until they come back."""
    press(student, "Layer", "ArrowUp")
    expect(bar(student)).to_contain_text("In your own hands")
    page.keyboard.press("4")
    expect_stop(page, "Sliding window", at="4.0")
    expect_stop(student, "Experts", layer="2")
    bar(student).get_by_role("button", name="Back to the lecture").click()
    expect_stop(student, "Sliding window", layer=None)
    student.wait_for_function("window.gptossKeys?.now", timeout=PATIENCE)
    student.keyboard.press("Alt+ArrowRight")
    expect_stop(student, "Attention sinks")
    bar(student).get_by_role("button", name="Back to the lecture").click()
    expect_stop(student, "Sliding window")


def overlays(page) -> None:
    """Black, and the code of the room, over the screen; a key takes them away and does nothing else."""
    page.keyboard.press("b")
    expect(page.locator(".lecture-over.black")).to_be_visible()
    page.keyboard.press("PageDown")
    expect(page.locator(".lecture-over.black")).to_have_count(0)
    page.keyboard.press("r")
    expect(page.get_by_alt_text("The address of room")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".lecture-over")).to_have_count(0)
    expect_stop(page, "Sliding window", at="4.0")


def presses_from_the_presenters_window(page, code) -> None:
    """They do what the clicker does: the page's own steps first, each of them one that the browser's Back knows."""
    window = page.context.new_page()
    window.goto(page.evaluate("code => new URL(`./presenter?room=${code}`, location.href).href", code))
    coming = window.locator("#forward-name")
    for key, step in ("PageDown", "2"), ("PageDown", "3"), ("PageUp", "2"):
        expect(coming).to_have_text("The next step on the page")
        window.keyboard.press(key)
        expect_address(page, experts_step=step, at="6.0", layer="1")
        at_rest(page)
        settle(page)
    page.go_back()
    expect_stop(page, "Experts", experts_step="3", at="6.0")
    settle(page)
    window.keyboard.press("b")
    expect(page.locator(".lecture-over.black")).to_be_visible()
    expect(coming).to_have_text("Show the picture again")
    window.keyboard.press("PageDown")
    expect(page.locator(".lecture-over.black")).to_have_count(0)
    expect_address(page, experts_step="3", at="6.0")
    page.keyboard.press("Alt+ArrowRight")
    expect(coming).to_have_text("Back to this stop")
    window.keyboard.press("PageDown")
    expect_stop(page, "Experts", at="6.0", layer=None)
    window.close()


def back_and_reload(page, student) -> None:
    """The browser's Back leads to the stop before, in the room too; a reload leads to where one is."""
    page.go_back()
    expect_stop(page, "Experts", at="6.0", layer="1")
    expect_stop(student, "Experts", layer="1")
    page.reload()
    expect_stop(page, "Experts", at="6.0", layer="1")
    expect(bar(page)).to_contain_text("6 / 8")
    assert slider(page, "Layer").get_attribute("aria-valuetext") == "1"
