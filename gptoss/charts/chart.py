"""What every chart function hands back, and the look that all specifications share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import altair as alt
import pandas as pd

from gptoss.charts.palette import GRID, MUTED

ROW = {"content": "data"}  # a tooltip with the mark's row as it is: no expression to evaluate for every mark
FONT_SIZE = 15  # px; labels stay readable from the last row


class Chart(NamedTuple):
    """One chart: a constant specification and the data it draws this time.

    `spec` is a Vega-Lite specification without data. It is built once per structure, shared by every caller and
    never changed, so that a browser which shows it only has to swap the data. `data` is the tidy table, `name` says
    in a few constant words what kind of chart this is, `alt` tells in sentences what these data show (alternative
    text), and `note` what was left out ("tokens 449 to 512 of 512"), empty where nothing was.
    """

    spec: dict
    data: pd.DataFrame
    name: str
    alt: str
    note: str = ""


def blank_chart() -> alt.Chart:
    """A chart, or a layer of one, whose rows come later.

    They go by the name under which Streamlit's browser side inserts them: layers without it would each get a source
    of their own and stay empty.
    """
    return alt.Chart(alt.NamedData("source"))


def scale_of(looks: Mapping) -> alt.Scale:
    """The scale that gives each value its look: a colour, an opacity, a shape."""
    return alt.Scale(domain=[*looks], range=[*looks.values()])


def squares(**settings: object) -> alt.Legend:
    """A legend of coloured squares without a title; `settings` are more of a legend's."""
    return alt.Legend(title=None, symbolType="square", **settings)


def tooltip(*fields: tuple[str, ...]) -> list[alt.Tooltip]:
    """What is shown under the pointer, a line each: a field, its title and, for numbers, its format."""
    return [alt.Tooltip(field, **dict(zip(("title", "format"), words, strict=False))) for field, *words in fields]


def figures(bars: alt.Chart, **channels: object) -> alt.Chart:
    """Numbers or words behind the ends of bars; `channels` are the text and where it is not the bars' own place."""
    return bars.mark_text(align="left", dx=6, fontSize=FONT_SIZE).encode(**channels)


def clicks(*fields: str, **events: str | bool) -> alt.Parameter:
    """The selection `picked` of a chart: a click on a mark picks its values of these fields."""
    return alt.selection_point(name="picked", fields=[*fields], **events)


def specification(chart: alt.TopLevelMixin, *, height: int, canvas: bool = False, right: int = 5) -> dict:
    """The finished Vega-Lite dictionary of an Altair chart that has no data yet, `height` px tall in all.

    `right` px stay clear at the right, for numbers behind bars. `canvas` draws pixels instead of one SVG element
    per mark: for charts of thousands of marks.
    """
    spec = chart.properties(height=height).to_dict()
    spec.pop("$schema", None)
    spec["config"] = _CONFIG
    spec["padding"] = {"left": 5, "top": 5, "right": right, "bottom": 5}
    spec["usermeta"] = {"embedOptions": {"renderer": "canvas" if canvas else "svg"}}
    return spec


# Streamlit's theme fills in what is not set here: font, and the colours of labels, titles and background.
_CONFIG = {
    "aria": False,  # a description for every one of thousands of marks costs more than drawing them; `name` and `alt` tell
    "background": "transparent",
    "axis": {
        "labelFontSize": FONT_SIZE, "titleFontSize": FONT_SIZE, "labelLimit": 130, "labelPadding": 6,
        "titlePadding": 8, "labelOverlap": True, "labelFlush": False, "gridColor": GRID,
    },
    "legend": {
        "labelFontSize": FONT_SIZE, "titleFontSize": FONT_SIZE, "labelLimit": 260, "titleLimit": 320, "orient": "top",
        "columns": 2, "symbolOpacity": 1, "offset": 6, "padding": 2, "titlePadding": 4, "labelPadding": 4,
    },
    "text": {"fontSize": FONT_SIZE, "color": MUTED, "fontWeight": "bold"},
    "view": {"stroke": "transparent"},
}
