"""RMSNorm: every control to its ends, every view, every experiment, the prediction, claims and checks."""

import re

import pytest
from reader import assert_fine, captions, move, open_page, press, type_text

from gptoss.app.lesson import CHECKS, CODE, MATHS, PREDICT, TABS, TRY
from gptoss.lessons.rmsnorm.controls import SCALES, _small

PAGE = "pages/rmsnorm.py"
VIEWS = ["Plane", "Activations", "Depth", "Number formats", "Time"]
SLIDERS = {"Plane": ["shift", "scale", "outlier", "width"], "Activations": ["shift", "scale", "outlier", "place"],
           "Number formats": ["size"]}


def open_rmsnorm(**address):
    return open_page(PAGE, **{"preset": "gpt-oss-20b"} | address)


def show(at, view):
    return at.segmented_control(key="rmsnorm_view").set_value(view).run()


def slider(at, name):
    key = f"rmsnorm_{name}"
    return next(each for each in [*at.slider, *at.select_slider] if each.key == key)


def ends(control):
    return control.options[::len(control.options) - 1] if hasattr(control, "options") else (control.min, control.max)


def charts(at):
    return [chart for chart in at.get("vega_lite_chart") if chart.proto.data.data or chart.proto.datasets]


def read(at, tab):
    """The markdown and success texts with one tab of the lesson open."""
    at.session_state["rmsnorm_lesson"] = tab
    at.run()
    assert_fine(at)
    return "\n".join(each.value for each in [*at.markdown, *at.success, *at.info, *at.code])


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_and_each_of_its_controls_at_both_ends(view):
    at = show(open_rmsnorm(), view)
    assert_fine(at)
    assert len(charts(at)) == {"Depth": 1, "Time": 0}.get(view, 2)
    for name in SLIDERS.get(view, []):
        for end in ends(slider(at, name)):
            slider(at, name).set_value(end).run()
            assert_fine(at)
            assert len(charts(at)) == 2


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dials", [{"layers": "1", "hidden": "64"}, {"hidden": "5760", "precision": "bfloat16"}],
                         ids=["small", "wide"])
def test_every_view_of_an_extreme_model(view, dials):
    at = show(open_rmsnorm(preset="gpt-oss-20b", **dials), view)
    assert_fine(at)


def test_a_circle_and_two_points_are_there_at_once():
    at = open_rmsnorm()
    assert "at a distance of 1.41 from the origin" in captions(at)
    assert re.search(r"LayerNorm puts 1\d\d of them on two points", captions(at))


@pytest.mark.parametrize("text", ["", "a", "word " * 600, "<b>**x**</b> $1 | `y`"], ids=["empty", "one", "long", "markup"])
@pytest.mark.parametrize("view", ["Activations", "Depth"])
def test_texts(view, text):
    at = type_text(show(open_rmsnorm(), view), text)
    assert_fine(at)
    assert bool(charts(at)) == bool(text)
    if not text:
        assert "Type a text" in at.info[0].value


def test_the_last_norm_gives_way_when_layers_go():
    at = show(open_rmsnorm(preset="classroom"), "Activations")
    slider(at, "place").set_value("experts 3").run()
    move(at, "layers", 0)
    assert_fine(at)
    assert slider(at, "place").value == "unembedding" and slider(at, "place").options == [
        "attention 0", "experts 0", "unembedding"]


@pytest.mark.parametrize("address", [
    {"rmsnorm_view": "Nothing"}, {"rmsnorm_shift": "far"}, {"rmsnorm_shift": "99"}, {"rmsnorm_scale": "7"},
    {"rmsnorm_width": "-1"}, {"rmsnorm_outlier": "x"}, {"rmsnorm_place": "nowhere", "rmsnorm_view": "Activations"},
    {"rmsnorm_size": "0", "rmsnorm_view": "Number formats"}])
def test_bad_values_in_the_address_fall_back(address):
    at = open_rmsnorm(**address)
    assert_fine(at)
    assert len(charts(at)) == 2 and not at.warning


def test_good_values_in_the_address_are_taken():
    at = open_rmsnorm(rmsnorm_shift="2.5", rmsnorm_scale="0.001", rmsnorm_width="64")
    assert (slider(at, "shift").value, slider(at, "width").value) == (2.5, 64)
    assert slider(at, "scale").value == SCALES[0]


def test_experiments_set_the_state():
    at = open_rmsnorm()
    read(at, TRY)
    press(at, "Scale × 100")
    assert_fine(at)
    assert slider(at, "scale").value == 100 and "at a distance of 1.41 from" in captions(at)
    press(at, "Width 2, shift +10")
    assert_fine(at)
    assert (slider(at, "width").value, slider(at, "shift").value) == (2, 10.0)
    assert re.search(r"LayerNorm puts 1\d\d of them on two points", captions(at))
    press(at, "One large outlier")
    assert_fine(at)
    assert at.segmented_control(key="rmsnorm_view").value == "Activations" and slider(at, "outlier").value == 30


@pytest.mark.parametrize("guess, right", [(0.30, True), (1.0, False)])
def test_the_prediction_is_computed_after_the_commitment(guess, right):
    at = open_rmsnorm()
    assert "0.30" not in read(at, PREDICT)
    at.number_input(key="rmsnorm_guess").set_value(guess).run()
    at.button(key="rmsnorm_commit").click().run()
    assert_fine(at)
    said = (at.success if right else at.info)[0].value
    assert "**It is 0.30.**" in said


def test_checks_state_small_differences():
    at = open_rmsnorm()
    found = [float(number) for number in re.findall(r"\*\*(0|[\d.]+e-\d+)\*\*", read(at, CHECKS))]
    assert len(found) == 4 and max(found) < 1e-4 and found[0] == 0
    type_text(at, "")
    assert "Type a text first" in read(at, CHECKS)


@pytest.mark.parametrize("tab", TABS)
def test_every_tab(tab):
    said = read(open_rmsnorm(), tab)
    assert {MATHS: r"\text{RMSNorm}", CODE: "class RMSNorm"}.get(tab, "") in said


def test_small_numbers_are_short():
    assert [_small(value) for value in (0, 1e-5, 4.84e-7, 0.25)] == ["0", "1e-5", "4.8e-7", "2.5e-1"]


def test_the_formulas_are_blocks_of_their_own():
    blocks = [line for line in read(open_rmsnorm(), MATHS).splitlines() if "$$" in line]
    assert len(blocks) == 2 and all(line.startswith("$$") and line.endswith("$$") for line in blocks)


def test_times_appear_when_asked_for_and_stay_with_their_width():
    at = show(open_rmsnorm(), "Time")
    assert "Nothing is measured yet at width 2,880" in at.info[0].value and not charts(at)
    press(at, "Measure now")
    assert_fine(at)
    assert len(charts(at)) == 1 and "Median times. RMSNorm, step by step" in captions(at)
    move(at, "hidden", 0)
    assert "Nothing is measured yet at width 64" in at.info[0].value
