"""RoPE and YaRN: every view, every control to its ends, the further dials, and the whole lesson."""

import re

import pytest
from reader import address, assert_fine, captions, dial, move, open_page

from gptoss.app.lesson import TABS
from gptoss.config import PRESETS

PAGE = "pages/rope.py"
VIEWS = ["Arrows", "Score and distance", "Wavelengths", "YaRN", "Tables"]
SLIDERS = ("rope_query", "rope_key", "rope_shift")
FURTHER = ("rope_initial", "rope_beta", "rope_alpha")


def open_rope(**query):
    at = open_page(PAGE, **{"preset": "gpt-oss-20b"} | query)
    assert_fine(at)
    return at


def show(at, view):
    at.segmented_control(key="rope_view").set_value(view).run()
    assert_fine(at)
    return at


def words(at):
    """Everything that is said on the page."""
    kinds = ("markdown", "caption", "success", "info", "warning")
    return "\n".join([*(each.value for kind in kinds for each in at.get(kind)),
                      *(warning.proto.title for warning in at.get("warning"))])


def drawings(at):
    return [each.value for each in at.markdown if "<svg" in each.value]


def charts(at):
    return [chart for chart in at.get("vega_lite_chart") if chart.proto.data.data or chart.proto.datasets]


def assert_drawn(at, view):
    """The chosen view's pictures are there, and those of the others are not."""
    assert_fine(at)
    expected = {"Arrows": (2, 0), "Tables": (2, 0)}.get(view, (0, 1))
    assert (len(drawings(at)), len(charts(at))) == expected
    assert len(at.table) == (view == "YaRN")


def open_tab(at, tab):
    at.session_state["rope_lesson"] = tab
    at.run()
    assert_fine(at)
    return words(at)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_view_of_every_preset_at_the_ends_of_its_dials(preset):
    at = open_rope(preset=preset)
    for view in VIEWS:
        show(at, view)
        assert_drawn(at, view)
        for name in ("theta", "factor", "context"):
            for place in (0, -1):
                move(at, name, place)
                assert_drawn(at, view)


def test_both_arrows_move_and_the_angle_stays():
    at = open_rope()
    said = captions(at)
    angle = re.search(r"The angle was ([\d.]+)° before both were moved and is ([\d.]+)° now", said)
    assert angle and angle[1] == angle[2] == "114.6"
    assert "1.3466" in said
    before = drawings(at)[0]
    at.slider(key="rope_shift").set_value(33).run()
    assert_fine(at)
    assert drawings(at)[0] != before and "is 114.6° now" in captions(at)


@pytest.mark.parametrize("preset", ["gpt-oss-20b", "classroom"])
def test_arrows_at_both_ends_of_every_slider(preset):
    at = open_rope(preset=preset)
    for key in SLIDERS:
        for value in (0, 64):
            at.slider(key=key).set_value(value).run()
            assert_drawn(at, "Arrows")
    pair = at.select_slider(key="rope_pair")
    assert len(pair.options) == PRESETS[preset].head_dim // 2
    for option in (pair.options[-1], pair.options[0]):
        at.select_slider(key="rope_pair").set_value(option).run()
        assert_drawn(at, "Arrows")
        assert f"Pair {option} turns" in captions(at)


def test_the_last_pair_gives_way_to_smaller_heads():
    at = open_rope(rope_pair="31")
    assert "Pair 31 turns" in captions(at)
    at.selectbox(key="preset").set_value("classroom").run()
    assert_drawn(at, "Arrows")
    assert at.select_slider(key="rope_pair").value == 7


def test_scores_of_both_kinds_of_vectors_say_their_spread():
    at = show(open_rope(), "Score and distance")
    for kind in at.radio(key="rope_vectors").options:
        at.radio(key="rope_vectors").set_value(kind).run()
        assert_drawn(at, "Score and distance")
        assert re.search(r"differ by at most 0\.00\d+", captions(at))
    move(at, "seed", -1)
    assert_drawn(at, "Score and distance")


def test_tables_from_the_first_position_to_the_last():
    at = show(open_rope(), "Tables")
    for place in (0, -1):
        slider = at.select_slider(key="rope_start")
        slider.set_value(slider.options[place]).run()
        assert_drawn(at, "Tables")
    assert "position 131,072 to 131,135" in drawings(at)[0]


def test_yarn_keeps_blends_and_stretches_at_the_published_settings():
    at = show(open_rope(), "YaRN")
    said = words(at)
    assert "keeps 9 of 32 pairs, blends 9 and slows 14" in said and "8.09 to 17.40" in said
    table = at.table[0].value
    assert table["Scheme"].tolist() == ["plain RoPE", "position interpolation", "YaRN", "the notebook's blend"]
    assert table["Pairs at new angles"].tolist() == [14, 0, 0, 14]
    assert table["Scores"].tolist() == ["× 1.00", "× 1.00", "× 1.81", "× 1.81"]
    assert "reference asserts 0 < low < high < 31" in said and not at.warning
    move(at, "factor", 0)
    assert "Factor 1 is plain RoPE" in words(at)


@pytest.mark.parametrize("preset, view", [*((preset, "YaRN") for preset in PRESETS), *(("gpt-oss-20b", v) for v in VIEWS)])
def test_the_further_dials_at_all_their_positions_and_back(preset, view):
    at = show(open_rope(preset=preset), view)
    for key in FURTHER:
        for option in (at.selectbox(key=key).options[1], at.selectbox(key=key).options[-1]):
            at.selectbox(key=key).set_value(option).run()
            assert_drawn(at, view)
    at.button(key="rope_back").click().run()
    assert_drawn(at, view)
    assert [at.selectbox(key=key).value for key in FURTHER] == ["as published"] * 3


def test_the_further_dials_reach_the_picture_and_the_lesson():
    at = show(open_rope(), "YaRN")
    assert "in 4,096 tokens?" in words(at)
    at.selectbox(key="rope_initial").set_value("1024").run()
    said = words(at)
    assert "in 1,024 tokens?" in said and "8.09" not in said
    at.button(key="rope_back").click().run()
    assert "in 4,096 tokens?" in words(at) and "8.09 to 17.40" in words(at)


def test_where_the_references_assertion_fails():
    at = open_rope(preset="classroom", rope_view="YaRN", rope_initial="128", rope_beta="32")
    assert "0 < low < high < 7 and would stop" in words(at) and "low is −0.39, high is 2.62" in words(at)


def test_the_page_says_where_the_live_model_differs():
    at = open_rope(preset="gpt-oss-20b")
    assert "real head size 64. The live scale model has heads of" in captions(at)
    at = open_rope(preset="classroom")
    assert "head size 16, which the live model has too" in captions(at)


@pytest.mark.parametrize("bad", [
    {"rope_view": "Nonsense"}, {"rope_pair": "99"}, {"rope_pair": "-1"}, {"rope_pair": "x"}, {"rope_beta": "7"},
    {"rope_alpha": "<b>"}, {"rope_initial": "-5"}, {"rope_query": "1e9"}, {"rope_shift": "abc"}, {"rope_start": "3"},
    {"rope_vectors": "upside down", "rope_view": "Score and distance"}])
def test_bad_values_in_the_address_fall_back(bad):
    at = open_rope(**bad)
    assert_drawn(at, bad.get("rope_view", "Arrows") if bad.get("rope_view") in VIEWS else "Arrows")
    assert [at.selectbox(key=key).value for key in FURTHER] == ["as published"] * 3


@pytest.mark.parametrize("theta, right, wrong", [(150_000, 14, 18), (10_000, 9, 10)])
def test_the_prediction(theta, right, wrong):
    for guess, kind in ((right, "success"), (wrong, "info")):
        at = open_rope(theta=str(theta))
        assert f"theta {theta:,}: how many of 32 pairs never turn once in 4,096 tokens?" in words(at)
        assert f"It is {right}" not in words(at)
        at.number_input(key="rope_guess").set_value(float(guess)).run()
        at.button(key="rope_commit").click().run()
        assert_fine(at)
        said = at.get(kind)[0].value
        assert f"You said {guess} pairs. **It is {right} pairs.**" in said
        other, there = (10_000, 9) if theta == 150_000 else (150_000, 14)
        assert f"With theta {other:,} it would be {there}." in said


def test_every_tab_of_the_lesson_opens():
    at = open_rope()
    for tab in TABS:
        said = open_tab(at, tab)
        assert len(said) > 200
    code = "\n".join(each.value for each in (open_tab(at, "The code") and at.code))
    for name in ("class RotaryEmbedding", "def inverse_frequencies", "def yarn_range", "def yarn_ramp", "def concentration"):
        assert name in code


@pytest.mark.parametrize("query", [{"factor": "1"}, {"factor": "8", "context": "2048"}, {"theta": "1000", "context": "128"},
                                   {"preset": "notebook"}, {"preset": "classroom", "rope_beta": "64", "rope_initial": "64"}])
def test_checks_are_measured_at_other_settings(query):
    at = open_rope(**query)
    said = open_tab(at, "How we know")
    assert "largest difference **" in said and len(charts(at)) == 1


@pytest.mark.parametrize("label, check", [
    ("Theta 10,000", lambda at: (dial(at, "theta").value == 10_000, charts(at), "9 of 32 pairs never turn" in captions(at))),
    ("Factor 1, plain RoPE", lambda at: (dial(at, "factor").value == 1, "Factor 1 is plain RoPE" in words(at))),
    ("The slowest pair", lambda at: (drawings(at), "Pair 31 turns" in captions(at))),
    ("Random vectors", lambda at: (at.radio(key="rope_vectors").value == "random", charts(at))),
    ("Where the reference stops", lambda at: (address(at)["preset"] == "classroom", "low is −0.39" in words(at))),
])
def test_every_experiment_sets_what_it_says(label, check):
    at = open_rope()
    open_tab(at, "Try this")
    next(button for button in at.button if button.label == label).click().run()
    assert_fine(at)
    assert all(check(at))
