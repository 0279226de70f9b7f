"""Sampling: how one token is taken from the model's distribution, and what temperature, top-k and top-p make of it."""

import streamlit as st

from gptoss import units
from gptoss.app import state, text
from gptoss.app.controls import has_text, view
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.lesson import Lesson, Prediction, Try, below, beside
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.config import PRESETS
from gptoss.lessons.sampling import controls, measure
from gptoss.lessons.sampling.controls import OFF
from gptoss.model import LanguageModel, next_token_probabilities
from gptoss.model.sampling import Sampling

DISTRIBUTION, DRAWS, TEXTS = tuple(controls.VIEWS)
TOP_P = 0.9
CHOICES = {"1": 1, "2 to 5": 5, "6 to 20": 20, "21 to 100": 100, "101 to 500": 500, "more than 500": float("inf")}
OPENING = Opening(
    problem=f"The model does not write. After each token it gives every possible next one a score, its {word('logit')}, and "
            "somebody has to take one.",
    idea=f"Draw lots: the likely tokens often, the unlikely ones seldom. {word('temperature', 'Temperature')}, "
         f"{word('top-k')} and {word('top-p')} say how daring the draw is.",
    chosen=f"gpt-oss scores {PRESETS['gpt-oss-20b'].vocab_size:,} tokens at every step and leaves the draw to whoever "
           "runs it.")

MATHS = r"""
The model gives each token $i$ of the vocabulary a score $z_i$, its **logit**. With temperature $T$ its probability is

$$p_i = \frac{e^{z_i / T}}{\sum_j e^{z_j / T}} \qquad\qquad \frac{p_i}{p_j} = e^{(z_i - z_j) / T}$$

so that $T$ changes how far apart tokens are and never their order. At $T = 1$ this is the plain softmax; towards
$T = 0$ everything goes to the largest logit, towards $T = \infty$ all become equally likely.

**Top-k** keeps the $k$ most likely tokens. **Top-p** keeps the *nucleus*: in order of probability, the fewest tokens
whose sum reaches $p$, the one that reaches it included,

$$V_p = \{1, \dots, m\} \qquad m = \min\Big\{ n : \sum_{i \le n} p_i \ge p \Big\}$$

Either way what is left is divided by its sum. Each cut reads what the one before it has left: temperature, then top-k,
then top-p.

The **entropy** $H = -\sum_i p_i \ln p_i$ is the mean surprise of a draw, in nats. For $n$ equally likely tokens it is
$\ln n$, and so $e^H$ says among how many equally likely tokens one would be as unsure.
"""


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


def kept(study: Study, tokens: text.Tokens) -> int:
    """The answer to the prediction as a number, on the first example where there is no text."""
    ids = (tokens if len(tokens) else text.example_tokens(study)).ids
    return measure.kept_by_top_p(controls.logits_after(study, ids, len(ids) - 1), TOP_P)


def because(study: Study, tokens: text.Tokens) -> str:
    """What the answer to the prediction means."""
    count = kept(study, tokens)
    return (f"It keeps {units.plural(count, 'token')}, {units.percent(count / study.live_config.vocab_size, 2)} of the "
            "vocabulary. Where the model is sure, the same p keeps one or two; where it is not, hundreds. Top-k keeps the "
            "same number everywhere.")


def how_we_know(study: Study, tokens: text.Tokens) -> None:
    """The distribution on the screen against a loop, and draws against what the model writes."""
    tokens = tokens if len(tokens) else text.example_tokens(study)
    place = controls.place_shown(tokens)
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
    """What stands below the picture."""
    where = "your text" if len(tokens) else "the first example"
    free = {"sampling_k": OFF, "sampling_p": 1.0}
    return Lesson(
        path="sampling",
        prediction=Prediction(
            f"The model knows {study.live_config.vocab_size:,} tokens. At temperature 1, how many of them does "
            f"top-p = {TOP_P} keep after the last token of {where}?",
            answer=lambda: next(words for words, most in CHOICES.items() if kept(study, tokens) <= most),
            because=lambda _: because(study, tokens), choices=list(CHOICES)),
        tries=[
            Try("Greedy", "At temperature 0 every seed writes the same text. Then move the temperature up, step by step.",
                controls=free | {"sampling_temperature": 0.0, "sampling_view": TEXTS}),
            Try("Too hot", "At temperature 2 with no cut, unlikely tokens hold most of the probability together.",
                controls=free | {"sampling_temperature": 2.0, "sampling_view": DISTRIBUTION}),
            Try("Hot, with the tail cut off", "The same temperature, and top-p 0.5 after it: compare the texts with those "
                "of top-p 1.",
                controls={"sampling_k": OFF, "sampling_temperature": 2.0, "sampling_p": 0.5, "sampling_view": TEXTS}),
        ],
        maths=MATHS,
        code=[next_token_probabilities, Sampling, LanguageModel.generate, measure.stages, measure.draws],
        claims=register.of_page("sampling"), checks=lambda: how_we_know(study, tokens))


header("sampling", OPENING)
study = state.study()
above = st.container()
tokens = text.tokens_from_drawer(study.vocabulary)
with above:
    if has_text(tokens, "the model says what comes next"):
        picture(study, tokens)
below(lesson(study, tokens))
