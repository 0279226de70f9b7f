"""Attention's formulas with one key's real numbers put in, in HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from gptoss.charts.labels import visible_token

if TYPE_CHECKING:
    from gptoss.lessons.attention.measure import QuerySteps

_LABEL_LENGTH = 9  # characters of a token
_QUERY, _KEY, _VALUE, _SINK = (f'<span class="{kind}">{word}</span>' for kind, word in (
    ("query", "query"), ("key", "key"), ("value", "value"), ("sink-word", "sink")))


def sentence(steps: QuerySteps, step: int) -> str:
    """What step 1 to 5 does, in words."""
    return (
        f"Multiply {_QUERY} and {_KEY} number by number, and add up.",
        f"Divide by √{steps.head_dim}, the root of the head size, to keep scores small.",
        "Later tokens, and those outside the window, get −∞: no weight.",
        f"Softmax: e<sup>score</sup> over the sum of them all, the {_SINK}'s too.",
        f"Each {_VALUE} counts by its weight: the sum is what the head says.",
    )[step - 1]


def worked_formula(steps: QuerySteps, key: int, labels: Sequence[str], step: int) -> str:
    """Step 1 to 5 for one key, with its numbers put in. The key's label is escaped."""
    name = f'<span class="key">{token_name(labels[key])}</span>'
    return (_product, _scaling, _masking, _softmax, _mixing)[step - 1](steps, key, name)


def token_name(label: str) -> str:
    """A token as it is to be read, short and escaped."""
    return escape(visible_token(label, _LABEL_LENGTH))


def number(value: float, digits: int = 2) -> str:
    """A number with a true minus sign; there is no negative zero."""
    if math.isinf(value):
        return "−∞" if value < 0 else "∞"
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def amount(value: float) -> str:
    """A positive number of any size, with three digits that count or more."""
    if value == 0:
        return "0"
    if 0.01 <= value < 100_000:
        return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa} · 10<sup>{int(exponent)}</sup>".replace("-", "−")


def _product(steps: QuerySteps, key: int, name: str) -> str:
    terms = [f"{_factor(a)} · {_factor(b)}" for a, b in zip(steps.query, steps.keys[key], strict=True)]
    if len(terms) > 3:
        terms = [*terms[:2], "…", terms[-1]]
    return (f'<span class="query">q</span> · <span class="key">k</span> for {name} = {" + ".join(terms)} = '
            f"<b>{number(steps.products[key])}</b>")


def _scaling(steps: QuerySteps, key: int, name: str) -> str:
    product = number(steps.products[key])
    return (f"Score of {name} = {product} / √{steps.head_dim} = {product} / {math.sqrt(steps.head_dim):.4g} = "
            f"<b>{number(steps.scores[key])}</b>")


def _masking(steps: QuerySteps, key: int, name: str) -> str:
    where = f"{name} stands at {key}, the query at {steps.position}: "
    back = steps.position - key
    if back < 0:
        return f"{where}it comes later, so its score becomes <b>−∞</b>"
    if not steps.seen[key]:
        return (f"{where}{back} back, and a window of {steps.window} reaches {steps.window - 1} back. "
                "Its score becomes <b>−∞</b>")
    reach = f"within the window of {steps.window}" if steps.window else "and this layer has no window"
    return f"{where}{back} back, {reach}. Its score stays <b>{number(steps.scores[key])}</b>"


def _softmax(steps: QuerySteps, key: int, name: str) -> str:
    total, sink = steps.denominator, math.exp(steps.sink_logit)
    if not steps.seen[key]:
        return f"Weight of {name} = e<sup>−∞</sup> / {amount(total)} = <b>0</b>"
    count = int(steps.seen.sum())
    return (f"Weight of {name} = e<sup>{number(steps.scores[key])}</sup> / ({count} key{'' if count == 1 else 's'}: "
            f'{amount(total - sink)} + <span class="sink-word">sink: {amount(sink)}</span>) = '
            f"{amount(math.exp(steps.scores[key]))} / {amount(total)} = <b>{steps.weights[key]:.3f}</b>")


def _mixing(steps: QuerySteps, key: int, name: str) -> str:
    value, output = float(steps.values[key, 0]), float(steps.output[0])
    share = float(steps.weights[key]) * value
    return (f"First of {steps.head_dim} numbers: {name} gives {steps.weights[key]:.3f} · "
            f'<span class="value">{_factor(value)}</span> = {number(share, 3)}, the other keys {number(output - share, 3)}, '
            f"the sink nothing. Sum <b>{number(output, 3)}</b>")


def _factor(value: float) -> str:
    """A number inside a product: a negative one in brackets."""
    return f"({number(value)})" if value < 0 else number(value)
