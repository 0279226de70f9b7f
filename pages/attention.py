"""Attention: one head large, and one query of it step by step, with real numbers."""

import math

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss import units
from gptoss.app import pictures, recorded, state, text, theme
from gptoss.app.controls import has_text, layer_shown, picks, row
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.lesson import Lesson, Prediction, below, beside
from gptoss.app.live import live_run
from gptoss.app.named_heads import heads_with_names
from gptoss.app.study import Study
from gptoss.charts import head_map
from gptoss.claims import register
from gptoss.config import PRESETS
from gptoss.lessons.attention import charts, controls, measure
from gptoss.model import AttentionBlock
from gptoss.model.attention import explicit_attention
from gptoss.model.fast.attention import fused_attention
from gptoss.model.mask import visible
from gptoss.notation import with_numbers
from gptoss.units import number, plural

ASKED = 12  # tokens of the question
REAL = PRESETS["gpt-oss-20b"]

OPENING = Opening(
    problem="The row of numbers at a token tells what the token is. Whom “it” means, or who is speaking, was said before.",
    idea=f"Learned matrices make of each row a {word('query')} (what do I look for?), a {word('key')} (what do I offer?) "
         f"and a {word('value')} (what I hand over).",
    chosen=f"{REAL.num_attention_heads} {word('head', 'heads')} a layer look for different things at once. Every other "
           f"layer sees the last {REAL.sliding_window} tokens only, and a {word('sink')} lets a head fetch nothing.")


SCORE = r"""
For the query of token $i$ and the key of token $j$, both turned to their positions by RoPE, with head size $d$ and
window $W$ (no limit in full layers):

$$
s_{ij} = \begin{cases}
\dfrac{\mathbf q_i \cdot \mathbf k_j}{\sqrt d} & \text{where } i - W < j \le i \\
-\infty & \text{elsewhere}
\end{cases}
$$
"""

WEIGHTS = r"""
$$
a_{ij} = \frac{e^{s_{ij}}}{e^{b_h} + \sum_{j'} e^{s_{ij'}}} \qquad \mathbf o_i = \sum_j a_{ij}\, \mathbf v_j
$$

The sink is one learned number a head, $b_h$. It stands in the sum and has no value, so that the weights $a_{ij}$ of real
keys add up to less than 1. Query head $h$ reads the keys and values of KV group $g = \lfloor h\, G / H \rfloor$. All
$\mathbf o_i$ of a token's heads, side by side, go through one output matrix into the residual stream.
"""

ENTROPY = r"""
How widely a row looks is its entropy, with the sink as one more place; $2^{\mathcal H}$ counts places:

$$\mathcal H = -\sum_j a_{ij} \log_2 a_{ij}$$
"""


def maths(study: Study) -> str:
    """The formulas, each with the numbers of the live model."""
    config, seen = study.live_config, measure.visible_keys(ASKED - 1, study.window)
    size, heads, groups = config.head_dim, config.num_attention_heads, config.num_key_value_heads
    places = seen + (study.sinks != "off")
    reach = f"layer 0 slides with W = {study.window}, so that a query sees {plural(study.window, 'key')} at most" if (
        study.window) else "no layer slides, so that a query sees itself and all before it"
    return with_numbers(
        (SCORE, f"d = {size}, so that scores are divided by √{size} = {number(math.sqrt(size))}, and {reach}."),
        (WEIGHTS, f"H = {heads} query heads read G = {plural(groups, 'KV group')}, {heads // groups} each. In layer 0 token "
                  f"number {ASKED} has {seen} keys in sight{'' if study.sinks == 'off' else ', and the sink'}. Were all "
                  f"these scores 0, each weight would be 1 / {places} = {number(1 / places, 3)}."),
        (ENTROPY, f"{places} equal weights have log₂ {places} = {number(math.log2(places), 3)} bits: {places} places."))


@st.fragment(key="attention_explorer")
def picture(study: Study, tokens: text.Tokens, places: list[DeltaGenerator], more: DeltaGenerator) -> None:
    """One head of one layer on the reader's text: its map, a query's worksheet, the text itself, and other heads.

    Controls go to `places` and what is less than the main picture to `more`, both below it.
    """
    bar, named = row(), heads_with_names(study, tokens)
    place = pictures.main()
    here = controls.setting(study, len(tokens), named, places)
    view = controls.layer_view(study, tokens.ids, here.layer)
    steps = measure.query_steps(view.heads, here.head, here.token)
    with places[3]:
        key = controls.key_in_formula(len(tokens), steps.best_key)
    weights, sink = measure.head_weights(view.heads, here.head)
    window, keys = view.heads.window, measure.keys_to_show(steps, key, measure.KEYS_SHOWN)
    known = controls.head_in_words(study, named, here)
    controls.choose_by_name(named, here)
    with place:
        large, sheet = st.columns([4, 5], gap="medium")
        with large:
            pictures.show_chart(head_map(weights, sink, tokens.labels, window, (here.token, key), theme.is_dark()),
                                key="attention_map", on_select=picks("attention_map", token="query", attention_key="key"))
    controls.step_player(bar, sheet, lambda step, playing: st.html(
        charts.query_worksheet(steps, keys, key, tokens.labels, step, playing, theme.is_dark(), known)))
    with more:
        st.html(charts.looks_in_text(*measure.looks(weights, window, here.token), here.token, tokens.labels))
        controls.side_by_side(study, tokens, here, view)


def because(study: Study) -> str:
    """What the answer to the prediction means."""
    seen = measure.visible_keys(ASKED - 1, study.window)
    places = f"{seen} keys" if study.sinks == "off" else f"{seen} keys and the sink"
    return (f"e to the power of 0 is 1, for each of {places} alike. So they share evenly: 1 / "
            f"{seen + (study.sinks != 'off')}.")


def prediction(study: Study) -> Prediction:
    """One weight by hand, where all scores are 0."""
    seen = measure.visible_keys(ASKED - 1, study.window)
    mistakes = [(100.0, "A softmax gives weights that add up to 100%: all keys share them."),
                (0.0, "A score of 0 is no weight of 0: e to the power of 0 is 1.")]
    if study.sinks != "off":
        mistakes.append((100 / seen, "That leaves out the sink: it stands in the sum and takes its share."))
    if seen < ASKED:
        mistakes.append((100 / (ASKED + (study.sinks != "off")), "That counts tokens which the window hides."))
    mistakes.append((100 / (ASKED - 1), "A token sees itself too, and the sink takes a share where there is one."))
    window = f"with a window of {study.window} tokens" if study.window else "without a window"
    sink = "The sinks are off." if study.sinks == "off" else "The sink's logit is 0 as well."
    return Prediction(
        f"The query is the {ASKED}th token of a text, in a layer {window}. All its scores are 0. {sink} "
        "How much weight does each key that it sees get?",
        lambda: 100 * measure.weight_when_scores_are_equal(ASKED, study.window, study.sink_override or 0.0),
        lambda _: because(study), unit="%", show=units.number, mistakes=mistakes)


def about_the_recording() -> Prediction:
    """The question about a recorded model's maps."""
    replay = recorded.recording()
    layers, heads, tokens = replay.config.num_hidden_layers, replay.config.num_attention_heads, len(replay.texts[0].tokens)
    seen = tokens * (tokens + 1) // 2
    return Prediction(
        f"The recorded model has {layers} layers of {heads} heads. How many weights would all their maps of a text of "
        f"{tokens} tokens have, counting for each query itself and all tokens before it?",
        lambda: layers * heads * seen, lambda _: "That is why a recording keeps a few heads only.", show="{:,.0f}".format,
        view="recorded", mistakes=[
            (layers * heads * tokens**2, "A query sees no later token, so that a map is half empty."),
            (heads * seen, "That is one layer's."), (seen, "That is one head's.")])


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


def lesson(study: Study, shown: str = controls.LIVE) -> Lesson:
    """What is asked, tried and explained."""
    return Lesson(
        path="attention", maths=maths(study), code=[explicit_attention, visible, fused_attention, AttentionBlock],
        prediction=about_the_recording() if shown == recorded.RECORDED else prediction(study),
        tries=controls.tries(),
        claims=register.of_page("attention"), checks=lambda: how_we_know(study, tokens))


header("attention", OPENING)
study = state.study()
above = st.container()
with above:
    shown = controls.shown_view()
with st.container(key="controls_below"):  # a phone has the question before them
    *places, drawer = st.columns([3, 3.6, 4.6, 3.6, 5.2], vertical_alignment="bottom")
with drawer:
    special = text.text_drawer()
tokens = text.live_tokens(text.current_text(), study.vocabulary, special)
questions = st.container()
if shown == recorded.RECORDED:
    with above:
        controls.replayed(places)
elif has_text(tokens, "the heads look at it"):
    more = st.container()
    with above:
        picture(study, tokens, places, more)
    text.say_what_was_cut(tokens)
beside(lesson(study, shown), questions)
below(lesson(study))
