"""Charts and drawings of RoPE and YaRN, from the numbers that the page shows."""

import base64
import io
import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from chart_checks import assert_well_made, axis_titles, in_light
from PIL import Image

from gptoss.charts import palette
from gptoss.config import PRESETS
from gptoss.lessons.rope import measure as rotation
from gptoss.lessons.rope.charts import (
    accuracy_by_distance,
    clock,
    clock_grid,
    describe_clock,
    rotation_table,
    score_by_distance,
    spread_by_format,
    stretch_by_pair,
    wavelength_by_pair,
)
from gptoss.training.schemes import FORMULA, NOTEBOOK, PLAIN, SCHEMES, YARN

GPT_OSS, CLASSROOM = PRESETS["gpt-oss-20b"], PRESETS["classroom"]


def stretch(config):
    ramp = rotation.ramp_of(config)
    return stretch_by_pair(rotation.pair_frame(config), ramp.low, ramp.high, (ramp.kept, ramp.blended, ramp.stretched))


def accuracy(by):
    return pd.DataFrame([(scheme, far - 31, far, 1280 // far, by / far) for scheme in SCHEMES for far in (32, 64, 128)],
                        columns=["scheme", "nearest", "farthest", "asked", "accuracy"])


CHARTS = {
    "score": lambda c: score_by_distance(rotation.score_frame(c, rotation.AGREEING, 131_072)),
    "spread": lambda c: spread_by_format(rotation.spread_frame(c, rotation.AGREEING, 131_072)),
    "wavelength": lambda c: wavelength_by_pair(rotation.pair_frame(c), c.initial_context_length, 131_072),
    "stretch": stretch,
    "accuracy": lambda c: accuracy_by_distance(accuracy(c.head_dim / 8), c.head_dim),
}
AXES = {
    "score": {"x": "distance from query back to key (tokens)", "y": "score, q · k / √head size (number)"},
    "spread": {"x": "spread (share of the largest score, log scale)", "y": "number format"},
    "wavelength": {"x": "pair (number, fast to slow)", "y": "wavelength (tokens per turn, log scale)"},
    "stretch": {"x": "pair (number, fast to slow)", "y": "slower than plain RoPE (times, log scale)"},
    "accuracy": {"x": "distance back to the answer (tokens)", "y": "right answers (%)"},
}


@pytest.mark.parametrize("kind", CHARTS)
def test_charts_are_well_made(kind):
    chart = CHARTS[kind](GPT_OSS)
    assert_well_made(chart, CHARTS[kind](CLASSROOM))
    assert axis_titles(chart.spec) == AXES[kind]


def test_scores_of_all_places_are_points_and_the_formula_is_a_line():
    chart = CHARTS["score"](GPT_OSS)
    points = chart.data[chart.data["key_at"] != FORMULA]
    assert set(points["key_at"]) == set(rotation.places(131_072))
    assert (chart.data["key_at"] == FORMULA).sum() == rotation.DISTANCES + 1
    assert points["distance"].is_unique and (points.groupby("key_at").size() >= 16).all()
    frame = rotation.score_frame(GPT_OSS, rotation.AGREEING, 131_072)
    measured = frame[frame["key_at"] != FORMULA].pivot(index="distance", columns="key_at", values="score")
    spread = (measured.max(axis=1) - measured.min(axis=1)).max()
    assert f"at most {spread:.2g}," in chart.alt and "At distance 0 the score is 14.51" in chart.alt


def test_score_frames_that_lack_something_are_refused():
    frame = rotation.score_frame(GPT_OSS, rotation.AGREEING, 4096)
    with pytest.raises(ValueError, match="formula"):
        score_by_distance(frame[frame["key_at"] != FORMULA])
    with pytest.raises(ValueError, match="lacks score"):
        score_by_distance(frame.drop(columns="score"))


def test_spread_of_zero_can_stand_on_a_logarithmic_axis():
    frame = pd.DataFrame({"format": ["float64", "float32"], "spread": [0.0, 0.1], "share": [0.0, 0.01]})
    chart = spread_by_format(frame)
    assert (chart.data["share"] > 0).all() and list(chart.data["label"]) == ["0", "0.01"]


def test_wavelengths_say_how_many_pairs_never_turn():
    chart = CHARTS["wavelength"](GPT_OSS)
    assert "14 of 32 pairs never turn once in 4,096 tokens" in chart.alt
    plain = chart.data[chart.data["scheme"] == PLAIN]
    assert len(plain) == 32 and (plain["wavelength"] > 4096).sum() == 14


@pytest.mark.parametrize("context, above, below", [
    (131_072, {"trained: 4,096", "context: 131,072"}, set()), (8192, {"context: 8,192"}, {"trained: 4,096"}),
    (2048, {"trained: 4,096"}, {"context: 2,048"}), (4096, {"trained and context: 4,096"}, set())])
def test_names_of_two_lengths_do_not_touch(context, above, below):
    data = wavelength_by_pair(rotation.pair_frame(GPT_OSS), 4096, context).data
    assert set(data["above"]) - {""} == above and set(data["below"]) - {""} == below


def test_stretching_names_the_zones():
    chart = stretch(GPT_OSS)
    assert list(chart.data["label"].loc[lambda label: label != ""]) == ["keeps 9", "blends 9", "stretches 14"]
    assert "ramp runs from pair 8.09 to 17.40" in chart.alt
    assert "YaRN slows 1 to 32 times, the notebook's blend 32 to 1, position interpolation 32 to 32" in chart.alt
    curves = chart.data[chart.data["zone"] == ""].pivot(index="pair", columns="scheme", values="slower")
    assert curves[YARN].iloc[-1] == curves[NOTEBOOK].iloc[0] == 32 and curves[YARN].iloc[0] == 1


@pytest.mark.parametrize("config", [
    CLASSROOM.replace(initial_context_length=128, rope_ntk_beta=32.0), GPT_OSS.replace(initial_context_length=10**7),
    GPT_OSS.replace(initial_context_length=10**9), GPT_OSS.replace(initial_context_length=1)])
def test_zones_stay_inside_the_head_wherever_the_ramp_lies(config):
    chart = stretch(config)
    zones = chart.data[chart.data["zone"] != ""]
    pairs = config.head_dim // 2
    assert list(zones["pair"][1:]) == list(zones["to"][:-1])
    assert zones["pair"].iloc[0] == -0.5 and zones["to"].iloc[-1] == pairs - 0.5
    assert (zones["to"] >= zones["pair"]).all()
    assert sum(int(label.split()[1]) for label in zones["label"] if label) <= pairs


def test_accuracy_tells_both_ends_and_how_many_were_asked():
    chart = CHARTS["accuracy"](GPT_OSS)
    assert chart.alt.startswith("Trained on 64 tokens. Right answers at 1 to 32 tokens back (40 asked): plain RoPE 25%")
    assert "At 97 to 128 tokens back (10 asked): plain RoPE 6%" in chart.alt
    marks = chart.data[chart.data["label"] != ""]
    assert marks["label"].tolist() == ["trained on 64"] and marks["distance"].tolist() == [64]
    assert chart.data["distance"].tolist()[:3] == [16.5, 48.5, 112.5]


def hands_of(config, query_at, key_at, pair):
    return rotation.hands(config, query_at, key_at).of(pair)


def drawn_clock(query_at=9, key_at=4, shift=12, pair=3, config=GPT_OSS):
    before, after = (hands_of(config, query_at + by, key_at + by, pair) for by in (0, shift))
    svg = clock(before, after, pair, config.head_dim // 2, query_at + shift, key_at + shift)
    return ElementTree.fromstring(svg), before, after


def directions(root, kind):
    """Angles in degrees, counter-clockwise, of all straight hands of a kind."""
    angles = []
    for node in root.iter():
        if node.get("class") == kind:
            x, y, to_x, to_y = map(float, re.findall(r"-?[\d.]+", node.get("d")))
            across, down = (to_x, to_y) if "l" in node.get("d") else (to_x - x, to_y - y)
            angles.append(math.degrees(math.atan2(-down, across)))
    return angles


@pytest.mark.parametrize("pair", [0, 3, 31])
def test_arrows_point_where_the_rotation_put_them(pair):
    root, before, after = drawn_clock(pair=pair)
    for kind, place in (("query-hand", 0), ("key-hand", 1)):
        expected = [math.degrees(math.atan2(hands[place][1], hands[place][0])) for hands in (before, after)]
        turned = np.subtract(directions(root, kind), expected)
        np.testing.assert_allclose((turned + 180) % 360 - 180, 0, atol=0.2)


def test_wedges_before_and_after_span_the_same_angle():
    root, before, after = drawn_clock()
    assert sum(node.get("class") == "angle" for node in root.iter()) == 2
    assert before[2] == pytest.approx(after[2], abs=1e-3)
    texts = [node.text for node in root.iter() if node.tag.endswith("}text")]
    assert f"{abs(after[2]):.1f}° apart" in texts
    assert {"query at 21", "key at 16", "across: dimension 3", "up: dimension 35"} <= set(texts)
    assert "query at position 21" in root.get("aria-label")


@pytest.mark.parametrize("query_at, key_at", [(0, 0), (1, 0), (0, 1), (3, 0), (64, 64), (0, 64), (22, 0)])
def test_labels_stay_inside_and_apart(query_at, key_at):
    root, *_ = drawn_clock(query_at, key_at, shift=0, pair=0)
    width, height = map(float, root.get("viewBox").split()[2:])
    boxes = []
    for node in root.iter():
        if node.tag.endswith("}text"):
            size, x, y = (float(node.get(name)) for name in ("font-size", "x", "y"))
            half = len(node.text) * size * 0.25
            left = x - {"start": 0, "middle": half, "end": 2 * half}[node.get("text-anchor")]
            assert left >= 0 and left + 2 * half <= width and size * 0.8 <= y <= height
            boxes.append((left, left + 2 * half, y - size * 0.7, y))
    for i, (left, right, top, bottom) in enumerate(boxes):
        assert not any(left < r and li < right and top < b and t < bottom for li, r, t, b in boxes[i + 1:])


def test_the_large_clock_in_words():
    before, after = (hands_of(GPT_OSS, at, at - 2, 0) for at in (3, 23))
    words = describe_clock(before, after, 0, 2, rotation.step(GPT_OSS, 0), 20)
    assert "2 tokens apart stand at an angle of 114.6°, wherever" in words and "1.3466" in words
    assert "was 114.6°, and after both have moved by 20 tokens it is 114.6°" in words
    far = describe_clock(hands_of(GPT_OSS, 5, 0, 0), hands_of(GPT_OSS, 5, 0, 0), 0, 5, rotation.step(GPT_OSS, 0), 0)
    assert "an angle of 286.5°, seen as 73.5°" in far
    plain = hands_of(GPT_OSS.replace(rope_scaling_factor=1.0), 5, 0, 0)
    assert "keeps their length" in describe_clock(plain, plain, 0, 5, rotation.step(GPT_OSS, 0), 0)


@pytest.mark.parametrize("config, pair", [(GPT_OSS, 4), (CLASSROOM, 7)])
def test_the_grid_has_a_clock_for_every_pair(config, pair):
    hands = rotation.hands(config, 9, 4)
    root = ElementTree.fromstring(in_light(clock_grid(hands.query, hands.key, pair)))
    for kind, expected in (("query-hand", hands.query), ("key-hand", hands.key)):
        angles = directions(root, kind)
        wanted = np.degrees(np.arctan2(expected[:, 1], expected[:, 0]))
        np.testing.assert_allclose((np.subtract(angles, wanted) + 180) % 360 - 180, 0, atol=0.5)
    frames = [node for node in root.iter() if node.get("stroke") == palette.ACCENT]
    assert len(frames) == 1 and f"pair {pair} is framed" in root.get("aria-label")
    numbers = [node.text for node in root.iter() if node.tag.endswith("}text")]
    assert numbers == [str(i) for i in range(config.head_dim // 2)]


def pixels(svg):
    """The picture inside a drawing, as uint8 (height, width, 4)."""
    data = base64.b64decode(re.search(r"base64,([^\"]+)", svg).group(1))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


@pytest.mark.parametrize("config, start", [(GPT_OSS, 0), (GPT_OSS, 131_072), (CLASSROOM, 128)])
def test_tables_are_pictures_with_axes(config, start):
    cos, _ = rotation.rotation_picture(config, start)
    svg = rotation_table(cos, "Cosines", start)
    image = pixels(svg)
    assert image.shape[:2] == cos.shape
    blue = (image[..., :3] == palette.rgb(palette.NEGATIVE)).all(axis=-1)
    assert (blue == (cos < 0)).all()
    np.testing.assert_allclose(image[..., 3] / 255, np.abs(cos) / np.abs(cos).max(), atol=0.01)
    root = ElementTree.fromstring(svg)
    texts = [node.text for node in root.iter() if node.tag.endswith("}text")]
    assert {"pair", "position (tokens)", "0", str(len(cos) - 1), f"{start:,}", f"{start + 63:,}"} <= set(texts)
    assert f"Cosines by pair and position {start:,} to {start + 63:,}." in root.get("aria-label")
