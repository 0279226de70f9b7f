"""The views of the build page: attention, experts, tensors, and the next token with text streamed from it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss import units
from gptoss.app import controls, kept, pictures, text, theme
from gptoss.app.browser_side import text_of
from gptoss.app.live import LiveRun, Running, live_model, running, turn
from gptoss.app.named_heads import heads_with_names
from gptoss.app.study import RANDOM, TRAINED, Study
from gptoss.app.weights import weights_in_words, weights_of
from gptoss.charts import expert_load, head_grid, head_map, next_token, routing_map, token_chips
from gptoss.model import next_token_probabilities
from gptoss.trace import meaning, summary
from gptoss.training.head_names import NamedHead, name_of, telling

MOST_CHIPS = 160  # tokens of the text that are shown with their ids
TILES, MOST_HEADS = "build_heads", 128
MANY_HEADS = 16  # above, a number on each would hide its map
REPAINT = 0.05  # s between two updates of the streamed text
Generator = Callable[[], None]
_tiles = st.components.v2.component(
    "build_heads", html='<div class="head-tiles"></div>', isolate_styles=False, js=text_of("heads.js", __file__),
    css=text_of("heads.css", __file__))


def chips(tokens: text.Tokens) -> None:
    """The tokens of the text with their ids, and what was cut."""
    text.say_what_was_cut(tokens)
    st.html(token_chips(tokens.labels, tokens.o200k, MOST_CHIPS))


def named_heads(study: Study, tokens: text.Tokens) -> tuple[NamedHead, ...]:
    """The heads that do something on the text, by name, under the settings that the model was trained with.

    So they are measured once a text, and not anew while a dial is dragged; where a dial gives another shape there are none.
    """
    own = study.as_trained
    return heads_with_names(own, tokens) if own else ()


def layer(study: Study, named: Sequence[NamedHead]) -> int:
    """The layer shown: at first that of the head which visibly does something."""
    first = telling(named)
    return controls.layer(study, "Layer shown", first.layer if first else 0, stay=_moved_by_hand())


def _moved_by_hand() -> bool:
    return controls.moved_by_hand(controls.LAYER, controls.HEAD)


def attention(study: Study, tokens: text.Tokens, run: LiveRun, layer: int, named: Sequence[NamedHead],
              beside: DeltaGenerator) -> None:
    """One head large, with what one token looks at framed, and all heads small beside it, each to choose."""
    first = telling(named)
    with beside:
        head = controls.head(study, "Head shown", first.head if first else 0, stay=_moved_by_hand())
    weights = run.trace[f"block.{layer}.attn.weights"][0].float().numpy()
    sink = run.trace[f"block.{layer}.attn.sink_mass"][0].float().numpy()
    window, known = study.config.window_of(layer), name_of(named, layer, head)
    token = known.token if known else len(tokens) - 1
    framed = token, int(weights[head, token].argmax())
    with pictures.main():
        large, small = st.columns([2, 1], gap="small")
        with large:
            pictures.show_chart(head_map(weights[head], sink[head], tokens.labels, window, framed, theme.is_dark()),
                                key="attention_map", height=480, words=_in_words(study, head, known))
        with small:
            columns = 8 if study.heads > 8 else 4
            picture = head_grid(np.concatenate([sink[..., None], weights], axis=-1), columns, head, 640, enlarge=False)
            _tiles(key=TILES, on_head_change=_choose_head, data={"html": head_tiles(
                picture.address(theme.is_dark()), picture.alt, study.heads, columns, head,
                {one.head: one.name for one in named if one.layer == layer})})
            st.caption(f"Layer {layer}: {units.plural(study.heads, 'query head')} in {units.plural(study.kv, 'KV group')}. "
                       "Press one to see it large. Pink is what its sink takes.")
    if study.window and window and len(tokens) <= study.window:
        text.offer_longer_text(study.window)


def _in_words(study: Study, head: int, known: NamedHead | None) -> str:
    """What the head shown is known for."""
    if not known:
        return ""
    moved = "" if weights_of(study).kind == TRAINED else " with the settings that it was trained with"
    even = units.percent(known.chance, 0)
    return f"**Head {head}, “{known.name}”,** {known.words}{moved}; an even look would give {even}."


def head_tiles(address: str, alt: str, heads: int, columns: int, selected: int, names: Mapping[int, str]) -> str:
    """One picture of all heads of a layer in HTML, with a button over each. `names` are of those that have one."""
    columns = min(columns, heads)
    buttons = "".join(
        f'<button type="button" data-head="{head}" aria-pressed="{"true" if head == selected else "false"}" '
        f'title="Head {head}{f": {names[head]}" if head in names else ""}" aria-label="Head {head}">'
        f"<span>{head}</span></button>" for head in range(heads))
    kind = "many" if heads > MANY_HEADS else "few"
    return (f'<figure class="{kind}" style="--columns: {columns}"><img src="{address}" alt="{escape(alt)}">'
            f'<div role="group" aria-label="Heads of the layer">{buttons}</div></figure>')


def _choose_head() -> None:
    """What a pressed tile does. The message comes from the browser: only a head that there is moves the slider."""
    head = st.session_state.get(TILES, {}).get("head")
    if isinstance(head, int) and not isinstance(head, bool) and 0 <= head < MOST_HEADS:
        controls.HEAD.set(head)


def experts(study: Study, tokens: text.Tokens, run: LiveRun, layer: int, named: Sequence[NamedHead],
            beside: DeltaGenerator) -> None:
    """Where each token went, and how often each expert was used."""
    chosen = run.trace[f"block.{layer}.mlp.experts"][0].numpy()
    weights = run.trace[f"block.{layer}.mlp.expert_weights"][0].float().numpy()
    counts = np.bincount(chosen.ravel(), minlength=study.experts)
    with beside:
        expert = controls.expert(study, "Expert shown")
    with pictures.main():
        where, how_often = st.columns([3, 2], gap="small")
        with where:
            pictures.show_chart(routing_map(chosen, weights, study.experts, tokens.labels, expert), key="routing_map")
        with how_often:
            pictures.show_chart(expert_load(counts, len(tokens), expert), key="expert_load", words=(
                f"Drawn: {weights_in_words(study)}. Random weights use experts unevenly too, by chance: the Experts page "
                "shows both."))


def tensors(study: Study, tokens: text.Tokens, run: LiveRun, layer: int, named: Sequence[NamedHead],
            beside: DeltaGenerator) -> None:
    """Every tensor of the pass, one after the other, in the order in which they came to be."""
    with beside:
        name = controls.step_through("Tensor", list(run.trace), key="tensor")
    table = summary(run.trace)
    row = table.loc[table["tensor"] == name].iloc[0]
    size = _size(row["mean"], row["std"]) or "numbers are names"
    with pictures.main():
        pictures.show_tensor(name, run.trace[name], controls.head_shown(study))
    st.markdown(f"**{meaning(name)}** · {row['shape']} · {row['dtype']} · {size}")
    place = name.split(".")[:2] if name.startswith("block.") else None
    near = [other.split(".")[:2] == place if place else not other.startswith("block.") for other in table["tensor"]]
    shown = table if controls.all_of(len(table), "tensors of the pass", sum(near), key="tensors_all") else table[near]
    st.table(_as_words(shown), alt="Tensors of the pass", hide_index=True)


def _as_words(summed: pd.DataFrame) -> pd.DataFrame:
    """The same in four columns, so that a phone has room for them."""
    numbers = [", ".join(filter(None, (dtype, _size(mean, std))))
               for dtype, mean, std in zip(summed["dtype"], summed["mean"], summed["std"], strict=True)]
    return summed[["tensor", "what it is", "shape"]].assign(numbers=numbers)


def _size(mean: float, std: float) -> str:
    """How large a tensor's numbers are; nothing for those that are names, which have no mean."""
    return "" if math.isnan(mean) else f"mean {units.fixed(mean, 3)}, std {units.fixed(std, 3)}"


def next_tokens(study: Study, tokens: text.Tokens, run: LiveRun, layer: int, named: Sequence[NamedHead],
                beside: DeltaGenerator) -> Generator | None:
    """The distribution of the next token under the sampling dials, and text drawn from it at the page's end."""
    with beside:
        temperature = kept.slider("Temperature", 0.0, 2.0, 1.0, 0.1, key="temperature")
        top_k = kept.select_slider("Top-k", [1, 2, 5, 10, 20, 50, 100, "all"], "all", key="top_k")
        top_p = kept.slider("Top-p", 0.05, 1.0, 1.0, 0.05, key="top_p")
    sampling = (temperature, None if top_k == "all" else top_k, top_p)
    with pictures.main():
        probabilities = next_token_probabilities(run.trace["logits"][0, -1], *sampling).numpy()
        pictures.show_chart(next_token(text.vocabulary_labels(study.vocabulary), probabilities),
                            key="next_token")
    return generator(study, tokens, *sampling)


VIEWS = {"Attention": attention, "Experts": experts, "Tensors": tensors, "Next token": next_tokens}


def generator(study: Study, tokens: text.Tokens, temperature: float, top_k: int | None, top_p: float) -> Generator | None:
    """Draw the button that starts, the button that stops, and what was generated last.

    Returns what the page has to call at its very end if a start was asked for: text then streams below the buttons,
    into a page that is complete, and any move of the reader, Stop above all, ends it. What came so far stays.
    """
    with st.container(horizontal=True, vertical_alignment="bottom"):
        length = kept.slider("New tokens", 1, 200, 60, key="new_tokens")
        start = st.button("Generate", type="primary", icon=":material/play_arrow:")
        st.button("Stop", icon=":material/stop:", help="Keeps what has come so far.")
    place = st.empty()
    if start:
        st.session_state["generated"] = ([], 0.0, weights_in_words(study), study.vocabulary)
        stream = live_model(study).model.generate(tokens.ids, length, temperature, top_k, top_p, seed=study.seed)
        return lambda: _stream(stream, running(study), place)
    if "generated" in st.session_state:
        _show(place)
    return None


def _stream(stream: Iterator[int], running: Running, place: DeltaGenerator) -> None:
    """Collect tokens and repaint now and then. A stop ends the script at the repaint; what came is kept by then."""
    ids, _, *written_by = st.session_state["generated"]
    began = painted = time.perf_counter()
    while True:
        with turn(running):
            token = next(stream, None)
        now = time.perf_counter()
        if token is not None:
            ids.append(token)
        st.session_state["generated"] = (ids, now - began, *written_by)
        if token is None or now - painted > REPAINT:
            _show(place)
            painted = now
        if token is None:
            return


def _show(place: DeltaGenerator) -> None:
    """What was written, in the tokens of the model that wrote it: another may be under study by now."""
    ids, elapsed, weights, vocabulary = st.session_state["generated"]
    with place.container():
        st.code(vocabulary.decode(ids) or " ", language=None, wrap_lines=True)
        if elapsed:
            st.caption(f"{units.plural(len(ids), 'token')} in {elapsed:.2f} s, {len(ids) / elapsed:.0f} a second. "
                       f"Written with {weights}{', so the text is random too' if weights.startswith(RANDOM) else ''}.")
