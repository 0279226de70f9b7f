"""The live model's routing of the reader's text: cached, its twin's beside it, and what the experts page says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import streamlit as st
from torch import Tensor

from gptoss import units
from gptoss.app.accounts import remembered
from gptoss.app.controls import choose
from gptoss.app.live import (
    HEAVY,
    Running,
    cached,
    has_twin,
    live_model,
    make_ready,
    model_of,
    pass_over,
    running,
    twin,
)
from gptoss.app.retrained import RETRAINED
from gptoss.app.study import Study
from gptoss.app.text import Tokens
from gptoss.charts import Chart
from gptoss.config import ModelConfig
from gptoss.cost import expected_experts_touched, weight_bytes
from gptoss.lessons.experts import measure
from gptoss.lessons.experts.charts import (
    BY_RANK,
    growth_by_experts,
    load_against_uniform,
    mixture_against_dense,
    swiglu_curves,
)
from gptoss.lessons.experts.measure import Routing
from gptoss.model import MLPBlock

ROUTING, LOAD, ROUTER, SWIGLU, COST, TOUCHED, _ = VIEWS = (
    "Routing", "Load", "Router", "SwiGLU", "Cost", "Touched", RETRAINED)
HINTS = {
    ROUTING: "Each column is a token, dark is weight. Click a square: its expert turns violet. The number is only a name.",
    LOAD: "Grey is where blind choice ends up nine times in ten. The twin has random weights, has learnt nothing and leaves "
          "the grey too: like tokens go the same way. Only what goes beyond the twin can be specialisation.",
    ROUTER: "Every expert gets a score. The best are kept, and a softmax over them shares out the answer.",
    SWIGLU: "A neuron multiplies its gate's curve by its linear half plus 1. Both are cut off at 7.",
    COST: "Every dense MLP lies on the line: more parameters, more compute. The mixture leaves it, by the dashed sides.",
    TOUCHED: "All experts take memory, only those that the batch touches are read. Tokens of one text are alike, and so "
             "they touch fewer.",
}
BATCHES = tuple(2**power for power in range(10))  # 1 to 512 tokens
LINEAR_HALVES = (-3.0, -1.0, 0.0, 1.0, 3.0)  # of the pale curves
BETWEEN = tuple(3 * 2**power for power in range(8))  # where curves are drawn too


@dataclass(frozen=True)
class LiveRouting:
    """What every layer's router did with a text, and the stream that it read."""

    layers: tuple[Routing, ...]
    streams: tuple[Tensor, ...]  # by layer: (1, tokens, hidden)


def live_routing(study: Study, tokens: tuple[int, ...]) -> LiveRouting:
    """Run the live model on `tokens`, without recording the inside of any layer, and read its routers."""
    make_ready(running(study), tokens)
    return _live_routing(running(study), tokens)


def twin_routing(study: Study, tokens: tuple[int, ...]) -> LiveRouting | None:
    """The same of the untrained twin, or None where the model is too large for one."""
    return live_routing(twin(study), tokens) if has_twin(study) else None


@cached(max_entries=12)
def _live_routing(running: Running, tokens: tuple[int, ...]) -> LiveRouting:
    passed = pass_over(running, tokens, (), lambda name: name.endswith("after_attn"))
    model = model_of(running).model
    with HEAVY:
        layers = measure.routing_of_every_layer(model, passed)
    return LiveRouting(layers, tuple(passed.values()))


def mlp_of(study: Study, layer: int) -> MLPBlock:
    """The expert block of one layer of the live model."""
    return live_model(study).model.block[layer].mlp


def expert_slider(study: Study, here: Routing) -> int:
    """The expert in colour: at first the layer's busiest, so that there is something to see."""
    if "expert_offered" not in st.session_state:
        st.session_state["expert_offered"] = True
        if "expert" not in st.session_state and "expert" not in st.query_params:
            st.session_state["expert"] = int(here.counts.argmax())
    return choose("Expert", range(study.experts), key="expert")


def token_slider(tokens: Tokens) -> int:
    """The token whose way is followed."""
    return choose("Token", range(len(tokens)), key="experts_token")


def load_chart(live: Routing, other: Routing | None, order: str, selected: int) -> Chart:
    """The load of one layer over the band of chance, in the order asked for, and the twin's if there is one."""
    tokens, active = live.chosen.shape
    chance = measure.uniform_routing(tokens, live.num_experts, active)
    if order == BY_RANK:
        numbers = np.argsort(-live.counts, kind="stable")
        return load_against_uniform(numbers, live.counts[numbers], chance.ranked[:, ::2], tokens, order, selected,
                                    None if other is None else -np.sort(-other.counts))
    band = np.tile([chance.one_expert.low, chance.one_expert.high], (live.num_experts, 1))
    return load_against_uniform(np.arange(live.num_experts), live.counts, band, tokens, order, selected)


@remembered
def dense_chart(config: ModelConfig) -> Chart:
    """Parameters against compute of the real size's MLPs, as a mixture and as dense ones."""
    return mixture_against_dense(measure.against_dense(config))


@remembered
def growth_chart(config: ModelConfig) -> Chart:
    """Parameters of the real size against its number of experts."""
    return growth_by_experts(measure.by_number_of_experts(config), config.num_experts)


def picks(key: str, *fields: str) -> Callable[[], None]:
    """The callback of a chart on which a click picks an expert, or a token and an expert."""

    def take() -> None:
        picked = st.session_state[key].selection.get("picked") or []
        for field in fields if picked else ():
            value = picked[0].get(field)
            if field == "token" and value is not None:
                st.session_state["experts_token"] = int(value.split()[0])  # an axis key begins with the position
            elif value is not None:
                st.session_state[field] = int(value)

    return take


def swiglu_chart(study: Study, live: LiveRouting, layer: int, token: int, linear: float, variant: str) -> Chart:
    """The activation's curves, the chosen one also in another variant, and the neurons of one token's best expert."""
    limit, best = study.live_config.swiglu_limit, int(live.layers[layer].chosen[token, 0])
    chosen, compared = (measure.activation_curves((linear,), limit, each) for each in (measure.AS_IN_GPT_OSS, variant))
    neurons = measure.neurons(mlp_of(study, layer), live.streams[layer][0, token], best)
    return swiglu_curves(measure.activation_curves(LINEAR_HALVES, limit), chosen, compared, variant, neurons)


def touched_in_words(config: ModelConfig, batch: int) -> str:
    """What a batch reads of the experts' weights at the real size."""
    weights = weight_bytes(config)
    resident = weights["mlp1"] + weights["mlp2"] + weights["expert biases"]
    share = expected_experts_touched(config, batch) / config.num_experts
    return (f"At the real size the experts of all layers take {units.size(resident)} of memory (MXFP4). A step with "
            f"{batch} independent tokens reads {units.size(resident * share)} of them, {share:.0%}, by the formula.")
