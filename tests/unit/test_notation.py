"""The table of letters, and that the reader of formulas finds what it does not have."""

import dataclasses

import pytest
from letters import Letter, letters, misnamed, torn, unknown_letters

from gptoss.app.drawer import letter
from gptoss.config import ModelConfig
from gptoss.notation import NOTATION


def test_no_letter_has_two_meanings_and_no_meaning_two_letters():
    assert len({symbol.latex for symbol in NOTATION}) == len({symbol.meaning for symbol in NOTATION}) == len(NOTATION)
    fields = [symbol.field for symbol in NOTATION if symbol.field]
    assert len(set(fields)) == len(fields) and set(fields) <= {field.name for field in dataclasses.fields(ModelConfig)}


@pytest.mark.parametrize(("formula", "found"), [
    (r"\frac{q_i \cdot k_j}{\sqrt d}", [Letter("q", "i"), Letter("i"), Letter("k", "j"), Letter("j"), Letter("d")]),
    (r"e^{s_{ij}} + \mathrm{e}", [Letter("s", "ij"), Letter("i"), Letter("j")]),
    (r"\mathbf{q} \mathbf k \boldsymbol{\omega}_m \mathcal H", [
        Letter(r"\mathbf q"), Letter(r"\mathbf k"), Letter(r"\mathbf \omega", "m"), Letter("m"), Letter(r"\mathcal H")]),
    (r"\text{cache of one, \textbf{n}} \le \hat x \min(n, W_\ell)", [
        Letter("x"), Letter("n"), Letter("W", "ell"), Letter(r"\ell")]),
    (r"\operatorname{Re}(2 \pi \ln 3) e \in E", [Letter("e"), Letter("E")]),
    (r"2^{n} \lVert x \rVert^2 \theta_i'", [Letter("n"), Letter("x"), Letter(r"\theta", "i"), Letter("i")]),
])
def test_letters_are_read_out_of_formulas(formula, found):
    assert list(letters(formula)) == found


def test_what_the_table_lacks_is_found():
    assert unknown_letters(r"With $n$ tokens and $L$: $$\sum_j a_{ij} \mathbf v_j + \Omega$$, \$5, $q$") == {r"\Omega", "q"}
    assert misnamed("head size $h$, $L$ layers, window $W_\\ell$, $E$ active experts, loss $-x$") == [
        "head size: $h$", "active experts: $E$"]


def test_a_formula_of_two_lines_begins_on_its_own():
    assert torn("$$\na\n$$ and $$b$$\n\n$$c$$") == [] and torn("x\n$$a\nb$$") == ["$$a"]


def test_every_letter_can_be_shown_without_a_formula():
    assert letter("s_{ij}") == "<i>s</i><sub><i>ij</i></sub>"
    for symbol in NOTATION:
        assert "\\" not in letter(symbol.latex)
