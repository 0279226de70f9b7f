"""Charts, pictures and drawings on a page, each with its words."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from html import escape

import pandas as pd
import pyarrow as pa
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from gptoss.app import stage, theme
from gptoss.app.hall import paper
from gptoss.app.markdown import literal
from gptoss.charts import Chart, Picture, palette, tensor_picture
from gptoss.charts.enlarge import enlarged
from gptoss.charts.once import once_for_each
from gptoss.trace import as_matrix

_CLICK = ":material/touch_app: A click chooses."  # below what can be clicked, since a touch screen has no pointer to show it
MAIN = "main_picture"  # the key of its place, by which style.css, projector mode and the browser tests find it
_inside_main: ContextVar[bool] = ContextVar("inside_main", default=False)
_under_main: ContextVar[DeltaGenerator | None] = ContextVar("under_main", default=None)


class Main:
    """The place of a page's main picture: a container, in which projector mode lets charts grow as tall as it is."""

    def __init__(self) -> None:
        self._place = st.container(key=MAIN)
        self._token: Token | None = None
        _under_main.set(st.container())

    def __enter__(self) -> DeltaGenerator:
        self._token = _inside_main.set(True)
        return self._place.__enter__()

    def __exit__(self, *problem: object) -> None:
        _inside_main.reset(self._token)
        self._place.__exit__(*problem)


def main() -> Main:
    """The place of a page's main picture, once a run: `with pictures.main():`.

    It holds what the chosen view is about and nothing above it: charts side by side are both in it, controls are not.
    """
    return Main()


def under_main() -> DeltaGenerator | None:
    """The place right under the main picture of this run, once, for what belongs to it; none without a picture."""
    place = _under_main.get()
    _under_main.set(None)
    return place


_in_dark = once_for_each(palette.in_dark)


def show_chart(chart: Chart, key: str, height: int | str = "content", on_select: str | Callable = "ignore",
               words: str = ""):
    """A chart, and below it what its data say in words and what it leaves out; `words` in Markdown go on in the same lines.

    Its table is one click away in the bar that Streamlit shows over it. The words are below it as text: a changing `alt`
    would make the browser build the chart anew on every move. `on_select` is Streamlit's; the event of a chart with a
    selection comes back, and a sign below says that it can be clicked.
    """
    spec, said = chart.spec, literal(chart.alt)
    if stage.on():
        spec, height = enlarged(spec), "stretch" if _inside_main.get() else height
        said = words = ""  # the picture speaks for itself there; what was left out is still said
    if paper.on() and len(chart.data) <= paper.MOST_ROWS:
        spec = paper.as_vectors(spec)
    event = st.vega_lite_chart(as_arrow(_data_in_theme(chart.data)), in_theme(spec), alt=chart.name, key=key, height=height,
                               on_select=on_select)
    click = "" if on_select == "ignore" or stage.on() or paper.on() else _CLICK
    caption = " ".join(filter(None, (click, said, chart.note and f":material/content_cut: Shown: {chart.note}.", words)))
    if caption:
        st.caption(caption)
    return event


def show_clickable(chart: Chart, key: str, field: str, then: Callable[[object], None], words: str = "") -> None:
    """A chart whose marks can be clicked: `then` is called with the value of `field` in what was clicked.

    The chart's selection toggles, so that a second click on the same mark is an event too: what was clicked is what
    came or went since the chart was drawn.
    """
    def clicked() -> None:
        changed = _picked(st.session_state[key], field) ^ drawn
        if len(changed) == 1:
            then(changed.pop())

    drawn = _picked(show_chart(chart, key=key, on_select=clicked, words=words), field)


def in_theme(spec: dict) -> dict:
    """The specification in the colours of the reader's theme: one object in each of the two, so that the browser swaps only
    the data of a chart that it shows already.
    """
    return _in_dark(spec) if theme.is_dark() else spec


def _data_in_theme(data: pd.DataFrame) -> pd.DataFrame:
    """The rows of a chart; of one that takes its colours from a column of them, with the reader's theme's."""
    if "colour" not in data or not theme.is_dark():
        return data
    return data.assign(colour=data["colour"].map(lambda colour: palette.DARK.get(colour, colour)))


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
    st.html(f'<img src="{picture.address(theme.is_dark())}" alt="{escape(picture.alt)}" '
            'style="width: 100%; image-rendering: pixelated; border-radius: 6px">')
    if caption:
        st.caption(caption)


def show_tensor(name: str, tensor: Tensor, head: int) -> None:
    """A tensor of a trace as a heat map: of one with heads, that `head`."""
    matrix, rows, columns = as_matrix(name, tensor, head)
    show_picture(tensor_picture(matrix.numpy(), max_rows=64, enlarge=False), f"Rows: {rows}. Columns: {columns}. "
                 "Blue is negative, orange positive, clear is zero.")


def show_drawing(svg: str, words: str = "") -> None:
    """A drawing made of shapes, with its alternative text inside; `words` in Markdown stand below it."""
    # st.html takes SVG out; inside a block of HTML, Markdown leaves its words alone.
    st.markdown(f"<div>{svg}</div>\n\n{words}", unsafe_allow_html=True)
