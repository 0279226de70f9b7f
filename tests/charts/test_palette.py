"""The colours of both themes: readable each on its own ground, by WCAG's relative luminance, and one meaning in both."""

import colorsys
import re
import tomllib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gptoss.charts import palette
from gptoss.charts.images import in_dark, share_pixels, signed_pixels

ROOT = Path(__file__).parents[2]
THEME = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"]
LIGHT, DARK = THEME["light"], THEME["dark"]
MARK, WORDS = 3, 4.5  # least contrasts: WCAG 2.2, 1.4.11 and 1.4.3


def luminance(rgb):
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in rgb)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """Of two colours, each `#RRGGBB` or three numbers."""
    lower, higher = sorted(luminance(palette.rgb(c) if isinstance(c, str) else c) for c in (one, other))
    return (higher + 0.05) / (lower + 0.05)


def in_each_theme(colour):
    """The colour as each theme has it, with the theme."""
    return (colour, LIGHT), (palette.DARK[colour], DARK)


@pytest.mark.parametrize("colour", sorted(palette.ALL - {palette.PAPER}))
def test_marks_and_lines_stand_out_from_the_ground_of_both_themes(colour):
    for shown, theme in in_each_theme(colour):
        assert contrast(shown, theme["backgroundColor"]) >= MARK


@pytest.mark.parametrize("colour", sorted(palette.WRITTEN))
def test_words_can_be_read_on_every_ground_of_both_themes(colour):
    for shown, theme in in_each_theme(colour):
        for ground in (theme["backgroundColor"], theme["secondaryBackgroundColor"], theme["sidebar"]["backgroundColor"]):
            assert contrast(shown, ground) >= WORDS


@pytest.mark.parametrize("full", [palette.MOST, palette.NEGATIVE, palette.POSITIVE])
def test_a_ramp_ends_far_from_the_ground_and_never_turns_back(full):
    for shown, theme in in_each_theme(full):
        ground = palette.rgb(theme["backgroundColor"])
        ramp = [contrast(np.array(palette.rgb(shown)) * share + np.array(ground) * (1 - share), ground)
                for share in np.linspace(0, 1, 21)]
        assert all(less < more for less, more in pairwise(ramp))
        assert ramp[-1] >= 6 and ramp[10] >= 2.2, "half a ramp can be told from nothing"


def test_diverging_ends_are_equally_far_from_the_ground():
    for (below, theme), (above, _) in zip(in_each_theme(palette.NEGATIVE), in_each_theme(palette.POSITIVE), strict=True):
        strengths = [contrast(colour, theme["backgroundColor"]) for colour in (below, above)]
        assert max(strengths) / min(strengths) < 1.4


def test_letters_on_a_full_colour_can_be_read():
    on = [("#000000", "#000000", colour) for colour in (palette.KEY, palette.VALUE, palette.FULL)]
    on += [(palette.PAPER, palette.DARK[palette.PAPER], colour) for colour in (palette.QUERY, palette.ACCENT)]
    for light, dark, colour in on:
        assert contrast(light, colour) >= WORDS and contrast(dark, palette.DARK[colour]) >= WORDS


@pytest.mark.parametrize("colour", sorted(palette.ALL - {palette.PAPER}))
def test_a_colour_keeps_its_hue_in_the_dark(colour):
    (hue, _, grey), (dark_hue, _, _) = (colorsys.rgb_to_hls(*(c / 255 for c in palette.rgb(shown)))
                                        for shown in (colour, palette.DARK[colour]))
    assert grey < 0.1 or abs((hue - dark_hue + 0.5) % 1 - 0.5) < 0.045  # of a turn


def test_streamlit_has_the_same_colours():
    assert (LIGHT["primaryColor"], DARK["primaryColor"]) == (palette.ACCENT, palette.DARK[palette.ACCENT])
    for light, dark in zip(LIGHT["chartCategoricalColors"], DARK["chartCategoricalColors"], strict=True):
        assert palette.DARK[light] == dark
    for theme in (LIGHT, DARK):
        for name in ("primaryColor", "linkColor", "textColor"):
            assert all(contrast(theme[name], theme[ground]) >= WORDS
                       for ground in ("backgroundColor", "secondaryBackgroundColor"))


@pytest.mark.parametrize("sheet", sorted((ROOT / "gptoss").rglob("*.css")), ids=lambda path: path.name)
def test_style_sheets_name_each_colour_with_its_twin(sheet):
    code = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.DOTALL)
    pairs = re.findall(r"light-dark\((#[0-9A-Fa-f]{6}), (#[0-9A-Fa-f]{6})\)", code)
    assert len(re.findall(r"#[0-9A-Fa-f]{6}\b", code)) == 2 * len(pairs)
    theme = {light: DARK[name] for name, light in LIGHT.items() if name in DARK and isinstance(light, str)}
    if "room" not in sheet.parts:  # its light pages stand alone, and axe looks at them in both themes
        assert all((palette.DARK | theme)[light] == dark for light, dark in pairs)


def test_a_specification_has_all_its_colours_swapped_and_nothing_else():
    spec = {"mark": {"color": palette.KEY, "stroke": palette.fade(palette.MUTED, 0.25), "opacity": 0.5},
            "range": [palette.ACCENT, "black", "#123456", palette.fade("#123456", 0.5)], "title": "key"}
    line = palette.fade(palette.DARK[palette.MUTED], 0.25)
    assert palette.in_dark(spec) == {
        "mark": {"color": palette.DARK[palette.KEY], "stroke": line, "opacity": 0.5},
        "range": [palette.DARK[palette.ACCENT], "black", "#123456", palette.fade("#123456", 0.5)], "title": "key"}


def test_style_rules_hold_each_colour_twice():
    rules = palette.in_both_themes(f"color: {palette.KEY}; background: {palette.fade(palette.KEY, 0.001)}; fill: #123456")
    assert rules == (f"color: light-dark({palette.KEY}, {palette.DARK[palette.KEY]}); background: light-dark("
                     f"{palette.fade(palette.KEY, 0.001)}, {palette.fade(palette.DARK[palette.KEY], 0.001)}); fill: #123456")


def test_pixels_change_their_colour_in_the_dark_and_keep_their_opacity():
    shares = share_pixels(np.linspace(0, 1, 12).reshape(3, 4))
    signed = signed_pixels(np.linspace(-1, 1, 12).reshape(3, 4), 1)
    for image, colours in ((shares, [palette.MOST]), (signed, [palette.NEGATIVE, palette.POSITIVE])):
        dark = in_dark(image)
        assert dark.shape == image.shape and dark.dtype == np.uint8
        np.testing.assert_array_equal(dark[..., 3], image[..., 3])
        assert {*map(tuple, dark[..., :3].reshape(-1, 3))} == {palette.rgb(palette.DARK[colour]) for colour in colours}
    assert (shares[..., :3] == palette.rgb(palette.MOST)).all(), "the light picture stays as it was"
