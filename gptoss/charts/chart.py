"""What every chart function hands back, and the look that all specifications share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import NamedTuple

import altair as alt
import pandas as pd

from gptoss.charts.palette import GRID, MUTED

ROW = {"content": "data"}  # a tooltip with the mark's row as it is: no expression to evaluate for every mark
_COLUMNS, _NARROW = 2, 310  # of a legend; px of a chart below which each of its entries has a line
_PLOT = "(containerSize()[0] - 80)"  # px of a plot before its legends are laid out, about
_NOW = "0 * width"  # nothing, as long as the plot is as wide as it is
FONT_SIZE = 15  # px; labels stay readable from the last row
WIDTH = 720  # px of a chart that stands by itself
_VEGA_LITE = "6.4"  # that `altair` writes
_ROWS = 20  # of a table in place of a picture


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

    @property
    def words(self) -> str:
        """What the data show, and what was left out."""
        return f"{self.alt} Shown: {self.note}." if self.note else self.alt

    def standalone(self) -> dict:
        """The whole Vega-Lite specification with its data, for any program that draws it: `altair.Chart.from_dict`."""
        rows = json.loads(self.data.to_json(orient="records", double_precision=15))
        config = self.spec["config"] | {"background": "white"}
        return self.spec | {"datasets": {"source": rows}, "config": config, "width": WIDTH,
                            "autosize": {"type": "fit", "contains": "padding"}}

    def svg(self) -> str:
        """The picture as SVG. Raises `ModuleNotFoundError` where the package `vl-convert-python` is not installed."""
        import vl_convert  # only notebooks need it

        return vl_convert.vegalite_to_svg(self.standalone(), vl_version=_VEGA_LITE)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        """For notebooks: the picture with its words; where nothing here can draw it, its specification and its table."""
        try:
            drawn = {"text/html": self._figure(self.svg())}
        except ModuleNotFoundError:
            drawn = {"application/vnd.vegalite.v6+json": self.standalone(),
                     "text/html": self._figure(self.data.head(_ROWS).to_html(index=False, escape=True))}
        return drawn | {"text/plain": f"{self.name}. {self.words}"}

    def _figure(self, inside: str) -> str:
        return (f'<figure style="margin: 0; max-width: {WIDTH}px">{inside}<figcaption style="font-size: 0.9em">'
                f"{escape(self.words)}</figcaption></figure>")


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
    _fit_legends(spec)
    spec["config"] = _CONFIG
    spec["padding"] = {"left": 5, "top": 5, "right": right, "bottom": 5}
    spec["usermeta"] = {"embedOptions": {"renderer": "canvas" if canvas else "svg"}}
    return spec


def _fit_legends(tree: object) -> None:
    """Let every legend of names have one column where several would be wider than a small phone.

    The width of the plot itself would not do: it is known only once the legends have been laid out. It is named all the
    same, because Vega looks at an expression again when a signal in it has changed, as that one has in another window.
    """
    for child in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        legend = child.get("legend") if isinstance(child, dict) else None
        if isinstance(legend, dict) and child.get("type") in ("nominal", "ordinal"):
            columns = legend.get("columns", _COLUMNS)
            some = columns["expr"].replace("width", _PLOT) if isinstance(columns, dict) else columns
            legend["columns"] = {"expr": f"containerSize()[0] + {_NOW} < {_NARROW} ? 1 : ({some})"}
        _fit_legends(child)


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
        "columns": _COLUMNS, "symbolOpacity": 1, "offset": 6, "padding": 2, "titlePadding": 4, "labelPadding": 4,
    },
    "text": {"fontSize": FONT_SIZE, "color": MUTED, "fontWeight": "bold"},
    "mark": {"aria": False},  # a chart is one image with one name; unnamed groups of marks tell nobody anything
    "view": {"stroke": "transparent"},
}
