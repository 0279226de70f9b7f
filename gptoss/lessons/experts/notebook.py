"""Where the router sends the text's tokens, whether chance would do the same, and what a mixture of experts costs."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gptoss.charts import routing_map
from gptoss.config import ModelConfig
from gptoss.lessons.experts import charts, measure
from gptoss.lessons.experts.charts import worksheet
from gptoss.lessons.experts.charts.routes import foreseen_routes as foreseen_chart
from gptoss.lessons.experts.measure.follow import experts_to_show, follow, telling_token
from gptoss.lessons.experts.measure.routes import PREDICTORS, foreseen_routes
from gptoss.model import Transformer
from gptoss.take_home import show
from gptoss.take_home.here import Here
from gptoss.tokenizer import CompactVocabulary
from gptoss.trace import trace


def values(here: Here) -> dict[str, object]:
    """Layer, expert and token, how the load is drawn, and one linear half of SwiGLU. The twin has random weights."""
    return {"layer": here.layer, "expert": here.expert, "token": here.token(telling_token(here.labels)),
            "order": here.control("order", charts.ORDERS[0], charts.ORDERS),
            "unevenness": here.control("measure", charts.MEASURES[0], charts.MEASURES),
            "linear": here.control("linear", 1.0), "variant": here.control("variant", measure.NO_CLAMP, measure.ACTIVATIONS),
            "batch": here.control("batch", measure.FIRST_BATCH, measure.BATCHES),
            "twin_seed": here.twin_seed, "sinks": here.sink_logit}


def story(config: ModelConfig, live: ModelConfig, model: Transformer, vocabulary: CompactVocabulary, ids: Sequence[int],
          labels: Sequence[str], layer: int, expert: int, token: int, order: str, unevenness: str, linear: float,
          variant: str, batch: int, twin_seed: int, sinks: float | None) -> None:
    """## Where every token goes

    A column for each token, a row for each expert. An expert's number is only a name."""
    routed = measure.live_routing(trace(model, torch.tensor([ids]), layers=[]), model)
    here = routed.layers[layer]
    show(routing_map(here.chosen, here.weights, live.num_experts, labels, expert, token - 40, token))

    """## Is the load more uneven than chance?

    Grey is where blind choice ends up nine times in ten; the twin has the same shape, and has learned nothing."""
    twin = Transformer(live, dtype=model.dtype, seed=twin_seed).sharing_weights(live, sinks).eval()
    with torch.no_grad():
        other = measure.live_routing(trace(twin, torch.tensor([ids]), layers=[]), twin)
    bars = measure.load_bars(here, other.layers[layer], by_rank=order == charts.BY_RANK)
    show(charts.load_against_uniform(bars.experts, bars.counts, bars.band, len(ids), order, expert, bars.twin))
    show(charts.load_by_layer(measure.unevenness(routed.layers, other.layers, unevenness), unevenness, layer))

    """## Can a route be foreseen?

    Plain rules, fitted on half of some texts that no training saw and judged on the other half. The line is the twin's."""
    shares, others = (dict(zip(PREDICTORS, foreseen_routes(each, vocabulary).shares[layer].tolist(), strict=True))
                      for each in (model, twin))
    show(foreseen_chart(shares, others, layer))

    """## One token through its experts

    Scores, the best of them, their softmax, the answers, and the sum that is added to the stream."""
    steps = follow(model.block[layer].mlp, routed.streams[layer][0, token])
    shown = experts_to_show(steps.logits, steps.chosen, worksheet.MOST_EXPERTS)
    show(worksheet.worksheet(steps, shown, worksheet.Token(labels[token], token, layer)))

    """## One token's router

    Every expert gets a score; the best are kept, and a softmax over them shares out the answer."""
    show(charts.router_scores(here.logits[token], here.chosen[token], labels[token], expert))
    show(charts.router_weights(measure.routing_orders(here.logits[token], live.experts_per_token), expert))

    """## SwiGLU

    A neuron's output against its gate, and the real neurons of the token's best expert."""
    curves = measure.activation_curves(measure.LINEAR_HALVES, live.swiglu_limit)
    chosen = measure.activation_curves((linear,), live.swiglu_limit)
    compared = measure.activation_curves((linear,), live.swiglu_limit, variant)
    neurons = measure.neurons(model.block[layer].mlp, routed.streams[layer][0, token], int(here.chosen[token, 0]))
    show(charts.swiglu_curves(curves, chosen, compared, variant, neurons))

    """## What a mixture costs at the real size

    Beside dense MLPs, and how many experts a batch of tokens reads."""
    show(charts.mixture_against_dense(measure.against_dense(config)))
    touched = measure.touched_by_batch(here, config, measure.batches_and(len(ids)))
    show(charts.touched_experts(touched, config.num_experts, batch))
