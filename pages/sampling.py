"""Sampling: how one token is taken from the model's distribution, and what temperature, top-k and top-p make of it."""

import math

import streamlit as st

from gptoss import units
from gptoss.app import state, text
from gptoss.app.controls import has_text, view
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.lesson import Lesson, Prediction, below, beside
from gptoss.app.markdown import literal
from gptoss.app.study import Study
from gptoss.charts import visible_token
from gptoss.claims import register
from gptoss.config import PRESETS
from gptoss.lessons.sampling import controls, measure
from gptoss.model import LanguageModel, next_token_probabilities
from gptoss.model.sampling import Sampling
from gptoss.notation import with_numbers

COLD = 0.5  # the temperature of the question
REAL = PRESETS["gpt-oss-20b"]

OPENING = Opening(
    problem=f"A model does not choose. It gives each of {REAL.vocab_size:,} {word('token', 'tokens')} a {word('logit')}, "
            "from which probabilities are made. Something has to choose a token by these.",
    idea=f"Draw lots. {word('temperature', 'Temperature')} makes likely tokens likelier, or less so; "
         f"{word('top-k', 'top‑k')} and {word('top-p', 'top‑p')} take unlikely ones out of the draw.",
    chosen="GPT-OSS leaves the choice to whoever runs it. OpenAI recommends temperature 1 and top-p 1: draw from what the "
           "model says, with nothing cut.")

SOFTMAX = r"""
The model gives each token $v$ of the vocabulary a score $z_v$, its **logit**. With temperature $T$ its probability is

$$p_v = \frac{e^{z_v / T}}{\sum_{v'} e^{z_{v'} / T}} \qquad\qquad \frac{p_v}{p_{v'}} = e^{(z_v - z_{v'}) / T}$$

so that $T$ changes how far apart tokens are and never their order. At $T = 1$ this is the plain softmax; towards
$T = 0$ everything goes to the largest logit, towards $T = \infty$ all become equally likely.
"""

CUTS = r"""
Both cuts keep the $K$ most likely tokens. **Top-k** says how many. **Top-p** says which share $c$ they have to hold: with
the tokens in order of probability, the most likely first,

$$K = \min\Big\{ K' : \sum_{v \le K'} p_v \ge c \Big\}$$

What is left is divided by its sum. Each cut reads what the one before it has left: temperature, then top-k, then top-p.
"""

ENTROPY = r"""
The **entropy** is the mean surprise of a draw, in nats:

$$\mathcal H = -\sum_v p_v \ln p_v$$

Of $K$ equally likely tokens it is $\ln K$. So $e^{\mathcal H}$ says among how many equally likely tokens one would be as
unsure.
"""


def maths(study: Study, tokens: text.Tokens) -> str:
    """The formulas, each with the numbers of the token and the dials on the screen."""
    tokens = tokens if len(tokens) else text.example_tokens(study)
    place = controls.place_shown(study, tokens)
    logits = controls.logits_after(study, tokens.ids, place.position)
    found, lead = controls.stages(logits, place.dials), logits.topk(2).values.tolist()
    warm = place.dials.temperature
    apart = "at T = 0 the first has everything." if not warm else (
        f"at T = {warm:g} the first is e^({units.fixed(lead[0] - lead[1])} / {warm:g}) = "
        f"{units.number(measure.times_as_likely(logits, warm))} times as likely.")
    share = f"c = {place.dials.top_p:g}" if place.dials.top_p else "top-p is off, c = 1"
    return with_numbers(
        (SOFTMAX, f"V = {study.live_config.vocab_size:,} logits; the two largest are {units.fixed(lead[0])} and "
                  f"{units.fixed(lead[1])}, so that {apart}"),
        (CUTS, f"{share}, and K = {found.last.left:,} tokens are left of {found.top_k.left:,}."),
        (ENTROPY, f"the entropy is {units.fixed(found.last.entropy)} nats, and e to that power is "
                  f"{units.number(found.last.as_many_as)}."))


@st.fragment
def picture(study: Study, tokens: text.Tokens) -> None:
    """The dials at the left, one of three views beside them."""
    chosen = view(list(controls.VIEWS), "sampling_view")
    left, right = st.columns(controls.COLUMNS, gap="medium")
    with left:
        place = controls.setting(study, tokens)
    with right:
        controls.VIEWS[chosen](study, tokens, place, left)
        beside(lesson(study, tokens))


def prediction(study: Study, tokens: text.Tokens) -> Prediction:
    """What a lower temperature does to the two tokens that the model holds most likely where the page begins."""
    tokens = tokens if len(tokens) else text.example_tokens(study)
    position, labels = controls.telling_position(study, tokens), text.vocabulary_labels(study.vocabulary)
    logits = controls.logits_after(study, tokens.ids, position)
    best = next_token_probabilities(logits).topk(2)
    (first, second), (one, other) = ([labels[place] for place in best.indices.tolist()], best.values.tolist())
    ratio = one / other

    def because(answer: float) -> str:
        return (f"Logits are divided by {COLD}, so their difference doubles. A ratio of probabilities is e to the power of "
                f"the difference, so it is squared: {units.number(ratio)} · {units.number(ratio)}.")

    return Prediction(
        f"After token {position}, “{literal(visible_token(tokens.labels[position]))}”, the model gives "
        f"“{literal(visible_token(first))}” {units.percent(one)} and “{literal(visible_token(second))}” "
        f"{units.percent(other)} at temperature 1: the first is {units.number(ratio)} times as likely. How many times as "
        f"likely is it at temperature {COLD}?", answer=lambda: measure.times_as_likely(logits, COLD), because=because,
        unit="times", show=units.number, tolerance=0.03, mistakes=[
            (ratio, "Temperature keeps the order of the tokens, but not how far apart they are."),
            (2 * ratio, "The difference of the logits doubles, and the ratio is e to the power of it: it does not double."),
            (ratio / 2, "Cold pulls tokens apart; heat brings them together."),
            (math.sqrt(ratio), "That is what temperature 2 would do. Cold pulls tokens apart.")])


def how_we_know(study: Study, tokens: text.Tokens) -> None:
    """The distribution on the screen against a loop, and draws against what the model writes."""
    tokens = tokens if len(tokens) else text.example_tokens(study)
    place = controls.place_shown(study, tokens)
    logits = controls.logits_after(study, tokens.ids, place.position)
    st.markdown(
        f"- A loop in plain Python over all {len(logits):,} tokens, at the dials' positions, finds the same probabilities "
        f"to **{units.number(controls.difference(logits, place.dials), 2)}**.\n"
        "- The tests hold temperature, top-k and top-p against the three classes of Hugging Face's `transformers` that do "
        "the same, `TemperatureLogitsWarper`, `TopKLogitsWarper` and `TopPLogitsWarper`, on random logits and on equal "
        "ones. They differ in one thing: where several tokens share the k-th place, theirs keeps them all, this keeps k.")
    same = controls.seeds_kept(study, tokens.ids[:place.position + 1], logits, place.dials, controls.CHECKED_SEEDS)
    st.markdown(f"- The draws of seeds 0 to {controls.CHECKED_SEEDS - 1} are what the model begins with when it writes from "
                f"those seeds: **{same} of {controls.CHECKED_SEEDS}**.")


def lesson(study: Study, tokens: text.Tokens) -> Lesson:
    """What is asked, tried and explained."""
    return Lesson(
        path="sampling", prediction=prediction(study, tokens), tries=controls.TRIES, maths=maths(study, tokens),
        code=[next_token_probabilities, Sampling, LanguageModel.generate, measure.stages, measure.draws],
        claims=register.of_page("sampling"), checks=lambda: how_we_know(study, tokens))


header("sampling", OPENING)
study = state.study()
above = st.container()
tokens = text.tokens_from_drawer(study.vocabulary)
with above:
    if has_text(tokens, "the model says what comes next"):
        picture(study, tokens)
    else:
        beside(lesson(study, tokens))
below(lesson(study, tokens))
