"""The attention page's controls: what is asked of the model, the steps that play by themselves, and heads side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss.app import controls, kept, live, pictures, recorded, theme
from gptoss.app.computed import computed
from gptoss.app.glossary import word
from gptoss.app.hall import paper
from gptoss.app.lesson import Seen, Try
from gptoss.app.named_heads import heads_with_names
from gptoss.app.study import RANDOM, TRAINED, Study
from gptoss.app.text import Tokens, live_tokens
from gptoss.app.weights import CHANGED, SERVED, weights_in_words, weights_of
from gptoss.charts import head_map
from gptoss.charts.labels import visible_token
from gptoss.lessons.attention import charts, measure
from gptoss.lessons.attention.charts import STEPS, HeadTile
from gptoss.lessons.attention.claims import layer_heads
from gptoss.lessons.attention.measure import LayerHeads
from gptoss.tokenizer import sample
from gptoss.training.head_names import NEXT, NamedHead, name_of, strongest, telling
from gptoss.training.shipped import CLASSROOM

PACE = 2.0  # s between two steps that play by themselves
KEY, STEP = "attention_key", "attention_step"
DUE = "attention_due"  # when the next step is due, while the steps play
REPETITION = sample("repetition")
LIVE = "Live"  # the view of the reader's own text, where the page has another one
NAMED = "attention_named"  # the names of heads, to go to one of them
# What a pattern on the page is a sign of, by the kind of weights.
LEARNED = {
    RANDOM: " They do so by chance, because these weights learned nothing: a pattern here is no sign of learning.",
    TRAINED: " Random heads prefer some too, by chance: only what the twin does not show was learned.",
    CHANGED: " They were trained with other settings. Random heads prefer some tokens too, by chance: only what the twin "
             "does not show was learned.",
    SERVED: " Whether these heads learned their patterns depends on what this server was given.",
}


class LayerView(NamedTuple):
    """The heads of one layer on one text, how widely each looks (bits, by head), and up to eight of them as small maps."""

    heads: LayerHeads
    entropies: np.ndarray
    tiles: Sequence[HeadTile]


def _view_of(heads: LayerHeads, dark: bool) -> LayerView:
    entropies = measure.layer_entropies(heads)
    tiles = [charts.head_tile(head, float(entropies[head]), *measure.head_weights(heads, head), dark)
             for head in measure.heads_by_entropy(entropies, charts.MOST_HEADS)]
    return LayerView(heads, entropies, tiles)


# Of the heads of a layer.
_computed_view = computed(_view_of)
compare_kernels = computed(measure.compare_kernels)
compare_with_trace = computed(measure.compare_with_trace)


def layer_view(study: Study, tokens: tuple[int, ...], layer: int) -> LayerView:
    """One layer of the live model, taken apart on a text. Shared between sessions that see the same theme."""
    return _computed_view(layer_heads(study, tokens, layer), theme.is_dark())


@lru_cache(maxsize=1)
def look_up_what_came_next() -> Try:
    """The experiment on trained weights: the head that finds what came next, on lines that come back."""
    study = Study.of_preset(CLASSROOM)
    tokens = live_tokens(REPETITION.text, study.vocabulary, special=False)
    best = next(one for one in strongest(heads_with_names(study, tokens)) if one.name == NEXT)
    steps = measure.query_steps(layer_heads(study, tokens.ids, best.layer), best.head, best.token)
    query, key = (visible_token(tokens.labels[place]) for place in (best.token, steps.best_key))
    return Try(
        "A line comes back",
        f"The query “{query}” was there before, and after it came “{key}”. This head of `{CLASSROOM}`, an "
        f"{word('induction head')}, finds that place: {steps.weights[steps.best_key]:.0%} of the weight lies on it, so that "
        f"the model can say “{key}” again.",
        preset=CLASSROOM, text=REPETITION.text,
        controls={"layer": best.layer, "head": best.head, "token": best.token, STEP: 4, KEY: None},
        check=lambda seen: _went_on_where_it_looks(seen, best.token))


def _went_on_where_it_looks(seen: Seen, token: int) -> bool:
    """Whether the query on the screen is that token and looks most at what followed its token an earlier time."""
    weights, ids = weights_on_screen(seen), seen.tokens.ids
    query, best = weights["query"].iloc[0], weights.loc[weights["weight"].idxmax(), "key"]
    return int(query.split()[0]) == token and ids[int(best.split()[0]) - 1] == ids[token]


def weights_on_screen(seen: Seen) -> pd.DataFrame:
    """The query's weight for every key, from the map: columns query and key, which begin with a position, and weight."""
    cells = seen.chart("Attention weights of one head")
    cells = cells[(cells["kind"] == "key of the chosen query") & cells["key"].astype(str).str.match(r"\d")]
    return cells.astype({"query": str, "key": str})


def tries() -> list[Try]:
    """What to try on the page, each with what is then to be seen."""
    return [
        look_up_what_came_next(),
        Try("A window of 8 tokens", "Layer 0 slides, and now each of its queries sees 8 tokens, itself included. What came "
            "before gets −∞ at step 3, and the map is a narrow band.",
            dials={"window": 8}, controls={"layer": 0, STEP: 3},
            check=lambda seen: len(seen.tokens) > 8 and (weights_on_screen(seen)["weight"] > 0).sum() <= 8),
        Try("Switch the sinks off", "At step 4 the sum holds the keys alone, because e to the power of −∞ is 0. So the "
            "head has to look somewhere: the weights of the keys add up to 1.",
            dials={"sinks": "off"}, controls={STEP: 4},
            check=lambda seen: abs(weights_on_screen(seen)["weight"].sum() - 1) < 0.01),
        Try("The same words again", "In layer 0 the three “␣cat” make equal values: their green strips match, because "
            "nothing but the token has gone into them yet. Their q · k differ, because RoPE turns keys by position.",
            text="The cat the cat the cat", controls={"layer": 0, STEP: 5, "token": 5, KEY: 3}, check=_equal_values)]


def _equal_values(seen: Seen) -> bool:
    """Whether the three cats' values are the same in layer 0, and their products with the query are not."""
    cats = [place for place, label in enumerate(seen.tokens.labels) if label == "␣cat"]
    steps = measure.query_steps(layer_heads(seen.study, seen.tokens.ids, 0), seen.controls["head"], cats[-1])
    products = steps.products[cats]
    return len(cats) == 3 and np.ptp(steps.values[cats], axis=0).max() < 1e-4 and np.ptp(products) > 1e-3


def shown_view() -> str:
    """Which of the page's views is shown: it has two where there is a recording, and else no switch."""
    return controls.view(recorded.views([LIVE]), "attention_view") if recorded.recording() else LIVE


def replayed(places: Sequence[DeltaGenerator]) -> None:
    """The map of one head that was kept of a recorded model, its controls at `places`."""
    with places[0]:
        shown = recorded.choose_text()
    with places[1]:
        place = recorded.choose_head(shown)
    with places[2]:
        token = recorded.choose_token(shown)
    head, weights = shown.text.heads[place], shown.text.shares("maps")[place]
    with pictures.main():
        pictures.show_chart(head_map(weights, shown.text.shares("sinks")[head.layer, head.head], shown.labels,
                                     shown.replay.config.window_of(head.layer), (token, int(weights[token].argmax())),
                                     theme.is_dark()), key="attention_recorded")
        recorded.say_so(shown)


class Setting(NamedTuple):
    """What the reader has chosen to look at."""

    layer: int
    head: int
    token: int  # position of the query


def setting(study: Study, tokens: int, named: Sequence[NamedHead], places: Sequence[DeltaGenerator]) -> Setting:
    """Layer, head and query token, each in its place: at first the head that visibly does something, and where it does."""
    first = telling(named)
    at = (first.layer, first.head, first.token) if first else (0, 0, measure.first_query(tokens))
    stay = controls.moved_by_hand(controls.LAYER, controls.HEAD, controls.TOKEN)
    with places[0]:
        layer = controls.layer(study, first=at[0], stay=stay)
    with places[1]:
        head = controls.head(study, first=at[1], stay=stay)
    with places[2]:
        return Setting(layer, head, controls.token(tokens, at[2], "Query token", stay=stay))


def choose_by_name(named: Sequence[NamedHead], here: Setting) -> None:
    """The habits that heads show on the text; a click on one goes to the head that shows it most."""
    best = {one.name: one for one in strongest(named)}
    if not best:
        return
    now = name_of(named, here.layer, here.head)
    st.session_state[NAMED] = now.name if now and best.get(now.name) is now else None
    st.pills("Heads with a name, measured on this text", [*best], key=NAMED, on_change=_go_to_head, args=(best,),
             format_func=lambda name: f"{name} · layer {best[name].layer}, head {best[name].head}")


def _go_to_head(best: Mapping[str, NamedHead]) -> None:
    chosen = best.get(st.session_state[NAMED])
    if chosen:
        controls.LAYER.set(chosen.layer)
        controls.HEAD.set(chosen.head)
        controls.TOKEN.set(chosen.token)


def head_in_words(study: Study, named: Sequence[NamedHead], here: Setting) -> str:
    """What the head that is shown is known to do on the text, in HTML."""
    return charts.head_in_words(here.layer, here.head, name_of(named, here.layer, here.head),
                                weights_of(study).kind == RANDOM)


def key_in_formula(tokens: int, heaviest: int) -> int:
    """The list of the key whose numbers are put into the formula: the one with the largest weight, unless one is chosen."""
    if (st.session_state.get(KEY) or 0) >= tokens:  # the text has become shorter
        st.session_state[KEY] = tokens - 1
    chosen = kept.selectbox("Key in formula", range(tokens), index=None, key=KEY,
                            placeholder="the heaviest")
    return heaviest if chosen is None else chosen


def side_by_side(study: Study, tokens: Tokens, here: Setting, view: LayerView) -> None:
    """Up to eight heads from the most focused to the most spread, and those of the untrained twin beside them."""
    mine, other = st.columns(2, gap="medium")
    with mine:
        st.header("From focused to spread", anchor=False)
        pictures.show_chart(charts.head_gallery(view.tiles, here.head), key="attention_heads",
                             on_select=controls.picks("attention_heads", head="head"))
    with other:
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.header("What chance looks like", anchor=False)
            show = live.has_twin(study) and kept.toggle(
                "Show the untrained twin", key="attention_twin",
                help=f"The same shape, never trained: {weights_in_words(live.twin(study))}.")
        if not live.has_twin(study):
            st.caption(live.NO_TWIN)
        twin = layer_view(live.twin(study), tokens.ids, here.layer) if show else None
        if twin:
            pictures.show_chart(charts.head_gallery(twin.tiles), key="attention_twin_heads")
        even = measure.even_entropy_bits(len(tokens), view.heads.window, sink=study.sinks == "on")
        weights = weights_of(study)
        st.markdown(charts.spread_in_words(view.entropies, even, weights.words, twin and twin.entropies)
                    + LEARNED[weights.kind])


def step_player(bar: DeltaGenerator, sheet: DeltaGenerator, draw: Callable[[int, bool], None]) -> None:
    """Buttons for the steps in `bar`, and in `sheet` what `draw(step, playing)` shows. A step runs this part alone.

    While the steps play, the browser of this session, and of no other, asks for the next one every `PACE` seconds. The
    two ways are fragments of different names, so that the timer ends with the one that has it.
    """
    if STEP not in st.session_state:
        _stop()  # the page was left while its steps played
    playing = DUE in st.session_state
    if playing:
        st.fragment(_play_on, run_every=PACE, key="attention_playing")(draw, bar, sheet)
    else:
        st.fragment(_wait_for_reader, key="attention_still")(draw, bar, sheet)
    if playing:  # outside of the fragments, since it is what changes one for the other
        bar.button("Stop", icon=":material/stop:", on_click=_stop, key="attention_stop")
    else:
        bar.button("Play", icon=":material/play_arrow:", on_click=_play, key="attention_play", type="primary")


def _wait_for_reader(draw: Callable[[int, bool], None], bar: DeltaGenerator, sheet: DeltaGenerator) -> None:
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
        _set_timer()
    step = _choose_step(bar)
    with sheet:
        draw(step, True)


def _choose_step(bar: DeltaGenerator) -> int:
    with bar:
        kept.moves_by_itself(STEP)
        step = kept.segmented_control("Step", STEPS, default=paper.or_last(STEPS), key=STEP,
                                      label_visibility="collapsed", on_change=_stop)
        controls.steps(STEP, STEPS, then=_stop)
    return step


def _play() -> None:
    st.session_state[STEP] = STEPS[0]
    _set_timer()


def _set_timer() -> None:
    st.session_state[DUE] = time.monotonic() + 0.9 * PACE  # a timer may tick a little early


def _stop() -> None:
    st.session_state.pop(DUE, None)
