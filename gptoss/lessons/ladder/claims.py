"""What people say about GPT-2 and what became of it, decided on models of both kinds."""

from __future__ import annotations

from gptoss import units
from gptoss.app.computed import computed
from gptoss.app.study import Study
from gptoss.app.verdicts import Verdict
from gptoss.cost import count_parameters
from gptoss.ladder import LadderConfig
from gptoss.lessons.ladder import measure
from gptoss.model import GPT2, LadderModel

READ = tuple(range(64))  # ids that every live vocabulary has: single bytes

baseline = computed(lambda config, seed: measure.baseline(GPT2(config, seed=seed), READ))


def simple_gpt(study: Study) -> Verdict:
    """Claim 17: what a GPT-2 has, read off a live one while it runs. The notebook's own class is not here to be run."""
    gpt2 = baseline(LadderConfig(study.live_config).bottom, study.seed)
    return Verdict.of(False, (
        "The notebook's class has no positions at all, and uses ReLU and a norm after each addition. The live GPT-2 here: "
        f"a learned vector for each of {gpt2.positions:,} positions, so that one token enters positions 0 and 1 as vectors "
        f"{units.number(gpt2.moved, 2)} apart; {gpt2.below_zero:.0%} of its activations are below zero, where ReLU has "
        f"none; and stream plus attention differs from the next stream by {units.number(gpt2.left_over, 1)}, so no norm "
        "comes after."))


def tied(study: Study) -> Verdict:
    """Claim 7: which matrices the two ends have, and what untying costs at the real size."""
    bottom, top = LadderConfig(study.config), LadderConfig.climbed(study.config)
    gpt2_has, gpt_oss_has = (
        "unembedding.weight" in dict(LadderModel(config, device="meta").named_parameters()) for config in (bottom, top))
    return Verdict.of(not gpt_oss_has, (
        f"GPT-2 {'has' if gpt2_has else 'has no'} `unembedding.weight`, {study.name} "
        f"{'has one' if gpt_oss_has else 'has none'}: "
        f"{units.count(count_parameters(top).unembedding)} parameters beside an embedding of "
        f"{units.count(count_parameters(top).embedding)}. In GPT-2 the two are tied."))
