"""A learned logit takes a share of each softmax. Here the sinks are set to another number, and the weights stay."""

from __future__ import annotations

from collections.abc import Sequence

from gptoss.charts import next_token
from gptoss.lessons.sinks import charts, measure
from gptoss.model import Transformer
from gptoss.take_home import show
from gptoss.take_home.here import Here


def values(here: Here) -> dict[str, object]:
    """Whose sinks are set to what, and the query in question."""
    logit = here.control("logit", measure.FIRST_LOGIT)
    return {"layer": here.layer, "head": here.head, "position": here.token(measure.FIRST_QUERY),
            "scope": measure.SCOPE_NAMES[here.control("scope", "Layer", tuple(measure.SCOPE_NAMES))],
            "logit": measure.logit_of(logit)}


def story(model: Transformer, ids: Sequence[int], labels: Sequence[str], names: Sequence[str], layer: int, head: int,
          position: int, scope: str, logit: float | None) -> None:
    """## Three passes over the same weights

    One with the sinks as they were learned, one with the number that is set (`None` leaves them), one without any."""
    learned = measure.run_with_sinks(model, ids, layer)
    override = None if logit is None else measure.SinkOverride(logit, scope, layer, head)
    now = measure.run_with_sinks(model, ids, layer, override)
    without = measure.run_with_sinks(model, ids, layer, measure.SinkOverride(measure.REMOVED, scope, layer, head))

    """## The gate

    What a query's real keys get, against the sink's logit: σ(logsumexp(scores) − sink), one curve a head."""
    query = now.query(position)
    show(charts.sink_gate(measure.gate_curves(query, head), query.sinks.numpy(), query.mass.numpy(),
                          query.halving[head].item(), head, learned.sinks[head].item() if override else None))

    """The weights behind it: all keys lose the same factor."""
    show(charts.gated_weights(query.weights(head).numpy(), query.weights_without(head).numpy(),
                              labels[query.first_key:position + 1], query.first_key))

    """## What it does to the model"""
    effect = measure.removal(now, without, position, head)
    print(f"The head's answer is {effect.head_length:.3f} times as long, cosine {effect.head_cosine:.4f}.")
    print(f"What layer {layer} adds is {effect.layer_length:.3f} times as long, cosine {effect.layer_cosine:.4f}.")
    print(f"{effect.moved:.1%} of the next token's probability lies elsewhere.")
    show(next_token(names, now.probabilities.numpy(), top=5, before=without.probabilities.numpy(),
                    without="without the sinks"))

    """What all sinks of the layer take, by the query's position. Dashed is 1 / (n + 1): chance among equal scores."""
    show(charts.sink_share(measure.sink_share_by_position(now.sink_mass, now.window)))
