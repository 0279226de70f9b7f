"""Numbers in words: every quantity that a reader sees is written here, so that a chart and the text beside it agree.

All functions take any real number, also one beyond a float. The minus sign is "−", thousands have commas, no infinity or
NaN raises, and nothing is ever written as `1e+02`. Where rounding would reach the next unit, the next unit is written:
`1.00 M`, never `1000.00 K`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from functools import wraps
from itertools import pairwise

_BYTES = ((1, " B"), (2**10, " KiB"), (2**20, " MiB"), (2**30, " GiB"), (2**40, " TiB"), (2**50, " PiB"))
_COUNTS = ((1, ""), (1e3, " K"), (1e6, " M"), (1e9, " B"), (1e12, " T"))
_WORDS = ((1, ""), (1e6, " million"), (1e9, " billion"), (1e12, " trillion"))
_PREFIXES = ((1, ""), (1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T"), (1e15, "P"), (1e18, "E"), (1e21, "Z"))
_DAY, _YEAR = 86_400, 365.25 * 86_400
# Unit in seconds, its name, and the time from which the next unit is used: from two of it, so that no day is "1 days".
_TIMES = ((1e-9, "ns", 1e-6), (1e-6, "µs", 1e-3), (1e-3, "ms", 1), (1, "s", 120), (60, "min", 7200), (3600, "h", 2 * _DAY),
          (_DAY, "days", 2 * _YEAR), (_YEAR, "years", math.inf))
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_FROM_SUPERSCRIPT = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_LONGEST = 1e15  # from here on numbers are written with a power of ten
_LARGE_POWER = 60  # of ten: in every unit such a number is written with a power
_FLOATS_END = 10**300  # from here on a unit's factor could lead out of the range of floats


def _any_real(write: Callable[..., str]) -> Callable[..., str]:
    """Extend `write`, which writes finite numbers from zero up, to all numbers."""
    @wraps(write)
    def text(value: float, *options, **named) -> str:
        if value != value:
            return "undefined"
        written = "∞" if abs(value) == math.inf else _of_any_size(write, abs(value), *options, **named)
        return _with_sign("−" if value < 0 else "", written)
    return text


def _of_any_size(write: Callable[..., str], value: float, *options, **named) -> str:
    """A number as `write` writes it; a very large one by its first digits, with what they leave out added to the power."""
    if not _is_large(value):
        return write(value, *options, **named)
    left_out = int(math.log10(value)) - _LARGE_POWER
    text = write(int(value) // 10**left_out, *options, **named)
    return re.sub("(?<= · 10)[⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda power: str(int(power[0].translate(_FROM_SUPERSCRIPT)) + left_out)
                  .translate(_SUPERSCRIPT), text)


def _with_sign(sign: str, text: str) -> str:
    """A sign before a text without one. Zero gets none, and "<0.1%" becomes "<+0.1%" or ">−0.1%"."""
    if not any(letter in "123456789∞" for letter in text):
        return text
    return f"{'>' if sign == '−' else '<'}{sign}{text[1:]}" if sign and text[0] == "<" else f"{sign}{text}"


@_any_real
def number(value: float, digits: int = 3) -> str:
    """A number with so many significant digits and no zeros after them: `0.5`, `7,460`, `1.2 · 10⁻⁷`."""
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if value and not -4 <= power < math.log10(_LONGEST):
        return f"{_without_zeros(mantissa)} · 10{str(power).translate(_SUPERSCRIPT)}"
    return _without_zeros(f"{float(f'{mantissa}e{exponent}'):,.{max(digits - 1 - power, 0)}f}")


def with_unit(figure: str, unit: str) -> str:
    """A figure with a unit, if it has one: `8 experts`, `7.69%`."""
    return f"{figure}{'' if unit == '%' else ' '}{unit}".strip()


@_any_real
def fixed(value: float, decimals: int = 2) -> str:
    """A number with so many decimals: `0.50`, `1,234.57`."""
    return f"{value:,.{decimals}f}" if value < _LONGEST else number(value)


@_any_real
def count(value: float) -> str:
    """How many there are of something, parameters or tokens: `20.91 B`, `999`."""
    return _scaled(value, _COUNTS)


@_any_real
def spelled(value: float, digits: int = 3) -> str:
    """A count with its unit spelled out, for running text: `500 billion`, `2.15 billion`, `131,072`."""
    unit, name = _unit(value, _WORDS, lambda amount: float(f"{amount:.{digits}g}"))
    return f"{_whole(value) if unit == 1 else number(value / unit, digits)}{name}"


@_any_real
def size(value: float) -> str:
    """Bytes in binary units: `3.00 GiB`."""
    return _scaled(value, _BYTES)


@_any_real
def flops(value: float) -> str:
    """Floating-point operations: `7.23 GFLOP`. With "/s" after it, a rate."""
    return _scaled(value, tuple((unit, f" {prefix}FLOP") for unit, prefix in _PREFIXES))


@_any_real
def decimal(value: float, unit: str, digits: int = 3) -> str:
    """A quantity in the decimal units of data sheets: `80 GB`, `3.35 TB/s`, `1.98 PFLOP/s`."""
    scale, prefix = _unit(value, _PREFIXES, lambda amount: float(f"{amount:.{digits}g}"))
    return f"{number(value / scale, digits)} {prefix}{unit}"


@_any_real
def seconds(value: float) -> str:
    """A time: `12.5 µs`, `14 ms`, `1.20 s`, `3.5 h`, `2 days`."""
    if not value:
        return "0 s"
    written = ((unit, name, f"{value / unit:{'.2f' if name == 's' else '.3g'}}", end) for unit, name, end in _TIMES)
    unit, name = next(((unit, name) for unit, name, text, end in written if float(text) * unit < end), _TIMES[-1][:2])
    return f"{fixed(value) if name == 's' else number(value / unit)} {name}"


@_any_real
def percent(share: float, decimals: int = 1) -> str:
    """A share of a whole: `38.2%` for 0.382. What would round to nothing is below the last digit: `<0.1%`."""
    smallest = 10.0**-decimals
    return f"<{smallest:.{decimals}f}%" if 0 < share * 100 <= smallest / 2 else f"{fixed(share * 100, decimals)}%"


def ratio(value: float, digits: int = 3) -> str:
    """How many times as large: `×7,460`, below one `÷4`."""
    value = value if isinstance(value, int | Fraction) else float(value)
    if 0 < value < 1 and (inverse := number(_number_of(1 / Fraction(value)), digits)) != "1":
        return f"÷{inverse}"
    return f"×{number(_number_of(value), digits)}"


def _number_of(value: float | Fraction) -> float:
    """A fraction as a number that can be written: whole where it is beyond a float."""
    return int(value) if _is_large(value) and value != math.inf else float(value)


def _is_large(value: float | Fraction) -> bool:
    return abs(value if isinstance(value, int | Fraction) else float(value)) >= _FLOATS_END


def signed(value: float, write: Callable[..., str] = fixed, *options) -> str:
    """A difference with its sign, as `write` writes it (with its options): `+0.35`, `−3.00 GiB`. A rounded zero has none."""
    return _with_sign("+" if value > 0 else "", write(value, *options))


def difference(now: float, then: float) -> str | None:
    """The change as a factor or in per cent: `×7,460`, `÷4`, `+100%`; None where there is none to speak of."""
    if now == then or not then or not (abs(now) < math.inf and abs(then) < math.inf):
        return None
    if _is_large(now) or _is_large(then):
        now, then = Fraction(now), Fraction(then)
    if now / then >= 2 or 0 < now / then <= 0.5:
        return ratio(now / then)
    return f"{signed(_number_of((now - then) / abs(then) * 100), number, 2)}%"


def plural(amount: float, noun: str, nouns: str = "") -> str:
    """A number and what it counts: `1 token`, `3 tokens`, `2 entries` where `nouns` is "entries"."""
    return f"{_whole(amount)} {noun if abs(amount) == 1 else nouns or noun + 's'}"


@_any_real
def _whole(value: float) -> str:
    """A number that is whole as a rule: `131,072`, `2.5`."""
    return fixed(value, 0) if float(value).is_integer() or abs(value) >= 100 else number(value)


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    """A number in its largest unit with two decimals; in the plain unit only with those that it has."""
    unit, name = _unit(value, units, lambda amount: round(amount, 2))
    return f"{_without_zeros(fixed(value)) if unit == 1 else fixed(value / unit)}{name}"


def _unit(value: float, units: tuple[tuple[float, str], ...], rounded: Callable[[float], float]) -> tuple[float, str]:
    """The unit in which a number, once rounded, stays below the next one."""
    below = (unit for unit, (end, _) in pairwise(units) if rounded(value / unit[0]) * unit[0] < end)
    return next(below, units[-1])


def _without_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
