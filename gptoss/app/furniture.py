"""What every page has in the same place: title, vital signs, the band that names the model, charts with their words."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from html import escape

import pandas as pd
import pyarrow as pa
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from gptoss.app import live, state
from gptoss.app.accounts import figures
from gptoss.app.book import PAGES, Page, ensure_app
from gptoss.app.live import CHANGED, SERVED
from gptoss.app.sidebar import describe
from gptoss.app.study import RANDOM, TRAINED, Study
from gptoss.charts import Chart, Picture, tensor_picture
from gptoss.config import ModelConfig
from gptoss.trace import as_matrix
from gptoss.units import count, difference, flops, size

_AFTER = {
    "new shape": ":orange-badge[:material/casino: new shape, new weights]",
    "weights kept": ":green-badge[:material/lock: weights kept]",
    "other weights": ":orange-badge[:material/swap_horiz: other weights]",
    "accounting": ":gray-badge[:material/calculate: same model]",
}

_BADGES = {TRAINED: "green-badge[:material/school:", CHANGED: "orange-badge[:material/school:",
           RANDOM: "violet-badge[:material/casino:", SERVED: "blue-badge[:material/dns:"}
_WHAT_WEIGHTS_SHOW = {
    TRAINED: "Trained weights show what was learnt, on the texts of their training above all.",
    CHANGED: "Trained weights under other settings show what these do to what was learnt. It is not what a model would "
             "learn that was trained with them.",
    RANDOM: "Random weights attend and route by chance: what they show is the mechanism, not learning. Trained ones ship "
            "for the preset classroom and for some of its variants.",
    SERVED: "The weights of a checkpoint that this server was given, computed with in bfloat16. Whether they show learning "
            "depends on how they were trained, which the server does not know.",
}

# Streamlit marks a run at once and shows it late; this bar shows it as soon as anybody would wonder.
_SIGN_OF_WORK = """<style>
@keyframes appear {from {opacity: 0} to {opacity: 1}}
.stApp[data-test-script-state="running"]::before {
  content: ""; position: fixed; inset: 0 0 auto 0; height: 5px; z-index: 1000000;
  background: linear-gradient(90deg, transparent, #7C5CFF, transparent); animation: appear 0.05s 0.2s both;
}
</style>"""
# One element for all of them: five of Streamlit's own would cost the browser a tenth of every repaint.
_VITAL_SIGNS_STYLE = """<style>
.vital-signs {display: flex; flex-wrap: wrap; gap: 0.25rem 2rem}
.stHtml .vital-signs, .stHtml .vital-signs > div > * {margin: 0; padding: 0}
.vital-signs dt {font-size: 0.85rem; opacity: 0.75; font-weight: 400}
.vital-signs dd {font-size: 1.4rem; line-height: 1.2; white-space: nowrap}
.vital-signs small {font-size: 0.85rem; opacity: 0.75}
</style>"""


def header(path: str, untrained: bool = False) -> None:
    """The page's title, what it is for, what an address could not restore, and the vital signs. First on every page.

    `untrained` is for pages whose own models have random weights, whatever the model under study has.
    """
    ensure_app()
    page = next(page for page in PAGES if page.path == path)
    st.title(page.title, anchor=False)
    needs = f" · needs {page.presupposes}" if page.presupposes else ""
    st.markdown(f"{page.teaches}  \n:small[:material/flag: Afterwards you can {page.objective}{needs} · "
                f"{page.minutes} minutes]")
    memory = state.session()
    if memory.problems:
        st.warning(" ".join(memory.problems), icon=":material/link_off:",
                   title="Not everything in the address was understood")
    if memory.refused:
        st.warning(literal(memory.refused), icon=":material/block:")
    vital_signs(state.study(), state.pinned())
    model_band(state.study(), page, untrained)


def vital_signs(study: Study, pinned: Study | None) -> None:
    """The real model's size in one slim row, with the difference to the pinned model."""
    now = figures(study.config, study.context)
    then = figures(pinned.config, pinned.context) if pinned else None
    signs = (
        ("total", "Total parameters", count, "All weights."),
        ("active", "Active parameters", count,
         "Weights that one token uses: the unembedding counts, the embedding does not."),
        ("kv_cache", f"KV cache at {study.context:,}", size, "Keys and values of one sequence, two bytes a value."),
        ("weights", "Weights", size, "A checkpoint with its experts in MXFP4 and the rest in bfloat16."),
        ("flops", "FLOPs per token", flops, f"One more token after {study.context - 1:,}, multiply and add counted as two."),
    )
    st.html(_SIGN_OF_WORK + _VITAL_SIGNS_STYLE + '<dl class="vital-signs">' + "".join(
        _sign(label, show(now[name]), difference(now[name], then[name]) if then else None, explanation)
        for name, label, show, explanation in signs) + "</dl>")


def _sign(label: str, value: str, change: str | None, explanation: str) -> str:
    change = f"<small>{escape(change)} to pinned</small>" if change else ""
    return f'<div title="{escape(explanation)}"><dt>{escape(label)}</dt><dd>{escape(value)} {change}</dd></div>'


def model_band(study: Study, page: Page, untrained: bool = False) -> None:
    """Which model is on the screen, whose weights it has, and what the last move did to them."""
    shown = study.small if page.builds_its_own else study
    weights = live.weights_of(shown)
    if shown != study:
        weights = replace(weights, said="This page builds models beside it, for which the server's checkpoint is too large.")
    if untrained:
        weights = live.Weights(RANDOM, "", f"random weights, seed {study.seed}", "No model of this page is trained.")
    effect = _AFTER.get(state.session().last_effect, "")
    model, cut = _model_in_words(study, shown.live_config)
    words = f":{_BADGES[weights.kind]} {weights.words}] {effect} Live: {model}. {literal(weights.said)}"
    explained = f"{_WHAT_WEIGHTS_SHOW[weights.kind]} {cut}"
    with st.container():
        if weights.kind in (TRAINED, SERVED) or untrained:
            st.markdown(words, help=explained)
            return
        beside, actions = _places(wide=bool(weights.said))
        beside.markdown(words, help=explained, width="stretch" if weights.said else "content")
        with actions:
            _offer_trained(study, weights.kind, page.path)


def _places(wide: bool) -> tuple[DeltaGenerator, DeltaGenerator]:
    """Where words and actions stand: in one row, or for words of more than a line the actions in a column beside them."""
    if wide:
        words, actions = st.columns([4, 1], vertical_alignment="center")
        return words, actions.container(gap=None)
    row = st.container(horizontal=True, gap="small", vertical_alignment="center")
    return row, row


def _model_in_words(study: Study, small: ModelConfig) -> tuple[str, str]:
    """What runs live, and all that was cut to make it small."""
    real = study.config
    cut = [f"{words} {now:,} of {whole:,}" for words, now, whole in (
        ("layers", small.num_hidden_layers, real.num_hidden_layers), ("width", small.hidden_size, real.hidden_size),
        ("head size", small.head_dim, real.head_dim), ("expert width", small.intermediate_size, real.intermediate_size),
        ("vocabulary", small.vocab_size, real.vocab_size)) if now != whole]
    if not cut:
        return f"**{describe(study)}**, whole", ""
    return f"a scale model of **{describe(study)}**, {cut[0]}", f"Scaled: {', '.join(cut)}."


def _offer_trained(study: Study, kind: str, path: str) -> None:
    """The way back to weights that were trained as they stand, and the way to training this model."""
    there = live.back_to_trained(study)
    st.button("Back to trained", icon=":material/school:", type="tertiary", key="back_to_trained", on_click=state.go_to,
              args=(there,), help=f"To {describe(there)}, whose weights were trained as they stand.")
    if path != "training":
        st.page_link("pages/training.py", label="Train this shape" if kind == RANDOM else "Train it so",
                     icon=":material/model_training:", query_params=state.query())


def show_chart(chart: Chart, key: str, height: int | str = "content", on_select: str | Callable = "ignore"):
    """A chart, and below it what its data say in words and what it leaves out.

    Its table is one click away in the bar that Streamlit shows over it. The words stand below as text: a changing `alt`
    would make the browser build the chart anew on every move. `on_select` is Streamlit's; the event of a chart with a
    selection comes back.
    """
    event = st.vega_lite_chart(as_arrow(chart.data), chart.spec, alt=chart.name, key=key, height=height,
                               on_select=on_select)
    st.caption(literal(chart.alt) + (f" :material/content_cut: Shown: {chart.note}." if chart.note else ""))
    return event


def show_clickable(chart: Chart, key: str, field: str, then: Callable[[object], None]) -> None:
    """A chart whose marks can be clicked: `then` is called with the value of `field` in what was clicked.

    The chart's selection toggles, so that a second click on the same mark is an event too: what was clicked is what
    came or went since the chart was drawn.
    """
    def clicked() -> None:
        changed = _picked(st.session_state[key], field) ^ drawn
        if len(changed) == 1:
            then(changed.pop())

    drawn = _picked(show_chart(chart, key=key, on_select=clicked), field)


def _picked(event: object, field: str) -> set:
    return {point[field] for point in event.selection.get("picked", []) if field in point}


def as_arrow(frame: pd.DataFrame) -> pa.Table:
    """The frame as the table that Streamlit sends, column by column: its own way asks a pool of threads every time."""
    return pa.table({
        name: pa.DictionaryArray.from_arrays(column.cat.codes.to_numpy(), pa.array(column.cat.categories))
        if isinstance(column.dtype, pd.CategoricalDtype) else pa.array(column.to_numpy())
        for name, column in frame.items()})


def show_picture(picture: Picture, caption: str = "") -> None:
    """A picture made of pixels with its alternative text.

    It travels inside the page: as a file of its own it could be gone when a run is overtaken by the next.
    """
    st.html(f'<img src="{picture.address()}" alt="{escape(picture.alt)}" '
            'style="width: 100%; image-rendering: pixelated; border-radius: 6px">')
    if caption:
        st.caption(caption)


def show_tensor(name: str, tensor: Tensor, head: int) -> None:
    """A tensor of a trace as a heat map: of one with heads, that `head`."""
    matrix, rows, columns = as_matrix(name, tensor, head)
    show_picture(tensor_picture(matrix.numpy(), max_rows=64, enlarge=False), f"Rows: {rows}. Columns: {columns}. "
                 "Blue is negative, orange positive, clear is zero.")


def show_drawing(svg: str) -> None:
    """A drawing made of shapes, with its alternative text inside."""
    # st.html takes SVG out; inside a block of HTML, Markdown leaves its words alone.
    st.markdown(f"<div>{svg}</div>", unsafe_allow_html=True)


def literal(text: str) -> str:
    """A text with tokens in it, for Markdown: shown as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#$~|:])", r"\\\1", text)


def code_drawer(*objects: object, label: str = "The code that ran") -> None:
    """The very code that ran, in a drawer that does no work while it is closed."""
    drawer = st.expander(label, icon=":material/code:", key="code_drawer", on_change="rerun")
    if drawer.open:
        for each in objects:
            drawer.code(inspect.getsource(each), language="python")
