"""The sinks page's controls, its passes through the live model, and the view of what the sinks do to it."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from gptoss.app import controls, kept, pictures, text
from gptoss.app.computed import computed, traced
from gptoss.app.study import Study
from gptoss.charts import next_token
from gptoss.lessons.sinks import measure
from gptoss.lessons.sinks.claims import check_sinks
from gptoss.lessons.sinks.measure import (
    FIRST_LOGIT,
    FIRST_QUERY,
    NONE,
    OWN,
    REMOVED,
    SCOPE_NAMES,
    SinkChecks,
    SinkOverride,
    SinkPass,
)

LOGITS = (OWN, NONE, *(f"{quarter / 4:g}" for quarter in range(-32, 33)))
MAX_CHECKED = 128  # tokens; the checks keep every weight of every head twice


class Setting(NamedTuple):
    """What the page's own controls say."""

    layer: int
    head: int
    position: int  # of the query
    scope: str  # whose sinks are set: one of `measure.SCOPES`
    logit: float | None  # what they are set to, None for what they are

    @property
    def override(self) -> SinkOverride | None:
        """The sinks as they are set, None where nothing is overridden."""
        return None if self.logit is None else SinkOverride(self.logit, self.scope, self.layer, self.head)

    @property
    def without(self) -> SinkOverride:
        """The same heads without their sinks."""
        return SinkOverride(REMOVED, self.scope, self.layer, self.head)


def setting(study: Study, tokens: int) -> Setting:
    """Layer, head, query token, and the dial that sets the sinks."""
    layer, head = controls.layer(study), controls.head(study, "Query head")
    position = controls.token(tokens, FIRST_QUERY, "Query token")
    scope = kept.segmented_control("Whose sinks are set", SCOPE_NAMES, default="Layer", key="sinks_scope",
                                   width="stretch")
    [logit] = controls.main_sliders(controls.Main(
        "Sink logit", "sinks_logit", LOGITS, FIRST_LOGIT,
        "own: as in the model. none: no sink at all. Otherwise one number for the sinks named above, in place of their own. "
        "Every weight stays."))
    return Setting(layer, head, position, SCOPE_NAMES.get(scope, measure.LAYER), measure.logit_of(logit))


own_pass = traced(measure.sink_pass_of, names=measure.SINK_TENSORS)
set_pass = computed(measure.run_with_sinks)


def sink_pass(study: Study, tokens: tuple[int, ...], layer: int, override: SinkOverride | None) -> SinkPass:
    """The live model's pass over a text, its sinks overridden or as they are."""
    return own_pass(study, tokens, layer) if override is None else set_pass(study, tokens, layer, override)


def checks(study: Study, tokens: tuple[int, ...], layer: int) -> SinkChecks:
    """What is said of sinks, compared with the live model's weights in one layer.

    Over the first `MAX_CHECKED` tokens of the text, or of the first example where there is no text.
    """
    tokens = tokens or text.example_tokens(study).ids
    return check_sinks(study, tokens[:MAX_CHECKED], layer)


def removed(study: Study, setting: Setting, now: SinkPass, without: SinkPass) -> None:
    """The same weights with and without sinks: the head's answer, the layer's, and the next token."""
    effect = measure.removal(now, without, setting.position, setting.head)
    words, chart = st.columns([2, 3], gap="medium")
    with words:
        st.markdown(
            f"Beside the same weights without these sinks:\n"
            f"- **The head's answer** is {effect.head_length:.3f} times as long, cosine {effect.head_cosine:.4f}.\n"
            f"- **What layer {setting.layer} adds** to this token is {effect.layer_length:.3f} times as long, cosine "
            f"{effect.layer_cosine:.4f}: each head closes by its own factor.\n"
            f"- **The next token**: {effect.moved:.1%} of the probability lies elsewhere.")
    with chart:
        pictures.show_chart(next_token(
            text.vocabulary_labels(study.vocabulary), now.probabilities.numpy(), top=5,
            before=without.probabilities.numpy(), without="without the sinks"), key="sinks_next")
