"""How the app keeps foreign words from being read as Markdown, and how dials show their values."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from literal_walk import MARKUP, assert_literal
from reader import BUILD, assert_fine, open_page

from gptoss.app.book import ALL_PAGES
from gptoss.app.markdown import JOINER, literal
from gptoss.app.state import OWN_KEYS
from gptoss.app.study import DIALS

PUNCTUATION = r"\`*_{}[]<>#$~|:&"


def shown(markdown):
    """What a reader sees of escaped words: a backslash gives way to the sign after it."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", markdown).replace(JOINER, "").replace("\u00a0", " ")


def test_markdown_in_a_readers_text_is_escaped():
    assert literal("a *b* [c](d) <i> $x$ :red[e] `f` &amp;") == (
        r"a \*b\* \[c\](d) \<i\> \$x\$ \:red\[e\] \`f\` \&amp;")


@given(st.text(alphabet=st.characters(exclude_characters=f"{JOINER}\u00a0\t"), max_size=60))
def test_every_markdown_character_is_escaped_and_nothing_else_changes(text):
    escaped = literal(text)
    assert shown(escaped) == text
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", "", escaped)
    assert not set(bare) & set(PUNCTUATION)


@pytest.mark.parametrize("text", ["- a", "+ a", "1. a", "12) a", "===", "    a", "a\n- b", "  * a", "# a", "> a"])
def test_nothing_begins_a_list_a_heading_or_a_block(text):
    assert all(re.match("[\u00a0\\\\]|\\d+\\\\|a$", line) for line in literal(text).splitlines())
    assert shown(literal(text)) == text


@pytest.mark.parametrize(
    "text", ["https://e.org/a", "HTTP://e.org", "www.e.org", "a@e.org", ":material/home:", "a -> b", "--"])
def test_what_is_replaced_without_a_sign_of_markdown_is_kept_apart(text):
    assert JOINER in literal(text) and shown(literal(text)) == text


@pytest.mark.parametrize("key", sorted({*OWN_KEYS, "colour", MARKUP} - {"text"}))
def test_what_an_address_says_is_shown_as_text(key):
    at = open_page(BUILD, **{"preset": "classroom", key: MARKUP})
    assert_fine(at)
    assert_literal(at)
    assert at.warning, "nothing is said about it"


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.path)
def test_what_an_address_says_of_controls_is_shown_as_text(page):
    at = open_page(f"pages/{page.file}", preset="classroom", pinned=MARKUP, **dict.fromkeys(page.controls, MARKUP))
    assert_fine(at)
    assert_literal(at)


def test_dials_show_thousands_and_the_window_that_is_off():
    assert DIALS["context"].show(131_072) == "131,072"
    assert DIALS["window"].show(0) == "off"
    assert DIALS["seed"].show(0) == "0"
    assert DIALS["sinks"].show("on") == "on"
