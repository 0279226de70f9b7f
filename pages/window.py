"""Sliding window: what a query sees, how far stacked windows reach, and what they save."""

import streamlit as st

from gptoss import units
from gptoss.app import pictures, state, text
from gptoss.app.accounts import CONTEXTS
from gptoss.app.header import header
from gptoss.app.lesson import Lesson, Prediction, Try, below
from gptoss.app.retrained import RETRAINED, show_retrained
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.config import ModelConfig
from gptoss.cost import visible_pairs
from gptoss.lessons.window.charts import cache_strip, context_lines, reach_ladder, window_in_text, window_mask
from gptoss.lessons.window.controls import (
    first_tokens,
    how_we_know,
    layer_slider,
    picks_token,
    same_weights_drawer,
    token_slider,
    window_slider,
)
from gptoss.lessons.window.measure import cache_by_kind, costs_by_context, known_by_layer, mask, reach, sliding_reach
from gptoss.model.attention import AttentionBlock, visible
from gptoss.model.kv_cache import LayerCache

MASK, REACH, COST, _ = VIEWS = "Mask", "Reach", "Cost", RETRAINED

MATHS = r"""
In a layer with window $W$ the query at position $i$ may look at the key at position $j$ when

$$ i - W < j \le i, $$

itself included; a full layer has no lower bound. Of the $n(n+1)/2$ pairs of $n \ge W$ tokens there remain

$$ \tfrac{1}{2}\,W(W+1) + (n - W)\,W. $$

What token $i$ knows after $d$ layers is row $i$ of a boolean product of their masks $M$:

$$ R_d = M_{d-1}\,R_{d-1}, \qquad R_0 = I. $$

After $L$ sliding layers it begins $L\,(W-1)$ tokens back. With one full layer on top of any other it is all of the past.

A layer's cache, $G$ key/value heads of $d_h$ numbers of $b$ bytes, keys and values:

$$ \text{full: } 2\,b\,G\,d_h\,n \qquad \text{sliding: } 2\,b\,G\,d_h\,\min(n, W). $$
"""


@st.fragment
def picture(study: Study, tokens: text.Tokens) -> None:
    """One of four views with its controls above it."""
    controls = st.container(horizontal=True, gap="medium", vertical_alignment="bottom")
    with controls:
        view = st.segmented_control("View", VIEWS, default=MASK, key="window_view", bind="query-params", required=True,
                                    label_visibility="collapsed", width="content")
    if view == COST:
        cost(study)
    elif view == RETRAINED:
        show_retrained("window", study)
    elif not len(tokens):
        st.info("Type a text, or choose an example, and the window moves along it.", icon=":material/edit:")
    else:
        with controls:
            window, token = window_slider(study), token_slider(len(tokens))
            layers = layer_slider() if view == REACH else None
        if layers:
            ladders(study, tokens, window, layers, token)
        else:  # also where an address names no view
            masks(study, tokens, window, token)
        if window and len(tokens) <= window:
            text.offer_longer_text(window)


def masks(study: Study, tokens: text.Tokens, window: int, token: int) -> None:
    """The window in the text itself, and the same query as one row of the mask."""
    sliding, full = mask(len(tokens), window).numpy(), mask(len(tokens), 0).numpy()
    words, square = st.columns([3, 2], gap="medium")
    with words:
        st.html(window_in_text(tokens.labels, sliding[token], full[token], token))
        st.caption(f"The window drawn: {window or 'off'}. The model's own: {study.window or 'off'}, in even layers, of a "
                   f"context of {study.config.max_context_length:,} tokens.")
    with square:
        pictures.show_chart(window_mask(sliding, full, tokens.labels, token), key="window_mask",
                            on_select=picks_token("window_mask", "query"))


def ladders(study: Study, tokens: text.Tokens, window: int, layers: int, token: int) -> None:
    """What has reached one token after each layer, when every layer slides and when every other one does."""
    pictures.show_chart(reach_ladder(known_by_layer(layers, window, len(tokens), token), tokens.labels, token),
                        key="window_reach", on_select=picks_token("window_reach", "position"))
    if study.window:
        st.caption(f"At the real size, {study.layers} layers that all slide over {study.window:,} tokens would reach "
                   f"{sliding_reach(study.layers, study.window):,} back, in a context of "
                   f"{study.config.max_context_length:,}.")


def cost(study: Study) -> None:
    """What windows save at the real size, at the sidebar's context."""
    pictures.show_chart(cache_strip(cache_by_kind(study.config, study.context), study.context), key="window_strip")
    frame = costs_by_context(study.config, CONTEXTS)
    for place, column in zip(st.columns(2, gap="medium"), ("bytes", "scores"), strict=True):
        with place:
            pictures.show_chart(context_lines(frame, column, study.context), key=f"window_{column}")


def lesson(study: Study, tokens: text.Tokens) -> Lesson:
    """What stands below the picture."""
    sliding, full = cache_by_kind(ModelConfig.preset("gpt-oss-120b"), 131_072).values()
    return Lesson(
        "window",
        Prediction(
            "Four layers with a window of 16 tokens each, no full layer among them. How many tokens back do they reach?",
            answer=lambda: int(reach((16,) * 4, 100)[-1, -1].sum()) - 1,
            because=lambda back: f"A window of 16 counts its own query, so each layer adds 15, and 4 · 15 = {back}. "
            "In GPT-OSS every other layer is full, and the second one already reaches everything.", unit="tokens"),
        [Try("32 tokens, window 8", f"{visible_pairs(32, 32, 8)} of {visible_pairs(32, 32, 0)} query-key pairs remain. "
             "Double the window, and look how many come back.", text=first_tokens(32),
             controls={"window_view": MASK, "window_w": 8, "window_token": 31}),
         Try("Four layers, window 16", "The prediction's four windows, stacked: a staircase of steps of 15.",
             text=text.DEFAULT_SAMPLE.text,
             controls={"window_view": REACH, "window_w": 16, "window_layers": 4, "window_token": 70}),
         Try("gpt-oss-120b at full context",
             f"{sliding[0]} sliding layers hold {units.size(sliding[1])}, {full[0]} full ones "
             f"{units.size(full[1])}. Then shorten the context, and only the full ones shrink.",
             preset="gpt-oss-120b", dials={"context": 131_072}, controls={"window_view": COST})],
        MATHS, [visible, AttentionBlock, LayerCache, ModelConfig.window_of, reach],
        register.of_page("window"),
        lambda: how_we_know(study, tokens.ids))


header("window")
study = state.study()
above = st.container()
tokens = text.tokens_from_drawer(study.live_config.vocab_size)
with above:
    picture(study, tokens)
same_weights_drawer(study, tokens.ids)
below(lesson(study, tokens))
