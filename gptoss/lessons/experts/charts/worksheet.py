"""One token on its way through a layer's experts, as a table that each step fills by one more column, in HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple, Protocol

import numpy as np

from gptoss.charts import palette
from gptoss.charts.images import signed_pixels
from gptoss.charts.labels import visible_token
from gptoss.charts.worksheet import bar_style, cell, colgroup, dot_product, factor, sheet_style, strips
from gptoss.units import fixed, number, plural

SCORE, TOP_K, SOFTMAX, ANSWER, SUM = STEPS = (1, 2, 3, 4, 5)
MOST_EXPERTS = 8  # rows of the table

_CELLS = 96  # of a strip; a longer vector shows its first numbers
_STYLE = palette.in_both_themes(f"""{sheet_style("mix")}
.mix {{font-size: 0.92rem; line-height: 1.3}}
.mix p {{margin: 0 0 0.4rem}}
.mix td, .mix th {{padding: 2px 6px; height: 1.7rem}}
.mix thead th {{font-size: 0.85rem; opacity: 0.75}}
.mix i {{height: 1.1rem; border: 1px solid {palette.MUTED}}}
.mix .in i, .mix .out i {{border: 2px solid {palette.ACCENT}}}
.mix .idle > * {{opacity: 0.66}}
.mix .chosen > * {{background-color: {palette.fade(palette.ACCENT, 0.12)}; font-weight: 700}}
.mix .formula {{min-height: 3.3rem; margin: 0.5rem 0 0; padding: 0.4rem 0.7rem}}
@media (max-width: 760px) {{
  .mix td, .mix th {{padding: 2px 3px; font-size: 0.82rem}}
  .mix thead th {{font-size: 0.74rem}}
}}
""")
_COLGROUP = colgroup((17, 14, 11, 14, 22, 22))  # % of the table: expert, score, top-k, weight, answer, share of the sum


class TokenSteps(Protocol):
    """What the table needs of a token's way through a layer's experts, as `measure.follow` has it."""

    normed: np.ndarray  # (hidden,)
    directions: np.ndarray  # (experts, hidden)
    biases: np.ndarray  # (experts,), as are logits
    logits: np.ndarray
    chosen: np.ndarray  # (k,), best first, as are weights
    weights: np.ndarray
    gates: np.ndarray  # (k, width), as are linear and neurons
    linear: np.ndarray
    neurons: np.ndarray
    answers: np.ndarray  # (k, hidden)
    output: np.ndarray  # (hidden,)
    loudest: int


class Token(NamedTuple):
    """Which token it is, and in which layer."""

    label: str
    position: int
    layer: int


def worksheet(steps: TokenSteps, shown: Sequence[int], token: Token, step: int = SUM, dark: bool = False) -> str:
    """The table of one token, filled in up to `step`, one of `STEPS`, and below it the step with its numbers put in.

    A row for each expert in `shown`, one for those left out, and the sum below. Vectors are strips: blue is negative,
    orange positive, and the strips have the colours of one theme. The token is a person's text, so it is escaped. Raises
    `ValueError` for a step that there is not.
    """
    if step not in STEPS:
        raise ValueError(f"step {step} is impossible; allowed: {', '.join(map(str, STEPS))}")
    chosen = steps.chosen.tolist()
    rows = [_row_of(steps, expert, chosen.index(expert) if expert in chosen else None, step) for expert in shown]
    rows = [_input_row(steps, token), *rows, _others_row(steps, shown, step), _sum_row(steps, step)]
    table = (f'<table aria-label="{escape(describe(steps, token))}">{_COLGROUP}{_header(steps, step)}'
             f"<tbody>{''.join(rows)}</tbody></table>")
    return (f'<style>{_STYLE}{_strips(steps, dark)}</style><div class="mix"><p>{_in_words(steps, step)}</p>{table}'
            f'<p class="formula">{worked(steps, step)}</p></div>')


def describe(steps: TokenSteps, token: Token) -> str:
    """The table in a sentence or two: its alternative text."""
    parts = ", ".join(f"expert {expert} with weight {weight:.3f}"
                      for expert, weight in zip(steps.chosen[:MOST_EXPERTS], steps.weights, strict=False))
    more = f" and {len(steps.chosen) - MOST_EXPERTS} more" if len(steps.chosen) > MOST_EXPERTS else ""
    return (f"The token “{visible_token(token.label)}” at position {token.position} in layer {token.layer}: of "
            f"{plural(len(steps.logits), 'expert')}, {parts}{more} answer.")


def _header(steps: TokenSteps, step: int) -> str:
    names = ("score", f"best {len(steps.chosen)}", "softmax", "answer", "weight × answer")
    cells = "".join(f'<th class="{"now" if place == step else ""}">{place} {name}</th>'
                    for place, name in zip(STEPS, names, strict=True))
    return f"<thead><tr><td></td>{cells}</tr></thead>"


def _input_row(steps: TokenSteps, token: Token) -> str:
    name = escape(visible_token(token.label, 12))
    return (f'<tr class="in"><th><b>“{name}”</b></th><td colspan="3" style="text-align:left">goes in as '
            f'{len(steps.normed):,} numbers:</td><td><i class="m0"></i></td><td></td></tr>')


def _row_of(steps: TokenSteps, expert: int, place: int | None, step: int) -> str:
    kept = place is not None
    kind = "" if step < TOP_K else "chosen" if kept else "idle"
    cells = _bar(SCORE, step, fixed(steps.logits[expert]), _share(steps.logits, expert), palette.MAGNITUDE)
    cells += cell(TOP_K, step, "✓" if kept else "–")
    if kept:
        cells += _bar(SOFTMAX, step, f"{steps.weights[place]:.3f}", float(steps.weights[place]), palette.ACCENT)
        cells += cell(ANSWER, step, f'<i class="a{place}"></i>') + cell(SUM, step, f'<i class="w{place}"></i>')
    else:
        cells += cell(SOFTMAX, step, "0") + cell(ANSWER, step, "not asked") + cell(SUM, step)
    return f'<tr class="{kind}"><th>expert {expert}</th>{cells}</tr>'


def _share(values: np.ndarray, place: int) -> float:
    """How far a score is from the lowest to the highest, for its bar."""
    low, high = float(values.min()), float(values.max())
    return (float(values[place]) - low) / (high - low) if high > low else 1.0


def _others_row(steps: TokenSteps, shown: Sequence[int], step: int) -> str:
    """The experts without a row, so that the weights add up."""
    others = len(steps.logits) - len(shown)
    if not others:
        return ""
    left = ~np.isin(steps.chosen, shown)
    kept = f"{int(left.sum())} ✓" if left.any() else "–"
    weight = f"{float(steps.weights[left].sum()):.3f}" if left.any() else "0"
    return (f"<tr><th>{others} more</th>{cell(SCORE, step, '…')}{cell(TOP_K, step, kept)}{cell(SOFTMAX, step, weight)}"
            f"{cell(ANSWER, step, '…')}{cell(SUM, step, '…')}</tr>")


def _sum_row(steps: TokenSteps, step: int) -> str:
    name = '<th colspan="3">added to the stream</th>' if step == SUM else '<td colspan="3">&nbsp;</td>'
    total = cell(SOFTMAX, step, f"{float(steps.weights.sum()):.3f}")
    return f'<tr class="out">{name}{total}<td></td>' + cell(SUM, step, '<i class="o0"></i>') + "</tr>"


def _bar(place: int, step: int, content: str, share: float, colour: str) -> str:
    return cell(place, step, content, "bar", bar_style(share, palette.fade(colour, 0.4)))


def _strips(steps: TokenSteps, dark: bool) -> str:
    """Style rules for every vector: what goes in is on its own scale; answers, their shares and the sum are on one."""
    kept = steps.answers[:MOST_EXPERTS, :_CELLS]
    lines = {f"a{place}": answer for place, answer in enumerate(kept)}
    lines |= {f"w{place}": steps.weights[place] * answer for place, answer in enumerate(kept)}
    lines |= {"o0": steps.output[:_CELLS]}
    goes_in = steps.normed[None, :_CELLS]
    image = np.concatenate([signed_pixels(goes_in, float(np.abs(goes_in).max())),
                            signed_pixels(np.stack(list(lines.values())), float(np.abs(kept).max()))])
    return strips("mix", ["m0", *lines], image, dark)


def _in_words(steps: TokenSteps, step: int) -> str:
    """What a step does, in words."""
    experts, active = len(steps.logits), len(steps.chosen)
    best = f"The best {active} of {experts} scores are" if active > 1 else f"The best of {plural(experts, 'score')} is"
    rest = "the other experts do no work, and nobody reads their weights" if experts > active else "here none is left out"
    return (
        f"For each expert the router holds {len(steps.normed):,} weights. It multiplies them with the token's numbers, one "
        "by one, and adds up: that is the expert's score.",
        f"{best} kept; {rest}.",
        f"Softmax over what is kept turns {plural(active, 'score')} into {plural(active, 'weight')} that add up to 1.",
        f"Each chosen expert is a small network, an MLP: {len(steps.normed):,} numbers go in, "
        f"{steps.neurons.shape[1]:,} neurons fire or stay quiet, {len(steps.normed):,} numbers come out.",
        "Each answer counts by its weight. Their sum is added to the token's stream.",
    )[step - 1]


def worked(steps: TokenSteps, step: int) -> str:
    """A step of the best expert with its numbers put in; at top-k, of the best one that missed."""
    return (_score, _cut, _softmax, _neuron, _sum)[step - 1](steps)


def _score(steps: TokenSteps) -> str:
    best = int(steps.chosen[0])
    return (f"Score of expert {best} = {dot_product(steps.directions[best], steps.normed)} + bias "
            f"{factor(float(steps.biases[best]))} = <b>{fixed(steps.logits[best])}</b>, the highest")


def _cut(steps: TokenSteps) -> str:
    last, order = int(steps.chosen[-1]), np.argsort(-steps.logits, kind="stable")
    if len(order) == len(steps.chosen):
        return "Every expert is active, so none is cut."
    missed = int(next(expert for expert in order if expert not in steps.chosen))
    return (f"Expert {last} is the last one in, with {fixed(steps.logits[last])}. Expert {missed} just misses with "
            f"<b>{fixed(steps.logits[missed])}</b>")


def _softmax(steps: TokenSteps) -> str:
    kept = steps.logits[steps.chosen].astype(np.float64)
    powers = np.exp(kept)
    terms = [f"e<sup>{fixed(value)}</sup>" for value in kept[:3]] + ["…"] * (len(kept) > 3)
    return (f"Weight of expert {steps.chosen[0]} = e<sup>{fixed(kept[0])}</sup> / ({' + '.join(terms)}) = "
            f"{number(powers[0], 4)} / {number(powers.sum(), 4)} = <b>{steps.weights[0]:.3f}</b>")


def _neuron(steps: TokenSteps) -> str:
    place, width = steps.loudest, steps.neurons.shape[1]
    gate, linear, given = (float(part[0, place]) for part in (steps.gates, steps.linear, steps.neurons))
    return (f"Loudest of the {width:,} neurons of expert {steps.chosen[0]}: number {place}. Its gate is {fixed(gate)} and "
            f"its linear half {fixed(linear)}, so that it gives swiglu = <b>{fixed(given)}</b>. All neurons, weighed once "
            f"more, make the answer; its first number is {fixed(float(steps.answers[0, 0]), 3)}")


def _sum(steps: TokenSteps) -> str:
    terms = [f"{weight:.3f} · {factor(float(answer[0]), 3)}"
             for weight, answer in zip(steps.weights[:3], steps.answers, strict=False)] + ["…"] * (len(steps.weights) > 3)
    size = math.sqrt(float((steps.output**2).mean()))
    return (f"First of {len(steps.output):,} numbers: {' + '.join(terms)} = <b>{fixed(float(steps.output[0]), 3)}</b>. "
            f"All of them are {number(size, 2)} large (root mean square)")
