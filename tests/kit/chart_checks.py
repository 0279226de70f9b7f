"""What holds for every chart, whatever it shows."""

from __future__ import annotations

import json
import re

import altair as alt
import numpy as np

from gptoss.charts import Chart, palette
from gptoss.charts.chart import FONT_SIZE


def nodes(tree):
    """Every dictionary inside a specification."""
    if isinstance(tree, dict):
        yield tree
    for child in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from nodes(child)


def in_light(code: str) -> str:
    """HTML or SVG as the light theme shows it: of each pair of colours the first, once the second is its twin."""
    colour = r"(#[0-9A-F]{6}|rgba\([^()]*\))"

    def first(found: re.Match) -> str:
        assert palette.in_both_themes(found[1]) == found[0]
        return found[1]

    return re.sub(rf"light-dark\({colour}, {colour}\)", first, code)


def axis_titles(spec):
    """The titles of all x and y axes."""
    return {channel: node["encoding"][channel]["axis"]["title"] for node in nodes(spec) if "encoding" in node
            for channel in ("x", "y") if (node["encoding"].get(channel, {}).get("axis") or {}).get("title")}


def assert_well_made(chart: Chart, other: Chart, may_be_missing=()) -> None:
    """Valid, constant, readable, coloured from the palette, described and finite.

    `other` is the same kind of chart made from other data. Columns in `may_be_missing` may hold NaN.
    """
    before = json.dumps(chart.spec)
    alt.Chart.from_dict(chart.spec, validate=True)
    assert chart.spec is other.spec and json.dumps(other.spec) == before, "the specification changes with the data"
    assert not chart.data.equals(other.data), "the two charts to compare have the same data"
    assert all(node["data"] == {"name": "source"} for node in nodes(chart.spec) if "data" in node)
    assert "datasets" not in chart.spec
    _assert_readable(chart)
    assert chart.name == other.name and chart.alt != other.alt and re.search(r"\d", chart.alt)
    _assert_data(chart, may_be_missing)


def _assert_readable(chart: Chart) -> None:
    sizes = [size for node in nodes(chart.spec) for name, size in node.items()
             if name in ("labelFontSize", "titleFontSize", "fontSize") and isinstance(size, int | float)]
    assert all(size >= 14 for size in sizes) and FONT_SIZE >= 14
    text = json.dumps(chart.spec)
    used = {colour.upper() for colour in re.findall(r"#[0-9a-fA-F]{6}\b", text)}
    used |= {"#" + bytes(map(int, rgb)).hex().upper() for rgb in re.findall(r"rgba?\((\d+), (\d+), (\d+)", text)}
    assert used <= {colour.upper() for colour in palette.ALL}, used
    assert (written := _colours_of_words(chart.spec)) <= palette.WRITTEN | {"black"}, written - palette.WRITTEN
    assert chart.spec["config"]["background"] == "transparent"
    tooltips = [node["tooltip"] for node in nodes(chart.spec) if "tooltip" in node]
    assert any(tooltip == {"content": "data"} or isinstance(tooltip, list) for tooltip in tooltips), "no tooltip"
    assert axis_titles(chart.spec), "no axis has a title"
    asks = [node["expr"] for node in nodes(chart.spec) if "containerSize" in str(node.get("expr", ""))]
    assert all(re.search(r"\bwidth\b", each) for each in asks), "a legend stays as it is when its window is another"


def _colours_of_words(spec: dict) -> set[str]:
    """Every colour that a layer of words may have: the mark's own, or one of its scale."""
    layers = [node for node in nodes(spec) if isinstance(node.get("mark"), dict) and node["mark"].get("type") == "text"]
    said = [{"of the mark": layer["mark"].get("color"), "of a scale": layer.get("encoding", {}).get("color")}
            for layer in layers]
    return {*re.findall(r"#[0-9A-F]{6}|black|white", json.dumps(said))}


def _assert_data(chart: Chart, may_be_missing) -> None:
    fields = {node["field"] for node in nodes(chart.spec) if isinstance(node.get("field"), str)}
    derived = {made for node in nodes(chart.spec) for made in np.atleast_1d(node.get("as", []))}
    assert fields - derived <= set(chart.data.columns), fields - derived - set(chart.data.columns)
    numbers = chart.data.select_dtypes("number").drop(columns=list(may_be_missing))
    assert np.isfinite(numbers.to_numpy()).all()
    assert 0 < len(chart.data) < 3000
