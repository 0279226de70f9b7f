"""Experts: where the router sends the tokens, what an expert computes, and what a mixture costs."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss.app import pictures, state, text
from gptoss.app.controls import choose
from gptoss.app.header import header
from gptoss.app.lesson import below
from gptoss.app.live import NO_TWIN
from gptoss.app.retrained import RETRAINED, show_retrained
from gptoss.app.study import Study
from gptoss.charts import routing_map
from gptoss.claims import register
from gptoss.lessons.experts import charts
from gptoss.lessons.experts.controls.routing import (
    BATCHES,
    BETWEEN,
    COST,
    HINTS,
    LOAD,
    ROUTER,
    ROUTING,
    SWIGLU,
    TOUCHED,
    VIEWS,
    LiveRouting,
    dense_chart,
    expert_slider,
    growth_chart,
    live_routing,
    load_chart,
    picks,
    swiglu_chart,
    token_slider,
    touched_in_words,
    twin_routing,
)
from gptoss.lessons.experts.controls.routing_lesson import experts_lesson
from gptoss.lessons.experts.measure import ACTIVATIONS, gelu_gap, routing_orders, touched_by_batch, unevenness


@st.fragment
def picture(study: Study, tokens: text.Tokens) -> None:
    """One of seven views, its controls beside it."""
    view = st.segmented_control("View", VIEWS, default=ROUTING, key="experts_view", bind="query-params", required=True,
                                label_visibility="collapsed")
    if view == RETRAINED:
        return show_retrained("experts", study)
    if view == COST:
        return cost(study)
    if not len(tokens):
        st.info("Type a text, or choose an example, and the router sends its tokens to the experts.", icon=":material/edit:")
        return
    controls, place = st.columns([2, 9], gap="medium")
    with controls:
        layer = choose("Layer", range(study.live_config.num_hidden_layers), key="layer")
    draw = {ROUTING: routing, LOAD: load, ROUTER: router, SWIGLU: activation, TOUCHED: touched}[view]
    draw(study, tokens, live_routing(study, tokens.ids), layer, controls, place)
    controls.caption(HINTS[view])


def routing(study: Study, tokens: text.Tokens, live: LiveRouting, layer: int, controls: DeltaGenerator,
            place: DeltaGenerator) -> None:
    """A column per token, a row per expert."""
    here = live.layers[layer]
    with controls:
        expert, token = expert_slider(study, here), token_slider(tokens)
    with place:
        chart = routing_map(here.chosen, here.weights, study.experts, tokens.labels, expert, token - 40, token)
        pictures.show_chart(chart, key="experts_map", height=430, on_select=picks("experts_map", "expert", "token"))
        if chart.note:
            pictures.show_picture(charts.routing_picture(here.chosen, here.weights, study.experts, expert),
                                  f"The whole text: {len(tokens)} tokens from left to right, experts from top to bottom.")


def load(study: Study, tokens: text.Tokens, live: LiveRouting, layer: int, controls: DeltaGenerator,
         place: DeltaGenerator) -> None:
    """How uneven the load is, and whether chance would do the same."""
    twin = twin_routing(study, tokens.ids)
    with controls:
        expert = expert_slider(study, live.layers[layer])
        order = st.radio("Order", charts.ORDERS, key="experts_order", bind="query-params")
        measure = st.radio("Measure", charts.MEASURES, key="experts_measure", bind="query-params")
    bars, layers = place.columns([3, 2], gap="medium")
    with bars:
        key = f"experts_load_{charts.ORDERS.index(order)}"
        pictures.show_chart(load_chart(live.layers[layer], twin and twin.layers[layer], order, expert), key,
                            on_select=picks(key, "expert"))
    if twin is None:
        layers.caption(NO_TWIN)
        return
    with layers:
        pictures.show_chart(charts.load_by_layer(unevenness(live.layers, twin.layers, measure), measure, layer),
                            key=f"experts_{measure}")


def router(study: Study, tokens: text.Tokens, live: LiveRouting, layer: int, controls: DeltaGenerator,
           place: DeltaGenerator) -> None:
    """One token's logits, and what two orders of top-k and softmax make of them."""
    with controls:
        expert, token = expert_slider(study, live.layers[layer]), token_slider(tokens)
    logits, chosen = live.layers[layer].logits[token], live.layers[layer].chosen[token]
    scores, weights = place.columns([3, 2], gap="medium")
    with scores:
        pictures.show_chart(charts.router_scores(logits, chosen, tokens.labels[token], expert), key="experts_scores",
                            on_select=picks("experts_scores", "expert"))
    with weights:
        pictures.show_chart(charts.router_weights(routing_orders(logits, study.active), expert), key="experts_weights")


def activation(study: Study, tokens: text.Tokens, live: LiveRouting, layer: int, controls: DeltaGenerator,
               place: DeltaGenerator) -> None:
    """A neuron's output against its gate, and the real neurons of one token's best expert."""
    with controls:
        token = token_slider(tokens)
        linear = st.slider("Linear half", -10.0, 10.0, 1.0, 0.5, key="experts_linear", bind="query-params")
        variant = st.radio("Compare with", ACTIVATIONS[1:], key="experts_variant", bind="query-params")
    with place:
        pictures.show_chart(swiglu_chart(study, live, layer, token, linear, variant), key="experts_swiglu")
        st.caption(f"The gate's own curve, x·sigmoid(1.702·x), stays within {gelu_gap():.3f} of GELU.")


def touched(study: Study, tokens: text.Tokens, live: LiveRouting, layer: int, controls: DeltaGenerator,
            place: DeltaGenerator) -> None:
    """How many experts a batch of tokens visits."""
    with controls:
        batch = st.select_slider("Batch (tokens)", BATCHES, 32, key="experts_batch", bind="query-params")
    frame = touched_by_batch(live.layers[layer], study.config, sorted({*BATCHES, *BETWEEN, len(tokens)}))
    with place:
        pictures.show_chart(charts.touched_experts(frame, study.experts, batch), key="experts_touched")
        st.caption(touched_in_words(study.config, batch))


def cost(study: Study) -> None:
    """What the mixture costs at the real size, beside dense MLPs."""
    designs, growth = st.columns([3, 2], gap="medium")
    with designs:
        pictures.show_chart(dense_chart(study.config), key="experts_dense")
    with growth:
        pictures.show_chart(growth_chart(study.config), key="experts_growth")
    st.caption(HINTS[COST])


header("experts")
study = state.study()
above = st.container()
tokens = text.tokens_from_drawer(study.live_config.vocab_size)
with above:
    picture(study, tokens)
below(experts_lesson(study, tokens.ids, register.of_page("experts")))
