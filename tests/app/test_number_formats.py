"""How furniture spells numbers, and how it keeps a reader's text from being read as Markdown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss.app.furniture import count, difference, flops, literal, seconds, size
from gptoss.app.study import DIALS

PUNCTUATION = r"\`*_{}[]<>#$~|:"


@pytest.mark.parametrize("number, text", [
    (0, "0"), (1, "1"), (999, "999"), (1000, "1.00 K"), (31_650_848, "31.65 M"), (20_914_757_184, "20.91 B"),
    (116_829_156_672, "116.83 B"), (2.5e12, "2.50 T")])
def test_counts(number, text):
    assert count(number) == text


@pytest.mark.parametrize("number, text", [
    (0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (3 * 2**30, "3.00 GiB"), (2**40, "1.00 TiB"),
    (1.5 * 2**20, "1.50 MiB")])
def test_sizes(number, text):
    assert size(number) == text


@pytest.mark.parametrize("number, text", [
    (5, "5 FLOP"), (7_230_000_000, "7.23 GFLOP"), (1e15, "1.00 PFLOP"), (1500, "1.50 kFLOP")])
def test_flops(number, text):
    assert flops(number) == text


@pytest.mark.parametrize("value, text", [
    (0, "0 ms"), (0.014, "14 ms"), (0.999, "999 ms"), (1, "1.00 s"), (12.34, "12.34 s")])
def test_seconds(value, text):
    assert seconds(value) == text


@pytest.mark.parametrize("now, then, text", [
    (5, 5, None), (5, 0, None), (0, 0, None), (200, 100, "×2"), (150, 100, "+50%"), (90, 100, "−10%"), (50, 100, "÷2"),
    (25, 100, "÷4"), (1000, 3, "×333")])
def test_differences(now, then, text):
    assert difference(now, then) == text


@given(st.integers(1, 10**14), st.integers(1, 10**14))
def test_a_difference_is_silent_only_where_there_is_none(now, then):
    text = difference(now, then)
    assert (text is None) == (now == then)
    assert text is None or text[0] in "×÷+−"


@given(st.integers(101, 199))
def test_per_cent_are_not_rounded_into_powers_of_ten(now):
    text = difference(now, 100)
    assert text == f"+{now - 100}%"


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
