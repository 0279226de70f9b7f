"""The experts page's controls: the live model's routing of the reader's text and its untrained twin's, in seven views."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss import units
from gptoss.app import controls, kept
from gptoss.app.accounts import remembered
from gptoss.app.computed import computed
from gptoss.app.controls import picks
from gptoss.app.lesson import Try
from gptoss.app.live import NO_TWIN, has_twin, live_model, twin
from gptoss.app.pictures import Main, show_chart, show_picture
from gptoss.app.retrained import RETRAINED
from gptoss.app.study import Study
from gptoss.app.text import Tokens
from gptoss.charts import Chart, routing_map
from gptoss.cost import expected_experts_touched, weight_bytes
from gptoss.lessons.experts import charts, measure
from gptoss.lessons.experts.charts import BY_RANK
from gptoss.lessons.experts.claims import live_routing
from gptoss.lessons.experts.measure import AS_IN_GPT_OSS, LiveRouting, Routing

ROUTING, LOAD, ROUTER, SWIGLU, COST, TOUCHED, _ = VIEWS = (
    "Routing", "Load", "Router", "SwiGLU", "Cost", "Touched", RETRAINED)
HINTS = {
    ROUTING: "Each column is a token, full colour most weight. Click a square: its expert turns violet. The number is only "
             "a name.",
    LOAD: "Grey is where blind choice ends up nine times in ten. The twin has random weights, has learned nothing and "
          "leaves the grey too: like tokens go the same way. Only what goes beyond the twin can be specialisation.",
    ROUTER: "Every expert gets a score. The best are kept, and a softmax over them shares out the answer.",
    SWIGLU: "A neuron multiplies its gate's curve by its linear half plus 1. Both are cut off at 7.",
    COST: "Every dense MLP lies on the line: more parameters, more compute. The mixture leaves it, by the dashed sides.",
    TOUCHED: "All experts take memory, only those that the batch touches are read. Tokens of one text are alike, and so "
             "they touch fewer.",
}
TRIES = (
    Try("A batch on gpt-oss-120b", "Move the batch: one token reads 4 of 128 experts, a few hundred read them all.",
        preset="gpt-oss-120b", controls={"experts_view": TOUCHED, "experts_batch": 32}),
    Try("One word, 64 times", "Equal tokens go the same way, so that the load is very uneven, whatever was learned or not.",
        text="the" + " the" * 63, controls={"experts_view": LOAD, "layer": 0}),
    Try("Every expert active", "With 8 of 8 active nothing is saved: the mixture's point falls on the dense line.",
        dials={"experts": 8, "active": 8}, controls={"experts_view": COST}))

check_experts = computed(measure.check_experts)  # of (study, live routing, layer)
# Of the real size's configuration.
dense_chart = remembered(lambda config: charts.mixture_against_dense(measure.against_dense(config)))
growth_chart = remembered(lambda config: charts.growth_by_experts(measure.by_number_of_experts(config), config.num_experts))


def expert_slider(study: Study, here: Routing) -> int:
    """The expert in colour: at first the layer's busiest, so that there is something to see."""
    return controls.expert(study, first=int(here.counts.argmax()))


def routing(study: Study, tokens: Tokens, live: LiveRouting, layer: int, beside: DeltaGenerator,
            place: Main) -> None:
    """A column per token, a row per expert."""
    here = live.layers[layer]
    with beside:
        expert, token = expert_slider(study, here), controls.token(len(tokens), 0)
    with place:
        chart = routing_map(here.chosen, here.weights, study.experts, tokens.labels, expert, token - 40, token)
        show_chart(chart, key="experts_map", height=430, words=HINTS[ROUTING],
                   on_select=picks("experts_map", expert="expert", token="token"))
        if chart.note:
            show_picture(charts.routing_picture(here.chosen, here.weights, study.experts, expert),
                         f"The whole text: {len(tokens)} tokens from left to right, experts from top to bottom.")


def load(study: Study, tokens: Tokens, live: LiveRouting, layer: int, beside: DeltaGenerator, place: Main) -> None:
    """How uneven the load is, and whether chance would do the same."""
    other = live_routing(twin(study), tokens.ids) if has_twin(study) else None
    with beside:
        expert = expert_slider(study, live.layers[layer])
        order = kept.radio("Order", charts.ORDERS, key="experts_order")
        unevenness = kept.radio("Measure", charts.MEASURES, key="experts_measure")
    with place:
        bars, layers = st.columns([3, 2], gap="medium")
        with bars:
            key = f"experts_load_{charts.ORDERS.index(order)}"
            show_chart(load_chart(live.layers[layer], other and other.layers[layer], order, expert), key,
                       on_select=picks(key, expert="expert"), words=HINTS[LOAD])
        with layers:
            if other is None:
                st.caption(NO_TWIN)
                return
            show_chart(charts.load_by_layer(measure.unevenness(live.layers, other.layers, unevenness), unevenness, layer),
                       key=f"experts_{unevenness}")


def load_chart(live: Routing, other: Routing | None, order: str, selected: int) -> Chart:
    """The load of one layer over the band of chance, in the order asked for, and the twin's if there is one."""
    bars = measure.load_bars(live, other, by_rank=order == BY_RANK)
    return charts.load_against_uniform(bars.experts, bars.counts, bars.band, len(live.chosen), order, selected, bars.twin)


def router(study: Study, tokens: Tokens, live: LiveRouting, layer: int, beside: DeltaGenerator,
           place: Main) -> None:
    """One token's logits, and what two orders of top-k and softmax make of them."""
    with beside:
        expert, token = expert_slider(study, live.layers[layer]), controls.token(len(tokens), 0)
    logits, chosen = live.layers[layer].logits[token], live.layers[layer].chosen[token]
    with place:
        scores, weights = st.columns([3, 2], gap="medium")
        with scores:
            show_chart(charts.router_scores(logits, chosen, tokens.labels[token], expert), key="experts_scores",
                       on_select=picks("experts_scores", expert="expert"), words=HINTS[ROUTER])
        with weights:
            show_chart(charts.router_weights(measure.routing_orders(logits, study.active), expert), key="experts_weights")


def swiglu(study: Study, tokens: Tokens, live: LiveRouting, layer: int, beside: DeltaGenerator,
           place: Main) -> None:
    """A neuron's output against its gate, and the real neurons of one token's best expert."""
    with beside:
        token = controls.token(len(tokens), 0)
        linear = kept.slider("Linear half", -10.0, 10.0, 1.0, 0.5, key="experts_linear")
        variant = kept.radio("Compare with", measure.ACTIVATIONS[1:], key="experts_variant")
    limit, best = study.live_config.swiglu_limit, int(live.layers[layer].chosen[token, 0])
    chosen, compared = (measure.activation_curves((linear,), limit, name) for name in (AS_IN_GPT_OSS, variant))
    neurons = measure.neurons(live_model(study).model.block[layer].mlp, live.streams[layer][0, token], best)
    with place:
        show_chart(charts.swiglu_curves(measure.activation_curves(measure.LINEAR_HALVES, limit), chosen, compared, variant,
                                        neurons), key="experts_swiglu", words=(
            f"{HINTS[SWIGLU]} The gate's own curve, x·sigmoid(1.702·x), stays within {measure.gelu_gap():.3f} of GELU."))


def touched(study: Study, tokens: Tokens, live: LiveRouting, layer: int, beside: DeltaGenerator,
            place: Main) -> None:
    """How many experts a batch of tokens visits."""
    with beside:
        batch = kept.select_slider("Batch (tokens)", measure.BATCHES, measure.FIRST_BATCH, key="experts_batch")
    frame = measure.touched_by_batch(live.layers[layer], study.config, measure.batches_and(len(tokens)))
    weights = weight_bytes(study.config)
    resident = weights["mlp1"] + weights["mlp2"] + weights["expert biases"]
    share = expected_experts_touched(study.config, batch) / study.config.num_experts
    with place:
        show_chart(charts.touched_experts(frame, study.experts, batch), key="experts_touched", words=(
            f"{HINTS[TOUCHED]} At the real size the experts of all layers take {units.size(resident)} of memory (MXFP4). A "
            f"step with {units.plural(batch, 'independent token')} reads {units.size(resident * share)} of them, "
            f"{units.percent(share, 0)}, by the formula."))


OF_A_TEXT: dict[str, Callable[[Study, Tokens, LiveRouting, int, DeltaGenerator, Main], None]] = {
    ROUTING: routing, LOAD: load, ROUTER: router, SWIGLU: swiglu, TOUCHED: touched}


def cost(study: Study) -> None:
    """What the mixture costs at the real size, beside dense MLPs."""
    designs, growth = st.columns([3, 2], gap="medium")
    with designs:
        show_chart(dense_chart(study.config), key="experts_dense", words=HINTS[COST])
    with growth:
        show_chart(growth_chart(study.config), key="experts_growth")
