"""Numbers in words: examples of each kind, and what holds for any number."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss.units import (
    count,
    decimal,
    difference,
    fixed,
    flops,
    number,
    percent,
    plural,
    ratio,
    seconds,
    signed,
    size,
    spelled,
    with_unit,
)

BEYOND_FLOATS = st.builds(lambda digits, power: digits * 10**power, st.integers(-10**6, 10**6), st.integers(290, 5000))
NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-10**18, 10**18) | BEYOND_FLOATS
FINITE = st.floats(-1e24, 1e24, allow_subnormal=False)
WRITERS = {
    "number": number, "fixed": fixed, "count": count, "size": size, "flops": flops, "seconds": seconds, "percent": percent,
    "ratio": ratio, "signed": signed, "signed size": lambda value: signed(value, size),
    "signed per cent": lambda value: signed(value, percent), "spelled": spelled,
    "plural": lambda value: plural(value, "token"),
    "decimal": lambda value: decimal(value, "B/s")}
DAY, YEAR = 86_400, 365.25 * 86_400
UNITS = {
    "": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50, "K": 1e3, "M": 1e6, "T": 1e12,
    "FLOP": 1, "kFLOP": 1e3, "MFLOP": 1e6, "GFLOP": 1e9, "TFLOP": 1e12, "PFLOP": 1e15, "EFLOP": 1e18, "ZFLOP": 1e21,
    "B/s": 1, "kB/s": 1e3, "MB/s": 1e6, "GB/s": 1e9, "TB/s": 1e12, "PB/s": 1e15, "EB/s": 1e18, "ZB/s": 1e21, "%": 0.01,
    "ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600,
    "million": 1e6, "billion": 1e9, "trillion": 1e12, "days": DAY, "years": YEAR, "token": 1, "tokens": 1}


def examples(*pairs):
    return pytest.mark.parametrize("value, text", pairs)


@examples((0, "0"), (1, "1"), (999, "999"), (999.996, "1.00 K"), (1000, "1.00 K"), (999_994, "999.99 K"),
          (999_999, "1.00 M"), (31_650_848, "31.65 M"), (20_914_757_184, "20.91 B"), (116_829_156_672, "116.83 B"),
          (2.5e12, "2.50 T"), (2.5, "2.5"), (1234e12, "1,234.00 T"), (-1500, "−1.50 K"))
def test_a_count_has_a_letter_for_its_thousands(value, text):
    assert count(value) == text


@examples((0, "0"), (131_072, "131,072"), (2.5, "2.5"), (5e11, "500 billion"), (2_147_483_648, "2.15 billion"),
          (999_900_000, "1 billion"), (1.8e13, "18 trillion"))
def test_a_spelled_count_has_a_word_for_its_thousands(value, text):
    assert spelled(value) == text


@examples((0, "0 B"), (0.53125, "0.53 B"), (1023, "1,023 B"), (1024, "1.00 KiB"), (2**20 - 1, "1.00 MiB"),
          (3 * 2**30, "3.00 GiB"), (1000 * 2**20, "1,000.00 MiB"), (2**40, "1.00 TiB"), (1.5 * 2**20, "1.50 MiB"),
          (-3 * 2**30, "−3.00 GiB"))
def test_a_size_is_in_binary_units(value, text):
    assert size(value) == text


@examples((5, "5 FLOP"), (7_230_000_000, "7.23 GFLOP"), (1e15, "1.00 PFLOP"), (1500, "1.50 kFLOP"), (2.1e23, "210.00 ZFLOP"),
          (999_999_999, "1.00 GFLOP"))
def test_flops_are_in_decimal_units(value, text):
    assert flops(value) == text


@pytest.mark.parametrize("value, unit, text", [
    (80e9, "B", "80 GB"), (3.35e12, "B/s", "3.35 TB/s"), (1979e12, "FLOP/s", "1.98 PFLOP/s"), (999.7e9, "B", "1 TB"),
    (512, "B", "512 B")])
def test_quantities_of_data_sheets(value, unit, text):
    assert decimal(value, unit) == text


@examples((0, "0 s"), (2.5e-8, "25 ns"), (12.5e-6, "12.5 µs"), (0.014, "14 ms"), (0.999, "999 ms"), (0.9996, "1.00 s"),
          (1, "1.00 s"), (12.34, "12.34 s"), (119.999, "2 min"), (7199, "2 h"), (36 * 3600, "36 h"), (2 * DAY, "2 days"),
          (3 * YEAR, "3 years"), (1234 * YEAR, "1,230 years"), (-0.0143, "−14.3 ms"))
def test_a_time_is_in_the_unit_that_suits_it(value, text):
    assert seconds(value) == text


@examples((0, "0.0%"), (0.382, "38.2%"), (1, "100.0%"), (0.0003, "<0.1%"), (-0.0003, ">−0.1%"), (-0.12, "−12.0%"),
          (12.5, "1,250.0%"))
def test_a_share_has_one_decimal(value, text):
    assert percent(value) == text


def test_shares_with_other_decimals():
    assert [percent(0.12345, decimals) for decimals in (0, 2)] == ["12%", "12.35%"]
    assert percent(0.001, 0) == "<1%"


@examples((0, "0"), (0.5, "0.5"), (999.9, "1,000"), (7463, "7,460"), (0.0001, "0.0001"),
          (1.234e-7, "1.23 · 10⁻⁷"), (-2.5e20, "−2.5 · 10²⁰"), (-0.0, "0"), (math.inf, "∞"),
          (-math.inf, "−∞"), (math.nan, "undefined"))
def test_numbers_with_three_digits_that_count(value, text):
    assert number(value) == text


@examples((0.5, "0.50"), (-0.001, "0.00"), (-1234.567, "−1,234.57"))
def test_numbers_with_two_decimals(value, text):
    assert fixed(value) == text


@examples((2, "×2"), (7463, "×7,460"), (0.25, "÷4"), (1, "×1"), (0.9999, "×1"), (0, "×0"), (0.98, "÷1.02"), (-2, "×−2"))
def test_a_ratio_is_a_factor_or_a_divisor(value, text):
    assert ratio(value) == text


@pytest.mark.parametrize("value, write, text", [
    (0.35, fixed, "+0.35"), (-0.35, fixed, "−0.35"), (0.001, fixed, "0.00"), (3 * 2**30, size, "+3.00 GiB"),
    (0, size, "0 B"), (-0.002, seconds, "−2 ms"), (0.0003, percent, "<+0.1%"),
    (math.inf, fixed, "+∞"), (math.nan, fixed, "undefined")])
def test_differences_with_their_sign(value, write, text):
    assert signed(value, write) == text


def test_a_difference_takes_the_options_of_its_writer():
    assert signed(-0.1234, fixed, 3) == "−0.123"


@pytest.mark.parametrize("now, then, text", [
    (5, 5, None), (5, 0, None), (0, 0, None), (math.nan, 1, None), (200, 100, "×2"), (199.9, 100, "+100%"),
    (150, 100, "+50%"), (90, 100, "−10%"), (50, 100, "÷2"), (25, 100, "÷4"), (1000, 3, "×333"),
    (7463, 1, "×7,460"), (0, 5, "−100%")])
def test_a_change_is_a_percentage_or_a_factor(now, then, text):
    assert difference(now, then) == text


@given(st.integers(1, 10**14), st.integers(1, 10**14))
def test_a_change_is_silent_only_where_there_is_none(now, then):
    text = difference(now, then)
    assert (text is None) == (now == then)
    assert text is None or text[0] in "×÷+−"


@pytest.mark.parametrize(("write", "text"), [
    (number, "1.23 · 10⁴⁰⁰"), (count, "1.23 · 10³⁸⁸ T"), (size, "1.1 · 10³⁸⁵ PiB"), (seconds, "3.91 · 10³⁹² years"),
    (percent, "1.23 · 10⁴⁰²%"), (ratio, "×1.23 · 10⁴⁰⁰"), (WRITERS["plural"], "1.23 · 10⁴⁰⁰ tokens")])
def test_a_number_beyond_a_float_is_written_like_others(write, text):
    assert write(1234 * 10**397) == text


@pytest.mark.parametrize("now, then, text", [
    (10**400, 10**399, "×10"), (10**400, 1, "×1 · 10⁴⁰⁰"), (1, 10**400, "÷1 · 10⁴⁰⁰"), (10**400, 0.5, "×2 · 10⁴⁰⁰"),
    (11 * 10**399, 10**400, "+10%"), (-10**400, 10**400, "−200%"), (1e308, 1e-5, "×1 · 10³¹³")])
def test_a_change_between_numbers_beyond_a_float(now, then, text):
    assert difference(now, then) == text


@given(st.integers(101, 199))
def test_a_change_in_per_cent_has_both_its_digits(now):
    assert difference(now, 100) == f"+{now - 100}%"


@pytest.mark.parametrize("amount, text", [
    (0, "0 tokens"), (1, "1 token"), (1.0, "1 token"), (3, "3 tokens"), (1234, "1,234 tokens"), (2.5, "2.5 tokens"),
    (1234.5, "1,234 tokens"), (-1, "−1 token")])
def test_things_are_counted(amount, text):
    assert plural(amount, "token") == text


def test_an_irregular_plural_is_given():
    assert [plural(amount, "entry", "entries") for amount in (1, 2)] == ["1 entry", "2 entries"]


@pytest.mark.parametrize("name", WRITERS)
@given(value=NUMBERS)
def test_no_number_raises_or_is_written_like_a_programs(name, value):
    text = WRITERS[name](value)
    assert not re.search(r"e[+-]?\d|inf|nan|-", text)
    assert re.search(r"\d|∞|undefined", text)


JUST_BELOW = st.builds(lambda step, power, below: step**power * (1 - below), st.sampled_from([1000, 1024]),
                       st.integers(1, 5), st.floats(0, 1e-4))


@pytest.mark.parametrize("write, end", [(count, 1000), (size, 1024), (flops, 1000), (WRITERS["decimal"], 1000)])
@given(value=st.floats(0, 1e17) | JUST_BELOW)
def test_rounding_never_reaches_the_next_unit(write, end, value):
    figure, unit = (write(value).split(" ") + [""])[:2]
    assert float(figure.replace(",", "")) < end or unit in ("T", "PiB")


@given(st.sampled_from([1e-9, 1e-6, 1e-3, 1, 60, 3600, DAY, YEAR]), st.floats(0, 1e-3), st.floats(1, 3))
def test_times_stay_below_the_next_unit(unit, below, factor):
    figure, name = seconds(unit * factor * (1 - below)).split(" ")
    ends = {"ns": 1000, "µs": 1000, "ms": 1000, "s": 120, "min": 120, "h": 48, "days": 730.5, "years": math.inf}
    assert float(figure.replace(",", "")) < ends[name]


CLOSE = st.builds(lambda value, factor: (value, value * factor), FINITE | JUST_BELOW, st.floats(0.98, 1.02))


@pytest.mark.parametrize("name", sorted(WRITERS.keys() - {"percent", "signed per cent"}))
@given(values=st.tuples(FINITE, FINITE) | CLOSE)
def test_a_larger_number_is_never_written_as_a_smaller_one(name, values):
    low, high = (as_read(WRITERS[name](value), UNITS | ({"B": 1e9} if name == "count" else {})) for value in sorted(values))
    assert low <= high + 1e-12 * abs(high)


@given(st.floats(-1e6, 1e6))
def test_a_share_is_written_to_half_its_last_digit(value):
    text = percent(value)
    assert as_read(text) == pytest.approx(value, rel=1e-9, abs=0.001 if text[0] in "<>" else 0.000501)


def as_read(text, units=UNITS):
    """The number that a text states."""
    text = text.lstrip("<>").replace("−", "-").replace(",", "").replace("%", " %")
    figure, _, unit = re.sub(r" · 10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", _power, text).partition(" ")
    return (1 / float(figure[1:]) if figure[0] == "÷" else float(figure.lstrip("×"))) * units[unit]


def _power(match):
    return "e" + match[1].translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))


@pytest.mark.parametrize(("figure", "unit", "text"), [("8", "experts", "8 experts"), ("7.69", "%", "7.69%"), ("3", "", "3")])
def test_a_figure_stands_apart_from_its_unit_but_for_per_cent(figure, unit, text):
    assert with_unit(figure, unit) == text
