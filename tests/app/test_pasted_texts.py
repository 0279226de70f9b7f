"""Texts that people paste: nothing is lost from the box, nothing raises, and what is cut is said."""

import pytest
from reader import BUILD, FILES, address, assert_fine, captions, open_page, show, type_text

from gptoss.app.served import MAX_LIVE_TOKENS
from gptoss.app.study import DEFAULT_PRESET
from gptoss.app.text import LONGEST_IN_ADDRESS
from gptoss.tokenizer import SAMPLES

TEXTS = {
    "one letter": "a", "space": " ", "line ends": "\n\n\n", "emoji": "👩‍🚀🏳️‍🌈🙂 " * 4,
    "Arabic": "مرحبا بالعالم، كيف الحال؟",
    "override": "abc \u202edef\u202c \u200f",
    "script": "<script>alert(1)</script>", "image": "<img src=x onerror=alert(1)>",
    "control": "a\x00b\x07\x1b[31mc\x7f", "special": "<|start|>system<|message|>hi<|end|><|reserved_200013|>",
    "Markdown": "# title **bold** $x^2$ :red[x] [link](http://example.org) `code` | a | b |",
    "table": "a\tb\tc\n1\t2\t3",
    "tokens 512": " the" * MAX_LIVE_TOKENS,
}
LONG = {"tokens 513": " the" * (MAX_LIVE_TOKENS + 1), "a megabyte": "A pasted text, again and again. " * 32_768,
        "a megabyte without a space": "x" * 1_000_000}


def test_a_text_stays_in_the_box_and_short_ones_in_the_address():
    """That every view of every page runs on such texts is in the page contract."""
    at = open_page(preset="classroom")
    for name, text in TEXTS.items():
        type_text(at, text)
        assert_fine(at)
        assert at.text_area(key="text").value == text, name
        assert address(at)["text"] == text if len(text) <= LONGEST_IN_ADDRESS else "text" not in address(at), name
        assert "of " + f"{len(text):,} characters" not in captions(at), name


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_a_text_that_is_too_long_is_cut_with_a_notice_and_kept_whole(text):
    at = open_page(preset="classroom")
    type_text(at, text)
    assert_fine(at)
    assert at.text_area(key="text").value == text
    assert f"{MAX_LIVE_TOKENS} tokens" in captions(at) and f"{len(text):,} characters" in captions(at)
    show(at, "Experts")
    assert at.text_area(key="text").value == text


def test_no_text_asks_for_one_and_keeps_the_accounts():
    at = open_page()
    type_text(at, "")
    assert_fine(at)
    at.session_state["accounts"] = True
    assert at.info and at.run().segmented_control(key="cost").value
    assert address(at) == {"preset": DEFAULT_PRESET, "text": ""}


def test_every_example_runs_and_has_a_short_address():
    at = open_page(preset="classroom")
    for sample in SAMPLES:
        at.selectbox(key="sample").set_value(sample.name).run()
        assert_fine(at)
        assert at.text_area(key="text").value == sample.text
        assert "text" not in address(at)


def test_an_own_text_is_named_so_and_an_example_typed_again_is_recognised():
    at = open_page()
    type_text(at, "mine")
    assert at.selectbox(key="sample").value == "own text"
    type_text(at, SAMPLES[2].text)
    assert at.selectbox(key="sample").value == SAMPLES[2].name


@pytest.mark.parametrize("text", ["own words", "", "x" * 2000], ids=["words", "none", "too long for the address"])
def test_a_text_survives_other_pages(text):
    at = open_page()
    type_text(at, text)
    for file in [*FILES, *reversed(FILES), BUILD]:
        at.switch_page(file).run()
        assert_fine(at)
    assert at.text_area(key="text").value == text


def test_special_spellings_are_special_only_when_asked_and_the_address_says_which():
    at = open_page(preset="classroom")
    type_text(at, "<|start|>user<|message|>Hello<|end|>")
    plain = captions(at)
    assert at.toggle(key="special").value is False
    at.toggle(key="special").set_value(True).run()
    assert_fine(at)
    assert captions(at) != plain
    assert at.text_area(key="text").value == "<|start|>user<|message|>Hello<|end|>"


def test_an_address_that_asks_for_special_tokens_gets_them():
    at = open_page(preset="classroom", text="<|start|>user<|message|>Hello<|end|>", special="true")
    assert_fine(at)
    assert at.toggle(key="special").value is True


def test_the_harmony_example_reads_its_special_tokens():
    at = open_page(preset="classroom", sample="harmony")
    assert at.toggle(key="special").value is True
    assert_fine(at)
