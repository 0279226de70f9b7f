"""What the formulas in a Markdown text are written with, against the one table of the app's letters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from gptoss.notation import NOTATION

FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<!\\)\$(.+?)(?<!\\)\$", re.DOTALL)
GREEK = ("alpha|beta|gamma|delta|varepsilon|epsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|rho|sigma|tau|varphi|phi|chi|psi"
         "|omega|Gamma|Delta|Theta|Lambda|Sigma|Phi|Psi|Omega|ell")  # pi is a number
LETTER = rf"\\(?:{GREEK})(?![A-Za-z])|[A-Za-z]"
WORDS = re.compile(r"\\(?:begin|end|text|mathrm|operatorname\*?|textbf|textit|mathsf)\s*(\{)?")  # what follows is no letter
STYLED = re.compile(rf"\\(mathbf|boldsymbol|mathcal)\s*(?:\{{\s*({LETTER})\s*\}}|({LETTER}))")
STYLES = {"mathbf": "B", "boldsymbol": "B", "mathcal": "S"}
TOKEN = re.compile(rf"(?P<letter><[BS](?:{LETTER})>|{LETTER})|\\[A-Za-z]+|\\.|.", re.DOTALL)
INDEX = re.compile(rf"[']*\s*_\s*(?:\{{([^{{}}]*)\}}|({LETTER}|\w))")
# What a text calls a quantity where it names its letter beside it: "head size $d$", "$L$ layers".
CALLED = {
    "head size": "d", "hidden size": "D", "window": "W", "temperature": "T", "layers": "L", "query heads": "H",
    "KV groups": "G", "active experts": "k", "learning rate": r"\eta", "vocabulary of": "V", "entropy": r"\mathcal H",
    "loss": r"\mathcal L",
}


class Letter(NamedTuple):
    """A letter in a formula: with its style, and its index if it has one."""

    base: str
    index: str = ""


KNOWN = {re.sub(r"_.*", "", symbol.latex) for symbol in NOTATION}


def unknown_letters(markdown: str) -> set[str]:
    """The letters of its formulas that the table does not have, as they are written there."""
    return {letter.base for formula in formulas(markdown) for letter in letters(formula)} - KNOWN


def misnamed(markdown: str) -> list[str]:
    """Where a text calls something by a single letter that is another's: "head size $h$"."""
    found = []
    for name, letter in CALLED.items():
        for before, after in re.findall(rf"\b{name} \$([^$]+)\$|\$([^$]+)\$ {name}\b", markdown):
            [*written] = letters(before or after)
            if re.fullmatch(r"[\\\w{}]*", before or after) and written and written[0].base != letter:
                found.append(f"{name}: ${before or after}$")
    return found


def torn(markdown: str) -> list[str]:
    """Formulas that Markdown takes apart: one of several lines begins and ends with dollars that stand alone."""
    return re.findall(r"^\$\$[^$\n]+$", markdown, re.MULTILINE)


def formulas(markdown: str) -> Iterator[str]:
    """The formulas of a text, without their dollars."""
    for display, inline in FORMULA.findall(markdown):
        yield display or inline


def letters(formula: str) -> Iterator[Letter]:
    """Every letter of a formula. Euler's number, which stands before a power, is none; words are not, and no operators."""
    formula = STYLED.sub(lambda found: f"<{STYLES[found[1]]}{found[2] or found[3]}>", without_words(formula))
    for found in TOKEN.finditer(formula):
        rest = formula[found.end():]
        if found["letter"] and not (found["letter"] == "e" and rest.lstrip().startswith("^")):
            index = INDEX.match(rest)
            base = re.sub(r"<([BS])(.*)>", lambda styled: {"B": r"\mathbf ", "S": r"\mathcal "}[styled[1]] + styled[2],
                          found["letter"])
            yield Letter(base, (index[1] or index[2] or "").strip("\\ ") if index else "")


def without_words(formula: str) -> str:
    r"""A formula without what is in `\text{…}` and its like."""
    while found := WORDS.search(formula):
        end = closing(formula, found.end()) if found[1] else found.end() + 1
        formula = f"{formula[:found.start()]} {formula[end:]}"
    return formula


def closing(formula: str, place: int) -> int:
    """Behind the brace that closes the one before `place`."""
    depth = 1
    while depth:
        depth += {"{": 1, "}": -1}.get(formula[place], 0)
        place += 1
    return place
