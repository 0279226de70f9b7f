"""Glue of the attention page: the heads of one layer of the live model, and the steps that play by themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from gptoss.app.controls import layer_shown
from gptoss.app.lesson import Prediction, Try
from gptoss.app.live import HEAVY, Running, cached, live_run, make_ready, model_of, pass_over, running
from gptoss.app.study import RANDOM, TRAINED, Study
from gptoss.app.text import Tokens, live_tokens
from gptoss.app.weights import CHANGED, SERVED
from gptoss.lessons.attention.charts import MOST_HEADS, STEPS, HeadTile, head_tile
from gptoss.lessons.attention.measure import (
    LayerHeads,
    compare_kernels,
    compare_with_trace,
    head_weights,
    heads_by_entropy,
    layer_entropies,
    visible_keys,
    weight_when_scores_are_equal,
)
from gptoss.tokenizer import sample
from gptoss.training.induction import induction_scores
from gptoss.training.shipped import CLASSROOM

PACE = 2.0  # s between two steps that play by themselves
EXPLORER = "attention_explorer"  # the part of the page that its own controls run
TOKEN, KEY, STEP = "attention_token", "attention_key", "attention_step"
DUE = "attention_due"  # when the next step is due, while the steps play
REPETITION = sample("repetition")
TOKENS_ASKED = 12  # of the question
# What a pattern on the page is a sign of, by the kind of weights.
LEARNT = {
    RANDOM: " Random heads pick their tokens too, by chance: a pattern here is no sign of learning.",
    TRAINED: " Random heads pick their tokens too, by chance: learning is what the twin does not show.",
    CHANGED: " They were trained with other settings. Random heads pick their tokens too, by chance: learning is what the "
             "twin does not show.",
    SERVED: " Whether these heads learnt their patterns depends on what this server was given.",
}
_TRACED = ("attn.q_rope", "attn.k_rope", "attn.v")


class LayerView(NamedTuple):
    """The heads of one layer on one text, how widely each looks (bits, by head), and up to eight of them as small maps."""

    heads: LayerHeads
    entropies: np.ndarray
    tiles: Sequence[HeadTile]


def layer_view(study: Study, tokens: tuple[int, ...], layer: int) -> LayerView:
    """Run the live model of `study` on `tokens` and take one layer's heads apart. Shared between sessions."""
    make_ready(running(study), tokens)
    return _layer_view(running(study), tokens, layer)


@cached(max_entries=16)
def _layer_view(running: Running, tokens: tuple[int, ...], layer: int) -> LayerView:
    result = pass_over(running, tokens, [layer], lambda name: name.endswith(_TRACED))
    model = model_of(running).model
    with HEAVY:
        heads = LayerHeads.from_trace(result, layer, model.block[layer].attn)
        entropies = layer_entropies(heads)
        tiles = [head_tile(head, float(entropies[head]), *head_weights(heads, head))
                 for head in heads_by_entropy(entropies, MOST_HEADS)]
    return LayerView(heads, entropies, tiles)


class Induction(NamedTuple):
    """The head of `classroom` that most looks up what came next the last time."""

    layer: int
    head: int
    score: float  # the weight that it gives to that, a mean over all words that come back
    token: int  # the last of those words


@lru_cache(maxsize=1)
def induction_head() -> Induction:
    """Found on the sample in which lines of words come back, over all words that do."""
    study = Study.of_preset(CLASSROOM)
    tokens = live_tokens(REPETITION.text, study.live_config.vocab_size, special=False)
    distance, last = np.zeros(len(tokens), dtype=int), {}
    for position, (token, label) in enumerate(zip(tokens.ids, tokens.labels, strict=True)):
        distance[position] = position - last.get(token, position) if label.startswith("␣") else 0
        last[token] = position
    layers = range(study.live_config.num_hidden_layers)
    weights = [live_run(study, tokens.ids, n).trace[f"block.{n}.attn.weights"][0].float().numpy() for n in layers]
    scores = induction_scores(np.stack(weights), distance)
    layer, head = np.unravel_index(scores.argmax(), scores.shape)
    return Induction(int(layer), int(head), float(scores.max()), int(distance.nonzero()[0][-1]))


def look_up_what_came_next() -> Try:
    """The experiment on trained weights: the induction head on lines that come back."""
    found = induction_head()
    return Try(
        "A line comes back", f"Layer {found.layer}, head {found.head} of the trained model is an induction head: at a word "
        f"that was there before, {found.score:.0%} of its weight lies on the word that came next. Compare with the twin.",
        preset=CLASSROOM, text=REPETITION.text,
        controls={"layer": found.layer, "head": found.head, TOKEN: found.token, STEP: 4})


def choose_token(tokens: int) -> int:
    """The slider of the query token. It starts late in the text, with much to look back at and something still to come."""
    _stay_within(TOKEN, tokens)
    return st.select_slider("Query token", range(tokens), value=tokens * 5 // 6, key=TOKEN, bind="query-params",
                            disabled=tokens == 1)


def choose_key(tokens: int, heaviest: int) -> int:
    """The list of the key whose numbers are put into the formula: the one with the largest weight, unless one is chosen."""
    _stay_within(KEY, tokens)
    chosen = st.selectbox("Key in formula", range(tokens), index=None, key=KEY, bind="query-params",
                          placeholder="the heaviest")
    return heaviest if chosen is None else chosen


def _stay_within(key: str, count: int) -> None:
    """Bring a control's position back to where there is one, after the text has become shorter."""
    if (st.session_state.get(key) or 0) >= count:
        st.session_state[key] = count - 1


def pick_cell() -> None:
    """A click on the map: its row becomes the query token, its column the key. A click on the sink chooses the row alone."""
    for cell in st.session_state["attention_map"].selection.get("picked", []):
        st.session_state[TOKEN] = _position(cell["query"])
        if cell["key"][:1].isdigit():
            st.session_state[KEY] = _position(cell["key"])


def _position(axis_key: str) -> int:
    return int(axis_key.split(" ", 1)[0])


def pick_head() -> None:
    """A click on a small map."""
    for tile in st.session_state["attention_heads"].selection.get("picked", []):
        st.session_state["head"] = tile["head"]


def step_player(draw: Callable[[int, bool], None]) -> None:
    """Buttons for the steps, and below them what `draw(step, playing)` shows. A step runs this part of the page alone.

    While the steps play, the browser of this session, and of no other, asks for the next one every `PACE` seconds. The
    two ways are fragments of different names, so that the timer ends with the one that has it.
    """
    if STEP not in st.session_state:
        _stop()  # the page was left while its steps played
    bar = st.container(horizontal=True, vertical_alignment="center", gap="small")
    sheet = st.container()
    playing = DUE in st.session_state
    if playing:
        st.fragment(_play_on, run_every=PACE, key="attention_playing")(draw, bar, sheet)
    else:
        st.fragment(_stand_still, key="attention_still")(draw, bar, sheet)
    if playing:  # outside of the fragments, since it is what changes one for the other
        bar.button("Stop", icon=":material/stop:", on_click=_stop, key="attention_stop")
    else:
        bar.button("Play", icon=":material/play_arrow:", on_click=_play, key="attention_play", type="primary")


def _stand_still(draw: Callable[[int, bool], None], bar: DeltaGenerator, sheet: DeltaGenerator) -> None:
    step = _choose_step(bar)
    with sheet:
        draw(step, False)


def _play_on(draw: Callable[[int, bool], None], bar: DeltaGenerator, sheet: DeltaGenerator) -> None:
    """One tick: the next step. After the last one, or a press of the reader's, the page runs once without a timer."""
    if DUE not in st.session_state:
        st.rerun()
    if time.monotonic() >= st.session_state[DUE]:
        if st.session_state[STEP] == STEPS[-1]:
            _stop()
            st.rerun()
        st.session_state[STEP] += 1
        _wait()
    step = _choose_step(bar)
    with sheet:
        draw(step, True)


def _choose_step(bar: DeltaGenerator) -> int:
    with bar:
        step = st.segmented_control("Step", STEPS, default=STEPS[-1], key=STEP, bind="query-params", required=True,
                                    label_visibility="collapsed", on_change=_stop)
        st.button("Back", on_click=_go, args=(step - 1,), disabled=step == STEPS[0], key="attention_back")
        st.button("Next", on_click=_go, args=(step + 1,), disabled=step == STEPS[-1], key="attention_next")
    return step


def _go(step: int) -> None:
    st.session_state[STEP] = step
    _stop()


def _play() -> None:
    st.session_state[STEP] = STEPS[0]
    _wait()


def _wait() -> None:
    st.session_state[DUE] = time.monotonic() + 0.9 * PACE  # a timer may tick a little early


def _stop() -> None:
    st.session_state.pop(DUE, None)


def equal_scores(study: Study) -> Prediction:
    """The question of the page, asked of the window and the sinks as they stand, and answered by the model's attention."""
    sink = "The sinks are off." if study.sinks == "off" else "The sink's logit is 0 as well."
    window = f"with a window of {study.window}" if study.window else "without a window"
    seen = visible_keys(TOKENS_ASKED - 1, study.window)

    def because(_: float) -> str:
        places = f"{seen} keys" if study.sinks == "off" else f"{seen} keys and the sink"
        return f"Equal scores make equal shares, and {places} share: 1 / {seen + (study.sinks != 'off')}."

    return Prediction(
        f"The query is token number {TOKENS_ASKED} of a text, in a layer {window}. All its scores are 0. {sink} "
        "What weight does each key that it sees get?",
        lambda: 100 * weight_when_scores_are_equal(TOKENS_ASKED, study.window, study.sink_override or 0.0),
        because, unit="%", show="{:.3g}".format)


def how_we_know(study: Study, tokens: Tokens) -> None:
    """The differences behind the page's numbers, measured now."""
    if not len(tokens):
        st.info("Type a text, and its heads are checked.")
        return
    layer = layer_shown(study)
    heads = layer_view(study, tokens.ids, layer).heads
    run = live_run(study, tokens.ids, layer)
    with HEAVY:
        kernel, recorded = compare_kernels(heads), compare_with_trace(heads, run.trace, layer)
    st.markdown(
        f"Measured now, in layer {layer}, on all {heads.count} heads and {heads.tokens} tokens, in {study.precision}:\n"
        f"- The formula, step by step, against torch's fused kernel, which never stores a weight: outputs at most "
        f"**{kernel.difference:.2g}** apart, over {kernel.values:,} numbers of up to {kernel.largest:.2f}.\n"
        f"- The weights on this page, one head at a time, against those that the whole pass recorded: at most "
        f"**{recorded:.2g}** apart.\n\n"
        f"One rounding of a number near 1 in {study.precision} is {torch.finfo(heads.q.dtype).eps:.2g}.")
