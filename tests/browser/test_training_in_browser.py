"""Training in a real browser: a tiny model learns, its reader leaves, comes back, scrubs through it and takes it home."""

import re
import zipfile

from chromium_reader import PATIENCE, PHONE, at_rest, expect_address, marks, press, settle
from playwright.sync_api import expect

from gptoss.training.corpus import DOMAINS

LONG = 4 * PATIENCE
TINY = {"preset": "classroom", "layers": "1", "hidden": "64", "heads": "2", "kv": "1", "experts": "2", "active": "1",
        "training_batch": "4", "training_warmup": "1"} | {
    f"training_share_{domain}": "100" if domain == "repetition" else "0" for domain in DOMAINS}


def button(page, name: str):
    return page.get_by_test_id("stMain").get_by_role("button", name=name, exact=True)


def state(page, words: str):
    """The line beside the progress bar."""
    return page.get_by_test_id("stProgress").filter(has_text=re.compile(words))


def go(page, section: str, address: str) -> None:
    """To another page of the same session, by the bar at the top."""
    page.get_by_test_id("stTopNav").get_by_role("button", name=section).click()
    page.locator(f"a[data-testid=stTopNavDropdownLink][href$='{address}']").click()
    page.wait_for_url(f"**{address}*", timeout=PATIENCE)
    at_rest(page)


def test_a_reader_trains_leaves_comes_back_scrubs_and_takes_the_model_home(visits, tmp_path):
    page = visits.open("/training", **TINY, training_steps="4")
    button(page, "Train").click()
    go(page, "Components", "/attention")
    go(page, "Training and scale", "/training")
    expect(state(page, "Done: step 4 of 4")).to_be_visible(timeout=LONG)
    at_rest(page)
    expect(page.get_by_text(re.compile("the model under study, after 4 steps", re.I))).to_be_visible()
    assert marks(page)[0] > 0
    page.get_by_role("tab", name="Replay").click()
    expect(page.locator(".stMarkdownBadge", has_text="trained weights, step 4")).to_be_visible()
    press(page, "Steps trained", "Home")
    expect(page.locator(".stMarkdownBadge", has_text="random weights, step 0")).to_be_visible()
    press(page, "Steps trained", "ArrowRight", times=2, pause=300)
    expect(page.locator(".stMarkdownBadge", has_text="trained weights, step 2")).to_be_visible()
    page.get_by_role("tab", name="Keep a model").click()
    with page.expect_download(timeout=LONG) as download:
        button(page, "Checkpoint").first.click()
    download.value.save_as(tmp_path / "study.zip")
    assert "study/model.safetensors" in zipfile.ZipFile(tmp_path / "study.zip").namelist()
    button(page, "Use this model on every page").click()
    expect(page.get_by_text(re.compile("4 steps here")).first).to_be_visible()


def test_curves_grow_by_themselves_and_buttons_steer(visits):
    page = visits.open("/training", **TINY, training_steps="2000")
    button(page, "Train").click()
    expect(state(page, r"Training: step [1-9][\d,]* of 2,000")).to_be_visible(timeout=LONG)
    first = state(page, "Training").inner_text()
    page.wait_for_function("before => document.querySelector('[data-testid=stProgress]').innerText !== before", arg=first,
                           timeout=LONG)
    button(page, "Pause").click()
    expect(state(page, "Paused: step")).to_be_visible(timeout=LONG)
    button(page, "Resume").click()
    expect(state(page, "Training: step")).to_be_visible(timeout=LONG)
    button(page, "Stop").click()
    expect(state(page, "Stopped: step")).to_be_visible(timeout=LONG)
    expect(button(page, "Train")).to_be_visible()


def test_a_second_person_sees_a_run_begin_waits_in_line_and_gets_their_turn(visits):
    second = visits.open("/training", stranger=True, **TINY, training_steps="4")
    expect(second.get_by_test_id("stProgress")).to_have_count(0)
    first = visits.open("/training", **TINY, training_steps="2000")
    button(first, "Train").click()
    expect(state(first, "Training: step")).to_be_visible(timeout=LONG)
    expect(state(second, "Somebody trains: step")).to_be_visible(timeout=LONG)
    expect(button(second, "Pause")).to_have_count(0)
    button(second, "Train").click()
    expect(state(second, "Waiting: 1 run before yours")).to_be_visible(timeout=LONG)
    button(first, "Stop").click()
    expect(state(first, "Stopped")).to_be_visible(timeout=LONG)
    expect(state(second, "Done: step 4 of 4")).to_be_visible(timeout=LONG)


def test_a_curve_is_drawn_by_the_keyboard(visits):
    page = visits.open("/training", preset="classroom", training_steps="20")
    button(page, "Draw").click()
    page.get_by_text("Draw a curve", exact=True).click()
    expect(page.get_by_text("What you expect of 20 steps")).to_be_visible()
    press(page, "Loss at step 20 (nats)", "ArrowLeft", times=20)
    page.keyboard.press("Escape")
    at_rest(page)
    assert marks(page)[0] > 0


def test_a_file_that_is_no_text_is_refused_and_another_can_follow(visits, tmp_path):
    page = visits.open("/training", **TINY, training_steps="4", training_source="Own file")

    def train_on(name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        button(page, "Data").click()
        page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(tmp_path / name)
        expect(page.get_by_text(name)).to_be_visible()
        settle(page)  # the file has travelled
        page.keyboard.press("Escape")
        button(page, "Train").click()

    train_on("bad.txt", b"\xff\xfe no text")
    expect(page.get_by_text("The file is not UTF-8 text: byte 0 belongs to no character.")).to_be_visible()
    train_on("good.txt", b"One sentence follows another, and so on, until dusk.\n" * 80)
    expect(state(page, "Done: step 4 of 4")).to_be_visible(timeout=LONG)


def test_a_setting_stands_in_the_address_and_a_phone_shows_all_in_one_column(visits):
    page = visits.open("/training", preset="classroom")
    button(page, "Schedule").click()
    press(page, "Steps", "Home")
    expect_address(page, training_steps="4")
    page.keyboard.press("Escape")
    page.set_viewport_size(PHONE)
    for tab in ("Expert load", "Recall", "What they write", "Replay", "Keep a model"):
        page.get_by_role("tab", name=tab).click()
        at_rest(page)
        widths = page.evaluate("() => { const main = document.querySelector('[data-testid=stMain]');"
                               " return [main.scrollWidth, main.clientWidth] }")
        assert widths[0] <= widths[1], (tab, widths)
