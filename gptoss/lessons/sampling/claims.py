"""What people say about sampling, decided on the live model."""

from __future__ import annotations

from gptoss.app.computed import computed
from gptoss.app.study import Study
from gptoss.app.text import example_tokens
from gptoss.app.verdicts import Verdict
from gptoss.app.weights import weights_in_words
from gptoss.lessons.sampling import measure
from gptoss.lessons.sampling.measure import REPEATED
from gptoss.units import number

repeat = computed(measure.repeat, entries=8, many_passes="Writing a text twice")


def greedy_is_deterministic(study: Study) -> Verdict:
    """Claim S8: temperature 0 twice in the same way, and the same numbers computed in another way."""
    found = repeat(study, example_tokens(study).ids)
    same = found.same_tokens and found.same_bits
    twice = (f"{REPEATED} tokens written twice at temperature 0 are the same, and so is every logit (the score behind a "
             "probability), to the last bit" if same else
             f"{REPEATED} tokens written twice at temperature 0 are {'the same' if found.same_tokens else 'not the same'}, "
             "but not every logit behind them is the same to the last bit")
    return Verdict.of(same and not found.apart, (
        f"On this machine, with {weights_in_words(study)}: {twice}. Temperature 0 takes chance out of the choice; it does "
        "not fix the sums behind it. Read in one pass instead of token by token, the same text has logits that differ by up "
        f"to {number(found.apart, 2)}, since the same numbers are added in another order; the pass would choose "
        f"{found.agree} of the {REPEATED} tokens too. The closest choice was won by {number(found.closest, 2)}. A server "
        "that computes many people's texts together adds in an order that changes with its load."), partly=same)
