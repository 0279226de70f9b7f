"""The sinks page's controls and its passes through the live model."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import streamlit as st
import torch

from gptoss.app.controls import choose
from gptoss.app.live import Running, is_large, model_of, pass_over, running, turn, weights_in_words
from gptoss.app.study import Study
from gptoss.app.text import live_tokens
from gptoss.cost import count_parameters
from gptoss.lessons.sinks.measure import (
    HEAD,
    LAYER,
    MODEL,
    REMOVED,
    SinkChecks,
    SinkOverride,
    SinkPass,
    check_sinks,
    halving_logit,
    mass_on_keys,
    run_with_sinks,
    sink_pass_of,
)
from gptoss.tokenizer import DEFAULT_SAMPLE

FIRST_QUERY, LAST = 21, "last"  # far enough into a text to have keys to weigh; the end of a text, however long
FIRST_LOGIT = "4"  # a gate half open in many a head, so that there is something to see
OWN, NONE = "own", "none"
LOGITS = (OWN, NONE, *(f"{quarter / 4:g}" for quarter in range(-32, 33)))
SCOPES = {"Head": HEAD, "Layer": LAYER, "All": MODEL}
NOTICEABLE = 1e-3  # a share of attention by which two passes have to differ; rounding in bfloat16 stays below it
MAX_CHECKED = 128  # tokens; the checks keep every weight of every head twice


class Setting(NamedTuple):
    """What the page's own controls say."""

    layer: int
    head: int
    position: int  # of the query
    scope: str  # whose sinks are turned: one of `gptoss.lessons.sinks.measure.SCOPES`
    logit: float | None  # what they are turned to, None for what they are

    @property
    def override(self) -> SinkOverride | None:
        """The sinks as they are set, None where nothing is overridden."""
        return None if self.logit is None else SinkOverride(self.logit, self.scope, self.layer, self.head)

    @property
    def without(self) -> SinkOverride:
        """The same heads without their sinks."""
        return SinkOverride(REMOVED, self.scope, self.layer, self.head)


def controls(study: Study, tokens: int) -> Setting:
    """Layer, head, query token, and the dial that turns the sinks."""
    layer = choose("Layer", range(study.live_config.num_hidden_layers), key="layer")
    head = choose("Query head", range(study.heads), key="head")
    position = _query_slider(tokens)
    scope = st.segmented_control("Whose sinks are set", SCOPES, default="Layer", key="sinks_scope", bind="query-params",
                                 required=True, width="stretch")
    logit = st.select_slider("Sink logit", LOGITS, FIRST_LOGIT, key="sinks_logit", bind="query-params",
                             help="own: as in the model. none: no sink at all. Otherwise one number for the sinks named "
                                  "above, in place of their own. Every weight stays.")
    return Setting(layer, head, position, SCOPES.get(scope, LAYER), _logit(logit))


def picks_head(chart: str) -> Callable[[], None]:
    """A callback for a chart whose marks are heads: a click moves the slider."""
    def pick() -> None:
        picked = st.session_state[chart].selection.get("picked")
        if picked:
            st.session_state["head"] = int(picked[0]["head"])
    return pick


def sink_pass(study: Study, tokens: tuple[int, ...], layer: int, override: SinkOverride | None = None) -> SinkPass:
    """The live model's pass over a text, its sinks overridden or as they are. Shared between sessions, not changed."""
    return _sink_pass(running(study), tokens, layer, override)


@lru_cache(maxsize=16)
def _sink_pass(running: Running, tokens: tuple[int, ...], layer: int, override: SinkOverride | None) -> SinkPass:
    model = model_of(running).model
    if override is None and is_large(running):
        return sink_pass_of(pass_over(running, tokens, [layer]), model, layer)
    with turn(running):
        return run_with_sinks(model, tokens, layer, override)


def checks(study: Study, tokens: tuple[int, ...], layer: int) -> SinkChecks:
    """What is said of sinks against the live model's weights in one layer.

    Over the first `MAX_CHECKED` tokens of the text, or of the first example where there is no text.
    """
    tokens = tokens or live_tokens(DEFAULT_SAMPLE.text, study.live_config.vocab_size, special=False).ids
    return _checks(running(study), tokens[:MAX_CHECKED], layer)


def bias_for_the_first_tokens(study: Study, tokens: tuple[int, ...], layer: int = 0) -> tuple[bool, str]:
    """Claim 5: with and without sinks, position 0 has the same share of what the real keys get."""
    found, logits = checks(study, tokens, layer), count_parameters(study.config).sinks
    return abs(found.first_with - found.first_without) > NOTICEABLE, (
        f"With sinks position 0 has {found.first_with:.3%} of what the real keys get from the last query, without them "
        f"{found.first_without:.3%}; no key's share moves by more than {found.ratios:.2g}. {study.name} has {logits:,} sink "
        f"logits, one for each of {study.heads} heads in {study.layers} layers, and none for a position. OpenAI's are "
        f"learned and come with the checkpoint; these are part of {weights_in_words(study)}.")


@lru_cache(maxsize=8)
def _checks(running: Running, tokens: tuple[int, ...], layer: int) -> SinkChecks:
    model = model_of(running).model
    with turn(running):
        return check_sinks(model, tokens, layer)


def halving_among_equals(keys: int) -> float:
    """The sink logit that takes half of the attention from `keys` keys that all score 0."""
    return halving_logit(torch.zeros(keys, dtype=torch.float64)).item()


def share_among_equals(keys: int) -> float:
    """What a sink of 0 takes beside `keys` keys that all score 0."""
    return 1 - mass_on_keys(torch.zeros(keys, dtype=torch.float64), torch.tensor(0.0)).item()


def _logit(chosen: str) -> float | None:
    return {OWN: None, NONE: REMOVED}[chosen] if chosen in (OWN, NONE) else float(chosen)


def _query_slider(tokens: int) -> int:
    positions = [*range(tokens - 1), LAST]
    if st.session_state.setdefault("sinks_token", FIRST_QUERY) not in positions:
        st.session_state["sinks_token"] = LAST
    chosen = st.select_slider("Query token", positions, key="sinks_token", bind="query-params",
                              disabled=tokens == 1)
    return tokens - 1 if chosen == LAST else chosen
