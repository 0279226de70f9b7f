"""How the app keeps a reader's text from being read as Markdown, and how dials show their values."""

from hypothesis import given
from hypothesis import strategies as st

from gptoss.app.markdown import literal
from gptoss.app.study import DIALS

PUNCTUATION = r"\`*_{}[]<>#$~|:"


def test_markdown_in_a_readers_text_is_escaped():
    assert literal("a *b* [c](d) <i> $x$ :red[e] `f`") == (
        r"a \*b\* \[c\](d) \<i\> \$x\$ \:red\[e\] \`f\`")


@given(st.text(max_size=60))
def test_every_markdown_character_is_escaped_and_nothing_else_changes(text):
    escaped = literal(text)
    kept = "".join(escaped[n] for n in range(len(escaped)) if not _is_escape(escaped, n))
    assert kept == text
    bare = [c for n, c in enumerate(escaped) if c in PUNCTUATION and (n == 0 or escaped[n - 1] != "\\")]
    assert set(bare) <= {"\\"}


def _is_escape(escaped: str, place: int) -> bool:
    """A backslash at an even place of its run stands for the next character, not for itself."""
    run = 0
    while place - run >= 0 and escaped[place - run] == "\\":
        run += 1
    return run % 2 == 1


def test_dials_show_thousands_and_the_window_that_is_off():
    assert DIALS["context"].show(131_072) == "131,072"
    assert DIALS["window"].show(0) == "off"
    assert DIALS["seed"].show(0) == "0"
    assert DIALS["sinks"].show("on") == "on"
