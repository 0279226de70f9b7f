"""Attention: one head large, and one query of it step by step, with real numbers."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss.app import live, pictures, state, text
from gptoss.app.controls import choose
from gptoss.app.header import header
from gptoss.app.lesson import Lesson, Try, below
from gptoss.app.study import Study
from gptoss.app.weights import weights_in_words, weights_of
from gptoss.charts import head_map
from gptoss.claims import register
from gptoss.lessons.attention import controls as glue
from gptoss.lessons.attention.charts import head_gallery, looks_in_text, query_worksheet, spread_in_words
from gptoss.lessons.attention.measure import even_entropy_bits, head_weights, keys_to_show, looks, query_steps
from gptoss.model import AttentionBlock
from gptoss.model.attention import explicit_attention, fused_attention, visible

KEYS_SHOWN = 7

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


@st.fragment(key=glue.EXPLORER)
def explore(study: Study, tokens: text.Tokens, controls: list[DeltaGenerator]) -> None:
    """One head of one layer on the reader's text."""
    with controls[0]:
        layer = choose("Layer", range(study.live_config.num_hidden_layers), key="layer")
    with controls[1]:
        head = choose("Head", range(study.heads), key="head")
    with controls[2]:
        token = glue.choose_token(len(tokens))
    view = glue.layer_view(study, tokens.ids, layer)
    steps = query_steps(view.heads, head, token)
    with controls[3]:
        key = glue.choose_key(len(tokens), steps.best_key)
    weights, sink = head_weights(view.heads, head)
    large, small = st.columns([4, 5], gap="medium")
    with large:
        pictures.show_chart(head_map(weights, sink, tokens.labels, view.heads.window, (token, key)),
                            key="attention_map", on_select=glue.pick_cell)
    with small:
        shown = keys_to_show(steps, key, KEYS_SHOWN)
        glue.step_player(lambda step, playing: st.html(
            query_worksheet(steps, shown, key, tokens.labels, step, playing)))
    st.html(looks_in_text(*looks(weights, view.heads.window, token), token, tokens.labels))
    side_by_side(study, tokens, layer, head, view)


def side_by_side(study: Study, tokens: text.Tokens, layer: int, head: int, view: glue.LayerView) -> None:
    """Up to eight heads from the most focused to the most spread, and those of the untrained twin beside them."""
    mine, other = st.columns(2, gap="medium")
    with mine:
        st.subheader("From focused to spread", anchor=False)
        pictures.show_chart(head_gallery(view.tiles, head), key="attention_heads", on_select=glue.pick_head)
    with other:
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.subheader("What chance looks like", anchor=False)
            show = live.has_twin(study) and st.toggle(
                "Show the twin", key="attention_twin", bind="query-params",
                help=f"The same shape, never trained: {weights_in_words(live.twin(study))}.")
        if not live.has_twin(study):
            st.caption(live.NO_TWIN)
        twin = glue.layer_view(live.twin(study), tokens.ids, layer) if show else None
        if twin:
            pictures.show_chart(head_gallery(twin.tiles), key="attention_twin_heads")
        even = even_entropy_bits(len(tokens), view.heads.window, sink=study.sinks == "on")
        weights = weights_of(study)
        st.markdown(spread_in_words(view.entropies, even, weights.words, twin and twin.entropies)
                    + glue.LEARNT[weights.kind])


def lesson(study: Study, tokens: text.Tokens) -> Lesson:
    return Lesson(
        path="attention", prediction=glue.equal_scores(study), maths=MATHS,
        code=[explicit_attention, visible, fused_attention, AttentionBlock],
        tries=[
            glue.look_up_what_came_next(),
            Try("A window of 8 tokens", "Layer 0 slides: at step 3 the mask now cuts on the left too, and the map becomes "
                "a band.", dials={"window": 8}, controls={"layer": 0, glue.STEP: 3}),
            Try("Switch the sinks off", "At step 4 the sum has no sink in it: the weights of the keys alone add up to 1.",
                dials={"sinks": "off"}, controls={glue.STEP: 4}),
            Try("The same words again", "In layer 0 equal tokens start with equal keys and values: the green strips of the "
                "three cats match. RoPE turns the keys by position, so that their q · k differ.",
                text="The cat the cat the cat", controls={"layer": 0, glue.STEP: 5, glue.TOKEN: 5, glue.KEY: 3}),
        ],
        claims=register.of_page("attention"),
        checks=lambda: glue.how_we_know(study, tokens))


header("attention")
study = state.study()
*controls, drawer = st.columns([3, 3.6, 4.6, 3.6, 5.2], vertical_alignment="bottom")
with drawer:
    special = text.text_drawer()
tokens = text.live_tokens(text.current_text(), study.live_config.vocab_size, special)
if len(tokens):
    explore(study, tokens, controls)
    text.say_what_was_cut(tokens)
else:
    st.info("Type a text, or choose an example, and the heads look at it.", icon=":material/edit:")
below(lesson(study, tokens))
