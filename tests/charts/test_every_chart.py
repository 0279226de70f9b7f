"""What holds for all charts alike: valid, constant, readable, coloured from the palette, described, finite."""

import ast
import json
import pathlib
import re

import altair as alt
import numpy as np
import pytest
from chart_inputs import every_chart

import gptoss.charts
from gptoss.charts import palette
from gptoss.charts.chart import FONT_SIZE

FIRST, SECOND = every_chart(0, "gpt-oss-20b"), every_chart(3, "gpt-oss-120b")


@pytest.fixture(params=sorted(FIRST))
def kind(request):
    """The name of each chart function in turn."""
    return request.param


def nodes(tree):
    """Every dictionary inside a specification."""
    if isinstance(tree, dict):
        yield tree
    for child in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from nodes(child)


def axis_titles(spec):
    """The titles of all x and y axes."""
    return {channel: node["encoding"][channel]["axis"]["title"] for node in nodes(spec) if "encoding" in node
            for channel in ("x", "y") if "axis" in node["encoding"].get(channel, {})}


def test_is_valid_vega_lite(kind):
    chart = FIRST[kind]
    alt.Chart.from_dict(chart.spec, validate=True)


def test_all_layers_draw_the_one_named_data_set(kind):
    spec = FIRST[kind].spec
    sources = [spec.get("data") or layer.get("data") for layer in spec.get("layer", [spec])]
    assert all(source == {"name": "source"} for source in sources)
    assert all(node["data"] == {"name": "source"} for node in nodes(spec) if "data" in node)
    assert "datasets" not in spec


def test_specification_is_the_same_object_whatever_the_data(kind):
    before = json.dumps(FIRST[kind].spec)
    assert FIRST[kind].spec is SECOND[kind].spec
    assert not FIRST[kind].data.equals(SECOND[kind].data)
    assert json.dumps(every_chart(5)[kind].spec) == before


def test_axes_say_what_and_in_which_unit(kind):
    expected = {
        "attention_map": {"x": "key (token)", "y": "query (token)"},
        "routing_map": {"x": "token", "y": "expert (number)"},
        "expert_load": {"x": "expert (number)", "y": "tokens (% of all)"},
        "next_token": {"x": "probability (%)", "y": "next token"},
        "parameters_by_part": {"x": "parameters (count)", "y": ""},
        "kv_cache_lines": {"x": "context (tokens, log scale)", "y": "KV cache (GiB, log scale)"},
        "flops_area": {"x": "context (tokens, log scale)", "y": "compute (GFLOPs per token)"},
    }
    assert axis_titles(FIRST[kind].spec) == expected[kind]


def test_all_text_is_large_enough(kind):
    sizes = [(name, size) for node in nodes(FIRST[kind].spec) for name, size in node.items()
             if name in ("labelFontSize", "titleFontSize", "fontSize")]
    assert {name for name, _ in sizes} == {"labelFontSize", "titleFontSize", "fontSize"}
    assert all(size >= 14 for _, size in sizes) and FONT_SIZE >= 14


def test_colours_come_from_the_palette_and_the_background_is_the_themes(kind):
    spec = FIRST[kind].spec
    text = json.dumps(spec)
    used = {colour.upper() for colour in re.findall(r"#[0-9a-fA-F]{3,8}\b", text)}
    used |= {"#" + bytes(map(int, rgb)).hex().upper() for rgb in re.findall(r"rgba?\((\d+), (\d+), (\d+)", text)}
    assert used and used <= {colour.upper() for colour in palette.ALL}
    assert spec["config"]["background"] == "transparent"
    assert not re.search(r'"(black|white)"', text)


def test_has_a_tooltip(kind):
    tooltips = [node["tooltip"] for node in nodes(FIRST[kind].spec) if "tooltip" in node]
    assert any(tooltip == {"content": "data"} or isinstance(tooltip, list) and len(tooltip) >= 2 for tooltip in tooltips)


def test_alternative_text_is_computed_and_the_name_is_constant(kind):
    assert FIRST[kind].alt != SECOND[kind].alt
    assert re.search(r"\d", FIRST[kind].alt)
    assert FIRST[kind].name == SECOND[kind].name


def test_data_is_small_and_every_field_of_the_specification_is_in_it(kind):
    chart = FIRST[kind]
    fields = {node["field"] for node in nodes(chart.spec) if isinstance(node.get("field"), str)}
    derived = {made for node in nodes(chart.spec) for made in [node.get("as")] if made}
    assert fields - derived <= set(chart.data.columns)
    numbers = chart.data.select_dtypes("number").drop(columns=["weight", "distance"], errors="ignore")
    assert np.isfinite(numbers.to_numpy()).all()
    assert len(chart.data) < 3000


def test_nothing_here_imports_streamlit_or_torch():
    for file in pathlib.Path(gptoss.charts.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else (
                [node.module] if isinstance(node, ast.ImportFrom) else [])
            assert not {name.split(".")[0] for name in names} & {"streamlit", "torch"}, file


@pytest.mark.parametrize("colour", sorted(palette.ALL - {palette.PARTS["router"]}))
def test_colours_stand_out_on_both_themes(colour):
    def luminance(rgb):
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in rgb)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    here = luminance(palette.rgb(colour))
    assert 1.05 / (here + 0.05) >= 2 and (here + 0.05) / (luminance((14, 17, 23)) + 0.05) >= 3
