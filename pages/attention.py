"""Attention: one head large, and one query of it step by step, with real numbers."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss import units
from gptoss.app import pictures, state, text, theme
from gptoss.app.controls import has_text, layer_shown, picks, row
from gptoss.app.header import header
from gptoss.app.lesson import Lesson, Prediction, Try, below
from gptoss.app.live import live_run
from gptoss.app.study import Study
from gptoss.charts import head_map
from gptoss.claims import register
from gptoss.lessons.attention import charts, controls, measure
from gptoss.model import AttentionBlock
from gptoss.model.attention import explicit_attention
from gptoss.model.fast.attention import fused_attention
from gptoss.model.mask import visible

ASKED = 12  # tokens of the question

MATHS = r"""
For the query of token $i$ and the key of token $j$, both turned to their positions by RoPE, with head size $d$ and
window $W$ (no limit in full layers):

$$
s_{ij} = \frac{q_i \cdot k_j}{\sqrt d} \quad\text{where } i - W < j \le i, \qquad s_{ij} = -\infty \text{ elsewhere}
$$

$$
a_{ij} = \frac{e^{s_{ij}}}{e^{\text{sink}} + \sum_{m} e^{s_{im}}} \qquad o_i = \sum_j a_{ij}\, v_j
$$

The sink is one learned number a head. It stands in the sum and has no value, so that the weights $a_{ij}$ of real
keys add up to less than 1. Query head $h$ reads the keys and values of group $\lfloor h / g \rfloor$, with $g$ query
heads to a group. All $o_i$ of a token's heads, side by side, go through one output matrix into the residual stream.

How widely a row looks is its entropy, $H_i = -\sum_j a_{ij} \log_2 a_{ij}$ with the sink as one more place;
$2^H$ counts places.
"""


@st.fragment(key="attention_explorer")
def picture(study: Study, tokens: text.Tokens, places: list[DeltaGenerator], more: DeltaGenerator) -> None:
    """One head of one layer on the reader's text: its map, a query's worksheet, the text itself, and other heads.

    Controls go to `places` and what is less than the main picture to `more`, both below it.
    """
    bar = row()
    place = pictures.main()
    here = controls.setting(study, len(tokens), places)
    view = controls.layer_view(study, tokens.ids, here.layer)
    steps = measure.query_steps(view.heads, here.head, here.token)
    with places[3]:
        key = controls.key_in_formula(len(tokens), steps.best_key)
    weights, sink = measure.head_weights(view.heads, here.head)
    window, keys = view.heads.window, measure.keys_to_show(steps, key, measure.KEYS_SHOWN)
    with place:
        large, sheet = st.columns([4, 5], gap="medium")
        with large:
            pictures.show_chart(head_map(weights, sink, tokens.labels, window, (here.token, key), theme.is_dark()),
                                key="attention_map", on_select=picks("attention_map", token="query", attention_key="key"))
    controls.step_player(bar, sheet, lambda step, playing: st.html(
        charts.query_worksheet(steps, keys, key, tokens.labels, step, playing, theme.is_dark())))
    with more:
        st.html(charts.looks_in_text(*measure.looks(weights, window, here.token), here.token, tokens.labels))
        controls.side_by_side(study, tokens, here, view)


def because(study: Study) -> str:
    """What the answer to the prediction means."""
    seen = measure.visible_keys(ASKED - 1, study.window)
    places = f"{seen} keys" if study.sinks == "off" else f"{seen} keys and the sink"
    return f"Equal scores make equal shares, and {places} share: 1 / {seen + (study.sinks != 'off')}."


def how_we_know(study: Study, tokens: text.Tokens) -> None:
    """The formula against the fused kernel, and one head at a time against the whole pass."""
    if not has_text(tokens, "its heads are checked"):
        return
    here = layer_shown(study)
    heads = controls.layer_view(study, tokens.ids, here).heads
    kernel = controls.compare_kernels(heads)
    recorded = controls.compare_with_trace(heads, live_run(study, tokens.ids, here).trace, here)
    st.markdown(
        f"Measured now, in layer {here}, on all {heads.count} heads and {heads.tokens} tokens, in {study.precision}:\n"
        f"- The formula, step by step, against torch's fused kernel, which never stores a weight: outputs at most "
        f"**{units.number(kernel.difference, 2)}** apart, over {kernel.values:,} numbers of up to {kernel.largest:.2f}.\n"
        f"- The weights on this page, one head at a time, against those that the whole pass recorded: at most "
        f"**{units.number(recorded, 2)}** apart.\n\n"
        f"One rounding of a number near 1 in {study.precision} is {units.number(kernel.rounding, 2)}.")


def lesson(study: Study, tokens: text.Tokens) -> Lesson:
    """Everything below the picture."""
    window = f"with a window of {study.window}" if study.window else "without a window"
    sink = "The sinks are off." if study.sinks == "off" else "The sink's logit is 0 as well."
    return Lesson(
        path="attention", maths=MATHS, code=[explicit_attention, visible, fused_attention, AttentionBlock],
        prediction=Prediction(
            f"The query is token number {ASKED} of a text, in a layer {window}. All its scores are 0. {sink} "
            "What weight does each key that it sees get?",
            lambda: 100 * measure.weight_when_scores_are_equal(ASKED, study.window, study.sink_override or 0.0),
            lambda _: because(study), unit="%", show=units.number),
        tries=[
            controls.look_up_what_came_next(),
            Try("A window of 8 tokens", "Layer 0 slides: at step 3 the mask now cuts on the left too, and the map becomes "
                "a band.", dials={"window": 8}, controls={"layer": 0, controls.STEP: 3}),
            Try("Switch the sinks off", "At step 4 the sum has no sink in it: the weights of the keys alone add up to 1.",
                dials={"sinks": "off"}, controls={controls.STEP: 4}),
            Try("The same words again", "In layer 0 equal tokens start with equal keys and values: the green strips of the "
                "three cats match. RoPE turns the keys by position, so that their q · k differ.",
                text="The cat the cat the cat", controls={"layer": 0, controls.STEP: 5, "token": 5, controls.KEY: 3})],
        claims=register.of_page("attention"), checks=lambda: how_we_know(study, tokens))


header("attention")
study = state.study()
above = st.container()
*places, drawer = st.columns([3, 3.6, 4.6, 3.6, 5.2], vertical_alignment="bottom")
with drawer:
    special = text.text_drawer()
tokens = text.live_tokens(text.current_text(), study.vocabulary, special)
if has_text(tokens, "the heads look at it"):
    more = st.container()
    with above:
        picture(study, tokens, places, more)
    text.say_what_was_cut(tokens)
below(lesson(study, tokens))
