"""What people say about attention sinks, decided on the live model."""

from __future__ import annotations

from gptoss.app.computed import computed
from gptoss.app.study import Study
from gptoss.app.text import example_tokens
from gptoss.app.verdicts import Verdict
from gptoss.app.weights import weights_in_words
from gptoss.cost import count_parameters
from gptoss.lessons.sinks import measure
from gptoss.units import number

NOTICEABLE = 1e-3  # a share of attention by which two passes have to differ; rounding in bfloat16 stays below it

check_sinks = computed(measure.check_sinks, entries=8)


def bias_for_the_first_tokens(study: Study) -> Verdict:
    """Claim 5: with and without sinks, position 0 has the same share of what the real keys get."""
    checks = check_sinks(study, example_tokens(study).ids, 0)
    logits = count_parameters(study.config).sinks
    return Verdict.of(abs(checks.first_with - checks.first_without) > NOTICEABLE, (
        f"With sinks position 0 has {checks.first_with:.3%} of what the real keys get from the last query, without them "
        f"{checks.first_without:.3%}; no key's share moves by more than {number(checks.ratios, 2)}. {study.name} has "
        f"{logits:,} sink logits, one for each of {study.heads} heads in {study.layers} layers, and none for a position. "
        f"OpenAI's are learned and come with the checkpoint; these are part of {weights_in_words(study)}."))
