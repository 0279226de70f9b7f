"""Attention sinks: one logit a head that opens and closes it like a gate, tried on the reader's text."""

import streamlit as st

from gptoss import units
from gptoss.app import pictures, state, text
from gptoss.app.controls import has_text, layer_shown, picks, view
from gptoss.app.header import header
from gptoss.app.lesson import Lesson, Prediction, Try, below, beside
from gptoss.app.retrained import RETRAINED, show_retrained
from gptoss.app.study import RANDOM, Study
from gptoss.app.weights import weights_in_words
from gptoss.claims import register
from gptoss.lessons.sinks import charts, controls, measure
from gptoss.model.attention import explicit_attention

REMOVAL, BY_POSITION, _ = MORE = "Without sinks", "By position", RETRAINED
EQUAL_KEYS = 128
MATHS = r"""
One head's scores of the keys that a query can see are $z_1 \dots z_n$; its sink is one learned number $s$, the same for
every query. It enters the softmax's denominator and nothing else:

$$w_j = \frac{e^{z_j}}{e^{s} + \sum_i e^{z_i}} \qquad\qquad \sum_j w_j = \sigma\Big(\log \sum_i e^{z_i} - s\Big)$$

The ratio of two keys' weights is $w_j / w_k = e^{z_j - z_k}$: no $s$ in it. So the head's answer
$\sum_j w_j v_j$ keeps its direction, and its length is multiplied by the second formula: a gate between 0 and 1. It
stands at one half where $s = \log \sum_i e^{z_i}$, and for $n$ equal scores of 0 that is $\ln n$. With $s = 0$ the sink
then takes $1 / (n + 1)$.
"""


@st.fragment
def picture(study: Study, tokens: text.Tokens) -> None:
    """The gate of one head, the weights behind it, and what becomes of the model."""
    left, large = st.columns([5, 13], gap="medium")
    with left:
        setting = controls.setting(study, len(tokens))
    now = controls.sink_pass(study, tokens.ids, setting.layer, setting.override)
    query, head = now.query(setting.position), setting.head
    own = controls.own_pass(study, tokens.ids, setting.layer).sinks[head].item()
    gate = charts.sink_gate(measure.gate_curves(query, head), query.sinks.numpy(), query.mass.numpy(),
                            query.halving[head].item(), head, own if setting.override else None)
    weights = charts.gated_weights(query.weights(head).numpy(), query.weights_without(head).numpy(),
                                   tokens.labels[query.first_key:query.position + 1], query.first_key)
    with large, pictures.main():
        gates, shares = st.columns(2, gap="medium")
        with gates:
            pictures.show_chart(gate, key="sinks_gate", on_select=picks("sinks_gate", head="head"))
        with shares:
            pictures.show_chart(weights, key="sinks_weights")
    with large:
        beside(lesson(study, tokens))
    more = view(MORE, "sinks_view", "More")
    if more == RETRAINED:
        show_retrained("sinks", study)
    elif more == BY_POSITION:
        pictures.show_chart(charts.sink_share(measure.sink_share_by_position(now)), key="sinks_by_position")
        st.caption("Dashed: 1 / (n + 1), what a sink of 0 takes among n equal scores of 0: an artefact of not training. "
                   f"Uneven scores favour keys over a sink. Drawn: {weights_in_words(study)}.")
    else:
        controls.removed(study, setting, now, controls.sink_pass(study, tokens.ids, setting.layer, setting.without))


def because(logit: float) -> str:
    """What the answer to the prediction means."""
    return (f"The keys' exponentials add up to {EQUAL_KEYS}, so the sink needs a logit of ln {EQUAL_KEYS} to match them. "
            f"At a logit of 0 it would take 1 / {EQUAL_KEYS + 1}, {measure.share_among_equals(EQUAL_KEYS):.2%}: what a "
            "model shows before it has learned anything.")


def how_we_know(study: Study, tokens: text.Tokens) -> None:
    """The closed forms against the weights that the live model recorded."""
    checks = controls.checks(study, tokens.ids, layer_shown(study))
    st.markdown(
        f"In the layer shown, over {study.heads} heads and {checks.queries} queries, at this moment:\n"
        f"- What the model's softmax left to the real keys differs from σ(logsumexp(scores) − s) by at most "
        f"**{units.number(checks.formula, 2)}**.\n"
        f"- A key's share of it, in a pass with sinks and in one without, differs by at most "
        f"**{units.number(checks.ratios, 2)}**.\n\n"
        f"The curve and the bars come from the queries and keys of the pass on the screen; what removing does is a second "
        f"pass over the same weights. The tests hold both against the model's own softmax and against the attention "
        f"weights of Hugging Face's `GptOssForCausalLM`.")
    if len(tokens) > controls.MAX_CHECKED:
        st.caption(f":material/content_cut: The first {controls.MAX_CHECKED} of {len(tokens)} tokens.")


def lesson(study: Study, tokens: text.Tokens) -> Lesson:
    """What is below the picture."""
    return Lesson(
        path="sinks",
        prediction=Prediction(
            f"A query sees {EQUAL_KEYS} keys, and all their scores are 0. Which sink logit takes half of the attention?",
            answer=lambda: measure.halving_among_equals(EQUAL_KEYS), because=because, show="{:.2f}".format),
        tries=[
            Try("Close one head",
                "At a logit of 8 the head adds next to nothing, and the factors beside the bars stay equal.",
                controls={"sinks_scope": "Head", "sinks_logit": "8"}),
            Try("Take all sinks away", "Plain softmax: every head must spend its whole attention on real keys.",
                controls={"sinks_scope": "All", "sinks_logit": "none"}),
            Try("Nothing learned", "Random sinks take what one more key would: look at the line by position.",
                dials={"weights": RANDOM}, controls={"sinks_logit": "own", "sinks_view": BY_POSITION}),
        ],
        maths=MATHS, code=[explicit_attention, measure.mass_on_keys, measure.run_with_sinks],
        claims=register.of_page("sinks"),
        checks=lambda: how_we_know(study, tokens))


header("sinks")
study = state.study()
above = st.container()
tokens = text.tokens_from_drawer(study.vocabulary)
with above:
    if has_text(tokens, "the gate shows on it"):
        picture(study, tokens)
below(lesson(study, tokens))
