"""From page to page by keys and links, in one session: with a slider, a text box or a list in focus, and through steps."""

from chromium_reader import PATIENCE, address, at_rest, expect_address, press, settle, text_box
from playwright.sync_api import expect

TEXT = "Grüße & 1 + 1 = 2 🙂"
MODEL = {"preset": "gpt-oss-20b", "heads": "4", "kv": "2", "text": TEXT}


def open_page(visits, address: str, **settings):
    """A page that listens to keys."""
    page = visits.open(address, **MODEL | settings)
    page.wait_for_function("window.gptossKeys?.now", timeout=PATIENCE)
    page.evaluate("window.here = 'since the start'")
    return page


def expect_page(page, title: str) -> None:
    """Wait for a page, which must have come without a reload and with the model and the text."""
    expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()
    at_rest(page)
    settle(page)
    assert page.evaluate("window.here") == "since the start", "the page was loaded anew"
    expect_address(page, **MODEL)


def test_keys_lead_through_steps_and_from_page_to_page_whatever_has_the_focus(visits):
    page = open_page(visits, "/attention", layer="1")
    for key, step in [("PageDown", "2"), ("PageDown", "3"), ("PageUp", "2"), *(("PageDown", step) for step in "345")]:
        press(page, "Query heads", key)
        expect_address(page, attention_step=step, heads="4")
    page.keyboard.press("PageDown")
    expect_page(page, "RoPE and YaRN")
    page.keyboard.press("PageUp")
    expect_page(page, "Attention")
    expect_address(page, attention_step=None, layer="1")
    press(page, "Query heads", "PageUp")
    expect_page(page, "Tokenizer")
    press(page, "Hidden size", "Alt+ArrowRight")
    expect_page(page, "Attention")
    press(page, "Query heads", "Home")
    expect_address(page, heads="1", kv="1")
    page.keyboard.press("Alt+ArrowLeft")
    expect(page.get_by_role("heading", name="Tokenizer", level=1)).to_be_visible()
    at_rest(page)
    expect_address(page, heads="1", kv="1", layers=None)


def test_a_text_box_an_open_list_and_a_dialog_keep_their_keys(visits):
    page = open_page(visits, "/build")
    text_box(page).focus()
    for key in ("PageDown", "Alt+ArrowRight", "?", "Escape"):
        page.keyboard.press(key)
    expect(text_box(page)).to_have_value(f"{TEXT}?")
    expect(page.get_by_role("heading", name="Build and run", level=1)).to_be_visible()
    page.get_by_role("combobox", name="Preset").click()
    page.keyboard.press("PageDown")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Keys").click()
    expect(page.get_by_role("dialog")).to_contain_text("the next step, or the next page")
    page.keyboard.press("PageDown")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    at_rest(page)
    expect(page.get_by_role("heading", name="Build and run", level=1)).to_be_visible()
    page.get_by_role("combobox", name="Preset").focus()
    page.keyboard.press("PageDown")
    expect(page.get_by_role("heading", name="Sampling", level=1)).to_be_visible()


def test_links_keep_the_model_and_the_text_here_and_in_another_tab(visits):
    page = open_page(visits, "/")
    drawn = page.get_by_role("link", name="Query heads in KV groups: to the page Grouped queries")
    drawn.focus()
    drawn.press("Enter")
    expect_page(page, "Grouped queries")
    page.get_by_role("link", name="Sliding window →").click()
    expect_page(page, "Sliding window")
    link = page.get_by_role("navigation", name="Where this is in the model").get_by_role("link", name="Experts")
    link.focus()
    other = visits.open(page.evaluate("link => link.href", link.element_handle()), stranger=True)
    expect(other.get_by_role("heading", name="Experts", level=1)).to_be_visible()
    assert address(other) == MODEL
    link.press("Enter")
    expect_page(page, "Experts")
    page.go_back()
    expect(page.get_by_role("heading", name="Sliding window", level=1)).to_be_visible()
