"""What people say about RoPE and YaRN, decided on rotations, and on what a trained model reads under other ones."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd
import torch

from gptoss.app.computed import computed
from gptoss.app.live import Running
from gptoss.app.study import Study
from gptoss.app.verdicts import Verdict
from gptoss.config import PRESETS
from gptoss.lessons.rope.measure import (
    AGREEING,
    RANDOM,
    READ,
    READER,
    TRAINED,
    answers_under,
    meets_new_angles,
    near_and_far,
    norm_growth,
    shares,
)
from gptoss.training.length_generalisation import scheme_frequencies
from gptoss.training.schemes import NOTEBOOK, PLAIN, SCHEMES, YARN
from gptoss.training.shipped import CLASSROOM
from gptoss.units import number, percent

PUBLISHED_FACTOR = PRESETS["gpt-oss-20b"].rope_scaling_factor


def blend_is_reversed(study: Study) -> Verdict:
    """Claim 3: how much each of the two blends slows the fastest pair and the slowest.

    Where YaRN is off, at gpt-oss's factor.
    """
    config = study.config
    if config.rope_scaling_factor <= 1:
        config = config.replace(rope_scaling_factor=PUBLISHED_FACTOR)
    plain, yarn, notebook = (scheme_frequencies(config, scheme) for scheme in (PLAIN, YARN, NOTEBOOK))
    ours, theirs = plain / yarn, plain / notebook  # by pair, the fastest first
    return Verdict.of(bool(torch.allclose(ours, theirs)), (
        f"The other way round. From the fastest pair to the slowest, at factor {number(config.rope_scaling_factor)}, YaRN "
        f"slows {number(ours[0].item())} to {number(ours[-1].item())} times; this blend slows {number(theirs[0].item())} to "
        f"{number(theirs[-1].item())} times. The view “Trained on {TRAINED}, reading {READ}” shows what a "
        "trained model reads under each."))


def norms_grow(study: Study) -> Verdict:
    """Claim 4: how long a vector is after it was turned, as a multiple of what it was."""
    config, here = study.config, study.config.rope_scaling_factor
    grown = {factor: norm_growth(config.replace(rope_scaling_factor=float(factor))) for factor in (1, 2, 32, here)}
    turned = max(abs(end - 1) for end in grown[1])
    beside = "" if here in (1, 2, 32) else f", {grown[here][1]:.4f} times at the factor {number(here)} set now"
    return Verdict.of(all(abs(end - 1) < 1e-3 for end in grown[here]), (
        f"The rotation alone does: at factor 1 lengths change by at most {number(turned, 1)} of themselves. YaRN's "
        f"concentration makes q and k {grown[2][1]:.4f} times as long at the notebook's factor 2 and {grown[32][1]:.4f} "
        f"times at gpt-oss's 32{beside}."))


def angles_are_new(study: Study) -> Verdict:
    """Claim 13: angles that training never showed, and what trained weights make of positions beyond it."""
    config, context = study.config, study.context
    new = {scheme: int(meets_new_angles(config, scheme, context).sum()) for scheme in (PLAIN, YARN)}
    within, beyond = shares(read_further())
    read = " and ".join(f"{beyond[scheme]:.0%} under {scheme} ({within[scheme]:.0%} within its {TRAINED} tokens)"
                        for scheme in (PLAIN, YARN))
    return Verdict.of(new[PLAIN] == 0 and beyond[PLAIN] >= within[PLAIN], (
        f"An angle can be computed for any position, but weights cannot read it unless training showed it. Reading {READ} "
        f"tokens, the shipped {CLASSROOM} answers after the trained length rightly {read}. In {study.name}, {new[PLAIN]} of "
        f"{config.head_dim // 2} pairs reach angles within {context:,} tokens that {config.initial_context_length:,} tokens "
        f"never showed; with YaRN at factor {number(config.rope_scaling_factor)} it is {new[YARN]}."))


def retrieves_untrained(claimed: float) -> Verdict:
    """Whether a model without training retrieves what a long text said: the reader's twin, and the reader itself."""
    twin, trained = (float(_answers(Running(READER, weights, "float32", None), YARN)["right"].mean())
                     for weights in ("seed 0", CLASSROOM))
    return Verdict.of(twin >= claimed, (
        "Nobody has shown a run that trained it, and a design alone retrieves nothing. Asked for facts that a text of "
        f"{READ} tokens has told, {CLASSROOM} with random weights answers {percent(twin)} rightly, and as it was trained "
        f"{percent(trained)}."))


def scores_fall(study: Study) -> Verdict:
    """Scores near and far, of vectors that agree in every pair and of random ones."""
    near, far = near_and_far(study.config, RANDOM)
    agreeing = near_and_far(study.config, AGREEING)
    return Verdict.of(far < 0.9 * near, (
        f"For vectors that agree in every pair they do: {agreeing[0]:.2f} at distances 1 to 16, {agreeing[1]:.2f} at 113 "
        f"to 128. Over 256 random pairs of vectors the mean size of a score is {near:.2f} near and {far:.2f} far."))


_answers = computed(answers_under, entries=len(SCHEMES) + 1)


@lru_cache(maxsize=1)
def read_further() -> pd.DataFrame:
    """What the shipped classroom answers under each of `SCHEMES`, once for the server; others get turns in between."""
    reader = Running(READER, CLASSROOM, "float32", None)
    return pd.concat([_answers(reader, scheme) for scheme in SCHEMES], ignore_index=True)
