"""What the RoPE page asks, one question under each view and nothing that the view shows, and what it suggests to try."""

from __future__ import annotations

import math
import re
from functools import partial

from gptoss.app.lesson import Prediction, Seen, Try
from gptoss.config import PRESETS, ModelConfig
from gptoss.lessons.rope import measure
from gptoss.lessons.rope.claims import read_further
from gptoss.lessons.rope.controls.views import ARROWS, LENGTHS, PLACES, READING, SCORES, TABLES, YARN_VIEW
from gptoss.lessons.rope.measure import NEAR, RANDOM, TRAINED
from gptoss.model.rope import inverse_frequencies
from gptoss.training.schemes import PLAIN, YARN
from gptoss.units import number, plural

REAL = PRESETS["gpt-oss-20b"]
_HALF, _ALL, _NONE = "about half of them", "nearly all of them", "nearly none of them"
_WHOLE = partial(number, digits=9)


def question(config: ModelConfig, context: int, view: str) -> Prediction:
    """The question of a view."""
    return {ARROWS: _of_arrows, SCORES: _of_scores, LENGTHS: _of_lengths, YARN_VIEW: _of_yarn, READING: _of_reading,
            TABLES: _of_tables}[view](config, context)


def _of_arrows(config: ModelConfig, context: int) -> Prediction:
    pairs, trained, turning = config.head_dim // 2, config.initial_context_length, measure.never_turning(config)
    other = 150_000.0 if config.rope_theta == 10_000 else 10_000.0
    return Prediction(
        f"Take plain RoPE with theta {config.rope_theta:,.0f}: how many of {pairs} pairs never turn once in {trained:,} "
        "tokens?",
        view=ARROWS, answer=lambda: turning, unit="pairs", tolerance=0, show="{:.0f}".format,
        because=lambda _: "These pairs see only a part of the circle in training: longer texts turn them to angles that "
                          f"are new. With theta {other:,.0f} it would be "
                          f"{measure.never_turning(config.replace(rope_theta=other))}.",
        mistakes=[(0, "The slow pairs take far more than that for a single turn."),
                  (pairs, "The fastest pair turns in about six tokens."),
                  (pairs - turning, "That is how many do turn.")])


def _of_scores(config: ModelConfig, context: int) -> Prediction:
    near, far = measure.near_and_far(config, RANDOM)
    falls, stays = "They become small, as here", "They stay about as large"
    return Prediction(
        "These two vectors agree in every pair. What do the scores of two random vectors do, far from each other?",
        view=SCORES, answer=lambda: falls if far < 0.9 * near else stays, choices=(falls, stays, "They become zero"),
        because=lambda _: f"Over 256 random pairs of vectors their mean size is {near:.2f} near and {far:.2f} far. Turning "
                          "changes which parts of a score add up; only for vectors that agree do all parts add up at first.",
        mistakes={falls: "That holds for vectors that agree in every pair, because there turning can only make the score "
                         "smaller.",
                  "They become zero": "A turn keeps the length of both vectors, so that nothing fades away."})


def _of_lengths(config: ModelConfig, context: int) -> Prediction:
    ten = config.replace(rope_theta=10 * config.rope_theta, rope_scaling_factor=1.0)
    now = config.replace(rope_scaling_factor=1.0)
    slower = float(inverse_frequencies(now)[-1] / inverse_frequencies(ten)[-1])
    return Prediction(
        "Theta becomes ten times as large. How many times slower does the slowest pair turn, without YaRN?",
        view=LENGTHS, answer=lambda: slower, unit="times", tolerance=0.06, show=partial(number, digits=3),
        because=lambda _: f"A pair's frequency is theta to a power that runs from 0 for the fastest pair, which never "
                          f"changes, to nearly −1 for the slowest: 10 to the power of {math.log10(slower):.2f}.",
        mistakes=[(1.0, "That is so for the fastest pair alone: its power of theta is 0."),
                  (10.0, "Nearly: the last pair's power is not quite −1, because pairs are counted from 0."),
                  (math.sqrt(10), "That is the pair in the middle.")])


def _of_yarn(config: ModelConfig, context: int) -> Prediction:
    factor = max(config.rope_scaling_factor, 2.0)
    one, two = (measure.ramp_of(config.replace(rope_scaling_factor=scale)).stretched for scale in (factor, 2 * factor))
    return Prediction(
        f"The factor goes from {number(factor)} to {number(2 * factor)}. How many more pairs does YaRN slow by the whole "
        "factor?",
        view=YARN_VIEW, answer=lambda: two - one, unit="pairs", tolerance=0, show="{:.0f}".format,
        because=lambda _: "The ramp depends on how often a pair turns in training, and training does not change with the "
                          f"factor. The same {plural(two, 'pair')} become slower still.",
        mistakes=[(one, "That is how many there are already."), (2 * one, "The factor says how much, not how many.")])


def _of_reading(config: ModelConfig, context: int) -> Prediction:
    return Prediction(
        f"An answer stood at most {NEAR} tokens back, but late in the text, after token {2 * TRAINED}. How many such "
        "answers does plain RoPE find?", view=READING, hides=True,
        answer=lambda: min(_SHARES, key=lambda words: abs(_SHARES[words] - measure.late_and_near(read_further())[PLAIN])),
        choices=(_ALL, _HALF, _NONE),
        because=lambda _: "The answer is near, but the many tokens before it stand at distances that training never showed: "
                          "their scores are arbitrary, and take weight from the right one.",
        mistakes={_ALL: "So one would think, because only distance counts. But every other token in sight counts too.",
                  _NONE: "Near distances are as in training, so that not all is lost."})


_SHARES = {_ALL: 0.95, _HALF: 0.5, _NONE: 0.05}


def _of_tables(config: ModelConfig, context: int) -> Prediction:
    pairs = config.head_dim // 2
    return Prediction(
        f"How many cosines does a table for {context:,} positions hold?", view=TABLES, answer=lambda: pairs * context,
        unit="numbers", show="{:,.0f}".format,
        because=lambda _: f"One for each of {pairs} pairs and each position. All {config.num_attention_heads} heads and all "
                          f"{config.num_hidden_layers} layers read the same table.",
        mistakes=[(config.head_dim * context, "Two dimensions of a pair turn together, so that they share one angle."),
                  (pairs * context * config.num_attention_heads, "All heads turn by the same angles."),
                  (pairs * context * config.num_hidden_layers, "All layers turn by the same angles.")])


def tries(config: ModelConfig) -> list[Try]:
    """What to try, with the figures that are then seen."""
    older, slowest = REAL.replace(rope_theta=10_000.0), config.head_dim // 2 - 1
    return [
        Try("Theta 10,000", "With the base of the first RoPE models all pairs but the fastest turn faster: "
            f"{measure.never_turning(older)} never turn once in training, in place of {measure.never_turning(REAL)}.",
            preset="gpt-oss-20b", dials={"theta": 10_000}, controls={"rope_view": LENGTHS},
            check=lambda seen: f"{measure.never_turning(older)} of 32 pairs never turn once" in seen.words),
        Try("Factor 1, plain RoPE", "Without YaRN no pair is slowed: all four schemes lie on one line, at 1.",
            dials={"factor": 1}, controls={"rope_view": YARN_VIEW},
            check=lambda seen: set(seen.chart("slower each pair turns")["slower"].dropna()) == {1.0}),
        Try("The slowest pair", "Move the query or the key as far as you like: this pair hardly turns. So it hardly knows "
            "where a token stands, and can carry what the token is.",
            controls={"rope_view": ARROWS, "rope_pair": slowest, "rope_query": max(PLACES)},
            check=lambda seen: f"turns pair {slowest} by" in seen.words
            and float(re.search(r"apart stand at an angle of ([\d.]+)°", seen.words)[1]) < 20),
        Try("Random vectors", "The score of these two goes up and down and is about as large far away as near: it falls "
            "with distance only for vectors that agree in every pair.",
            controls={"rope_view": SCORES, "rope_vectors": measure.RANDOM}, check=_as_large_far_away),
        Try("Four times as far", "The same trained weights under four rotations: beyond the length of training only YaRN "
            "still finds what was said.", controls={"rope_view": READING}, check=_only_yarn_finds_it),
        Try("Where the reference stops", "A small head and a short trained context push the ramp's start below 0, where "
            "OpenAI's code would stop. Here the ramp is cut to the head: the fastest pair is kept as it is.",
            preset="classroom", controls={"rope_view": YARN_VIEW, "rope_initial": "128", "rope_beta": "32"},
            check=lambda seen: "YaRN keeps 1 of" in seen.words and "runs from pair −" in seen.words)]


def _as_large_far_away(seen: Seen) -> bool:
    scores = seen.chart("Score of one query")
    size = scores["score"].abs()
    return size[scores["distance"] >= 64].max() > 0.5 * size[scores["distance"] <= 16].max()


def _only_yarn_finds_it(seen: Seen) -> bool:
    right = seen.chart("Accuracy of recall")
    far = right[right["label"].eq("") & (right["distance"] > measure.TRAINED)].groupby("scheme")["accuracy"]
    return far.min()[YARN] > 0.9 and far.max().drop(YARN).max() < 0.7 and far.max()[PLAIN] < 0.7
