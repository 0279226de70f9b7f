"""Sliding window: what a query sees, how far stacked windows reach, and what they save."""

from dataclasses import replace

import streamlit as st

from gptoss import units
from gptoss.app import pictures, state, text
from gptoss.app.controls import has_text, view
from gptoss.app.header import header
from gptoss.app.lesson import Lesson, Prediction, Try, below, beside
from gptoss.app.retrained import RETRAINED, show_retrained
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.config import ModelConfig
from gptoss.cost import kv_cache_bytes, visible_pairs
from gptoss.lessons.window import controls, measure
from gptoss.model.attention import AttentionBlock
from gptoss.model.kv_cache import LayerCache
from gptoss.model.mask import visible

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
    """One of four views with its controls beside it."""
    shown = view(VIEWS, "window_view", width="content")
    if shown == COST:
        with pictures.main():
            controls.cost(study)
        beside(lesson(study, tokens))
    elif shown == RETRAINED:
        with pictures.main():
            show_retrained("window", study)
        beside(lesson(study, tokens))
    elif has_text(tokens, "the window moves along it"):
        dials, large = st.columns([2, 8], gap="medium")
        with dials:
            setting = controls.setting(study, len(tokens))
            layers = controls.layers_drawn() if shown == REACH else None
        with large:
            if layers:
                controls.ladders(study, tokens, setting, layers)
            else:
                controls.masks(study, tokens, setting)
            beside(lesson(study, tokens))
        if setting.window and len(tokens) <= setting.window:
            text.offer_longer_text(setting.window)


def because(back: int) -> str:
    """What the answer to the prediction means."""
    return (f"A window of 16 counts its own query, so each layer adds 15, and 4 · 15 = {back}. In GPT-OSS every other layer "
            "is full, and the second one already reaches everything.")


def how_we_know(study: Study, tokens: text.Tokens) -> None:
    """The masks, the two attention paths, the reach and the cache, each against an independent witness."""
    if not len(tokens):
        st.info("There is no text to check on.", icon=":material/edit:")
        return
    window, token = controls.setting_shown(len(tokens))
    study, ids = replace(study, window=window), tokens.ids[max(0, token + 1 - controls.CHECKED_TOKENS):token + 1]
    checks = controls.check_windows(study, ids)
    counted = kv_cache_bytes(study.live_config, len(ids), bytes_per_value=checks.value_bytes)
    st.markdown(
        f"On the {len(ids)} tokens up to the query, in the live model with the window drawn, "
        f"{controls.DIAL.show(window)}:\n\n"
        f"- **The mask** against the rule, spelt out pair by pair: {measure.mask_disagreements(len(ids), window):,} of "
        f"{len(ids) ** 2:,} pairs differ.\n"
        f"- **Reach**, from products of masks, against the gradient of the query's stream with respect to every embedding, "
        f"after every layer: zero or not agrees in {checks.reached} of {checks.cases} cases.\n"
        f"- **Fused against explicit attention** in layer 0: they differ by {units.number(checks.fused, 2)} of the largest "
        f"value at most.\n"
        f"- **The cache** that this text filled has {', '.join(map(str, checks.slots))} slots in its layers and takes "
        f"{units.size(checks.cache_bytes)}; the closed form says {units.size(counted)}. Its logits and those without a "
        f"cache differ by {units.number(checks.cached, 2)} of the largest.")
    st.caption("The project's tests do the same for many windows, layers and every token, with 64-bit numbers.")


def lesson(study: Study, tokens: text.Tokens) -> Lesson:
    """Everything below the picture."""
    sliding, full = measure.cache_by_kind(ModelConfig.preset("gpt-oss-120b"), 131_072).values()
    return Lesson(
        "window",
        Prediction(
            "Four layers with a window of 16 tokens each, no full layer among them. How many tokens back do they reach?",
            answer=lambda: int(measure.reach((16,) * 4, 100)[-1, -1].sum()) - 1,
            because=because, unit="tokens"),
        [Try("32 tokens, window 8", f"{visible_pairs(32, 32, 8)} of {visible_pairs(32, 32, 0)} query-key pairs remain. "
             "Double the window, and look how many come back.", text=controls.first_tokens(32),
             controls={"window_view": MASK, "window_w": 8, "token": 31}),
         Try("Four layers, window 16", "The prediction's four windows, stacked: a staircase of steps of 15.",
             text=text.DEFAULT_SAMPLE.text,
             controls={"window_view": REACH, "window_w": 16, "window_layers": 4, "token": 70}),
         Try("gpt-oss-120b at full context",
             f"{sliding[0]} sliding layers hold {units.size(sliding[1])}, {full[0]} full ones "
             f"{units.size(full[1])}. Then shorten the context, and only the full ones shrink.",
             preset="gpt-oss-120b", dials={"context": 131_072}, controls={"window_view": COST})],
        MATHS, [visible, AttentionBlock, LayerCache, ModelConfig.window_of, measure.reach],
        register.of_page("window"),
        lambda: how_we_know(study, tokens))


header("window")
study = state.study()
above = st.container()
tokens = text.tokens_from_drawer(study.vocabulary)
with above:
    picture(study, tokens)
controls.same_weights_drawer(study, tokens.ids)
below(lesson(study, tokens))
