"""The experts page's controls: the live model's routing of the reader's text and its untrained twin's, in nine views."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss import units
from gptoss.app import controls, kept, recorded, theme
from gptoss.app.accounts import remembered
from gptoss.app.computed import computed
from gptoss.app.controls import picks
from gptoss.app.hall import paper
from gptoss.app.lesson import Prediction, Seen, Try
from gptoss.app.live import NO_TWIN, has_twin, twin
from gptoss.app.pictures import Main, main, show_chart, show_picture
from gptoss.app.retrained import RETRAINED
from gptoss.app.study import RANDOM, Study
from gptoss.app.text import Tokens
from gptoss.app.weights import weights_of
from gptoss.charts import Chart, routing_map
from gptoss.cost import expected_experts_touched, weight_bytes
from gptoss.lessons.experts import charts, measure
from gptoss.lessons.experts.charts import BY_RANK
from gptoss.lessons.experts.charts.routes import foreseen_routes, specialists
from gptoss.lessons.experts.charts.worksheet import MOST_EXPERTS, STEPS, worksheet
from gptoss.lessons.experts.charts.worksheet import Token as Followed
from gptoss.lessons.experts.claims import foreseen, live_routing
from gptoss.lessons.experts.measure import AS_IN_GPT_OSS, LiveRouting, Routing
from gptoss.lessons.experts.measure.follow import experts_to_show, follow, telling_token
from gptoss.lessons.experts.measure.routes import CHANCE, DOMAIN, HIDDEN, PREDICTORS, TOKEN
from gptoss.training.shipped import STORYTELLER

ONE, ROUTING, LOAD, FORESEEN, ROUTER, SWIGLU, COST, TOUCHED, _ = VIEWS = (
    "One token", "Routing", "Load", "Foreseen", "Router", "SwiGLU", "Cost", "Touched", RETRAINED)
STEP = "experts_step"
COLUMNS = [3, 10]  # controls, and the picture
HINTS = {
    ONE: "Blue is a number below zero, orange one above. Go on with Next: each step fills one more column.",
    ROUTING: "Each column is a token, and full colour is most weight. Click a square, and its expert turns violet in every "
             "column. An expert's number is only its name.",
    LOAD: "Grey is where blind choice would end nine times in ten. The untrained twin leaves the grey too, although it has "
          "learned nothing, because equal tokens go the same way. So only what goes beyond the twin can be specialisation.",
    FORESEEN: "Each rule was fitted on half of the texts, and is judged on the other half. It names as many experts as the "
              "router chooses. The hidden state is the stream as it enters the layer, read by one linear map.",
    ROUTER: "Every expert gets a score. The best are kept, and a softmax over them shares out the answer.",
    SWIGLU: "A neuron multiplies its gate's curve by its linear half plus 1. Both are cut off at 7.",
    COST: "Every dense MLP lies on the line, because more parameters are more compute there. The mixture leaves the line "
          "along the dashed sides.",
    TOUCHED: "All experts take memory, but only those that the batch touches are read. Tokens of one text are alike, so "
             "they touch fewer.",
}


def _reads_nearly_all(seen: Seen) -> bool:
    rows = seen.chart("Experts touched").query("what == 'formula'").set_index("batch")["experts"]
    return rows[1] == 4 and rows[256] > 127


def _far_from_chance(seen: Seen) -> bool:
    here = seen.chart("variation in every layer").query("layer == 0").set_index("what")["value"]
    return min(here["this model"], here["untrained twin"]) > 2 * here["chance, 5–95%"]


def _on_the_line(seen: Seen) -> bool:
    rows = seen.chart("Parameters against compute").set_index("design").groupby(level=0).first()
    mixture, dense = rows.loc["mixture of experts"], rows.loc["dense, equal size"]
    return abs(mixture["flops"] / dense["flops"] - 1) < 0.05 and abs(mixture["parameters"] / dense["parameters"] - 1) < 0.05


def _token_before_kind(seen: Seen) -> bool:
    rows = seen.chart("Share of the routes").set_index("predictor")
    kind, token = (rows.loc[name, "share"] - rows.loc[CHANCE, "share"] for name in (DOMAIN, TOKEN))
    return 0 < kind < token / 2 and rows.loc[HIDDEN, "share"] > rows.loc[TOKEN, "share"]


TRIES = (
    Try("A batch on gpt-oss-120b", "One token reads 4 of 128 experts, but a batch of 256 tokens reads nearly all of them, "
        "because tokens choose differently. Move the batch: only small batches save reading.",
        preset="gpt-oss-120b", controls={"experts_view": TOUCHED, "experts_batch": 256}, check=_reads_nearly_all),
    Try("One word, 64 times", "Equal tokens go the same way, so that layer 0's load is more than twice as uneven as chance. "
        "The untrained twin's is too: it has nothing to do with learning.",
        text="the" + " the" * 63, controls={"experts_view": LOAD, "layer": 0}, check=_far_from_chance),
    Try("Every expert active", "With 8 of 8 active nothing is saved, so the mixture's point lies on the line of dense MLPs.",
        dials={"experts": 8, "active": 8}, controls={"experts_view": COST}, check=_on_the_line),
    Try("Specialists for stories?", "The model reads stories, explanations, conversations, and sentences about who has "
        "what. To know which of them it is tells less than half of what the token tells; the hidden state tells most.",
        preset=STORYTELLER, controls={"experts_view": FORESEEN, "layer": 1}, check=_token_before_kind))

check_experts = computed(measure.check_experts)  # of (study, live routing, layer)
followed = computed(lambda model, layer, stream, token: follow(model.block[layer].mlp, stream[0, token]), entries=64)
neurons = computed(lambda model, layer, stream, token, expert: measure.neurons(
    model.block[layer].mlp, stream[0, token], expert), entries=64)
touched_by_batch = computed(measure.touched_by_batch)  # of (a layer's live routing, the real size's configuration, batches)
# Of the real size's configuration.
dense_chart = remembered(lambda config: charts.mixture_against_dense(measure.against_dense(config)))
growth_chart = remembered(lambda config: charts.growth_by_experts(measure.by_number_of_experts(config), config.num_experts))


def expert_slider(study: Study, here: Routing) -> int:
    """The expert in colour: at first the layer's busiest, so that there is something to see."""
    return controls.expert(study, first=int(here.counts.argmax()))


def token_slider(tokens: Tokens) -> int:
    """The token that is followed: at first the longest word of the text, since it means something."""
    return controls.token(len(tokens), telling_token(tokens.labels))


def one_token(study: Study, tokens: Tokens, live: LiveRouting, layer: int, beside: DeltaGenerator, place: Main) -> None:
    """One token through the router and its experts, step by step, with its own numbers."""
    with beside:
        token = token_slider(tokens)
        kept.moves_by_itself(STEP)
        step = kept.segmented_control("Step", STEPS, default=paper.or_last(STEPS), key=STEP, wrap=True)
        with st.container(horizontal=True):
            controls.steps(STEP, STEPS)
    steps = followed(study, layer, live.streams[layer], token)
    shown = experts_to_show(steps.logits, steps.chosen, MOST_EXPERTS)
    with place:
        st.html(worksheet(steps, shown, Followed(tokens.labels[token], token, layer), step, theme.is_dark()))
        st.caption(HINTS[ONE])


def routing(study: Study, tokens: Tokens, live: LiveRouting, layer: int, beside: DeltaGenerator,
            place: Main) -> None:
    """A column per token, a row per expert."""
    here = live.layers[layer]
    with beside:
        expert, token = expert_slider(study, here), token_slider(tokens)
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
        expert, token = expert_slider(study, live.layers[layer]), token_slider(tokens)
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
        token = token_slider(tokens)
        linear = kept.slider("Linear half", -10.0, 10.0, 1.0, 0.5, key="experts_linear")
        variant = kept.radio("Compare with", measure.ACTIVATIONS[1:], key="experts_variant")
    limit, best = study.live_config.swiglu_limit, int(live.layers[layer].chosen[token, 0])
    chosen, compared = (measure.activation_curves((linear,), limit, name) for name in (AS_IN_GPT_OSS, variant))
    outputs = neurons(study, layer, live.streams[layer], token, best)
    with place:
        show_chart(charts.swiglu_curves(measure.activation_curves(measure.LINEAR_HALVES, limit), chosen, compared, variant,
                                        outputs), key="experts_swiglu", words=(
            f"{HINTS[SWIGLU]} The gate's own curve, x·sigmoid(1.702·x), stays within {measure.gelu_gap():.3f} of GELU."))


def touched(study: Study, tokens: Tokens, live: LiveRouting, layer: int, beside: DeltaGenerator,
            place: Main) -> None:
    """How many experts a batch of tokens visits."""
    with beside:
        batch = kept.select_slider("Batch (tokens)", measure.BATCHES, measure.FIRST_BATCH, key="experts_batch")
    frame = touched_by_batch(live.layers[layer], study.config, tuple(measure.batches_and(len(tokens))))
    weights = weight_bytes(study.config)
    resident = weights["mlp1"] + weights["mlp2"] + weights["expert biases"]
    share = expected_experts_touched(study.config, batch) / study.config.num_experts
    with place:
        show_chart(charts.touched_experts(frame, study.experts, batch), key="experts_touched", words=(
            f"{HINTS[TOUCHED]} At the real size the experts of all layers take {units.size(resident)} of memory (MXFP4). A "
            f"step with {units.plural(batch, 'independent token')} reads {units.size(resident * share)} of them, "
            f"{units.percent(share, 0)}, by the formula."))


OF_A_TEXT: dict[str, Callable[[Study, Tokens, LiveRouting, int, DeltaGenerator, Main], None]] = {
    ONE: one_token, ROUTING: routing, LOAD: load, ROUTER: router, SWIGLU: swiglu, TOUCHED: touched}


def replayed() -> None:
    """Where a recorded model's router sent the tokens of one text."""
    dials, right = st.columns(COLUMNS, gap="medium")
    with dials:
        shown = recorded.choose_text()
        layer = recorded.choose_layer(shown)
    chosen, config = shown.text.arrays["experts"][layer].astype(int), shown.replay.config
    with right, main():
        show_chart(routing_map(chosen, shown.text.shares("shares")[layer], config.num_experts, shown.labels),
                   key="experts_recorded", height=430)
        recorded.say_so(shown)


def share_of_the_first() -> float:
    """How much weight a recorded model's router gave to the best of the experts that it chose, on average, in %."""
    return float(100 * np.concatenate([text.shares("shares")[..., 0] for text in recorded.recording().texts], axis=1).mean())


def has_learned(study: Study) -> bool:
    """Whether an untrained twin beside the model says what its training has added."""
    return has_twin(study) and weights_of(study).kind != RANDOM


def _shares(study: Study, layer: int) -> dict[str, float]:
    """Of a layer's routes the share that each of `PREDICTORS` foresees."""
    return dict(zip(PREDICTORS, foreseen(study).shares[layer].tolist(), strict=True))


def about_foreseeing(study: Study, layer: int) -> Prediction:
    """What of a route is to be foreseen although nothing was learned. The picture shows the twin's only afterwards."""
    none, some, same = choices = (
        "no better than blind choice", "better than blind choice, but less well than in this model",
        "as well as in this model")

    def of_twin() -> str:
        mine, other = _shares(study, layer), _shares(twin(study), layer)
        learned = (other[TOKEN] - other[CHANCE]) / max(mine[TOKEN] - mine[CHANCE], 0.001)
        return none if learned < 0.1 else some if learned < 0.9 else same

    def because(_: str) -> str:
        mine, other = _shares(study, layer), _shares(twin(study), layer)
        return (f"To know the token foresees {units.percent(other[TOKEN], 0)} of the twin's choices and "
                f"{units.percent(mine[TOKEN], 0)} of this model's, where blind choice gets "
                f"{units.percent(mine[CHANCE], 0)}. Equal tokens enter a layer as similar rows of numbers, so that even a "
                "random router sends them the same way. Only what goes beyond the twin was learned.")

    return Prediction(
        f"The untrained twin of this model has random weights. In layer {layer}, how well does the token alone foresee "
        "where the twin's router sends it?", of_twin, because, choices=choices, view="foreseen", hides=True, mistakes={
            none: "Random weights do not choose at random: they stay as they are, and send equal numbers the same way.",
            some: "In this layer training changed either hardly anything or nearly everything.",
            same: "Training did change which tokens go where."})


def what_decides(study: Study, layer: int, told: bool) -> None:
    """What foresees the route: the kind of text, the token, two of them or the hidden state; once `told`, the twin's too."""
    mine = foreseen(study)
    shares = _shares(study, layer)
    show_chart(foreseen_routes(shares, _shares(twin(study), layer) if told else None, layer), key="experts_foreseen",
               words=HINTS[FORESEEN])
    learned = ("what training added is the distance from the line to the end of the bar" if told else
               "what training added is only what goes beyond that")
    st.markdown(
        f"{specialists(shares, CHANCE, DOMAIN, TOKEN)} The kinds of text are {', '.join(mine.domains)}. The rules saw "
        f"{mine.fitted:,} tokens and are judged on {mine.judged:,}. Of these they had seen "
        f"{units.percent(mine.known[0], 0)}, and {units.percent(mine.known[1], 0)} after the same token.\n\n"
        "A router is a linear map of the stream. So a linear map of an earlier stream foresees even a router that has "
        f"learned nothing, and {learned}. Of gpt-oss-20b it is reported that two tokens foresee 55% of its routes, and "
        "features of the hidden state 81% (arXiv [2604.02178](https://arxiv.org/abs/2604.02178), and see "
        "[2604.09780](https://arxiv.org/abs/2604.09780)); these two papers count in ways of their own.")


def cost(study: Study) -> None:
    """What the mixture costs at the real size, beside dense MLPs."""
    designs, growth = st.columns([3, 2], gap="medium")
    with designs:
        show_chart(dense_chart(study.config), key="experts_dense", words=HINTS[COST])
    with growth:
        show_chart(growth_chart(study.config), key="experts_growth")
