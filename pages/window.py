"""Sliding window: what a query sees, how far stacked windows reach, and what they save."""

from dataclasses import replace

import streamlit as st

from gptoss import units
from gptoss.app import pictures, state, text
from gptoss.app.controls import LAST, has_text, view
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.lesson import Lesson, Prediction, Seen, Try, below, beside
from gptoss.app.retrained import RETRAINED, show_retrained
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import kv_cache_bytes, visible_pairs
from gptoss.lessons.window import controls, measure
from gptoss.model.attention import AttentionBlock
from gptoss.model.kv_cache import LayerCache
from gptoss.model.mask import visible
from gptoss.notation import with_numbers

MASK, REACH, COST, OFF_BY_ONE, _ = VIEWS = "Mask", "Reach", "Cost", "Off by one", RETRAINED
WRITTEN = 200  # tokens of a question: hardly more than a window
NOTHING = "nothing"
_REAL = PRESETS["gpt-oss-20b"]
OPENING = Opening(
    problem=f"When every token looks at all tokens before it, work and {word('KV cache', 'memory')} grow with the text, in "
            f"every {word('layer')}.",
    idea=f"Most of what a token needs stands nearby. So let some layers look through a short {word('window')} that moves "
         "along with the token.",
    chosen=f"Every other layer sees {_REAL.sliding_window} tokens, the token itself included. The layers between see the "
           f"whole text, up to {_REAL.max_context_length:,} tokens.")


def maths(study: Study) -> str:
    """The formulas, each with the numbers of the model under study."""
    config, tokens = study.config, study.context
    window = config.sliding_window or tokens
    sliding = sum(config.window_of(layer) > 0 for layer in range(config.num_hidden_layers))
    full, slid = (kv_cache_bytes(config.replace(num_hidden_layers=1, sliding_window=size), tokens) for size in (0, window))
    return with_numbers((r"""
In a layer with window $W$ the query at position $i$ may look at the key at position $j$ when

$$ i - W < j \le i, $$

itself included; a full layer has no lower bound. Of the $n(n+1)/2$ pairs of $n \ge W$ tokens there remain

$$ \tfrac{1}{2}\,W(W+1) + (n - W)\,W. $$
""", f"of $n$ = {tokens:,} tokens and $W$ = {window:,} there remain {visible_pairs(tokens, tokens, window):,} of "
     f"{visible_pairs(tokens, tokens, 0):,} pairs."), (r"""
What token $i$ knows after the first layers is row $i$ of a boolean product of their masks: $R_{ij}$ says whether token $j$
has reached it, $M_{ij}$ whether the layer lets it look there.

$$ R \leftarrow M\,R, \qquad \text{at first } R_{ij} = 1 \text{ where } i = j \text{ alone.} $$

After $L$ sliding layers it begins $L\,(W-1)$ tokens back. With one full layer on top of any other it is all of the past.
""", f"{sliding} sliding layers alone would reach {measure.sliding_reach(sliding, window):,} tokens back."), (r"""
A layer's cache, $G$ KV groups of $d$ numbers of two bytes, keys and values:

$$ \text{full: } 4\,G\,d\,n \qquad \text{sliding: } 4\,G\,d\,\min(n, W). $$
""", f"a full layer keeps {units.size(full)} of {tokens:,} tokens, a sliding one {units.size(slid)}."))


@st.fragment
def picture(study: Study, tokens: text.Tokens) -> None:
    """One of five views with its controls beside it."""
    shown = view(VIEWS, "window_view", width="content")
    asked = lesson(study, tokens, shown)
    if shown in (COST, RETRAINED):
        with pictures.main():
            if shown == COST:
                controls.cost(study)
            else:
                show_retrained("window", study)
        beside(asked)
    elif has_text(tokens, "the window moves along it"):
        dials, large = st.columns([5, 16], gap="medium")
        with dials:
            window = controls.window_drawn(study)
            token = controls.query(len(tokens)) if shown != OFF_BY_ONE else 0
            layers = controls.layers_drawn() if shown == REACH else 0
        with large:
            if shown == OFF_BY_ONE:
                controls.off_by_one(study, tokens, window)
            elif shown == REACH:
                controls.ladders(study, tokens, controls.Setting(window, token), layers)
            else:
                controls.masks(study, tokens, controls.Setting(window, token))
            beside(asked)
        if window and len(tokens) <= window:
            text.offer_longer_text(window)


def about_stacks() -> dict[str, Prediction]:
    """The questions about windows on top of each other."""
    yes, no = "yes, through the layers between", "no, its windows are too short"
    return {REACH: Prediction(
        "Four layers with a window of 16 tokens each, no full layer among them. How many tokens back do they reach?",
        answer=lambda: int(measure.reach((16,) * 4, 100)[-1, -1].sum()) - 1, because=because, unit="tokens", view="reach",
        mistakes=[
            (64, "A window of 16 counts its own query, so a layer goes 15 back, not 16."),
            (16, "Windows add up: what a token sees has looked back itself, one layer below."),
            (15, "That is what one layer adds."),
            (63, "Each of the four layers counts its own query, not the last one alone.")]),
        RETRAINED: Prediction(
        "A model of four layers slides over 16 tokens in every one of them. Can it recall a word from 40 tokens back?",
        answer=lambda: yes if measure.sliding_reach(4, 16) >= 40 else no, choices=(yes, no), view="retrained",
        because=lambda _: (f"Four windows reach {measure.sliding_reach(4, 16)} tokens back. But each layer has to hand on "
                           "what nobody has asked for yet, and that is hard to learn."),
        mistakes={no: "A token that stands in the window has looked back itself, one layer below."})}


def question(shown: str) -> Prediction:
    """What is asked beside a view."""
    window, saved = _REAL.sliding_window, 100 * measure.cache_saved(_REAL, WRITTEN)
    asked = {COST: Prediction(
        f"gpt-oss-20b has read {WRITTEN} tokens. How much of its KV cache do windows of {window} tokens save?",
        answer=lambda: saved, unit="%", view="cost", show="{:.0f}".format, tolerance=0.03,
        because=lambda _: f"A sliding layer keeps {window} of {WRITTEN} tokens, and only every other layer slides. Windows "
                          "pay in long texts.",
        mistakes=[(50, "Half of the layers slide, but each of them still keeps its window."),
                  (2 * saved, "That is what one sliding layer saves; half of the layers are full.")]),
        OFF_BY_ONE: Prediction(
        f"A library lets a model that was trained with a window of {window} see one key more. What will tell its user?",
        answer=lambda: NOTHING, choices=("an error", "garbled text", NOTHING), view="one-more",
        because=lambda _: f"One key of {window + 1} moves the logits a little. Only a comparison shows it.",
        mistakes={"an error": "Every shape fits: the mask is as large as before, with a few more places open.",
                  "garbled text": "The key that comes in is one of many, and its weight is small."})} | about_stacks()
    return asked.get(shown) or Prediction(
        "A sliding layer has a window of 32. Which is the first position that the token at position 99 sees there?",
        answer=lambda: measure.first_seen(100, 32), tolerance=0,
        because=lambda first: f"It sees {first} to 99: 32 tokens, itself among them.",
        mistakes=[(67, "From 67 to 99 there are 33 tokens: the window counts the token itself."),
                  (69, "From 69 to 99 there are only 31 tokens."), (0, "That is what a full layer sees.")])


def because(back: int) -> str:
    """What the answer to the prediction means."""
    return (f"A window of 16 counts its own query, so each layer adds 15, and 4 · 15 = {back}. In GPT-OSS every other layer "
            "is full, and the second one already reaches everything.")


def how_we_know(study: Study, tokens: text.Tokens) -> None:
    """The masks, the two attention paths, the reach and the cache, each against an independent witness."""
    if not len(tokens):
        st.info("There is no text to check on.", icon=":material/edit:")
        return
    window, token = controls.setting_shown(study, len(tokens))
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


def in_steps_of_fifteen(seen: Seen) -> bool:
    """Whether each of four sliding layers adds 15 tokens to what the token knows."""
    cells = seen.chart("Tokens that have reached")
    counts = cells.loc[cells["count"] != "", "count"].astype(str).head(5).tolist()  # of the first ladder, from the top
    return counts == ["61 tokens", "46 tokens", "31 tokens", "16 tokens", "1 token"]


def only_later_queries_move(seen: Seen) -> bool:
    """Whether no logit moves before the position that is the window, and most of those after it do."""
    bars = seen.chart("How far the logits move")
    early = bars["position"] < bars["window"]
    largest = bars["moved"].max()
    return bool(bars[early]["moved"].max() < 1e-4 * largest and (bars[~early]["moved"] > 1e-3 * largest).mean() > 0.9)


def lesson(study: Study, tokens: text.Tokens, shown: str = MASK) -> Lesson:
    """All that a view of the page asks, suggests and explains."""
    sliding, full = measure.cache_by_kind(PRESETS["gpt-oss-120b"], 131_072).values()
    left, pairs = (visible_pairs(32, 32, window) for window in (8, 0))
    return Lesson(
        "window", question(shown),
        [Try("32 tokens, window 8",
             f"{left} of {pairs} query-key pairs remain. Double the window, and look how many come back.",
             text=controls.first_tokens(study, 32), controls={"window_view": MASK, "window_w": 8, "token": LAST},
             check=lambda seen: f"Of {pairs} query-key pairs a sliding layer keeps {left} " in seen.words),
         Try("Four layers, window 16", "The upper ladder is a staircase: each sliding layer brings 15 more tokens. In the "
             "lower one the second layer is full, and it brings all the rest at once.",
             text=text.DEFAULT_SAMPLE.text,
             controls={"window_view": REACH, "window_w": 16, "window_layers": 4, "token": 64}, check=in_steps_of_fifteen),
         Try("gpt-oss-120b at full context",
             f"{sliding[0]} sliding layers hold {units.size(sliding[1])}, {full[0]} full ones {units.size(full[1])}. "
             "Shorten the context in the sidebar, and only the full ones shrink.",
             preset="gpt-oss-120b", dials={"context": 131_072}, controls={"window_view": COST},
             check=lambda seen: f"sliding layers hold {units.size(sliding[1])}" in seen.words),
         Try("One key too many", "Before the dashed line the logits stay as they are, because no query sees more than it "
             "should. From there on nearly every one moves.", text=text.DEFAULT_SAMPLE.text,
             controls={"window_view": OFF_BY_ONE, "window_w": 16}, check=only_later_queries_move)],
        maths(study), [visible, AttentionBlock, LayerCache, ModelConfig.window_of, measure.reach, measure.off_by_one],
        register.of_page("window"),
        lambda: how_we_know(study, tokens))


header("window", OPENING)
study = state.study()
above = st.container()
tokens = text.tokens_from_drawer(study.vocabulary)
with above:
    picture(study, tokens)
controls.same_weights_drawer(study, tokens.ids)
below(lesson(study, tokens))
