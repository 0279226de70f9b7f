"""The architecture's drawing, read back from its SVG."""

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter

import pytest
from chart_checks import in_light

from gptoss.app.book import BOOK, PAGES
from gptoss.app.route import address
from gptoss.charts import palette
from gptoss.charts.svg import Pen
from gptoss.config import PRESETS, ModelConfig
from gptoss.lessons.start.charts import architecture_diagram, describe_architecture

BASE = ModelConfig.preset("classroom")
CONFIGS = {
    **PRESETS,
    "one of each": BASE.replace(num_hidden_layers=1, num_experts=1, experts_per_token=1, num_attention_heads=1,
                                num_key_value_heads=1),
    "no window": BASE.replace(sliding_window=0),
    "64 groups": BASE.replace(num_attention_heads=64, num_key_value_heads=64),
    "one group of 64": BASE.replace(num_attention_heads=64, num_key_value_heads=1),
    "all experts lit": BASE.replace(num_experts=128, experts_per_token=128),
    "odd layers": BASE.replace(num_hidden_layers=35),
}


@pytest.fixture(params=[(name, narrow) for name in CONFIGS for narrow in (False, True)],
                ids=lambda pair: f"{pair[0]}-{'narrow' if pair[1] else 'wide'}")
def drawn(request):
    """A configuration, its parsed SVG, and the width it is drawn for."""
    name, narrow = request.param
    config = CONFIGS[name]
    return config, ElementTree.fromstring(architecture_diagram(config, narrow=narrow)), 360 if narrow else 1000


def classes(root):
    """How many shapes there are of each class."""
    return Counter(node.get("class") for node in root.iter() if node.get("class"))


def texts(root):
    """All lines of text in the drawing."""
    return [node.text for node in root.iter() if node.tag.endswith("}text")]


def test_shapes_are_those_of_the_configuration(drawn):
    config, root, _ = drawn
    count = classes(root)
    sliding = sum(config.window_of(layer) > 0 for layer in range(config.num_hidden_layers))
    assert count["layer sliding"] == sliding and count["layer full"] == config.num_hidden_layers - sliding
    assert count["expert lit"] == config.experts_per_token
    assert count["expert lit"] + count["expert idle"] == config.num_experts
    assert count["key-head"] == count["value-head"] == config.num_key_value_heads
    assert count["sink"] == config.num_attention_heads
    assert count["residual-add"] == 2
    for group in range(config.num_key_value_heads):
        assert count[f"query-head group-{group}"] == config.group_size


def test_sizes_stand_on_the_parts(drawn):
    config, root, _ = drawn
    words = " ".join(texts(root)).replace("\u00a0", " ")
    assert f"{config.vocab_size:,} × {config.hidden_size:,}" in words
    assert f"{config.hidden_size:,} × {config.vocab_size:,}" in words
    assert f"{config.hidden_size:,} → {config.intermediate_size:,} → {config.hidden_size:,}" in words
    assert f"head size {config.head_dim}" in words
    assert (f"the last {config.sliding_window} token" in words) == (config.sliding_window > 0)
    assert "every token so far" in words


def test_everything_lies_inside_the_picture_and_can_be_read(drawn):
    _, root, width = drawn
    _, _, box_width, box_height = map(float, root.get("viewBox").split())
    assert box_width == width
    for node in root.iter():
        if node.tag.endswith("}rect"):
            x, y, w, h = (float(node.get(name)) for name in ("x", "y", "width", "height"))
            assert x >= 0 and y >= 0 and x + w <= box_width + 1e-3 and y + h <= box_height and w > 0 and h > 0
        if node.tag.endswith("}text"):
            assert float(node.get("font-size")) >= 14 and 0 < float(node.get("y")) < box_height
            assert node.get("fill") == "currentColor"


def test_colours_come_from_the_palette(drawn):
    _, root, _ = drawn
    used = {in_light(node.get(name)) for node in root.iter() for name in ("fill", "stroke") if node.get(name)}
    plain = {colour for colour in used if colour.startswith("#")}
    faded = {tuple(map(int, re.findall(r"\d+", colour)[:3])) for colour in used if colour.startswith("rgba")}
    assert plain <= palette.ALL and faded <= {palette.rgb(colour) for colour in palette.ALL}
    assert {colour for colour in used if not colour.startswith(("#", "rgba"))} <= {"none", "currentColor"}


def test_is_a_group_of_links_with_alternative_text(drawn):
    config, root, _ = drawn
    assert root.get("role") == "group" and root.get("aria-label") == describe_architecture(config)
    assert f"{config.experts_per_token} of {config.num_experts} experts" in root.get("aria-label")


def test_every_component_is_a_link_to_its_page(drawn):
    _, root, _ = drawn
    links = [node for node in root.iter() if node.tag.endswith("}a")]
    titles = {address(page): page.title for page in PAGES}
    for link in links:
        assert link.get("class") == "way" and link.get("aria-label").endswith(f": to the page {titles[link.get('href')]}")
    components = {address(page) for page in BOOK["Components"]}
    assert {link.get("href") for link in links} == components | {"./sampling"}


@pytest.mark.parametrize("narrow", [False, True])
def test_the_live_scale_model_is_named(narrow):
    config = ModelConfig.preset("gpt-oss-120b")
    live = config.replace(num_hidden_layers=4, hidden_size=64)
    sentence = "a scale model with 4 of 36 layers, width 64 of 2,880"
    words = " ".join(texts(ElementTree.fromstring(architecture_diagram(config, live, narrow=narrow))))
    assert sentence in words and sentence in describe_architecture(config, live)
    assert "scale model" not in architecture_diagram(config, config, narrow=narrow)


def test_text_is_escaped():
    pen = Pen()
    pen.text(0, 0, "<script>alert(1)</script>")
    svg = pen.picture(10, 10, '"><script>')
    assert "<script" not in svg and ElementTree.fromstring(svg).get("aria-label") == '"><script>'


def test_has_no_blank_line_that_would_end_an_html_block_in_markdown():
    assert "\n" not in architecture_diagram(ModelConfig.preset("gpt-oss-20b"))
