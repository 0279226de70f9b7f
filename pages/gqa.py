"""Grouped queries: who shares keys and values, what that saves, and how the cache grows."""

import streamlit as st

from gptoss.app import pictures, state
from gptoss.app.header import header
from gptoss.app.lesson import Lesson, Try, below
from gptoss.app.retrained import RETRAINED, show_retrained
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.cost import kv_cache_bytes_per_layer
from gptoss.lessons.gqa.charts import cache_film, head_sharing, kv_head_costs
from gptoss.lessons.gqa.controls import how_we_know, prediction
from gptoss.lessons.gqa.measure import cache_growth, costs_by_kv_heads, key_value_parameters, steps_shown
from gptoss.model.attention import explicit_attention
from gptoss.model.kv_cache import LayerCache

CLOSE, WHOLE, _ = VIEWS = "The first steps", "The whole context", RETRAINED
MATHS = r"""
Of $H$ query heads, $H / G$ share each of $G$ key/value heads: query head $h$ reads head $g = \lfloor h\,G/H \rfloor$,

$$a_h = \sum_j \mathrm{softmax}_j\!\left(\frac{q_h \cdot k_{g,j}}{\sqrt d}\right) v_{g,j}$$

(the sink left out). $G = H$ is multi-head attention, $G = 1$ multi-query attention. A token leaves one key and one value of
$d$ numbers for each of the $G$ heads, in two bytes each, so that after $t$ tokens the cache holds

$$4\,G\,d \sum_{\text{layers}} \min(t, W_\ell) \text{ bytes}, \qquad W_\ell = \infty \text{ in full layers}$$

and the matrices that make keys and values have $2\,G\,d\,(\text{hidden} + 1)$ parameters a layer. Queries and the output
projection do not depend on $G$.
"""


@st.fragment
def film(study: Study) -> None:
    """The cache while a text is written, layer by layer; or what a small one costs in loss."""
    title = st.container()
    view = st.segmented_control("Decode steps", VIEWS, default=CLOSE, key="gqa_view", bind="query-params", required=True,
                                label_visibility="collapsed")
    if view == RETRAINED:
        title.subheader("What fewer groups cost: each number of them trained", anchor=False)
        show_retrained("gqa", study)
        return
    title.subheader(f"The cache grows: {study.name}, {study.layers} layers", anchor=False)
    steps = study.context if view == WHOLE else steps_shown(study.config, study.context)
    pictures.show_chart(cache_film(cache_growth(study.config, steps)), key="gqa_film")


header("gqa")
study = state.study()
heads, costs = st.columns([3, 2], gap="medium")
with heads:
    pictures.show_drawing(head_sharing(study.heads, study.kv, study.config.head_dim))
with costs:
    pictures.show_chart(kv_head_costs(costs_by_kv_heads(study.config, study.context), study.context), key="gqa_costs")
film(study)
below(Lesson(
    path="gqa", prediction=prediction(study),
    tries=[
        Try("Every head its own", "gpt-oss-120b as multi-head attention: the cache grows eightfold, the model hardly.",
            preset="gpt-oss-120b", dials={"kv": 64}),
        Try("One for all", "Multi-query attention has the smallest cache. What it costs in quality, only training tells.",
            preset="gpt-oss-120b", dials={"kv": 1}),
        Try("A short context", "At 2,048 tokens even multi-head attention's cache is small beside the weights.",
            preset="gpt-oss-120b", dials={"kv": 64, "context": 2048}),
    ],
    maths=MATHS, code=[explicit_attention, LayerCache, kv_cache_bytes_per_layer, key_value_parameters],
    claims=register.of_page("gqa"), checks=lambda: how_we_know(study)))
